import Testing

@testable import Machine

@Suite("A queue of slots") struct IndexQueueTests {
    private func rest(_ queue: inout IndexQueue) -> [UInt32] {
        var seen: [UInt32] = []
        while let index = queue.popFirst() { seen.append(index) }
        return seen
    }

    /// Wherever the queue begins in its room, also where it fills all of it.
    @Test(arguments: 0..<6, 0...7)
    func `the last few go before the others, in their order`(_ start: Int, _ few: Int) throws {
        for count in 0...6 {
            var queue = try IndexQueue(capacity: 6)
            for _ in 0..<start {
                queue.append(99)
                _ = queue.popFirst()
            }
            let all = (0..<UInt32(count)).map { $0 }
            for index in all { queue.append(index) }
            queue.bringForward(few)
            #expect(queue.count == count)
            let seen = rest(&queue)
            #expect(few < count ? seen == all.suffix(few) + all.dropLast(few) : seen == all)
        }
    }
}
