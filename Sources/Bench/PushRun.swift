import Glibc
import Machine
import Synchronization

/// `push` and `hold`: streams that listen, and for `push` threads that write.
struct PushRun {
    let settings: Settings
    let peer: Peer
    let maker: DriverMaker
    let headers: [String]

    func report() throws(RunError) -> Report {
        let isPush = settings.command == .push
        let before = ServerFigures.read(pid: settings.pid, cgroup: settings.cgroup)
        let log = isPush ? EventLog.make(run: runNumber, keys: settings.keys) : nil
        let control = unsafe RequestRun.control()
        defer { unsafe control.deallocate() }
        var listeners: Listeners
        do throws(SystemError) {
            listeners = unsafe try Listeners.start(
                plans: plans(), peer: peer, log: log, request: subscription, cpus: settings.cpus,
                control: control)
        } catch {
            throw RunError("\(error)")
        }
        unsafe control.pointee.waitUntilReady(settings.threads)
        if let failure = listeners.failure {
            unsafe control.pointee.startNs.store(.max, ordering: .releasing)
            listeners.join()
            throw RunError(failure)
        }
        guard listeners.connectedSoFar > 0 else {
            unsafe control.pointee.startNs.store(.max, ordering: .releasing)
            listeners.join()
            throw RunError(
                "no stream was answered with \(subscription.status): is \(subscription.path) the path, and is a "
                    + "--user or a --header needed?")
        }
        let held = ServerFigures.read(pid: settings.pid, cgroup: settings.cgroup)
        var report = Report(
            command: settings.command.rawValue, target: settings.target + (settings.path ?? ""),
            label: settings.label)
        report.conditions = conditions
        var idle: ServerFigures?
        if isPush {
            unsafe try push(&listeners, log, control, before, &report)
        } else {
            idle = unsafe hold(&listeners, control, before, &report)
        }
        let connected = listeners.merged().connected
        report.add(held: idle ?? held, before: before, listeners: connected)
        if idle != nil { report.add(opened: held, before: before, listeners: connected) }
        return report
    }

    private func push(
        _ listeners: inout Listeners, _ log: EventLog?, _ control: UnsafeMutablePointer<RunControl>,
        _ before: ServerFigures, _ report: inout Report
    ) throws(RunError) {
        var texts = RequestTexts(settings: settings, headers: headers)
        texts.isStamped = true
        let run = RequestRun(settings: settings, peer: peer, maker: maker, headers: headers)
        let plans = (0..<settings.writers).map { thread in
            var plan = run.plan(thread: thread)
            plan.threads = settings.writers
            plan.connections = RequestRun.share(settings.connections, thread, settings.writers)
            return plan
        }
        unsafe control.pointee.ready.store(0, ordering: .releasing)
        var senders = unsafe try run.start(plans, texts, log, control)
        if let failure = senders.failure {
            unsafe control.pointee.startNs.store(.max, ordering: .releasing)
            senders.join()
            listeners.join()
            throw RunError(failure)
        }
        var watch = unsafe Watch(settings: settings, startNs: RequestRun.begin(control))
        unsafe watch.follow(control, threads: settings.writers) { listeners.progress }
        senders.join()
        listeners.join()
        let sent = senders.merged()
        let heard = listeners.merged()
        report.add(heard, log: log, listeners: listeners, settings: settings)
        report.add(sent, settings: settings)
        report.add(server: watch, before: before, each: (heard.deliveries, "a delivery"))
        report.addGenerator(senders, sent, settings: settings, watch: watch)
        report.addListening(heard, busiest: listeners.busiest)
    }

    /// Answers what the server used once the warm-up had left it alone with them.
    private func hold(
        _ listeners: inout Listeners, _ control: UnsafeMutablePointer<RunControl>,
        _ before: ServerFigures, _ report: inout Report
    ) -> ServerFigures {
        let startNs = unsafe RequestRun.begin(control)
        var watch = Watch(settings: settings, startNs: startNs)
        unsafe watch.follow(control, threads: settings.threads) { listeners.progress }
        listeners.join()
        let heard = listeners.merged()
        report.add("seconds", watch.seconds, .seconds, "measured")
        report.addStreams(heard, asked: settings.listeners)
        report.add(server: watch, before: before, each: (0, ""))
        report.addListening(heard, busiest: listeners.busiest)
        report.addStrangers(watch)
        return watch.first
    }

    // MARK: Plans

    private func plans() -> [ListenerLoop.Plan] {
        (0..<settings.threads).map { thread in
            var plan = ListenerLoop.Plan()
            plan.thread = thread
            plan.threads = settings.threads
            plan.listeners = RequestRun.share(settings.listeners, thread, settings.threads)
            plan.keys = settings.keys
            plan.warmupNs = UInt64(settings.warmupMs) * 1_000_000
            plan.durationNs = UInt64(settings.durationMs) * 1_000_000
            plan.drainNs = UInt64(settings.drainMs) * 1_000_000
            plan.staleNs = UInt64(settings.staleMs) * 1_000_000
            plan.writers = settings.command == .push ? settings.writers : 0
            plan.isWebSocket = settings.isWebSocket
            plan.stoppedFrom = settings.listeners - settings.stopped
            return plan
        }
    }

    private var subscription: SubscriptionText {
        SubscriptionText(
            path: settings.subscribePath ?? (settings.command == .hold ? settings.path : nil)
                ?? "/\(settings.table)/subscribe/\(RequestTemplate.keyPlaceholder)",
            host: settings.target, headers: headers, isWebSocket: settings.isWebSocket)
    }

    /// Tells this run's events from those of the one before; it need not be secret.
    private var runNumber: UInt32 {
        UInt32(truncatingIfNeeded: WallClock.nowNs() >> 20) ^ UInt32(bitPattern: getpid())
    }

    private var conditions: [String] {
        var words = ["\(settings.listeners) listeners", "\(settings.threads) threads"]
        if settings.isWebSocket { words.append("WebSocket") }
        if settings.stopped > 0 { words.append("\(settings.stopped) of them stop reading") }
        if settings.sources > 1 { words.append("\(settings.sources) source addresses") }
        if settings.command == .push {
            words.append(
                "\(Cells.decimals(settings.rate ?? 0, 1)) events/s (\(settings.arrivals.rawValue)) "
                    + "over \(settings.connections) connections of \(settings.writers) threads")
            words.append("\(settings.keys) keys (\(settings.distribution.rawValue))")
            words.append("values of \(settings.size) B")
        }
        words.append(
            "\(Cells.decimals(Double(settings.durationMs) / 1000, 1)) s after "
                + "\(Cells.decimals(Double(settings.warmupMs) / 1000, 1)) s of warm-up")
        return words
    }
}
