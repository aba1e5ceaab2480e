import Glibc

/// A moment after which waiting is a failure.
///
/// Monotonic, so that a clock step during a run neither fails a test nor hangs it.
public struct Deadline: Sendable {
    let atMs: Int64

    public static func after(ms: Int) -> Deadline { Deadline(atMs: monotonicMs() + Int64(ms)) }

    public var leftMs: Int32 { Int32(clamping: max(0, atMs - monotonicMs())) }
    public var isOver: Bool { monotonicMs() >= atMs }
}

public func monotonicMs() -> Int64 { monotonicNs() / 1_000_000 }

public func monotonicNs() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// Gives the processor away between two looks at something that can only be polled.
public func nap(ms: Int = 1) { usleep(UInt32(ms) * 1000) }

/// Waits for a thing to become so; false when it did not in time.
public func becomes(
    withinMs limit: Int = 10_000, everyMs: Int = 2, _ condition: () throws -> Bool
) rethrows -> Bool {
    let deadline = Deadline.after(ms: limit)
    while !deadline.isOver {
        if try condition() { return true }
        nap(ms: everyMs)
    }
    return try condition()
}

/// Lets this process hold as many connections as the machine allows it to.
public func raiseDescriptorLimit() {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}

/// Whether the long forms of the tests are to run (`./dev soak`).
public let isSoak = environment("NEEDLETAIL_SOAK") == "1"
