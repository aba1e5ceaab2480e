import Machine
import Testing

@Suite("Block pool") struct BlockPoolTests {
    private let capacity = 64

    private func pool() throws -> BlockPool {
        try BlockPool.make(byteCountMax: capacity * BlockPool.blockBytes)
    }

    @Test func `the last quarter is for those who hold nothing yet`() throws {
        var pool = try pool()
        var taken = 0
        while pool.take(isFirst: false) != nil { taken += 1 }
        let isExhausted = pool.isExhausted
        #expect(taken == 48 && isExhausted)
        while pool.take(isFirst: true) != nil { taken += 1 }
        let used = pool.used
        #expect(taken == capacity && used == capacity)
    }

    @Test func `no block is handed out twice, and each has its own memory`() throws {
        var pool = try pool()
        var taken: Set<UInt32> = []
        while let block = pool.take(isFirst: true) {
            #expect(taken.insert(block).inserted)
            let bytes = pool.bytes(of: block)
            bytes[0] = UInt8(block)
            bytes[BlockPool.blockBytes - 1] = UInt8(block)
        }
        #expect(taken.count == capacity)
        for block in taken {
            let bytes = pool.bytes(of: block)
            #expect(bytes[0] == UInt8(block) && bytes[BlockPool.blockBytes - 1] == UInt8(block))
        }
    }

    @Test func `what was given back last is warm and is taken first`() throws {
        var pool = try pool()
        let first = pool.take(isFirst: true)
        let second = pool.take(isFirst: true)
        pool.give(first!)
        let third = pool.take(isFirst: true)
        #expect(third == first)
        pool.give(first!)
        pool.give(second!)
        let fourth = pool.take(isFirst: true)
        let used = pool.used
        #expect(fourth == second && used == 1)
    }

    @Test func `what slow readers held goes back to the kernel once it was not needed for a while`()
        throws
    {
        var pool = try pool()
        var taken: [UInt32] = []
        while let block = pool.take(isFirst: true) {
            pool.bytes(of: block)[100] = 1
            taken.append(block)
        }
        let full = pool.mayGiveBack
        #expect(!full, "all of it is in use")
        for block in taken.dropLast(10) { pool.give(block) }
        // All were in use since the last look, which is the first.
        let first = pool.giveBack(most: 1000)
        #expect(!first && taken.allSatisfy { pool.bytes(of: $0)[100] == 1 })
        let second = pool.giveBack(most: 20)
        let third = pool.giveBack(most: 1000)
        let more = pool.mayGiveBack
        #expect(second && !third && !more)
        let kept = taken.filter { pool.bytes(of: $0)[100] == 1 }
        #expect(
            kept == Array(taken.dropFirst(50).prefix(4)) + taken.suffix(10), "the last, and used")
        // One that is taken again and given back has its memory again.
        var again: [UInt32] = []
        for _ in 0..<20 {
            guard let block = pool.take(isFirst: true) else { break }
            pool.bytes(of: block)[100] = 2
            again.append(block)
        }
        for block in again { pool.give(block) }
        let used = pool.mayGiveBack
        #expect(used && again.count == 20)
        _ = pool.giveBack(most: 1000)
        _ = pool.giveBack(most: 1000)
        #expect(again.count { pool.bytes(of: $0)[100] == 2 } == 4)
    }

    @Test func `exhausted ends as soon as blocks come back`() throws {
        var pool = try pool()
        var taken: [UInt32] = []
        while let block = pool.take(isFirst: true) { taken.append(block) }
        for block in taken.prefix(17) { pool.give(block) }
        let isExhausted = pool.isExhausted
        let canTake = pool.canTake(isFirst: false)
        #expect(!isExhausted && canTake)
    }
}
