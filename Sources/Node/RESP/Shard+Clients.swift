import Keyspace
import Machine
import Wire

/// CLIENT LIST and CLIENT KILL: the connections of all shards. Each shard tells of its own, and ends
/// its own.
extension Shard {
    /// Whether other shards have to be asked, too.
    mutating func asksForClients(_ words: RESPWords) -> Bool {
        guard words.count > 1 else { return false }
        return unsafe words[1].isOption("list") || words[1].isOption("kill")
    }

    /// On a node of one shard.
    mutating func aboutClients(
        _ session: UnsafeMutablePointer<RESPSession>, _ words: RESPWords,
        into out: inout RESPWriter
    ) {
        guard
            let filter = unsafe clientFilter(
                words, words.count, session.pointee.context, into: &out)
        else { return }
        let asker = unsafe session.pointee.id
        if filter.kills {
            let killed = killClients(filter, asker: asker)
            return filter.tell(killed: killed, into: &out)
        }
        out.verbatim("txt", clientList(filter, asker: asker))
    }

    /// What a command means of its first `count` words; nil: the error has been written.
    mutating func clientFilter(
        _ words: RESPWords, _ count: Int, _ context: RESPContext, into out: inout RESPWriter
    ) -> ClientFilter? {
        guard unsafe words[1].isOption("kill") else {
            return ClientFilter.list(words, count, into: &out)
        }
        guard mayAdminister(context) else {
            out.error(Self.adminNeeded)
            return nil
        }
        return ClientFilter.kill(words, count, into: &out)
    }

    /// A participant's part: the command's words, and behind them the number of who asks.
    mutating func executeClients(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        let count = words.count - 1
        guard let filter = clientFilter(words, count, context, into: &out) else { return }
        let asker = UInt64(unsafe RESPNumber.integer(words[count]) ?? 0)
        if filter.kills { return out.integer(killClients(filter, asker: asker)) }
        out.bulk(clientList(filter, asker: asker))
    }

    private mutating func clientList(_ filter: ClientFilter, asker: UInt64) -> String {
        var text = ""
        for place in unsafe 0..<resp.pointee.sessions.count {
            let index = unsafe resp.pointee.sessions[place]
            guard let session = unsafe connections[Int(index)].resp,
                unsafe filter.means(session, asker: asker)
            else { continue }
            text += unsafe clientLine(index, session) + "\n"
        }
        return text
    }

    private mutating func killClients(_ filter: ClientFilter, asker: UInt64) -> Int {
        var killed = 0
        for place in unsafe 0..<resp.pointee.sessions.count {
            let index = unsafe resp.pointee.sessions[place]
            guard unsafe connections[Int(index)].state == .open,
                let session = unsafe connections[Int(index)].resp,
                unsafe filter.means(session, asker: asker)
            else { continue }
            killed += 1
            if unsafe session.pointee.id == asker {
                // It still gets the reply.
                let connection = unsafe connections + Int(index)
                unsafe connection.pointee.flags.insert(.closeAfterReply)
            } else {
                close(index)
            }
        }
        return killed
    }
}

/// Which connections CLIENT LIST or CLIENT KILL means.
struct ClientFilter {
    private enum Kind { case normal, pubsub, other }

    var kills = false
    /// `CLIENT KILL address`, which is answered in another way.
    private var isOldForm = false
    private var ids: [UInt64]?
    private var kind: Kind?
    private var address: [UInt8]?
    private var localAddress: [UInt8]?
    private var user: [UInt8]?
    private var sparesAsker = false

    static func list(
        _ words: RESPWords, _ count: Int, into out: inout RESPWriter
    ) -> ClientFilter? {
        var filter = ClientFilter()
        if count == 2 { return filter }
        if count == 4, unsafe words[2].isOption("type") {
            guard let kind = unsafe Self.kind(words[3], into: &out) else { return nil }
            filter.kind = kind
            return filter
        }
        guard count > 3, unsafe words[2].isOption("id") else {
            out.error("ERR syntax error")
            return nil
        }
        var ids: [UInt64] = []
        for place in 3..<count {
            guard let id = unsafe RESPNumber.integer(words[place]) else {
                out.error("ERR Invalid client ID")
                return nil
            }
            if id > 0 { ids.append(UInt64(id)) }
        }
        filter.ids = ids
        return filter
    }

    static func kill(
        _ words: RESPWords, _ count: Int, into out: inout RESPWriter
    ) -> ClientFilter? {
        var filter = ClientFilter()
        filter.kills = true
        if count == 3 {
            filter.isOldForm = true
            filter.address = unsafe Array(words[2])
            return filter
        }
        filter.sparesAsker = true
        for place in stride(from: 2, to: count, by: 2) {
            let option = unsafe words[place]
            guard place + 1 < count else {
                out.error("ERR syntax error")
                return nil
            }
            let value = unsafe words[place + 1]
            if unsafe option.isOption("id") {
                guard let id = unsafe RESPNumber.integer(value), id > 0 else {
                    out.error("ERR client-id should be greater than 0")
                    return nil
                }
                filter.ids = [UInt64(id)]
            } else if unsafe option.isOption("type") {
                guard let kind = unsafe Self.kind(value, into: &out) else { return nil }
                filter.kind = kind
            } else if unsafe option.isOption("addr") {
                filter.address = unsafe Array(value)
            } else if unsafe option.isOption("laddr") {
                filter.localAddress = unsafe Array(value)
            } else if unsafe option.isOption("user") {
                filter.user = unsafe Array(value)
            } else if unsafe option.isOption("skipme"),
                unsafe value.isOption("yes") || value.isOption("no")
            {
                filter.sparesAsker = unsafe value.isOption("yes")
            } else {
                out.error("ERR syntax error")
                return nil
            }
        }
        return filter
    }

    private static func kind(
        _ word: UnsafeRawBufferPointer, into out: inout RESPWriter
    ) -> Kind? {
        if unsafe word.isOption("normal") { return .normal }
        if unsafe word.isOption("pubsub") { return .pubsub }
        // There are none of these, but they may be asked for.
        for known: StaticString in ["master", "slave", "replica"]
        where unsafe word.isOption(known) {
            return .other
        }
        out.begin(error: "ERR Unknown client type '")
        unsafe out.addPrintable(word)
        out.add("'")
        out.endLine()
        return nil
    }

    /// Whether a connection is meant; `asker` is the number of the one that asks.
    func means(_ session: UnsafeMutablePointer<RESPSession>, asker: UInt64) -> Bool {
        if sparesAsker, unsafe session.pointee.id == asker { return false }
        if let ids, unsafe !ids.contains(session.pointee.id) { return false }
        if let address, unsafe address != Array(session.pointee.address.utf8) { return false }
        if let localAddress, unsafe localAddress != Array(session.pointee.local.utf8) {
            return false
        }
        if let user {
            let own = unsafe session.pointee.user
            guard user == (own.isEmpty ? Array("default".utf8) : own) else { return false }
        }
        switch kind {
        case nil: return true
        case .normal: return unsafe !session.pointee.isSubscribed
        case .pubsub: return unsafe session.pointee.isSubscribed
        case .other: return false
        }
    }

    /// The reply to KILL.
    func tell(killed: Int, into out: inout RESPWriter) {
        guard isOldForm else { return out.integer(killed) }
        if killed > 0 { out.ok() } else { out.error("ERR No such client") }
    }
}
