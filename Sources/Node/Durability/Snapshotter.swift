import Journal
import Keyspace
import Machine
import Synchronization

/// The node's snapshots: when one is taken, and the file that all shards write into together.
///
/// One at a time, in steps that no shard waits for. Each shard begins a new segment of its log and
/// says where it begins (`begin`); when all have, one worker makes the file. Each shard walks its
/// records and hands them over in rows, which the worker packs and writes. When all have walked
/// (`walked`), no shard lets a transaction begin until none is under way anywhere (`settled`) and
/// each has said how far its log goes (`ended`): so what the walks saw of transactions is theirs
/// whole, and need not be looked up when the logs that have their ends are gone. Once every log is
/// synced so far (`synced`), the worker finishes the file, puts it in the place of the one before,
/// writes the manifest, and removes what is no longer needed.
@safe final class Snapshotter: @unchecked Sendable {
    /// What the last snapshots came to.
    struct Figures: Sendable {
        var taken: UInt64 = 0
        var failed: UInt64 = 0
        var bytes = 0
        var records: UInt64 = 0
        var durationMs: UInt64 = 0
        var lastFailed = false
    }

    private struct Run {
        var starts: [CommitPosition]
        var segments: [UInt32]
        var ends: [CommitPosition]
        /// Shards that have still to say what the stage waits for.
        var missing: Int
        var file: SnapshotFile?
        var failure: DiskFailure?
        var beganMs: UInt64
        var logBytesAtStart: UInt64
    }

    @safe private struct State {
        var run: Run?
        var manifest: Manifest
        var figures = Figures()
        /// Not before this time after a failure.
        var retryMs: UInt64 = 0
    }

    /// After a snapshot that failed the next one waits so long.
    private static let retryAfterMs: UInt64 = 60_000
    private let disk: FileDisk
    private let epoch: Epoch
    private let state: Guarded<State>
    private let worker: WorkerPool
    private let wakers: [Waker]
    private let log: Log
    private let signals: UnsafeMutablePointer<SnapshotSignals>

    init(
        _ disk: FileDisk, _ manifest: Manifest, epoch: Epoch,
        signals: UnsafeMutablePointer<SnapshotSignals>, worker: WorkerPool, wakers: [Waker],
        log: Log
    ) {
        self.disk = disk
        self.epoch = epoch
        self.wakers = wakers
        self.log = log
        unsafe self.signals = unsafe signals
        unsafe signals.pointee.number.store(manifest.snapshot, ordering: .relaxed)
        state = Guarded(State(manifest: manifest))
        self.worker = worker
    }

    var figures: Figures { state.withLock { $0.figures } }

    /// Starts a snapshot unless one is running; false where it can't be now.
    @discardableResult
    func request(at nowMs: UInt64) -> Bool {
        let isStarted = state.withLock { state in
            guard state.run == nil, nowMs >= state.retryMs else { return false }
            let none = [CommitPosition](repeating: 0, count: epoch.shards)
            unsafe state.run = Run(
                starts: none, segments: Array(repeating: 0, count: epoch.shards), ends: none,
                missing: epoch.shards, beganMs: nowMs,
                logBytesAtStart: signals.pointee.logBytes.load(ordering: .relaxed))
            unsafe signals.pointee.number.add(1, ordering: .relaxed)
            unsafe signals.pointee.stage.store(.beginning, ordering: .releasing)
            return true
        }
        if isStarted { wakeAll() }
        return isStarted
    }

    private func wakeAll() { for waker in wakers { waker.wake() } }

    // MARK: What shards say

    /// A shard's log begins a new segment: everything up to `start` is before it.
    func begin(_ shard: Int, start: CommitPosition, segment: UInt32) {
        let isLast = state.withLock { state in
            state.run?.starts[shard] = start
            state.run?.segments[shard] = segment
            return countDown(&state)
        }
        if isLast { WorkerStep.submit(to: worker) { [self] in makeFile() } }
    }

    /// A shard has walked to its end.
    func walked() { count(then: .settling) }

    /// A shard has no transaction under way, and lets none begin.
    func settled() { count(then: .ending) }

    /// A shard's log goes up to `end`, and nothing the walk saw comes after it.
    func ended(_ shard: Int, end: CommitPosition) {
        state.withLock { $0.run?.ends[shard] = end }
        count(then: .syncing)
    }

    /// A shard's log is synced up to its end; or the disk failed, and what the log holds is not
    /// known: then the snapshot would promise too much.
    func synced(logFailure: DiskFailure?) {
        let isLast = state.withLock { state in
            if let logFailure { state.run?.failure = logFailure }
            return countDown(&state)
        }
        guard isLast else { return }
        unsafe signals.pointee.stage.store(.finishing, ordering: .releasing)
        WorkerStep.submit(to: worker) { [self] in finish() }
    }

    /// One shard more is done with a stage; the last begins the next.
    private func count(then next: SnapshotSignals.Stage) {
        let isLast = state.withLock { state in
            guard countDown(&state) else { return false }
            state.run?.missing = epoch.shards
            return true
        }
        guard isLast else { return }
        unsafe signals.pointee.stage.store(next, ordering: .releasing)
        wakeAll()
    }

    private func countDown(_ state: inout State) -> Bool {
        guard state.run != nil else { return false }
        state.run!.missing -= 1
        return state.run!.missing == 0
    }

    /// Rows to be packed and written; they come back to the inbox.
    func add(_ rows: RowsJob.Place) -> Bool {
        unsafe rows.pointee.snapshotter = Unmanaged.passUnretained(self)
        return unsafe worker.submit(RowsJob.asJob(rows))
    }

    // MARK: The worker's side

    fileprivate func write(_ rows: SnapshotRows) {
        let file = state.withLock { $0.run?.failure == nil ? $0.run?.file : nil }
        guard let file else { return rows.clear() }
        let isFirst = file.footer.records == 0
        // Rare enough to be the moment, and what it took to begin one is behind it by then.
        defer { if isFirst { StartupPages.forget() } }
        do throws(DiskFailure) {
            try file.add(rows)
        } catch {
            state.withLock { $0.run?.failure = error }
        }
    }

    private func makeFile() {
        let header = state.withLock { state in
            unsafe SnapshotHeader(
                epoch: epoch, number: signals.pointee.number.load(ordering: .relaxed),
                starts: state.run?.starts ?? [])
        }
        do throws(DiskFailure) {
            let file = try SnapshotFile(disk, header)
            state.withLock { $0.run?.file = file }
        } catch {
            state.withLock { $0.run?.failure = error }
        }
        // Shards walk in any case: one way to the end is enough.
        state.withLock { $0.run?.missing = epoch.shards }
        unsafe signals.pointee.stage.store(.walking, ordering: .releasing)
        wakeAll()
    }

    private func finish() {
        defer { StartupPages.forget() }
        let nowMs = Clock.monotonicMs()
        guard let run = state.withLock({ $0.run }) else { return }
        var failure = run.failure
        if failure == nil, let file = run.file {
            do throws(DiskFailure) {
                try file.finish(ends: run.ends)
                try file.publish()
                let manifest = state.withLock { $0.manifest }
                    .covered(by: file.header, firstSegments: run.segments)
                try manifest.write(disk)
                state.withLock { $0.manifest = manifest }
                unsafe signals.pointee.logBytes.subtract(
                    run.logBytesAtStart, ordering: .relaxed)
                unsafe signals.pointee.bytes.store(UInt64(file.bytes), ordering: .relaxed)
                // What can't be removed now is removed at the next start.
                for path in (try? manifest.unneeded(disk)) ?? [] { try? disk.remove(path) }
            } catch {
                failure = error
            }
        }
        let durationMs = nowMs &- run.beganMs
        if let failure {
            run.file?.abandon()
            log.error(
                "snapshot failed", ("error", "\(failure)"),
                ("hint", "the log is kept, so nothing is lost; it is tried again in a minute"))
        } else if let file = run.file {
            log.info(
                "snapshot", ("records", "\(file.footer.records)"), ("bytes", "\(file.bytes)"),
                ("ms", "\(durationMs)"))
        }
        state.withLock { state in
            if failure == nil, let file = run.file {
                state.figures.taken += 1
                state.figures.lastFailed = false
                state.figures.bytes = file.bytes
                state.figures.records = file.footer.records
                state.figures.durationMs = durationMs
            } else {
                state.figures.failed += 1
                state.figures.lastFailed = true
                state.retryMs = nowMs + Self.retryAfterMs
            }
            state.run = nil
        }
        unsafe signals.pointee.stage.store(.idle, ordering: .releasing)
        unsafe signals.pointee.ended.add(1, ordering: .releasing)
        wakeAll()
    }
}

/// What shards look at each turn to see whether a snapshot concerns them: a few words, read without
/// a lock.
@safe struct SnapshotSignals: ~Copyable {
    /// How far the running snapshot is.
    enum Stage: UInt8, AtomicRepresentable {
        case idle, beginning, walking, settling, ending, syncing, finishing
    }

    /// The number of the snapshot that is running or was last; shards compare it with the last one
    /// they took part in.
    let number = Atomic<UInt64>(0)
    let stage = Atomic<Stage>(.idle)
    /// Snapshots that have ended, one way or the other.
    let ended = Atomic<UInt64>(0)
    /// Bytes of log that the last snapshot does not cover.
    let logBytes = Atomic<UInt64>(0)
    /// How large the last snapshot is.
    let bytes = Atomic<UInt64>(0)

    /// The number of the dump that is running or was last, and of the last that has ended.
    let dump = Atomic<UInt64>(0)
    let dumpsEnded = Atomic<UInt64>(0)

    var isRunning: Bool { stage.load(ordering: .acquiring) != .idle }
    var isDumping: Bool {
        dumpsEnded.load(ordering: .acquiring) != dump.load(ordering: .relaxed)
    }
}

/// Rows of a shard on their way to the worker and back.
@safe struct RowsJob {
    var job: Job
    let rows: SnapshotRows
    fileprivate var snapshotter: Unmanaged<Snapshotter>?

    typealias Place = UnsafeMutablePointer<RowsJob>

    static func make(shard: Int, _ inbox: CompletionInbox) -> Place {
        let place = Place.allocate(capacity: 1)
        unsafe place.initialize(
            to: RowsJob(
                job: Job(inbox: inbox) { memory in
                    let place = unsafe memory.assumingMemoryBound(to: RowsJob.self)
                    let rows = unsafe place.pointee.rows
                    unsafe place.pointee.snapshotter?._withUnsafeGuaranteedRef { $0.write(rows) }
                }, rows: SnapshotRows(shard: shard), snapshotter: nil))
        return unsafe place
    }

    static func free(_ place: Place) {
        unsafe place.deinitialize(count: 1)
        unsafe place.deallocate()
    }

    static func asJob(_ place: Place) -> UnsafeMutablePointer<Job> {
        unsafe UnsafeMutableRawPointer(place).assumingMemoryBound(to: Job.self)
    }

    static func of(_ job: UnsafeMutablePointer<Job>) -> Place {
        unsafe UnsafeMutableRawPointer(job).assumingMemoryBound(to: RowsJob.self)
    }
}
