import Machine

/// Work for a pool of one thread that nobody waits for: the steps of a snapshot or a dump between
/// its rows, in the order in which they were submitted.
@safe struct WorkerStep {
    private var job: Job
    private let body: @Sendable () -> Void

    private typealias Place = UnsafeMutablePointer<WorkerStep>

    /// The next step frees those before it: all run on one thread.
    private static let inbox = CompletionInbox(argument: 0) { _ in }

    static func submit(to worker: WorkerPool, _ body: @escaping @Sendable () -> Void) {
        let place = Place.allocate(capacity: 1)
        unsafe place.initialize(
            to: WorkerStep(job: Job(inbox: inbox) { unsafe WorkerStep.run($0) }, body: body))
        let job = unsafe UnsafeMutableRawPointer(place).assumingMemoryBound(to: Job.self)
        let isSubmitted = unsafe worker.submit(job)
        invariant(isSubmitted, "no room for a worker's step")
    }

    private static func run(_ memory: UnsafeMutableRawPointer) {
        freeReturned()
        let place = unsafe memory.assumingMemoryBound(to: WorkerStep.self)
        unsafe place.pointee.body()
    }

    private static func freeReturned() {
        var next = unsafe inbox.drain()
        while let job = unsafe next {
            unsafe next = unsafe job.pointee.next
            let place = unsafe UnsafeMutableRawPointer(job).assumingMemoryBound(
                to: WorkerStep.self)
            unsafe place.deinitialize(count: 1)
            unsafe place.deallocate()
        }
    }
}
