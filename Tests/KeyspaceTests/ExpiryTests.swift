import Keyspace
import Testing

@Suite("Expiry")
struct ExpiryTests {
    @Test func `a record is invisible from its time on, before anybody took it out`() throws {
        let shard = try Shard()
        shard.put("k", "1", expiry: .at(shard.now + 100))
        #expect(shard.get("k").expiresAt == shard.now + 100)
        shard.now += 99
        #expect(shard.get("k").status == .found)
        #expect(shard.names() == ["k"])
        shard.now += 1
        #expect(shard.get("k").status == .missing)
        #expect(shard.names().isEmpty)
        #expect(shard.delete("k").status == .missing)
    }

    @Test(arguments: [1, 15, 16, 17, 4095, 4096, 70_000, 1_048_576, 5_000_000_000, 90_000_000_000])
    func `a record is taken out soon after its time, however far that is`(_ ahead: Int64) throws {
        let shard = try Shard()
        let start = shard.now
        shard.put("k", "1", expiry: .at(start + ahead))
        var wakes = 0
        // A loop that sleeps until it is told to look again.
        while shard.count > 0, wakes < 10_000 {
            shard.now = max(shard.now, shard.nextTendMs ?? .max)
            shard.tend(100)
            wakes += 1
        }
        #expect(shard.happenings.map(\.kind) == [.expired])
        #expect(shard.now >= start + ahead)
        #expect(shard.now <= start + ahead + 32)
        #expect(wakes < 100)
        #expect(shard.nextTendMs == nil)
    }

    @Test func `nothing is taken out early when the clock steps, and nothing is forgotten`() throws
    {
        let shard = try Shard()
        let start = shard.now
        for number in 0..<2000 {
            shard.put("k\(number)", "1", expiry: .at(start + 1_000_000 + Int64(number) * 977))
        }
        var dice = Dice(3)
        for _ in 0..<3000 {
            shard.now += Int64(dice.roll(20_000)) - 9_000
            while shard.tend(50) {}
            for happening in shard.happenings {
                let number = try #require(Int(happening.name.dropFirst()))
                #expect(start + 1_000_000 + Int64(number) * 977 <= shard.now)
            }
        }
        shard.space.audit()
        shard.now = start + 4_000_000
        while shard.tend(50) {}
        #expect(shard.count == 0)
    }

    @Test func `many records due at once go a few at a time`() throws {
        let shard = try Shard({ $0.tombstonesMax = 100_000 })
        for number in 0..<20_000 { shard.put("k\(number)", "1", expiry: .at(shard.now + 500)) }
        shard.now += 1000
        var turns = 0
        var expired = 0
        while shard.count > 0 {
            shard.tend(100)
            #expect(shard.changeCount <= 100)
            expired += shard.changeCount
            turns += 1
        }
        #expect(expired == 20_000)
        #expect(turns >= 200 && turns < 400)
        shard.space.audit()
    }

    @Test func `overwriting with new expiries leaves nothing behind`() throws {
        let shard = try Shard()
        let before = shard.memoryBytes
        for turn in 0..<100_000 {
            shard.put("k", "1", expiry: .at(shard.now + Int64(turn % 7777) * 60_000 + 1))
        }
        #expect(shard.memoryBytes - before <= 300 << 10)
        shard.space.audit()
    }

    @Test func `an expiry is kept, changed and taken away as asked`() throws {
        let shard = try Shard()
        shard.put("k", "1", expiry: .at(shard.now + 100))
        #expect(shard.put("k", "2", expiry: .keep).expiresAt == shard.now + 100)
        #expect(shard.expire("k", .at(shard.now + 200)).expiresAt == shard.now + 200)
        let kept = shard.expire("k", .never)
        #expect(kept.expiresAt == 0)
        #expect(kept.text == "2")
        #expect(kept.version == 4)
        #expect(shard.expire("k", .keep).expiresAt == 0)
        shard.now += 1000
        #expect(shard.get("k").text == "2")
        #expect(shard.expire("absent", .never).status == .missing)
        shard.put("k", "3", expiry: .at(shard.now + 5))
        #expect(shard.put("k", "4").expiresAt == 0)
    }

    @Test func `a time that is past makes a record that is gone at once`() throws {
        let shard = try Shard()
        #expect(shard.put("k", "1", expiry: .at(0)).status == .created)
        #expect(shard.get("k").status == .missing)
        _ = shard.space.tend(at: shard.now + 16, budget: 10)
        #expect(shard.happenings.map(\.kind) == [.expired])
    }
}
