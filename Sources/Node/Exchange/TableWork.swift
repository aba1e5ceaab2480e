import Keyspace
import Machine

/// What is asked of the shard that owns a key: a command and the conditions around it that only
/// that shard can judge, because only there nothing changes between judging and doing.
///
/// All bytes are the asker's and valid for the call. On the way to another shard they are copied
/// into the message, or, where they are many, into memory of their own that the message carries.
@safe struct TableWork {
    enum Kind: UInt8 {
        case get, put, patch, delete
        /// Would a put be allowed: the first half of a put of many.
        case check
        /// How many listen to the key.
        case listeners
    }

    /// How far the asker is known.
    enum Caller: UInt8 { case nobody, user, admin }

    var kind: Kind
    var caller = Caller.nobody
    var readRule = ReadRule.open
    var table: TableNumber
    var hash: UInt64
    var principal = RecordOwner.anonymous
    /// 0: the record does not expire.
    var ttlMs: Int64 = 0
    var key: UnsafeRawBufferPointer
    var value = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    /// The fields as they were sent; nil where they were not.
    var ifMatch: UnsafeRawBufferPointer? = nil
    var ifNoneMatch: UnsafeRawBufferPointer? = nil
}

/// What an answer's head says besides the status, where it says anything.
struct AnswerExtras {
    static let none = AnswerExtras()

    /// 0: the asker is not told when to come again.
    var retryAfterS: UInt32 = 0
    /// The body holds a secret, which no cache may keep.
    var noStore = false
}

/// The messages between shards. Each begins with its kind; the rest is plain data, written in
/// place in the mailbox.
enum Message {
    enum Kind: UInt32 {
        case connection = 1
        case work
        case answer
        case list
        case page
        case login
        case forgetLogin
        case listen
        case ask
        case told
        case event
        case lost
        case command
        case commandReply
        case hold
        case release
        case read
        case readAnswer
    }

    /// A value or body longer than this travels as a pointer, so that one message never fills a
    /// mailbox.
    static let inlineBytesMax = 16 * 1024

    /// A request that travels takes no more, unless heads may be longer than by default: what of its
    /// head goes along, and a value that stands behind.
    static let requestBytesMax = inlineBytesMax + 16 * 1024

    struct Connection {
        var kind = Kind.connection
        var fd: Int32
        var listener: UInt32
    }

    @safe struct Work {
        var kind = Kind.work
        var work: TableWork.Kind
        var caller: TableWork.Caller
        var readRule: ReadRule
        var table: TableNumber
        var principal: UInt32
        var hash: UInt64
        var ticket: UInt64
        var ttlMs: Int64
        var keyCount: UInt32
        /// -1: the request has no such field.
        var ifMatchCount: Int32
        var ifNoneMatchCount: Int32
        var valueCount: UInt32
        /// Memory of its own for the value, which the receiver frees; nil: it stands behind.
        var valueMemory: UnsafeMutableRawPointer?
    }

    /// A GET of a key that everybody may see, with fields that ask for nothing; behind it the key.
    struct Read {
        var kind = Kind.read
        var table: TableNumber
        var hash: UInt64
        var ticket: UInt64
    }

    /// The whole reply to such a GET, from its status line on.
    struct ReadAnswer {
        var kind = Kind.readAnswer
        var count: UInt32
        var ticket: UInt64
    }

    @safe struct Answer {
        var kind = Kind.answer
        var status: UInt16
        var hasTag: Bool
        var extras: AnswerExtras
        var ticket: UInt64
        var version: UInt64
        var stamp: UInt64
        var bodyCount: UInt32
        var bodyMemory: UnsafeMutableRawPointer?
    }

    /// Asks for a page of a table's records, in order of keys, behind it the prefix and the key
    /// after which it begins.
    struct List {
        var kind = Kind.list
        var connection: UInt32
        /// Tells this listing from an earlier one of the same slot.
        var serial: UInt32
        var table: TableNumber
        var withRecords: Bool
        /// Only records of this principal, or all with `system`.
        var principal: UInt32
        var prefixCount: UInt32
        var afterCount: UInt32
    }

    @safe struct Page {
        var kind = Kind.page
        var connection: UInt32
        var serial: UInt32
        var page: ListingPage
    }
}
