import Keyspace
import Machine

/// A shard's own listeners, and the events on their way to them.
@safe struct Audience: ~Copyable {
    /// Subscriptions of one shard: at a hundred bytes each they take 25 MiB at most. Over it a
    /// stream is told to come back later.
    static let subscriptionsMax = 262_144
    /// What one connection may listen to.
    static let topicsMax = 256
    /// Parts of frames that all streams of a shard hold at a time.
    static let piecesMax = 1 << 20
    /// Frames of a shard, whoever holds them. Past it a stream that holds something gets no more.
    static let frameBytesMax = 64 << 20
    /// The kernel doubles it, and charges what it holds to us.
    static let sendBufferBytes: Int32 = 32 * 1024

    var topics: TopicIndex
    var streams: Slab<Stream>
    var pieces = Slab<Piece>(countMax: piecesMax)
    var frames = FramePool()
    var queue = FanOutQueue()
    /// The node and its epoch, as ids name them.
    let origin: UInt64
    private var streamSerial: UInt32 = 0
    private var askSerial: UInt32 = 0
    private var random: UInt64

    /// The event that is being told, the topics it is one of, and who is next.
    var current: UnsafeMutablePointer<Frame>? = nil
    let matched: UnsafeMutablePointer<UInt32>
    var matchedCount = 0
    var matchedAt = 0
    var nextListener = TopicIndex.none
    var currentRule = ReadRule.open
    /// A comment, as all streams send it.
    let heartbeat: UnsafeMutablePointer<Frame>

    init(hashing: KeyHash, origin: UInt64, streamsMax: Int, seed: UInt64) {
        topics = TopicIndex(hashing: hashing, subscriptionsMax: Self.subscriptionsMax)
        streams = Slab(countMax: streamsMax)
        self.origin = origin
        random = seed | 1
        unsafe matched = .allocate(capacity: TopicIndex.matchesMax)
        unsafe heartbeat = frames.makeHeartbeat()
    }

    deinit { unsafe matched.deallocate() }

    mutating func nextStreamSerial() -> UInt32 {
        streamSerial &+= 1
        return streamSerial
    }

    /// 24 bits, never 0.
    mutating func nextAskSerial() -> UInt32 {
        askSerial = askSerial >= 0xFF_FFFF ? 1 : askSerial + 1
        return askSerial
    }

    /// A number below `bound`, to spread what would else happen at once.
    mutating func roll(_ bound: UInt64) -> UInt64 {
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        return bound == 0 ? 0 : random % bound
    }
}

/// What a shard has heard and not yet told its listeners, in order: events, answers to what
/// listeners asked, and news of loss.
@safe struct FanOutQueue: ~Copyable {
    @safe enum Item {
        /// Taken out again: a later event of the same key stands for it.
        case nothing
        case event(UnsafeMutablePointer<Frame>)
        /// A `ToldPage`.
        case told(UnsafeMutableRawPointer)
        case lost(from: Int)
    }

    private var items: UnsafeMutablePointer<Item>
    private var capacity = 64
    private var first = 0
    private(set) var count = 0

    init() { unsafe items = .allocate(capacity: capacity) }

    deinit { unsafe items.deallocate() }

    mutating func append(_ item: Item) {
        if count == capacity { grow() }
        unsafe (items + (first + count) & (capacity - 1)).initialize(to: item)
        count += 1
    }

    mutating func popFirst() -> Item? {
        guard count > 0 else { return nil }
        let item = unsafe items[first]
        first = (first + 1) & (capacity - 1)
        count -= 1
        return item
    }

    /// The item at a place, counted from the first.
    subscript(_ place: Int) -> Item {
        get { unsafe items[(first + place) & (capacity - 1)] }
        set { unsafe items[(first + place) & (capacity - 1)] = newValue }
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Item>.allocate(capacity: capacity * 2)
        for place in 0..<count {
            unsafe (larger + place).initialize(to: items[(first + place) & (capacity - 1)])
        }
        unsafe items.deallocate()
        unsafe items = unsafe larger
        capacity *= 2
        first = 0
    }
}
