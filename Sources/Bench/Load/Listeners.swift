import Machine
import Synchronization

/// The threads that listen, from their start to their figures.
@safe struct Listeners: ~Copyable {
    let count: Int
    let figures: UnsafeMutablePointer<ListenerFigures>
    private var threads: [ThreadHandle] = []

    static func start(
        plans: [ListenerLoop.Plan], peer: Peer, log: EventLog?, request: SubscriptionText,
        cpus: [Int], control: UnsafeMutablePointer<RunControl>
    ) throws(SystemError) -> Listeners {
        var listeners = Listeners(count: plans.count)
        for (place, plan) in plans.enumerated() {
            let start = unsafe ListenerStart(
                plan: plan, peer: peer, log: log, request: request,
                cpu: cpus.isEmpty ? nil : cpus[place % cpus.count],
                figures: listeners.figures + place, control: control)
            listeners.threads.append(
                ThreadHandle(try Thread.start(name: "listener \(place)") { start.run() }))
        }
        return listeners
    }

    private init(count: Int) {
        self.count = count
        unsafe figures = .allocate(capacity: count)
        for place in 0..<count { unsafe (figures + place).initialize(to: ListenerFigures()) }
    }

    deinit {
        unsafe figures.deinitialize(count: count)
        unsafe figures.deallocate()
    }

    var progress: UInt64 {
        var sum: UInt64 = 0
        for place in 0..<count {
            sum += unsafe figures[place].progress.load(ordering: .relaxed)
        }
        return sum
    }

    mutating func join() {
        for thread in threads { thread.join() }
        threads = []
    }

    var failure: String? {
        for place in 0..<count {
            if let failure = unsafe figures[place].failure { return failure }
        }
        return nil
    }

    /// Streams answered with 200, once all threads are ready.
    var connectedSoFar: UInt64 {
        var sum: UInt64 = 0
        for place in 0..<count { sum += unsafe figures[place].connected }
        return sum
    }

    func merged() -> ListenerFigures {
        var all = ListenerFigures()
        for place in 0..<count { unsafe all.merge(figures[place]) }
        return all
    }

    /// How late the last listener was, for each event of the measured time that all have heard.
    func lastListeners(
        _ log: EventLog, listenersOfKey: [UInt32], fromNs: UInt64, untilNs: UInt64,
        ours: inout Histogram, kernel: inout Histogram
    ) -> (measured: UInt64, complete: UInt64) {
        var all = ListenerFigures()
        for place in 0..<count { unsafe all.mergeEvents(figures[place], count: log.count) }
        var measured: UInt64 = 0
        var complete: UInt64 = 0
        for place in 0..<log.count {
            let event = unsafe log.events[place]
            guard event.isAcknowledged, event.sentNs >= fromNs, event.sentNs < untilNs else {
                continue
            }
            measured += 1
            let audience = listenersOfKey[Int(event.key)]
            guard audience > 0, unsafe all.heardBy[place] >= audience else { continue }
            complete += 1
            unsafe ours.record(UInt64(all.lastNs[place]) * ListenerFigures.lastUnitNs)
            unsafe kernel.record(UInt64(all.lastKernelNs[place]) * ListenerFigures.lastUnitNs)
        }
        return (measured, complete)
    }

    var busiest: Double {
        var most = 0.0
        for place in 0..<count {
            let spanNs = unsafe figures[place].endNs &- figures[place].startNs
            guard unsafe figures[place].endNs > 0, spanNs > 0 else { continue }
            most = unsafe max(most, Double(figures[place].cpuNs) / Double(spanNs))
        }
        return most
    }
}

/// Everything a listening thread is given.
@safe private struct ListenerStart: @unchecked Sendable {
    let plan: ListenerLoop.Plan
    let peer: Peer
    let log: EventLog?
    let request: SubscriptionText
    let cpu: Int?
    let figures: UnsafeMutablePointer<ListenerFigures>
    let control: UnsafeMutablePointer<RunControl>

    func run() {
        do throws(SystemError) {
            if let cpu { try Thread.pin(cpu: cpu) }
            var loop = unsafe try ListenerLoop.make(
                plan: plan, peer: peer, log: log, subscription: request, figures: figures,
                control: control)
            try loop.connect()
            unsafe control.pointee.ready.add(1, ordering: .releasing)
            if let startNs = unsafe control.pointee.waitForStart() { loop.run(startNs: startNs) }
        } catch {
            unsafe figures.pointee.failure = "\(error)"
            unsafe control.pointee.ready.add(1, ordering: .releasing)
        }
        // Without writers it is the listeners whose end is waited for.
        if plan.writers == 0 {
            unsafe control.pointee.sendersDone.add(1, ordering: .releasing)
        }
    }
}
