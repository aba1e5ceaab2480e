/// Every command there is, by the name clients use.
public enum RESPCommand: String, CaseIterable, Sendable, BitwiseCopyable {
    // Strings.
    case get, set, setnx, setex, psetex, getset, getdel, getex, mget, mset, msetnx, append, strlen
    case getrange, substr, setrange, incr, decr, incrby, decrby, incrbyfloat
    // Keys.
    case del, unlink, exists, type, touch, rename, renamenx, copy, randomkey, keys, scan, object
    case expire, pexpire, expireat, pexpireat, ttl, pttl, expiretime, pexpiretime, persist, wait
    // Lists.
    case lpush, rpush, lpushx, rpushx, lpop, rpop, llen, lrange, lindex, lset, ltrim, lrem, linsert
    case lpos, lmove, rpoplpush
    // Channels.
    case subscribe, unsubscribe, psubscribe, punsubscribe, publish, pubsub
    // Transactions.
    case multi, exec, discard, watch, unwatch
    // The connection.
    case ping, echo, hello, auth, select, quit, reset, client
    // The server.
    case command, info, config, dbsize, flushdb, flushall, time, save, bgsave, lastsave
    case bgrewriteaof, role, replicaof, slaveof
    case cluster
}

/// What a command is known to do; the names are Redis' own, as COMMAND tells them.
public struct CommandFlags: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let write = CommandFlags(rawValue: 1 << 0)
    public static let readonly = CommandFlags(rawValue: 1 << 1)
    public static let denyoom = CommandFlags(rawValue: 1 << 2)
    public static let admin = CommandFlags(rawValue: 1 << 3)
    public static let pubsub = CommandFlags(rawValue: 1 << 4)
    public static let noscript = CommandFlags(rawValue: 1 << 5)
    public static let loading = CommandFlags(rawValue: 1 << 6)
    public static let stale = CommandFlags(rawValue: 1 << 7)
    public static let fast = CommandFlags(rawValue: 1 << 8)
    public static let noAuth = CommandFlags(rawValue: 1 << 9)
    public static let noMulti = CommandFlags(rawValue: 1 << 10)
    public static let noAsyncLoading = CommandFlags(rawValue: 1 << 11)
    public static let allowBusy = CommandFlags(rawValue: 1 << 12)
    public static let skipSlowlog = CommandFlags(rawValue: 1 << 13)
    /// Not a flag of Redis' list: it may empty, stall or lay bare the whole server.
    public static let dangerous = CommandFlags(rawValue: 1 << 14)

    /// Those that COMMAND tells, in its order.
    public static let named: [(flag: CommandFlags, name: StaticString)] = [
        (.write, "write"), (.readonly, "readonly"), (.denyoom, "denyoom"), (.admin, "admin"),
        (.pubsub, "pubsub"), (.noscript, "noscript"), (.loading, "loading"), (.stale, "stale"),
        (.skipSlowlog, "skip_slowlog"), (.fast, "fast"), (.noAuth, "no_auth"),
        (.noMulti, "no_multi"), (.noAsyncLoading, "no_async_loading"), (.allowBusy, "allow_busy"),
    ]
}

/// Which arguments are keys: from the first to the last (negative: counted from the end), each
/// `step`th. Zeros: none is.
public struct CommandKeys: Equatable, Sendable, BitwiseCopyable {
    public var first: Int
    public var last: Int
    public var step: Int

    public static let none = CommandKeys(first: 0, last: 0, step: 0)
    public static let one = CommandKeys(first: 1, last: 1, step: 1)
    public static let two = CommandKeys(first: 1, last: 2, step: 1)
    public static let all = CommandKeys(first: 1, last: -1, step: 1)
    public static let pairs = CommandKeys(first: 1, last: -1, step: 2)
    /// Of a subcommand: the argument after its name.
    public static let second = CommandKeys(first: 2, last: 2, step: 1)

    /// The place of the last key in a command of so many arguments, its name counted.
    @inlinable
    public func end(_ count: Int) -> Int { last < 0 ? count + last : last }
}

public enum CommandGroup: String, CaseIterable, Sendable {
    case string, generic, list, pubsub, transactions, connection, server, cluster
}

/// All that is known of a command, once. Parsing, COMMAND and its subcommands, the command line's
/// hints and help, and docs/commands.md read it.
public struct CommandRow: Sendable {
    /// nil: a subcommand.
    public let command: RESPCommand?
    /// In lower case; a subcommand's is its own alone.
    public let name: String
    /// With the name counted; negative: at least so many.
    public let arity: Int
    public let flags: CommandFlags
    public let keys: CommandKeys
    public let group: CommandGroup
    /// The Redis version that first had it.
    public let since: String
    /// What follows the name, as people write it: `key value [NX|XX]`.
    public let syntax: String
    public let summary: String
    public let complexity: String
    public let subcommands: [CommandRow]

    init(
        _ command: RESPCommand, _ arity: Int, _ flags: CommandFlags, _ keys: CommandKeys,
        _ group: CommandGroup, _ since: String, _ syntax: String, _ summary: String,
        _ complexity: String = "O(1)", subcommands: [CommandRow] = []
    ) {
        self.command = command
        name = command.rawValue
        self.arity = arity
        self.flags = flags
        self.keys = keys
        self.group = group
        self.since = since
        self.syntax = syntax
        self.summary = summary
        self.complexity = complexity
        self.subcommands = subcommands
    }

    init(
        sub name: String, _ arity: Int, _ flags: CommandFlags, _ group: CommandGroup,
        _ since: String, _ syntax: String, _ summary: String, _ complexity: String = "O(1)",
        keys: CommandKeys = .none
    ) {
        command = nil
        self.name = name
        self.arity = arity
        self.flags = flags
        self.keys = keys
        self.group = group
        self.since = since
        self.syntax = syntax
        self.summary = summary
        self.complexity = complexity
        subcommands = []
    }

    /// Whether a command of so many arguments, its name counted, is well formed.
    public func takes(_ count: Int) -> Bool { arity >= 0 ? count == arity : count >= -arity }

    /// The categories ACL rules know a command by.
    public var categories: [String] {
        var names: [String] = []
        switch group {
        case .generic: if command != .wait { names.append("@keyspace") }
        default: break
        }
        if name.hasPrefix("flush") || name == "dbsize" { names.append("@keyspace") }
        if flags.contains(.readonly) { names.append("@read") }
        if flags.contains(.write) { names.append("@write") }
        if group == .string || group == .list { names.append("@" + group.rawValue) }
        if flags.contains(.admin) { names.append("@admin") }
        if flags.contains(.pubsub) { names.append("@pubsub") }
        names.append(flags.contains(.fast) ? "@fast" : "@slow")
        if !flags.isDisjoint(with: [.admin, .dangerous]) { names.append("@dangerous") }
        if (group == .connection && command != .client) || command == .wait {
            names.append("@connection")
        }
        if group == .transactions { names.append("@transaction") }
        return names
    }
}
