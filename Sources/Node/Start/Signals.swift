import Glibc

/// The signals that end a node. They are blocked in every thread and taken by the main thread when
/// it waits for them, so no handler ever runs in the middle of anything.
struct Signals {
    /// Call before any thread starts: threads inherit the mask.
    static func block() -> Signals {
        var set = ending
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        // A peer that went away is an error of its send, not an end of the process; a closed
        // terminal is none either.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGHUP, SIG_IGN)
        return Signals()
    }

    func wait() -> Int32 {
        var set = Self.ending
        var signal: Int32 = 0
        while unsafe sigwait(&set, &signal) != 0 {}
        return signal
    }

    /// The signal that came within the time, or nil.
    func wait(timeoutMs: UInt64) -> Int32? {
        var set = Self.ending
        var time = timespec(
            tv_sec: Int(timeoutMs / 1000), tv_nsec: Int(timeoutMs % 1000) * 1_000_000)
        let signal = unsafe sigtimedwait(&set, nil, &time)
        return signal > 0 ? signal : nil
    }

    private static var ending: sigset_t {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        unsafe sigaddset(&set, SIGTERM)
        unsafe sigaddset(&set, SIGINT)
        return set
    }
}

/// How many descriptors the process may have, and how many of them are for connections.
struct Descriptors {
    /// Listeners, files, standard streams: what is needed besides connections.
    private static let reserve = 128
    /// A ring or an epoll set, a wake-up, and one over.
    private static let reservePerShard = 3

    let connectionsMax: Int

    /// Raises the soft limit to the hard one: the soft one is low for the sake of select(2) only.
    static func raise(shards: Int) -> Descriptors {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard unsafe getrlimit(resource, &limit) == 0 else {
            return Descriptors(connectionsMax: 512)
        }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(resource, &limit)
        unsafe getrlimit(resource, &limit)
        // "Unlimited" still is bounded by what a slab index should be sized for.
        let count = Int(clamping: min(limit.rlim_cur, 1 << 20))
        let others = reserve + reservePerShard * shards + ShardSettings.refusalsOfNodeMax
        return Descriptors(connectionsMax: max(count - others, 16))
    }
}
