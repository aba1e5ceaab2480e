import CZstd
import Keyspace

/// Makes blocks out of rows: columns, then zstd. A worker has one and keeps it.
@safe
struct SnapshotBlockMaker: ~Copyable {
    private let context: OpaquePointer
    private var raw = Scratch(SnapshotRows.bytesTarget * 2)
    private var packed = Scratch(SnapshotRows.bytesTarget * 2)
    /// The numbers of each row's table, type and owner, as u16.
    private var numbers = Scratch(64 << 10)
    private var tables = Numbered()
    private var types = Numbered()
    private var owners = Numbered()
    private var words = WordCoding()
    private var coded = Scratch(64 << 10)

    init() {
        guard let made = unsafe ZSTD_createCCtx() else { fatalError("no memory for zstd") }
        unsafe context = unsafe made
        unsafe _ = ZSTD_CCtx_setParameter(
            context, ZSTD_c_compressionLevel, SnapshotBlock.level)
    }

    deinit { unsafe _ = ZSTD_freeCCtx(context) }

    /// Texts in the order they came, each once. Rows that follow each other mostly have the same
    /// ones, which costs a comparison.
    private struct Numbered {
        var list: [[UInt8]] = []
        private var places: [[UInt8]: Int] = [:]
        private var last = 0

        mutating func number(_ text: UnsafeRawBufferPointer, tag: UInt64) -> UInt16 {
            if last < list.count, unsafe isSame(list[last], text, tag) { return UInt16(last) }
            var spelled: [UInt8] = []
            spelled.reserveCapacity(8 + text.count)
            for shift in stride(from: 0, to: 64, by: 8) {
                spelled.append(UInt8(truncatingIfNeeded: tag >> UInt64(shift)))
            }
            unsafe spelled.append(contentsOf: text)
            if let known = places[spelled] {
                last = known
            } else {
                last = list.count
                places[spelled] = last
                list.append(spelled)
            }
            return UInt16(last)
        }

        private func isSame(
            _ spelled: [UInt8], _ text: UnsafeRawBufferPointer, _ tag: UInt64
        ) -> Bool {
            unsafe spelled.withUnsafeBytes { bytes in
                guard bytes.count == 8 + text.count, let base = bytes.baseAddress,
                    unsafe base.get(0, UInt64.self) == tag
                else { return false }
                return unsafe base.bytes(8, text.count).elementsEqual(text)
            }
        }

        mutating func clear() {
            list.removeAll(keepingCapacity: true)
            places.removeAll(keepingCapacity: true)
            last = 0
        }
    }

    /// The block of these rows, good until the next; and what the footer says of it.
    mutating func make(
        _ rows: SnapshotRows, key: UInt32, at offset: UInt64
    ) -> (bytes: UnsafeRawBufferPointer, entry: SnapshotFooter.Block) {
        let rawCount = columns(rows)
        let bound = ZSTD_compressBound(rawCount)
        packed.need(SnapshotBlock.headBytes + bound)
        let base = unsafe packed.base
        let count = unsafe ZSTD_compress2(
            context, base + SnapshotBlock.headBytes, bound, raw.base, rawCount)
        invariant(ZSTD_isError(count) == 0, "zstd refused to compress a block")
        let bytes = SnapshotBlock.headBytes + count
        unsafe base.put(SnapshotBlock.magic, at: 0)
        unsafe base.put(UInt32(bytes), at: 4)
        unsafe base.put(UInt32(rawCount), at: 8)
        unsafe base.put(UInt32(rows.records), at: 12)
        unsafe base.put(UInt32(rows.shard), at: 16)
        let sum = unsafe checksum(
            checksum(key, base, 20), base + SnapshotBlock.headBytes, count)
        unsafe base.put(sum, at: 20)
        let entry = SnapshotFooter.Block(
            offset: offset, bytes: UInt32(bytes), rawBytes: UInt32(rawCount),
            records: UInt32(rows.records), shard: UInt16(rows.shard))
        return unsafe (UnsafeRawBufferPointer(start: base, count: bytes), entry)
    }

    /// After a large value its memory is given back.
    mutating func shrink() {
        raw.keep(SnapshotRows.bytesTarget * 4)
        packed.keep(SnapshotRows.bytesTarget * 4)
    }

    /// How many records have what only some have, and how long all keys are.
    private struct Counts {
        var types = 0
        var created = 0
        var expires = 0
        var replicated = 0
        var keyBytes = 0
        var valueBytes = 0
    }

    private mutating func columns(_ rows: SnapshotRows) -> Int {
        let count = rows.records
        var counts = Counts()
        numbers.need(count * 6)
        number(rows, &counts)
        var bytes = SnapshotBlock.prefixBytes
        bytes +=
            tables.list.reduce(0) { $0 + $1.count + 1 }
            + types.list.reduce(0) {
                $0 + $1.count - 6
            }
        bytes += owners.list.count * 16
        bytes += count * (1 + 2 + 4 + 8 + 6)
        bytes += (tables.list.count > 1 ? 2 : 0) * count + (owners.list.count > 1 ? 2 : 0) * count
        bytes += counts.types * 2 + counts.created * 8 + counts.expires * 8
        bytes += counts.replicated * 16 + counts.keyBytes + counts.valueBytes
        raw.need(bytes)
        let at = names(counts)
        fill(rows, from: at, counts, end: bytes)
        let valuesAt = bytes - counts.valueBytes
        guard counts.valueBytes <= WordCoding.bytesMax,
            let shorter = unsafe words.code(
                raw.base + valuesAt, counts.valueBytes, into: &coded)
        else { return bytes }
        let base = unsafe raw.base
        unsafe base.put(SnapshotBlock.Coding.words, at: 6)
        unsafe base.put(UnsafeRawBufferPointer(start: coded.base, count: shorter), at: valuesAt)
        return valuesAt + shorter
    }

    /// First look: which names there are, and how many of everything.
    private mutating func number(_ rows: SnapshotRows, _ counts: inout Counts) {
        tables.clear()
        types.clear()
        owners.clear()
        let numbers = unsafe numbers.base
        var place = 0
        var seen = counts
        rows.each { record in
            unsafe numbers.put(
                tables.number(record.table, tag: record.space.rawValue), at: place)
            if unsafe record.contentType.count > 0 {
                unsafe numbers.put(types.number(record.contentType, tag: 0), at: place + 2)
                seen.types += 1
            }
            var low = record.owner.low.littleEndian
            let owner = unsafe withUnsafeBytes(of: &low) {
                unsafe owners.number($0, tag: record.owner.high)
            }
            unsafe numbers.put(owner, at: place + 4)
            seen.created += record.created == record.stamp ? 0 : 1
            seen.expires += record.expiresAt == 0 ? 0 : 1
            seen.replicated += record.term == 0 && record.index == 0 ? 0 : 1
            unsafe seen.keyBytes += record.key.count
            unsafe seen.valueBytes += record.value.count
            place += 6
        }
        counts = seen
    }

    /// Writes the counts and the names, and answers where the columns begin.
    private mutating func names(_ counts: Counts) -> Int {
        let base = unsafe raw.base
        unsafe base.put(UInt16(tables.list.count), at: 0)
        unsafe base.put(UInt16(types.list.count), at: 2)
        unsafe base.put(UInt16(owners.list.count), at: 4)
        unsafe base.put(UInt16(0), at: 6)
        unsafe base.put(UInt32(counts.keyBytes), at: 8)
        unsafe base.put(UInt32(counts.types), at: 12)
        unsafe base.put(UInt32(counts.created), at: 16)
        unsafe base.put(UInt32(counts.expires), at: 20)
        unsafe base.put(UInt32(counts.replicated), at: 24)
        var at = SnapshotBlock.prefixBytes
        func put(_ bytes: ArraySlice<UInt8>) {
            unsafe bytes.withUnsafeBytes { unsafe base.put($0, at: at) }
            at += bytes.count
        }
        for table in tables.list {
            put(table[..<8])
            unsafe base.put(UInt8(table.count - 8), at: at)
            at += 1
        }
        for type in types.list {
            unsafe base.put(UInt16(type.count - 8), at: at)
            at += 2
        }
        for owner in owners.list { put(owner[...]) }
        for table in tables.list { put(table[8...]) }
        for type in types.list { put(type[8...]) }
        return at
    }

    /// Second look: the columns.
    private mutating func fill(
        _ rows: SnapshotRows, from start: Int, _ counts: Counts, end: Int
    ) {
        let base = unsafe raw.base
        let numbers = unsafe UnsafeRawPointer(numbers.base)
        let count = rows.records
        var columns = Columns(
            start, count, tables: tables.list.count, owners: owners.list.count)
        var place = 0
        var typeAt = 0
        var createdAt = 0
        var expiresAt = 0
        var replicatedAt = 0
        columns.some(
            types: counts.types, created: counts.created, expires: counts.expires,
            replicated: counts.replicated)
        var keyAt = columns.keys
        var valueAt = columns.keys + counts.keyBytes
        let layout = columns
        rows.each { record in
            var flags = record.valueKind.rawValue
            if record.kind != .updated { flags |= SnapshotBlock.Flag.tombstone }
            if layout.table > 0 {
                unsafe planes(
                    base + layout.table, count, place,
                    UInt64(numbers.get(place * 6, UInt16.self)), 2)
            }
            if layout.owner > 0 {
                unsafe planes(
                    base + layout.owner, count, place,
                    UInt64(numbers.get(place * 6 + 4, UInt16.self)), 2)
            }
            unsafe planes(base + layout.keyCount, count, place, UInt64(record.key.count), 2)
            unsafe planes(base + layout.valueCount, count, place, UInt64(record.value.count), 4)
            unsafe planes(base + layout.stamp, count, place, record.stamp.rawValue, 8)
            unsafe planes(base + layout.version, count, place, record.version, 6)
            if unsafe record.contentType.count > 0 {
                flags |= SnapshotBlock.Flag.contentType
                unsafe planes(
                    base + layout.type, counts.types, typeAt,
                    UInt64(numbers.get(place * 6 + 2, UInt16.self)), 2)
                typeAt += 1
            }
            if record.created != record.stamp {
                flags |= SnapshotBlock.Flag.created
                unsafe planes(
                    base + layout.created, counts.created, createdAt,
                    record.stamp.rawValue &- record.created.rawValue, 8)
                createdAt += 1
            }
            if record.expiresAt != 0 {
                flags |= SnapshotBlock.Flag.expires
                unsafe planes(
                    base + layout.expires, counts.expires, expiresAt,
                    UInt64(bitPattern: record.expiresAt), 8)
                expiresAt += 1
            }
            if record.term != 0 || record.index != 0 {
                flags |= SnapshotBlock.Flag.replicated
                unsafe planes(
                    base + layout.term, counts.replicated, replicatedAt, record.term, 8)
                unsafe planes(
                    base + layout.index, counts.replicated, replicatedAt, record.index, 8)
                replicatedAt += 1
            }
            unsafe base.put(flags, at: layout.flags + place)
            unsafe base.put(record.key, at: keyAt)
            unsafe keyAt += record.key.count
            unsafe base.put(record.value, at: valueAt)
            unsafe valueAt += record.value.count
            place += 1
        }
        invariant(
            place == count && valueAt == end, "a block's columns are not where they should be")
    }
}

/// Writes a number of `width` bytes into its place in each of the column's planes.
@inline(__always)
private func planes(
    _ column: UnsafeMutableRawPointer, _ count: Int, _ place: Int, _ value: UInt64, _ width: Int
) {
    var left = value
    var at = place
    for _ in 0..<width {
        unsafe column.storeBytes(
            of: UInt8(truncatingIfNeeded: left), toByteOffset: at, as: UInt8.self)
        left >>= 8
        at += count
    }
}

/// Where the columns of a block begin. 0 is a column that is left out.
struct Columns {
    let count: Int
    let flags: Int
    let table: Int
    let owner: Int
    let keyCount: Int
    let valueCount: Int
    let stamp: Int
    let version: Int
    private let end: Int
    private(set) var type = 0
    private(set) var created = 0
    private(set) var expires = 0
    private(set) var term = 0
    private(set) var index = 0
    private(set) var keys = 0

    init(_ start: Int, _ count: Int, tables: Int, owners: Int) {
        self.count = count
        var at = start
        func column(_ width: Int) -> Int {
            defer { at += width * count }
            return at
        }
        flags = column(1)
        table = tables > 1 ? column(2) : 0
        owner = owners > 1 ? column(2) : 0
        keyCount = column(2)
        valueCount = column(4)
        stamp = column(8)
        version = column(6)
        end = at
    }

    /// Adds the columns that only some records have.
    mutating func some(types: Int, created: Int, expires: Int, replicated: Int) {
        type = end
        self.created = type + types * 2
        self.expires = self.created + created * 8
        term = self.expires + expires * 8
        index = term + replicated * 8
        keys = index + replicated * 8
    }
}
