import Keyspace
import Testing

@Suite("Memory")
struct MemoryTests {
    @Test func `with no eviction writes are refused at the limit, and reads and deletes go on`()
        throws
    {
        let shard = try Shard({
            $0.memoryBytesMax = 4 << 20
            $0.segmentBytes = 64 << 10
        })
        let value = String(repeating: "v", count: 1000)
        var stored = 0
        while shard.put("k\(stored)", value).status == .created { stored += 1 }
        #expect(stored > 2000)
        #expect(shard.memoryBytes <= 4 << 20)
        #expect(shard.get("k0").text == value)
        #expect(shard.put("k1", value).status == .updated)
        #expect(shard.put("another", value).status == .outOfMemory)
        #expect(shard.get("another").status == .missing)
        for number in 0..<200 { #expect(shard.delete("k\(number)").status == .deleted) }
        #expect(shard.put("another", value).status == .created)
        shard.space.audit()
    }

    @Test func `a refused overwrite leaves the old value`() throws {
        let shard = try Shard({
            $0.memoryBytesMax = 4 << 20
            $0.segmentBytes = 64 << 10
        })
        shard.put("k", "small")
        #expect(shard.put("k", String(repeating: "v", count: 5 << 20)).status == .outOfMemory)
        #expect(shard.get("k").text == "small")
        #expect(shard.get("k").version == 1)
        #expect(shard.happenings.isEmpty)
    }

    @Test func `with lru what is used stays and what is not goes`() throws {
        let shard = try Shard({
            $0.memoryBytesMax = 4 << 20
            $0.segmentBytes = 64 << 10
            $0.eviction = .lru
        })
        let value = String(repeating: "v", count: 500)
        for number in 0..<100 { shard.put("hot\(number)", value) }
        var evicted = 0
        for number in 0..<30_000 {
            #expect(shard.put("cold\(number)", value).status == .created)
            evicted += shard.happenings.filter { $0.kind == .evicted }.count
            _ = shard.get("hot\(number % 100)")
            if number % 50 == 0 {
                shard.tend(32)
                evicted += shard.changeCount
            }
            if shard.memoryBytes > 4 << 20 { Issue.record("over the limit") }
        }
        let hot = (0..<100).filter { shard.get("hot\($0)").status == .found }.count
        let oldest = (0..<1000).filter { shard.get("cold\($0)").status == .found }.count
        #expect(hot >= 95)
        #expect(oldest <= 20)
        #expect(evicted + shard.count == 30_100)
        shard.space.audit()
    }

    @Test func `values of any size keep the garbage bounded`() throws {
        let shard = try Shard({ $0.segmentBytes = 16 << 10 })
        var dice = Dice(11)
        for _ in 0..<100_000 {
            let value = String(repeating: "v", count: dice.roll(dice.roll(10) == 0 ? 3000 : 300))
            shard.put("k\(dice.roll(5000))", value)
        }
        #expect(Double(shard.memoryBytes) < Double(shard.liveBytes) * 1.35)
        shard.space.audit()
    }

    @Test func `an address space that is used up refuses and goes on`() throws {
        let shard = try Shard({
            $0.segmentBytes = 4096
            $0.addressBytes = 1 << 20
        })
        let value = String(repeating: "v", count: 500)
        var stored = 0
        while shard.put("k\(stored)", value).status == .created { stored += 1 }
        #expect(stored > 1000)
        for number in 0..<stored { #expect(shard.get("k\(number)").status == .found) }
        shard.space.audit()
        for number in 0..<500 { shard.delete("k\(number)") }
        while shard.tend(64) {}
        #expect(shard.put("again", value).status == .created)
    }
}

@Suite("Replay")
struct ReplayTests {
    /// What a change says, kept as the journal would.
    struct Logged {
        var happening: Happening
        var created: Stamp
        var owner: Principal
        var expiresAt: Int64
    }

    static func apply(_ logged: Logged, to shard: Shard) -> Keyspace.Applied {
        let happening = logged.happening
        return happening.key.withUnsafeBytes { key in
            happening.value.withUnsafeBytes { value in
                shard.space.apply(
                    Incoming(
                        Key(happening.table, key, shard.space.hashing), Value(.json, value),
                        version: happening.version, stamp: happening.stamp,
                        created: logged.created, owner: logged.owner,
                        expiresAt: logged.expiresAt, isTombstone: happening.kind == .deleted),
                    at: shard.now, isLogged: false)
            }
        }
    }

    @Test(arguments: [1, 2, 3])
    func `a log replayed in any order and twice over gives the same records`(
        _ seed: UInt64
    ) throws {
        let shard = try Shard({ $0.segmentBytes = 4096 })
        var dice = Dice(seed)
        var log: [Logged] = []
        for _ in 0..<5000 {
            let key = "k\(dice.roll(300))"
            switch dice.roll(4) {
            case 0: shard.delete(key)
            case 1: shard.expire(key, .at(shard.now + 1_000_000))
            default: shard.put(key, "\(dice.roll(1 << 30))", by: 5)
            }
            for number in 0..<shard.changeCount {
                let record = shard.space.change(number).record
                log.append(
                    Logged(
                        happening: shard.happenings[number], created: record.created,
                        owner: record.owner, expiresAt: record.expiresAt))
            }
            shard.now += 1
        }
        let other = try Shard(seed: 99)
        other.now = shard.now
        for place in log.indices { log.swapAt(place, dice.roll(log.count)) }
        for logged in log { _ = ReplayTests.apply(logged, to: other) }
        for logged in log { #expect(ReplayTests.apply(logged, to: other) == .stale) }
        for number in 0..<300 {
            #expect(other.get("k\(number)") == shard.get("k\(number)"))
        }
        #expect(other.names() == shard.names())
        #expect(other.lastStamp == shard.lastStamp)
        #expect(other.position == 0)
        other.space.audit()
    }

    @Test func `an eviction is replayed unless the key was written since`() throws {
        let shard = try Shard()
        shard.put("k", "1")
        let first = try #require(shard.run(.get, Array("k".utf8)).record?.stamp)
        shard.put("k", "2")
        Array("k".utf8).withUnsafeBytes {
            shard.space.forget(Key(0, $0, shard.space.hashing), upTo: first)
        }
        #expect(shard.get("k").text == "2")
        Array("k".utf8).withUnsafeBytes {
            shard.space.forget(Key(0, $0, shard.space.hashing), upTo: shard.lastStamp)
        }
        #expect(shard.get("k").status == .missing)
        shard.space.audit()
    }
}
