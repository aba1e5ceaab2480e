/// The hashes of all beginnings of a key, one after the other.
///
/// A change asks for topics by each length of prefix that somebody listens to in its table. Hashing
/// each beginning from its start would cost the square of the key's length; this hash goes on from
/// one byte to the next, a multiplication each. It is seeded as `KeyHash` is, so nobody can choose
/// prefixes that collide.
public struct PrefixHash: Sendable, BitwiseCopyable {
    private var state: UInt64
    private let secret0: UInt64
    private let secret1: UInt64

    /// The hash of the empty prefix: of the table as a whole.
    public init(_ hashing: KeyHash, _ table: TableNumber) {
        secret0 = hashing.secret2
        secret1 = hashing.secret1
        state = KeyHash.fold(hashing.secret0 ^ UInt64(table), hashing.secret1)
    }

    public init(_ hashing: KeyHash, _ table: TableNumber, _ prefix: UnsafeRawBufferPointer) {
        self.init(hashing, table)
        for place in 0..<prefix.count { unsafe add(prefix[place]) }
    }

    /// The hash of the beginning that is one byte longer.
    @inline(__always)
    public mutating func add(_ byte: UInt8) {
        state = KeyHash.fold(state ^ UInt64(byte) ^ secret0, secret1)
    }

    public var value: UInt64 { state }
}

/// Which lengths of prefixes are listened to in each table, and by how many topics.
///
/// Only tables with such topics take memory. A table that has none is known by one load.
@safe
struct PrefixLengths: ~Copyable {
    private static let lengths = Key.bytesMax + 1
    private static let words = (lengths + 63) / 64

    @safe private struct Table {
        /// How many topics of each length there are.
        let counts: UnsafeMutablePointer<UInt32>
        var total = 0
    }

    /// For each table number one more than its place in `used`; 0 for those without prefixes.
    private var places: UnsafeMutablePointer<UInt32>
    private var placesCapacity = 16
    private var used: [Table] = []
    private var free: [Int] = []

    init() {
        unsafe places = .allocate(capacity: placesCapacity)
        unsafe places.initialize(repeating: 0, count: placesCapacity)
    }

    deinit {
        for table in used { unsafe table.counts.deallocate() }
        unsafe places.deallocate()
    }

    @inline(__always)
    func has(_ table: TableNumber) -> Bool {
        unsafe Int(table) < placesCapacity && places[Int(table)] != 0
    }

    mutating func add(_ table: TableNumber, length: Int) {
        if Int(table) >= placesCapacity { grow(for: table) }
        if unsafe places[Int(table)] == 0 {
            let place: Int
            if let last = free.popLast() {
                place = last
            } else {
                place = used.count
                let counts = UnsafeMutablePointer<UInt32>.allocate(
                    capacity: Self.lengths + 2 * Self.words)
                unsafe counts.initialize(repeating: 0, count: Self.lengths + 2 * Self.words)
                used.append(unsafe Table(counts: counts))
            }
            unsafe places[Int(table)] = UInt32(place + 1)
        }
        let place = unsafe Int(places[Int(table)]) - 1
        let counts = unsafe used[place].counts
        unsafe counts[length] += 1
        used[place].total += 1
        if unsafe counts[length] == 1 { unsafe setBit(counts, length, true) }
    }

    mutating func remove(_ table: TableNumber, length: Int) {
        invariant(has(table), "a prefix nobody listens to is given up")
        let place = unsafe Int(places[Int(table)]) - 1
        let counts = unsafe used[place].counts
        unsafe counts[length] -= 1
        used[place].total -= 1
        if unsafe counts[length] == 0 { unsafe setBit(counts, length, false) }
        if used[place].total == 0 {
            unsafe places[Int(table)] = 0
            free.append(place)
        }
    }

    /// The shortest length from `length` on that is listened to, if it is at most `most`.
    @inline(__always)
    func next(_ table: TableNumber, from length: Int, to most: Int) -> Int? {
        let counts = unsafe used[Int(places[Int(table)]) - 1].counts
        var word = length >> 6
        guard word < Self.words else { return nil }
        var bits = unsafe bitWord(counts, word) & (UInt64.max << UInt64(length & 63))
        while bits == 0 {
            word += 1
            guard word < Self.words, word << 6 <= most else { return nil }
            bits = unsafe bitWord(counts, word)
        }
        let found = word << 6 + bits.trailingZeroBitCount
        return found <= most ? found : nil
    }

    /// The bits lie behind the counts, in two halves each, so that one allocation holds both.
    @inline(__always)
    private func bitWord(_ counts: UnsafeMutablePointer<UInt32>, _ word: Int) -> UInt64 {
        let half = unsafe counts + Self.lengths + 2 * word
        return unsafe UInt64(half[0]) | UInt64(half[1]) << 32
    }

    private func setBit(_ counts: UnsafeMutablePointer<UInt32>, _ bit: Int, _ isSet: Bool) {
        let half = unsafe counts + Self.lengths + bit >> 5
        let mask: UInt32 = 1 << UInt32(bit & 31)
        unsafe half.pointee = isSet ? half.pointee | mask : half.pointee & ~mask
    }

    private mutating func grow(for table: TableNumber) {
        var capacity = placesCapacity
        while capacity <= Int(table) { capacity *= 2 }
        let larger = UnsafeMutablePointer<UInt32>.allocate(capacity: capacity)
        unsafe larger.initialize(repeating: 0, count: capacity)
        unsafe larger.update(from: places, count: placesCapacity)
        unsafe places.deallocate()
        unsafe places = unsafe larger
        placesCapacity = capacity
    }
}
