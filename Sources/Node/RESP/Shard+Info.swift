import Glibc
import Keyspace
import Machine
import Synchronization
import Wire

/// INFO and CONFIG: figures and settings under the names that Redis' tools look for.
extension Shard {
    private static var sections: [String] {
        [
            "server", "clients", "memory", "persistence", "stats", "replication", "cpu", "cluster",
            "keyspace",
        ]
    }

    mutating func info(_ words: RESPWords, into out: inout RESPWriter) {
        var wanted: [String] = []
        for place in 1..<max(1, words.count) {
            let name = unsafe String(decoding: words[place], as: UTF8.self).lowercased()
            if ["all", "default", "everything"].contains(name) {
                wanted = Self.sections
            } else if !wanted.contains(name) {
                wanted.append(name)
            }
        }
        if wanted.isEmpty { wanted = Self.sections }
        var text = ""
        for section in Self.sections where wanted.contains(section) {
            if !text.isEmpty { text += "\r\n" }
            text += "# " + section.prefix(1).uppercased() + section.dropFirst() + "\r\n"
            for (name, value) in figures(section) { text += "\(name):\(value)\r\n" }
        }
        out.verbatim("txt", text)
    }

    private mutating func figures(_ section: String) -> [(String, String)] {
        let facts = unsafe state.pointee.facts
        let total = totals()
        switch section {
        case "server":
            let seconds = max(0, (wallMs - facts.startedMs) / 1000)
            return [
                ("redis_version", ServerFacts.redisVersion), ("redis_mode", "standalone"),
                ("needletail_version", facts.version), ("os", "Linux"), ("arch_bits", "64"),
                ("multiplexing_api", facts.driver), ("process_id", "\(getpid())"),
                ("run_id", facts.nodeID),
                ("tcp_port", "\(facts.address.split(separator: ":").last ?? "0")"),
                ("server_time_usec", "\(wallMs * 1000)"), ("uptime_in_seconds", "\(seconds)"),
                ("uptime_in_days", "\(seconds / 86400)"), ("hz", "1"),
                ("shards", "\(unsafe state.pointee.shardCount)"), ("executable", "needletail"),
            ]
        case "clients":
            return [
                (
                    "connected_clients",
                    "\(unsafe state.pointee.connections.load(ordering: .relaxed))"
                ),
                ("maxclients", "\(settings.connectionsMax)"), ("blocked_clients", "0"),
            ]
        case "memory":
            return [
                ("used_memory", "\(total.keyspaceBytes)"),
                ("used_memory_rss", "\(ProcessMemory.residentBytes)"),
                ("maxmemory", "\(settings.memoryBytesMax)"),
                ("maxmemory_policy", settings.evicts ? "allkeys-lru" : "noeviction"),
            ]
        case "persistence":
            return [
                ("loading", "0"), ("rdb_changes_since_last_save", "0"),
                ("rdb_bgsave_in_progress", "0"),
                ("rdb_last_save_time", "\(facts.startedMs / 1000)"), ("aof_enabled", "0"),
            ]
        case "stats":
            return [
                ("total_connections_received", "\(total.connectionsAccepted)"),
                ("total_commands_processed", "\(total.commands)"),
                ("rejected_connections", "\(total.connectionsRefused)"),
                ("total_net_input_bytes", "\(total.receivedBytes)"),
                ("total_net_output_bytes", "\(total.sentBytes)"),
            ]
        case "replication":
            return [
                ("role", "master"), ("connected_slaves", "0"),
                ("master_replid", facts.nodeID), ("master_repl_offset", "\(keyspace.position)"),
            ]
        case "cpu":
            var usage = rusage()
            unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
            func seconds(_ time: timeval) -> String {
                let micros = "\(time.tv_usec)"
                let zeros = String(repeating: "0", count: max(0, 6 - micros.count))
                return "\(time.tv_sec).\(zeros)\(micros)"
            }
            return [
                ("used_cpu_sys", seconds(usage.ru_stime)),
                ("used_cpu_user", seconds(usage.ru_utime)),
            ]
        case "cluster": return [("cluster_enabled", "0")]
        default:
            return total.keys == 0 ? [] : [("db0", "keys=\(total.keys),expires=0,avg_ttl=0")]
        }
    }

    /// What all shards have counted, as of their last turns.
    private func totals() -> ShardTally {
        var total = ShardTally()
        for shard in unsafe 0..<state.pointee.shardCount {
            let one = unsafe state.pointee.figures[shard].tally
            total.keyspaceBytes &+= one.keyspaceBytes
            total.keys &+= one.keys
            total.commands &+= one.commands
            total.connectionsAccepted &+= one.connectionsAccepted
            total.connectionsRefused &+= one.connectionsRefused
            total.receivedBytes &+= one.receivedBytes
            total.sentBytes &+= one.sentBytes
        }
        return total
    }

    // MARK: CONFIG

    /// What there is of Redis' parameters, with what it is set to.
    private var parameters: [(String, String)] {
        [
            ("databases", "\(RESPDatabases.count)"), ("maxclients", "\(settings.connectionsMax)"),
            ("maxmemory", "\(settings.memoryBytesMax)"),
            ("maxmemory-policy", settings.evicts ? "allkeys-lru" : "noeviction"),
            ("proto-max-bulk-len", "\(settings.valueBytesMax)"),
            ("save", ""), ("appendonly", "no"), ("appendfsync", "everysec"), ("timeout", "0"),
            ("notify-keyspace-events", notifiedEvents),
        ]
    }

    mutating func config(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        let name = unsafe words[1]
        guard let row = unsafe subcommand(.config, name) else {
            return unsafe unknownSubcommand(.config, name, into: &out)
        }
        guard row.takes(words.count) else {
            return unsafe wrongSubcommandArity(.config, name, into: &out)
        }
        switch row.name {
        case "get":
            let found = parameters.filter { parameter in
                (2..<words.count).contains { place in
                    unsafe Array(parameter.0.utf8).withUnsafeBytes {
                        unsafe Glob.matches(words[place], $0, ignoringCase: true)
                    }
                }
            }
            out.map(found.count)
            for (name, value) in found {
                out.bulk(name)
                out.bulk(value)
            }
        case "set": setParameters(words, context, into: &out)
        case "resetstat":
            guard mayAdminister(context) else { return out.error(Self.adminNeeded) }
            out.ok()
        case "rewrite": out.error("ERR The server is running without a config file")
        default: help(.config, into: &out)
        }
    }

    private mutating func setParameters(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        guard mayAdminister(context) else { return out.error(Self.adminNeeded) }
        guard words.count % 2 == 0 else {
            return unsafe wrongSubcommandArity(.config, words[1], into: &out)
        }
        for place in stride(from: 2, to: words.count, by: 2) {
            let name = unsafe String(decoding: words[place], as: UTF8.self).lowercased()
            guard let known = parameters.first(where: { $0.0 == name }) else {
                out.begin(
                    error: "ERR Unknown option or number of arguments for CONFIG SET - '")
                unsafe out.addPrintable(words[place])
                out.add("'")
                return out.endLine()
            }
            let value = unsafe String(decoding: words[place + 1], as: UTF8.self)
            if name == "notify-keyspace-events" {
                guard setNotifiedEvents(value) else {
                    out.begin(error: "ERR CONFIG SET failed (possibly related to argument '")
                    out.add(name)
                    out.add("') - Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
                    return out.endLine()
                }
            } else if value != known.1 {
                out.begin(error: "ERR CONFIG SET failed (possibly related to argument '")
                out.add(name)
                out.add("') - can't set immutable config")
                return out.endLine()
            }
        }
        out.ok()
    }
}

enum ProcessMemory {
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
}
