import CKeyspace
import Glibc

/// Where a key belongs: one of 16,384 slots, 128 placement groups, one shard of a node.
///
/// The slot of a key in the shared table `default` is what every Redis Cluster client computes
/// (CRC16-XMODEM of the key or of its `{hash tag}`). Other tables and tenants add an offset of
/// their own, so that equal keys of many tables don't meet on one core.
public enum Slot {
    public static let count = 16_384
    public static let groups = 128
    public static let slotsPerGroup = count / groups
    /// A group lives on one shard, so more shards than groups would idle.
    public static let shardsMax = groups

    public static func of(_ key: UnsafeRawBufferPointer, offset: UInt16 = 0) -> UInt16 {
        let tagged = unsafe hashTag(key)
        return (unsafe crc16(tagged) &+ offset) & 16_383
    }

    @inlinable @inline(__always)
    public static func group(_ slot: UInt16) -> Int { Int(slot) / slotsPerGroup }

    @inlinable @inline(__always)
    public static func shard(ofGroup group: Int, shards: Int) -> Int { group % shards }

    /// The part of a key that decides its slot: what stands between the first `{` and the next
    /// `}`, when that is not empty; else all of it.
    static func hashTag(_ key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard let base = key.baseAddress,
            unsafe nt_has_brace(base.assumingMemoryBound(to: UInt8.self), key.count),
            let found = unsafe memchr(base, Int32(UInt8(ascii: "{")), key.count)
        else { return unsafe key }
        let open = unsafe UnsafeRawPointer(found) - base
        var end = open + 1
        while end < key.count, unsafe key[end] != UInt8(ascii: "}") { end += 1 }
        guard end < key.count, end > open + 1 else { return unsafe key }
        return unsafe UnsafeRawBufferPointer(rebasing: key[open + 1..<end])
    }

    public static func crc16(_ bytes: UnsafeRawBufferPointer) -> UInt16 {
        guard let base = bytes.baseAddress else { return 0 }
        return unsafe nt_crc16(base.assumingMemoryBound(to: UInt8.self), bytes.count)
    }

    /// The offset of a table: a function of its space and name alone, so that every node and
    /// every release computes the same. The shared space's `default` has none.
    public static func offset(_ space: Space, table name: UnsafeRawBufferPointer) -> UInt16 {
        let plain: StaticString = "default"
        if space == .shared, name.count == plain.utf8CodeUnitCount,
            unsafe name.elementsEqual(
                UnsafeBufferPointer(start: plain.utf8Start, count: plain.utf8CodeUnitCount))
        {
            return 0
        }
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for shift in stride(from: 0, to: 64, by: 8) {
            hash = (hash ^ space.rawValue >> UInt64(shift) & 0xFF) &* 0x100_0000_01B3
        }
        for place in 0..<name.count {
            hash = (hash ^ UInt64(unsafe name[place])) &* 0x100_0000_01B3
        }
        hash ^= hash >> 32
        hash = hash &* 0xD6E8_FEB8_6659_FD93
        return UInt16(truncatingIfNeeded: hash >> 40) & 16_383
    }
}

/// A world of tables: the one all share, or a tenant's own.
public struct Space: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
    /// 0 is the shared space; a tenant's is the number of its user, which never changes.
    public var rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

    public static let shared = Space(rawValue: 0)
}
