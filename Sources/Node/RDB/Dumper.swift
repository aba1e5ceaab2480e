import Machine
import Synchronization

/// The node's dumps for Redis, which SAVE and BGSAVE write: one at a time, of a node that goes on
/// serving.
///
/// Each shard walks its databases in the order of their keys, a slice a turn, and hands rows to the
/// one worker that writes the file beside the old one, syncs it and puts it in the old one's place.
/// So a key is written once, as it was when the walk came by: what changes meanwhile is in the file
/// as it was before or as it is after, key by key. Nothing is copied on write and nobody waits.
@safe final class Dumper: @unchecked Sendable {
    /// What clients are told of dumps.
    struct Figures: Sendable {
        /// Those that went well.
        var saves: UInt64 = 0
        /// When the last of them ended, in seconds since 1970; before the first, when the node began.
        var lastSaveS: Int64
        var lastFailed = false
        /// How long the last one took, whatever came of it.
        var lastTookMs: UInt64?
        /// Since when one is running.
        var beganMs: UInt64?
        /// The changes, of all shards and since the start, that the last good one holds.
        var changesSaved: UInt64 = 0
    }

    private struct Run {
        /// Shards that have not come to their end.
        var missing: Int
        var beganMs: UInt64
        /// The changes that shards had made when they began.
        var changes: UInt64 = 0
        var leftOut = 0
        /// Records of each database, of the shards that have begun.
        var counts: [UInt64: Int] = [:]
    }

    @safe private struct State {
        var run: Run?
        var figures: Figures
    }

    let path: String
    private let shards: Int
    private let worker: WorkerPool
    private let signals: UnsafeMutablePointer<SnapshotSignals>
    private let wakers: [Waker]
    private let log: Log
    private let state: Guarded<State>
    /// The worker's own.
    private var file: DumpExport?
    private var failure: SystemError?

    init(
        to path: String, startedS: Int64, signals: UnsafeMutablePointer<SnapshotSignals>,
        worker: WorkerPool, wakers: [Waker], log: Log
    ) {
        self.path = path
        shards = wakers.count
        self.worker = worker
        unsafe self.signals = unsafe signals
        self.wakers = wakers
        self.log = log
        state = Guarded(State(figures: Figures(lastSaveS: startedS)))
    }

    var figures: Figures { state.withLock { $0.figures } }

    /// Begins a dump and answers its number; nil where one is running.
    func request(at nowMs: UInt64) -> UInt64? {
        let isStarted = state.withLock { state in
            guard state.run == nil else { return false }
            state.run = Run(missing: shards, beganMs: nowMs)
            state.figures.beganMs = nowMs
            return true
        }
        guard isStarted else { return nil }
        // Before any shard can have rows for it.
        WorkerStep.submit(to: worker) { [self] in open() }
        let number = unsafe signals.pointee.dump.add(1, ordering: .releasing).newValue
        wakeAll()
        return number
    }

    private func wakeAll() { for waker in wakers { waker.wake() } }

    // MARK: What shards say

    /// A shard begins, with so many records in each database, and in tables that are none.
    func begin(_ counts: [(database: UInt64, records: Int)], leftOut: Int, changes: UInt64) {
        state.withLock { state in
            for (database, records) in counts {
                state.run?.counts[database, default: 0] += records
            }
            state.run?.leftOut += leftOut
            state.run?.changes &+= changes
        }
    }

    /// Rows to be written; they come back to the inbox. False: not now.
    func add(_ rows: DumpRowsJob.Place) -> Bool {
        unsafe DumpRowsJob.submit(rows, to: worker, for: self)
    }

    /// A shard's rows have all come back.
    func walked() {
        let isLast = state.withLock { state in
            guard let missing = state.run?.missing else { return false }
            state.run?.missing = missing - 1
            return missing == 1
        }
        if isLast { WorkerStep.submit(to: worker) { [self] in finish() } }
    }

    // MARK: The worker's side

    private func open() {
        failure = nil
        do throws(SystemError) { file = try DumpExport(path) } catch { failure = error }
    }

    func write(_ rows: DumpRows) {
        defer { rows.clear() }
        guard failure == nil, let file else { return }
        if file.database != rows.database {
            let records = state.withLock { $0.run?.counts[rows.database] }
            file.select(rows.database, records: records ?? 0)
        }
        do throws(SystemError) {
            try rows.each { (row) throws(SystemError) in try file.add(row) }
        } catch {
            failure = error
        }
    }

    private func finish() {
        var written = 0
        if failure == nil, let file {
            do throws(SystemError) {
                try file.end()
                written = file.written
            } catch {
                failure = error
            }
        }
        if failure != nil { file?.abandon() }
        file = nil
        guard let run = state.withLock({ $0.run }) else { return }
        let tookMs = Clock.monotonicMs() &- run.beganMs
        if let failure {
            log.error("save failed", ("file", path), ("error", "\(failure)"))
        } else {
            log.info("saved", ("file", path), ("records", "\(written)"), ("ms", "\(tookMs)"))
            if run.leftOut > 0 {
                log.warn(
                    "not saved", ("records", "\(run.leftOut)"), ("why", DumpNames.leftOut))
            }
        }
        let isGood = failure == nil
        state.withLock { state in
            if isGood {
                state.figures.saves += 1
                state.figures.lastSaveS = Int64(Clock.wallMs()) / 1000
                state.figures.changesSaved = run.changes
            }
            state.figures.lastFailed = !isGood
            state.figures.lastTookMs = tookMs
            state.figures.beganMs = nil
            state.run = nil
        }
        unsafe signals.pointee.dumpsEnded.add(1, ordering: .releasing)
        wakeAll()
    }
}
