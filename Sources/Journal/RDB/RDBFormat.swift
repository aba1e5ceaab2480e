/// One key of an RDB file, as far as this store has a place for it.
public struct RDBEntry: Equatable, Sendable {
    /// The number of the Redis database it stands in.
    public var database: UInt64
    public var key: [UInt8]
    public var value: RDBValue
    /// When it ends, in milliseconds since 1970; nil is never.
    public var expiresAtMs: Int64?

    public init(database: UInt64, key: [UInt8], value: RDBValue, expiresAtMs: Int64? = nil) {
        self.database = database
        self.key = key
        self.value = value
        self.expiresAtMs = expiresAtMs
    }
}

public enum RDBValue: Equatable, Sendable {
    case string([UInt8])
    case list([[UInt8]])
}

/// Why a file cannot be read on: one clause, and the byte where it became certain.
public struct RDBDamage: Error, Equatable, Sendable, CustomStringConvertible {
    public var offset: UInt64
    public var what: String

    init(_ offset: UInt64, _ what: String) {
        self.offset = offset
        self.what = what
    }

    public var description: String { "byte \(offset): \(what)" }
}

/// What a reader holds at most. What is longer is passed over and counted: a file of another
/// server may well have it.
public struct RDBLimits: Sendable {
    /// A string, or all elements of a list together with what they cost to hold.
    public var valueBytesMax: Int
    public var keyBytesMax: Int

    public init(valueBytesMax: Int, keyBytesMax: Int) {
        self.valueBytesMax = valueBytesMax
        self.keyBytesMax = keyBytesMax
    }

    /// A list of a million empty strings is not nothing.
    static let elementCostBytes = 8
}

/// What a reader met so far.
public struct RDBTotals: Equatable, Sendable {
    public var strings = 0
    public var lists = 0
    /// Passed over because this store has no such type.
    public var sets = 0
    public var hashes = 0
    public var sortedSets = 0
    public var streams = 0
    public var modules = 0
    public var functions = 0
    /// Passed over because they are longer than the limits.
    public var longValues = 0
    public var longKeys = 0
    /// Passed over because their key is the empty string, which no key of ours can be.
    public var emptyKeys = 0
    /// Passed over as Redis does: a list without elements does not exist.
    public var emptyLists = 0

    public init() {}

    public var kept: Int { strings + lists }

    public var passedOver: Int { passed.reduce(0) { $0 + $1.count } }

    private var passed: [(count: Int, one: String, many: String)] {
        [
            (sets, "set", "sets"), (hashes, "hash", "hashes"),
            (sortedSets, "sorted set", "sorted sets"), (streams, "stream", "streams"),
            (modules, "module's value", "modules' values"),
            (functions, "function library", "function libraries"),
            (longValues, "value that is too long", "values that are too long"),
            (longKeys, "key that is too long", "keys that are too long"),
            (emptyKeys, "empty key", "empty keys"), (emptyLists, "empty list", "empty lists"),
        ]
    }

    /// What was passed over, as in `2 sets, 1 stream`; nil when nothing was.
    public var warning: String? {
        let parts = passed.filter { $0.count > 0 }.map { count, one, many in
            "\(count) \(count == 1 ? one : many)"
        }
        return parts.isEmpty ? nil : parts.joined(separator: ", ")
    }
}

/// The numbers of the format, as rdb.h of Redis 7 and 8 has them.
enum RDBFormat {
    static let magic = Array("REDIS".utf8)
    /// Redis 7.4 and 8 write 12; what it adds to 11 is known here.
    static let versionReadMax = 12
    /// Redis 7.0 reads no more than 10, and nothing that is written here needs more.
    static let versionWritten = 10
    /// Files before version 5 end without a checksum.
    static let versionWithChecksum = 5
    static let headerCount = 9
    static let checksumCount = 8

    enum Opcode {
        static let slotInfo: UInt8 = 244
        static let function2: UInt8 = 245
        static let moduleAux: UInt8 = 247
        static let idle: UInt8 = 248
        static let frequency: UInt8 = 249
        static let aux: UInt8 = 250
        static let resize: UInt8 = 251
        static let expiresAtMs: UInt8 = 252
        static let expiresAtSeconds: UInt8 = 253
        static let select: UInt8 = 254
        static let end: UInt8 = 255
    }

    /// The types that are written.
    enum Kind {
        static let string: UInt8 = 0
        static let list: UInt8 = 18
    }

    /// How a node of a quicklist holds its elements.
    enum Container {
        static let plain: UInt64 = 1
        static let packed: UInt64 = 2
    }
}
