extension Option {
    /// The one table. To add an option, add a row and the field it fills; to carry out one that is
    /// listed as later, give its row a section and a meaning.
    public static let table: [Option] = node + http + log + secrets + experts + later

    private static let node: [Option] = [
        Option(
            "LISTEN", .node, .address(ports: 0...65535) { $0.listen = $1 },
            default: .value("127.0.0.1:6660"), way: .position,
            doc: "Where to listen. :PORT is every IPv4 address of the machine; port 0 lets the "
                + "kernel choose."),
        Option(
            "dir", .node,
            .text("PATH", "the path of a directory", where: { !$0.isEmpty }) { $0.dir = $1 },
            default: .value("./data"),
            doc: "Everything the node keeps. Created with mode 0700; locked against a second "
                + "process."),
        Option(
            "shards", .node, .whole(1...256) { $0.shards = $1 },
            default: .automatic("the cores the process may use, at least 1"),
            doc: "Shards: one thread each, with its own connections and keys."),
        Option(
            "io", .node, .choice { $0.io = $1 }, default: .value("auto"),
            doc: "The way to the kernel. auto tries io_uring, and takes epoll where it is refused."
        ),
        Option(
            "max-connections", .node, .whole(1...1_000_000) { $0.connectionsMax = $1 },
            default: .automatic("the limit of open files less a reserve"),
            doc: "Connections held at once. One more is answered 503 with Retry-After and closed."),
        Option(
            "resp", .node, .address(ports: 0...65535) { $0.respListen = $1 },
            default: .automatic("none: RESP is spoken on the main port"),
            doc: "A further listener, for RESP alone, inline commands included."),
        Option(
            "advertise", .node, .address(ports: 1...65535) { $0.advertise = $1 },
            default: .automatic("the listen address"),
            doc: "The address others are told; needed behind 0.0.0.0 or NAT."),
        Option(
            "node-id", .node,
            .text(
                "ID", "1 to 64 of A-Z a-z 0-9 . _ -",
                where: { (1...64).contains($0.utf8.count) && $0.utf8.allSatisfy(isIDByte) }
            ) { $0.nodeID = $1 },
            default: .automatic("a random id kept in --dir"), alias: "NODE_ID",
            doc: "This node's name for itself."),
        Option(
            "max-memory", .node,
            .size(Configuration.memoryBytesOfShardMin...(1 << 45)) { $0.memoryBytesMax = $1 },
            default: .automatic("75 % of the machine's memory, or of the cgroup's limit"),
            doc: "The memory records may take, all included; a shard has its equal share."),
        Option(
            "eviction", .node, .choice { $0.eviction = $1 }, default: .value("none"),
            doc: "At --max-memory: none answers writes 507 while reads go on; lru lets records go "
                + "that were not used for long."),
        Option(
            "max-value", .node, .size(1...(512 << 20)) { $0.valueBytesMax = $1 },
            default: .value("8MiB"), doc: "The longest value, and request body; 413 over it."),
        Option(
            "fsync", .node, .choice { $0.fsync = $1 }, default: .value("everysec"),
            doc: "When writes are synced to the disk: before each is acknowledged, each second, or "
                + "when the kernel sees fit. They are in the log's file before they are "
                + "acknowledged in any case."),
        Option(
            "snapshot-after", .node, .size((1 << 20)...(1 << 40)) { $0.snapshotAfterBytes = $1 },
            default: .value("64MiB"),
            doc: "Log written since the last snapshot after which the next is taken; at least "
                + "twice the size of the last one, and as much as all records have."),
        Option(
            "snapshot-every", .node,
            .duration(1_000...(365 * 86_400_000)) { $0.snapshotEveryMs = $1 },
            default: .value("1h"),
            doc: "The time after which a snapshot is taken if anything was written."),
        Option(
            "dbfilename", .node,
            .text(
                "NAME", "a file's name, without a slash",
                where: { !$0.isEmpty && !$0.contains("/") && $0 != "." && $0 != ".." }
            ) { $0.dumpName = $1 },
            default: .value("dump.rdb"),
            doc:
                "The RDB file in --dir that SAVE and BGSAVE write, and that is taken in at start where "
                + "no node has ever kept records there."),
        Option(
            "cors-origin", .node,
            .text("ORIGIN", "* or an origin, as in https://app.example", where: isOrigin) {
                $0.corsOrigin = $1
            }, default: .value("*"), doc: "The web origin that scripts may call from."),
        Option(
            "trusted-proxy", .node, .networks { $0.trustedProxies = $1 }, default: .none,
            doc: "Whose X-Forwarded-For or Forwarded is believed: clients behind these addresses "
                + "are told apart when logins are throttled and requests are counted."),
        Option(
            "rate", .node, .rate { $0.rate = $1 }, default: .none,
            doc: "HTTP requests and messages on /ws that one user may make, or one address without "
                + "a token: N a period, BURST at once; 429 over it."),
        Option(
            "heartbeat", .node, .duration(100...3_600_000) { $0.heartbeatMs = $1 },
            default: .value("15s"),
            doc: "The time between comments on a stream, which tell proxies that it lives."),
        Option(
            "stream-buffer", .node, .size(1024...(512 << 20)) { $0.streamBufferBytes = $1 },
            default: .value("256KiB"),
            doc: "Bytes held for one subscriber that reads slowly, or one event if that is longer; "
                + "past it only the newest state of each key is kept."),
        Option(
            "drain-timeout", .node, .duration(0...10_000) { $0.drainTimeoutMs = $1 },
            default: .value("10s"),
            doc: "After SIGTERM or SIGINT, the time to finish requests before connections are "
                + "closed."),
    ]

    private static let http: [Option] = [
        Option(
            "header-bytes", .http, .size(256...(1 << 20)) { $0.headerBytesMax = $1 },
            default: .value("16KiB"), doc: "Request line and header fields together; 431 over it."),
        Option(
            "header-count", .http, .whole(1...10_000) { $0.headerCountMax = $1 },
            default: .value("100"), doc: "Header fields of one request; 431 over it."),
        Option(
            "idle-timeout", .http, .duration(10...86_400_000) { $0.idleTimeoutMs = $1 },
            default: .value("75s"),
            doc: "A connection without a request for this long is closed."),
        Option(
            "header-timeout", .http, .duration(10...3_600_000) { $0.headerTimeoutMs = $1 },
            default: .value("10s"),
            doc: "From the first byte of a request to the end of its header; 408 after it."),
        Option(
            "body-timeout", .http, .duration(10...3_600_000) { $0.bodyTimeoutMs = $1 },
            default: .value("30s"),
            doc:
                "408 for a body that is not whole after it, unless 1 KiB a second keeps coming."),
        Option(
            "pipeline-depth", .http, .whole(1...65_536) { $0.pipelineDepthMax = $1 },
            default: .value("1024"),
            doc: "Requests of one connection in flight; further ones wait in the socket."),
        Option(
            "turn-requests", .http, .whole(1...65_536) { $0.turnRequestsMax = $1 },
            default: .value("64"),
            doc: "Requests of one connection carried out before another connection's turn."),
        Option(
            "turn-bytes", .http, .size(1024...(16 << 20)) { $0.turnBytesMax = $1 },
            default: .value("64KiB"),
            doc: "Bytes of one connection read or written before another connection's turn."),
        Option(
            "body-budget", .http, .size(1024...(1 << 40)) { $0.bodyBudgetBytes = $1 },
            default: .value("64MiB"),
            doc: "Memory of all request bodies in flight together; 503 over it."),
    ]

    private static let log: [Option] = [
        Option(
            "log-level", .log, .choice { $0.logLevel = $1 }, default: .value("info"),
            doc: "The least important event that is logged, on stderr."),
        Option(
            "log-format", .log, .choice { $0.logFormat = $1 }, default: .value("text"),
            doc: "One line an event, either way."),
    ]

    private static let secrets: [Option] = [
        Option(
            "JWT_SECRET", .secret, .secret(32...1024) { $0.jwtSecret = $1 },
            default: .automatic("a random key made once and kept in --dir"), way: .environment,
            doc: "The key that signs tokens."),
        Option(
            "JWT_EXPIRATION", .secret,
            .duration(1000...(365 * 86_400_000)) {
                $0.jwtExpirationMs = $1
            }, default: .value("1h"), way: .environment, doc: "How long a token is good for."),
        Option(
            "ADMIN_PASSWORD", .secret, .secret(1...1024) { $0.adminPassword = $1 },
            default: .automatic("no admin over the network"), way: .environment,
            doc: "The secret of the user admin."),
    ]

    private static let experts: [Option] = [
        Option(
            "io-mask", .expert, .list { $0.ioMask = $1 }, default: .none,
            doc: "Kernel features to treat as missing, to test on a new kernel what an old one "
                + "does."),
        Option(
            "test-routes", .test, .toggle { $0.testRoutes = $1 }, default: .none,
            doc: "Serve /_test/…, the routes that the project's own tests use. Not for production."),
    ]

    private static let later: [Option] = [
        upcoming("JOIN", "HOST:PORT", way: .position, "A member of the cluster to join."),
        upcoming("resp-cluster", "proxy|redirect", "Whether RESP clients get -MOVED."),
        upcoming("ftp", "HOST:PORT", "A listener for FTP."),
        upcoming("ftp-passive", "LO-HI", "The ports of FTP's passive mode."),
        upcoming("ftp-address", "HOST", "The address FTP's passive mode tells clients."),
        upcoming("consistency", "eventual|strong", "The default of tables without their own."),
        upcoming("election-ms", "LO-HI", "The span of Raft election timeouts."),
        upcoming("tls-cert", "FILE", "The certificate chain, PEM."),
        upcoming("tls-key", "FILE", "The certificate's key, PEM."),
        upcoming("tls-client-ca", "FILE", "Who signs the certificates clients must show."),
        upcoming("tls-only", "", "Refuse connections without TLS."),
        upcoming("tls-p12", "FILE", "Certificate and key as PKCS#12."),
        upcoming("replicas", "N|auto", "The copies of each record in a cluster."),
        upcoming("hf", "MS", "The time between gossip heartbeats."),
        upcoming("ttl", "MS", "The silence after which a node is declared dead."),
        upcoming(
            "CLUSTER_SECRET", "SECRET", way: .environment, "What members prove to each other."),
        upcoming("DATABASE_URL", "URL", way: .environment, "Where PostgreSQL keeps the accounts."),
        upcoming("TLS_P12_PASSWORD", "SECRET", way: .environment, "Opens the file of --tls-p12."),
    ]

    private static func upcoming(
        _ name: String, _ form: String, way: Way = .flag, _ doc: String
    ) -> Option {
        Option(
            name, .later, .later(form, isSecret: way == .environment), default: .none, way: way,
            doc: doc)
    }

    private static func isIDByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2E, 0x5F, 0x2D: true
        default: false
        }
    }

    /// `*`, or `scheme://host[:port]` with nothing after it, as in the Origin field (RFC 6454):
    /// it is compared byte for byte, and copied into a header, so it holds nothing but URL bytes.
    private static func isOrigin(_ text: String) -> Bool {
        if text == "*" { return true }
        for scheme in ["http://", "https://"] where text.hasPrefix(scheme) {
            let rest = text.dropFirst(scheme.count)
            return (1...255).contains(rest.utf8.count)
                && rest.utf8.allSatisfy { isIDByte($0) || $0 == 0x3A || $0 == 0x5B || $0 == 0x5D }
        }
        return false
    }
}
