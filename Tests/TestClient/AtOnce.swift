import Glibc

/// Where threads wait for each other, as often as they like.
public final class Barrier: @unchecked Sendable {
    private let barrier = UnsafeMutablePointer<pthread_barrier_t>.allocate(capacity: 1)

    public init(_ count: Int) { pthread_barrier_init(barrier, nil, UInt32(count)) }

    deinit {
        pthread_barrier_destroy(barrier)
        barrier.deallocate()
    }

    public func wait() { pthread_barrier_wait(barrier) }
}

/// Does the same thing on so many threads, which start together; what came of each, in order of
/// their numbers. An error of one of them is thrown when all have ended.
///
/// Threads and not tasks: a blocked socket would hold one of the few threads that tasks share.
public func atOnce<Outcome: Sendable>(
    _ count: Int, _ work: @escaping @Sendable (Int) throws -> Outcome
) throws -> [Outcome] {
    let outcomes = Outcomes<Outcome>()
    let start = Barrier(count)
    let end = Barrier(count + 1)
    for number in 0..<count {
        background {
            start.wait()
            let outcome = Result { try work(number) }
            outcomes.all.withLock { $0[number] = outcome }
            end.wait()
        }
    }
    end.wait()
    return try outcomes.all.withLock { all in try (0..<count).map { try all[$0]!.get() } }
}

private final class Outcomes<Outcome: Sendable>: Sendable {
    let all = Guarded<[Int: Result<Outcome, any Error>]>([:])
}
