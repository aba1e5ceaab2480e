import Synchronization

/// What one thread counted. The thread writes it, and after the thread has ended the main one
/// reads it; only `progress` is looked at in between.
struct ThreadFigures: ~Copyable {
    /// From the intended time to the reply, of requests meant for the measured time.
    var reads = Histogram()
    var writes = Histogram()
    /// From the moment at which a request was due and a connection free to the moment of sending:
    /// what the generator itself added.
    var lateness = Histogram()

    /// Replies within the measured time, and the requests meant for it.
    var replied: UInt64 = 0
    var intended: UInt64 = 0
    /// By the first digit of their status; RESP counts as 2, its errors as 5.
    var statuses = InlineArray<6, UInt64>(repeating: 0)
    /// RESP's nil, for a key that is not there.
    var absent: UInt64 = 0
    var bytesIn: UInt64 = 0

    /// Requests that got no reply within the time limit, before a connection ended, before the end.
    var timedOut: UInt64 = 0
    var lost: UInt64 = 0
    var unfinished: UInt64 = 0
    /// Connections ended by the server, and those that could not be made.
    var disconnects: UInt64 = 0
    var connectFailures: UInt64 = 0
    var violations: UInt64 = 0

    /// Of the measured time.
    var startNs: UInt64 = 0
    var endNs: UInt64 = 0
    var cpuNs: UInt64 = 0

    /// Why the thread could not start, if it couldn't.
    var failure: String? = nil

    let progress = Atomic<UInt64>(0)

    mutating func merge(_ other: borrowing ThreadFigures) {
        reads.merge(other.reads)
        writes.merge(other.writes)
        lateness.merge(other.lateness)
        replied += other.replied
        intended += other.intended
        for digit in 0..<6 { statuses[digit] += other.statuses[digit] }
        absent += other.absent
        bytesIn += other.bytesIn
        timedOut += other.timedOut
        lost += other.lost
        unfinished += other.unfinished
        disconnects += other.disconnects
        connectFailures += other.connectFailures
        violations += other.violations
        startNs = startNs == 0 ? other.startNs : min(startNs, other.startNs)
        endNs = max(endNs, other.endNs)
    }
}

/// What the main thread and the others tell each other. Times are of the monotonic clock.
struct RunControl: ~Copyable {
    /// Threads that have their connections, or have failed to make them.
    let ready = Atomic<Int>(0)
    /// 0 until all are ready; `.max` when the run is called off.
    let startNs = Atomic<UInt64>(0)
    /// Threads that send have finished: listeners may stop once they have heard everything.
    let sendersDone = Atomic<Int>(0)
    /// The run is to end now, and to report what it has.
    let interrupted = Atomic<Bool>(false)
}
