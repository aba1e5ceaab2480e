import Journal
import Keyspace
import Machine
import Wire

/// A transaction over shards, at its coordinator: MULTI/EXEC, or one command about many keys. See
/// docs/transactions.md.
@safe struct RESPTransaction: ~Copyable {
    enum Kind {
        /// One command.
        case single
        case exec
        /// Asks what the watched keys are; holds nothing.
        case watch
    }

    let id: UInt64
    let kind: Kind
    /// The connection's place for the reply.
    let ticket: UInt64
    var queue: CommandQueue
    /// What WATCH has seen.
    var watched: [WatchedKey]
    /// Whether any of its commands may write.
    let writes: Bool
    /// The last records of it in the logs of its participants.
    var lasts: [TransactionEnd.Participant] = []
    /// What is kept in the coordinator's log for its end.
    var reservedBytes = 0
    /// Where its end stands in the coordinator's log, and what is told once that is safe.
    var decided: CommitPosition = 0
    var reply: [UInt8] = []

    /// The participants, by their numbers, and what is held of each.
    var claims: [(shard: Int, claim: Holds.Claim)] = []
    /// How many of them are held.
    var held = 0

    /// The command that is sent next.
    var next = 0
    /// A reply for each command.
    var replies: [[UInt8]]
    /// Replies that are awaited.
    var pending = 0
    /// Parts are being sent: what is heard meanwhile is only noted.
    var isSending = false
    /// It found no place for a reply, and tries again next turn.
    var isStalled = false
    /// Of a command in parts: which step it is at, and the replies to that step's parts.
    var step = 0
    var parts: [Part] = []
    /// Kept from one step to the next.
    var kept: [UInt8] = []

    /// A participant has written, up to there.
    mutating func note(_ last: CommitPosition, of shard: Int) {
        guard let place = lasts.firstIndex(where: { $0.shard == shard }) else {
            return lasts.append(TransactionEnd.Participant(shard: shard, last: last))
        }
        lasts[place].last = max(lasts[place].last, last)
    }

    struct Part {
        var shard: Int
        /// Which words of the command it has.
        var words: [Int]
        var reply: [UInt8] = []
    }

    /// CLIENT REPLY: nobody wants to hear what came of it.
    var isMuted = false

    /// Slots of awaited places: a whole command's by its number, a part's from here on, a grant's.
    static let partSlot = 1 << 24
    static let grantSlot = 1 << 30

    init(
        id: UInt64, kind: Kind, ticket: UInt64, queue: CommandQueue, watched: [WatchedKey]
    ) {
        self.id = id
        self.kind = kind
        self.ticket = ticket
        self.queue = queue
        self.watched = watched
        writes = queue.writes
        replies = Array(repeating: [], count: queue.entries.count)
    }
}
