import Keyspace
import Machine

extension Message {
    /// A topic gets or loses a subscription of the sending shard; behind it the topic's bytes.
    struct Listen {
        var kind = Kind.listen
        var begins: Bool
        /// The shard has no other subscription of the topic.
        var isLast: Bool
        var isKey: Bool
        var table: TableNumber
        var byteCount: UInt32
        var hash: UInt64
    }

    /// What a subscription wants to be told before it is told as things happen; behind it the
    /// topic's bytes and the key after which a list goes on.
    struct Ask {
        var kind = Kind.ask
        var connection: UInt32
        var stream: UInt32
        var subscription: UInt32
        var serial: UInt32
        var wish: SubscriptionState.Wish
        var caller: TableWork.Caller
        var isKey: Bool
        /// The key is one of many of its subscription.
        var isOfKey: Bool
        var table: TableNumber
        var principal: UInt32
        var byteCount: UInt32
        var afterCount: UInt32
        var hash: UInt64
        /// Of a replay: the last change that was told.
        var seq: UInt64
    }

    /// A `ToldPage`.
    @safe struct Told {
        var kind = Kind.told
        var memory: UnsafeMutableRawPointer
    }

    /// A change; behind it its key and text, or a pointer to the text where that is long.
    @safe struct Event {
        var kind = Kind.event
        var change: Change.Kind
        var keyCount: UInt16
        var table: TableNumber
        var owner: UInt32
        var textCount: UInt32
        var seq: UInt64
        var hash: UInt64
        var atNs: UInt64
        var textMemory: UnsafeMutableRawPointer?
    }

    /// The receiver was too far behind: changes of the sending shard are lost to it.
    struct Lost {
        var kind = Kind.lost
    }
}
