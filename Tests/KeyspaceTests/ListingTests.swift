import Keyspace
import Testing

@Suite("Listing")
struct ListingTests {
    @Test func `keys come in the order of their bytes`() throws {
        let shard = try Shard()
        let keys: [[UInt8]] = [
            [0], [0, 0], [0, 255], Array("a".utf8), Array("a\0".utf8), Array("ab".utf8),
            Array("b".utf8), [128], [255], [255, 255],
        ]
        for key in keys.reversed() { _ = shard.run(.put, key) }
        #expect(shard.list().keys == keys)
        shard.space.audit()
    }

    @Test(arguments: [0, 1, 2])
    func `pages follow each other without gap or repetition`(_ order: Int) throws {
        let shard = try Shard()
        var dice = Dice(9)
        var names = (0..<5000).map { "tenant:0001:user:\($0)" } + (0..<3000).map { "x\($0)" }
        switch order {
        case 0: names.sort()
        case 1: names.sort(by: >)
        default:
            for place in names.indices { names.swapAt(place, dice.roll(names.count)) }
        }
        for name in names { shard.put(name, "1") }
        shard.space.audit()
        var seen: [[UInt8]] = []
        while true {
            let page = shard.list(prefix: "tenant:", after: seen.last ?? [], limit: 137)
            seen += page.keys
            if page.keys.count < 137 { break }
        }
        let should = names.filter { $0.hasPrefix("tenant:") }.map { Array($0.utf8) }
        #expect(seen == should.sorted { $0.lexicographicallyPrecedes($1) })
    }

    @Test func `a cursor may name a key that is gone or never was`() throws {
        let shard = try Shard()
        for name in ["a", "c", "e"] { shard.put(name, "1") }
        #expect(shard.list(after: Array("b".utf8)).keys == [Array("c".utf8), Array("e".utf8)])
        shard.delete("c")
        #expect(shard.list(after: Array("c".utf8)).keys == [Array("e".utf8)])
        #expect(shard.list(after: Array("e".utf8)).keys.isEmpty)
        #expect(shard.list(prefix: "c", after: Array("zz".utf8)).keys.isEmpty)
        #expect(shard.list(prefix: "e", after: Array("a".utf8)).keys == [Array("e".utf8)])
        #expect(shard.list(99).isAtEnd)
    }

    @Test func `a page over expired records ends where its steps do and says so`() throws {
        let shard = try Shard()
        for number in 100..<200 { shard.put("k\(number)", "1", expiry: .at(shard.now + 1)) }
        shard.put("z", "1")
        shard.now += 5
        let page = shard.list(steps: 40)
        #expect(page.keys.isEmpty)
        #expect(!page.isAtEnd)
        #expect(page.last == Array("k139".utf8))
        #expect(shard.list(after: page.last ?? [], steps: 100).keys == [Array("z".utf8)])
    }

    @Test func `deleting nine of ten in any order leaves a small and right listing`() throws {
        let shard = try Shard({
            $0.tombstonesMax = 10
            $0.segmentBytes = 16 << 10
        })
        var dice = Dice(4)
        var names = (0..<20_000).map { "key:\($0)" }
        for name in names { shard.put(name, "1") }
        let full = shard.memoryBytes
        for place in names.indices { names.swapAt(place, dice.roll(names.count)) }
        for name in names.dropFirst(2000) { shard.delete(name) }
        while shard.tend(64) {}
        shard.space.audit()
        #expect(shard.names() == names.prefix(2000).sorted())
        #expect(shard.memoryBytes < full * 2 / 3)
        for name in names.prefix(2000) { shard.delete(name) }
        shard.space.audit()
        #expect(shard.names().isEmpty)
    }
}

@Suite("Walking a shard")
struct WalkTests {
    @Test func `what is there all the time is visited, whatever else comes and goes`() throws {
        let shard = try Shard()
        for number in 0..<20_000 { shard.put("stay:\(number)", "1") }
        var seen = Set<String>()
        var cursor: UInt64 = 0
        var isMore = true
        var turn = 0
        while isMore {
            isMore = shard.space.walk(&cursor) {
                seen.insert(String(decoding: Array($0.key), as: UTF8.self))
            }
            // Pages split under the walk, and join.
            for number in 0..<1000 { shard.put("come:\(turn):\(number)", "1") }
            if turn > 5 {
                for number in 0..<1000 { shard.delete("come:\(turn - 5):\(number)") }
            }
            turn += 1
        }
        #expect(turn > 20)
        #expect((0..<20_000).allSatisfy { seen.contains("stay:\($0)") })
    }
}
