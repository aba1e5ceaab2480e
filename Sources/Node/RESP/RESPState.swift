import Keyspace
import Machine
import Wire

/// What a shard needs to serve RESP, made once and used again for every command.
@safe struct RESPState: ~Copyable {
    let lookup = CommandLookup.make()
    var out = RESPWriter()
    var arguments = RESPArguments()
    /// Room to put a value together in, outside the arena.
    var value = ByteRoom()
    /// Room for the text of a value that is kept in another form.
    var text = ByteRoom()
    /// The last position that the replies in `out` tell of.
    var told: CommitPosition = 0
    /// Connections of this shard that have a session, for CLIENT LIST.
    var sessions: [UInt32] = []
    var nextID: UInt64
    var channels = Channels()
    /// A message for a subscriber, while it is written.
    var pushed = RESPWriter(capacity: 1024)
    /// A command of RESP is being carried out, which tells itself what happened to keys.
    var namesEvents = false
    var holds = Holds()
    /// What is carried out just now has waited for its keys and need not ask again.
    var passesHolds = false
    var nextTransaction: UInt64 = 1
    /// A release is letting others go on: one that comes of that is carried out by it.
    var isReleasing = false
    /// Transactions that have written here and are not released: their first records, in order.
    var undecided: [(id: UInt64, position: CommitPosition)] = []
    /// Transactions that write and have begun here.
    var underWay = 0
    /// Those that wait for a snapshot to end: it must not end while one is under way.
    var heldBack: [UnsafeMutablePointer<RESPTransaction>] = unsafe []
    var holdsBack = false
    /// Those that are done, in the order of their ends in the log: told once that is safe.
    var decided: [UnsafeMutablePointer<RESPTransaction>] = unsafe []
    /// Transactions that found no place for a reply.
    var stalled: [UnsafeMutablePointer<RESPTransaction>] = unsafe []
    /// Who waits for the reply to SAVE.
    var saves: [SaveWaiter] = []
    /// Commands of a MULTI are being carried out.
    var isInTransaction = false
    /// A message for another shard may not be put off: its bytes will not be here again.
    var mustSend = false
    /// The reply to what is sent now is not wanted.
    var mutes = false

    init(shard: Int) { nextID = UInt64(shard) + 1 }
}

/// Memory that grows to the longest thing it had to hold, and is let go beyond a bound.
@safe struct ByteRoom: ~Copyable {
    private static let keptBytesMax = 1 << 20
    private(set) var base: UnsafeMutableRawPointer
    private var capacity = 4096

    init() { unsafe base = .allocate(byteCount: capacity, alignment: 16) }

    deinit { unsafe base.deallocate() }

    /// Room for so many bytes; what was in it before is gone.
    @unsafe
    mutating func take(_ bytes: Int) -> UnsafeMutableRawBufferPointer {
        if bytes > capacity || capacity > Self.keptBytesMax && bytes <= Self.keptBytesMax {
            unsafe base.deallocate()
            capacity = max(bytes, 4096)
            unsafe base = .allocate(byteCount: capacity, alignment: 16)
        }
        return unsafe UnsafeMutableRawBufferPointer(start: base, count: bytes)
    }
}
