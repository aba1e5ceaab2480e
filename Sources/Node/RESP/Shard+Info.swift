import Glibc
import Keyspace
import Machine
import Synchronization
import Wire

/// INFO: figures under the names that Redis' tools look for. What has no counterpart here is left
/// out rather than made up.
extension Shard {
    private static var sections: [String] {
        [
            "server", "clients", "memory", "persistence", "stats", "replication", "cpu", "cluster",
            "keyspace",
        ]
    }

    private mutating func sections(_ words: RESPWords) -> [String] {
        var wanted: [String] = []
        for place in 1..<max(1, words.count) {
            let name = unsafe String(decoding: words[place], as: UTF8.self).lowercased()
            if ["all", "default", "everything"].contains(name) { return Self.sections }
            if !wanted.contains(name) { wanted.append(name) }
        }
        return wanted.isEmpty ? Self.sections : Self.sections.filter(wanted.contains)
    }

    /// Whether other shards have to be asked for what their databases hold.
    mutating func asksForDatabases(_ words: RESPWords) -> Bool {
        sections(words).contains("keyspace")
    }

    mutating func info(
        _ words: RESPWords, _ databases: [DatabaseFigures], into out: inout RESPWriter
    ) {
        var text = ""
        for section in sections(words) {
            if !text.isEmpty { text += "\r\n" }
            let title =
                section == "cpu" ? "CPU" : section.prefix(1).uppercased() + section.dropFirst()
            text += "# \(title)\r\n"
            for (name, value) in figures(section, databases) { text += "\(name):\(value)\r\n" }
        }
        out.verbatim("txt", text)
    }

    private mutating func figures(
        _ section: String, _ databases: [DatabaseFigures]
    ) -> [(String, String)] {
        switch section {
        case "server": serverFigures()
        case "clients":
            [
                (
                    "connected_clients",
                    "\(unsafe state.pointee.connections.load(ordering: .relaxed))"
                ),
                ("maxclients", "\(settings.connectionsMax)"), ("blocked_clients", "0"),
            ]
        case "memory": memoryFigures()
        case "persistence": persistenceFigures()
        case "stats": statsFigures()
        case "replication":
            [
                ("role", "master"), ("connected_slaves", "0"),
                ("master_replid", unsafe state.pointee.facts.nodeID),
                ("master_repl_offset", "\(keyspace.position)"),
            ]
        case "cpu": processorFigures()
        case "cluster": [("cluster_enabled", "0")]
        default:
            databases.map { one in
                (
                    "db\(one.database)",
                    "keys=\(one.keys),expires=\(one.expiring),avg_ttl=\(one.meanTTLMs(at: wallMs))"
                )
            }
        }
    }

    private mutating func serverFigures() -> [(String, String)] {
        let facts = unsafe state.pointee.facts
        let seconds = max(0, (wallMs - facts.startedMs) / 1000)
        return [
            ("redis_version", ServerFacts.redisVersion), ("redis_mode", "standalone"),
            ("needletail_version", facts.version), ("os", ProcessFacts.system),
            ("arch_bits", "\(Int.bitWidth)"),
            ("multiplexing_api", facts.driver), ("process_id", "\(getpid())"),
            ("run_id", facts.nodeID),
            ("tcp_port", "\(facts.address.split(separator: ":").last ?? "0")"),
            ("server_time_usec", "\(wallMs * 1000)"), ("uptime_in_seconds", "\(seconds)"),
            ("uptime_in_days", "\(seconds / 86400)"),
            ("shards", "\(unsafe state.pointee.shardCount)"),
            ("executable", ProcessFacts.executable), ("config_file", ""),
        ]
    }

    private mutating func memoryFigures() -> [(String, String)] {
        let used = totals().keyspaceBytes
        let resident = ProcessFacts.residentBytes
        let machine = Memory.available() ?? 0
        let most = settings.memoryBytesMax
        return [
            ("used_memory", "\(used)"), ("used_memory_human", ByteText.human(Int(used))),
            ("used_memory_rss", "\(resident)"),
            ("used_memory_rss_human", ByteText.human(resident)),
            ("total_system_memory", "\(machine)"),
            ("total_system_memory_human", ByteText.human(machine)),
            ("maxmemory", "\(most)"), ("maxmemory_human", ByteText.human(most)),
            ("maxmemory_policy", settings.evicts ? "allkeys-lru" : "noeviction"),
        ]
    }

    /// The log and its snapshots stand for Redis' append-only file and its rewriting.
    private mutating func persistenceFigures() -> [(String, String)] {
        let dumps =
            durability.dumper?.figures
            ?? Dumper.Figures(lastSaveS: unsafe state.pointee.facts.startedMs / 1000)
        let snapshots = durability.snapshotter?.figures ?? Snapshotter.Figures()
        let isRewriting = unsafe durability.signals.pointee.isRunning
        let base = unsafe durability.signals.pointee.bytes.load(ordering: .relaxed)
        let log = unsafe durability.signals.pointee.logBytes.load(ordering: .relaxed)
        let total = totals()
        let runningS = dumps.beganMs.map { "\((nowMs &- min($0, nowMs)) / 1000)" }
        let tookS = dumps.lastTookMs.map { "\($0 / 1000)" }
        let hasSnapshot = snapshots.taken + snapshots.failed > 0
        return [
            ("loading", isLoading ? "1" : "0"), ("async_loading", "0"),
            (
                "rdb_changes_since_last_save",
                "\(total.changes &- min(dumps.changesSaved, total.changes))"
            ),
            ("rdb_bgsave_in_progress", dumps.beganMs == nil ? "0" : "1"),
            ("rdb_last_save_time", "\(dumps.lastSaveS)"),
            ("rdb_last_bgsave_status", dumps.lastFailed ? "err" : "ok"),
            ("rdb_last_bgsave_time_sec", tookS ?? "-1"),
            ("rdb_current_bgsave_time_sec", runningS ?? "-1"), ("rdb_saves", "\(dumps.saves)"),
            ("aof_enabled", "1"), ("aof_rewrite_in_progress", isRewriting ? "1" : "0"),
            ("aof_rewrite_scheduled", "0"),
            ("aof_last_rewrite_time_sec", hasSnapshot ? "\(snapshots.durationMs / 1000)" : "-1"),
            ("aof_last_bgrewrite_status", snapshots.lastFailed ? "err" : "ok"),
            ("aof_rewrites", "\(snapshots.taken)"),
            ("aof_last_write_status", total.diskTrouble == 0 ? "ok" : "err"),
            ("aof_current_size", "\(base + log)"), ("aof_base_size", "\(base)"),
        ]
    }

    private mutating func statsFigures() -> [(String, String)] {
        let total = totals()
        return [
            ("total_connections_received", "\(total.connectionsAccepted)"),
            ("total_commands_processed", "\(total.commands)"),
            ("rejected_connections", "\(total.connectionsRefused)"),
            ("total_net_input_bytes", "\(total.receivedBytes)"),
            ("total_net_output_bytes", "\(total.sentBytes)"),
            ("expired_keys", "\(total.expired)"), ("evicted_keys", "\(total.evicted)"),
        ]
    }

    private mutating func processorFigures() -> [(String, String)] {
        var usage = rusage()
        unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> String {
            let micros = "\(time.tv_usec)"
            let zeros = String(repeating: "0", count: max(0, 6 - micros.count))
            return "\(time.tv_sec).\(zeros)\(micros)"
        }
        return [
            ("used_cpu_sys", seconds(usage.ru_stime)), ("used_cpu_user", seconds(usage.ru_utime)),
        ]
    }

    /// What all shards have counted, as of their last turns.
    private mutating func totals() -> ShardTally {
        var total = ShardTally()
        for shard in unsafe 0..<state.pointee.shardCount {
            let one = unsafe state.pointee.figures[shard].tally
            total.keyspaceBytes &+= one.keyspaceBytes
            total.commands &+= one.commands
            total.connectionsAccepted &+= one.connectionsAccepted
            total.connectionsRefused &+= one.connectionsRefused
            total.receivedBytes &+= one.receivedBytes
            total.sentBytes &+= one.sentBytes
            total.changes &+= one.changes
            total.expired &+= one.expired
            total.evicted &+= one.evicted
            total.diskTrouble |= one.diskTrouble
        }
        return total
    }

    // MARK: Databases

    /// What this shard has of each database that is not empty here.
    mutating func databaseFigures() -> [DatabaseFigures] {
        var all: [DatabaseFigures] = []
        for database in 0..<Int64(RESPDatabases.count) {
            guard let table = tables.number(ofDatabase: database) else { continue }
            let keys = keyspace.count(of: table)
            guard keys > 0 else { continue }
            let ends = keyspace.ends(of: table)
            all.append(
                DatabaseFigures(
                    database: Int(database), keys: keys, expiring: ends.count,
                    endsS: ends.secondsSum))
        }
        return all
    }
}

/// What INFO says of a database.
struct DatabaseFigures: Equatable {
    var database: Int
    var keys: Int
    /// Those with an expiry, and the sum of their ends in seconds since 1970.
    var expiring: Int
    var endsS: Int64

    /// As Redis has it, 0 where nothing expires.
    func meanTTLMs(at nowMs: Int64) -> Int64 {
        guard expiring > 0 else { return 0 }
        return max(0, endsS / Int64(expiring) * 1000 - nowMs)
    }

    /// As shards tell it each other: a line for each database.
    static func text(_ all: [DatabaseFigures]) -> String {
        all.map { "\($0.database) \($0.keys) \($0.expiring) \($0.endsS)\n" }.joined()
    }

    /// What several shards have told, added up.
    static func sum(_ texts: [[UInt8]]) -> [DatabaseFigures] {
        var all: [DatabaseFigures] = []
        for text in texts {
            for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
                let words = line.split(separator: " ").compactMap { Int64($0) }
                guard words.count == 4 else { continue }
                let one = DatabaseFigures(
                    database: Int(words[0]), keys: Int(words[1]), expiring: Int(words[2]),
                    endsS: words[3])
                if let place = all.firstIndex(where: { $0.database == one.database }) {
                    all[place].keys += one.keys
                    all[place].expiring += one.expiring
                    all[place].endsS &+= one.endsS
                } else {
                    all.append(one)
                }
            }
        }
        return all.sorted { $0.database < $1.database }
    }
}

enum ByteText {
    /// As Redis writes sizes for people: `512B`, `1.50K`, `2.00G`.
    static func human(_ bytes: Int) -> String {
        guard bytes >= 1024 else { return "\(bytes)B" }
        var unit = 1024
        var letters = "KMGTP"[...]
        while letters.count > 1, bytes / unit >= 1024 {
            unit *= 1024
            letters = letters.dropFirst()
        }
        let (whole, rest) = bytes.quotientAndRemainder(dividingBy: unit)
        let hundredths = Int((Double(rest) / Double(unit) * 100).rounded())
        let value = whole * 100 + hundredths
        return "\(value / 100).\(value % 100 < 10 ? "0" : "")\(value % 100)\(letters.prefix(1))"
    }
}

/// What the system says of this process and of itself.
enum ProcessFacts {
    /// What the process has in memory, from /proc.
    static var residentBytes: Int {
        guard let file = unsafe fopen("/proc/self/statm", "r") else { return 0 }
        defer { unsafe fclose(file) }
        var text = [CChar](repeating: 0, count: 128)
        guard unsafe fgets(&text, 128, file) != nil else { return 0 }
        let words = text.prefix { $0 != 0 }.split(separator: 0x20)
        guard words.count > 1 else { return 0 }
        var pages = 0
        for digit in words[1] { pages = pages * 10 + Int(digit) - 0x30 }
        return pages * 4096
    }

    static var executable: String {
        var path = [CChar](repeating: 0, count: 4096)
        let count = unsafe readlink("/proc/self/exe", &path, path.count)
        return String(
            decoding: path.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// `Linux 6.1.0 x86_64`
    static var system: String {
        var names = utsname()
        guard unsafe uname(&names) == 0 else { return "Linux" }
        let parts = [
            text(&names.sysname), text(&names.release), text(&names.machine),
        ]
        return parts.joined(separator: " ")
    }

    private static func text<Chars>(_ chars: inout Chars) -> String {
        unsafe withUnsafeBytes(of: &chars) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}
