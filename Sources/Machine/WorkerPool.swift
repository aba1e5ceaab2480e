import Glibc

/// One piece of slow work, as the first member of memory that its owner keeps until the job comes
/// back in its inbox.
///
/// The work is a plain function, which finds its arguments and leaves its results in the memory
/// around the job:
///
///     struct Hashing { var job: Job; var password: …; var digest: … }
///     job.run = { job in let hashing = job.assumingMemoryBound(to: Hashing.self); … }
@safe public struct Job {
    public typealias Run = @convention(c) (UnsafeMutableRawPointer) -> Void

    public enum Outcome: UInt8, Sendable {
        /// Not yet come back.
        case pending
        /// `run` has returned.
        case finished
        /// The pool was shut down first; `run` was never called.
        case cancelled
    }

    /// Called once on a worker with the address of the job.
    public var run: Run
    /// Where the job goes when it is over.
    public var inbox: CompletionInbox
    public internal(set) var outcome = Outcome.pending
    /// The next in the queue, and in the list that `drain` returns.
    public internal(set) var next: UnsafeMutablePointer<Job>?

    public init(inbox: CompletionInbox, run: @escaping Run) {
        self.inbox = inbox
        unsafe self.run = run
    }
}

/// Threads for work that would stop a shard: password hashes, big files.
///
/// The queue is bounded and a full one is an answer (503 to the client), since a promise to do it
/// later would only hide the overload. A shard never waits here except for the short lock around a
/// few pointers; results come back through the inbox of the job.
@safe public final class WorkerPool: @unchecked Sendable {
    /// One worker at a time hashes, one more works on files.
    public static let threadsDefault = 2

    /// A password hash takes some 60 ms: the last of 64 waits four seconds for one worker. A client
    /// is better told to come again than kept any longer.
    public static let queuedJobsMaxDefault = 64

    public enum Ending: Sendable {
        /// All queued jobs are run first.
        case finishQueued
        /// Queued jobs come back as cancelled; the ones running are waited for.
        case cancelQueued
    }

    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let wakeUp: UnsafeMutablePointer<pthread_cond_t>
    private let threadCount: Int
    private let threads: UnsafeMutablePointer<Thread>
    public let queuedJobsMax: Int

    // All below is guarded by the mutex.
    private var first: UnsafeMutablePointer<Job>?
    private var last: UnsafeMutablePointer<Job>?
    private var queued = 0
    private var isEnding = false

    /// Starts the threads, named after the pool.
    public static func start(
        name: String = "worker", threads: Int = threadsDefault,
        queuedJobsMax: Int = queuedJobsMaxDefault, turns: Thread.Turns = .fair
    ) throws(SystemError) -> WorkerPool {
        invariant(threads > 0 && queuedJobsMax > 0, "a pool without threads or queue")
        let pool = WorkerPool(threads: threads, queuedJobsMax: queuedJobsMax)
        for index in 0..<threads {
            do throws(SystemError) {
                let thread = try Thread.start(name: "\(name) \(index)") {
                    Thread.take(turns)
                    pool.work()
                }
                unsafe (pool.threads + index).initialize(to: thread)
            } catch {
                pool.end(.cancelQueued, started: index)
                throw error
            }
        }
        return pool
    }

    private init(threads: Int, queuedJobsMax: Int) {
        unsafe mutex = .allocate(capacity: 1)
        unsafe wakeUp = .allocate(capacity: 1)
        unsafe self.threads = .allocate(capacity: threads)
        threadCount = threads
        self.queuedJobsMax = queuedJobsMax
        unsafe pthread_mutex_init(mutex, nil)
        unsafe pthread_cond_init(wakeUp, nil)
    }

    /// Every thread holds the pool, so only one that was shut down gets here.
    deinit {
        unsafe pthread_cond_destroy(wakeUp)
        unsafe pthread_mutex_destroy(mutex)
        unsafe wakeUp.deallocate()
        unsafe mutex.deallocate()
        unsafe threads.deallocate()
    }

    /// Queues the job, which must not be touched until it comes back; false, and nothing done, when
    /// the queue is full or the pool ends. Any thread may call it.
    public func submit(_ job: UnsafeMutablePointer<Job>) -> Bool {
        guard unsafe enqueue(job) else { return false }
        // Not under the lock: on one processor the worker would wake only to wait for it.
        unsafe pthread_cond_signal(wakeUp)
        return true
    }

    private func enqueue(_ job: UnsafeMutablePointer<Job>) -> Bool {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        guard !isEnding && queued < queuedJobsMax else { return false }
        unsafe job.pointee.outcome = .pending
        unsafe job.pointee.next = nil
        if let last = unsafe last {
            unsafe last.pointee.next = unsafe job
        } else {
            unsafe first = unsafe job
        }
        unsafe last = unsafe job
        queued += 1
        return true
    }

    /// How many jobs wait, those running not counted.
    public var queuedCount: Int {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return queued
    }

    /// Ends the threads. When it returns, every job that was accepted has been put into its inbox,
    /// and no worker touches anything any more. Not to be called on a worker.
    public func shutdown(_ ending: Ending) { end(ending, started: threadCount) }

    private func end(_ ending: Ending, started: Int) {
        unsafe pthread_mutex_lock(mutex)
        let isFirst = !isEnding
        isEnding = true
        var cancelled: UnsafeMutablePointer<Job>?
        if isFirst && ending == .cancelQueued {
            unsafe cancelled = unsafe first
            unsafe first = nil
            unsafe last = nil
            queued = 0
        }
        unsafe pthread_cond_broadcast(wakeUp)
        unsafe pthread_mutex_unlock(mutex)
        guard isFirst else { return }
        while let job = unsafe cancelled {
            unsafe cancelled = unsafe job.pointee.next
            unsafe WorkerPool.comeBack(job, .cancelled)
        }
        for index in 0..<started { unsafe (threads + index).move().join() }
    }

    private func work() {
        while let job = unsafe take() {
            unsafe job.pointee.run(UnsafeMutableRawPointer(job))
            unsafe WorkerPool.comeBack(job, .finished)
        }
    }

    /// The next job, waited for; nil when there will be no more.
    private func take() -> UnsafeMutablePointer<Job>? {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        while unsafe first == nil && !isEnding { unsafe pthread_cond_wait(wakeUp, mutex) }
        guard let job = unsafe first else { return nil }
        unsafe first = unsafe job.pointee.next
        if unsafe first == nil { unsafe last = nil }
        queued -= 1
        return unsafe job
    }

    /// The inbox is read first: the job is its owner's again the moment it lies there.
    private static func comeBack(_ job: UnsafeMutablePointer<Job>, _ outcome: Job.Outcome) {
        let inbox = unsafe job.pointee.inbox
        unsafe job.pointee.outcome = outcome
        unsafe inbox.post(job)
    }
}
