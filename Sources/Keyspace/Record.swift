import Glibc

/// What a value is. The raw values stand in two bits of the record.
public enum ValueKind: UInt8, Sendable {
    /// JSON text as it was sent.
    case json = 0
    /// Bytes with an interned content type.
    case bytes = 1
    /// A list, in the form that `ListForm` reads.
    case list = 2
}

/// Names one record of a shard: its place in the arena in units of eight bytes. Zero is nobody.
typealias Ref = UInt32

/// A look at one record where it lies in its shard's arena: one pointer, read in place.
///
/// It is good until the next call that changes the keyspace (a write, `maintain`, a removal):
/// that call may move records. Whoever needs the bytes longer copies them; replies do, so the
/// arena never has to pin anything.
///
/// ```
///  0  value length     u32
///  4  key length       11 bits, flags 5 bits
///  6  value kind       2 bits, upper 6 bits of the version
///  7  recency          u8, see `Keyspace.evict`
///  8  stamp            u64
/// 16  version          lower 32 bits
/// 20  owner            u24
/// 23  table            u24
/// 26  content type     u16, only of bytes
///     expiry           i64 ms, u32 next, u32 previous in the wheel: only with an expiry
///     creation stamp   u64, only when it differs from the stamp
///     key, value
/// ```
///
/// 26 bytes is what every record pays; what few records have is present only there. Nothing
/// is aligned, so all access is by unaligned loads, which cost the same on the machines we
/// serve.
@safe
public struct Record: Equatable {
    @usableFromInline let base: UnsafeMutableRawPointer

    @inlinable @inline(__always)
    init(at base: UnsafeMutableRawPointer) {
        unsafe self.base = unsafe base
    }

    /// The value's bytes, as they were written.
    @inlinable public var value: UnsafeRawBufferPointer {
        @inline(__always) get {
            unsafe UnsafeRawBufferPointer(
                start: base + (keyOffset &+ keyCount), count: valueCount)
        }
    }

    /// The key's bytes.
    @inlinable public var key: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: base + keyOffset, count: keyCount)
    }

    @inlinable public var valueCount: Int { Int(read(0, UInt32.self)) }
    @inlinable public var keyCount: Int { Int(read(4, UInt16.self) & 0x7FF) }

    /// The order of this write among all writes anywhere.
    @inlinable public var stamp: Stamp { Stamp(rawValue: read(8, UInt64.self)) }

    /// When it was written, in milliseconds since 1970, by the clock that never goes back.
    @inlinable public var timestamp: Int64 { stamp.milliseconds }

    /// 1, 2, 3… for each key. Stays at its maximum (2^38 - 1) should it ever get there.
    @inlinable public var version: UInt64 {
        UInt64(read(16, UInt32.self)) | UInt64(read(6, UInt8.self) >> 2) << 32
    }

    /// The interned number of the owner's name.
    @inlinable public var owner: Principal {
        Principal(rawValue: read(20, UInt32.self) & 0xFF_FFFF)
    }

    @inlinable public var table: TableNumber { read(22, UInt32.self) >> 8 }

    @inlinable public var kind: ValueKind {
        ValueKind(rawValue: read(6, UInt8.self) & 3) ?? .json
    }

    /// The interned content type of bytes; 0 for the other kinds.
    @inlinable public var contentType: UInt16 {
        kind == .bytes ? read(Record.fixedBytes, UInt16.self) : 0
    }

    /// When the record stops being visible, in milliseconds since 1970; 0 is never.
    @inlinable public var expiresAt: Int64 {
        has(Flag.expires) ? read(expiryOffset, Int64.self) : 0
    }

    /// The stamp of the write that made the key what it is; the owner's claim dates from it.
    @inlinable public var created: Stamp {
        guard has(Flag.created) else { return stamp }
        return Stamp(rawValue: read(expiryOffset + (has(Flag.expires) ? 16 : 0), UInt64.self))
    }

    /// Whether this marks a key that was deleted: no value, but the version goes on from here.
    @inlinable public var isTombstone: Bool { has(Flag.tombstone) }

    // MARK: Layout

    @usableFromInline enum Flag {
        @usableFromInline static let dead: UInt16 = 1 << 11
        @usableFromInline static let tombstone: UInt16 = 1 << 12
        @usableFromInline static let expires: UInt16 = 1 << 13
        @usableFromInline static let created: UInt16 = 1 << 14
    }

    @usableFromInline static let fixedBytes = 26
    /// The fourth kind: no record, only room left over where one shrank.
    static let fillerKind: UInt8 = 3
    /// 38 bits hold the version.
    public static let versionMax: UInt64 = 1 << 38 - 1

    @inlinable @inline(__always)
    func read<T: BitwiseCopyable>(_ offset: Int, _ type: T.Type) -> T {
        unsafe base.loadUnaligned(fromByteOffset: offset, as: type)
    }

    @inlinable @inline(__always)
    func has(_ flag: UInt16) -> Bool { read(4, UInt16.self) & flag != 0 }

    @inlinable @inline(__always)
    var expiryOffset: Int {
        Record.fixedBytes + (read(6, UInt8.self) & 3 == ValueKind.bytes.rawValue ? 2 : 0)
    }

    @inlinable @inline(__always)
    var keyOffset: Int {
        let flags = read(4, UInt16.self)
        let expiry = Int(flags >> 13 & 1) << 4
        let created = Int(flags >> 14 & 1) << 3
        return expiryOffset + expiry + created
    }

    @inlinable
    public static func == (one: Record, other: Record) -> Bool {
        unsafe one.base == other.base
    }
}

extension Record {
    /// Everything about a record but its key and value.
    struct Head {
        var kind = ValueKind.json
        var contentType: UInt16 = 0
        var stamp = Stamp(rawValue: 0)
        var created = Stamp(rawValue: 0)
        var version: UInt64 = 0
        var owner = Principal.anonymous
        var table: TableNumber = 0
        var expiresAt: Int64 = 0
        var isTombstone = false

        /// What the block takes in the arena for a key and a value of these lengths.
        @inline(__always)
        func blockBytes(_ keyCount: Int, _ valueCount: Int) -> Int {
            Record.rounded(
                Record.fixedBytes + (kind == .bytes ? 2 : 0) + (expiresAt != 0 ? 16 : 0)
                    + (created != stamp ? 8 : 0) + keyCount + valueCount)
        }
    }

    @inline(__always)
    static func rounded(_ bytes: Int) -> Int { (bytes + 7) & ~7 }

    var head: Head {
        Head(
            kind: kind, contentType: contentType, stamp: stamp, created: created,
            version: version, owner: owner, table: table, expiresAt: expiresAt,
            isTombstone: isTombstone)
    }

    /// The bytes from this block to the next of its segment, whatever it is.
    @inline(__always)
    var blockBytes: Int {
        if read(6, UInt8.self) & 3 == Record.fillerKind { return valueCount }
        return Record.rounded(keyOffset + keyCount + valueCount)
    }

    @inline(__always) var isDead: Bool { has(Flag.dead) }

    @inline(__always)
    func write<T: BitwiseCopyable>(_ offset: Int, _ value: T) {
        unsafe base.storeBytes(of: value, toByteOffset: offset, as: T.self)
    }

    /// Writes a whole record here. The key and the value may lie in this very block: a record
    /// that shrinks, or only changes its expiry, is rewritten over itself.
    func write(
        _ head: Head, recency: UInt8, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
    ) {
        var flags = UInt16(truncatingIfNeeded: key.count)
        if head.isTombstone { flags |= Flag.tombstone }
        if head.expiresAt != 0 { flags |= Flag.expires }
        if head.created != head.stamp { flags |= Flag.created }
        let expiryAt = Record.fixedBytes + (head.kind == .bytes ? 2 : 0)
        let createdAt = expiryAt + (head.expiresAt != 0 ? 16 : 0)
        let keyAt = createdAt + (head.created != head.stamp ? 8 : 0)
        let valueAt = keyAt + key.count

        // Whichever moves up goes first, so that neither writes over the other.
        if let start = key.baseAddress, let from = value.baseAddress {
            if unsafe UnsafeRawPointer(base) + keyAt > start {
                unsafe memmove(base + valueAt, from, value.count)
                unsafe memmove(base + keyAt, start, key.count)
            } else {
                unsafe memmove(base + keyAt, start, key.count)
                unsafe memmove(base + valueAt, from, value.count)
            }
        } else if let start = key.baseAddress {
            unsafe memmove(base + keyAt, start, key.count)
        }
        write(0, UInt32(truncatingIfNeeded: value.count))
        write(4, flags)
        write(6, head.kind.rawValue | UInt8(truncatingIfNeeded: head.version >> 32) << 2)
        write(7, recency)
        write(8, head.stamp.rawValue)
        write(16, UInt32(truncatingIfNeeded: head.version))
        write(20, head.owner.rawValue & 0xFF_FFFF | head.table << 24)
        write(24, UInt16(truncatingIfNeeded: head.table >> 8))
        if head.kind == .bytes { write(Record.fixedBytes, head.contentType) }
        if head.expiresAt != 0 {
            write(expiryAt, head.expiresAt)
            write(expiryAt + 8, UInt64(0))
        }
        if head.created != head.stamp { write(createdAt, head.created.rawValue) }
    }

    /// Makes room for a value in a record that was written without one.
    func leaveRoom(_ valueBytes: Int) -> UnsafeMutableRawPointer {
        write(0, UInt32(truncatingIfNeeded: valueBytes))
        return unsafe UnsafeMutableRawPointer(
            mutating: value.baseAddress.unsafelyUnwrapped)
    }

    /// Gives a record that was changed in place another stamp and version. It has a creation stamp
    /// of its own already, or the new stamp would become it.
    func renew(_ stamp: Stamp, _ version: UInt64, _ recency: UInt8) {
        write(6, kind.rawValue | UInt8(truncatingIfNeeded: version >> 32) << 2)
        write(7, recency)
        write(8, stamp.rawValue)
        write(16, UInt32(truncatingIfNeeded: version))
    }

    /// Makes this block room that nobody uses.
    func writeFiller(_ bytes: Int) {
        write(0, UInt32(truncatingIfNeeded: bytes))
        write(4, Flag.dead)
        write(6, Record.fillerKind)
        write(7, UInt8(0))
    }

    func markDead() { write(4, read(4, UInt16.self) | Flag.dead) }

    @inline(__always) var recency: UInt8 { read(7, UInt8.self) }

    @inline(__always)
    func touch(_ recency: UInt8) {
        if self.recency != recency { write(7, recency) }
    }

    // The wheel's links stand behind the expiry.
    var wheelNext: Ref {
        get { read(expiryOffset + 8, Ref.self) }
        nonmutating set { write(expiryOffset + 8, newValue) }
    }
    var wheelPrevious: Ref {
        get { read(expiryOffset + 12, Ref.self) }
        nonmutating set { write(expiryOffset + 12, newValue) }
    }

    /// Orders keys by their bytes; negative when this record's key comes before `other`.
    @inline(__always)
    func compareKey(with other: UnsafeRawBufferPointer) -> Int {
        let mine = unsafe key
        let shared = min(mine.count, other.count)
        if shared > 0, let left = mine.baseAddress, let right = other.baseAddress {
            let order = unsafe memcmp(left, right, shared)
            if order != 0 { return Int(order) }
        }
        return mine.count - other.count
    }

    @inline(__always)
    func isNamed(_ table: TableNumber, _ other: UnsafeRawBufferPointer) -> Bool {
        guard self.table == table, keyCount == other.count, let start = other.baseAddress
        else { return false }
        return unsafe memcmp(base + keyOffset, start, other.count) == 0
    }
}

/// Turns a `Ref` into the record it names.
@safe
struct RecordSpace {
    let base: UnsafeMutableRawPointer

    init(_ base: UnsafeMutableRawPointer) {
        unsafe self.base = unsafe base
    }

    @inline(__always)
    subscript(_ ref: Ref) -> Record {
        unsafe Record(at: base + Int(ref) << 3)
    }
}
