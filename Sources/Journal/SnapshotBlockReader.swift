import CZstd
import Keyspace

/// Reads blocks: one at a time, into memory that is used again, without an allocation a record.
@safe
struct SnapshotBlockReader: ~Copyable {
    private let context: OpaquePointer
    private var packed = Scratch(SnapshotRows.bytesTarget)
    private var raw = Scratch(SnapshotRows.bytesTarget * 2)
    private var values = Scratch(64 << 10)
    private var names: [Name] = []
    private var types: [Name] = []
    private var owners: [OwnerID] = []

    /// A table's name, or a content type, where it lies in the block.
    @safe
    private struct Name {
        var space = Space.shared
        /// What the table adds to a key's slot.
        var offset: UInt16 = 0
        var text: UnsafeRawBufferPointer
    }

    init() {
        guard let made = unsafe ZSTD_createDCtx() else { fatalError("no memory for zstd") }
        unsafe context = unsafe made
    }

    deinit { unsafe _ = ZSTD_freeDCtx(context) }

    /// Room for a block's bytes as they lie in the file.
    mutating func room(_ bytes: Int) -> UnsafeMutableRawBufferPointer {
        packed.need(bytes)
        return unsafe UnsafeMutableRawBufferPointer(start: packed.base, count: bytes)
    }

    /// Hands the records of the block in `room` on; false, perhaps after some of them, when it is
    /// not what was written.
    mutating func read(
        _ entry: SnapshotFooter.Block, key: UInt32, withSlots: Bool = true,
        _ body: (borrowing LogRecord) -> Void
    ) -> Bool {
        let base = unsafe UnsafeRawPointer(packed.base)
        let count = Int(entry.bytes)
        guard count <= packed.capacity, count >= SnapshotBlock.headBytes,
            unsafe base.get(0, UInt32.self) == SnapshotBlock.magic,
            unsafe base.get(4, UInt32.self) == entry.bytes,
            unsafe base.get(8, UInt32.self) == entry.rawBytes,
            unsafe base.get(12, UInt32.self) == entry.records,
            unsafe base.get(16, UInt32.self) == UInt32(entry.shard)
        else { return false }
        let packedCount = count - SnapshotBlock.headBytes
        let sum = unsafe checksum(
            checksum(key, base, 20), base + SnapshotBlock.headBytes, packedCount)
        guard unsafe sum == base.get(20, UInt32.self) else { return false }
        let rawCount = Int(entry.rawBytes)
        raw.need(rawCount)
        let made = unsafe ZSTD_decompressDCtx(
            context, raw.base, rawCount, base + SnapshotBlock.headBytes, packedCount)
        guard made == rawCount else { return false }
        return decode(rawCount, Int(entry.records), withSlots, body)
    }

    /// After a large value its memory is given back.
    mutating func shrink() {
        packed.keep(SnapshotRows.bytesTarget * 4)
        raw.keep(SnapshotRows.bytesTarget * 4)
    }

    private mutating func decode(
        _ size: Int, _ count: Int, _ withSlots: Bool, _ body: (borrowing LogRecord) -> Void
    ) -> Bool {
        let base = unsafe UnsafeRawPointer(raw.base)
        guard size >= SnapshotBlock.prefixBytes, count > 0, let start = unsafe readNames(base, size)
        else { return false }
        let keyBytes = unsafe Int(base.get(8, UInt32.self))
        let typed = unsafe Int(base.get(12, UInt32.self))
        let created = unsafe Int(base.get(16, UInt32.self))
        let expires = unsafe Int(base.get(20, UInt32.self))
        let replicated = unsafe Int(base.get(24, UInt32.self))
        var columns = Columns(start, count, tables: names.count, owners: owners.count)
        columns.some(types: typed, created: created, expires: expires, replicated: replicated)
        guard columns.keys + keyBytes <= size else { return false }
        let keysEnd = columns.keys + keyBytes
        var keyAt = columns.keys
        var valueBase = unsafe base
        var valueAt = keysEnd
        var valuesEnd = size
        if unsafe base.get(6, UInt16.self) == SnapshotBlock.Coding.words {
            var bytes = 0
            for place in 0..<count {
                bytes += unsafe Int(gather(base + columns.valueCount, count, place, 4))
            }
            guard bytes <= WordCoding.bytesMax else { return false }
            values.need(bytes)
            let isWhole = unsafe WordCoding.decode(
                base.bytes(keysEnd, size - keysEnd), into: values.base, size: bytes)
            guard isWhole else { return false }
            unsafe valueBase = UnsafeRawPointer(values.base)
            valueAt = 0
            valuesEnd = bytes
        }
        var typeAt = 0
        var createdAt = 0
        var expiresAt = 0
        var replicatedAt = 0
        var record = LogRecord()
        for place in 0..<count {
            let flags = unsafe base.get(columns.flags + place, UInt8.self)
            guard flags & ~SnapshotBlock.Flag.all == 0,
                let kind = ValueKind(rawValue: flags & SnapshotBlock.Flag.kinds)
            else { return false }
            record.valueKind = kind
            record.kind = flags & SnapshotBlock.Flag.tombstone != 0 ? .deleted : .updated
            let table =
                columns.table == 0 ? 0 : unsafe Int(gather(base + columns.table, count, place, 2))
            let owner =
                columns.owner == 0 ? 0 : unsafe Int(gather(base + columns.owner, count, place, 2))
            guard table < names.count, owner < owners.count else { return false }
            record.space = names[table].space
            unsafe record.table = names[table].text
            record.owner = owners[owner]
            record.stamp = unsafe Stamp(rawValue: gather(base + columns.stamp, count, place, 8))
            record.version = unsafe gather(base + columns.version, count, place, 6)
            record.created = record.stamp
            record.expiresAt = 0
            record.term = 0
            record.index = 0
            let keyCount = unsafe Int(gather(base + columns.keyCount, count, place, 2))
            let valueCount = unsafe Int(gather(base + columns.valueCount, count, place, 4))
            guard keyAt + keyCount <= keysEnd, valueAt + valueCount <= valuesEnd,
                keyCount <= Key.bytesMax
            else { return false }
            unsafe record.key = base.bytes(keyAt, keyCount)
            unsafe record.value = valueBase.bytes(valueAt, valueCount)
            keyAt += keyCount
            valueAt += valueCount
            if flags & SnapshotBlock.Flag.contentType != 0 {
                guard typeAt < typed else { return false }
                let type = unsafe Int(gather(base + columns.type, typed, typeAt, 2))
                guard type < types.count else { return false }
                unsafe record.contentType = types[type].text
                typeAt += 1
            } else {
                unsafe record.contentType = UnsafeRawBufferPointer(start: nil, count: 0)
            }
            if flags & SnapshotBlock.Flag.created != 0 {
                guard createdAt < created else { return false }
                let age = unsafe gather(base + columns.created, created, createdAt, 8)
                record.created = Stamp(rawValue: record.stamp.rawValue &- age)
                createdAt += 1
            }
            if flags & SnapshotBlock.Flag.expires != 0 {
                guard expiresAt < expires else { return false }
                record.expiresAt = unsafe Int64(
                    bitPattern: gather(base + columns.expires, expires, expiresAt, 8))
                expiresAt += 1
            }
            if flags & SnapshotBlock.Flag.replicated != 0 {
                guard replicatedAt < replicated else { return false }
                record.term = unsafe gather(base + columns.term, replicated, replicatedAt, 8)
                record.index = unsafe gather(base + columns.index, replicated, replicatedAt, 8)
                replicatedAt += 1
            }
            if withSlots {
                record.slot = unsafe Slot.of(record.key, offset: names[table].offset)
            }
            body(record)
        }
        return valueAt == valuesEnd && keyAt == keysEnd
    }

    /// Reads the names a block begins with; answers where its columns begin, nil when they
    /// don't fit.
    private mutating func readNames(_ base: UnsafeRawPointer, _ size: Int) -> Int? {
        names.removeAll(keepingCapacity: true)
        types.removeAll(keepingCapacity: true)
        owners.removeAll(keepingCapacity: true)
        let tableCount = unsafe Int(base.get(0, UInt16.self))
        let typeCount = unsafe Int(base.get(2, UInt16.self))
        let ownerCount = unsafe Int(base.get(4, UInt16.self))
        guard unsafe base.get(6, UInt16.self) <= SnapshotBlock.Coding.words, tableCount > 0,
            ownerCount > 0
        else { return nil }
        let tablesAt = SnapshotBlock.prefixBytes
        let typesAt = tablesAt + tableCount * 9
        let ownersAt = typesAt + typeCount * 2
        var at = ownersAt + ownerCount * 16
        guard at <= size else { return nil }
        for place in 0..<tableCount {
            let space = unsafe Space(
                rawValue: base.get(tablesAt + place * 9, UInt64.self))
            let count = unsafe Int(base.get(tablesAt + place * 9 + 8, UInt8.self))
            guard at + count <= size, count <= Tables.nameBytesMax else { return nil }
            let text = unsafe base.bytes(at, count)
            unsafe names.append(
                Name(space: space, offset: Slot.offset(space, table: text), text: text))
            at += count
        }
        for place in 0..<typeCount {
            let count = unsafe Int(base.get(typesAt + place * 2, UInt16.self))
            guard at + count <= size else { return nil }
            unsafe types.append(Name(text: base.bytes(at, count)))
            at += count
        }
        for place in 0..<ownerCount {
            let owner = ownersAt + place * 16
            owners.append(
                unsafe OwnerID(
                    high: base.get(owner, UInt64.self), low: base.get(owner + 8, UInt64.self)))
        }
        return at
    }
}

/// Reads a number of `width` bytes out of a column's planes.
@inline(__always)
private func gather(
    _ column: UnsafeRawPointer, _ count: Int, _ place: Int, _ width: Int
) -> UInt64 {
    var value: UInt64 = 0
    var at = place
    for plane in 0..<width {
        unsafe value |= UInt64(column.load(fromByteOffset: at, as: UInt8.self)) << UInt64(plane * 8)
        at += count
    }
    return value
}
