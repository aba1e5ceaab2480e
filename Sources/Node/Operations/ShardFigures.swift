import Synchronization

/// A shard's tally as the other shards see it: words that one thread stores and any may load.
///
/// Loads and stores are relaxed and single: what is read is each number as of some turn that is
/// hardly past, not all of them as of the same. Only the owner writes, so even adding is a load and
/// a store, never a locked instruction; and it writes once a turn, so a reader costs it a cache
/// miss a turn at most.
@safe struct ShardFigures: @unchecked Sendable {
    /// Processors fetch lines in pairs, so a shard's words share none with another's.
    private static let alignment = 128

    /// The tally, the turns by duration, the requests by duration, the slices of snapshots.
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private static var turnsAt: Int { ShardTally.words }
    private static var requestsAt: Int { turnsAt + DurationBuckets.count }
    private static var slicesAt: Int { requestsAt + DurationBuckets.count }
    private static var pushesAt: Int { slicesAt + DurationBuckets.count }
    private static var count: Int { pushesAt + DurationBuckets.count }

    /// They live as long as the process.
    static func make() -> ShardFigures {
        let bytes = (count * MemoryLayout<Atomic<UInt64>>.stride + alignment - 1) & -alignment
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: alignment)
        let words = unsafe memory.bindMemory(to: Atomic<UInt64>.self, capacity: count)
        for word in 0..<count { unsafe (words + word).initialize(to: Atomic(0)) }
        return unsafe ShardFigures(words: words)
    }

    private init(words: UnsafeMutablePointer<Atomic<UInt64>>) { unsafe self.words = unsafe words }

    // MARK: The owner's side

    /// Not changed: by reference, or all of it would be copied first.
    @inline(__always)
    func publish(_ tally: inout ShardTally) {
        unsafe withUnsafeMutableBytes(of: &tally) { bytes in
            for word in 0..<ShardTally.words {
                unsafe words[word].store(
                    bytes.load(fromByteOffset: word &* 8, as: UInt64.self), ordering: .relaxed)
            }
        }
    }

    /// A turn is over, and so many requests were answered in it.
    func countTurn(ns: UInt64, requests: UInt64) {
        let bucket = DurationBuckets.index(ofNs: ns)
        add(1, to: Self.turnsAt &+ bucket)
        if requests > 0 { add(requests, to: Self.requestsAt &+ bucket) }
    }

    /// A turn's share of a snapshot is done.
    func countSlice(ns: UInt64) { add(1, to: Self.slicesAt &+ DurationBuckets.index(ofNs: ns)) }

    /// An event was told to the last of this shard's listeners so long after it happened.
    func countPush(ns: UInt64) { add(1, to: Self.pushesAt &+ DurationBuckets.index(ofNs: ns)) }

    @inline(__always)
    private func add(_ amount: UInt64, to word: Int) {
        let before = unsafe words[word].load(ordering: .relaxed)
        unsafe words[word].store(before &+ amount, ordering: .relaxed)
    }

    // MARK: Everybody's side

    var tally: ShardTally {
        var tally = ShardTally()
        unsafe withUnsafeMutableBytes(of: &tally) { bytes in
            for word in 0..<ShardTally.words {
                unsafe bytes.storeBytes(
                    of: words[word].load(ordering: .relaxed), toByteOffset: word * 8,
                    as: UInt64.self)
            }
        }
        return tally
    }

    func addTurns(to counts: inout [UInt64]) { add(Self.turnsAt, to: &counts) }
    func addSlices(to counts: inout [UInt64]) { add(Self.slicesAt, to: &counts) }
    func addPushes(to counts: inout [UInt64]) { add(Self.pushesAt, to: &counts) }
    func addRequests(to counts: inout [UInt64]) { add(Self.requestsAt, to: &counts) }

    private func add(_ start: Int, to counts: inout [UInt64]) {
        for bucket in 0..<DurationBuckets.count {
            unsafe counts[bucket] &+= words[start + bucket].load(ordering: .relaxed)
        }
    }
}
