import Glibc
import Identity
import Keyspace
import Machine
import Synchronization
import Wire

/// One thread's share of the node: its driver, its connections and, with them, everything it does.
///
/// A shard is built inside its thread and never leaves it; only `NodeState` is shared. A turn of
/// its loop is: wait for a batch of completions, act on each, give every connection that has more
/// input than its share another slice, look at the timers, send what was gathered.
@safe struct Shard: ~Copyable {
    let number: Int
    let settings: ShardSettings
    let state: UnsafeMutablePointer<NodeState>
    let driver: Driver
    let connections: UnsafeMutablePointer<Connection>
    let slotCount: Int
    let healthBody: UnsafeRawBufferPointer
    let log: Log

    /// The head of the request that is being looked at.
    let head: UnsafeMutablePointer<HTTPRequestHead>

    /// Fields that were understood before, and the table that was asked for last.
    var heads = HTTPHeadMemo()
    var plainTable = PlainTable()
    var plainOwner = PlainOwner()

    /// Room to decode a target, which is never longer than a head.
    let scratch: UnsafeMutablePointer<UInt8>
    static let scratchBytes = HTTPLimits.headBytesCeiling

    var keyspace: Keyspace
    var commitPoint = CommitPoint()
    /// This shard's log; nil until the files of earlier runs are read.
    var keeper: UnsafeMutablePointer<LogKeeper>? = nil
    /// With `always`: the disk syncs this log, and what came of it was not looked at yet.
    var syncIsAwaited = false
    let durability: Durability
    var snapshotWalk = SnapshotWalk()
    var dumpWalk = DumpWalk()
    /// The position that earlier runs had come to.
    var loadedPosition: CommitPosition = 0
    /// Places of those who asked for a snapshot, and how many had ended then.
    var snapshotWaiters: [UInt64] = []
    var snapshotsEnded: UInt64 = 0
    var nextSnapshotMs = UInt64.max
    /// What the log had grown to when it was last counted.
    var countedLogBytes: UInt64 = 0
    /// This turn's answers to other shards that tell of a write.
    var answersTelling: [UnsafeMutableRawPointer] = unsafe []
    var publisher: Publisher
    var audience: Audience
    var tables: Tables
    let registry: TableRegistry
    private var registryGeneration: UInt64 = 0
    let owners: OwnerNumbers
    var authenticator: Authenticator
    let trustedProxies: TrustedProxies
    /// Counts requests, where there is a limit.
    let rates: RequestRates?
    /// Decides on logins; the first shard has it.
    let desk: UnsafeMutablePointer<AccountDesk>?

    /// Which transaction the records belong to that are logged now.
    var logged = LogMark()
    /// What serving RESP takes.
    let resp: UnsafeMutablePointer<RESPState>
    var awaited: AwaitedPool
    /// Where a reply is written that is not to be sent before others.
    let aside: UnsafeMutablePointer<UInt8>
    /// What is asked of the keyspace ahead of need, within a call.
    let aheadReads: UnsafeMutablePointer<PlainRead>
    let askedReads: UnsafeMutablePointer<AskedRead>
    let aheadHashes: UnsafeMutablePointer<UInt64>
    /// The place such a reply is meant for, while it is written; else the connection's last.
    var asidePlace = AwaitedPool.none
    /// Requests about many keys that found a mailbox full.
    var stalledGathers: [UnsafeMutablePointer<Gather>] = unsafe []
    /// Answers to each shard that found its mailbox full.
    var backlogs: [[UnsafeRawBufferPointer]]

    /// Tells listings apart that used the same slot.
    var listingSerial: UInt32 = 0
    /// The same for WebSocket connections.
    var socketSerial: UInt32 = 0

    var pool: BlockPool
    var timers: TimerWheel
    var runnable: IndexQueue
    var dirty: IndexQueue
    /// Connections whose replies wait for those in between, and until when.
    var corked: IndexQueue
    var corkDueMs: UInt64?
    /// A request waits, in this turn, for room in the mailbox of its key's shard.
    var awaitsMailRoom = false
    private let connectionPages: Pages
    private let freePages: Pages
    private let freeSlots: UnsafeMutablePointer<UInt32>
    private var freeCount = 0
    private var untouchedSlots = 0

    /// What is counted here, and where others see it.
    var tally = ShardTally()
    let figures: ShardFigures
    /// Requests whose duration is counted.
    var timedRequests: UInt64 = 0
    /// The keyspace is as it was when it was measured, as far as anybody looks.
    private var isMeasured = false
    private var measuredPosition: CommitPosition = 0
    var turnStartNs: UInt64 = 0

    var openCount = 0
    var refusedCount = 0
    /// Blocks of the pool that hold unread input.
    var inputBlocks = 0
    /// Memory of unread input that lies outside the pool.
    var ownInputBytes = 0
    /// The listeners of the shard that accepts: the main one, and the one for RESP alone.
    let listenerFDs: UnsafeMutablePointer<Int32>
    static let listenersMax = 2
    static let respListener: UInt32 = 1
    var acceptRetryMs: UInt64? = nil
    var nowMs: UInt64
    /// The time of day, in milliseconds since 1970, as this turn sees it.
    var wallMs: Int64
    var turn: UInt32 = 0
    var date: HTTPDate
    /// The head of the most common reply up to its length, made anew with each date: one copy
    /// instead of ten.
    var okHead: ReplyTemplate
    private var dateSecond: Int64
    private var stalledCheckMs: UInt64 = 0
    /// When memory that has not been used by then is given back, while there may be some.
    private var giveBackDueMs: UInt64?
    private var freedFrames = 0
    private var isDraining = false
    /// The keyspace has more upkeep to do at once.
    private var tendsOn = false
    /// Records taken out for upkeep in one turn: a fraction of a millisecond.
    private static let tendBudget = 128
    /// How soon a shard whose answers found a mailbox full tries again.
    private static let backlogRetryMs: UInt64 = 1
    /// As many listeners at most as are sent to before those who are answered.
    private static let listenersFirstMax = 8

    /// Accepting goes on after this pause when the kernel has no descriptors or memory left.
    static let acceptRetryAfterMs: UInt64 = 100
    private static let giveBackAfterMs: UInt64 = 1000
    /// Buffers and blocks given back in one turn: a system call and a few pages each.
    private static let givenBackMax = 64
    /// How soon a shard whose block pool is exhausted looks again.
    static let exhaustedRetryMs: UInt64 = 10

    static func make(_ start: ShardStart, driver: Driver) throws(SystemError) -> Shard {
        let now = Clock.monotonicMs()
        let slots = start.slotCount
        let pool = try BlockPool.make(byteCountMax: ShardSettings.blockPoolBytes)
        let timers = try TimerWheel(capacity: slots, nowMs: now)
        let connectionPages = try Pages(byteCount: slots * MemoryLayout<Connection>.stride)
        let freePages = try Pages(byteCount: slots * 4)
        let runnable = try IndexQueue(capacity: slots)
        let dirty = try IndexQueue(capacity: slots)
        let corked = try IndexQueue(capacity: slots)
        let awaited = try AwaitedPool.make()
        let keyspace: Keyspace
        do throws(ReservationRefused) {
            keyspace = try Keyspace.make(start.keyspace)
        } catch {
            throw SystemError("reserve memory", error.errno, hint: error.description)
        }
        return Shard(
            start, driver: driver, keyspace: keyspace, pool: pool, timers: timers,
            awaited: awaited, connectionPages: connectionPages, freePages: freePages,
            runnable: runnable, dirty: dirty, corked: corked, nowMs: now)
    }

    private init(
        _ start: ShardStart, driver: Driver, keyspace: consuming Keyspace,
        pool: consuming BlockPool, timers: consuming TimerWheel, awaited: consuming AwaitedPool,
        connectionPages: consuming Pages, freePages: consuming Pages,
        runnable: consuming IndexQueue, dirty: consuming IndexQueue, corked: consuming IndexQueue,
        nowMs: UInt64
    ) {
        number = start.number
        settings = start.settings
        unsafe state = unsafe start.state
        self.driver = driver
        slotCount = start.slotCount
        unsafe healthBody = unsafe start.healthBody
        log = start.log
        unsafe head = .allocate(capacity: 1)
        unsafe head.initialize(to: HTTPRequestHead())
        unsafe scratch = .allocate(capacity: Self.scratchBytes)
        unsafe aside = .allocate(capacity: BlockPool.blockBytes)
        unsafe aheadReads = .allocate(capacity: PlainRead.aheadMax)
        unsafe askedReads = .allocate(capacity: PlainRead.aheadMax)
        unsafe aheadHashes = .allocate(capacity: Self.fetchedAheadMax)
        unsafe listenerFDs = .allocate(capacity: Self.listenersMax)
        unsafe listenerFDs.initialize(repeating: -1, count: Self.listenersMax)
        unsafe resp = .allocate(capacity: 1)
        unsafe resp.initialize(to: RESPState(shard: start.number))
        unsafe backlogs = unsafe Array(repeating: [], count: start.state.pointee.shardCount)
        self.keyspace = keyspace
        durability = start.durability
        tables = Tables(seed: start.keyspace.seed)
        ReservedTable.open(in: &tables)
        let hashing = KeyHash(seed: start.keyspace.seed)
        publisher = unsafe Publisher(hashing: hashing, shards: start.state.pointee.shardCount)
        audience = Audience(
            hashing: hashing, origin: start.eventOrigin, streamsMax: start.slotCount,
            seed: start.keyspace.seed &+ UInt64(start.number))
        registry = start.registry
        owners = start.owners
        authenticator = Authenticator(
            key: start.accounts.jwtKey, hasAdmin: start.accounts.adminPassword != nil)
        trustedProxies = start.accounts.trustedProxies
        rates = start.rates
        if start.number == 0 {
            let place = UnsafeMutablePointer<AccountDesk>.allocate(capacity: 1)
            unsafe place.initialize(
                to: AccountDesk(start.accounts, waker: start.state.pointee.wakers[0]))
            unsafe desk = unsafe place
        } else {
            unsafe desk = nil
        }
        self.awaited = awaited
        self.pool = pool
        self.timers = timers
        unsafe connections = unsafe connectionPages.bound(to: Connection.self)
        self.connectionPages = connectionPages
        unsafe freeSlots = unsafe freePages.bound(to: UInt32.self)
        self.freePages = freePages
        self.runnable = runnable
        self.dirty = dirty
        self.corked = corked
        figures = unsafe start.state.pointee.figures[start.number]
        self.nowMs = nowMs
        wallMs = Int64(Clock.wallMs())
        dateSecond = wallMs / 1000
        date = HTTPDate(epochSeconds: dateSecond)
        okHead = ReplyTemplate(date: date)
    }

    // MARK: The loop

    mutating func startAccepting(_ fd: Int32, listener: UInt32) {
        unsafe listenerFDs[Int(listener)] = fd
        driver.accept(listener: listener, fd: fd)
    }

    /// Serves until the node has drained.
    mutating func run() {
        measureKeyspace()
        while !hasEnded() {
            let batch = unsafe driver.wait(timeoutMs: sleep())
            unsafe state.pointee.wakeFlags[number].wakeUp()
            beginTurn()
            unsafe fetchAhead(batch)
            if syncIsAwaited {
                for place in 0..<batch.count {
                    goOnSyncing()
                    unsafe act(on: batch[place])
                }
            } else {
                for place in 0..<batch.count { unsafe act(on: batch[place]) }
            }
            readMailboxes()
            resumeRunnable()
            resumeGathers()
            resumeTransactions()
            endDecided()
            expireTimers()
            tendKeyspace()
            goOnSnapshot()
            goOnDump()
            // The commit point: nothing that tells of a write leaves before this line.
            commit()
            tellChanges()
            let answers = dirty.count
            fanOut()
            letListenersGoFirst(dirty.count - answers)
            publishMailboxes()
            flushDirty()
            giveMemoryBack()
            publishFigures()
        }
        finishLog()
    }

    /// How long the driver may wait. Looks at the mailboxes once more after saying that it sleeps.
    private mutating func sleep() -> UInt64? {
        if dirty.count > 0 || hasUnpublished() || hasToTell() || hasToFanOut() { return 0 }
        if runnable.count > 0 {
            if pool.isExhausted { return Self.exhaustedRetryMs }
            // The shard that has to make room may want this processor.
            if !awaitsMailRoom { return 0 }
        }
        if tendsOn || snapshotGoesOn || dumpGoesOn || hasDecided() { return 0 }
        var wakeMs = timers.nextDeadlineMs
        if hasBacklog() || awaitsMailRoom { wakeMs = nowMs + Self.backlogRetryMs }
        if let due = corkDueMs { wakeMs = min(wakeMs ?? due, due) }
        if let due = keyspace.nextTendMs {
            let inMs = UInt64(max(0, due - wallMs))
            wakeMs = min(wakeMs ?? UInt64.max, nowMs + inMs)
        }
        if let retry = acceptRetryMs { wakeMs = min(wakeMs ?? retry, retry) }
        if let keeper = unsafe keeper {
            // Written by what went on when the commit point let go of its replies.
            if unsafe keeper.pointee.hasUnwritten { return 0 }
            if let due = unsafe keeper.pointee.nextDueMs { wakeMs = min(wakeMs ?? due, due) }
        }
        if let due = nextTimedSnapshotMs { wakeMs = min(wakeMs ?? due, due) }
        if let due = giveBackDueMs { wakeMs = min(wakeMs ?? due, due) }
        let timeout = wakeMs.map { $0 > nowMs ? $0 - nowMs : 0 }
        guard unsafe state.pointee.shardCount > 1 else { return timeout }
        unsafe state.pointee.wakeFlags[number].fallAsleep()
        for from in unsafe 0..<state.pointee.shardCount where from != number {
            if unsafe !state.pointee.mailboxes[from * state.pointee.shardCount + number].reader
                .isEmpty
            {
                return 0
            }
        }
        return timeout
    }

    private mutating func beginTurn() {
        turnStartNs = Clock.monotonicNs()
        nowMs = turnStartNs / 1_000_000
        turn &+= 1
        awaitsMailRoom = false
        wallMs = Int64(Clock.wallMs())
        if isLoading { takeLoaded() }
        if registry.generation != registryGeneration {
            registryGeneration = registry.generation
            registry.update(&tables)
            recheckStreams()
        }
        let second = wallMs / 1000
        if second != dateSecond {
            dateSecond = second
            isMeasured = false
            date = HTTPDate(epochSeconds: second)
            okHead = ReplyTemplate(date: date)
        }
        if let retry = acceptRetryMs, retry <= nowMs {
            acceptRetryMs = nil
            for listener in 0..<Self.listenersMax where !isDraining {
                let fd = unsafe listenerFDs[listener]
                if fd >= 0 { driver.accept(listener: UInt32(listener), fd: fd) }
            }
        }
        if pool.isExhausted { closeMostStalled() }
    }

    private mutating func act(on completion: Completion) {
        switch completion.kind {
        case .received:
            tally.receivedBytes &+= UInt64(truncatingIfNeeded: completion.result)
            received(
                completion.index, buffer: completion.buffer, count: Int(completion.result))
        case .sent: sent(completion.index, result: completion.result)
        case .accepted: deal(completion.result, listener: completion.index)
        case .acceptStopped: acceptStopped(completion.index, completion.result)
        case .ended: peerEnded(completion.index, result: completion.result)
        case .closed: closed(completion.index)
        case .woken:
            readLogins()
            readDiskWork()
            answerSnapshotWaiters()
            answerSaves()
        }
    }

    /// Gives each connection that was cut short by its share of a turn the next one.
    private mutating func resumeRunnable() {
        var turns = runnable.count
        while turns > 0, let index = runnable.popFirst() {
            turns -= 1
            let connection = unsafe connections + Int(index)
            unsafe connection.pointee.flags.remove(.runnable)
            guard unsafe connection.pointee.state == .open else { continue }
            outputLeft(index)
        }
    }

    /// A few listeners hear before the writer has its answer: a send takes longer than all else that
    /// is done for them. Many would keep everybody's answers waiting.
    private mutating func letListenersGoFirst(_ count: Int) {
        if count > 0, count <= Self.listenersFirstMax { dirty.bringForward(count) }
    }

    /// A burst of connections leaves memory behind that lies unused: what was not used for a second
    /// goes back to the kernel.
    private mutating func giveMemoryBack() {
        guard let due = giveBackDueMs else {
            if mayGiveBack { giveBackDueMs = nowMs + Self.giveBackAfterMs }
            return
        }
        guard nowMs >= due else { return }
        let buffersLeft = driver.giveBack(most: Self.givenBackMax)
        let blocksLeft = pool.giveBack(most: Self.givenBackMax)
        let framesLeft = audience.frames.giveBack(most: Self.givenBackMax * 4, freed: &freedFrames)
        if buffersLeft || blocksLeft || framesLeft {
            giveBackDueMs = nowMs + 1
            return
        }
        // There may be no other turn soon to ask in.
        giveBackDueMs = mayGiveBack ? nowMs + Self.giveBackAfterMs : nil
        guard freedFrames > 0 else { return }
        freedFrames = 0
        Memory.giveBackFreed()
    }

    private var mayGiveBack: Bool {
        driver.mayGiveBack || pool.mayGiveBack || audience.frames.mayGiveBack
    }

    // MARK: The keyspace's turn

    /// Expiry, eviction and cleaning, a bounded share of each turn.
    private mutating func tendKeyspace() {
        let tendedOn = tendsOn
        tendsOn = keyspace.tend(at: wallMs, budget: Self.tendBudget)
        if keyspace.changeCount > 0 { recordChanges() }
        // Only writing and tending change the figures. Tombstones that end are seen each second.
        if isMeasured, keyspace.position == measuredPosition, keyspace.changeCount == 0, !tendedOn,
            !tendsOn
        {
            return
        }
        measuredPosition = keyspace.position
        isMeasured = true
        measureKeyspace()
    }

    // MARK: Slots

    /// The number of a table, from this shard's own copy or, for a name new to it, the node's.
    mutating func table(_ name: UnsafeRawBufferPointer, adding: Bool) -> TableNumber? {
        unsafe tables.number(of: name, in: .shared)
            ?? registry.number(of: name, adding: adding, updating: &tables)
    }

    /// A slot for one more connection, or nil when all are taken.
    mutating func takeSlot() -> UInt32? {
        if freeCount > 0 {
            freeCount -= 1
            return unsafe freeSlots[freeCount]
        }
        guard untouchedSlots < slotCount else { return nil }
        untouchedSlots += 1
        return UInt32(untouchedSlots - 1)
    }

    /// Slots from here on were never taken.
    mutating func slotsReached() -> Int { untouchedSlots }

    mutating func giveSlot(_ index: UInt32) {
        unsafe freeSlots[freeCount] = index
        freeCount += 1
    }

    // MARK: Ending

    private mutating func hasEnded() -> Bool {
        switch unsafe state.pointee.stage.load(ordering: .relaxed) {
        case .serving: return false
        case .draining:
            if !isDraining { beginDraining() }
            // Another shard may still deal us a socket, or its clients ask for keys of ours: all
            // go when nobody listens and nobody is connected anywhere.
            return unsafe !state.pointee.listens.load(ordering: .sequentiallyConsistent)
                && state.pointee.isDeserted && !durability.signals.pointee.isRunning
                && !durability.signals.pointee.isDumping
        }
    }

    /// Stops accepting and lets go of connections that wait for nothing.
    private mutating func beginDraining() {
        isDraining = true
        snapshotBeforeEnd()
        if acceptRetryMs != nil {
            // Accepting pauses: there is nothing that the driver could tell the end of.
            acceptRetryMs = nil
            for listener in 0..<Self.listenersMax { closeListener(UInt32(listener)) }
        } else {
            for listener in 0..<Self.listenersMax where unsafe listenerFDs[listener] >= 0 {
                driver.stopAccepting(listener: UInt32(listener))
            }
        }
        for index in 0..<untouchedSlots {
            let connection = unsafe connections + index
            guard unsafe connection.pointee.state == .open else { continue }
            if case .events = unsafe connection.pointee.stream, isHTTP(UInt32(index)) {
                endStream(UInt32(index), goesAway: true)
                continue
            }
            if case .webSocket(let session) = unsafe connection.pointee.session {
                unsafe say(goodbyeTo: UInt32(index), session)
                continue
            }
            let waits =
                unsafe connection.pointee.phase == .head && connection.pointee.input.count == 0
                && connection.pointee.blockCount == 0 && connection.pointee.awaitedCount == 0
            if unsafe waits || connection.pointee.flags.contains(.awaitsLoading) {
                close(UInt32(index))
            }
        }
    }

    var acceptsNoMoreRequests: Bool { isDraining }

    /// Ends the connections that were told of a write in this turn.
    mutating func closeTold() {
        for index in 0..<untouchedSlots {
            if unsafe connections[index].toldTurn == turn { close(UInt32(index)) }
        }
    }

    // MARK: The bound on output memory

    /// When slow readers hold most of the block pool, the one that has been stuck the longest is
    /// let go, at most one every few milliseconds, so that others can be answered.
    private mutating func closeMostStalled() {
        guard nowMs >= stalledCheckMs else { return }
        stalledCheckMs = nowMs + Self.exhaustedRetryMs
        var worst: UInt32? = nil
        // Only readers who took nothing for a second are stuck; others are merely slow.
        var earliest = nowMs + ShardSettings.sendStallMs - 1_000
        for index in 0..<untouchedSlots {
            let connection = unsafe connections + index
            guard unsafe connection.pointee.state == .open,
                unsafe connection.pointee.deadlineMeaning == .send,
                unsafe connection.pointee.deadlineMs < earliest
            else { continue }
            earliest = unsafe connection.pointee.deadlineMs
            worst = UInt32(index)
        }
        if let worst { close(worst) }
    }
}
