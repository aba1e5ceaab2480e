import Keyspace
import Machine
import Wire

/// Who sent a command and what it is to be carried out on: plain data that goes with the command to
/// whichever shard has its keys.
struct RESPContext: BitwiseCopyable {
    var table: TableNumber
    var principal = RecordOwner.anonymous
    var caller = TableWork.Caller.nobody
    var readRule = ReadRule.open
    /// Which RESP the reply is in.
    var version: UInt8 = 2
    /// The database: 0 is the table `default`, n the table `db<n>`.
    var database: UInt8 = 0
    /// The transaction it is part of, which holds its keys already; 0 is none.
    var transaction: UInt64 = 0
    /// What a coordinator wants of a participant, other than the command itself.
    var step = PartStep.whole

    var isHolding: Bool { transaction != 0 }

    /// Whether whoever asks may read a record of the table.
    func maySee(_ record: Record) -> Bool {
        switch readRule {
        case .open: true
        case .authenticated: caller != .nobody
        case .owner: caller == .admin || (caller == .user && record.owner == principal)
        }
    }
}

/// The steps of commands that several shards carry out together.
enum PartStep: UInt8 {
    case whole
    /// Whether the writes would be allowed, and for MSETNX whether none of the keys is there.
    case check
    /// A record as a block of bytes; null when there is none.
    case dump
    /// A record from such a block.
    case restore
    /// The stamp of a key's record; 0 when there is none.
    case stamp
    /// What the shard has of each database, as `DatabaseFigures` writes it.
    case databases
    /// The shard's part of CLIENT LIST or CLIENT KILL.
    case clients
}

/// What a connection that speaks RESP has beyond its slot. Connections that speak HTTP have none.
@safe struct RESPSession: ~Copyable {
    let id: UInt64
    var context: RESPContext
    var limits = RESPLimits()
    /// Served without AUTH: from loopback, on a listener that nobody else can reach.
    let isTrusted: Bool
    let address: String
    let local: String
    let createdMs: UInt64
    var lastMs: UInt64
    var lastCommand = RESPCommand.ping
    var name: [UInt8] = []
    var libName: [UInt8] = []
    var libVersion: [UInt8] = []
    /// The name that AUTH was given.
    var user: [UInt8] = []
    /// A name on its way to the desk.
    var userAsked: [UInt8] = []
    /// What HELLO asked for beside AUTH, done once that has succeeded.
    var helloAsked: (version: UInt8, name: [UInt8]?)? = nil

    /// A command that comes in pieces.
    var arriving: UnsafeMutablePointer<ArrivingCommand>? = nil
    /// What MULTI has queued; nil outside of it.
    var queue: CommandQueue? = nil
    var watched: [WatchedKey] = []
    var channels: [[UInt8]] = []
    var patterns: [[UInt8]] = []
    /// SAVE takes as long as it takes: the connection is not stuck meanwhile.
    var awaitsSave = false
    /// CLIENT REPLY: what becomes of replies.
    var replies = Replies.on

    enum Replies: UInt8 { case on, off, skipNext, skip }

    init(
        id: UInt64, context: RESPContext, isTrusted: Bool, address: String, local: String,
        nowMs: UInt64
    ) {
        self.id = id
        self.context = context
        self.isTrusted = isTrusted
        self.address = address
        self.local = local
        createdMs = nowMs
        lastMs = nowMs
    }

    /// Whether commands are carried out for this client.
    var isServed: Bool { isTrusted || context.caller != .nobody }
    var isSubscribed: Bool { !channels.isEmpty || !patterns.isEmpty }
}

/// A command in pieces, on the heap because only long ones need it.
@safe struct ArrivingCommand: ~Copyable {
    var bytes: UnsafeMutablePointer<UInt8>
    var count = 0
    var capacity: Int
    var parser = RESPRequestParser()
    var arguments = RESPArguments()

    init(capacity: Int) {
        self.capacity = capacity
        unsafe bytes = .allocate(capacity: capacity)
    }

    deinit { unsafe bytes.deallocate() }

    mutating func grow(to capacity: Int) {
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        unsafe larger.update(from: bytes, count: count)
        unsafe bytes.deallocate()
        unsafe bytes = unsafe larger
        self.capacity = capacity
    }
}

/// Commands that MULTI has queued, packed one behind another in one block.
@safe struct CommandQueue {
    struct Entry {
        var facts: CommandFacts
        var context: RESPContext
        var offset: Int
    }

    /// What one connection may queue.
    static let bytesMax = 64 << 20

    var entries: [Entry] = []
    /// A command was refused, so the transaction will be.
    var isBroken = false
    private var words: [UInt64] = []

    var bytes: Int { words.count * 8 }

    /// Whether any command in it may write.
    var writes: Bool { entries.contains { $0.facts.flags.contains(.write) } }

    mutating func append(_ facts: CommandFacts, _ context: RESPContext, _ command: RESPWords) {
        let offset = words.count
        words.append(contentsOf: repeatElement(0, count: command.packedBytes / 8))
        unsafe words.withUnsafeMutableBytes { room in
            unsafe command.pack(to: room.baseAddress.unsafelyUnwrapped + offset * 8)
        }
        entries.append(Entry(facts: facts, context: context, offset: offset * 8))
    }

    /// A queued command's words, while `body` runs.
    func withWords<Answer>(_ number: Int, _ body: (RESPWords) -> Answer) -> Answer {
        unsafe words.withUnsafeBytes { room in
            body(
                unsafe RESPWords(
                    packed: room.baseAddress.unsafelyUnwrapped + entries[number].offset))
        }
    }
}

/// A key that WATCH has seen, and as what.
struct WatchedKey {
    var table: TableNumber
    var key: [UInt8]
    /// 0: there was none.
    var stamp: UInt64
}
