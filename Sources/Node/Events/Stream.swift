import Keyspace
import Machine

/// A connection that listens: what it listens to, how far it was told, and what is still to be
/// sent to it. Plain data; an idle one holds nothing else.
@safe struct Stream: BitwiseCopyable {
    enum Format: UInt8 {
        /// Server-Sent Events in the chunks of an HTTP/1.1 answer.
        case chunked
        /// The same until the connection ends, for HTTP/1.0.
        case bare
        /// A WebSocket message for each event, beginning with its id.
        case webSocket
    }

    struct Flags: OptionSet, BitwiseCopyable {
        let rawValue: UInt16
        /// The send in flight is of the first piece.
        static let sendingPiece = Flags(rawValue: 1 << 0)
        /// Nothing more is told; the connection ends once all is sent.
        static let ended = Flags(rawValue: 1 << 1)
        /// Events were left out: `lagged` is still to be said.
        static let lagging = Flags(rawValue: 1 << 2)
        /// The answer's head waits until it is known whether the key may be read.
        static let headWaits = Flags(rawValue: 1 << 3)
        /// A table it listens to is not open to all, so it ends with its token.
        static let needsToken = Flags(rawValue: 1 << 4)
        /// Its client asked for no records on connect.
        static let silent = Flags(rawValue: 1 << 5)
        static let crossOrigin = Flags(rawValue: 1 << 6)
        /// A part of the first piece has been sent: nothing may come between.
        static let midPiece = Flags(rawValue: 1 << 8)
        /// Has been told all that there was when it came: what is sent from now on carries an id.
        static let isCurrent = Flags(rawValue: 1 << 7)
    }

    static let spansShards = UInt16.max

    let connection: UInt32
    let serial: UInt32
    var format: Format
    var caller: TableWork.Caller
    var flags: Flags
    /// The one shard that all of its topics are on, or `spansShards`.
    var shard: UInt16
    var subscriptionCount: UInt16 = 0
    var principal: RecordOwner
    var firstSubscription = Slab<Stream>.none
    var lastSubscription = Slab<Stream>.none
    var firstPiece = Slab<Stream>.none
    var lastPiece = Slab<Stream>.none
    /// Bytes of all pieces.
    var heldBytes: UInt32 = 0
    /// Subscriptions that are not told as things happen: they wait for an answer, or to ask.
    var pending: UInt16 = 0
    /// Questions under way.
    var asked: UInt16 = 0
    var skipped: UInt32 = 0
    /// When the next heartbeat is due.
    var beatMs: UInt64 = 0
    /// When its token ends, in milliseconds since 1970; 0 for never.
    var tokenEndMs: Int64 = 0
    /// Up to where it was told of its one shard.
    var seq: UInt64 = 0
    /// The same for each shard, where it listens to several.
    var positions: UnsafeMutablePointer<UInt64>? = nil
}

/// What a subscription's `state` says: whether it is told as things happen, and what it asks for.
struct SubscriptionState {
    /// What is asked of the topic's shards.
    enum Wish: UInt8 {
        /// The present record, as initial.
        case records
        /// Nothing but to be told from then on.
        case silence
        /// What was missed since a position.
        case replay
        /// The newest state of what was left out.
        case owed
    }

    static let live = SubscriptionState(rawValue: 0)

    var rawValue: UInt32

    init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Not told yet, and nobody was asked.
    init(waitingFor wish: Wish) { rawValue = 1 | UInt32(wish.rawValue) << 4 }

    var isLive: Bool { rawValue & 3 == 0 }
    var isWaiting: Bool { rawValue & 3 == 1 }
    var isAsked: Bool { rawValue & 3 == 2 }
    /// May be told; it is asked for once all of its stream's keys may.
    var isChecked: Bool { rawValue & 3 == 3 }
    var wish: Wish { Wish(rawValue: UInt8(rawValue >> 4 & 3)) ?? .records }
    /// Tells the answer it waits for from earlier ones.
    var serial: UInt32 { rawValue >> 8 }

    func asked(_ serial: UInt32) -> SubscriptionState {
        SubscriptionState(rawValue: 2 | rawValue & 0x30 | serial << 8)
    }

    var waiting: SubscriptionState { SubscriptionState(rawValue: 1 | rawValue & 0x30) }
    var checked: SubscriptionState { SubscriptionState(rawValue: 3 | rawValue & 0x30) }
}

/// How far a subscription has come that is told in several steps: a table or prefix whose records
/// are listed, a client that comes back, keys that are owed.
final class CatchUp {
    enum PartState { case waiting, asked, live }

    struct Part {
        var state = PartState.waiting
        /// Records up to this key were listed; what happens to them is told at once.
        var after: [UInt8] = []
        /// Changes up to this one were replayed.
        var seq: UInt64 = 0
        var serial: UInt32 = 0
    }

    var wish: SubscriptionState.Wish
    var parts: [Part]
    /// Keys whose events were left out, each with the number of the question about it; 0 while
    /// nobody was asked.
    var owed: [[UInt8]: UInt32] = [:]
    var owedBytes = 0

    /// Past either of these a reader is told all of the present state instead.
    static let owedKeysMax = 1024
    static let owedBytesMax = 64 * 1024

    init(_ wish: SubscriptionState.Wish, shards: Int) {
        self.wish = wish
        parts = Array(repeating: Part(), count: shards)
    }

    /// Questions under way.
    var askedCount: UInt16 {
        if wish == .owed { return UInt16(owed.values.count { $0 != 0 }) }
        return UInt16(parts.count { $0.state == .asked })
    }

    // MARK: As a subscription's note

    static func of(
        _ subscription: UnsafeMutablePointer<TopicIndex.Subscription>
    ) -> CatchUp? {
        guard let note = unsafe subscription.pointee.note else { return nil }
        return unsafe Unmanaged<CatchUp>.fromOpaque(note).takeUnretainedValue()
    }

    func attach(to subscription: UnsafeMutablePointer<TopicIndex.Subscription>) {
        unsafe Self.release(subscription)
        unsafe subscription.pointee.note = unsafe Unmanaged.passRetained(self).toOpaque()
    }

    static func release(_ subscription: UnsafeMutablePointer<TopicIndex.Subscription>) {
        guard let note = unsafe subscription.pointee.note else { return }
        unsafe subscription.pointee.note = nil
        unsafe Unmanaged<CatchUp>.fromOpaque(note).release()
    }
}
