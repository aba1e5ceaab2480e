import Keyspace
import Machine
import Wire

/// Commands that several shards carry out together: what each does in which step, and what the reply is
/// made of.
extension Shard {
    /// Sends the parts of a command's next step, or takes its reply from the last. False: there are
    /// replies to wait for.
    mutating func sendParts(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ number: Int,
        _ facts: CommandFacts, _ context: RESPContext, _ words: RESPWords
    ) -> Bool {
        let step = unsafe transaction.pointee.step
        if facts.command == .mset || facts.command == .msetnx, words.count % 2 == 0 {
            let error =
                "-ERR wrong number of arguments for '\(facts.command.rawValue)' command\r\n"
            return unsafe answered(transaction, number, Array(error.utf8))
        }
        switch facts.command {
        case .mget, .mset, .del, .unlink, .exists, .touch, .msetnx:
            if step == 0 {
                let checks =
                    facts.command == .msetnx
                    || (facts.command == .mset && writer(context) != .system)
                unsafe splitByShard(transaction, facts, context, words)
                var asked = context
                if checks { asked.step = .check }
                unsafe transaction.pointee.step = checks ? 1 : 2
                return unsafe sendSplit(transaction, facts, asked, words)
            }
            if step == 1 {
                // Nothing is written unless all of it may be.
                if let refusal = unsafe firstRefusal(transaction) {
                    return unsafe answered(transaction, number, refusal)
                }
                unsafe transaction.pointee.step = 2
                return unsafe sendSplit(transaction, facts, context, words)
            }
            return unsafe answered(transaction, number, joined(transaction, facts, context, words))
        case .keys, .dbsize, .flushdb, .flushall, .publish, .pubsub:
            if step == 0 {
                unsafe transaction.pointee.parts = unsafe (0..<state.pointee.shardCount).map {
                    RESPTransaction.Part(shard: $0, words: Array(0..<words.count))
                }
                unsafe transaction.pointee.step = 1
                return unsafe sendSplit(transaction, facts, context, words)
            }
            return unsafe answered(transaction, number, joined(transaction, facts, context, words))
        case .info: return unsafe sendInfo(transaction, number, facts, context, words)
        case .client: return unsafe sendClients(transaction, number, facts, context, words)
        case .randomkey:
            return unsafe sendRandomKey(transaction, number, facts, context)
        case .rename, .renamenx, .copy:
            return unsafe sendCopy(transaction, number, facts, context, words)
        case .lmove, .rpoplpush:
            return unsafe sendMove(transaction, number, facts, context, words)
        default:
            return unsafe answered(
                transaction, number, Array("-ERR the keys are on different shards\r\n".utf8))
        }
    }

    private mutating func answered(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ number: Int, _ reply: [UInt8]
    ) -> Bool {
        unsafe transaction.pointee.replies[number] = reply
        unsafe transaction.pointee.step = 0
        unsafe transaction.pointee.parts = []
        unsafe transaction.pointee.kept = []
        return true
    }

    // MARK: A part a shard

    private mutating func splitByShard(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ facts: CommandFacts,
        _ context: RESPContext, _ words: RESPWords
    ) {
        var parts: [RESPTransaction.Part] = []
        let last = facts.lastKey(words.count)
        for place in stride(from: Int(facts.firstKey), through: last, by: Int(facts.keyStep)) {
            let shard = unsafe shard(of: words[place], in: context.table)
            var part = parts.firstIndex { $0.shard == shard }
            if part == nil {
                part = parts.count
                parts.append(RESPTransaction.Part(shard: shard, words: [0]))
            }
            unsafe parts[part.unsafelyUnwrapped].words += Array(
                place..<(place + Int(facts.keyStep)))
        }
        unsafe transaction.pointee.parts = parts
    }

    private mutating func sendSplit(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ facts: CommandFacts,
        _ context: RESPContext, _ words: RESPWords
    ) -> Bool {
        for part in unsafe transaction.pointee.parts.indices {
            let chosen = unsafe transaction.pointee.parts[part].words.map {
                unsafe Array(words[$0])
            }
            unsafe sendPart(transaction, part, facts, context, chosen)
        }
        return false
    }

    private mutating func sendPart(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ part: Int, _ facts: CommandFacts,
        _ context: RESPContext, _ words: [[UInt8]]
    ) {
        let shard = unsafe transaction.pointee.parts[part].shard
        unsafe transaction.pointee.parts[part].reply = []
        guard awaited.hasFree else {
            unsafe transaction.pointee.parts[part].reply = Array(
                "-ERR the server has too much to do\r\n".utf8)
            return
        }
        let place = awaited.take(for: Connection.noBlock, [])
        unsafe awaited.places[Int(place)].transaction = unsafe transaction
        unsafe awaited.places[Int(place)].slot = UInt32(RESPTransaction.partSlot + part)
        unsafe transaction.pointee.pending += 1
        let ticket = awaited.ticket(place)
        PackedCommand(words).withWords { post(facts, $0, context, to: shard, ticket: ticket) }
    }

    private mutating func firstRefusal(
        _ transaction: UnsafeMutablePointer<RESPTransaction>
    ) -> [UInt8]? {
        unsafe transaction.pointee.parts.first {
            $0.reply.first != UInt8(ascii: "+")
        }?.reply
    }

    // MARK: Joining

    private mutating func joined(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ facts: CommandFacts,
        _ context: RESPContext, _ words: RESPWords
    ) -> [UInt8] {
        let parts = unsafe transaction.pointee.parts
        if let error = parts.first(where: { $0.reply.first == UInt8(ascii: "-") }) {
            return error.reply
        }
        switch facts.command {
        case .mget:
            var values = Array(repeating: [UInt8](), count: words.count)
            for part in parts {
                let elements = unsafe part.reply.withUnsafeBytes { unsafe ReplyText.elements($0) }
                for (place, element) in zip(part.words.dropFirst(), elements) {
                    values[place] = element
                }
            }
            return Array("*\(words.count - 1)\r\n".utf8) + values.joined()
        case .mset, .flushdb, .flushall: return Array("+OK\r\n".utf8)
        case .msetnx: return Array(":1\r\n".utf8)
        case .keys:
            let lists = parts.map { part in
                unsafe part.reply.withUnsafeBytes { unsafe ReplyText.elements($0) }
            }
            let count = lists.reduce(0) { $0 + $1.count }
            return Array("*\(count)\r\n".utf8) + lists.joined().joined()
        case .pubsub: return joinedChannels(parts, words)
        default:
            let sum = parts.reduce(Int64(0)) { sum, part in
                sum + (unsafe part.reply.withUnsafeBytes { unsafe ReplyText.number($0) } ?? 0)
            }
            return Array(":\(sum)\r\n".utf8)
        }
    }

    // MARK: INFO

    private mutating func sendInfo(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ number: Int,
        _ facts: CommandFacts, _ context: RESPContext, _ words: RESPWords
    ) -> Bool {
        if unsafe transaction.pointee.step == 0 {
            unsafe transaction.pointee.parts = unsafe (0..<state.pointee.shardCount).map {
                RESPTransaction.Part(shard: $0, words: [0])
            }
            unsafe transaction.pointee.step = 1
            var asked = context
            asked.step = .databases
            return unsafe sendSplit(transaction, facts, asked, words)
        }
        let told = unsafe transaction.pointee.parts.map { part in
            unsafe part.reply.withUnsafeBytes { unsafe ReplyText.bulk($0) } ?? []
        }
        let reply = written(context.version) { shard, out in
            shard.info(words, DatabaseFigures.sum(told), into: &out)
        }
        return unsafe answered(transaction, number, reply)
    }

    /// A reply made here, as bytes.
    private mutating func written(
        _ version: UInt8, _ write: (inout Shard, inout RESPWriter) -> Void
    ) -> [UInt8] {
        let state = unsafe resp
        let start = unsafe state.pointee.out.count
        unsafe state.pointee.out.version = version
        unsafe write(&self, &state.pointee.out)
        let bytes = unsafe Array(
            UnsafeRawBufferPointer(rebasing: state.pointee.out.written[start...]))
        unsafe state.pointee.out.rewind(to: start)
        return bytes
    }

    // MARK: CLIENT LIST and KILL

    private mutating func sendClients(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ number: Int,
        _ facts: CommandFacts, _ context: RESPContext, _ words: RESPWords
    ) -> Bool {
        var filter: ClientFilter?
        let refusal = written(context.version) { shard, out in
            filter = shard.clientFilter(words, words.count, context, into: &out)
        }
        guard let filter else { return unsafe answered(transaction, number, refusal) }
        if unsafe transaction.pointee.step == 0 {
            unsafe transaction.pointee.parts = unsafe (0..<state.pointee.shardCount).map {
                RESPTransaction.Part(shard: $0, words: [])
            }
            unsafe transaction.pointee.step = 1
            var asked = context
            asked.step = .clients
            let asker = unsafe clientNumber(transaction)
            let all = (0..<words.count).map { unsafe Array(words[$0]) } + [Array("\(asker)".utf8)]
            for part in unsafe transaction.pointee.parts.indices {
                unsafe sendPart(transaction, part, facts, asked, all)
            }
            return false
        }
        let parts = unsafe transaction.pointee.parts
        let reply = written(context.version) { _, out in
            if filter.kills {
                let killed = parts.reduce(Int64(0)) { sum, part in
                    sum + (unsafe part.reply.withUnsafeBytes { unsafe ReplyText.number($0) } ?? 0)
                }
                return filter.tell(killed: Int(killed), into: &out)
            }
            let texts = parts.map { part in
                unsafe part.reply.withUnsafeBytes { unsafe ReplyText.bulk($0) } ?? []
            }
            out.verbatim("txt", String(decoding: texts.joined(), as: UTF8.self))
        }
        return unsafe answered(transaction, number, reply)
    }

    /// The client's number, if it is still there.
    private mutating func clientNumber(
        _ transaction: UnsafeMutablePointer<RESPTransaction>
    ) -> UInt64 {
        guard let index = unsafe connection(of: transaction.pointee.ticket),
            let session = unsafe connections[Int(index)].resp
        else { return 0 }
        return unsafe session.pointee.id
    }

    // MARK: RANDOMKEY

    private mutating func sendRandomKey(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ number: Int,
        _ facts: CommandFacts, _ context: RESPContext
    ) -> Bool {
        guard let sizes = unsafe Self.facts(.dbsize, resp) else { return true }
        switch unsafe transaction.pointee.step {
        case 0:
            unsafe transaction.pointee.parts = unsafe (0..<state.pointee.shardCount).map {
                RESPTransaction.Part(shard: $0, words: [])
            }
            unsafe transaction.pointee.step = 1
            for part in unsafe transaction.pointee.parts.indices {
                unsafe sendPart(transaction, part, sizes, context, [Array("dbsize".utf8)])
            }
            return false
        case 1:
            let counts = unsafe transaction.pointee.parts.map { part in
                unsafe part.reply.withUnsafeBytes { unsafe ReplyText.number($0) } ?? 0
            }
            let total = counts.reduce(0, +)
            guard total > 0 else {
                let null = context.version == 3 ? "_\r\n" : "$-1\r\n"
                return unsafe answered(transaction, number, Array(null.utf8))
            }
            var chosen = Int64.random(in: 0..<total)
            var shard = 0
            while chosen >= counts[shard] {
                chosen -= counts[shard]
                shard += 1
            }
            unsafe transaction.pointee.parts = [RESPTransaction.Part(shard: shard, words: [])]
            unsafe transaction.pointee.step = 2
            unsafe sendPart(transaction, 0, facts, context, [Array("randomkey".utf8)])
            return false
        default:
            return unsafe answered(transaction, number, transaction.pointee.parts[0].reply)
        }
    }

    // MARK: RENAME and COPY

    private mutating func sendCopy(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ number: Int,
        _ facts: CommandFacts, _ context: RESPContext, _ words: RESPWords
    ) -> Bool {
        let source = unsafe Array(words[1])
        let target = unsafe Array(words[2])
        let isRename = facts.command != .copy
        var copying = CopyOptions(replaces: facts.command == .rename, table: context.table)
        if !isRename {
            switch copyOptions(words, context) {
            case .refused(let error): return unsafe answered(transaction, number, error)
            case .options(let options): copying = options
            }
        }
        switch unsafe transaction.pointee.step {
        case 0:
            let shard = unsafe shard(of: words[1], in: context.table)
            unsafe transaction.pointee.parts = [RESPTransaction.Part(shard: shard, words: [])]
            unsafe transaction.pointee.step = 1
            var asked = context
            asked.step = .dump
            let word = isRename ? "rename" : "copy"
            unsafe sendPart(transaction, 0, facts, asked, [Array(word.utf8), source])
            return false
        case 1:
            let reply = unsafe transaction.pointee.parts[0].reply
            if reply.first == UInt8(ascii: "-") {
                return unsafe answered(transaction, number, reply)
            }
            guard let block = unsafe reply.withUnsafeBytes({ unsafe ReplyText.bulk($0) }) else {
                let missing = isRename ? "-ERR no such key\r\n" : ":0\r\n"
                return unsafe answered(transaction, number, Array(missing.utf8))
            }
            let shard = unsafe shard(of: words[2], in: copying.table)
            unsafe transaction.pointee.parts = [RESPTransaction.Part(shard: shard, words: [])]
            unsafe transaction.pointee.step = 2
            var asked = context
            asked.step = .restore
            asked.table = copying.table
            unsafe sendPart(
                transaction, 0, facts, asked,
                [Array("copy".utf8), target, block, Array((copying.replaces ? "1" : "0").utf8)])
            return false
        case 2:
            let reply = unsafe transaction.pointee.parts[0].reply
            guard isRename, reply == Array(":1\r\n".utf8) else {
                return unsafe answered(transaction, number, reply)
            }
            guard let del = unsafe Self.facts(.del, resp) else { return true }
            let shard = unsafe shard(of: words[1], in: context.table)
            unsafe transaction.pointee.parts = [RESPTransaction.Part(shard: shard, words: [])]
            unsafe transaction.pointee.step = 3
            unsafe sendPart(transaction, 0, del, context, [Array("del".utf8), source])
            return false
        default:
            let done = facts.command == .rename ? "+OK\r\n" : ":1\r\n"
            return unsafe answered(transaction, number, Array(done.utf8))
        }
    }

    struct CopyOptions {
        var replaces: Bool
        var table: TableNumber
    }

    enum CopyAsked {
        case options(CopyOptions)
        case refused([UInt8])
    }

    private mutating func copyOptions(_ words: RESPWords, _ context: RESPContext) -> CopyAsked {
        var options = CopyOptions(replaces: false, table: context.table)
        var place = 3
        while place < words.count {
            if unsafe words[place].isOption("replace") {
                options.replaces = true
            } else if unsafe words[place].isOption("db"), place + 1 < words.count {
                guard let number = unsafe RESPNumber.integer(words[place + 1]) else {
                    return .refused(
                        Array("-ERR value is not an integer or out of range\r\n".utf8))
                }
                guard let table = databaseTable(number) else {
                    return .refused(Array("-ERR DB index is out of range\r\n".utf8))
                }
                options.table = table
                place += 1
            } else {
                return .refused(Array("-ERR syntax error\r\n".utf8))
            }
            place += 1
        }
        return .options(options)
    }

    // MARK: LMOVE

    private mutating func sendMove(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ number: Int,
        _ facts: CommandFacts, _ context: RESPContext, _ words: RESPWords
    ) -> Bool {
        var fromFront = false
        var toFront = true
        if facts.command == .lmove {
            guard let from = unsafe listEnd(words[3]), let to = unsafe listEnd(words[4]) else {
                return unsafe answered(transaction, number, Array("-ERR syntax error\r\n".utf8))
            }
            fromFront = from
            toFront = to
        }
        let source = unsafe Array(words[1])
        let target = unsafe Array(words[2])
        let shards = unsafe [
            shard(of: words[1], in: context.table), shard(of: words[2], in: context.table),
        ]
        let state = unsafe resp
        guard let index = unsafe Self.facts(.lindex, state),
            let length = unsafe Self.facts(.llen, state),
            let push = unsafe Self.facts(toFront ? .lpush : .rpush, state),
            let pop = unsafe Self.facts(fromFront ? .lpop : .rpop, state)
        else { return true }
        switch unsafe transaction.pointee.step {
        case 0:
            unsafe transaction.pointee.parts = shards.map {
                RESPTransaction.Part(shard: $0, words: [])
            }
            unsafe transaction.pointee.step = 1
            let place = Array((fromFront ? "0" : "-1").utf8)
            unsafe sendPart(transaction, 0, index, context, [Array("lindex".utf8), source, place])
            unsafe sendPart(transaction, 1, length, context, [Array("llen".utf8), target])
            return false
        case 1:
            let reply = unsafe transaction.pointee.parts[0].reply
            guard let element = unsafe reply.withUnsafeBytes({ unsafe ReplyText.bulk($0) }) else {
                return unsafe answered(transaction, number, reply)
            }
            let other = unsafe transaction.pointee.parts[1].reply
            if other.first == UInt8(ascii: "-") {
                return unsafe answered(transaction, number, other)
            }
            unsafe transaction.pointee.kept = reply
            unsafe transaction.pointee.parts = [
                RESPTransaction.Part(shard: shards[1], words: [])
            ]
            unsafe transaction.pointee.step = 2
            unsafe sendPart(transaction, 0, push, context, [Array("push".utf8), target, element])
            return false
        case 2:
            let reply = unsafe transaction.pointee.parts[0].reply
            if reply.first == UInt8(ascii: "-") {
                return unsafe answered(transaction, number, reply)
            }
            unsafe transaction.pointee.parts = [
                RESPTransaction.Part(shard: shards[0], words: [])
            ]
            unsafe transaction.pointee.step = 3
            unsafe sendPart(transaction, 0, pop, context, [Array("pop".utf8), source])
            return false
        default:
            return unsafe answered(transaction, number, transaction.pointee.kept)
        }
    }

    // MARK: A participant's side

    /// What a coordinator asks besides whole commands.
    mutating func executeStep(
        _ facts: CommandFacts, _ words: RESPWords, _ context: RESPContext,
        into out: inout RESPWriter
    ) {
        switch context.step {
        case .whole: break
        case .stamp: unsafe out.bulk("\(stamp(words[1], context.table))")
        case .clients: executeClients(words, context, into: &out)
        case .databases: out.bulk(DatabaseFigures.text(databaseFigures()))
        case .check:
            for place in stride(from: 1, to: words.count, by: Int(facts.keyStep)) {
                if facts.command == .msetnx, unsafe isThere(words[place], context.table) {
                    return out.integer(0)
                }
                guard unsafe mayOverwrite(words[place], context) else {
                    return out.error(Self.noPermission)
                }
            }
            out.ok()
        case .dump:
            let found = unsafe look(words[1], context, into: &out)
            if case .refused = found { return }
            guard case .record(let record) = found else { return out.null() }
            if facts.command != .copy, unsafe !mayOverwrite(words[1], context) {
                return out.error(Self.noPermission)
            }
            out.beginBulk(RecordBlock.headBytes + record.valueCount)
            unsafe RecordBlock.write(
                record, to: out.room(RecordBlock.headBytes + record.valueCount))
            out.endLine()
        case .restore:
            if unsafe words[3][0] == UInt8(ascii: "0"),
                unsafe isThere(words[1], context.table)
            {
                return out.integer(0)
            }
            let block = unsafe words[2]
            let (value, expiresAt) = unsafe RecordBlock.read(block)
            let command = unsafe command(
                .put, words[1], context, value: value,
                expiry: expiresAt == 0 ? .never : .at(expiresAt))
            let event: KeyEvent = facts.command == .copy ? .copyTo : .renameTo
            if write(command, context, event, into: &out) { out.integer(1) }
        }
    }
}

/// A record on its way from one shard to another: kind, content type, expiry, value.
enum RecordBlock {
    static let headBytes = 11

    static func write(_ record: Record, to room: UnsafeMutableRawBufferPointer) {
        unsafe room.storeBytes(of: record.kind.rawValue, as: UInt8.self)
        unsafe room.storeBytes(of: record.contentType, toByteOffset: 1, as: UInt16.self)
        unsafe room.storeBytes(of: record.expiresAt, toByteOffset: 3, as: Int64.self)
        unsafe UnsafeMutableRawBufferPointer(rebasing: room[headBytes...])
            .copyMemory(from: record.value)
    }

    static func read(_ block: UnsafeRawBufferPointer) -> (Value, expiresAt: Int64) {
        let kind = unsafe ValueKind(rawValue: block[0]) ?? .bytes
        let type = unsafe block.loadUnaligned(fromByteOffset: 1, as: UInt16.self)
        let expiresAt = unsafe block.loadUnaligned(fromByteOffset: 3, as: Int64.self)
        let value = unsafe UnsafeRawBufferPointer(rebasing: block[headBytes...])
        return unsafe (Value(kind, value, contentType: type), expiresAt)
    }
}

/// Looking into replies that shards have made for each other.
enum ReplyText {
    /// `:number`
    static func number(_ reply: UnsafeRawBufferPointer) -> Int64? {
        guard reply.count > 3, unsafe reply[0] == UInt8(ascii: ":") else { return nil }
        return unsafe RESPNumber.integer(
            UnsafeRawBufferPointer(rebasing: reply[1..<(reply.count - 2)]))
    }

    /// The bytes of a string; nil for a null, or an error.
    static func bulk(_ reply: UnsafeRawBufferPointer) -> [UInt8]? {
        guard reply.count > 3, unsafe reply[0] == UInt8(ascii: "$"),
            unsafe reply[1] != UInt8(ascii: "-"), let end = unsafe lineEnd(reply, 1)
        else { return nil }
        return unsafe Array(reply[(end + 2)..<(reply.count - 2)])
    }

    /// A stamp, which is told as a string because it may be more than an integer holds.
    static func bulkNumber(_ reply: UnsafeRawBufferPointer) -> UInt64? {
        guard let digits = unsafe bulk(reply) else { return nil }
        return UInt64(String(decoding: digits, as: UTF8.self))
    }

    /// The elements of an array of strings and nulls, each as it stands.
    static func elements(_ reply: UnsafeRawBufferPointer) -> [[UInt8]] {
        guard reply.count > 3, unsafe reply[0] == UInt8(ascii: "*"),
            let head = unsafe lineEnd(reply, 1)
        else { return [] }
        var elements: [[UInt8]] = []
        var at = head + 2
        while at < reply.count, let line = unsafe lineEnd(reply, at) {
            var end = line + 2
            if unsafe reply[at] == UInt8(ascii: "$"), unsafe reply[at + 1] != UInt8(ascii: "-") {
                let digits = unsafe UnsafeRawBufferPointer(rebasing: reply[(at + 1)..<line])
                end += Int(unsafe RESPNumber.integer(digits) ?? 0) + 2
            }
            guard end <= reply.count else { break }
            unsafe elements.append(Array(reply[at..<end]))
            at = end
        }
        return elements
    }

    private static func lineEnd(_ reply: UnsafeRawBufferPointer, _ start: Int) -> Int? {
        var at = start
        while at < reply.count, unsafe reply[at] != 0x0D { at += 1 }
        return at < reply.count ? at : nil
    }
}
