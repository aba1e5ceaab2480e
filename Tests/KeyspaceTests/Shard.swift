import Keyspace

/// What a reply says, copied out, so that a test can keep and compare it.
struct Answer: Equatable, CustomStringConvertible {
    var status: Reply.Status
    var value: [UInt8]?
    var version: UInt64 = 0
    var owner: UInt32 = 0
    var expiresAt: Int64 = 0
    var timestamp: Int64 = 0

    var text: String? { value.map { String(decoding: $0, as: UTF8.self) } }

    var description: String {
        "\(status) v\(version) owner \(owner) expires \(expiresAt) at \(timestamp) "
            + "bytes \(value?.count ?? -1)"
    }
}

/// What a change says, copied out.
struct Happening: Equatable {
    var kind: Change.Kind
    var key: [UInt8]
    var table: TableNumber
    var version: UInt64
    var stamp: Stamp
    var position: CommitPosition
    var value: [UInt8]

    var name: String { String(decoding: key, as: UTF8.self) }
}

/// A keyspace spoken to in plain words. Test code may allocate.
final class Shard {
    var space: Keyspace
    var now: Int64 = 1_700_000_000_000

    init(
        _ change: (inout Keyspace.Settings) -> Void = { _ in }, seed: UInt64 = 7
    ) throws {
        var settings = Keyspace.Settings(seed: seed)
        settings.addressBytes = 1 << 30
        change(&settings)
        space = try Keyspace.make(settings)
    }

    func answer(_ reply: Reply) -> Answer {
        var answer = Answer(status: reply.status)
        if let record = reply.record {
            answer.value = Array(record.value)
            answer.version = record.version
            answer.owner = record.owner.rawValue
            answer.expiresAt = record.expiresAt
            answer.timestamp = record.timestamp
        }
        return answer
    }

    func run(
        _ kind: Command.Kind, _ key: [UInt8], table: TableNumber = 0, by owner: UInt32 = 2,
        value: [UInt8] = [], as valueKind: ValueKind = .json, contentType: UInt16 = 0,
        expiry: Expiry = .never, if condition: Condition = .none
    ) -> Reply {
        key.withUnsafeBytes { key in
            value.withUnsafeBytes { value in
                space.run(
                    Command(
                        kind, Key(table, key, space.hashing), by: Principal(rawValue: owner),
                        value: Value(valueKind, value, contentType: contentType), expiry: expiry,
                        condition: condition), at: now)
            }
        }
    }

    @discardableResult
    func put(
        _ key: String, _ value: String, table: TableNumber = 0, by owner: UInt32 = 2,
        expiry: Expiry = .never, if condition: Condition = .none
    ) -> Answer {
        answer(
            run(
                .put, Array(key.utf8), table: table, by: owner, value: Array(value.utf8),
                expiry: expiry, if: condition))
    }

    func get(_ key: String, table: TableNumber = 0) -> Answer {
        answer(run(.get, Array(key.utf8), table: table))
    }

    @discardableResult
    func delete(
        _ key: String, table: TableNumber = 0, by owner: UInt32 = 2, if condition: Condition = .none
    ) -> Answer {
        answer(run(.delete, Array(key.utf8), table: table, by: owner, if: condition))
    }

    @discardableResult
    func expire(_ key: String, _ expiry: Expiry, by owner: UInt32 = 2) -> Answer {
        answer(run(.expire, Array(key.utf8), by: owner, expiry: expiry))
    }

    // What the keyspace says of itself, where macros can get at it.
    var memoryBytes: Int { space.memoryBytes }
    var liveBytes: Int { space.liveBytes }
    var count: Int { space.count }
    var position: CommitPosition { space.position }
    var changeCount: Int { space.changeCount }
    var nextTendMs: Int64? { space.nextTendMs }
    var lastStamp: Stamp { space.clock.last }

    func count(of table: TableNumber) -> Int { space.count(of: table) }

    @discardableResult
    func tend(_ budget: Int) -> Bool { space.tend(at: now, budget: budget) }

    func clear(_ table: TableNumber, _ budget: Int) -> Int {
        space.clear(table, budget: budget, at: now)
    }

    var happenings: [Happening] {
        (0..<space.changeCount).map {
            let change = space.change($0)
            return Happening(
                kind: change.kind, key: Array(change.record.key), table: change.table,
                version: change.version, stamp: change.stamp, position: change.position,
                value: change.kind == .updated ? Array(change.record.value) : [])
        }
    }

    func list(
        _ table: TableNumber = 0, prefix: String = "", after: [UInt8] = [], limit: Int = .max,
        steps: Int = .max
    ) -> (keys: [[UInt8]], isAtEnd: Bool, last: [UInt8]?) {
        Array(prefix.utf8).withUnsafeBytes { prefix in
            after.withUnsafeBytes { after in
                var page = space.list(table, prefix: prefix, after: after, steps: steps)
                var keys: [[UInt8]] = []
                while keys.count < limit, let record = space.next(&page, at: now) {
                    keys.append(Array(record.key))
                }
                return (keys, page.isAtEnd, page.last.map { Array($0.key) })
            }
        }
    }

    func names(_ table: TableNumber = 0, prefix: String = "") -> [String] {
        list(table, prefix: prefix).keys.map { String(decoding: $0, as: UTF8.self) }
    }
}

/// Numbers that look random and are the same in every run.
struct Dice {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func roll(_ sides: Int) -> Int {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Int((state &* 0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}
