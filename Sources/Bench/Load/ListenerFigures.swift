import Glibc
import Synchronization

/// What one listening thread counted. It is read by others after the thread has ended; only
/// `progress` in between.
@safe struct ListenerFigures: ~Copyable {
    /// From the moment an event was meant to be written: to our reading it, and to its last byte's
    /// reaching this machine's TCP. The difference is what the generator itself added.
    var delivery = Histogram()
    var kernelDelivery = Histogram()
    var readDelay = Histogram()
    /// How long a listener had not known of a change when it heard of the next one.
    var behind = Histogram()

    var deliveries: UInt64 = 0
    var duplicates: UInt64 = 0
    var outOfOrder: UInt64 = 0
    var stale: UInt64 = 0
    var missed: UInt64 = 0
    /// Events left out of which the stream said so, and how many it said in all.
    var conflated: UInt64 = 0
    var skippedSaid: UInt64 = 0
    /// Listeners that did not end at the newest state of their key.
    var behindAtEnd: UInt64 = 0
    /// Events without a stamp of this run: initial records, other writers.
    var foreign: UInt64 = 0
    var initial: UInt64 = 0
    var lagged: UInt64 = 0
    var resets: UInt64 = 0
    var byes: UInt64 = 0
    var comments: UInt64 = 0

    var connected: UInt64 = 0
    var refused: UInt64 = 0
    var connectFailures: UInt64 = 0
    var disconnects: UInt64 = 0
    /// Streams opened anew, and those that went on from an id.
    var reconnects: UInt64 = 0
    var resumed: UInt64 = 0
    var violations: UInt64 = 0
    var bytesIn: UInt64 = 0
    /// The same of listeners that stop reading for a while, whose times say nothing.
    var stopped = Stopped()
    struct Stopped {
        var listeners: UInt64 = 0
        var deliveries: UInt64 = 0
        var duplicates: UInt64 = 0
        var outOfOrder: UInt64 = 0
        var missed: UInt64 = 0
        var conflated: UInt64 = 0
        /// Of them, those that were told, and those that did not end at the newest state.
        var told: UInt64 = 0
        var behindAtEnd: UInt64 = 0
    }
    /// How long it took to connect all and hear the heads of their replies.
    var connectNs: UInt64 = 0

    var startNs: UInt64 = 0
    var endNs: UInt64 = 0
    var cpuNs: UInt64 = 0
    var failure: String? = nil

    /// For each event of the run: how many listeners of this thread heard it, and how late the last
    /// of them was, by our clock and by the kernel's.
    let heardBy = unsafe EventLog.zeroed(EventLog.eventsMax, of: UInt32.self)
    let lastNs = unsafe EventLog.zeroed(EventLog.eventsMax, of: UInt32.self)
    let lastKernelNs = unsafe EventLog.zeroed(EventLog.eventsMax, of: UInt32.self)

    let progress = Atomic<UInt64>(0)

    /// Latencies of events are kept in units of 64 ns, so that 32 bits hold four and a half minutes.
    static let lastUnitNs: UInt64 = 64

    init() {}

    deinit {
        unsafe free(heardBy)
        unsafe free(lastNs)
        unsafe free(lastKernelNs)
    }

    mutating func merge(_ other: borrowing ListenerFigures) {
        delivery.merge(other.delivery)
        kernelDelivery.merge(other.kernelDelivery)
        readDelay.merge(other.readDelay)
        behind.merge(other.behind)
        deliveries += other.deliveries
        duplicates += other.duplicates
        outOfOrder += other.outOfOrder
        stale += other.stale
        missed += other.missed
        conflated += other.conflated
        skippedSaid += other.skippedSaid
        behindAtEnd += other.behindAtEnd
        foreign += other.foreign
        initial += other.initial
        lagged += other.lagged
        resets += other.resets
        byes += other.byes
        comments += other.comments
        connected += other.connected
        refused += other.refused
        connectFailures += other.connectFailures
        disconnects += other.disconnects
        reconnects += other.reconnects
        resumed += other.resumed
        stopped.listeners += other.stopped.listeners
        stopped.deliveries += other.stopped.deliveries
        stopped.duplicates += other.stopped.duplicates
        stopped.outOfOrder += other.stopped.outOfOrder
        stopped.missed += other.stopped.missed
        stopped.conflated += other.stopped.conflated
        stopped.told += other.stopped.told
        stopped.behindAtEnd += other.stopped.behindAtEnd
        violations += other.violations
        bytesIn += other.bytesIn
        connectNs = max(connectNs, other.connectNs)
        startNs = other.startNs
        endNs = max(endNs, other.endNs)
    }

    /// The same of several threads, event by event; only the first `count` have happened.
    mutating func mergeEvents(_ other: borrowing ListenerFigures, count: Int) {
        for event in 0..<count {
            unsafe heardBy[event] = unsafe heardBy[event] + other.heardBy[event]
            unsafe lastNs[event] = unsafe max(lastNs[event], other.lastNs[event])
            unsafe lastKernelNs[event] = unsafe max(lastKernelNs[event], other.lastKernelNs[event])
        }
    }
}
