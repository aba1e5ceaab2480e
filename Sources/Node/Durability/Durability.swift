import Machine
import Options
import Synchronization

/// What all shards share of the node's durability.
@safe struct Durability: @unchecked Sendable {
    let disk: FileDisk
    let policy: FsyncPolicy
    /// For everything that waits for the disk.
    let workers: WorkerPool
    private let handover: UnsafeMutablePointer<Handover>

    /// Where loaded shards wait for their threads.
    @safe private struct Handover: ~Copyable {
        let isComplete = Atomic<Bool>(false)
        /// Written before `isComplete`, read after it; each by its shard, once.
        var shards: [LoadedShard.Place] = unsafe []
    }

    /// Jobs that can be under way: each shard has a sync, a segment and a few to be cut.
    private static let jobsMax = 64 * 1024

    static func make(
        _ disk: FileDisk, _ policy: FsyncPolicy, shardCount: Int
    ) throws(SystemError) -> Durability {
        // One shard's slow sync must not keep another's waiting, nor the making of a segment.
        let workers = try WorkerPool.start(
            name: "disk", threads: shardCount + 1, queuedJobsMax: jobsMax)
        let handover = UnsafeMutablePointer<Handover>.allocate(capacity: 1)
        unsafe handover.initialize(to: Handover())
        return unsafe Durability(disk: disk, policy: policy, workers: workers, handover: handover)
    }

    private init(
        disk: FileDisk, policy: FsyncPolicy, workers: WorkerPool,
        handover: UnsafeMutablePointer<Handover>
    ) {
        self.disk = disk
        self.policy = policy
        self.workers = workers
        unsafe self.handover = unsafe handover
    }

    /// Whether every shard's records are read. Once one shard has seen it, so has every shard it
    /// writes to from then on.
    var isLoaded: Bool { unsafe handover.pointee.isComplete.load(ordering: .acquiring) }

    /// Gives all shards what was loaded.
    func hand(_ shards: [LoadedShard.Place]) {
        unsafe handover.pointee.shards = unsafe shards
        unsafe handover.pointee.isComplete.store(true, ordering: .releasing)
    }

    /// A shard's part; called once by each, after `isLoaded`.
    func loaded(_ shard: Int) -> LoadedShard.Place { unsafe handover.pointee.shards[shard] }
}
