import Keyspace

/// A whole snapshot, as it is read. Blocks are independent: any number of threads may read.
public struct SnapshotSource: Hashable, Sendable {
    public let header: SnapshotHeader
    public let footer: SnapshotFooter
    /// Bytes of the file.
    public let bytes: Int

    /// Reads both ends of the file. A snapshot that was not finished has no second one.
    static func open(_ disk: any Disk) throws(JournalFailure) -> SnapshotSource {
        let file = try asking { () throws(DiskFailure) in
            try disk.open(FileNames.snapshot, forWriting: false)
        }
        defer { disk.close(file) }
        let size = try asking { () throws(DiskFailure) in try disk.size(file) }
        let header = try header(disk, file)
        let tailAt = max(0, size - SnapshotFormat.tailBytes)
        let tail = try asking { () throws(DiskFailure) in
            try disk.bytes(file, at: tailAt, count: SnapshotFormat.tailBytes)
        }
        let damage = Damage(FileNames.snapshot, tailAt, "its end is not what was written")
        var taker = ByteTaker(tail)
        guard let place = taker.take(UInt64.self), let blocks = taker.take(UInt32.self),
            place >= header.bytes.count, place < size, blocks <= SnapshotFormat.blocksMax
        else { throw .damage(damage) }
        let offset = Int(place)
        guard
            size - offset == Int(blocks) * SnapshotFormat.entryBytes + header.starts.count * 8
                + 16 + SnapshotFormat.tailBytes
        else { throw .damage(damage) }
        let bytes = try asking { () throws(DiskFailure) in
            try disk.bytes(file, at: offset, count: size - offset)
        }
        guard
            let footer = SnapshotFooter.read(
                bytes, at: offset, blocks: Int(blocks), header: header)
        else {
            throw .damage(Damage(FileNames.snapshot, offset, "its footer is not what was written"))
        }
        return SnapshotSource(header: header, footer: footer, bytes: size)
    }

    static func header(
        _ disk: any Disk, _ file: DiskFile
    ) throws(JournalFailure) -> SnapshotHeader {
        let opening = try asking { () throws(DiskFailure) in
            try disk.bytes(file, at: 0, count: SnapshotFormat.headerBytesMax + 4)
        }
        return try judging { () throws(Damage) in try SnapshotHeader.read(opening) }
    }

    /// Hands the records of one shard of `count` to `body`, tombstones too.
    ///
    /// With the shard count it was written with, a block belongs to one shard. With another,
    /// each shard's thread unpacks every block that may have something for it, and skips what
    /// has another slot. Records may come without their slots where nobody asks for them.
    public func read(
        _ disk: any Disk, for shard: Int, of count: Int, withSlots: Bool = true,
        _ body: (borrowing LogRecord) -> Void
    ) throws(JournalFailure) {
        let file = try asking { () throws(DiskFailure) in
            try disk.open(FileNames.snapshot, forWriting: false)
        }
        defer { disk.close(file) }
        var reader = SnapshotBlockReader()
        let before = header.epoch.shards
        let sources = (0..<before).map {
            Placement.meet(old: $0, of: before, new: shard, of: count)
        }
        let key = header.key
        for block in footer.blocks where sources[Int(block.shard)] {
            try load(disk, file, block, &reader)
            let isSound = reader.read(block, key: key, withSlots: withSlots || before != count) {
                record in
                if before != count,
                    Slot.shard(ofGroup: Slot.group(record.slot), shards: count) != shard
                {
                    return
                }
                body(record)
            }
            guard isSound else { throw .damage(Self.damage(block)) }
            reader.shrink()
        }
    }

    /// Brings a block's bytes into the reader.
    func load(
        _ disk: any Disk, _ file: DiskFile, _ block: SnapshotFooter.Block,
        _ reader: inout SnapshotBlockReader
    ) throws(JournalFailure) {
        let room = unsafe reader.room(Int(block.bytes))
        let count = try asking { () throws(DiskFailure) in
            unsafe try disk.read(file, at: Int(block.offset), into: room)
        }
        guard count == Int(block.bytes) else { throw .damage(Self.damage(block)) }
    }

    static func damage(_ block: SnapshotFooter.Block) -> Damage {
        Damage(
            FileNames.snapshot, Int(block.offset),
            "a block of \(block.records) records is not what was written")
    }
}

/// Which shards of one count share slots with which of another.
enum Placement {
    static func meet(old: Int, of before: Int, new: Int, of count: Int) -> Bool {
        (0..<Slot.groups).contains {
            Slot.shard(ofGroup: $0, shards: before) == old
                && Slot.shard(ofGroup: $0, shards: count) == new
        }
    }
}
