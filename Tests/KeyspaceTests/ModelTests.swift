import Glibc
import Keyspace
import Testing

/// The keyspace as a stranger would write it down: one dictionary, no memory to care for.
struct Model {
    struct Name: Hashable, Comparable {
        var table: TableNumber
        var key: [UInt8]

        static func < (one: Name, other: Name) -> Bool {
            if one.table != other.table { return one.table < other.table }
            return one.key.lexicographicallyPrecedes(other.key)
        }
    }

    struct Entry {
        var value: [UInt8]
        var version: UInt64
        var owner: UInt32
        var expiresAt: Int64
        var stamp: Stamp
    }

    struct Grave {
        var name: Name
        var stamp: Stamp
        var sinceMs: Int64
    }

    var live: [Name: Entry] = [:]
    var buried: [Name: (version: UInt64, stamp: Stamp)] = [:]
    var graves: [Grave] = []
    var gravesMax: Int
    var lifeMs: Int64

    mutating func bury(_ name: Name, version: UInt64, stamp: Stamp, at now: Int64) {
        live[name] = nil
        while graves.count >= gravesMax { forgetOldest() }
        buried[name] = (version, stamp)
        graves.append(Grave(name: name, stamp: stamp, sinceMs: now))
    }

    mutating func forgetOldest() {
        let grave = graves.removeFirst()
        if buried[grave.name]?.stamp == grave.stamp { buried[grave.name] = nil }
    }

    mutating func expireIfDue(_ name: Name, at now: Int64) -> Bool {
        guard let entry = live[name], entry.expiresAt != 0, entry.expiresAt <= now
        else { return false }
        bury(name, version: entry.version + 1, stamp: entry.stamp, at: now)
        return true
    }

    func visible(_ name: Name, at now: Int64) -> Entry? {
        guard let entry = live[name], entry.expiresAt == 0 || entry.expiresAt > now
        else { return nil }
        return entry
    }

    func answer(_ status: Reply.Status, _ entry: Entry?) -> Answer {
        var answer = Answer(status: status)
        if let entry {
            answer.value = entry.value
            answer.version = entry.version
            answer.owner = entry.owner
            answer.expiresAt = entry.expiresAt
            answer.timestamp = entry.stamp.milliseconds
        }
        return answer
    }

    func refusal(_ name: Name, by owner: UInt32, _ condition: Condition, at now: Int64) -> Answer? {
        let entry = visible(name, at: now)
        if condition == .absent { return entry == nil ? nil : answer(.conditionFailed, entry) }
        if let entry, entry.owner != owner, entry.owner != 0, owner != 1 {
            return answer(.notOwner, entry)
        }
        switch condition {
        case .none, .absent: return nil
        case .present: return entry == nil ? answer(.conditionFailed, nil) : nil
        case .version(let version):
            return entry?.version == version ? nil : answer(.conditionFailed, entry)
        case .exactly(let version, let stamp):
            return entry?.version == version && entry?.stamp == stamp
                ? nil : answer(.conditionFailed, entry)
        }
    }
}

/// How one run of the model test is set up.
struct ModelRun: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var seed: UInt64
    var segmentBytes: Int
    var memoryBytesMax = 0
    var eviction = Eviction.none
    var keys = 3000
    var valueMax = 900
    var tombstonesMax = 500

    static let all = [
        ModelRun(testDescription: "no limit, tiny segments", seed: 1, segmentBytes: 4096),
        ModelRun(
            testDescription: "few keys, large values", seed: 2, segmentBytes: 8192, keys: 200,
            valueMax: 30_000),
        ModelRun(
            testDescription: "a limit that refuses", seed: 3, segmentBytes: 4096,
            memoryBytesMax: 1_000_000),
        ModelRun(
            testDescription: "a limit that evicts", seed: 4, segmentBytes: 4096,
            memoryBytesMax: 1_000_000, eviction: .lru),
        ModelRun(
            testDescription: "many small keys", seed: 5, segmentBytes: 16_384, keys: 30_000,
            valueMax: 40, tombstonesMax: 4000),
    ]
}

/// Commands by chance against both, every answer and every change compared.
struct Duel {
    let shard: Shard
    var model: Model
    var dice: Dice
    let run: ModelRun
    var lastStamp = Stamp(rawValue: 0)
    var lastPosition: CommitPosition = 0
    var refusedForMemory = 0
    var evicted = 0
    var expired = 0
    var mismatch: String?

    init(_ run: ModelRun) throws {
        self.run = run
        shard = try Shard({
            $0.segmentBytes = run.segmentBytes
            $0.memoryBytesMax = run.memoryBytesMax
            $0.eviction = run.eviction
            $0.tombstonesMax = run.tombstonesMax
            $0.tombstoneLifeMs = 60_000
        })
        model = Model(gravesMax: run.tombstonesMax, lifeMs: 60_000)
        dice = Dice(run.seed)
    }

    mutating func fail(_ what: String) {
        if mismatch == nil { mismatch = what }
    }

    mutating func step(_ number: Int) {
        let now = shard.now
        let pick = dice.roll(run.keys)
        let name = Model.Name(
            table: TableNumber(dice.roll(8) == 0 ? 3 : 0),
            key: Array((pick % 7 == 0 ? "user:\(pick)" : "key:\(pick)").utf8))
        let owner: UInt32 = [2, 2, 2, 2, 2, 2, 3, 3, 0, 1][dice.roll(10)]
        switch dice.roll(100) {
        case 0..<40: put(name, owner, now)
        case 40..<60:
            let answer = shard.answer(shard.run(.get, name.key, table: name.table))
            let entry = model.visible(name, at: now)
            compare("get", name, answer, model.answer(entry == nil ? .missing : .found, entry))
        case 60..<75: delete(name, owner, now)
        case 75..<80: expire(name, owner, now)
        case 80..<84: list(now)
        case 84..<94: tend(now)
        case 94..<99: shard.now += Int64(dice.roll(2000))
        default:
            // The clock steps, in either direction.
            shard.now += Int64(dice.roll(120_000)) - 60_000
        }
        if number % 20_000 == 0 { shard.space.audit() }
        if run.memoryBytesMax > 0, shard.memoryBytes > run.memoryBytesMax {
            fail("\(shard.memoryBytes) bytes are over the limit")
        }
    }

    mutating func compare(_ what: String, _ name: Model.Name, _ is: Answer, _ should: Answer) {
        guard `is` != should else { return }
        let key = String(decoding: name.key, as: UTF8.self)
        fail("\(what) \(name.table)/\(key): answered \(`is`), expected \(should)")
    }

    /// Takes in what the shard says it removed by itself and compares the rest.
    mutating func settle(_ expected: [(Change.Kind, Model.Name)], at now: Int64) {
        var expected = expected[...]
        for happening in shard.happenings {
            let name = Model.Name(table: happening.table, key: happening.key)
            if happening.kind == .expired {
                if happening.position != 0 { fail("an expiry was logged") }
            } else {
                lastPosition += 1
                if happening.position != lastPosition { fail("a position was skipped") }
            }
            if happening.kind == .updated || happening.kind == .deleted {
                if happening.stamp <= lastStamp { fail("a stamp went back") }
                lastStamp = happening.stamp
            }
            if happening.kind == .evicted {
                guard model.live[name] != nil else {
                    fail("a record was evicted that wasn't there")
                    continue
                }
                model.live[name] = nil
                evicted += 1
                continue
            }
            guard let next = expected.first, next.0 == happening.kind, next.1 == name else {
                fail("\(happening.kind) of \(happening.name) was not expected")
                continue
            }
            expected.removeFirst()
        }
        if !expected.isEmpty { fail("a change was not told: \(expected)") }
    }

    mutating func put(_ name: Model.Name, _ owner: UInt32, _ now: Int64) {
        let value = [UInt8](repeating: UInt8(dice.roll(256)), count: dice.roll(run.valueMax))
        let current = model.live[name]
        let condition: Condition =
            switch dice.roll(12) {
            case 0: .absent
            case 1: .present
            case 2: .version(current?.version ?? 1)
            case 3: .version(77)
            case 4:
                .exactly(current?.version ?? 1, current?.stamp ?? Stamp(rawValue: 5))
            default: .none
            }
        let expiry: Expiry =
            switch dice.roll(10) {
            case 0, 1: .at(now + Int64(dice.roll(20_000)))
            case 2: .keep
            case 3: .at(now - 5)
            default: .never
            }
        let reply = shard.run(
            .put, name.key, table: name.table, by: owner, value: value, expiry: expiry,
            if: condition)
        let answer = shard.answer(reply)
        let stamp = reply.record?.stamp ?? Stamp(rawValue: 0)
        var expected: [(Change.Kind, Model.Name)] = []
        if model.expireIfDue(name, at: now) {
            expired += 1
            expected.append((.expired, name))
        }
        if let refusal = model.refusal(name, by: owner, condition, at: now) {
            compare("put", name, answer, refusal)
            return settle(expected, at: now)
        }
        if answer.status == .outOfMemory {
            refusedForMemory += 1
            if run.memoryBytesMax == 0 { fail("refused without a limit") }
            return settle(expected, at: now)
        }
        let old = model.live[name]
        let entry = Model.Entry(
            value: value, version: (old?.version ?? model.buried[name]?.version ?? 0) + 1,
            owner: old?.owner ?? owner,
            expiresAt: {
                switch expiry {
                case .never: 0
                case .keep: old?.expiresAt ?? 0
                case .at(let time): time
                }
            }(), stamp: stamp)
        compare("put", name, answer, model.answer(old == nil ? .created : .updated, entry))
        if reply.position != lastPosition + UInt64(logged) { fail("a reply's position is wrong") }
        expected.append((.updated, name))
        settle(expected, at: now)
        model.buried[name] = nil
        model.live[name] = entry
    }

    var logged: Int { shard.happenings.filter { $0.kind != .expired }.count }

    mutating func delete(_ name: Model.Name, _ owner: UInt32, _ now: Int64) {
        let reply = shard.run(.delete, name.key, table: name.table, by: owner)
        var expected: [(Change.Kind, Model.Name)] = []
        if model.expireIfDue(name, at: now) {
            expired += 1
            expected.append((.expired, name))
        }
        if let refusal = model.refusal(name, by: owner, .none, at: now) {
            compare("delete", name, shard.answer(reply), refusal)
        } else if let entry = model.live[name] {
            if reply.status != .deleted { fail("a record was not deleted: \(reply.status)") }
            let stamp = reply.record?.stamp ?? Stamp(rawValue: 0)
            expected.append((.deleted, name))
            model.bury(name, version: entry.version + 1, stamp: stamp, at: now)
        } else if reply.status != .missing {
            fail("deleting nothing answered \(reply.status)")
        }
        settle(expected, at: now)
    }

    mutating func expire(_ name: Model.Name, _ owner: UInt32, _ now: Int64) {
        let until = dice.roll(4) == 0 ? Expiry.never : .at(now + Int64(dice.roll(30_000)))
        let reply = shard.run(.expire, name.key, table: name.table, by: owner, expiry: until)
        let answer = shard.answer(reply)
        let stamp = reply.record?.stamp ?? Stamp(rawValue: 0)
        var expected: [(Change.Kind, Model.Name)] = []
        if model.expireIfDue(name, at: now) {
            expired += 1
            expected.append((.expired, name))
        }
        if let refusal = model.refusal(name, by: owner, .none, at: now) {
            compare("expire", name, answer, refusal)
        } else if answer.status == .outOfMemory {
            if run.memoryBytesMax == 0 { fail("refused without a limit") }
        } else if var entry = model.live[name] {
            entry.version += 1
            entry.stamp = stamp
            entry.expiresAt = if case .at(let time) = until { time } else { 0 }
            compare("expire", name, answer, model.answer(.updated, entry))
            expected.append((.updated, name))
            model.live[name] = entry
        } else {
            compare("expire", name, answer, model.answer(.missing, nil))
        }
        settle(expected, at: now)
    }

    mutating func list(_ now: Int64) {
        guard dice.roll(20) == 0 else { return }
        let table: TableNumber = dice.roll(4) == 0 ? 3 : 0
        let prefix = ["", "user:", "key:1", "zzz"][dice.roll(4)]
        let after = dice.roll(2) == 0 ? "" : "key:\(dice.roll(run.keys))"
        let limit = 1 + dice.roll(300)
        let page = shard.list(table, prefix: prefix, after: Array(after.utf8), limit: limit)
        let all = model.live.keys.filter {
            $0.table == table && $0.key.starts(with: prefix.utf8)
                && Array(after.utf8).lexicographicallyPrecedes($0.key)
                && model.visible($0, at: now) != nil
        }.sorted()
        let should = all.prefix(limit).map(\.key)
        if page.keys != should {
            fail("list prefix \(prefix) after \(after): \(page.keys.count) for \(should.count)")
        }
    }

    mutating func tend(_ now: Int64) {
        _ = shard.space.tend(at: now, budget: 1 + dice.roll(64))
        // Which due records were taken out, and whose tombstones were forgotten, is the shard's
        // choice within its budget; that they were due is checked.
        var expected: [(Change.Kind, Model.Name)] = []
        for happening in shard.happenings where happening.kind == .expired {
            let name = Model.Name(table: happening.table, key: happening.key)
            if !model.expireIfDue(name, at: now) { fail("a record expired that was not due") }
            expired += 1
            expected.append((.expired, name))
        }
        settle(expected, at: now)
        while model.graves.count > shard.space.tombstoneEntries {
            guard let oldest = model.graves.first, oldest.sinceMs + model.lifeMs <= now else {
                return fail("a tombstone was forgotten before its time")
            }
            model.forgetOldest()
        }
    }
}

@Suite("Keyspace against a dictionary")
struct ModelTests {
    /// `NEEDLETAIL_SOAK=1` runs the long form.
    static let steps = getenv("NEEDLETAIL_SOAK") != nil ? 1_000_000 : 40_000

    @Test(arguments: ModelRun.all)
    func `answers as a dictionary would, whatever is asked`(_ run: ModelRun) throws {
        var duel = try Duel(run)
        for number in 1...ModelTests.steps {
            duel.step(number)
            if let mismatch = duel.mismatch {
                Issue.record("step \(number): \(mismatch)")
                return
            }
        }
        duel.shard.space.audit()
        #expect(duel.expired > 0)
        if run.eviction == .lru { #expect(duel.evicted > 0) }
        if run.memoryBytesMax > 0, run.eviction == .none { #expect(duel.refusedForMemory > 0) }
        #expect(duel.shard.count == duel.model.live.count)
    }
}
