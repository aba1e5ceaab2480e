import Keyspace
import Testing

@Suite("Loading") struct LoadingTests {
    /// Keys that are hard to tell apart: zeros at their ends, long common beginnings, one the
    /// beginning of another.
    static let hard: [[UInt8]] = {
        var keys: [[UInt8]] = [[1], [255], [255, 255], Array("a".utf8)]
        let starts = [
            [], Array("a".utf8), Array(repeating: 7, count: 8), Array("tenant:0001:".utf8),
        ]
        for start in starts {
            for zeros in 1...20 { keys.append(start + Array(repeating: 0, count: zeros)) }
            for byte: UInt8 in [1, 128, 255] { keys.append(start + [0, 0, byte, 0]) }
        }
        keys += (0..<200).map { Array("tenant:0001:user:\($0)".utf8) }
        keys += (0..<200).map { Array(repeating: 120, count: 1000) + Array("\($0)".utf8) }
        return Array(Set(keys))
    }()

    static func shuffled(_ keys: [[UInt8]], seed: UInt64) -> [[UInt8]] {
        var keys = keys
        var dice = Dice(seed)
        for place in keys.indices { keys.swapAt(place, dice.roll(keys.count)) }
        return keys
    }

    static func inOrder(_ keys: [[UInt8]]) -> [[UInt8]] {
        keys.sorted { $0.lexicographicallyPrecedes($1) }
    }

    @Test(arguments: [0, 1, 100_000]) func `keys come in the order of their bytes`(
        _ expected: Int
    ) throws {
        let shard = try Shard()
        shard.space.beginLoading(expecting: expected)
        for key in Self.shuffled(Self.hard, seed: 1) { _ = shard.run(.put, key) }
        let numbers = (0..<3000).map { Array("key:\($0 * 7919 % 3000)".utf8) }
        for key in numbers { _ = shard.run(.put, key, table: 3) }
        shard.space.finishLoading()
        shard.space.audit()
        #expect(shard.list().keys == Self.inOrder(Self.hard))
        #expect(shard.list(3).keys == Self.inOrder(numbers))
        #expect(shard.list(1).keys.isEmpty)
    }

    @Test(arguments: [0, 1, 3, 7, 8, 9, 12, 15, 16, 17, 24, 40])
    func `keys that all begin alike come in order`(_ shared: Int) throws {
        for expected in [0, 10_000] {
            let shard = try Shard()
            shard.space.beginLoading(expecting: expected)
            let start = (0..<shared).map { UInt8($0 % 5) }
            let keys = Self.hard.map { start + $0 } + (0..<1000).map { start + Array("\($0)".utf8) }
            let taken = keys.filter { $0.count <= Key.bytesMax }
            for key in Self.shuffled(taken, seed: 3) { _ = shard.run(.put, key) }
            shard.space.finishLoading()
            shard.space.audit()
            #expect(shard.list().keys == Self.inOrder(taken))
        }
    }

    @Test func `records of many tables in turns come to their own`() throws {
        let shard = try Shard()
        shard.space.beginLoading(expecting: 3000)
        let keys = (0..<1000).map { Array("key:\($0)".utf8) }
        for (place, key) in Self.shuffled(keys, seed: 4).enumerated() {
            for table: TableNumber in [5, 2, 9] where place % Int(table) != 1 {
                _ = shard.run(.put, key, table: table)
            }
        }
        shard.space.finishLoading()
        shard.space.audit()
        let order = Self.shuffled(keys, seed: 4)
        for table: TableNumber in [5, 2, 9] {
            let its = order.indices.filter { $0 % Int(table) != 1 }.map { order[$0] }
            #expect(shard.list(table).keys == Self.inOrder(its))
        }
    }

    @Test(arguments: [1, 2, 111, 112, 113, 126, 127, 225, 3136, 3137, 20_000])
    func `a table of any size goes on as one that grew`(_ count: Int) throws {
        let shard = try Shard({ $0.segmentBytes = 16 << 10 })
        shard.space.beginLoading(expecting: count)
        let names = (0..<count).map { "key:\($0)" }
        for key in Self.shuffled(names.map { Array($0.utf8) }, seed: 2) {
            _ = shard.run(.put, key)
        }
        shard.space.finishLoading()
        shard.space.audit()
        #expect(shard.names() == names.sorted())
        for name in names { shard.put(name + "+", "1") }
        shard.space.audit()
        #expect(shard.names() == (names + names.map { $0 + "+" }).sorted())
        for name in names { shard.delete(name) }
        while shard.tend(64) {}
        shard.space.audit()
        #expect(shard.names() == names.map { $0 + "+" }.sorted())
    }

    @Test func `what was deleted, moved and grown meanwhile is where it should be`() throws {
        let shard = try Shard({
            $0.segmentBytes = 16 << 10
            $0.tombstonesMax = 50
        })
        shard.space.beginLoading(expecting: 300)
        var dice = Dice(5)
        var there: [String: Int] = [:]
        for step in 0..<20_000 {
            let name = "key:\(dice.roll(500))"
            if dice.roll(4) == 0 {
                shard.delete(name)
                there[name] = nil
            } else {
                let size = dice.roll(30) == 0 ? 9000 : dice.roll(300)
                shard.put(
                    name, String(repeating: "v", count: size),
                    expiry: step % 3 == 0 ? .at(shard.now + 1_000_000) : .never)
                there[name] = size
            }
        }
        shard.space.finishLoading()
        shard.space.audit()
        #expect(shard.names() == there.keys.sorted())
        for (name, size) in there { #expect(shard.get(name).value?.count == size) }
        while shard.tend(64) {}
        shard.space.audit()
    }

    @Test func `as many records come back as there were room for`() throws {
        let change: (inout Keyspace.Settings) -> Void = {
            $0.memoryBytesMax = 16 << 20
            $0.segmentBytes = 64 << 10
        }
        let shard = try Shard(change)
        var count = 0
        while shard.put("\(count)", "1").status == .created { count += 1 }
        let other = try Shard(change)
        other.space.beginLoading(expecting: 1 << 40)
        for number in 0..<count {
            #expect(other.put("\(number)", "1").status == .created, "record \(number) of \(count)")
        }
        other.space.finishLoading()
        other.space.audit()
        #expect(other.count == count)
    }

    @Test func `the oldest make room where not all fit`() throws {
        let shard = try Shard({
            $0.memoryBytesMax = 16 << 20
            $0.segmentBytes = 64 << 10
            $0.eviction = .lru
        })
        shard.space.beginLoading(expecting: 500_000)
        for number in 0..<500_000 { shard.put("\(number)", "1") }
        shard.space.finishLoading()
        shard.space.audit()
        #expect(shard.count > 100_000)
        #expect(shard.get("499999").status == .found)
    }
}
