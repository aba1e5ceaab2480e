import Identity
import Keyspace
import Machine
import Wire

/// What a connection remembers from the day it changed from HTTP to WebSocket: some hundred bytes,
/// and the message that is coming in several parts, if one is.
@safe struct WebSocketSession {
    enum Purpose: UInt8 {
        /// `/ws`: operations, in any number under way at once.
        case operations
        /// A subscribe URL: events only. What its client says is read past.
        case events
        /// Test only: says back what it is told.
        case echo
    }

    let purpose: Purpose
    /// Tells this session from others that had the same slot.
    let serial: UInt32
    var reader = WebSocketReader()
    var ending = WebSocketEnding()

    /// Who opened it, and until when that is believed.
    let caller: TableWork.Caller
    let principal: RecordOwner
    let tokenEndS: Int64
    /// Whom `--rate` counts where nobody in particular asks.
    let address: IPAddress

    /// When the next ping is due, or whatever else its time is up for.
    var beatMs: UInt64
    /// Since when a frame or message has been incomplete; 0 when none is.
    var openSinceMs: UInt64 = 0
    /// What has come since then.
    var openBytes = 0

    /// Operations that wait for an answer from elsewhere.
    var pendingCount: UInt32 = 0
    /// The parts of a message that are here.
    var message: UnsafeMutablePointer<UInt8>? = nil
    var messageCount = 0
    var messageCapacity = 0
    /// A page of keys that is being gathered; the next operation waits for it.
    var listing: UnsafeMutablePointer<Listing>? = nil

    init(
        _ purpose: Purpose, serial: UInt32, caller: TableWork.Caller, principal: RecordOwner,
        tokenEndS: Int64, address: IPAddress, beatMs: UInt64
    ) {
        self.purpose = purpose
        self.serial = serial
        self.caller = caller
        self.principal = principal
        self.tokenEndS = tokenEndS
        self.address = address
        self.beatMs = beatMs
    }

    /// Who asks, as of now: nobody, once the token has ended.
    func caller(atS nowS: Int64) -> (caller: TableWork.Caller, principal: RecordOwner) {
        nowS < tokenEndS ? (caller, principal) : (.nobody, .anonymous)
    }

    /// Operations of one connection under way on other shards; the next one waits.
    static let pendingMax: UInt32 = 256
    /// The first piece of memory for a message in parts; it doubles from there.
    static let messageBytesFirst = 4096
    /// A client has this long to answer our Close.
    static let closeMs: UInt64 = 2_000
}

/// An operation that waits for an answer from elsewhere: whose it is, and what its answer is
/// called.
@safe struct SocketQuestion {
    let connection: UInt32
    let session: UInt32
    private let idCount: UInt8
    private var idBytes = InlineArray<64, UInt8>(repeating: 0)

    init(connection: UInt32, session: UInt32, id: UnsafeRawBufferPointer) {
        invariant(id.count <= SocketRequest.idBytesMax, "an id that was not held to its bound")
        self.connection = connection
        self.session = session
        idCount = UInt8(id.count)
        for place in 0..<id.count { idBytes[place] = unsafe id[place] }
    }

    func withID<Answer>(_ body: (UnsafeRawBufferPointer) -> Answer) -> Answer {
        unsafe idBytes.span.withUnsafeBytes { bytes in
            unsafe body(UnsafeRawBufferPointer(rebasing: bytes[..<Int(idCount)]))
        }
    }
}
