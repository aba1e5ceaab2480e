import Glibc

/// A value behind a lock, for what several threads look at now and then. Nothing on the way of a
/// request takes one.
///
/// `Synchronization.Mutex` would do the same with less memory, but ThreadSanitizer does not see into
/// it and reports what it guards; it knows `pthread_mutex_t`. The lock must not move, so it has
/// memory of its own.
@safe public final class Guarded<Value: ~Copyable>: @unchecked Sendable {
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private var value: Value

    public init(_ value: consuming sending Value) {
        self.value = value
        unsafe lock = .allocate(capacity: 1)
        unsafe pthread_mutex_init(lock, nil)
    }

    deinit {
        unsafe pthread_mutex_destroy(lock)
        unsafe lock.deallocate()
    }

    public func withLock<Outcome: ~Copyable, Failure: Error>(
        _ body: (inout Value) throws(Failure) -> Outcome
    ) throws(Failure) -> Outcome {
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        return try body(&value)
    }
}
