internal import Glibc

/// Token buckets for any number of principals in fixed memory.
///
/// A bucket is one number, the time at which it will be full again (the 'theoretical arrival time'
/// of GCRA, ITU-T I.371): spending moves it on by one interval, waiting lets it fall behind now. A
/// full bucket and an absent one are the same, so entries need no removal: what has recovered is
/// free to be written over. Keys are 64-bit keyed hashes (`SipHash`), so nobody can choose where
/// an entry falls.
///
/// When a set of eight is taken by debtors, the one that would recover first gives way. Crowding
/// the table therefore only ever *forgives*; it can't turn anybody away.
@safe struct BucketTable: ~Copyable {
    /// How fast a bucket fills and how much it holds.
    struct Shape: Equatable, Sendable, BitwiseCopyable {
        let intervalNs: UInt64
        let burst: UInt64

        var spanNs: UInt64 { intervalNs * burst }
    }

    struct Level: Equatable, Sendable, BitwiseCopyable {
        var allowed: Bool
        /// What may still be spent at once.
        var remaining: UInt64
        /// Until the bucket is full again.
        var resetNs: UInt64
        /// Until one more is allowed; zero where one is now.
        var retryNs: UInt64
    }

    private static let ways = 8

    private struct Entry: BitwiseCopyable {
        var key: UInt64
        var fullAtNs: UInt64
    }

    private let entries: UnsafeMutablePointer<Entry>
    private let setMask: Int

    /// Room for at least `capacity` buckets, rounded up to a power of two; 16 bytes each.
    init(capacity: Int) {
        var sets = 1
        while sets * Self.ways < capacity { sets *= 2 }
        let memory = unsafe calloc(sets * Self.ways, MemoryLayout<Entry>.stride)
        invariant(unsafe memory != nil, "out of memory for a table of buckets")
        unsafe entries = memory!.bindMemory(to: Entry.self, capacity: sets * Self.ways)
        setMask = sets - 1
    }

    deinit { unsafe free(entries) }

    /// Spends one, if there is one.
    mutating func take(_ key: UInt64, _ shape: Shape, nowNs: UInt64) -> Level {
        let entry = unsafe find(key, nowNs: nowNs)
        let now = level(unsafe debt(entry, shape, nowNs), shape)
        guard now.allowed else { return now }
        let place = unsafe entry ?? room(for: key, nowNs: nowNs)
        let owed = unsafe debt(entry, shape, nowNs) + shape.intervalNs
        unsafe place.pointee = Entry(key: key, fullAtNs: nowNs + owed)
        var after = level(owed, shape)
        after.allowed = true
        return after
    }

    /// How the bucket stands, nothing spent.
    func look(_ key: UInt64, _ shape: Shape, nowNs: UInt64) -> Level {
        level(unsafe debt(find(key, nowNs: nowNs), shape, nowNs), shape)
    }

    /// Puts one back.
    mutating func giveBack(_ key: UInt64, _ shape: Shape, nowNs: UInt64) {
        guard let entry = unsafe find(key, nowNs: nowNs) else { return }
        let owed = unsafe debt(entry, shape, nowNs)
        unsafe entry.pointee.fullAtNs = nowNs + (owed - min(owed, shape.intervalNs))
    }

    /// Fills the bucket.
    mutating func fill(_ key: UInt64, nowNs: UInt64) {
        if let entry = unsafe find(key, nowNs: nowNs) { unsafe entry.pointee.fullAtNs = 0 }
    }

    private func level(_ owed: UInt64, _ shape: Shape) -> Level {
        let left = shape.spanNs - owed
        let remaining = left / shape.intervalNs
        return Level(
            allowed: remaining > 0, remaining: remaining, resetNs: owed,
            retryNs: remaining > 0 ? 0 : shape.intervalNs - left)
    }

    /// Never more than an empty bucket's, so that a clock that went back locks nobody out.
    @unsafe private func debt(
        _ entry: UnsafeMutablePointer<Entry>?, _ shape: Shape, _ nowNs: UInt64
    ) -> UInt64 {
        guard let entry = unsafe entry else { return 0 }
        let fullAt = unsafe entry.pointee.fullAtNs
        return fullAt > nowNs ? min(fullAt - nowNs, shape.spanNs) : 0
    }

    @unsafe private func find(_ key: UInt64, nowNs: UInt64) -> UnsafeMutablePointer<Entry>? {
        let set = unsafe entries + (Int(truncatingIfNeeded: key) & setMask) * Self.ways
        for way in 0..<Self.ways
        where unsafe set[way].key == key && set[way].fullAtNs > nowNs {
            return unsafe set + way
        }
        return nil
    }

    @unsafe private func room(for key: UInt64, nowNs: UInt64) -> UnsafeMutablePointer<Entry> {
        let set = unsafe entries + (Int(truncatingIfNeeded: key) & setMask) * Self.ways
        var chosen = 0
        for way in 1..<Self.ways
        where unsafe set[way].fullAtNs < set[chosen].fullAtNs {
            chosen = way
        }
        return unsafe set + chosen
    }
}
