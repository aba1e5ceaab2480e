import Glibc

/// Stops the process when our own reasoning turns out wrong, and says where.
///
/// A bare `precondition` prints nothing in an optimised build, and going on with a store whose
/// parts disagree would hand one user's bytes to another.
@inline(__always)
func invariant(_ holds: Bool, _ message: StaticString) {
    if !holds { broken(message) }
}

@inline(never)
private func broken(_ message: StaticString) -> Never {
    let opening: StaticString = "keyspace invariant broken: "
    unsafe _ = write(2, opening.utf8Start, opening.utf8CodeUnitCount)
    unsafe _ = write(2, message.utf8Start, message.utf8CodeUnitCount)
    let newline: StaticString = "\n"
    unsafe _ = write(2, newline.utf8Start, 1)
    abort()
}
