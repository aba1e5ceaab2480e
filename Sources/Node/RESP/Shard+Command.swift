import Keyspace
import Machine
import Wire

/// What becomes of one command: refused, queued, answered here, or sent to the shard of its keys.
extension Shard {
    /// False: the shard it is for has too much to do just now; the command is to be looked at again.
    mutating func command(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, _ words: RESPWords
    ) -> Bool {
        let state = unsafe resp
        unsafe session.pointee.lastMs = nowMs
        guard let facts = unsafe state.pointee.lookup.find(words[0]) else {
            unsafe breakQueue(session)
            unsafe unknownCommand(words, into: &state.pointee.out)
            return true
        }
        unsafe session.pointee.lastCommand = facts.command
        guard facts.takes(words.count) else {
            unsafe breakQueue(session)
            unsafe wrongArity(facts.command, into: &state.pointee.out)
            return true
        }
        if unsafe !session.pointee.isServed, !facts.flags.contains(.noAuth) {
            unsafe state.pointee.out.error(Self.denied)
            return true
        }
        if isLoading, !facts.flags.contains(.loading) {
            unsafe state.pointee.out.error("LOADING Redis is loading the dataset in memory")
            return true
        }
        if !facts.hasOneKey, let isKnown = knowsSubcommand(facts, words), !isKnown {
            unsafe breakQueue(session)
            return true
        }
        if unsafe session.pointee.replies != .on {
            return unsafe muted(index, session, facts, words)
        }
        if unsafe session.pointee.queue != nil, unsafe queue(session, facts, words) { return true }
        if unsafe session.pointee.isSubscribed, unsafe session.pointee.context.version == 2,
            !mayWhileSubscribed(facts, words)
        {
            return true
        }
        return unsafe carryOut(index, session, facts, words)
    }

    @inline(__always)
    private mutating func carryOut(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, _ facts: CommandFacts,
        _ words: RESPWords
    ) -> Bool {
        if facts.hasOneKey {
            let key = unsafe words[Int(facts.firstKey)]
            let table = unsafe session.pointee.context.table
            let target = unsafe shard(of: key, in: table)
            if target == number, !hasHolds {
                let state = unsafe resp
                unsafe state.pointee.out.version = session.pointee.context.version
                unsafe execute(facts, words, session.pointee.context, into: &state.pointee.out)
                return true
            }
            return unsafe send(index, session, facts, words, to: target)
        }
        return unsafe carryOutAnywhere(index, session, facts, words)
    }

    /// CLIENT REPLY OFF and SKIP: the command is carried out and its reply let go. Nothing is
    /// gained by being quick here, so the reply is waited for and nothing follows it meanwhile.
    private mutating func muted(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, _ facts: CommandFacts,
        _ words: RESPWords
    ) -> Bool {
        let state = unsafe resp
        flushReplies(index)
        unsafe state.pointee.mutes = true
        let isTaken = unsafe carryOut(index, session, facts, words)
        unsafe state.pointee.mutes = false
        guard isTaken else { return false }
        if unsafe session.pointee.replies != .on {
            unsafe state.pointee.out.removeAll()
            unsafe state.pointee.told = 0
        }
        if unsafe session.pointee.replies == .skip { unsafe session.pointee.replies = .on }
        if unsafe session.pointee.replies == .skipNext { unsafe session.pointee.replies = .skip }
        return true
    }

    /// Whether a command that has subcommands is given one of them, and well; else the error has been
    /// written. nil: it has none.
    private mutating func knowsSubcommand(_ facts: CommandFacts, _ words: RESPWords) -> Bool? {
        switch facts.command {
        case .client, .config, .object, .command, .pubsub, .cluster: break
        default: return nil
        }
        guard words.count > 1 else { return nil }
        let state = unsafe resp
        guard let row = unsafe subcommand(facts.command, words[1]) else {
            unsafe unknownSubcommand(facts.command, words[1], into: &state.pointee.out)
            return false
        }
        if row.takes(words.count) { return true }
        unsafe wrongSubcommandArity(facts.command, words[1], into: &state.pointee.out)
        return false
    }

    private mutating func breakQueue(_ session: UnsafeMutablePointer<RESPSession>) {
        if unsafe session.pointee.queue != nil { unsafe session.pointee.queue?.isBroken = true }
    }

    // MARK: Commands of any shape

    /// Commands without a key, with many, and those about the session.
    mutating func carryOutAnywhere(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, _ facts: CommandFacts,
        _ words: RESPWords
    ) -> Bool {
        let state = unsafe resp
        unsafe state.pointee.out.version = session.pointee.context.version
        switch facts.command {
        case .multi, .exec, .discard, .watch, .unwatch:
            return unsafe transaction(index, session, facts, words)
        case .subscribe, .unsubscribe, .psubscribe, .punsubscribe:
            unsafe subscription(index, session, facts, words)
        case .client where unsafe asksForClients(words) && self.state.pointee.shardCount > 1:
            return unsafe coordinate(index, session, facts, words)
        case .hello, .auth, .select, .quit, .reset, .client:
            unsafe sessionCommand(index, session, facts, words)
        case .save: unsafe save(index, session)
        default:
            switch unsafe reach(of: facts, words, session.pointee.context) {
            case .here where !hasHolds:
                unsafe execute(facts, words, session.pointee.context, into: &state.pointee.out)
            case .here: return unsafe send(index, session, facts, words, to: number)
            case .shard(let target): return unsafe send(index, session, facts, words, to: target)
            case .many: return unsafe coordinate(index, session, facts, words)
            }
        }
        return true
    }

    /// Which shards a command concerns.
    enum Reach: Equatable {
        case here
        case shard(Int)
        case many
    }

    mutating func reach(of facts: CommandFacts, _ words: RESPWords, _ context: RESPContext) -> Reach
    {
        guard unsafe state.pointee.shardCount > 1 else { return .here }
        switch facts.command {
        case .keys, .dbsize, .flushdb, .flushall, .randomkey, .publish, .pubsub: return .many
        case .client: return asksForClients(words) ? .many : .here
        case .info: return asksForDatabases(words) ? .many : .here
        case .scan:
            guard words.count > 1 else { return .here }
            let shard = unsafe ScanCursor(words[1])?.shard ?? number
            let target = unsafe min(shard, state.pointee.shardCount - 1)
            return target == number ? .here : .shard(target)
        case .object:
            guard words.count == 3 else { return .here }
            let target = unsafe shard(of: words[2], in: context.table)
            return target == number ? .here : .shard(target)
        default: break
        }
        guard facts.firstKey > 0 else { return .here }
        var target = -1
        var place = Int(facts.firstKey)
        let last = facts.lastKey(words.count)
        while place <= last {
            let shard = unsafe shard(of: words[place], in: context.table)
            if target < 0 { target = shard }
            if shard != target { return .many }
            place += Int(facts.keyStep)
        }
        if facts.command == .copy, let table = copyTarget(words, context) {
            let shard = unsafe shard(of: words[2], in: table)
            if shard != target { return .many }
        }
        return target == number || target < 0 ? .here : .shard(target)
    }

    // MARK: Errors

    static var denied: StaticString {
        "DENIED Needletail is running in protected mode: without AUTH it serves only clients on the same machine, on an address that no other machine can reach. Send AUTH <user> <secret>; users are made by POST /auth/<user>."
    }

    mutating func unknownCommand(_ words: RESPWords, into out: inout RESPWriter) {
        out.begin(error: "ERR unknown command '")
        unsafe out.addPrintable(prefix(words[0], 128))
        out.add("', with args beginning with: ")
        var count = 0
        for place in 1..<max(1, words.count) where count < 128 {
            out.add("'")
            let word = unsafe prefix(words[place], 128 - count)
            unsafe out.addPrintable(word)
            out.add("' ")
            count += word.count + 3
        }
        out.endLine()
    }

    mutating func wrongArity(_ command: RESPCommand, into out: inout RESPWriter) {
        out.begin(error: "ERR wrong number of arguments for '")
        out.add(command.rawValue)
        out.add("' command")
        out.endLine()
    }

    private mutating func prefix(_ word: UnsafeRawBufferPointer, _ count: Int)
        -> UnsafeRawBufferPointer
    {
        // As far as C would print it.
        let end = unsafe word.firstIndex(of: 0) ?? word.count
        return unsafe UnsafeRawBufferPointer(rebasing: word[..<min(end, count)])
    }
}
