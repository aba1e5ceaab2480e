import Keyspace
import Machine
import Wire

/// SUBSCRIBE, PUBLISH and their like. A shard knows its own connections' channels; what is published
/// goes to every shard, and each tells its own.
extension Shard {
    /// Messages that wait for one subscriber: 4 MiB. Past it the connection is closed, as Redis does.
    private static var waitingBlocksMax: UInt32 { 256 }
    /// Channels and patterns of one connection.
    private static var subscriptionsMax: Int { 16_384 }

    // MARK: Listening

    mutating func subscription(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, _ facts: CommandFacts,
        _ words: RESPWords
    ) {
        let names = (1..<max(1, words.count)).map { unsafe Array(words[$0]) }
        switch facts.command {
        case .subscribe, .psubscribe:
            let isPattern = facts.command == .psubscribe
            for name in names { unsafe listen(index, session, name, isPattern: isPattern) }
        default:
            let isPattern = facts.command == .punsubscribe
            let own = unsafe isPattern ? session.pointee.patterns : session.pointee.channels
            let left = names.isEmpty ? own : names
            if left.isEmpty { unsafe confirm(session, facts.command, nil) }
            for name in left {
                unsafe stopListening(index, session, name, isPattern: isPattern)
                unsafe confirm(session, facts.command, name)
            }
        }
    }

    private mutating func listen(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, _ name: [UInt8],
        isPattern: Bool
    ) {
        let state = unsafe resp
        let count = unsafe session.pointee.channels.count + session.pointee.patterns.count
        let isKnown = unsafe (isPattern ? session.pointee.patterns : session.pointee.channels)
            .contains(name)
        if !isKnown, count >= Self.subscriptionsMax {
            return unsafe state.pointee.out.error("ERR Too many subscriptions")
        }
        if !isKnown {
            if isPattern {
                unsafe session.pointee.patterns.append(name)
                unsafe state.pointee.channels.add(index, toPattern: name)
            } else {
                unsafe session.pointee.channels.append(name)
                unsafe state.pointee.channels.add(index, to: name)
            }
        }
        unsafe confirm(session, isPattern ? .psubscribe : .subscribe, name)
    }

    private mutating func stopListening(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, _ name: [UInt8],
        isPattern: Bool
    ) {
        let state = unsafe resp
        if isPattern {
            unsafe session.pointee.patterns.removeAll { $0 == name }
            unsafe state.pointee.channels.remove(index, fromPattern: name)
        } else {
            unsafe session.pointee.channels.removeAll { $0 == name }
            unsafe state.pointee.channels.remove(index, from: name)
        }
    }

    private mutating func confirm(
        _ session: UnsafeMutablePointer<RESPSession>, _ command: RESPCommand, _ name: [UInt8]?
    ) {
        let state = unsafe resp
        unsafe state.pointee.out.version = session.pointee.context.version
        unsafe state.pointee.out.push(3)
        unsafe state.pointee.out.bulk(command.rawValue)
        if let name {
            unsafe name.withUnsafeBytes { unsafe state.pointee.out.bulk($0) }
        } else {
            unsafe state.pointee.out.null()
        }
        unsafe state.pointee.out.integer(
            session.pointee.channels.count + session.pointee.patterns.count)
    }

    mutating func dropSubscriptions(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>
    ) {
        let channels = unsafe session.pointee.channels
        for name in channels { unsafe stopListening(index, session, name, isPattern: false) }
        let patterns = unsafe session.pointee.patterns
        for name in patterns { unsafe stopListening(index, session, name, isPattern: true) }
    }

    /// A RESP2 client that listens hears messages where replies would be, so it may not ask for much.
    /// False: the refusal, or the reply, has been written.
    mutating func mayWhileSubscribed(_ facts: CommandFacts, _ words: RESPWords) -> Bool {
        let state = unsafe resp
        switch facts.command {
        case .subscribe, .unsubscribe, .psubscribe, .punsubscribe, .quit, .reset: return true
        case .ping:
            unsafe state.pointee.out.array(2)
            unsafe state.pointee.out.bulk("pong")
            if words.count > 1 {
                unsafe state.pointee.out.bulk(words[1])
            } else {
                unsafe state.pointee.out.bulk("")
            }
        default:
            unsafe state.pointee.out.begin(error: "ERR Can't execute '")
            unsafe state.pointee.out.add(facts.command.rawValue)
            unsafe state.pointee.out.add(
                "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
            )
            unsafe state.pointee.out.endLine()
        }
        return false
    }

    // MARK: Publishing

    /// Tells this shard's listeners; how many there were.
    mutating func publish(_ words: RESPWords, into out: inout RESPWriter) {
        out.integer(unsafe tell(words[1], words[2]))
    }

    private mutating func tell(
        _ channel: UnsafeRawBufferPointer, _ message: UnsafeRawBufferPointer
    ) -> Int {
        let state = unsafe resp
        guard unsafe !state.pointee.channels.isEmpty else { return 0 }
        var told = 0
        let listeners = unsafe state.pointee.channels.listeners(of: Array(channel))
        for index in listeners {
            push(to: index) { out in
                out.push(3)
                out.bulk("message")
                unsafe out.bulk(channel)
                unsafe out.bulk(message)
            }
            told += 1
        }
        let patterns = unsafe state.pointee.channels.patterns
        for (pattern, listeners) in patterns {
            let matches = unsafe pattern.withUnsafeBytes { unsafe Glob.matches($0, channel) }
            guard matches else { continue }
            for index in listeners {
                push(to: index) { out in
                    out.push(4)
                    out.bulk("pmessage")
                    unsafe pattern.withUnsafeBytes { unsafe out.bulk($0) }
                    unsafe out.bulk(channel)
                    unsafe out.bulk(message)
                }
                told += 1
            }
        }
        return told
    }

    /// Writes something unasked to a connection of this shard.
    private mutating func push(to index: UInt32, _ write: (inout RESPWriter) -> Void) {
        let connection = unsafe connections + Int(index)
        guard unsafe connection.pointee.state == .open,
            let session = unsafe connection.pointee.resp
        else { return }
        guard unsafe connection.pointee.blockCount < Self.waitingBlocksMax, hasReplyRoom(index)
        else { return close(index) }
        let state = unsafe resp
        unsafe state.pointee.pushed.removeAll()
        unsafe state.pointee.pushed.version = session.pointee.context.version
        unsafe write(&state.pointee.pushed)
        _ = writer(index)
        if unsafe !append(index, state.pointee.pushed.written) { close(index) }
    }

    // MARK: PUBSUB

    mutating func aboutChannels(_ words: RESPWords, into out: inout RESPWriter) {
        let name = unsafe words[1]
        guard let row = unsafe subcommand(.pubsub, name) else {
            return unsafe unknownSubcommand(.pubsub, name, into: &out)
        }
        guard row.takes(words.count) else {
            return unsafe wrongSubcommandArity(.pubsub, name, into: &out)
        }
        let state = unsafe resp
        switch row.name {
        case "channels":
            let start = out.count
            var count = 0
            for channel in unsafe state.pointee.channels.names {
                let isWanted = unsafe channel.withUnsafeBytes {
                    unsafe words.count < 3 || Glob.matches(words[2], $0)
                }
                guard isWanted else { continue }
                unsafe channel.withUnsafeBytes { unsafe out.bulk($0) }
                count += 1
            }
            out.insertArrayHead(count, at: start)
        case "numsub":
            out.array((words.count - 2) * 2)
            for place in 2..<max(2, words.count) {
                unsafe out.bulk(words[place])
                unsafe out.integer(
                    state.pointee.channels.listeners(of: Array(words[place])).count)
            }
        case "numpat": out.integer(unsafe state.pointee.channels.patterns.count)
        default: help(.pubsub, into: &out)
        }
    }

    /// One reply to PUBSUB from every shard's.
    mutating func joinedChannels(_ parts: [RESPTransaction.Part], _ words: RESPWords) -> [UInt8] {
        let name = unsafe words[1]
        if unsafe name.isOption("numpat") {
            let sum = parts.reduce(Int64(0)) { sum, part in
                unsafe sum + (part.reply.withUnsafeBytes { unsafe ReplyText.number($0) } ?? 0)
            }
            return Array(":\(sum)\r\n".utf8)
        }
        let lists = parts.map { part in
            unsafe part.reply.withUnsafeBytes { unsafe ReplyText.elements($0) }
        }
        if unsafe name.isOption("channels") {
            let names = Set(lists.joined())
            return Array("*\(names.count)\r\n".utf8) + names.joined()
        }
        if unsafe name.isOption("numsub"), let first = lists.first {
            var reply = Array("*\(first.count)\r\n".utf8)
            for place in stride(from: 0, to: first.count, by: 2) {
                let sum = lists.reduce(Int64(0)) { sum, list in
                    unsafe sum
                        + (list[place + 1].withUnsafeBytes { unsafe ReplyText.number($0) } ?? 0)
                }
                reply += first[place] + Array(":\(sum)\r\n".utf8)
            }
            return reply
        }
        return parts.first?.reply ?? []
    }
}
