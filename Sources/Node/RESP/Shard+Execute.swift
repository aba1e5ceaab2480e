import Keyspace
import Machine
import Wire

/// Commands carried out on the shard that has all of their keys: the reply goes into `out`.
extension Shard {
    mutating func execute(
        _ facts: CommandFacts, _ words: RESPWords, _ context: RESPContext,
        into out: inout RESPWriter
    ) {
        tally.commands &+= 1
        unsafe resp.pointee.namesEvents = true
        if context.step == .whole {
            let isTogether = !facts.hasOneKey && mayWriteSeveral(facts, words)
            if isTogether { beginTogether() }
            executeWhole(facts, words, context, into: &out)
            if isTogether { endTogether() }
        } else {
            executeStep(facts, words, context, into: &out)
        }
        unsafe resp.pointee.namesEvents = false
    }

    @inline(__always)
    private mutating func executeWhole(
        _ facts: CommandFacts, _ words: RESPWords, _ context: RESPContext,
        into out: inout RESPWriter
    ) {
        switch facts.command {
        case .get: get(words, context, into: &out)
        case .set: set(words, context, into: &out)
        case .setnx: setIfAbsent(words, context, into: &out)
        case .setex: setExpiring(words, context, .setex, unitMs: 1000, into: &out)
        case .psetex: setExpiring(words, context, .psetex, unitMs: 1, into: &out)
        case .getset: getSet(words, context, into: &out)
        case .getdel: getDelete(words, context, into: &out)
        case .getex: getExpiring(words, context, into: &out)
        case .mget: getMany(words, context, into: &out)
        case .mset: setMany(words, context, onlyNew: false, into: &out)
        case .msetnx: setMany(words, context, onlyNew: true, into: &out)
        case .append: append(words, context, into: &out)
        case .strlen: stringLength(words, context, into: &out)
        case .getrange, .substr: getRange(words, context, into: &out)
        case .setrange: setRange(words, context, into: &out)
        case .incr: increment(words, context, by: 1, into: &out)
        case .decr: increment(words, context, by: -1, into: &out)
        case .incrby: incrementBy(words, context, isNegative: false, into: &out)
        case .decrby: incrementBy(words, context, isNegative: true, into: &out)
        case .incrbyfloat: incrementByFloat(words, context, into: &out)
        case .del, .unlink: delete(words, context, into: &out)
        case .exists, .touch: countKeys(words, context, into: &out)
        case .type: type(words, context, into: &out)
        case .rename: rename(words, context, onlyNew: false, into: &out)
        case .renamenx: rename(words, context, onlyNew: true, into: &out)
        case .copy: copy(words, context, into: &out)
        case .randomkey: randomKey(context, into: &out)
        case .keys: keys(words, context, into: &out)
        case .scan: scan(words, context, into: &out)
        case .object: object(words, context, into: &out)
        case .expire: expire(words, context, unitMs: 1000, isRelative: true, facts, into: &out)
        case .pexpire: expire(words, context, unitMs: 1, isRelative: true, facts, into: &out)
        case .expireat: expire(words, context, unitMs: 1000, isRelative: false, facts, into: &out)
        case .pexpireat: expire(words, context, unitMs: 1, isRelative: false, facts, into: &out)
        case .ttl: timeLeft(words, context, unitMs: 1000, isRelative: true, into: &out)
        case .pttl: timeLeft(words, context, unitMs: 1, isRelative: true, into: &out)
        case .expiretime: timeLeft(words, context, unitMs: 1000, isRelative: false, into: &out)
        case .pexpiretime: timeLeft(words, context, unitMs: 1, isRelative: false, into: &out)
        case .persist: persist(words, context, into: &out)
        case .lpush, .rpush, .lpushx, .rpushx, .lpop, .rpop, .llen, .lrange, .lindex, .lset,
            .ltrim, .lrem, .linsert, .lpos, .lmove, .rpoplpush:
            list(facts, words, context, into: &out)
        case .ping: ping(words, into: &out)
        case .echo: unsafe out.bulk(words[1])
        case .dbsize: out.integer(keyspace.count(of: context.table))
        case .flushdb, .flushall: flush(facts, words, context, into: &out)
        case .publish: publish(words, into: &out)
        case .pubsub: aboutChannels(words, into: &out)
        case .command, .info, .config, .time, .bgsave, .lastsave, .bgrewriteaof, .role,
            .replicaof, .slaveof, .cluster, .wait:
            serverCommand(facts, words, context, into: &out)
        case .multi, .exec, .discard, .watch, .unwatch, .subscribe, .unsubscribe, .psubscribe,
            .punsubscribe, .hello, .auth, .select, .quit, .reset, .client, .save:
            invariant(false, "a command about the session was carried out without one")
        }
    }

    private mutating func ping(_ words: RESPWords, into out: inout RESPWriter) {
        switch words.count {
        case 1: out.simple("PONG")
        case 2: unsafe out.bulk(words[1])
        default: wrongArity(.ping, into: &out)
        }
    }

    // MARK: Reading

    enum Found {
        case record(Record)
        case missing
        /// The error has been written.
        case refused
    }

    /// The key's record, if the client may see it.
    @inline(__always)
    mutating func look(
        _ key: UnsafeRawBufferPointer, _ context: RESPContext, into out: inout RESPWriter
    ) -> Found {
        guard
            let record = unsafe keyspace.get(Key(context.table, key, keyspace.hashing), at: wallMs)
        else {
            if context.readRule != .open { return refuseUnknown(context, into: &out) }
            return .missing
        }
        if !context.maySee(record) {
            out.error(Self.noPermission)
            return .refused
        }
        noteRead(record)
        return .record(record)
    }

    @inline(never)
    private mutating func refuseUnknown(_ context: RESPContext, into out: inout RESPWriter) -> Found
    {
        if context.caller == .nobody {
            out.error(Self.noPermission)
            return .refused
        }
        return .missing
    }

    /// What a reply tells of a record that the disk does not have yet waits for it.
    @inline(__always)
    mutating func noteRead(_ record: Record) {
        if commitPoint.waitsForDisk, record.stamp > commitPoint.syncedStamp {
            unsafe resp.pointee.told = keyspace.position
        }
    }

    /// The text of a value that is no list; good until the next change or the next text.
    @inline(__always)
    mutating func text(_ record: Record) -> UnsafeRawBufferPointer {
        if record.kind != .json { return unsafe record.value }
        return unsafe jsonText(record.value)
    }

    /// A JSON string stands for its characters; other JSON is its text.
    @inline(never)
    private mutating func jsonText(_ value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard value.count >= 2, unsafe value[0] == UInt8(ascii: "\"") else { return unsafe value }
        let inner = unsafe UnsafeRawBufferPointer(rebasing: value[1..<(value.count - 1)])
        if unsafe !inner.contains(UInt8(ascii: "\\")) { return unsafe inner }
        let resp = unsafe resp
        let room = unsafe resp.pointee.text.take(JSONString.decodedCountMax(value))
        let count = unsafe JSONString.decode(value, into: room) ?? 0
        return unsafe UnsafeRawBufferPointer(rebasing: room[..<count])
    }

    // MARK: Writing

    static var noPermission: StaticString { "NOPERM No permissions to access a key" }
    static var wrongType: StaticString {
        "WRONGTYPE Operation against a key holding the wrong kind of value"
    }
    static var notInteger: StaticString { "ERR value is not an integer or out of range" }
    static var syntaxError: StaticString { "ERR syntax error" }

    /// Carries out a write and takes note of what its reply tells. False: it was refused, and the
    /// error has been written.
    @inline(__always)
    mutating func write(
        _ command: borrowing Command, _ context: RESPContext, _ event: KeyEvent,
        into out: inout RESPWriter
    ) -> Bool {
        let reply = change(command)
        switch reply.status {
        case .created, .updated, .deleted:
            unsafe resp.pointee.told = reply.position
            if notifies { unsafe notify(event, command.key.bytes, context) }
            return true
        case .found, .missing, .conditionFailed: return true
        default:
            writeFailure(reply.status, into: &out)
            return false
        }
    }

    @inline(never)
    mutating func writeFailure(_ status: Reply.Status, into out: inout RESPWriter) {
        switch status {
        case .notOwner: out.error(Self.noPermission)
        case .outOfMemory:
            out.error("OOM command not allowed when used memory > 'maxmemory'.")
        case .tooLarge: out.error("ERR a key is 1 to 1024 bytes")
        case .unwritable:
            out.error(
                "MISCONF The node cannot write to its disk, so it takes no writes; see /ready")
        default: out.error("ERR the write was refused")
        }
    }

    /// Who a write is made by, as the keyspace asks.
    @inline(__always)
    mutating func writer(_ context: RESPContext) -> RecordOwner {
        context.caller == .admin ? .system : context.principal
    }

    /// A command on a key, by whoever sent it.
    @inline(__always)
    mutating func command(
        _ kind: Command.Kind, _ key: UnsafeRawBufferPointer, _ context: RESPContext,
        value: Value = .none, expiry: Expiry = .never, condition: Condition = .none
    ) -> Command {
        unsafe Command(
            kind, Key(context.table, key, keyspace.hashing), by: writer(context), value: value,
            expiry: expiry, condition: condition)
    }

    /// A whole number, or an error.
    @inline(__always)
    mutating func integer(_ word: UnsafeRawBufferPointer, into out: inout RESPWriter) -> Int64? {
        if let number = unsafe RESPNumber.integer(word) { return number }
        out.error(Self.notInteger)
        return nil
    }
}

extension UnsafeRawBufferPointer {
    /// Whether a word is this option, in whatever case; `option` is in lower case.
    @inline(__always)
    func isOption(_ option: StaticString) -> Bool {
        guard count == option.utf8CodeUnitCount else { return false }
        for place in 0..<count {
            let byte = unsafe self[place]
            let lower = byte &- 0x41 < 26 ? byte | 0x20 : byte
            if unsafe lower != option.utf8Start[place] { return false }
        }
        return true
    }
}
