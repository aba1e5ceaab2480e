import Glibc
import Identity
import Machine
import Synchronization

/// One login under way, in memory of its own from the question to the answer: what was asked, and
/// what the worker does for it.
///
/// It is the `Job` of the worker pool, so it must not move, and while the worker has it the shard
/// writes to `isForgotten` and nothing else.
@safe struct LoginJob: ~Copyable {
    /// What the worker is to do.
    enum Work {
        case nothing
        case derive(Users.Creation)
        case verify(Account)
        /// The worker is done; the account is on its way to the store.
        case store(Users.Creation)
    }

    enum Outcome {
        /// The asker went away before the worker came to it, or the pool ended.
        case skipped
        case derived(PasswordHash)
        case compared(Bool)
        /// Memory for the derivation was refused.
        case failed
    }

    /// First, so that a pointer to the one is a pointer to the other.
    var job: Job
    let asker: UInt64
    let name: UserName
    let attempt: LoginThrottle.Attempt
    let secret: Identity.Secret
    let cost: PasswordHash.Cost
    var work = Work.nothing
    var outcome = Outcome.skipped
    /// Nobody waits for the answer any more.
    let isForgotten = Atomic<Bool>(false)

    typealias Place = UnsafeMutablePointer<LoginJob>

    static func make(
        inbox: CompletionInbox, asker: UInt64, name: UserName, attempt: LoginThrottle.Attempt,
        secret: consuming Identity.Secret, cost: PasswordHash.Cost
    ) -> Place {
        let place = Place.allocate(capacity: 1)
        unsafe place.initialize(
            to: LoginJob(
                job: Job(inbox: inbox) { unsafe LoginJob.run($0) }, asker: asker, name: name,
                attempt: attempt, secret: secret, cost: cost))
        return unsafe place
    }

    /// Ends it: the secret is wiped, the memory given back.
    static func free(_ place: Place) {
        unsafe place.deinitialize(count: 1)
        unsafe place.deallocate()
    }

    static func asJob(_ place: Place) -> UnsafeMutablePointer<Job> {
        unsafe UnsafeMutableRawPointer(place).assumingMemoryBound(to: Job.self)
    }

    static func of(_ job: UnsafeMutablePointer<Job>) -> Place {
        unsafe UnsafeMutableRawPointer(job).assumingMemoryBound(to: LoginJob.self)
    }

    /// How much the worker stands back for the shards (`nice`): a hash takes a core for tens of
    /// milliseconds, and on a machine with one core a request would wait for it.
    private static let niceness: Int32 = 10

    /// On the worker.
    private static func run(_ memory: UnsafeMutableRawPointer) {
        let place = unsafe memory.assumingMemoryBound(to: LoginJob.self)
        if unsafe place.pointee.isForgotten.load(ordering: .relaxed) { return }
        // Of this thread alone: to Linux a thread is a process here.
        _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, niceness)
        do throws(PasswordHash.Failure) {
            switch unsafe place.pointee.work {
            case .nothing, .store: break
            case .derive:
                let salt = Randomness.bytes(PasswordHash.saltBytes)
                unsafe place.pointee.outcome = unsafe .derived(
                    try PasswordHash.derive(
                        place.pointee.secret, salt: salt.span.bytes, cost: place.pointee.cost))
            case .verify(let account):
                unsafe place.pointee.outcome = unsafe .compared(
                    try account.password.matches(place.pointee.secret))
            }
        } catch {
            unsafe place.pointee.outcome = .failed
        }
    }
}
