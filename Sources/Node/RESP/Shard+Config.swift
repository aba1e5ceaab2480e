import Keyspace
import Machine
import Options
import Wire

/// CONFIG: settings under the names that Redis' tools look for.
extension Shard {
    /// What there is of Redis' parameters, with what it is set to.
    private var parameters: [(String, String)] {
        let facts = unsafe state.pointee.facts
        let dump = durability.dumpPath.split(separator: "/").last.map(String.init) ?? ""
        return [
            ("port", "\(facts.address.split(separator: ":").last ?? "0")"),
            ("databases", "\(RESPDatabases.count)"), ("maxclients", "\(settings.connectionsMax)"),
            ("maxmemory", "\(settings.memoryBytesMax)"),
            ("maxmemory-policy", settings.evicts ? "allkeys-lru" : "noeviction"),
            ("proto-max-bulk-len", "\(settings.valueBytesMax)"), ("dir", facts.directory),
            ("dbfilename", dump), ("rdbcompression", "yes"), ("rdbchecksum", "yes"),
            // Dumps are written when somebody asks; what is always written is the log.
            ("save", ""), ("stop-writes-on-bgsave-error", "no"), ("appendonly", "yes"),
            ("appendfsync", durability.policy.rawValue), ("timeout", "0"),
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
                // As Redis guards where it writes.
                let isGuarded = name == "dir" || name == "dbfilename"
                out.add("') - can't set ")
                out.add(isGuarded ? "protected" : "immutable")
                out.add(" config")
                return out.endLine()
            }
        }
        out.ok()
    }
}
