public import Keyspace

/// Names an owner for ever: the 16 bytes of a user's id. Zero is nobody.
public struct OwnerID: Hashable, Sendable, BitwiseCopyable {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    public static let anonymous = OwnerID(high: 0, low: 0)
    /// The node itself. A user's id is random and never this small.
    public static let system = OwnerID(high: 0, low: 1)
}

/// One change as it stands in a log or a snapshot: with names where the keyspace has numbers, so
/// that it means the same to another run and to another node.
///
/// The bytes are the caller's; of a record that is read they are good until the next is.
///
/// ```
///  0  u32  bytes of the record
///  4  u8   kind
///  5  u8   value kind
///  6  u16  which of the optional parts there are
///  8  u64  stamp
/// 16  u48  version
/// 22  u16  slot
/// 24  u16  key length
/// 26  u8   table name length; 0 is `default`
/// 27  u8   zero
///     16   owner
///     u64  space
///     u64  creation stamp, when it isn't the stamp
///     i64  expiry, milliseconds since 1970
///     u64  term, u64 index of a group's replicated log
///     u16  length of the content type
///     u64  the transaction it is part of
///     u64  the list's stamp before, u32 place, u32 bytes removed, i32 elements more
///     table name, content type, key, value
/// ```
@safe
public struct LogRecord {
    public enum Kind: UInt8, Sendable {
        /// The record is this now.
        case updated = 1
        /// The key has no record; its version goes on from here.
        case deleted = 2
        /// The record made room; nothing is remembered of it.
        case evicted = 3
        /// A remark that is no change. Takes no position.
        case note = 4
        /// A group's log is cut back to `index`: entries after it never were. Reserved.
        case cut = 5
        // 6 and 8 are heads and ends of transactions, which have forms of their own.
        /// A part of the list was replaced by the value's elements.
        case spliced = 7
    }

    public var kind = Kind.updated
    public var valueKind = ValueKind.json
    public var slot: UInt16 = 0
    public var stamp = Stamp(rawValue: 0)
    public var created = Stamp(rawValue: 0)
    public var version: UInt64 = 0
    /// 0 is never.
    public var expiresAt: Int64 = 0
    public var owner = OwnerID.anonymous
    public var space = Space.shared
    /// Of a replicated group; 0 is none.
    public var term: UInt64 = 0
    public var index: UInt64 = 0
    /// It counts only if this transaction came to its end; 0 is none.
    public var transaction: UInt64 = 0
    /// Of a splice: the stamp of the list that it was made on, and what it does. The value has the
    /// elements that came in.
    public var base = Stamp(rawValue: 0)
    public var splicePlace: UInt32 = 0
    public var spliceRemoved: UInt32 = 0
    public var spliceCountChange: Int32 = 0
    /// Not in the log: the snapshot's walk ended after it, so what it was made on may have gone
    /// before the walk came there.
    public var isOvertaken = false
    public var table: UnsafeRawBufferPointer
    /// Of bytes; at most `contentTypeBytesMax`.
    public var contentType: UnsafeRawBufferPointer
    public var key: UnsafeRawBufferPointer
    public var value: UnsafeRawBufferPointer

    public static let contentTypeBytesMax = 1 << 16 - 1

    public init() {
        let none = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        unsafe table = none
        unsafe contentType = none
        unsafe key = none
        unsafe value = none
    }

    /// What a keyspace said has happened, with its numbers put into names. An expiry is none of
    /// these: it follows from the record.
    @inlinable
    public init(
        _ change: Change, slot: UInt16, owner: OwnerID, space: Space,
        table: UnsafeRawBufferPointer,
        contentType: UnsafeRawBufferPointer = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    ) {
        let record = change.record
        let none = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        let isUpdate = change.kind == .updated
        kind = isUpdate ? .updated : change.kind == .evicted ? .evicted : .deleted
        valueKind = isUpdate ? record.kind : .json
        self.slot = slot
        stamp = change.stamp
        created = isUpdate ? record.created : change.stamp
        version = change.version
        expiresAt = isUpdate ? record.expiresAt : 0
        self.owner = owner
        self.space = space
        unsafe self.table = table
        unsafe self.contentType = isUpdate && record.kind == .bytes ? contentType : none
        unsafe key = record.key
        unsafe value = isUpdate ? record.value : none
    }

    /// What was done to the list rather than what became of it.
    @inlinable
    public mutating func narrow(to spliced: SplicedChange) {
        kind = .spliced
        base = spliced.base
        splicePlace = UInt32(truncatingIfNeeded: spliced.splice.place)
        spliceRemoved = UInt32(truncatingIfNeeded: spliced.splice.removed)
        spliceCountChange = Int32(truncatingIfNeeded: spliced.splice.countChange)
        unsafe value = spliced.splice.inserted
    }

    /// Of a splice.
    public var splice: ListSplice {
        unsafe ListSplice(
            place: Int(splicePlace), removed: Int(spliceRemoved), inserted: value,
            countChange: Int(spliceCountChange))
    }

    /// A record of a snapshot's walk, with its numbers put into names.
    @inlinable
    public init(
        walked record: Record, slot: UInt16, owner: OwnerID, space: Space,
        table: UnsafeRawBufferPointer,
        contentType: UnsafeRawBufferPointer = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    ) {
        let none = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        kind = record.isTombstone ? .deleted : .updated
        valueKind = record.kind
        self.slot = slot
        stamp = record.stamp
        created = record.created
        version = record.version
        expiresAt = record.expiresAt
        self.owner = owner
        self.space = space
        unsafe self.table = table
        unsafe self.contentType = record.kind == .bytes ? contentType : none
        unsafe key = record.key
        unsafe value = record.value
    }

    /// Whether nobody may see the record any more. Whoever loads it keeps its version: as the
    /// keyspace does it, it becomes a tombstone of the same stamp and the next version.
    @inlinable
    public func isExpired(at now: Int64) -> Bool {
        (kind == .updated || kind == .spliced) && expiresAt != 0 && expiresAt <= now
    }
}

// MARK: On a log

extension LogRecord {
    enum Part {
        static let owner: UInt16 = 1
        static let space: UInt16 = 2
        static let created: UInt16 = 4
        static let expires: UInt16 = 8
        static let replicated: UInt16 = 16
        static let contentType: UInt16 = 32
        static let transaction: UInt16 = 64
        static let splice: UInt16 = 128
        static let all: UInt16 = 255
    }

    private static let spliceBytes = 20

    static let fixedBytes = 28
    static let versionMax: UInt64 = 1 << 48 - 1
    /// What a record takes at most beyond its key, its value and its content type.
    public static let overheadBytesMax =
        fixedBytes + 16 + 8 + 8 + 8 + 16 + 2 + 8 + spliceBytes + Tables.nameBytesMax

    /// The kinds that are changes of the keyspace, each of which takes a position.
    @inline(__always) public var takesPosition: Bool {
        kind.rawValue <= Kind.evicted.rawValue || kind == .spliced
    }

    @inline(__always)
    private var hasDefaultTable: Bool {
        // "default" in one load, as the last seven bytes of eight would be.
        guard unsafe table.count == 7, let start = unsafe table.baseAddress else { return false }
        let opening = unsafe start.get(0, UInt32.self)
        let ending = unsafe start.get(3, UInt32.self)
        return opening == 0x6166_6564 && ending == 0x746C_7561
    }

    /// What the record will take on a log.
    @inline(__always)
    public var encodedBytes: Int {
        var bytes = LogRecord.fixedBytes
        if owner != .anonymous { bytes += 16 }
        if space != .shared { bytes += 8 }
        if created != stamp { bytes += 8 }
        if expiresAt != 0 { bytes += 8 }
        if term != 0 || index != 0 { bytes += 16 }
        let type = unsafe contentType.count
        if type > 0 { bytes += 2 + type }
        if transaction != 0 { bytes += 8 }
        if kind == .spliced { bytes += LogRecord.spliceBytes }
        if !hasDefaultTable { bytes += unsafe table.count }
        return unsafe bytes + key.count + value.count
    }

    /// Writes the record; `bytes` is its `encodedBytes`.
    @inline(__always)
    func encode(_ bytes: Int, at base: UnsafeMutableRawPointer) {
        var parts: UInt16 = 0
        var offset = LogRecord.fixedBytes
        if owner != .anonymous {
            parts |= Part.owner
            unsafe base.put(owner.high, at: offset)
            unsafe base.put(owner.low, at: offset + 8)
            offset += 16
        }
        if space != .shared {
            parts |= Part.space
            unsafe base.put(space.rawValue, at: offset)
            offset += 8
        }
        if created != stamp {
            parts |= Part.created
            unsafe base.put(created.rawValue, at: offset)
            offset += 8
        }
        if expiresAt != 0 {
            parts |= Part.expires
            unsafe base.put(expiresAt, at: offset)
            offset += 8
        }
        if term != 0 || index != 0 {
            parts |= Part.replicated
            unsafe base.put(term, at: offset)
            unsafe base.put(index, at: offset + 8)
            offset += 16
        }
        let typeCount = unsafe contentType.count
        if typeCount > 0 {
            parts |= Part.contentType
            unsafe base.put(UInt16(truncatingIfNeeded: typeCount), at: offset)
            offset += 2
        }
        if transaction != 0 {
            parts |= Part.transaction
            unsafe base.put(transaction, at: offset)
            offset += 8
        }
        if kind == .spliced {
            parts |= Part.splice
            unsafe base.put(self.base.rawValue, at: offset)
            unsafe base.put(splicePlace, at: offset + 8)
            unsafe base.put(spliceRemoved, at: offset + 12)
            unsafe base.put(spliceCountChange, at: offset + 16)
            offset += LogRecord.spliceBytes
        }
        var tableCount = 0
        if !hasDefaultTable {
            tableCount = unsafe table.count
            unsafe base.put(table, at: offset)
            offset += tableCount
        }
        if typeCount > 0 {
            unsafe base.put(contentType, at: offset)
            offset += typeCount
        }
        unsafe base.put(key, at: offset)
        unsafe base.put(value, at: offset + key.count)
        unsafe base.put(UInt32(truncatingIfNeeded: bytes), at: 0)
        unsafe base.put(kind.rawValue, at: 4)
        unsafe base.put(valueKind.rawValue, at: 5)
        unsafe base.put(parts, at: 6)
        unsafe base.put(stamp.rawValue, at: 8)
        unsafe base.put(
            version & LogRecord.versionMax | UInt64(slot) << 48, at: 16)
        unsafe base.put(
            UInt32(truncatingIfNeeded: key.count) | UInt32(truncatingIfNeeded: tableCount) << 16,
            at: 24)
    }

    /// Reads a record that fills `bytes` exactly; nil when they are not one.
    @inline(__always)
    static func decode(_ bytes: UnsafeRawBufferPointer) -> LogRecord? {
        guard let base = bytes.baseAddress, bytes.count >= fixedBytes,
            unsafe Int(base.get(0, UInt32.self)) == bytes.count,
            let kind = unsafe Kind(rawValue: base.get(4, UInt8.self)),
            let valueKind = unsafe ValueKind(rawValue: base.get(5, UInt8.self))
        else { return nil }
        let parts = unsafe base.get(6, UInt16.self)
        guard parts & ~Part.all == 0, unsafe base.get(27, UInt8.self) == 0 else { return nil }
        var record = LogRecord()
        record.kind = kind
        record.valueKind = valueKind
        record.stamp = unsafe Stamp(rawValue: base.get(8, UInt64.self))
        let versionAndSlot = unsafe base.get(16, UInt64.self)
        record.version = versionAndSlot & versionMax
        record.slot = UInt16(versionAndSlot >> 48)
        let keyCount = unsafe Int(base.get(24, UInt16.self))
        let tableCount = unsafe Int(base.get(26, UInt8.self))
        var offset = fixedBytes
        // All parts but the content type's text are of known size: one comparison for them all.
        let need =
            Int(parts & Part.owner) << 4 + Int(parts & Part.space) << 2
            + Int(parts & Part.created) << 1 + Int(parts & Part.expires)
            + Int(parts & Part.replicated) + Int(parts & Part.contentType) >> 4
        let later = Int(parts & Part.transaction) >> 3 + Int(parts >> 7) * spliceBytes
        guard offset + need + later + tableCount + keyCount <= bytes.count,
            record.slot < Slot.count, tableCount <= Tables.nameBytesMax, keyCount <= Key.bytesMax,
            (kind == .spliced) == (parts & Part.splice != 0)
        else { return nil }
        if parts & Part.owner != 0 {
            record.owner = unsafe OwnerID(
                high: base.get(offset, UInt64.self), low: base.get(offset + 8, UInt64.self))
            offset += 16
        }
        if parts & Part.space != 0 {
            record.space = unsafe Space(rawValue: base.get(offset, UInt64.self))
            offset += 8
        }
        record.created = record.stamp
        if parts & Part.created != 0 {
            record.created = unsafe Stamp(rawValue: base.get(offset, UInt64.self))
            offset += 8
        }
        if parts & Part.expires != 0 {
            record.expiresAt = unsafe base.get(offset, Int64.self)
            offset += 8
        }
        if parts & Part.replicated != 0 {
            record.term = unsafe base.get(offset, UInt64.self)
            record.index = unsafe base.get(offset + 8, UInt64.self)
            offset += 16
        }
        var typeCount = 0
        if parts & Part.contentType != 0 {
            typeCount = unsafe Int(base.get(offset, UInt16.self))
            offset += 2
        }
        if parts & Part.transaction != 0 {
            record.transaction = unsafe base.get(offset, UInt64.self)
            offset += 8
        }
        if parts & Part.splice != 0 {
            record.base = unsafe Stamp(rawValue: base.get(offset, UInt64.self))
            record.splicePlace = unsafe base.get(offset + 8, UInt32.self)
            record.spliceRemoved = unsafe base.get(offset + 12, UInt32.self)
            record.spliceCountChange = unsafe base.get(offset + 16, Int32.self)
            offset += spliceBytes
        }
        guard offset + tableCount + typeCount + keyCount <= bytes.count else { return nil }
        unsafe record.table = tableCount == 0 ? defaultTable : base.bytes(offset, tableCount)
        offset += tableCount
        unsafe record.contentType = base.bytes(offset, typeCount)
        offset += typeCount
        unsafe record.key = base.bytes(offset, keyCount)
        offset += keyCount
        unsafe record.value = base.bytes(offset, bytes.count - offset)
        return record
    }

    /// The name that is left out.
    @inline(__always)
    static var defaultTable: UnsafeRawBufferPointer {
        let name: StaticString = "default"
        return unsafe UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
    }
}
