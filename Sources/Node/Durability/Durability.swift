import Machine
import Options
import Synchronization

/// What all shards share of the node's durability.
@safe struct Durability: @unchecked Sendable {
    let disk: FileDisk
    let policy: FsyncPolicy
    /// A snapshot is due after so many bytes of log, and after so long if there is any.
    let snapshotAfterBytes: UInt64
    let snapshotEveryMs: UInt64
    /// For everything that waits for the disk.
    let workers: WorkerPool
    let signals: UnsafeMutablePointer<SnapshotSignals>
    /// Where each shard's rows come back.
    let rowsInboxes: [CompletionInbox]
    let dumpInboxes: [CompletionInbox]
    /// Where SAVE writes.
    let dumpPath: String
    private let handover: UnsafeMutablePointer<Handover>

    /// What was loaded, until its shards take it.
    @safe private struct Handover: ~Copyable {
        let isComplete = Atomic<Bool>(false)
        /// Shards that have taken their part.
        let taken = Atomic<Int>(0)
        /// Written before `isComplete`, read after it; each by its shard, once.
        var shards: [LoadedShard.Place] = unsafe []
        var snapshotter: Snapshotter? = nil
        var dumper: Dumper? = nil
    }

    /// Rows under way for a snapshot and a dump: two for each shard, and what begins and ends.
    private static let snapshotJobsMax = 1024

    /// Jobs that can be under way: each shard has a sync, a segment and a few to be cut.
    private static let jobsMax = 64 * 1024

    static func make(
        _ disk: FileDisk, in directory: String, _ configuration: Configuration, wakers: [Waker]
    ) throws(SystemError) -> Durability {
        // One shard's slow sync must not keep another's waiting, nor the making of a segment. A sync
        // is a few steps of some microseconds with waits for the disk between them: each that has
        // to wait for a shard's turn on a single processor keeps the disk idle.
        let workers = try WorkerPool.start(
            name: "disk", threads: wakers.count + 1, queuedJobsMax: jobsMax, turns: .promptly)
        let signals = UnsafeMutablePointer<SnapshotSignals>.allocate(capacity: 1)
        unsafe signals.initialize(to: SnapshotSignals())
        let handover = UnsafeMutablePointer<Handover>.allocate(capacity: 1)
        unsafe handover.initialize(to: Handover())
        return unsafe Durability(
            disk: disk, policy: configuration.fsync,
            snapshotAfterBytes: UInt64(configuration.snapshotAfterBytes),
            snapshotEveryMs: UInt64(configuration.snapshotEveryMs), workers: workers,
            signals: signals, rowsInboxes: wakers.map(inbox), dumpInboxes: wakers.map(inbox),
            dumpPath: "\(directory)/\(configuration.dumpName)", handover: handover)
    }

    private static func inbox(_ waker: Waker) -> CompletionInbox {
        CompletionInbox(argument: UInt(waker.descriptor)) {
            Waker(descriptor: Int32($0)).wake()
        }
    }

    private init(
        disk: FileDisk, policy: FsyncPolicy, snapshotAfterBytes: UInt64, snapshotEveryMs: UInt64,
        workers: WorkerPool, signals: UnsafeMutablePointer<SnapshotSignals>,
        rowsInboxes: [CompletionInbox], dumpInboxes: [CompletionInbox], dumpPath: String,
        handover: UnsafeMutablePointer<Handover>
    ) {
        self.disk = disk
        self.policy = policy
        self.snapshotAfterBytes = snapshotAfterBytes
        self.snapshotEveryMs = snapshotEveryMs
        self.workers = workers
        unsafe self.signals = unsafe signals
        self.rowsInboxes = rowsInboxes
        self.dumpInboxes = dumpInboxes
        self.dumpPath = dumpPath
        unsafe self.handover = unsafe handover
    }

    /// Whether every shard's records are read. Once one shard has seen it, so has every shard it
    /// writes to from then on.
    var isLoaded: Bool { unsafe handover.pointee.isComplete.load(ordering: .acquiring) }

    /// Gives all shards what was loaded.
    func go(
        from loaded: Loading.Loaded, startedS: Int64, wakers: [Waker], _ log: Log
    ) throws(LoadFailure) {
        unsafe signals.pointee.logBytes.store(loaded.logBytes, ordering: .relaxed)
        unsafe signals.pointee.bytes.store(loaded.snapshotBytes, ordering: .relaxed)
        let worker: WorkerPool
        do throws(SystemError) {
            worker = try WorkerPool.start(
                name: "snapshot", threads: 1, queuedJobsMax: Self.snapshotJobsMax,
                turns: .inBackground)
        } catch {
            throw LoadFailure("\(error)")
        }
        unsafe handover.pointee.snapshotter = Snapshotter(
            disk, loaded.manifest, epoch: loaded.epoch, signals: signals, worker: worker,
            wakers: wakers, log: log)
        unsafe handover.pointee.dumper = Dumper(
            to: dumpPath, startedS: startedS, signals: signals, worker: worker, wakers: wakers,
            log: log)
        unsafe handover.pointee.shards = unsafe loaded.shards
        unsafe handover.pointee.isComplete.store(true, ordering: .releasing)
    }

    /// A shard's part; called once by each, after `isLoaded`.
    func loaded(_ shard: Int) -> LoadedShard.Place { unsafe handover.pointee.shards[shard] }

    /// A shard has taken its part.
    func hasTaken() { unsafe handover.pointee.taken.add(1, ordering: .relaxed) }

    /// Whether all have: what one says of the whole node is true then.
    var isReady: Bool {
        unsafe handover.pointee.taken.load(ordering: .relaxed) == rowsInboxes.count
    }

    /// nil until everything is loaded.
    var snapshotter: Snapshotter? {
        isLoaded ? unsafe handover.pointee.snapshotter : nil
    }

    /// The same.
    var dumper: Dumper? { isLoaded ? unsafe handover.pointee.dumper : nil }

    /// The log's growth after which a snapshot is due: as much as asked for, twice what the last one
    /// has on the disk, and no less than the records take, which a snapshot has to walk and to pack. So a
    /// node that writes all it can does not spend its time on snapshots.
    func snapshotDueBytes(recordBytes: Int) -> UInt64 {
        unsafe max(
            snapshotAfterBytes, 2 * signals.pointee.bytes.load(ordering: .relaxed),
            UInt64(recordBytes))
    }
}
