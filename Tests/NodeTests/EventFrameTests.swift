import Testing

@testable import Node

@Suite struct `Frames` {
    @Test func `what a crowd needed is freed once it was not needed for a while`() {
        var pool = FramePool()
        var freed = 0
        for size in [100, 1000] {
            let frames = (0..<300).map { _ in pool.make(size) }
            for frame in frames { pool.release(frame) }
        }
        let none = pool.giveBack(most: 1000, freed: &freed)
        #expect(!none && freed == 0, "all of them were in use since the last look")
        let some = pool.giveBack(most: 500, freed: &freed)
        #expect(some && freed == 500)
        let rest = pool.giveBack(most: 1000, freed: &freed)
        let more = pool.mayGiveBack
        // 4 KiB of each size stay, and half a megabyte of one was kept at all.
        #expect(!rest && !more && freed > 530 && freed < 560)
    }

    @Test func `frames that are needed again and again stay`() {
        var pool = FramePool()
        var freed = 0
        for _ in 0..<10 {
            let frames = (0..<100).map { _ in pool.make(100) }
            for frame in frames { pool.release(frame) }
            _ = pool.giveBack(most: 1000, freed: &freed)
        }
        #expect(freed == 0)
        _ = pool.giveBack(most: 1000, freed: &freed)
        #expect(freed > 80 && freed < 100)
    }
}
