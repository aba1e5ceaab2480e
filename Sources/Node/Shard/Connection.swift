internal import Wire

/// One client of a shard: a slot of plain data in a slab, named by its index.
///
/// An idle connection is this slot and nothing else: input, output and body memory are borrowed
/// while something is in flight and given back after.
@safe struct Connection {
    enum State: UInt8 {
        case free
        case open
        /// All is said and the sending direction ended; what the peer still sends is thrown away,
        /// so that the kernel does not answer it with a reset that destroys our last reply.
        case lingering
        /// The driver was asked to close.
        case closing
    }

    /// Where in a request the connection is.
    enum Phase: UInt8 {
        case head
        case body
        /// The answer is produced as the peer takes it; the next request waits.
        case streaming
    }

    /// What is spoken, and what a protocol other than HTTP remembers.
    @safe enum Session {
        /// Nothing has come yet.
        case unknown
        case http
        case resp(UnsafeMutablePointer<RESPSession>)
        case webSocket(UnsafeMutablePointer<WebSocketSession>)
    }

    /// What the deadline means when it comes.
    enum Deadline: UInt8 {
        case idle, head, body, send, linger
        /// A stream's or a WebSocket's: its next sign of life, or the end of its token.
        case beat
    }

    struct Flags: OptionSet {
        let rawValue: UInt16
        /// No more requests: close once everything is sent.
        static let closeAfterReply = Flags(rawValue: 1 << 0)
        /// The peer has ended its direction.
        static let peerEnded = Flags(rawValue: 1 << 1)
        static let sendInFlight = Flags(rawValue: 1 << 2)
        /// Stands in the shard's list of connections with unread input and a share of the turn.
        static let runnable = Flags(rawValue: 1 << 3)
        /// Stands in the shard's list of connections with output to send.
        static let dirty = Flags(rawValue: 1 << 4)
        static let receivePaused = Flags(rawValue: 1 << 5)
        /// Over `--max-connections`: its first request is answered 503.
        static let refused = Flags(rawValue: 1 << 6)
        /// Its request for a stream waits until the node has loaded.
        static let awaitsLoading = Flags(rawValue: 1 << 7)
        /// The streamed answer has no chunks: to HTTP/1.0 it ends with the connection.
        static let unframed = Flags(rawValue: 1 << 8)
        /// Accepted by the listener on which only RESP is spoken.
        static let respListener = Flags(rawValue: 1 << 10)
        /// Earlier requests wait for answers from other threads, so replies are laid aside.
        static let diverted = Flags(rawValue: 1 << 9)
        /// Stands in the shard's list of connections whose replies wait for those in between.
        static let corked = Flags(rawValue: 1 << 11)
        /// A request about many keys is under way: what follows it may concern the same keys.
        static let gathering = Flags(rawValue: 1 << 15)
    }

    static let noBlock = UInt32.max

    var state = State.free
    var phase = Phase.head
    var session = Session.unknown
    var deadlineMeaning = Deadline.idle
    var flags: Flags = []
    var deadlineMs: UInt64 = 0
    /// When the timer wheel will ask; never later than the deadline.
    var timerMs: UInt64 = 0

    /// Bytes received and not yet understood.
    var input = Input()
    /// A request whose body is still arriving.
    var arriving: UnsafeMutablePointer<ArrivingRequest>? = nil
    /// What a connection that speaks RESP has besides.
    var resp: UnsafeMutablePointer<RESPSession>? {
        guard case .resp(let session) = session else { return nil }
        return unsafe session
    }

    /// A chain of blocks: sending goes on at the first, replies are added at the last.
    var firstBlock = Connection.noBlock
    var lastBlock = Connection.noBlock
    var blockCount: UInt32 = 0
    /// How many bytes the send in flight covers.
    var sendCount: UInt32 = 0

    /// Places of answers that are not sent yet because they, or earlier ones, are not here.
    var firstAwaited = AwaitedPool.none
    var lastAwaited = AwaitedPool.none
    var awaitedCount: UInt32 = 0
    var asideBytes: UInt32 = 0

    /// The produced answer's kind and how much of it is left.
    var stream = AnswerStream.none

    /// What is left of this turn's share.
    var turnRequests: Int32 = 1
    var turnBytes: Int32 = 1
    var turn: UInt32 = 0
    /// The last turn in which a write was told of.
    var toldTurn: UInt32 = 0
    /// Bytes thrown away while lingering.
    var lingered: UInt32 = 0

    /// It has used up a share, and most likely will again.
    @inline(__always) var isGreedy: Bool { turnRequests <= 0 || turnBytes <= 0 }
}

/// An answer that is produced piece by piece while the peer takes it.
@safe enum AnswerStream {
    case none
    /// Test only: this many bytes of filler, in chunks.
    case filler(UInt64)
    case listing(UnsafeMutablePointer<Listing>)
    /// Live updates: the number of the stream.
    case events(UInt32)
}

/// The unread bytes of a connection: nothing, one pool block, or memory of its own where a
/// peer has sent more than a block before we could look at it.
@safe struct Input {
    var base: UnsafeMutablePointer<UInt8>? = nil
    var start: UInt32 = 0
    var end: UInt32 = 0
    var capacity: UInt32 = 0
    /// The pool block that `base` is, or `Connection.noBlock` where it is memory of its own.
    var block = Connection.noBlock

    var count: Int { Int(end &- start) }
}

/// A request whose head is understood and whose body is on its way, on the heap because only
/// bodies that come in several pieces need it.
@safe struct ArrivingRequest {
    /// A copy of the head's bytes, which the ranges of `head` count into.
    var headBytes: UnsafeMutablePointer<UInt8>
    var head: HTTPRequestHead
    var chunks: HTTPChunkedDecoder?
    var body: UnsafeMutablePointer<UInt8>?
    var bodyCount: Int
    var bodyCapacity: Int
    /// What has arrived, kept or not: the measure of a slow-loris.
    var receivedCount: Int
    /// The request will be refused in any case: its body is read and not kept.
    var discards: Bool
    /// With a Content-Length: how many bytes are still to come.
    var remaining: UInt64
    /// The same when the body was last looked at for being too slow.
    var receivedBefore: Int
}
