public import Keyspace

/// A snapshot's file: what its two ends say.
///
/// ```
/// header   0  "ntl-snp\n"
///          8  u32  format version
///         12  u32  bytes of this header
///         16  u64 × 2  node
///         32  u64  epoch
///         40  u64  salt of the epoch
///         48  u64  number of the snapshot
///         56  u32  shards
///         60  u64 × shards  by shard: every change up to this position is in it
///             u32  CRC-32C of all before: the key of all that follows
/// blocks  one after the other, see `SnapshotBlock`
/// footer  of each block: u64 offset, u32 bytes, u32 raw bytes, u32 records, u16 shard, u16 zero
///         u64 × shards  by shard: no change after this position is in it
///         u64  records that are there, u64 tombstones
///         u64  offset of the footer, u32 blocks, u32 CRC-32C of the footer so far, begun with
///         the key, "ntl-end\n"
/// ```
///
/// A snapshot is taken while its shards go on: what it has of a shard is as new as `starts`
/// and, here and there, newer, up to `ends`. The log after `starts`, played on top, makes it
/// whole: the highest stamp wins.
enum SnapshotFormat {
    static let version: UInt32 = 1
    static let opening: StaticString = "ntl-snp\n"
    static let closing: StaticString = "ntl-end\n"
    static let headerBytesMax = 64 + Slot.shardsMax * 8
    static let entryBytes = 24
    static let tailBytes = 24
    /// More blocks than any snapshot has: of the smallest there are, 1 TiB.
    static let blocksMax = 1 << 26
}

public struct SnapshotHeader: Hashable, Sendable {
    public var epoch: Epoch
    /// Snapshots are numbered over all epochs of a node.
    public var number: UInt64
    /// By shard: it has every change up to here.
    public var starts: [CommitPosition]

    public init(epoch: Epoch, number: UInt64, starts: [CommitPosition]) {
        self.epoch = epoch
        self.number = number
        self.starts = starts
    }

    var bytes: [UInt8] {
        var maker = ByteMaker()
        maker.put(SnapshotFormat.opening)
        maker.put(SnapshotFormat.version)
        maker.put(UInt32(64 + starts.count * 8))
        maker.put(epoch.node.high)
        maker.put(epoch.node.low)
        maker.put(epoch.number)
        maker.put(epoch.salt)
        maker.put(number)
        maker.put(UInt32(starts.count))
        for start in starts { maker.put(start) }
        maker.seal()
        return maker.bytes
    }

    /// Begins every checksum of the blocks and the footer.
    var key: UInt32 { checksum(of: bytes, bytes.count - 4) }

    /// Reads a header, of which more may follow than belongs to it.
    static func read(_ bytes: [UInt8]) throws(Damage) -> SnapshotHeader {
        var taker = ByteTaker(bytes)
        guard taker.take(SnapshotFormat.opening), let version = taker.take(UInt32.self) else {
            throw Damage(FileNames.snapshot, 0, "this is no snapshot")
        }
        guard version <= SnapshotFormat.version else {
            throw Damage(
                FileNames.snapshot, 8, "it was made by a newer version (format \(version))",
                remedy: Damage.newer)
        }
        guard let header = body(&taker), taker.takeSeal(), version > 0 else {
            throw Damage(FileNames.snapshot, taker.offset, "its header is not what was written")
        }
        return header
    }

    private static func body(_ taker: inout ByteTaker) -> SnapshotHeader? {
        guard let count = taker.take(UInt32.self), let high = taker.take(UInt64.self),
            let low = taker.take(UInt64.self), let number = taker.take(UInt64.self),
            let salt = taker.take(UInt64.self), let snapshot = taker.take(UInt64.self),
            let shards = taker.take(UInt32.self), shards > 0, shards <= Slot.shardsMax,
            count == 64 + shards * 8
        else { return nil }
        let epoch = Epoch(
            node: NodeID(high: high, low: low), number: number, salt: salt, shards: Int(shards))
        var header = SnapshotHeader(epoch: epoch, number: snapshot, starts: [])
        for _ in 0..<shards {
            guard let start = taker.take(UInt64.self) else { return nil }
            header.starts.append(start)
        }
        return header
    }
}

public struct SnapshotFooter: Hashable, Sendable {
    /// Where one block lies, and what is in it.
    public struct Block: Hashable, Sendable {
        var offset: UInt64
        var bytes: UInt32
        var rawBytes: UInt32
        var records: UInt32
        var shard: UInt16
    }

    public internal(set) var blocks: [Block] = []
    /// By shard: no change after this is in it. Everything up to here was synced, on all shards,
    /// before the snapshot counted.
    public internal(set) var ends: [CommitPosition] = []
    public internal(set) var records: UInt64 = 0
    public internal(set) var tombstones: UInt64 = 0

    func bytes(at offset: Int, key: UInt32) -> [UInt8] {
        var maker = ByteMaker()
        for block in blocks {
            maker.put(block.offset)
            maker.put(block.bytes)
            maker.put(block.rawBytes)
            maker.put(block.records)
            maker.put(block.shard)
            maker.put(UInt16(0))
        }
        for end in ends { maker.put(end) }
        maker.put(records)
        maker.put(tombstones)
        maker.put(UInt64(offset))
        maker.put(UInt32(blocks.count))
        maker.put(checksum(key, of: maker.bytes, maker.bytes.count))
        maker.put(SnapshotFormat.closing)
        return maker.bytes
    }

    /// Reads the footer of a file of `size` bytes, which begins at `offset`; nil when it isn't one.
    static func read(
        _ bytes: [UInt8], at offset: Int, blocks: Int, header: SnapshotHeader
    ) -> SnapshotFooter? {
        var taker = ByteTaker(bytes)
        var footer = SnapshotFooter()
        footer.blocks.reserveCapacity(blocks)
        var place = UInt64(header.bytes.count)
        for _ in 0..<blocks {
            guard let from = taker.take(UInt64.self), let count = taker.take(UInt32.self),
                let rawBytes = taker.take(UInt32.self), let records = taker.take(UInt32.self),
                let shard = taker.take(UInt16.self), let zero = taker.take(UInt16.self),
                zero == 0, from == place, shard < header.starts.count,
                count >= SnapshotBlock.headBytes, Int(count) <= offset - Int(from),
                rawBytes <= SnapshotBlock.rawBytesMax, records <= SnapshotBlock.recordsMax
            else { return nil }
            place += UInt64(count)
            footer.blocks.append(
                Block(
                    offset: from, bytes: count, rawBytes: rawBytes, records: records,
                    shard: shard))
        }
        guard place == offset else { return nil }
        for _ in header.starts {
            guard let end = taker.take(UInt64.self) else { return nil }
            footer.ends.append(end)
        }
        guard let records = taker.take(UInt64.self), let tombstones = taker.take(UInt64.self),
            taker.take(UInt64.self) == UInt64(offset),
            taker.take(UInt32.self) == UInt32(blocks)
        else { return nil }
        footer.records = records
        footer.tombstones = tombstones
        let sum = checksum(header.key, of: bytes, taker.offset)
        guard taker.take(UInt32.self) == sum, taker.take(SnapshotFormat.closing), taker.left == 0
        else { return nil }
        return footer
    }
}
