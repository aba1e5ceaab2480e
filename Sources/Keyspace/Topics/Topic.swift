import Glibc

/// What can be listened to: one key, or all keys of a table that begin with a prefix. The empty
/// prefix is the whole table.
///
/// The bytes are the caller's; the hash is `KeyHash` of a key, `PrefixHash` of a prefix.
@safe
public struct Topic {
    public var table: TableNumber
    public var isKey: Bool
    public var hash: UInt64
    public var bytes: UnsafeRawBufferPointer

    @inlinable
    public init(
        _ table: TableNumber, isKey: Bool, hash: UInt64, _ bytes: UnsafeRawBufferPointer
    ) {
        self.table = table
        self.isKey = isKey
        self.hash = hash
        unsafe self.bytes = unsafe bytes
    }

    public init(
        _ table: TableNumber, isKey: Bool, _ bytes: UnsafeRawBufferPointer, _ hashing: KeyHash
    ) {
        let hash =
            unsafe isKey
            ? hashing.hash(table, bytes) : PrefixHash(hashing, table, bytes).value
        unsafe self.init(table, isKey: isKey, hash: hash, bytes)
    }

    /// Whether a change of this key is one of the topic's.
    public func covers(_ table: TableNumber, _ hash: UInt64, _ key: UnsafeRawBufferPointer) -> Bool
    {
        guard table == self.table else { return false }
        if isKey {
            return unsafe hash == self.hash && Topic.equal(key, bytes)
        }
        return unsafe key.count >= bytes.count
            && Topic.equal(UnsafeRawBufferPointer(rebasing: key[..<bytes.count]), bytes)
    }

    /// Kept with a topic instead of a prefix's length.
    static let keyMark: UInt16 = 0xFFFF

    var mark: UInt16 { unsafe isKey ? Topic.keyMark : UInt16(bytes.count) }

    @inline(__always)
    static func equal(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
        guard one.count == other.count else { return false }
        guard let left = one.baseAddress, let right = other.baseAddress else { return true }
        return unsafe memcmp(left, right, one.count) == 0
    }
}

/// A set of shards, as many as a node has placement groups.
public struct ShardSet: Equatable, Sendable, BitwiseCopyable {
    public static let shardsMax = 128

    private var low: UInt64 = 0
    private var high: UInt64 = 0

    public init() {}

    public var isEmpty: Bool { low | high == 0 }

    public func contains(_ shard: Int) -> Bool {
        (shard < 64 ? low >> UInt64(shard) : high >> UInt64(shard - 64)) & 1 != 0
    }

    public mutating func insert(_ shard: Int) {
        if shard < 64 { low |= 1 << UInt64(shard) } else { high |= 1 << UInt64(shard - 64) }
    }

    public mutating func remove(_ shard: Int) {
        if shard < 64 { low &= ~(1 << UInt64(shard)) } else { high &= ~(1 << UInt64(shard - 64)) }
    }

    public mutating func formUnion(_ other: ShardSet) {
        low |= other.low
        high |= other.high
    }

    /// Takes the lowest shard out; nil when none is left.
    public mutating func popFirst() -> Int? {
        if low != 0 {
            let shard = low.trailingZeroBitCount
            low &= low - 1
            return shard
        }
        guard high != 0 else { return nil }
        let shard = high.trailingZeroBitCount
        high &= high - 1
        return shard + 64
    }
}
