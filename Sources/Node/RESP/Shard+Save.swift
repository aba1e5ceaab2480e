import Keyspace
import Machine
import Synchronization
import Wire

/// SAVE, BGSAVE, LASTSAVE and BGREWRITEAOF: dumps for Redis, and snapshots under Redis' name for
/// them.
extension Shard {
    private static var isSaving: StaticString { "ERR Background save already in progress" }

    /// SAVE: a dump, and the reply when it is there. Others are served meanwhile; what follows on
    /// this connection waits, as it would in Redis.
    mutating func save(_ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>) {
        let state = unsafe resp
        guard unsafe mayAdminister(session.pointee.context) else {
            return unsafe state.pointee.out.error(Self.adminNeeded)
        }
        guard let dump = durability.dumper?.request(at: nowMs) else {
            return unsafe state.pointee.out.error(Self.isSaving)
        }
        // To a client that wants no reply it is BGSAVE.
        if unsafe state.pointee.mutes { return }
        flushReplies(index)
        guard unsafe connections[Int(index)].state == .open else { return }
        let ticket = awaitAnswer(index, [])
        let connection = unsafe connections + Int(index)
        unsafe connection.pointee.flags.insert(.gathering)
        unsafe session.pointee.awaitsSave = true
        unsafe state.pointee.saves.append(SaveWaiter(ticket: ticket, dump: dump))
    }

    /// Answers those whose dump has ended.
    mutating func answerSaves() {
        let state = unsafe resp
        guard unsafe !state.pointee.saves.isEmpty, let dumper = durability.dumper else { return }
        let ended = unsafe durability.signals.pointee.dumpsEnded.load(ordering: .acquiring)
        let waiters = unsafe state.pointee.saves
        unsafe state.pointee.saves.removeAll()
        let reply: StaticString = dumper.figures.lastFailed ? "-ERR\r\n" : "+OK\r\n"
        for waiter in waiters {
            guard waiter.dump <= ended else {
                unsafe state.pointee.saves.append(waiter)
                continue
            }
            deliver(waiter.ticket) { shard, index, _ in
                let connection = unsafe shard.connections + Int(index)
                unsafe connection.pointee.flags.remove(.gathering)
                if let session = unsafe connection.pointee.resp {
                    unsafe session.pointee.awaitsSave = false
                }
                _ = shard.writer(index)
                let bytes = unsafe UnsafeRawBufferPointer(
                    start: reply.utf8Start, count: reply.utf8CodeUnitCount)
                if unsafe !shard.append(index, bytes) { shard.close(index) }
            }
        }
    }

    /// The rest of them, whose replies are known at once.
    mutating func saveCommand(
        _ facts: CommandFacts, _ words: RESPWords, _ context: RESPContext,
        into out: inout RESPWriter
    ) {
        if facts.command == .lastsave {
            let startedS = unsafe state.pointee.facts.startedMs / 1000
            return out.integer(durability.dumper?.figures.lastSaveS ?? startedS)
        }
        if facts.command == .bgsave, words.count > 1,
            unsafe words.count > 2 || !words[1].isOption("schedule")
        {
            return out.error(Self.syntaxError)
        }
        guard mayAdminister(context) else { return out.error(Self.adminNeeded) }
        if facts.command == .bgsave {
            guard durability.dumper?.request(at: nowMs) != nil else {
                return out.error(Self.isSaving)
            }
            // Redis waits for the end of a transaction before it forks.
            return out.simple(
                unsafe resp.pointee.isInTransaction
                    ? "Background saving scheduled" : "Background saving started")
        }
        guard unsafe !durability.signals.pointee.isRunning else {
            return out.error("ERR Background append only file rewriting already in progress")
        }
        guard durability.snapshotter?.request(at: nowMs) == true else {
            return out.error(
                "ERR Can't execute an AOF background rewriting. Please check the server logs for more information."
            )
        }
        out.simple(
            unsafe resp.pointee.isInTransaction
                ? "Background append only file rewriting scheduled"
                : "Background append only file rewriting started")
    }
}

/// A connection that waits for the reply to SAVE, and the dump it asked for.
struct SaveWaiter: BitwiseCopyable {
    var ticket: UInt64
    var dump: UInt64
}
