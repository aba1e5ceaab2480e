import Glibc
import Keyspace
import Machine
import Wire

/// Commands about the server: what it is, what it knows, how it is set up.
extension Shard {
    mutating func serverCommand(
        _ facts: CommandFacts, _ words: RESPWords, _ context: RESPContext,
        into out: inout RESPWriter
    ) {
        switch facts.command {
        case .command: commandCommand(words, into: &out)
        case .info: info(words, databaseFigures(), into: &out)
        case .config: config(words, context, into: &out)
        case .cluster: cluster(words, context, into: &out)
        case .time:
            var now = timespec()
            unsafe clock_gettime(CLOCK_REALTIME, &now)
            out.array(2)
            out.bulk(decimal: Int64(now.tv_sec))
            out.bulk(decimal: Int64(now.tv_nsec / 1000))
        case .role:
            out.array(3)
            out.bulk("master")
            out.integer(Int64(keyspace.position))
            out.array(0)
        case .wait:
            guard unsafe integer(words[1], into: &out) != nil else { return }
            guard let timeout = unsafe RESPNumber.integer(words[2]) else {
                return out.error("ERR timeout is not an integer or out of range")
            }
            guard timeout >= 0 else { return out.error("ERR timeout is negative") }
            // One node has no replicas, and none will come while it waits.
            out.integer(0)
        case .bgsave, .lastsave, .bgrewriteaof: saveCommand(facts, words, context, into: &out)
        case .replicaof, .slaveof:
            guard mayAdminister(context) else { return out.error(Self.adminNeeded) }
            // A node alone has left every cluster.
            if unsafe words[1].isOption("no"), unsafe words[2].isOption("one") { return out.ok() }
            out.error(Self.aloneYet)
        default: invariant(false, "not a command about the server")
        }
    }

    static var adminNeeded: StaticString {
        "NOPERM this user has no permissions to run this command: AUTH as admin"
    }

    /// With an `ADMIN_PASSWORD` some commands are the admin's alone.
    mutating func mayAdminister(_ context: RESPContext) -> Bool {
        !settings.hasAdmin || context.caller == .admin
    }

    // MARK: CLUSTER

    private static var aloneYet: StaticString {
        "ERR This version runs alone: it does not join other nodes yet"
    }

    private mutating func cluster(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        let name = unsafe words[1]
        guard let row = unsafe subcommand(.cluster, name) else {
            return unsafe unknownSubcommand(.cluster, name, into: &out)
        }
        guard row.takes(words.count) else {
            return unsafe wrongSubcommandArity(.cluster, name, into: &out)
        }
        let address = ClusterAddress(unsafe state.pointee.facts.address)
        let id = clusterID
        switch row.name {
        case "meet", "forget", "reshard":
            out.error(mayAdminister(context) ? Self.aloneYet : Self.adminNeeded)
        case "keyslot": unsafe out.integer(Int(Slot.of(words[2])))
        case "myid": out.bulk(id)
        case "info":
            out.verbatim(
                "txt",
                "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n"
                    + "cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:1\r\n"
                    + "cluster_size:1\r\ncluster_current_epoch:1\r\ncluster_my_epoch:1\r\n")
        case "nodes":
            out.verbatim(
                "txt",
                "\(id) \(address.host):\(address.port)@\(address.port) myself,master - 0 0 1 "
                    + "connected 0-16383\n")
        case "slots":
            out.array(1)
            out.array(3)
            out.integer(0)
            out.integer(16383)
            out.array(4)
            out.bulk(address.host)
            out.integer(address.port)
            out.bulk(id)
            out.array(0)
        case "shards":
            out.array(1)
            out.map(2)
            out.bulk("slots")
            out.array(2)
            out.integer(0)
            out.integer(16383)
            out.bulk("nodes")
            out.array(1)
            out.map(7)
            out.bulk("id")
            out.bulk(id)
            out.bulk("port")
            out.integer(address.port)
            out.bulk("ip")
            out.bulk(address.host)
            out.bulk("endpoint")
            out.bulk(address.host)
            out.bulk("role")
            out.bulk("master")
            out.bulk("replication-offset")
            out.integer(Int64(keyspace.position))
            out.bulk("health")
            out.bulk("online")
        case "countkeysinslot":
            guard let slot = unsafe integer(words[2], into: &out) else { return }
            guard slot >= 0, slot < Int64(Slot.count) else { return out.error("ERR Invalid slot") }
            out.error("ERR Keys are not counted by slot")
        default: help(.cluster, into: &out)
        }
    }

    /// The node's id in the forty hexadecimal digits that cluster clients expect.
    private var clusterID: String {
        var text = ""
        for byte in unsafe state.pointee.facts.nodeID.utf8 {
            text += byte < 16 ? "0" : ""
            text += String(byte, radix: 16)
        }
        return String((text + String(repeating: "0", count: 40)).prefix(40))
    }
}

/// A host and a port as CLUSTER tells them apart.
private struct ClusterAddress {
    var host: String
    var port: Int

    init(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        port = Int(parts.last ?? "") ?? 0
        host = parts.dropLast().joined(separator: ":")
    }
}
