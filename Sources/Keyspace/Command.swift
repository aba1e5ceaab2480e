/// Who acts: the interned number of a name, or one of two that have none. 24 bits.
public struct Principal: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt32

    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Nobody in particular. What nobody owns anybody may overwrite.
    public static let anonymous = Principal(rawValue: 0)
    /// The node itself, and its admin: may overwrite whatever is there. Owners stay.
    public static let system = Principal(rawValue: 1)
    /// Names are numbered from here.
    public static let firstNamed: UInt32 = 2
    public static let principalsMax = 1 << 24 - 2
}

/// Names a record: its table, its key and their hash.
///
/// The bytes are the caller's and have to stay valid for the call they are handed to. The hash
/// comes from `KeyHash`, so that a pipeline can ask for its records early and nobody hashes
/// twice.
@safe
public struct Key {
    public var table: TableNumber
    public var hash: UInt64
    public var bytes: UnsafeRawBufferPointer

    /// CONTRACT: 1-1024 bytes.
    public static let bytesMax = 1024

    @inlinable @inline(__always)
    public init(_ table: TableNumber, _ bytes: UnsafeRawBufferPointer, _ hashing: KeyHash) {
        self.table = table
        self.hash = unsafe hashing.hash(table, bytes)
        unsafe self.bytes = unsafe bytes
    }

    /// A key whose hash was already computed (on the shard where the request arrived).
    @inlinable @inline(__always)
    public init(_ table: TableNumber, _ bytes: UnsafeRawBufferPointer, hash: UInt64) {
        self.table = table
        self.hash = hash
        unsafe self.bytes = unsafe bytes
    }
}

/// A value to be stored. Its bytes are the caller's and must not lie in the arena.
@safe
public struct Value {
    public var kind: ValueKind
    /// The interned content type of bytes.
    public var contentType: UInt16
    public var bytes: UnsafeRawBufferPointer

    @inlinable
    public init(_ kind: ValueKind, _ bytes: UnsafeRawBufferPointer, contentType: UInt16 = 0) {
        self.kind = kind
        self.contentType = contentType
        unsafe self.bytes = unsafe bytes
    }

    @inlinable public static var none: Value {
        unsafe Value(.json, UnsafeRawBufferPointer(start: nil, count: 0))
    }
}

/// What becomes of a record's expiry with a write.
public enum Expiry: Equatable, Sendable, BitwiseCopyable {
    /// It lives on for ever (and loses the expiry it had).
    case never
    /// It keeps what it had.
    case keep
    /// It stops being visible at this time, in milliseconds since 1970. A time that is past
    /// is carried out as any other: the record is written, and gone at once.
    case at(Int64)
}

/// What has to hold for a write to be carried out.
public enum Condition: Equatable, Sendable, BitwiseCopyable {
    case none
    /// There is no record (`If-None-Match: *`, NX).
    case absent
    /// There is one (`If-Match: *`, XX).
    case present
    /// There is one of this version (`If-Match: "3"`).
    case version(UInt64)
    /// There is one of this version and stamp (`If-Match` with our ETag).
    case exactly(UInt64, Stamp)
}

/// What a protocol asks of the shard that owns a key: plain data, made from bytes.
///
/// PATCH, INCR, APPEND and their like are a `get` and a `put` in the same turn of the shard:
/// nothing runs between the two calls.
@safe
public struct Command {
    public enum Kind: UInt8, Sendable {
        /// Reads a record.
        case get
        /// Writes a value, making the record or overwriting it.
        case put
        /// Deletes a record.
        case delete
        /// Gives a record another expiry and leaves its value alone.
        case expire
        /// Counts a look at a record without reading it (TOUCH).
        case touch
        /// Changes a part of a list; see `ListSplice`.
        case splice
        /// Counts a table's records; the reply's `number`. The key's bytes don't matter.
        case count
    }

    public var kind: Kind
    public var key: Key
    public var principal: Principal
    public var value: Value
    public var expiry: Expiry
    public var condition: Condition
    public var splice = ListSplice.none

    @inlinable
    public init(
        _ kind: Kind, _ key: Key, by principal: Principal = .anonymous, value: Value = .none,
        expiry: Expiry = .never, condition: Condition = .none
    ) {
        self.kind = kind
        self.key = key
        self.principal = principal
        self.value = value
        self.expiry = expiry
        self.condition = condition
    }
}

/// The number of a logged change in its shard's sequence. A reply to a write, and the change
/// itself, leave only when the journal says that their position is safe. 0 is before all.
public typealias CommitPosition = UInt64

/// What a shard answers: plain data.
@safe
public struct Reply {
    public enum Status: UInt8, Sendable {
        /// `record` is it; for `count`, `number` is.
        case found
        /// There is no such record.
        case missing
        /// The record is new (201).
        case created
        /// The record has a new version (200).
        case updated
        /// The record is gone; `record` is its tombstone when it left one.
        case deleted
        /// Another principal owns the record.
        case notOwner
        /// The condition didn't hold; `record` is what stands there, if anything.
        case conditionFailed
        /// The memory limit is reached and nothing may or could be evicted (507, `-OOM`).
        case outOfMemory
        /// The key or the value is longer than can be stored.
        case tooLarge
        /// The log can't take it, so it was not carried out. Said by the shard, not the keyspace.
        case unwritable
    }

    /// The answer to a write that the log has no place for.
    public static var unwritable: Reply { Reply(.unwritable) }

    public var status: Status
    /// Good until the next call that changes the keyspace.
    public var record: Record?
    /// Of a write: where it stands in the log.
    public var position: CommitPosition
    public var number: Int

    @inlinable
    init(
        _ status: Status, _ record: Record? = nil, position: CommitPosition = 0, number: Int = 0
    ) {
        self.status = status
        self.record = record
        self.position = position
        self.number = number
    }
}

/// Something that happened to a record: what is logged, replicated and told to subscribers.
///
/// Changes are results, not commands: whoever applies one by its stamp, once or twice, comes to
/// the same record.
@safe
public struct Change {
    public enum Kind: UInt8, Sendable, BitwiseCopyable {
        case updated, deleted, expired, evicted
    }

    public var kind: Kind
    public var table: TableNumber
    public var version: UInt64
    public var stamp: Stamp
    /// 0 for an expiry: it follows from the record's absolute time and is not logged.
    public var position: CommitPosition
    /// The key, and of an update the whole record. Good until the next call that changes the
    /// keyspace.
    public var record: Record
}
