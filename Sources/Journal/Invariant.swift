import Glibc

/// Stops the process when our own reasoning turns out wrong, and says where.
///
/// A log that goes on after its writer contradicted itself would be found out only by whoever
/// needs it to recover.
@inline(__always)
func invariant(_ holds: Bool, _ message: StaticString) {
    if !holds { broken(message) }
}

@inline(never)
private func broken(_ message: StaticString) -> Never {
    let opening: StaticString = "journal invariant broken: "
    unsafe _ = write(2, opening.utf8Start, opening.utf8CodeUnitCount)
    unsafe _ = write(2, message.utf8Start, message.utf8CodeUnitCount)
    let newline: StaticString = "\n"
    unsafe _ = write(2, newline.utf8Start, 1)
    abort()
}
