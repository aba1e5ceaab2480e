import CMachine
import Glibc

/// Stops the process with a message when our own reasoning is wrong.
///
/// A bare `precondition` says nothing in a release build, and going on with broken state could lose
/// or leak somebody's data. It costs a compare and a branch that is never taken; the message is
/// only built when it is needed, out of line.
@inlinable @inline(__always)
public func invariant(
    _ condition: @autoclosure () -> Bool,
    _ message: @autoclosure () -> String,
    file: StaticString = #fileID,
    line: UInt = #line
) {
    if _slowPath(!condition()) { invariantBroken(message, file: file, line: line) }
}

@usableFromInline @inline(never)
func invariantBroken(_ message: () -> String, file: StaticString, line: UInt) -> Never {
    var text = "needletail: invariant broken: \(message()) (\(file):\(line))\n"
    text.withUTF8 { unsafe writeAll(to: STDERR_FILENO, UnsafeRawBufferPointer($0)) }
    crash_abort()
}

/// Writes all of `bytes` where the descriptor lets us; gives up in silence where it doesn't, since
/// the callers have nowhere left to complain.
func writeAll(to descriptor: Int32, _ bytes: UnsafeRawBufferPointer) {
    var sent = 0
    while sent < bytes.count {
        let count = unsafe write(descriptor, bytes.baseAddress! + sent, bytes.count - sent)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return }
        sent += count
    }
}
