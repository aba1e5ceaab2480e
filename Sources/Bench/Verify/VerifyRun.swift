import Glibc
import Machine

/// `verify`: the canonical workload against a node that it starts itself, each promise held
/// against what was measured.
struct VerifyRun {
    let settings: Settings

    /// Bytes of a value of some fifty words.
    private static let valueBytes = 348
    private static let listeners = 5_000
    private static let insertsPerSecond = 300.0
    private static let restarts = 3
    private static let snapshotNsMax: UInt64 = 120_000_000_000

    func verdicts() throws(RunError) -> Verdicts {
        let directory = try makeDirectory()
        defer { NodeProcess.remove(directory) }
        let secret = "verify-\(getpid())-\(WallClock.nowNs())"
        var node = try NodeProcess(
            needletail: try needletail(), launcher: settings.launcher, directory: directory,
            adminSecret: secret)
        defer { node.stop() }
        var verdicts = Verdicts()
        verdicts.conditions = [
            "\(Promise.records) records of \(Self.valueBytes) B of words", "node \(node.host)",
        ]
        say("starting the node")
        _ = try node.start()
        let token = try SignIn.token(
            user: "verify", secret: secret, peer: node.peer, host: node.host)
        say("loading \(Promise.records) records")
        try load(node, token)
        for promise in Promise.table where isWanted(promise) {
            guard !Interrupt.hasCome else { throw RunError("interrupted") }
            say(promise.name)
            do throws(RunError) {
                verdicts.lines.append(try measure(promise, &node, token: token, secret: secret))
            } catch {
                let why = error.description.split(separator: ": ", maxSplits: 1).last
                verdicts.lines.append(
                    Verdicts.Line(
                        promise: promise, measured: nil, remark: why.map(String.init) ?? "",
                        isWhole: false))
                // What follows needs a node all the same.
                if kill(node.pid, 0) != 0 || node.pid == 0 { _ = try node.start() }
            }
        }
        return verdicts
    }

    private func isWanted(_ promise: Promise) -> Bool {
        settings.only.isEmpty || settings.only.contains(promise.name)
    }

    private func say(_ text: String) {
        if !settings.isQuiet { Output.error("verify: \(text)\n") }
    }

    // MARK: Before

    private func makeDirectory() throws(RunError) -> String {
        let parent = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/var/tmp"
        let random = String(repeating: "X", count: 6)
        var template = Array("\(parent)/needletail-verify-\(random)".utf8CString)
        guard unsafe mkdtemp(&template) != nil else {
            throw RunError(
                "\(SystemError("mkdtemp in \(parent)", errno, hint: "set TMPDIR to a folder with room"))"
            )
        }
        let bytes = template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Beside this program, unless it was said where.
    private func needletail() throws(RunError) -> String {
        if let path = settings.needletail { return path }
        var link = [CChar](repeating: 0, count: 4096)
        guard unsafe readlink("/proc/self/exe", &link, link.count - 1) > 0 else {
            throw RunError("where is the server? say --needletail PATH")
        }
        let own = String(
            decoding: link.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let path =
            own.split(separator: "/", omittingEmptySubsequences: false).dropLast()
            .joined(separator: "/") + "/needletail"
        guard unsafe access(path, X_OK) == 0 else {
            throw RunError("\(path) is missing: ./dev build, or say --needletail PATH")
        }
        return path
    }

    private func load(_ node: NodeProcess, _ token: String) throws(RunError) {
        var words = words(node, .put, token)
        words.requests = Promise.records
        words.warmupMs = 0
        words.distribution = .sequential
        words.connections = 32
        words.pipeline = 16
        words.timeoutMs = 30_000
        let report = try run(words)
        guard report.figure("replies_2xx") == Double(Promise.records) else {
            throw RunError(
                "of \(Promise.records) writes \(Int(report.figure("replies_2xx") ?? 0)) were "
                    + "accepted")
        }
    }

    private func words(
        _ node: NodeProcess, _ command: Settings.Command, _ token: String
    ) -> Settings {
        var words = Settings()
        words.command = command
        words.host = "127.0.0.1"
        words.port = node.port
        words.headers = ["Authorization: Bearer \(token)"]
        words.table = "verify"
        words.keys = Promise.records
        words.size = Self.valueBytes
        words.isWords = true
        words.cpus = settings.cpus
        words.driver = settings.driver
        words.durationMs = settings.durationMs
        words.isQuiet = true
        words.pid = Int(node.pid)
        return words
    }

    private func run(_ words: Settings) throws(RunError) -> Report { try Bench.report(words) }

    // MARK: Promises

    private func measure(
        _ promise: Promise, _ node: inout NodeProcess, token: String, secret: String
    ) throws(RunError) -> Verdicts.Line {
        switch promise.name {
        case "memory":
            guard let rss = ServerFigures.read(pid: Int(node.pid), cgroup: nil).rss else {
                throw RunError("the node's memory can't be read")
            }
            return Verdicts.Line(
                promise: promise, measured: Double(rss), remark: "", isWhole: true)
        case "disk": return try disk(promise, &node, secret: secret)
        case "restart": return try restart(promise, &node)
        case "get": return try get(promise, node, token)
        case "push-one": return try push(promise, node, token, listeners: 1)
        case "push": return try push(promise, node, token, listeners: Self.listeners)
        default: return try broadcast(promise, node, token)
        }
    }

    /// The node is drained to look at what it leaves, and started again.
    private func disk(
        _ promise: Promise, _ node: inout NodeProcess, secret: String
    ) throws(RunError) -> Verdicts.Line {
        let admin = try SignIn.token(
            user: "admin", secret: secret, peer: node.peer, host: node.host)
        var status = 0
        let deadlineNs = Clock.monotonicNs() + Self.snapshotNsMax
        // One may be under way, as the log has grown: 409 then, or no answer in time.
        repeat {
            do throws(SystemError) {
                status = try Exchange.run(
                    "POST", "/admin/snapshot", headers: ["Authorization: Bearer \(admin)"],
                    peer: node.peer, host: node.host, timeoutSeconds: 60
                ).status
            } catch {
                throw RunError("\(error)")
            }
            if status == 409 || status == 0 { usleep(200_000) }
        } while (status == 409 || status == 0) && Clock.monotonicNs() < deadlineNs
        guard status / 100 == 2 else {
            throw RunError("POST /admin/snapshot was answered with \(status)")
        }
        node.stop()
        let bytes = node.diskBytes
        _ = try node.start()
        return Verdicts.Line(promise: promise, measured: bytes, remark: "", isWhole: bytes > 0)
    }

    private func restart(
        _ promise: Promise, _ node: inout NodeProcess
    ) throws(RunError) -> Verdicts.Line {
        var times: [Double] = []
        for _ in 0..<Self.restarts {
            node.stop()
            times.append(try node.start())
        }
        times.sort()
        // A node that starts quickly because it has forgotten everything has not kept the promise.
        let keys = try keys(node)
        return Verdicts.Line(
            promise: promise, measured: times[times.count / 2],
            remark: keys >= Promise.records ? "" : "\(keys) records were left",
            isWhole: keys >= Promise.records)
    }

    private func keys(_ node: NodeProcess) throws(RunError) -> Int {
        do throws(SystemError) {
            let reply = try Exchange.run("GET", "/stats", peer: node.peer, host: node.host)
            return Int(reply.json?["total_keys"]?.number ?? 0)
        } catch {
            throw RunError("\(error)")
        }
    }

    private func get(
        _ promise: Promise, _ node: NodeProcess, _ token: String
    ) throws(RunError) -> Verdicts.Line {
        var words = words(node, .get, token)
        words.rate = 500
        words.connections = 8
        let report = try run(words)
        let wrong = (report.figure("requests") ?? 0) - (report.figure("replies_2xx") ?? 0)
        return line(
            promise, report, report.latency("latency")?["p99"],
            wrong > 0 ? "\(Int(wrong)) were not answered with 200" : nil)
    }

    private func push(
        _ promise: Promise, _ node: NodeProcess, _ token: String, listeners: Int
    ) throws(RunError) -> Verdicts.Line {
        var words = words(node, .push, token)
        words.table = "verify-\(promise.name)"
        words.rate = Self.insertsPerSecond
        words.listeners = listeners
        words.keys = listeners
        words.connections = 4
        words.sources = 1
        let report = try run(words)
        return line(
            promise, report, report.latency("by the kernel")?["p99"],
            faults(report, listeners: listeners))
    }

    private func broadcast(
        _ promise: Promise, _ node: NodeProcess, _ token: String
    ) throws(RunError) -> Verdicts.Line {
        var words = words(node, .push, token)
        words.table = "verify-broadcast"
        words.rate = 1
        words.arrivals = .even
        words.listeners = Self.listeners
        words.keys = 1
        words.connections = 1
        words.drainMs = 5_000
        let report = try run(words)
        return line(
            promise, report, report.latency("by the kernel, last")?["p50"],
            faults(report, listeners: Self.listeners))
    }

    private func faults(_ report: Report, listeners: Int) -> String? {
        var words: [String] = []
        for name in ["missed", "duplicates", "out_of_order", "behind_at_end"] {
            if let count = report.figure(name), count > 0 { words.append("\(Int(count)) \(name)") }
        }
        if (report.figure("streams") ?? 0) < Double(listeners) {
            words.append("\(Int(report.figure("streams") ?? 0)) streams")
        }
        return words.isEmpty ? nil : words.joined(separator: ", ")
    }

    private func line(
        _ promise: Promise, _ report: Report, _ ns: UInt64?, _ fault: String?
    ) -> Verdicts.Line {
        // What disturbed the generator makes a figure worse, so it is no excuse but an explanation.
        let remark = [fault, report.cautions.first.map { "note: \($0)" }].compactMap { $0 }
        return Verdicts.Line(
            promise: promise, measured: ns.map { Double($0) / 1e6 },
            remark: remark.joined(separator: "; "), isWhole: fault == nil)
    }
}
