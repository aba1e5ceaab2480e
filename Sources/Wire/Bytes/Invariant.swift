import Glibc

/// Stops the process when `condition` does not hold: our own bug, never a peer's mistake.
///
/// A bare `precondition` prints nothing at -O, and a crash without a sentence can't be acted on.
@inlinable @inline(__always)
func invariant(_ condition: Bool, _ message: StaticString) {
    if !condition { invariantBroken(message) }
}

/// Out of line and cold, so that a check costs its caller one compare and one branch.
@usableFromInline @inline(never)
func invariantBroken(_ message: StaticString) -> Never {
    say("needletail: broken invariant: ")
    say(message)
    say("\n")
    abort()
}

private func say(_ text: StaticString) {
    _ = unsafe write(2, text.utf8Start, text.utf8CodeUnitCount)
}
