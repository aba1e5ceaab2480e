import Machine
import Synchronization

/// What all shards of a node share: a handful of counters, touched when a connection comes or
/// goes and when a body does not fit one buffer, never for an ordinary request; and the figures
/// that each shard shows the others at the end of a turn.
@safe struct NodeState: ~Copyable {
    enum Stage: UInt8, AtomicRepresentable {
        case serving
        /// No new connections; requests under way are finished.
        case draining
    }

    let stage = Atomic<Stage>(.serving)
    /// Whether a shard still accepts, and may deal what it accepts to the others.
    let listens = Atomic<Bool>(true)
    /// Those within the bound; refused ones are counted by their shards.
    let connections = Atomic<Int>(0)
    let bodyBytes = Atomic<Int>(0)
    /// Which changes of keys are told on channels (`notify-keyspace-events`).
    let keyEvents = Atomic<UInt32>(0)
    /// Connections of each shard, for dealing the next one to the least burdened.
    let shardConnections: UnsafeMutablePointer<Atomic<Int>>
    let shardCount: Int
    /// The rows of mailboxes, `[from * shardCount + to]`.
    let mailboxes: UnsafeMutablePointer<Mailbox>
    let wakeFlags: UnsafeMutablePointer<WakeFlag>
    let wakers: UnsafeMutablePointer<Waker>
    /// Each shard's, for whichever is asked.
    let figures: UnsafeMutablePointer<ShardFigures>
    let facts: NodeFacts

    static func make(
        shardCount: Int, facts: NodeFacts
    ) throws(SystemError) -> UnsafeMutablePointer<NodeState> {
        let counts = UnsafeMutablePointer<Atomic<Int>>.allocate(capacity: shardCount)
        let flags = UnsafeMutablePointer<WakeFlag>.allocate(capacity: shardCount)
        let wakers = UnsafeMutablePointer<Waker>.allocate(capacity: shardCount)
        let boxes = UnsafeMutablePointer<Mailbox>.allocate(capacity: shardCount * shardCount)
        let figures = UnsafeMutablePointer<ShardFigures>.allocate(capacity: shardCount)
        for shard in 0..<shardCount {
            unsafe (figures + shard).initialize(to: .make())
            unsafe (counts + shard).initialize(to: Atomic(0))
            unsafe (flags + shard).initialize(to: WakeFlag())
            unsafe (wakers + shard).initialize(to: try Waker.make())
        }
        for pair in 0..<shardCount * shardCount {
            unsafe (boxes + pair).initialize(to: try Mailbox())
        }
        let place = UnsafeMutablePointer<NodeState>.allocate(capacity: 1)
        unsafe place.initialize(
            to: NodeState(
                shardConnections: counts, shardCount: shardCount, mailboxes: boxes,
                wakeFlags: flags, wakers: wakers, figures: figures, facts: facts))
        return unsafe place
    }

    private init(
        shardConnections: UnsafeMutablePointer<Atomic<Int>>, shardCount: Int,
        mailboxes: UnsafeMutablePointer<Mailbox>, wakeFlags: UnsafeMutablePointer<WakeFlag>,
        wakers: UnsafeMutablePointer<Waker>, figures: UnsafeMutablePointer<ShardFigures>,
        facts: NodeFacts
    ) {
        unsafe self.shardConnections = unsafe shardConnections
        self.shardCount = shardCount
        unsafe self.mailboxes = unsafe mailboxes
        unsafe self.wakeFlags = unsafe wakeFlags
        unsafe self.wakers = unsafe wakers
        unsafe self.figures = unsafe figures
        self.facts = facts
    }

    /// Moves every shard to the next stage of ending.
    func enter(_ stage: Stage) {
        self.stage.store(stage, ordering: .sequentiallyConsistent)
        wakeAll()
    }

    /// Whether no shard has a connection, nor one on its way to it.
    var isDeserted: Bool {
        for shard in 0..<shardCount {
            if unsafe shardConnections[shard].load(ordering: .sequentiallyConsistent) != 0 {
                return false
            }
        }
        return true
    }

    func wakeAll() {
        for shard in 0..<shardCount { unsafe wakers[shard].wake() }
    }

    /// The shard with the fewest connections; the lowest of those that have equally few.
    var leastBurdened: Int {
        var best = 0
        var fewest = Int.max
        for shard in 0..<shardCount {
            let count = unsafe shardConnections[shard].load(ordering: .relaxed)
            if count < fewest {
                best = shard
                fewest = count
            }
        }
        return best
    }
}
