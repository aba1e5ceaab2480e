import Synchronization

/// Where workers put the jobs of one shard when they are over: a stack that any thread pushes on
/// and the shard takes whole, with one exchange each.
///
/// The list runs through the jobs themselves, so it needs no memory and can't be full. Because it
/// is only ever taken whole, no job can leave and return between a worker's look and its exchange,
/// which is what makes such a stack safe.
@safe public struct CompletionInbox: @unchecked Sendable {
    /// Wakes the shard, by writing to its eventfd, say. Called on a worker's thread.
    public typealias Wake = @convention(c) (UInt) -> Void

    private struct State: ~Copyable {
        let top = Atomic<UInt>(0)
        let wake: Wake
        let argument: UInt
    }

    private let state: UnsafeMutablePointer<State>

    /// `wake` is called with `argument` whenever a job comes into an empty inbox: once for all the
    /// jobs until the shard drains. The inbox lives until `destroy`.
    public init(argument: UInt, wake: @escaping Wake) {
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(to: State(wake: wake, argument: argument))
    }

    /// Frees the inbox. Only after the pools that were given jobs for it have been shut down.
    public func destroy() {
        unsafe state.deinitialize(count: 1)
        unsafe state.deallocate()
    }

    public var isEmpty: Bool { unsafe state.pointee.top.load(ordering: .relaxed) == 0 }

    /// All jobs that have come back since the last call, in the order in which they did, linked by
    /// `next`. For the owning shard alone.
    public func drain() -> UnsafeMutablePointer<Job>? {
        // The shard looks each turn: no exchange where there is nothing.
        if isEmpty { return nil }
        let top = unsafe state.pointee.top.exchange(0, ordering: .acquiring)
        var newest = unsafe UnsafeMutablePointer<Job>(bitPattern: top)
        var ordered: UnsafeMutablePointer<Job>?
        while let job = unsafe newest {
            unsafe newest = unsafe job.pointee.next
            unsafe job.pointee.next = unsafe ordered
            unsafe ordered = unsafe job
        }
        return unsafe ordered
    }

    /// A worker's side. From the exchange on the job is its owner's again.
    func post(_ job: UnsafeMutablePointer<Job>) {
        var top = unsafe state.pointee.top.load(ordering: .relaxed)
        while true {
            unsafe job.pointee.next = unsafe UnsafeMutablePointer(bitPattern: top)
            let (exchanged, original) = unsafe state.pointee.top.weakCompareExchange(
                expected: top, desired: UInt(bitPattern: job), successOrdering: .releasing,
                failureOrdering: .relaxed)
            if exchanged { break }
            top = original
        }
        if top == 0 { unsafe state.pointee.wake(state.pointee.argument) }
    }
}
