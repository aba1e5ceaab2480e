import Keyspace
import Machine
import Wire

/// MULTI, EXEC, DISCARD, WATCH and UNWATCH on a connection.
extension Shard {
    mutating func transaction(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, _ facts: CommandFacts,
        _ words: RESPWords
    ) -> Bool {
        let state = unsafe resp
        switch facts.command {
        case .multi:
            if unsafe session.pointee.queue != nil {
                unsafe state.pointee.out.error("ERR MULTI calls can not be nested")
                return true
            }
            unsafe session.pointee.queue = CommandQueue()
            unsafe state.pointee.out.ok()
        case .discard:
            guard unsafe session.pointee.queue != nil else {
                unsafe state.pointee.out.error("ERR DISCARD without MULTI")
                return true
            }
            unsafe session.pointee.queue = nil
            unsafe session.pointee.watched = []
            unsafe state.pointee.out.ok()
        case .unwatch:
            unsafe session.pointee.watched = []
            unsafe state.pointee.out.ok()
        case .watch: return unsafe watch(index, session, words)
        default: return unsafe exec(index, session)
        }
        return true
    }

    /// Queues a command after MULTI. False: it is carried out at once.
    mutating func queue(
        _ session: UnsafeMutablePointer<RESPSession>, _ facts: CommandFacts, _ words: RESPWords
    ) -> Bool {
        let state = unsafe resp
        switch facts.command {
        case .multi, .exec, .discard, .watch, .quit, .reset: return false
        case .auth, .subscribe, .unsubscribe, .psubscribe, .punsubscribe, .save:
            unsafe session.pointee.queue?.isBroken = true
            unsafe state.pointee.out.error("ERR Command not allowed inside a transaction")
            return true
        case .hello:
            for place in 2..<max(2, words.count) where unsafe words[place].isOption("auth") {
                unsafe session.pointee.queue?.isBroken = true
                unsafe state.pointee.out.error("ERR Command not allowed inside a transaction")
                return true
            }
        default: break
        }
        guard
            unsafe (session.pointee.queue?.bytes ?? 0) + words.packedBytes
                <= CommandQueue.bytesMax
        else {
            unsafe session.pointee.queue?.isBroken = true
            unsafe state.pointee.out.error("ERR The transaction is too long")
            return true
        }
        unsafe session.pointee.queue?.append(facts, session.pointee.context, words)
        unsafe state.pointee.out.simple("QUEUED")
        return true
    }

    // MARK: WATCH

    private mutating func watch(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, _ words: RESPWords
    ) -> Bool {
        let state = unsafe resp
        if unsafe session.pointee.queue != nil {
            unsafe state.pointee.out.error("ERR WATCH inside MULTI is not allowed")
            return true
        }
        let context = unsafe session.pointee.context
        var isLocal = !hasHolds
        for place in 1..<words.count {
            if unsafe shard(of: words[place], in: context.table) != number { isLocal = false }
        }
        guard isLocal else {
            let facts = unsafe state.pointee.lookup.find(words[0])
            guard let facts else { return true }
            var queue = CommandQueue()
            queue.append(facts, context, words)
            return begin(index, .watch, queue, watched: [])
        }
        for place in 1..<words.count {
            let key = unsafe words[place]
            unsafe session.pointee.watched.append(
                WatchedKey(
                    table: context.table, key: Array(key), stamp: stamp(key, context.table)))
        }
        unsafe state.pointee.out.ok()
        return true
    }

    /// What WATCH remembers of a key: it is another after every change, also after one that made
    /// the key and took it away again.
    mutating func stamp(_ key: UnsafeRawBufferPointer, _ table: TableNumber) -> UInt64 {
        unsafe keyspace.trace(of: Key(table, key, keyspace.hashing), at: wallMs)
    }

    mutating func isThere(_ key: UnsafeRawBufferPointer, _ table: TableNumber) -> Bool {
        unsafe keyspace.get(Key(table, key, keyspace.hashing), at: wallMs) != nil
    }

    // MARK: EXEC

    private mutating func exec(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>
    ) -> Bool {
        let state = unsafe resp
        guard var queue = unsafe session.pointee.queue else {
            unsafe state.pointee.out.error("ERR EXEC without MULTI")
            return true
        }
        let watched = unsafe session.pointee.watched
        unsafe session.pointee.queue = nil
        unsafe session.pointee.watched = []
        if queue.isBroken {
            unsafe state.pointee.out.error(
                "EXECABORT Transaction discarded because of previous errors.")
            return true
        }
        var isLocal = !hasHolds
        if unsafe self.state.pointee.shardCount > 1 {
            unsafe giveContexts(&queue, session)
            for number in queue.entries.indices {
                let entry = queue.entries[number]
                let isHere = queue.withWords(number) { words in
                    self.reach(of: entry.facts, words, entry.context) == .here
                }
                if !isHere { isLocal = false }
            }
            for one in watched where shard(of: one) != number { isLocal = false }
        }
        guard isLocal else {
            if begin(index, .exec, queue, watched: watched) { return true }
            // Looked at again next turn.
            unsafe session.pointee.queue = queue
            unsafe session.pointee.watched = watched
            return false
        }
        for one in watched {
            let stamp = unsafe one.key.withUnsafeBytes { unsafe self.stamp($0, one.table) }
            if stamp != one.stamp {
                unsafe state.pointee.out.version = session.pointee.context.version
                unsafe state.pointee.out.nullArray()
                return true
            }
        }
        unsafe state.pointee.out.version = session.pointee.context.version
        unsafe state.pointee.out.array(queue.entries.count)
        unsafe state.pointee.isInTransaction = true
        defer { unsafe state.pointee.isInTransaction = false }
        let writes = queue.writes
        if writes { beginTogether() }
        for number in queue.entries.indices {
            let facts = queue.entries[number].facts
            queue.withWords(number) { words in
                switch facts.command {
                case .select, .client, .hello: unsafe sessionCommand(index, session, facts, words)
                case .unwatch: unsafe state.pointee.out.ok()
                default:
                    unsafe state.pointee.out.version = session.pointee.context.version
                    unsafe execute(
                        facts, words, session.pointee.context, into: &state.pointee.out)
                }
            }
        }
        if writes { endTogether() }
        return true
    }

    mutating func shard(of watched: WatchedKey) -> Int {
        unsafe watched.key.withUnsafeBytes { unsafe self.shard(of: $0, in: watched.table) }
    }

    /// A SELECT in the queue is for the commands behind it.
    private mutating func giveContexts(
        _ queue: inout CommandQueue, _ session: UnsafeMutablePointer<RESPSession>
    ) {
        var context = unsafe session.pointee.context
        for number in queue.entries.indices {
            queue.entries[number].context = context
            guard queue.entries[number].facts.command == .select else { continue }
            let database = queue.withWords(number) { unsafe RESPNumber.integer($0[1]) }
            if let database, let table = databaseTable(database) {
                context.table = table
                context.database = UInt8(database)
                context.readRule = tables[table].readRule
            }
        }
    }
}
