import Glibc

/// The two clocks. A shard reads them once a turn and hands the values down; nothing below the
/// shard's loop asks for the time.
public enum Clock {
    /// Milliseconds that never go back, for timers. Its start is arbitrary.
    public static func monotonicMs() -> UInt64 { read(CLOCK_MONOTONIC) / 1_000_000 }

    public static func monotonicNs() -> UInt64 { read(CLOCK_MONOTONIC) }

    /// Milliseconds since 1970, which an operator may set back or forward.
    public static func wallMs() -> UInt64 { read(CLOCK_REALTIME) / 1_000_000 }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(clock, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}
