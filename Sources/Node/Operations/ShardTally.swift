import Wire

/// What a shard counts while it works: plain numbers of its own, so that counting costs an
/// addition. `ShardFigures` shows them to others once a turn.
///
/// Every member is a `UInt64`: the whole is published and read word by word.
struct ShardTally: BitwiseCopyable {
    /// Answers begun, by the first digit of their status. Every request gets one answer, and so
    /// does what is no request we can act on.
    var answers1xx: UInt64 = 0
    var answers2xx: UInt64 = 0
    var answers3xx: UInt64 = 0
    var answers4xx: UInt64 = 0
    var answers5xx: UInt64 = 0

    /// Commands of RESP carried out on this shard.
    var commands: UInt64 = 0

    var receivedBytes: UInt64 = 0
    var sentBytes: UInt64 = 0

    var connectionsOpen: UInt64 = 0
    var connectionsAccepted: UInt64 = 0
    /// Over the bound or while draining, in words or without.
    var connectionsRefused: UInt64 = 0

    var webSocketsOpen: UInt64 = 0
    var webSocketsOpened: UInt64 = 0

    var loginsAccepted: UInt64 = 0
    var loginsRefused: UInt64 = 0
    var loginsThrottled: UInt64 = 0
    /// Turned away because too much was under way or there was no room.
    var loginsTurnedAway: UInt64 = 0

    /// Messages taken from the mailboxes that other shards write to.
    var messages: UInt64 = 0
    var wakeUps: UInt64 = 0

    /// Changes since the start that were logged, and records that expired or were evicted.
    var changes: UInt64 = 0
    var expired: UInt64 = 0
    var evicted: UInt64 = 0

    var keys: UInt64 = 0
    var keyspaceBytes: UInt64 = 0
    var tombstones: UInt64 = 0
    var blocksInUse: UInt64 = 0

    /// Bytes written to the log by this run, and syncs of it.
    var logBytes: UInt64 = 0
    var syncs: UInt64 = 0
    var syncNs: UInt64 = 0
    /// Why no writes are taken: a `DiskTrouble`, or 0.
    var diskTrouble: UInt64 = 0

    /// Listeners: streams open now, opened and ended so far, and those told to begin again.
    var streamsOpen: UInt64 = 0
    var streamsOpened: UInt64 = 0
    var streamsClosed: UInt64 = 0
    var streamsReset: UInt64 = 0
    /// Events put on streams, and those a later one stood for.
    var eventsPushed: UInt64 = 0
    var eventsConflated: UInt64 = 0
    var streamBytes: UInt64 = 0
    /// From a change to the last of a shard's listeners, of all events together.
    var pushNs: UInt64 = 0

    /// Time of all turns, and that time once for each request that was answered in it.
    var turnNs: UInt64 = 0
    var serviceNs: UInt64 = 0

    static var words: Int { MemoryLayout<ShardTally>.size / MemoryLayout<UInt64>.size }

    var requests: UInt64 { answers1xx &+ answers2xx &+ answers3xx &+ answers4xx &+ answers5xx }

    mutating func countAnswer(_ status: HTTPStatus) {
        switch status.rawValue {
        case ..<200: answers1xx &+= 1
        case ..<300: answers2xx &+= 1
        case ..<400: answers3xx &+= 1
        case ..<500: answers4xx &+= 1
        default: answers5xx &+= 1
        }
    }

    mutating func count(_ answer: LoginAnswer) {
        switch answer {
        case .created, .accepted: loginsAccepted &+= 1
        case .wrongSecret, .notAllowed, .badName, .badSecret: loginsRefused &+= 1
        case .throttled: loginsThrottled &+= 1
        case .busy, .full: loginsTurnedAway &+= 1
        }
    }
}
