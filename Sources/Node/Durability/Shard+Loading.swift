import Keyspace
import Machine
import Options
import Synchronization

/// A shard before and after the files of earlier runs are read. Before, it answers that the node is
/// loading.
extension Shard {
    var isLoading: Bool { unsafe keeper == nil }

    /// Takes over the records and the log that were loaded, once all shards' are.
    ///
    /// Asked each turn, and once more when another shard sends work: it may have seen the end of
    /// loading an instant before.
    mutating func takeLoaded() {
        guard isLoading, durability.isLoaded else { return }
        let place = unsafe durability.loaded(number)
        let loaded = unsafe place.move()
        unsafe place.deallocate()
        keyspace = loaded.keyspace
        loadedPosition = keyspace.position
        if let desk = unsafe desk {
            for account in loaded.accounts { unsafe desk.pointee.adopt(account) }
        }
        commitPoint.waitsForDisk = durability.policy == .always
        // What was read is safe: it was synced before the run began.
        commitPoint.synced(0, keyspace.clock.last)
        let kept = UnsafeMutablePointer<LogKeeper>.allocate(capacity: 1)
        unsafe kept.initialize(
            to: LogKeeper(
                loaded.writer, disk: durability.disk, policy: durability.policy,
                workers: durability.workers, waker: state.pointee.wakers[number]))
        unsafe keeper = unsafe kept
        registry.update(&tables)
        nextSnapshotMs = nowMs + durability.snapshotEveryMs
        // The number that is there already was taken by an earlier run.
        unsafe snapshotWalk.number = durability.signals.pointee.number.load(ordering: .relaxed)
        measureKeyspace()
        durability.hasTaken()
        resumeAwaitingStreams()
    }

    /// The last thing before the shard's thread ends.
    mutating func finishLog() {
        guard let keeper = unsafe keeper else { return }
        unsafe keeper.pointee.finish(at: nowMs)
        unsafe keeper.deinitialize(count: 1)
        unsafe keeper.deallocate()
        unsafe self.keeper = nil
    }
}
