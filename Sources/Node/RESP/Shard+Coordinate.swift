import Journal
import Keyspace
import Machine
import Wire

/// The coordinator's side of transactions over shards: hold, look, carry out, release. See
/// docs/transactions.md.
extension Shard {
    /// Keys of one participant that are held by name; beyond, all of the shard is.
    private static var claimKeysMax: Int { 4096 }
    /// Replies that one transaction awaits at a time.
    private static var windowMax: Int { 256 }

    /// A command whose keys are on several shards.
    mutating func coordinate(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, _ facts: CommandFacts,
        _ words: RESPWords
    ) -> Bool {
        if facts.command == .mset || facts.command == .msetnx, words.count % 2 == 0 {
            let resp = unsafe resp
            unsafe wrongArity(facts.command, into: &resp.pointee.out)
            return true
        }
        var queue = CommandQueue()
        unsafe queue.append(facts, session.pointee.context, words)
        return begin(index, .single, queue, watched: [])
    }

    /// False: there is too much to do just now, and nothing has begun.
    mutating func begin(
        _ index: UInt32, _ kind: RESPTransaction.Kind, _ queue: CommandQueue,
        watched: [WatchedKey]
    ) -> Bool {
        let state = unsafe resp
        guard awaited.hasFreeForRequest else {
            guard unsafe state.pointee.mustSend else { return false }
            unsafe state.pointee.out.error(Self.busy)
            return true
        }
        var reservedBytes = 0
        if queue.writes {
            reservedBytes = unsafe TransactionEnd.bytes(others: self.state.pointee.shardCount - 1)
            guard reserveLog(reservedBytes) else {
                unsafe refuseUnlogged(kind, into: &state.pointee.out)
                return true
            }
        }
        flushReplies(index)
        guard unsafe connections[Int(index)].state == .open else {
            reserveLogNoMore(reservedBytes)
            return true
        }
        let ticket = awaitAnswer(index, [])
        let connection = unsafe connections + Int(index)
        unsafe connection.pointee.flags.insert(.gathering)
        let id = nextTransaction()
        let place = UnsafeMutablePointer<RESPTransaction>.allocate(capacity: 1)
        unsafe place.initialize(
            to: RESPTransaction(
                id: id, kind: kind, ticket: ticket, queue: queue, watched: watched))
        unsafe place.pointee.reservedBytes = reservedBytes
        unsafe place.pointee.isMuted = unsafe state.pointee.mutes
        if kind != .watch { unsafe findParticipants(place) }
        if unsafe place.pointee.writes {
            if unsafe state.pointee.holdsBack {
                unsafe state.pointee.heldBack.append(place)
                return true
            }
            unsafe state.pointee.underWay += 1
        }
        unsafe holdNext(place)
        return true
    }

    /// Transactions that had to wait begin.
    mutating func beginHeldBack() {
        let state = unsafe resp
        unsafe state.pointee.holdsBack = false
        let waiting = unsafe state.pointee.heldBack
        unsafe state.pointee.heldBack.removeAll()
        for place in unsafe waiting.indices {
            unsafe state.pointee.underWay += 1
            unsafe holdNext(waiting[place])
        }
    }

    // MARK: Holding

    private mutating func findParticipants(_ transaction: UnsafeMutablePointer<RESPTransaction>) {
        let shards = unsafe state.pointee.shardCount
        var claims = Array(repeating: Holds.Claim(keys: [], isAll: false), count: shards)
        let entries = unsafe transaction.pointee.queue.entries
        for number in entries.indices {
            let facts = entries[number].facts
            let context = entries[number].context
            unsafe transaction.pointee.queue.withWords(number) { words in
                switch facts.command {
                case .keys, .dbsize, .flushdb, .flushall:
                    for shard in 0..<shards { claims[shard].isAll = true }
                case .object where words.count == 3:
                    unsafe claim(words[2], context.table, &claims)
                default:
                    guard facts.firstKey > 0 else { return }
                    let last = min(facts.lastKey(words.count), words.count - 1)
                    for place in stride(
                        from: Int(facts.firstKey), through: last, by: Int(facts.keyStep))
                    {
                        let isTarget = facts.command == .copy && place == 2
                        let table = isTarget ? copyTarget(words, context) : nil
                        unsafe claim(words[place], table ?? context.table, &claims)
                    }
                }
            }
        }
        let watched = unsafe transaction.pointee.watched
        for one in watched {
            unsafe one.key.withUnsafeBytes { unsafe claim($0, one.table, &claims) }
        }
        for shard in 0..<shards where claims[shard].isAll || !claims[shard].keys.isEmpty {
            if claims[shard].keys.count > Self.claimKeysMax { claims[shard].isAll = true }
            if claims[shard].isAll { claims[shard].keys = [] }
            unsafe transaction.pointee.claims.append((shard, claims[shard]))
        }
    }

    private mutating func claim(
        _ key: UnsafeRawBufferPointer, _ table: TableNumber, _ claims: inout [Holds.Claim]
    ) {
        let shard = unsafe shard(of: key, in: table)
        unsafe claims[shard].keys.append(keyspace.hashing.hash(table, key))
    }

    mutating func holdNext(_ transaction: UnsafeMutablePointer<RESPTransaction>) {
        let held = unsafe transaction.pointee.held
        guard unsafe held < transaction.pointee.claims.count else {
            return unsafe isHeld(transaction)
        }
        guard awaited.hasFree(AwaitedPool.keptForHolders + 1) else {
            return unsafe stall(transaction)
        }
        guard
            let ticket = unsafe takePlace(transaction, RESPTransaction.grantSlot)
        else { return }
        let (shard, claim) = unsafe transaction.pointee.claims[held]
        unsafe askHold(claim, for: transaction.pointee.id, of: shard, ticket: ticket)
    }

    /// A place for a reply; with none free the transaction tries again next turn.
    private mutating func takePlace(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ slot: Int
    ) -> UInt64? {
        guard awaited.hasFree else {
            unsafe stall(transaction)
            return nil
        }
        let place = awaited.take(for: Connection.noBlock, [])
        unsafe awaited.places[Int(place)].transaction = unsafe transaction
        unsafe awaited.places[Int(place)].slot = UInt32(slot)
        return awaited.ticket(place)
    }

    /// It goes on with the next reply, or next turn when it awaits none.
    mutating func stall(_ transaction: UnsafeMutablePointer<RESPTransaction>) {
        guard unsafe transaction.pointee.pending == 0, unsafe !transaction.pointee.isStalled
        else { return }
        unsafe transaction.pointee.isStalled = true
        let resp = unsafe resp
        unsafe resp.pointee.stalled.append(transaction)
    }

    /// Transactions that found no place for a reply go on.
    mutating func resumeTransactions() {
        let state = unsafe resp
        guard unsafe !state.pointee.stalled.isEmpty else { return }
        let stalled = unsafe state.pointee.stalled
        unsafe state.pointee.stalled.removeAll()
        for place in unsafe stalled.indices {
            let transaction = unsafe stalled[place]
            unsafe transaction.pointee.isStalled = false
            if unsafe transaction.pointee.held < transaction.pointee.claims.count {
                unsafe holdNext(transaction)
            } else {
                unsafe goOn(transaction)
            }
        }
    }

    /// A reply has come: a grant, a whole command's, or a part's.
    mutating func heard(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ slot: Int,
        _ bytes: UnsafeRawBufferPointer
    ) {
        if slot == RESPTransaction.grantSlot {
            unsafe transaction.pointee.held += 1
            return unsafe holdNext(transaction)
        }
        unsafe transaction.pointee.pending -= 1
        if slot >= RESPTransaction.partSlot {
            let part = slot - RESPTransaction.partSlot
            unsafe transaction.pointee.parts[part].reply = unsafe Array(bytes)
        } else {
            unsafe transaction.pointee.replies[slot] = unsafe Array(bytes)
        }
        if unsafe !transaction.pointee.isSending { unsafe goOn(transaction) }
    }

    // MARK: Carrying out

    /// Everything is held. The watched keys are looked at first, as the parts of a step of their own.
    private mutating func isHeld(_ transaction: UnsafeMutablePointer<RESPTransaction>) {
        switch unsafe transaction.pointee.kind {
        case .single: unsafe goOn(transaction)
        case .exec:
            let watched = unsafe transaction.pointee.watched
            guard !watched.isEmpty else { return unsafe goOn(transaction) }
            unsafe transaction.pointee.step = -1
            unsafe askStamps(transaction, watched)
        case .watch:
            let queue = unsafe transaction.pointee.queue
            let table = queue.entries[0].context.table
            let keys = queue.withWords(0) { words in
                (1..<words.count).map {
                    unsafe WatchedKey(table: table, key: Array(words[$0]), stamp: 0)
                }
            }
            unsafe transaction.pointee.watched = keys
            unsafe transaction.pointee.step = -1
            unsafe askStamps(transaction, keys)
        }
    }

    private mutating func askStamps(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ watched: [WatchedKey]
    ) {
        unsafe transaction.pointee.parts = watched.map {
            RESPTransaction.Part(shard: shard(of: $0), words: [])
        }
        guard let facts = unsafe Self.facts(.watch, resp) else { return }
        let isWatch = unsafe transaction.pointee.kind == .watch
        unsafe transaction.pointee.isSending = true
        for number in watched.indices {
            // Where nothing can be awaited for it, it counts as changed.
            guard awaited.hasFree(isWatch ? AwaitedPool.keptForHolders + 1 : 1) else { continue }
            guard
                let ticket = unsafe takePlace(transaction, RESPTransaction.partSlot + number)
            else { continue }
            unsafe transaction.pointee.pending += 1
            var context = RESPContext(table: watched[number].table)
            context.transaction = unsafe transaction.pointee.id
            context.step = .stamp
            PackedCommand([Array("watch".utf8), watched[number].key]).withWords { words in
                unsafe post(
                    facts, words, context, to: transaction.pointee.parts[number].shard,
                    ticket: ticket)
            }
        }
        unsafe transaction.pointee.isSending = false
        unsafe goOn(transaction)
    }

    static func facts(
        _ command: RESPCommand, _ state: UnsafeMutablePointer<RESPState>
    ) -> CommandFacts? {
        var name = command.rawValue
        return name.withUTF8 { unsafe state.pointee.lookup.find(UnsafeRawBufferPointer($0)) }
    }

    /// Sends what can be sent, and ends when all replies are there.
    mutating func goOn(_ transaction: UnsafeMutablePointer<RESPTransaction>) {
        if unsafe transaction.pointee.step == -1 {
            guard unsafe transaction.pointee.pending == 0 else { return }
            guard unsafe lookAtStamps(transaction) else { return }
        }
        unsafe transaction.pointee.isSending = true
        let count = unsafe transaction.pointee.queue.entries.count
        sending: while unsafe transaction.pointee.next < count {
            let number = unsafe transaction.pointee.next
            let entry = unsafe transaction.pointee.queue.entries[number]
            let queue = unsafe transaction.pointee.queue
            let isDone = queue.withWords(number) { words in
                unsafe sendOne(transaction, number, entry, words)
            }
            if isDone {
                unsafe transaction.pointee.next += 1
            } else if unsafe transaction.pointee.pending > 0 || transaction.pointee.isStalled {
                break sending
            }
            // Else the parts were this shard's own, and their replies are here already.
        }
        unsafe transaction.pointee.isSending = false
        if unsafe transaction.pointee.next == count, unsafe transaction.pointee.pending == 0 {
            unsafe finish(transaction)
        }
    }

    /// One command of the transaction. False: it has to wait for replies.
    private mutating func sendOne(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ number: Int,
        _ entry: CommandQueue.Entry, _ words: RESPWords
    ) -> Bool {
        var context = entry.context
        context.transaction = unsafe transaction.pointee.id
        switch reach(of: entry.facts, words, context) {
        case .here where entry.facts.firstKey == 0 && entry.facts.command != .scan:
            unsafe answerHere(transaction, number, entry, words)
            return true
        case .here: return unsafe sendWhole(transaction, number, entry, context, words, self.number)
        case .shard(let target):
            return unsafe sendWhole(transaction, number, entry, context, words, target)
        case .many:
            // What its parts do depends on what came before, and the other way round.
            guard unsafe transaction.pointee.pending == 0 else { return false }
            // A step's parts go together or not at all.
            guard unsafe awaited.hasFree(state.pointee.shardCount) else {
                unsafe stall(transaction)
                return false
            }
            return unsafe sendParts(transaction, number, entry.facts, context, words)
        }
    }

    private mutating func sendWhole(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ number: Int,
        _ entry: CommandQueue.Entry, _ context: RESPContext, _ words: RESPWords, _ target: Int
    ) -> Bool {
        guard unsafe transaction.pointee.pending < Self.windowMax,
            let ticket = unsafe takePlace(transaction, number)
        else { return false }
        unsafe transaction.pointee.pending += 1
        post(entry.facts, words, context, to: target, ticket: ticket)
        return true
    }

    /// A command about no key, whose reply is known here.
    private mutating func answerHere(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ number: Int,
        _ entry: CommandQueue.Entry, _ words: RESPWords
    ) {
        let state = unsafe resp
        let start = unsafe state.pointee.out.count
        unsafe state.pointee.out.version = entry.context.version
        switch entry.facts.command {
        case .unwatch: unsafe state.pointee.out.ok()
        case .select, .client, .hello:
            if let index = unsafe connection(of: transaction.pointee.ticket),
                let session = unsafe connections[Int(index)].resp
            {
                unsafe sessionCommand(index, session, entry.facts, words)
            } else {
                unsafe state.pointee.out.ok()
            }
        default:
            unsafe state.pointee.isInTransaction = unsafe transaction.pointee.kind == .exec
            unsafe execute(entry.facts, words, entry.context, into: &state.pointee.out)
            unsafe state.pointee.isInTransaction = false
        }
        unsafe transaction.pointee.replies[number] = unsafe Array(
            UnsafeRawBufferPointer(rebasing: state.pointee.out.written[start...]))
        unsafe state.pointee.out.rewind(to: start)
    }

    /// The connection that a place's reply is for, if it is still there.
    mutating func connection(of ticket: UInt64) -> UInt32? {
        guard let place = awaited.place(of: ticket) else { return nil }
        let index = unsafe awaited.places[Int(place)].connection
        return index == Connection.noBlock ? nil : index
    }

    // MARK: Watched keys

    /// Whether the transaction goes on after the stamps are known.
    private mutating func lookAtStamps(
        _ transaction: UnsafeMutablePointer<RESPTransaction>
    ) -> Bool {
        let watched = unsafe transaction.pointee.watched
        let stamps = unsafe transaction.pointee.parts.map { part in
            unsafe part.reply.withUnsafeBytes { unsafe ReplyText.bulkNumber($0) }
        }
        unsafe transaction.pointee.parts = []
        unsafe transaction.pointee.step = 0
        if unsafe transaction.pointee.kind == .watch {
            let index = unsafe connection(of: transaction.pointee.ticket)
            if let index, let session = unsafe connections[Int(index)].resp {
                for number in watched.indices {
                    var one = watched[number]
                    one.stamp = stamps[number] ?? UInt64.max
                    unsafe session.pointee.watched.append(one)
                }
            }
            unsafe transaction.pointee.replies[0] = Array("+OK\r\n".utf8)
            unsafe transaction.pointee.next = 1
            return true
        }
        for number in watched.indices where stamps[number] != watched[number].stamp {
            unsafe abort(transaction)
            return false
        }
        return true
    }

    /// A watched key has changed: nothing is carried out.
    private mutating func abort(_ transaction: UnsafeMutablePointer<RESPTransaction>) {
        let version = unsafe transaction.pointee.queue.entries.first?.context.version ?? 2
        unsafe end(transaction, Array((version == 3 ? "_\r\n" : "*-1\r\n").utf8))
    }

    // MARK: Ending

    private mutating func finish(_ transaction: UnsafeMutablePointer<RESPTransaction>) {
        var reply: [UInt8] = []
        if unsafe transaction.pointee.kind == .exec {
            reply = unsafe Array("*\(transaction.pointee.replies.count)\r\n".utf8)
        }
        for number in unsafe transaction.pointee.replies.indices {
            unsafe reply += transaction.pointee.replies[number]
        }
        guard unsafe !transaction.pointee.lasts.isEmpty else {
            return unsafe end(transaction, reply)
        }
        // Its keys are held until its end is as safe as the node promises: nobody sees what might
        // yet turn out never to have been.
        unsafe decide(transaction, reply)
    }

    mutating func end(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ reply: [UInt8]
    ) {
        reserveLogNoMore(unsafe transaction.pointee.reservedBytes)
        let resp = unsafe resp
        if unsafe transaction.pointee.writes { unsafe resp.pointee.underWay -= 1 }
        for (shard, _) in unsafe transaction.pointee.claims {
            unsafe askRelease(transaction.pointee.id, of: shard)
        }
        let (ticket, isMuted) = unsafe (transaction.pointee.ticket, transaction.pointee.isMuted)
        unsafe transaction.deinitialize(count: 1)
        unsafe transaction.deallocate()
        deliver(ticket) { shard, index, _ in
            let connection = unsafe shard.connections + Int(index)
            unsafe connection.pointee.flags.remove(.gathering)
            if isMuted { return }
            _ = shard.writer(index)
            let isSent = unsafe reply.withUnsafeBytes { unsafe shard.append(index, $0) }
            if !isSent { shard.close(index) }
        }
    }
}

/// A command made here rather than sent by a client.
struct PackedCommand {
    private var block: [UInt64]

    init(_ words: [[UInt8]]) {
        var bytes: [UInt8] = []
        var ranges: [ByteRange] = []
        for word in words {
            ranges.append(
                ByteRange(start: UInt32(bytes.count), count: UInt32(word.count)))
            bytes += word
        }
        block = RESPWords.packed(ranges, bytes)
    }

    func withWords(_ body: (RESPWords) -> Void) {
        unsafe block.withUnsafeBytes { room in
            body(unsafe RESPWords(packed: room.baseAddress.unsafelyUnwrapped))
        }
    }
}
