import Keyspace
import Testing

@Suite("Records: versions, owners, conditions")
struct RecordTests {
    @Test func `a record has the value, version, time and owner it was written with`() throws {
        let shard = try Shard()
        let made = shard.put("city", #""Bern""#, by: 5)
        #expect(made.status == .created)
        #expect(made.version == 1)
        let read = shard.get("city")
        #expect(read.status == .found)
        #expect(read.text == #""Bern""#)
        #expect(read.owner == 5)
        #expect(read.timestamp == shard.now)
        #expect(read.expiresAt == 0)
        #expect(shard.put("city", #""Basel""#, by: 5).version == 2)
        #expect(shard.get("city").text == #""Basel""#)
    }

    @Test func `bytes come back with their content type, other kinds have none`() throws {
        let shard = try Shard()
        let key = Array("logo".utf8)
        _ = shard.run(.put, key, value: [0, 255, 0], as: .bytes, contentType: 513)
        let record = shard.run(.get, key).record
        #expect(record?.kind == .bytes)
        #expect(record?.contentType == 513)
        #expect(record.map { Array($0.value) } == [0, 255, 0])
        _ = shard.run(.put, key, value: [1], as: .list, contentType: 513)
        #expect(shard.run(.get, key).record?.kind == .list)
        #expect(shard.run(.get, key).record?.contentType == 0)
    }

    @Test func `another owner may neither overwrite nor delete nor expire`() throws {
        let shard = try Shard()
        shard.put("mine", "1", by: 5)
        #expect(shard.put("mine", "2", by: 6).status == .notOwner)
        #expect(shard.delete("mine", by: 6).status == .notOwner)
        #expect(shard.expire("mine", .at(shard.now + 1), by: 6).status == .notOwner)
        #expect(shard.put("mine", "2", by: Principal.anonymous.rawValue).status == .notOwner)
        #expect(shard.get("mine").text == "1")
        #expect(shard.happenings.isEmpty)
    }

    @Test func `the system may overwrite anything and the owner stays`() throws {
        let shard = try Shard()
        shard.put("mine", "1", by: 5)
        let answer = shard.put("mine", "2", by: Principal.system.rawValue)
        #expect(answer.status == .updated)
        #expect(answer.owner == 5)
    }

    @Test func `what nobody owns anybody may overwrite, and it stays nobody's`() throws {
        let shard = try Shard()
        shard.put("free", "1", by: Principal.anonymous.rawValue)
        #expect(shard.put("free", "2", by: 9).status == .updated)
        #expect(shard.put("free", "3", by: 8).status == .updated)
        #expect(shard.get("free").owner == Principal.anonymous.rawValue)
    }

    @Test func `once deleted a key can have another owner`() throws {
        let shard = try Shard()
        shard.put("k", "1", by: 5)
        shard.delete("k", by: 5)
        let again = shard.put("k", "2", by: 6)
        #expect(again.status == .created)
        #expect(again.owner == 6)
    }

    @Test func `the version goes on after a delete while the tombstone lives`() throws {
        let shard = try Shard({ $0.tombstoneLifeMs = 1000 })
        shard.put("k", "1")
        shard.put("k", "2")
        #expect(shard.delete("k").version == 3)
        #expect(shard.get("k").status == .missing)
        #expect(shard.put("k", "3").version == 4)
        shard.delete("k")
        shard.now += 1001
        shard.tend(10)
        #expect(shard.put("k", "4").version == 1)
    }

    @Test func `only so many deleted keys are remembered, the oldest go first`() throws {
        let shard = try Shard({ $0.tombstonesMax = 2 })
        for key in ["a", "b", "c"] {
            shard.put(key, "1")
            shard.delete(key)
        }
        #expect(shard.put("a", "2").version == 1)
        #expect(shard.put("c", "2").version == 3)
        shard.space.audit()
    }

    @Test func `of two who create a key only if it is absent, one wins`() throws {
        let shard = try Shard()
        #expect(shard.put("k", "1", by: 5, if: .absent).status == .created)
        let lost = shard.put("k", "2", by: 6, if: .absent)
        #expect(lost.status == .conditionFailed)
        #expect(lost.text == "1")
    }

    @Test func `conditions compare the version or the version and the stamp`() throws {
        let shard = try Shard()
        #expect(shard.put("k", "0", if: .present).status == .conditionFailed)
        #expect(shard.put("k", "0", if: .version(0)).status == .conditionFailed)
        shard.put("k", "1")
        #expect(shard.put("k", "2", if: .version(7)).status == .conditionFailed)
        #expect(shard.put("k", "2", if: .version(1)).status == .updated)
        let stamp = try #require(shard.run(.get, Array("k".utf8)).record?.stamp)
        let other = Stamp(rawValue: stamp.rawValue + 1)
        #expect(shard.delete("k", if: .exactly(2, other)).status == .conditionFailed)
        #expect(shard.delete("k", if: .exactly(2, stamp)).status == .deleted)
    }

    @Test func `equal keys of two tables are two records`() throws {
        let shard = try Shard()
        shard.put("k", "1", table: 0)
        shard.put("k", "2", table: 70_000)
        #expect(shard.get("k", table: 70_000).text == "2")
        shard.delete("k", table: 0)
        #expect(shard.get("k", table: 70_000).text == "2")
        #expect(shard.count(of: 0) == 0)
        #expect(shard.count(of: 70_000) == 1)
        #expect(shard.count(of: 999_999) == 0)
    }

    @Test func `keys from 1 to 1024 bytes are stored, others refused`() throws {
        let shard = try Shard()
        for count in [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 1024] {
            let key = [UInt8](repeating: 7, count: count)
            #expect(shard.run(.put, key, value: [1]).status == .created)
            #expect(shard.run(.get, key).status == .found)
        }
        #expect(shard.run(.put, [UInt8](repeating: 7, count: 1025)).status == .tooLarge)
        #expect(shard.run(.put, []).status == .tooLarge)
        #expect(shard.count == 14)
    }

    @Test func `a value of many segments is kept, replaced and given back`() throws {
        let shard = try Shard({ $0.segmentBytes = 4096 })
        let before = shard.memoryBytes
        let large = [UInt8](repeating: 9, count: 3 << 20)
        let key = Array("film".utf8)
        #expect(shard.run(.put, key, value: large).status == .created)
        #expect(shard.answer(shard.run(.get, key)).value == large)
        #expect(shard.memoryBytes >= before + large.count)
        #expect(shard.run(.put, key, value: large + [1]).status == .updated)
        #expect(shard.run(.get, key).record?.valueCount == large.count + 1)
        shard.space.audit()
        shard.delete("film")
        shard.tend(1)
        #expect(shard.memoryBytes < before + 100_000)
        #expect(shard.put("film", "1").version == 4)
        shard.space.audit()
    }

    @Test func `a table is emptied in steps, and each record's end is told`() throws {
        let shard = try Shard()
        for number in 0..<500 { shard.put("k\(number)", "1", table: 2) }
        shard.put("other", "1", table: 3)
        #expect(shard.clear(2, 200) == 300)
        #expect(shard.happenings.count == 200)
        #expect(shard.happenings.allSatisfy { $0.kind == .deleted })
        while shard.clear(2, 200) > 0 {}
        #expect(shard.names(2).isEmpty)
        #expect(shard.count == 1)
        shard.space.audit()
    }
}

@Suite("Changes and positions")
struct ChangeTests {
    @Test func `each write is a change with the next position, a refusal is none`() throws {
        let shard = try Shard()
        shard.put("k", "1")
        #expect(shard.happenings.map(\.position) == [1])
        #expect(shard.happenings.map(\.kind) == [.updated])
        #expect(shard.happenings.map(\.value) == [Array("1".utf8)])
        shard.put("k", "2", if: .absent)
        #expect(shard.happenings.isEmpty)
        shard.delete("k")
        #expect(shard.happenings.map(\.kind) == [.deleted])
        #expect(shard.happenings.map(\.position) == [2])
        #expect(shard.happenings.map(\.name) == ["k"])
        shard.delete("k")
        #expect(shard.happenings.isEmpty)
        #expect(shard.position == 2)
    }

    @Test func `a write over an expired record tells of the expiry first`() throws {
        let shard = try Shard()
        shard.put("k", "1", by: 5, expiry: .at(shard.now + 10))
        shard.now += 10
        let answer = shard.put("k", "2", by: 6)
        #expect(answer.status == .created)
        #expect(answer.owner == 6)
        #expect(shard.happenings.map(\.kind) == [.expired, .updated])
        #expect(shard.happenings.map(\.version) == [2, 3])
        #expect(shard.happenings.map(\.position) == [0, 2])
        #expect(shard.happenings.map(\.name) == ["k", "k"])
    }
}

@Suite("Stamps")
struct StampTests {
    @Test func `stamps grow when the clock steps back, stands still or leaps`() {
        var clock = HybridClock(origin: 3)
        var last = Stamp(rawValue: 0)
        for now in [1000, 1000, 999, -5, 5000, 4000, Int64.max, 0, 1] {
            let stamp = clock.next(at: now)
            #expect(stamp > last)
            #expect(stamp.origin == 3)
            last = stamp
        }
    }

    @Test func `more writes in a millisecond than the counter holds borrow from the next`() {
        var clock = HybridClock(origin: 0)
        let times = (0..<4097).map { _ in clock.next(at: 50).milliseconds }
        #expect(times.dropLast().allSatisfy { $0 == 50 })
        #expect(times.last == 51)
    }

    @Test func `a peer's stamp is followed, one from the far future is not`() {
        var clock = HybridClock(origin: 1)
        let near = Stamp(milliseconds: 1000 + HybridClock.driftMaxMs, counter: 9, origin: 2)
        let isFollowed = clock.observe(near, at: 1000)
        #expect(isFollowed)
        let next = clock.next(at: 1000)
        #expect(next > near)
        let far = Stamp(milliseconds: 1001 + HybridClock.driftMaxMs, counter: 0, origin: 2)
        let isFarFollowed = clock.observe(far, at: 1000)
        #expect(!isFarFollowed)
        #expect(clock.last < far)
    }
}
