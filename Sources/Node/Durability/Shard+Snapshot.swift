import Identity
import Journal
import Keyspace
import Machine
import Synchronization
import Wire

/// A shard's way through the snapshot that the node is taking.
@safe struct SnapshotWalk {
    enum Stage: UInt8 {
        case none
        /// The log is to begin a new segment first.
        case rotating
        /// All shards have to have begun, and the file has to be there.
        case waiting
        case walking
        /// All rows are handed over; all shards have to have come so far.
        case walked
        /// No transaction begins, and the last one under way is to come to its end.
        case settling
        /// No shard has one under way any more once all have come here.
        case settled
        /// All shards have to have said where they end; then transactions begin again.
        case ended
        /// The log is to be synced up to the walk's end.
        case syncing
    }

    var stage = Stage.none
    /// The last snapshot this shard took part in.
    var number: UInt64 = 0
    var cursor: UInt64 = 0
    var isAtEnd = false
    var end: CommitPosition = 0
    /// Of the log, the first that the snapshot does not stand for.
    var segment: UInt32 = 0
    /// Rows that can be filled, and how many are with the worker.
    var free: [RowsJob.Place] = unsafe []
    var rowsOut = 0

    /// Whether there are rows to be filled, or full ones to be handed over.
    var canGoOn: Bool {
        guard let next = unsafe free.first else { return false }
        return unsafe !isAtEnd || !next.pointee.rows.isEmpty
    }

    /// Two keep both the shard and the worker busy.
    static let rowsPerShard = 2
    /// What a turn spends on walking: a slice is some hundreds of records, and after it a request
    /// has its turn.
    static let sliceNsMax: UInt64 = 100_000
    /// With less in the log there is no snapshot by time or at the end.
    static let logBytesMin: UInt64 = 64 << 10
    /// What is held in memory at most for a snapshot at the end: some two seconds of work.
    static let drainBytesMax: UInt64 = 256 << 20
}

extension Shard {
    /// The running snapshot's share of this turn. Called where nothing else works on the keyspace.
    mutating func goOnSnapshot() {
        let signals = unsafe durability.signals
        if number == 0, nowMs >= nextSnapshotMs { snapshotByTime() }
        if snapshotWalk.stage == .none {
            let latest = unsafe signals.pointee.number.load(ordering: .relaxed)
            guard snapshotWalk.number != latest, unsafe signals.pointee.isRunning else { return }
            snapshotWalk.number = latest
            snapshotWalk.stage = .rotating
        }
        guard let snapshotter = durability.snapshotter, let keeper = unsafe keeper else { return }
        readRows()
        // A log that failed gets no new segment; the snapshot fails at its end, as any other does.
        if snapshotWalk.stage == .rotating,
            unsafe keeper.pointee.logFailure != nil || keeper.pointee.rotate()
        {
            unsafe snapshotWalk.segment = keeper.pointee.openSequence
            unsafe snapshotter.begin(
                number, start: keeper.pointee.writer.appended, segment: snapshotWalk.segment)
            snapshotWalk.stage = .waiting
        }
        if snapshotWalk.stage == .waiting,
            unsafe signals.pointee.stage.load(ordering: .acquiring) == .walking
        {
            beginWalk()
        }
        if snapshotWalk.stage == .walking { walkOn(snapshotter) }
        if snapshotWalk.stage.rawValue >= SnapshotWalk.Stage.walked.rawValue {
            goOnEnding(snapshotter)
        }
        if snapshotWalk.stage == .syncing,
            unsafe keeper.pointee.covers(snapshotWalk.end, from: snapshotWalk.segment)
                || keeper.pointee.writer.state == .failed
        {
            snapshotWalk.stage = .none
            snapshotter.synced(logFailure: unsafe keeper.pointee.logFailure)
        }
    }

    /// From the walk's end to the end of what the snapshot says of the log: a moment when no
    /// transaction is under way on any shard.
    private mutating func goOnEnding(_ snapshotter: Snapshotter) {
        let stage = unsafe durability.signals.pointee.stage.load(ordering: .acquiring)
        if snapshotWalk.stage == .walked, stage == .settling {
            let resp = unsafe resp
            unsafe resp.pointee.holdsBack = true
            snapshotWalk.stage = .settling
        }
        if snapshotWalk.stage == .settling, unsafe resp.pointee.underWay == 0 {
            snapshotWalk.stage = .settled
            snapshotter.settled()
        }
        if snapshotWalk.stage == .settled,
            unsafe durability.signals.pointee.stage.load(ordering: .acquiring) == .ending,
            let keeper = unsafe keeper
        {
            snapshotWalk.stage = .ended
            unsafe snapshotWalk.end = keeper.pointee.writer.appended
            unsafe keeper.pointee.wantSync(upTo: snapshotWalk.end, from: snapshotWalk.segment)
            snapshotter.ended(number, end: snapshotWalk.end)
        }
        if snapshotWalk.stage == .ended,
            unsafe durability.signals.pointee.stage.load(ordering: .acquiring) == .syncing
        {
            snapshotWalk.stage = .syncing
            beginHeldBack()
        }
    }

    /// Whether the next turn should come at once.
    var snapshotGoesOn: Bool {
        mutating get {
            if snapshotWalk.stage == .settling { return unsafe resp.pointee.underWay == 0 }
            // At its end only rows that are still being written are waited for, and they wake us.
            return snapshotWalk.stage == .walking && snapshotWalk.canGoOn
        }
    }

    private mutating func beginWalk() {
        snapshotWalk.stage = .walking
        snapshotWalk.cursor = 0
        snapshotWalk.isAtEnd = false
        for _ in 0..<SnapshotWalk.rowsPerShard {
            unsafe snapshotWalk.free.append(
                RowsJob.make(shard: number, durability.rowsInboxes[number]))
        }
    }

    private mutating func walkOn(_ snapshotter: Snapshotter) {
        let start = Clock.monotonicNs()
        while snapshotWalk.canGoOn {
            let rows = unsafe snapshotWalk.free[0]
            if unsafe !rows.pointee.rows.isFull, !snapshotWalk.isAtEnd {
                snapshotWalk.isAtEnd = unsafe !step(rows.pointee.rows)
            }
            // With a full queue they are handed over in a later turn.
            if unsafe rows.pointee.rows.isFull || snapshotWalk.isAtEnd,
                unsafe !handOver(rows, snapshotter)
            {
                break
            }
            if Clock.monotonicNs() &- start >= SnapshotWalk.sliceNsMax { break }
        }
        figures.countSlice(ns: Clock.monotonicNs() &- start)
        guard snapshotWalk.isAtEnd, !snapshotWalk.canGoOn, snapshotWalk.rowsOut == 0
        else { return }
        for place in unsafe snapshotWalk.free.indices {
            unsafe RowsJob.free(snapshotWalk.free[place])
        }
        unsafe snapshotWalk.free.removeAll()
        snapshotWalk.stage = .walked
        snapshotter.walked()
    }

    /// Copies the next records; false when they were the last.
    private mutating func step(_ rows: SnapshotRows) -> Bool {
        var cursor = snapshotWalk.cursor
        let owners = owners
        let nobody = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        let isMore = keyspace.walk(&cursor) { record in
            // A table that another shard has made since.
            if Int(record.table) >= tables.count { registry.update(&tables) }
            let info = tables[record.table]
            let owner = owners.identifier(of: record.owner.rawValue)
            unsafe rows.add(
                LogRecord(
                    walked: record, slot: Slot.of(record.key, offset: info.slotOffset),
                    owner: OwnerID(high: owner.high, low: owner.low), space: info.space,
                    table: tables.name(record.table) ?? nobody))
        }
        snapshotWalk.cursor = cursor
        return isMore
    }

    private mutating func handOver(_ rows: RowsJob.Place, _ snapshotter: Snapshotter) -> Bool {
        if unsafe rows.pointee.rows.isEmpty { return true }
        guard unsafe snapshotter.add(rows) else { return false }
        unsafe snapshotWalk.free.removeFirst()
        snapshotWalk.rowsOut += 1
        return true
    }

    private mutating func readRows() {
        let inbox = durability.rowsInboxes[number]
        guard !inbox.isEmpty else { return }
        var next = unsafe inbox.drain()
        while let job = unsafe next {
            unsafe next = unsafe job.pointee.next
            unsafe snapshotWalk.free.append(RowsJob.of(job))
            snapshotWalk.rowsOut -= 1
        }
    }

    // MARK: When

    /// The log has grown: a snapshot is due when it has grown enough since the last one.
    mutating func noteLogGrowth() {
        guard let keeper = unsafe keeper else { return }
        let written = unsafe keeper.pointee.writer.bytesWritten
        guard written != countedLogBytes else { return }
        let total = unsafe durability.signals.pointee.logBytes
            .add(written &- countedLogBytes, ordering: .relaxed).newValue
        countedLogBytes = written
        // Keys are spread evenly, so the other shards have as much.
        let recordBytes = unsafe keyspace.liveBytes * state.pointee.shardCount
        if total >= durability.snapshotDueBytes(recordBytes: recordBytes) { requestSnapshot() }
    }

    mutating func requestSnapshot() {
        guard unsafe !durability.signals.pointee.isRunning else { return }
        durability.snapshotter?.request(at: nowMs)
    }

    private mutating func snapshotByTime() {
        nextSnapshotMs = nowMs + durability.snapshotEveryMs
        if hasSnapshotWork { requestSnapshot() }
    }

    /// Whether there is enough in the log to make a snapshot worth its while.
    private var hasSnapshotWork: Bool {
        mutating get {
            unsafe durability.signals.pointee.logBytes.load(ordering: .relaxed)
                >= SnapshotWalk.logBytesMin
        }
    }

    /// When the first shard has to look for a snapshot that is due by time.
    var nextTimedSnapshotMs: UInt64? {
        mutating get { number == 0 && !isLoading && hasSnapshotWork ? nextSnapshotMs : nil }
    }

    /// A drain leaves a small directory that starts quickly, where that takes no longer than a drain
    /// may.
    mutating func snapshotBeforeEnd() {
        guard number == 0, hasSnapshotWork else { return }
        var bytes: UInt64 = 0
        for shard in unsafe 0..<state.pointee.shardCount {
            unsafe bytes += state.pointee.figures[shard].tally.keyspaceBytes
        }
        if bytes <= SnapshotWalk.drainBytesMax { requestSnapshot() }
    }

    // MARK: By hand

    /// `POST /admin/snapshot`: takes one, and answers when it is there.
    mutating func routeSnapshot(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape
    ) {
        switch request.method {
        case .post: break
        case .options: return replyOptions(index, request, shape, allow: "POST, OPTIONS")
        default: return replyNotAllowed(index, shape, allow: "POST, OPTIONS")
        }
        guard isAdmin(index, request, shape) else { return }
        guard let snapshotter = durability.snapshotter else { return replyLoading(index, shape) }
        guard snapshotter.request(at: nowMs) else {
            return replyError(
                index, shape, .conflict, "A snapshot is being taken, or failed a moment ago")
        }
        snapshotWaiters.append(awaitAnswer(index, shape))
        unsafe snapshotsEnded = durability.signals.pointee.ended.load(ordering: .relaxed)
    }

    /// Answers those who asked for a snapshot once it has ended.
    mutating func answerSnapshotWaiters() {
        guard !snapshotWaiters.isEmpty,
            unsafe durability.signals.pointee.ended.load(ordering: .acquiring) != snapshotsEnded,
            let snapshotter = durability.snapshotter
        else { return }
        let figures = snapshotter.figures
        let waiters = snapshotWaiters
        snapshotWaiters.removeAll()
        let text =
            "{\"status\":\"done\",\"records\":\(figures.records),\"bytes\":\(figures.bytes),"
            + "\"ms\":\(figures.durationMs)}"
        let body = Array(text.utf8)
        for ticket in waiters {
            deliver(ticket) { shard, index, shape in
                if figures.lastFailed {
                    return shard.replyError(
                        index, shape, .serviceUnavailable,
                        "The snapshot failed: the node's log says why")
                }
                unsafe body.withUnsafeBytes { bytes in
                    unsafe shard.reply(
                        index, shape, .ok, contentType: "application/json", bytes)
                }
            }
        }
    }
}
