import Glibc
import Keyspace
import Machine
public import Options
import Synchronization
import Wire

/// A whole node: finds out what the machine carries, starts a shard for each core, and ends them
/// again in order.
public enum Node {
    /// Serves until a signal ends it. The result is the process's exit status.
    public static func run(_ configuration: Configuration) -> Int32 {
        do throws(SystemError) {
            return try serve(configuration)
        } catch {
            complain("\(error)")
            return 1
        }
    }

    /// One line on stderr for whoever started the node by hand.
    static func complain(_ text: String) {
        let line = Array("needletail: \(text)\n".utf8)
        _ = unsafe line.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
    }

    private static func serve(_ configuration: Configuration) throws(SystemError) -> Int32 {
        CrashReport.install(program: "needletail", version: OptionsText.number)
        let log = Log(level: configuration.logLevel, format: configuration.logFormat)
        let signals = Signals.block()
        let shardCount = configuration.shards ?? CPU.available()
        let descriptors = Descriptors.raise(shards: shardCount)
        let directory = try DataDirectory.open(configuration.dir, nodeID: configuration.nodeID)
        let address = try SocketAddress.resolve(
            host: configuration.listen.host, port: configuration.listen.port)
        let listener = try Listener.listen(on: address)
        let respListener = try listenForRESP(configuration)
        let keyspace = try keyspaceSettings(
            configuration, shardCount: shardCount, seed: KeyspaceSeed.open(directory.path))
        let choice = try chooseIO(configuration)

        let connectionsMax = min(
            configuration.connectionsMax ?? descriptors.connectionsMax,
            descriptors.connectionsMax)
        var settings = shardSettings(configuration, connectionsMax: connectionsMax)
        settings.listenerIsLoopback = listener.address.isLoopback
        settings.respListenerIsLoopback = respListener?.isLoopback ?? false
        settings.hasAdmin = configuration.adminPassword != nil
        settings.memoryBytesMax = keyspace.memoryBytesMax * shardCount
        settings.evicts = keyspace.eviction == .lru
        settings.refusalsMax = max(1, ShardSettings.refusalsOfNodeMax / shardCount)
        let bound = listener.address.text
        let facts = NodeFacts(
            version: OptionsText.number, nodeID: directory.nodeID, driver: choice.name,
            address: configuration.advertise.map { "\($0)" } ?? bound,
            startedMs: Int64(Clock.wallMs()), directory: directory.fullPath)
        let state = unsafe try NodeState.make(shardCount: shardCount, facts: facts)
        let health = unsafe healthBody(nodeID: directory.nodeID)

        log.info(
            "starting", ("version", OptionsText.number), ("node", directory.nodeID),
            ("shards", "\(shardCount)"), ("connections", "\(connectionsMax)"),
            ("memory", "\((keyspace.memoryBytesMax * shardCount) >> 20)MiB"),
            ("dir", directory.path))
        logIO(choice, log)
        warnOfWhatOthersCannotReach(configuration, listener.address, log)

        let registry = TableRegistry(seed: keyspace.seed)
        let origin = UInt64.random(in: .min ... .max)
        let owners = OwnerNumbers.make()
        let accounts = AccountSettings(
            configuration,
            jwtKey: try SigningKey.open(
                configured: configuration.jwtSecret, directory: directory.path))
        let rates = configuration.rate.map { RequestRates($0) }
        let disk = FileDisk(directory: directory.fd)
        let wakers = (0..<shardCount).map { unsafe state.pointee.wakers[$0] }
        let durability = try Durability.make(
            disk, in: directory.path, configuration, wakers: wakers)
        let report = ShardReport(expecting: shardCount)
        let listenerFD = listener.release()
        for number in 0..<shardCount {
            let start = unsafe ShardStart(
                number: number, settings: settings, state: state, choice: choice,
                slotCount: connectionsMax + settings.refusalsMax, healthBody: health,
                listenerFD: number == 0 ? listenerFD : -1,
                respListenerFD: number == 0 ? respListener?.fd ?? -1 : -1, log: log,
                keyspace: keyspace, registry: registry, owners: owners,
                accounts: accounts, rates: rates, durability: durability, eventOrigin: origin)
            // Left to itself: its end is told by the report.
            _ = try Thread.start(name: "shard-\(number)") { start.run(report) }
        }
        if let failure = report.waitUntilReady() { throw failure }
        let loading = Loading(
            disk: disk, directory: directory.path, policy: configuration.fsync,
            shardCount: shardCount, keyspace: keyspace,
            registry: registry, owners: owners, signals: signals, log: log)
        let dump = DumpFile(
            path: durability.dumpPath, limits: dumpLimits(configuration))
        do throws(LoadFailure) {
            try DumpImport(disk: disk, directory: directory.path, file: dump, log: log)
                .runAtFirstStart()
            let loaded = try loading.load()
            try durability.go(
                from: loaded, startedS: facts.startedMs / 1000, wakers: wakers, log)
        } catch {
            complain("\(error)")
            return 1
        }
        unsafe state.pointee.wakeAll()
        log.info("listening", ("addr", bound))
        if let respListener { log.info("listening for RESP", ("addr", respListener.text)) }
        let signal = waitForgetting(signals)
        log.info("draining", ("signal", signal == SIGINT ? "SIGINT" : "SIGTERM"), ("addr", bound))
        unsafe drain(state, report, signals, timeoutMs: UInt64(configuration.drainTimeoutMs), log)
        log.info("stopped", ("addr", bound))
        return 0
    }

    /// Waits for a signal. The first seconds run through much code once that is hardly needed again,
    /// as the start did: OpenSSL reading itself together for the first login, the first snapshot. So its
    /// pages are given back a few times, less and less often, and then never more.
    private static func waitForgetting(_ signals: Signals) -> Int32 {
        var pauseMs: UInt64 = 200
        while pauseMs < 60_000 {
            StartupPages.forget()
            if let signal = signals.wait(timeoutMs: pauseMs) { return signal }
            pauseMs *= 2
        }
        StartupPages.forget()
        return signals.wait()
    }

    private static func listenForRESP(
        _ configuration: Configuration
    ) throws(SystemError) -> (fd: Int32, isLoopback: Bool, text: String)? {
        guard let wanted = configuration.respListen else { return nil }
        let listener = try Listener.listen(
            on: try SocketAddress.resolve(host: wanted.host, port: wanted.port))
        let address = listener.address
        return (listener.release(), address.isLoopback, address.text)
    }

    /// Lets the shards finish; after the time is over, or at a second signal, ends them.
    private static func drain(
        _ state: UnsafeMutablePointer<NodeState>, _ report: ShardReport, _ signals: Signals,
        timeoutMs: UInt64, _ log: Log
    ) {
        unsafe state.pointee.enter(.draining)
        let end = Clock.monotonicMs() + timeoutMs
        while !report.allEnded {
            let now = Clock.monotonicMs()
            let signal = signals.wait(timeoutMs: now < end ? min(end - now, pollMs) : 0)
            if now < end, signal == nil { continue }
            let left = unsafe state.pointee.connections.load(ordering: .relaxed)
            log.warn("drain cut short", ("connections", "\(left)"))
            break
        }
    }

    /// How soon the main thread notices that the last shard has drained.
    private static let pollMs: UInt64 = 10

    // MARK: What the machine carries

    private static func chooseIO(_ configuration: Configuration) throws(SystemError)
        -> IOProbe.Choice
    {
        let masked = configuration.ioMask.map(\.rawValue)
        var allowed = IOFeatures.all
        for known in IOFeatures.names where masked.contains(known.name) {
            allowed.remove(known.feature)
        }
        switch configuration.io {
        case .epoll: return .epoll(why: "--io epoll")
        case .auto: return IOProbe.choose(allowed: allowed)
        case .uring:
            if case .uring(let features) = IOProbe.choose(allowed: allowed) {
                return .uring(features)
            }
            try IOProbe.attempt(allowed)
            return .uring(allowed)
        }
    }

    private static func logIO(_ choice: IOProbe.Choice, _ log: Log) {
        switch choice {
        case .uring(let features):
            let names = IOFeatures.names.filter { features.contains($0.feature) }.map(\.name)
            log.info("io", ("driver", "uring"), ("features", names.joined(separator: ",")))
        case .epoll(let why): log.info("io", ("driver", "epoll"), ("why", why))
        }
    }

    private static func warnOfWhatOthersCannotReach(
        _ configuration: Configuration, _ address: SocketAddress, _ log: Log
    ) {
        if !address.isLoopback {
            log.warn(
                "no TLS", ("addr", address.text),
                ("hint", "everybody on the way can read along: put a proxy with TLS in front"))
        }
        if configuration.listen.isUnspecified, configuration.advertise == nil {
            log.warn(
                "no address to tell others", ("addr", address.text),
                ("hint", "give --advertise HOST:PORT"))
        }
    }

    /// Each shard has an equal share of the memory: keys are spread evenly over them.
    private static func keyspaceSettings(
        _ configuration: Configuration, shardCount: Int, seed: UInt64
    ) throws(SystemError) -> Keyspace.Settings {
        var settings = Keyspace.Settings(seed: seed)
        settings.eviction = configuration.eviction == .lru ? .lru : .none
        let memory = configuration.memoryBytesMax ?? Memory.available().map { $0 / 4 * 3 }
        guard let memory else { return settings }
        settings.memoryBytesMax = memory / shardCount
        // Room to spare, and not more: address space can be limited, too.
        settings.addressBytes = min(
            settings.addressBytes, max(1 << 30, 4 * settings.memoryBytesMax))
        guard settings.memoryBytesMax >= Configuration.memoryBytesOfShardMin else {
            throw SystemError(
                "--max-memory", ENOMEM,
                hint: "\(memory >> 20) MiB are too few for \(shardCount) shards: lower --shards, "
                    + "or give --max-memory at least "
                    + "\(Configuration.memoryBytesOfShardMin >> 20) MiB for each")
        }
        return settings
    }

    private static func shardSettings(
        _ configuration: Configuration, connectionsMax: Int
    ) -> ShardSettings {
        var settings = ShardSettings()
        settings.limits.headBytesMax = configuration.headerBytesMax
        settings.limits.headerCountMax = configuration.headerCountMax
        settings.limits.bodyBytesMax = UInt64(
            configuration.valueBytesMax + ShardSettings.bodyBytesBeyondValue)
        settings.idleTimeoutMs = UInt64(configuration.idleTimeoutMs)
        settings.headerTimeoutMs = UInt64(configuration.headerTimeoutMs)
        settings.bodyTimeoutMs = UInt64(configuration.bodyTimeoutMs)
        settings.turnRequestsMax = Int32(clamping: configuration.turnRequestsMax)
        settings.turnBytesMax = Int32(clamping: configuration.turnBytesMax)
        settings.bodyBudgetBytes = configuration.bodyBudgetBytes
        settings.connectionsMax = connectionsMax
        settings.testRoutes = configuration.testRoutes
        settings.pipelineDepthMax = UInt32(clamping: configuration.pipelineDepthMax)
        settings.valueBytesMax = configuration.valueBytesMax
        settings.heartbeatMs = UInt64(configuration.heartbeatMs)
        settings.streamBufferBytes = configuration.streamBufferBytes
        unsafe settings.corsOrigin = unsafe kept(configuration.corsOrigin)
        settings.allowsAnyOrigin = configuration.corsOrigin == "*"
        return settings
    }

    /// Rendered once; every shard sends these bytes.
    private static func healthBody(nodeID: String) -> UnsafeRawBufferPointer {
        unsafe kept("{\"status\":\"healthy\",\"node_id\":\"\(nodeID)\"}")
    }

    /// Text for as long as the process lives.
    private static func kept(_ text: String) -> UnsafeRawBufferPointer {
        let utf8 = Array(text.utf8)
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: utf8.count, alignment: 8)
        unsafe bytes.copyBytes(from: utf8)
        return UnsafeRawBufferPointer(bytes)
    }
}
