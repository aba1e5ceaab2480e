import Glibc
import Machine
import Synchronization

/// One run of requests: `get`, `put`, `mixed` and `resp`.
struct RequestRun {
    let settings: Settings
    let peer: Peer
    let maker: DriverMaker
    let headers: [String]

    /// Between the last thread's being ready and the start: all of them have to see it.
    static let leadNs: UInt64 = 2_000_000
    /// Keys are written this many at a time to fill the table.
    private static let fillPipeline = 16

    func report() throws(RunError) -> Report {
        if settings.fills { try fill() }
        let texts = RequestTexts(settings: settings, headers: headers)
        let before = ServerFigures.read(pid: settings.pid, cgroup: settings.cgroup)
        return try measure(plans(), texts, before)
    }

    // MARK: Plans

    private var readShare: Double {
        switch settings.command {
        case .put, .push, .verify: return 0
        case .mixed: return settings.reads
        case .get, .hold: return 1
        case .resp: break
        }
        switch settings.respCommand {
        case .get, .ping: return 1
        case .set, .incr, .lpush, .lpop: return 0
        case .mixed: return settings.reads
        }
    }

    private func plans() -> [LoadPlan] {
        (0..<settings.threads).map { plan(thread: $0) }
    }

    func plan(thread: Int) -> LoadPlan {
        var plan = LoadPlan()
        plan.language = settings.command == .resp ? .resp : .http
        plan.thread = thread
        plan.threads = settings.threads
        plan.connections = Self.share(settings.connections, thread, settings.threads)
        plan.pipeline = settings.pipeline
        plan.readShare = readShare
        plan.rate = settings.rate
        plan.arrivals = settings.arrivals
        plan.keys = settings.keys
        plan.distribution = settings.distribution
        plan.zipfExponent = settings.zipfExponent
        plan.seed = UInt64(settings.seed)
        plan.warmupNs = UInt64(settings.warmupMs) * 1_000_000
        plan.durationNs = UInt64(settings.durationMs) * 1_000_000
        plan.requestsMax = settings.requests.map {
            UInt64(Self.share($0, thread, settings.threads))
        }
        plan.timeoutNs = UInt64(settings.timeoutMs) * 1_000_000
        plan.drainNs = UInt64(settings.drainMs) * 1_000_000
        return plan
    }

    /// The whole divided evenly; the first take what is left over.
    static func share(_ whole: Int, _ thread: Int, _ threads: Int) -> Int {
        whole / threads + (thread < whole % threads ? 1 : 0)
    }

    private func fill() throws(RunError) {
        var plan = plan(thread: 0)
        plan.threads = 1
        plan.connections = min(settings.connections, 64)
        plan.pipeline = Self.fillPipeline
        plan.readShare = 0
        plan.rate = nil
        plan.distribution = .sequential
        plan.requestsMax = UInt64(settings.keys)
        plan.warmupNs = 0
        let texts = RequestTexts(settings: settings, headers: headers)
        let control = unsafe Self.control()
        defer { unsafe control.deallocate() }
        var senders = unsafe try start([plan], texts, nil, control)
        unsafe Self.begin(control)
        senders.join()
        if let failure = senders.failure { throw RunError(failure) }
        let figures = senders.merged()
        guard figures.statuses[2] == UInt64(settings.keys) else {
            throw RunError(
                "--fill: of \(settings.keys) writes \(figures.statuses[2]) were accepted, "
                    + "\(figures.statuses[4] + figures.statuses[5]) refused: is a --user or a "
                    + "--header needed?")
        }
    }

    // MARK: Measuring

    static func control() -> UnsafeMutablePointer<RunControl> {
        let control = UnsafeMutablePointer<RunControl>.allocate(capacity: 1)
        unsafe control.initialize(to: RunControl())
        return unsafe control
    }

    func start(
        _ plans: [LoadPlan], _ texts: RequestTexts, _ events: EventLog?,
        _ control: UnsafeMutablePointer<RunControl>
    ) throws(RunError) -> Senders {
        do throws(SystemError) {
            let senders = unsafe try Senders.start(
                plans: plans, texts: texts, peer: peer, maker: maker, events: events,
                cpus: settings.cpus, control: control)
            unsafe control.pointee.waitUntilReady(plans.count)
            return senders
        } catch {
            throw RunError("\(error)")
        }
    }

    @discardableResult
    static func begin(_ control: UnsafeMutablePointer<RunControl>) -> UInt64 {
        let startNs = Clock.monotonicNs() + leadNs
        unsafe control.pointee.startNs.store(startNs, ordering: .releasing)
        return startNs
    }

    private func measure(
        _ plans: [LoadPlan], _ texts: RequestTexts, _ before: ServerFigures
    ) throws(RunError) -> Report {
        let control = unsafe Self.control()
        defer { unsafe control.deallocate() }
        var senders = unsafe try start(plans, texts, nil, control)
        if let failure = senders.failure {
            unsafe control.pointee.startNs.store(.max, ordering: .releasing)
            senders.join()
            throw RunError(failure)
        }
        let startNs = unsafe Self.begin(control)
        var watch = Watch(settings: settings, startNs: startNs)
        unsafe watch.follow(control, threads: plans.count) { senders.progress }
        senders.join()
        if let failure = senders.failure { throw RunError(failure) }
        let figures = senders.merged()
        var report = Report(
            command: settings.command.rawValue, target: settings.target + (settings.path ?? ""),
            label: settings.label)
        report.conditions = conditions
        report.add(figures, settings: settings)
        report.add(server: watch, before: before, each: (figures.replied, "a reply"))
        report.addGenerator(senders, figures, settings: settings, watch: watch)
        return report
    }

    private var conditions: [String] {
        var words = [
            settings.rate.map {
                "open loop at \(Cells.decimals($0, 0))/s (\(settings.arrivals.rawValue))"
            } ?? "closed loop",
            "\(settings.connections) connections", "\(settings.threads) threads", maker.name,
        ]
        if settings.pipeline > 1 { words.append("pipeline \(settings.pipeline)") }
        if settings.command == .resp { words.append(settings.respCommand.rawValue) }
        if settings.path == nil, settings.respCommand != .ping {
            words.append("\(settings.keys) keys (\(settings.distribution.rawValue))")
        }
        if readShare < 1 { words.append("values of \(settings.size) B") }
        if readShare > 0, readShare < 1 {
            words.append("\(Cells.decimals(readShare * 100, 0)) % reads")
        }
        if let requests = settings.requests {
            words.append("\(requests) requests")
        } else {
            words.append(
                "\(Cells.decimals(Double(settings.durationMs) / 1000, 1)) s after "
                    + "\(Cells.decimals(Double(settings.warmupMs) / 1000, 1)) s of warm-up")
        }
        return words
    }
}

/// Why a run could not be made: one line for stderr, exit code 1.
struct RunError: Error, CustomStringConvertible {
    let description: String
    init(_ message: String) { description = "needletail-bench: \(message)" }
}
