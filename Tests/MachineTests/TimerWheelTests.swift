import Testing

@testable import Machine

@Suite("Timer wheel") struct TimerWheelTests {
    /// What has fired by `nowMs`, in order.
    private func fired(_ wheel: inout TimerWheel, at nowMs: UInt64) -> [UInt32] {
        wheel.advance(to: nowMs)
        var ids: [UInt32] = []
        while let id = wheel.nextExpired() { ids.append(id) }
        return ids
    }

    @Test func `fires at the deadline or less than a tick after it`() throws {
        for deadline in [1001, 1004, 1007, 1008, 1009, 5000, 60_003, 3_600_001] as [UInt64] {
            var wheel = try TimerWheel(capacity: 1, nowMs: 1000)
            wheel.schedule(0, at: deadline)
            #expect(fired(&wheel, at: deadline - 1) == [])
            #expect(fired(&wheel, at: deadline + TimerWheel.tickMs - 1) == [0])
            #expect(wheel.isScheduled(0) == false)
        }
    }

    @Test func `fires in the order of the deadlines`() throws {
        var wheel = try TimerWheel(capacity: 5, nowMs: 0)
        for (id, deadline) in [900, 70_000, 30, 5_000_000, 400].enumerated() {
            wheel.schedule(UInt32(id), at: UInt64(deadline))
        }
        #expect(fired(&wheel, at: 10_000_000) == [2, 4, 0, 1, 3])
    }

    @Test func `a moved deadline fires once, at its new time`() throws {
        var wheel = try TimerWheel(capacity: 2, nowMs: 0)
        wheel.schedule(1, at: 100)
        wheel.schedule(1, at: 900)
        #expect(wheel.scheduledCount == 1)
        #expect(fired(&wheel, at: 800) == [])
        wheel.schedule(1, at: 850)
        #expect(fired(&wheel, at: 856) == [1])
        #expect(fired(&wheel, at: 2000) == [])
    }

    @Test func `a cancelled deadline never fires, even when it was already due`() throws {
        var wheel = try TimerWheel(capacity: 3, nowMs: 0)
        for id in 0..<3 as Range<UInt32> { wheel.schedule(id, at: 50) }
        wheel.cancel(0)
        wheel.cancel(0)
        wheel.advance(to: 1000)
        wheel.cancel(1)
        let taken = [wheel.nextExpired(), wheel.nextExpired()]
        #expect(taken == [2, nil])
        #expect(wheel.scheduledCount == 0)
        #expect(wheel.nextDeadlineMs == nil)
    }

    @Test func `a deadline in the past fires at the next tick and not in the same round`() throws {
        var wheel = try TimerWheel(capacity: 1, nowMs: 800)
        wheel.schedule(0, at: 816)
        wheel.advance(to: 816)
        var rounds = 0
        while let id = wheel.nextExpired() {
            wheel.schedule(id, at: 3)
            rounds += 1
        }
        #expect(rounds == 1)
        #expect(wheel.nextDeadlineMs == 824)
        #expect(fired(&wheel, at: 824) == [0])
    }

    @Test func `a clock that stands still or goes back fires nothing`() throws {
        var wheel = try TimerWheel(capacity: 1, nowMs: 5000)
        wheel.schedule(0, at: 5016)
        for now in [5000, 5000, 4000, 0, 5015] as [UInt64] {
            #expect(fired(&wheel, at: now) == [])
        }
        #expect(fired(&wheel, at: 5016) == [0])
    }

    @Test func `a clock that jumps by days fires everything at once`() throws {
        var wheel = try TimerWheel(capacity: 1000, nowMs: 77)
        for id in 0..<1000 as Range<UInt32> { wheel.schedule(id, at: 77 + UInt64(id) * 700_000) }
        #expect(fired(&wheel, at: 77 + 86_400_000 * 30).count == 1000)
        wheel.schedule(5, at: 86_400_000 * 31)
        #expect(fired(&wheel, at: 86_400_000 * 31 - 1) == [])
        #expect(fired(&wheel, at: 86_400_000 * 31) == [5])
    }

    @Test func `never is a deadline too`() throws {
        var wheel = try TimerWheel(capacity: 2, nowMs: 1)
        wheel.schedule(0, at: .max)
        wheel.schedule(1, at: .max - 1)
        #expect(fired(&wheel, at: 1 << 50) == [])
        #expect(fired(&wheel, at: .max) == [])
        wheel.cancel(0)
        wheel.cancel(1)
        #expect(wheel.nextDeadlineMs == nil)
    }

    @Test func `a minute's timeout costs a sleeper three wake-ups at most`() throws {
        for start in stride(from: 3, to: 400_000, by: 7919) as StrideTo<UInt64> {
            var wheel = try TimerWheel(capacity: 1, nowMs: start)
            wheel.schedule(0, at: start + 60_000)
            var wakeups = 0
            while let next = wheel.nextDeadlineMs {
                _ = fired(&wheel, at: next)
                wakeups += 1
            }
            #expect(wakeups <= 3)
        }
    }

    @Test func `an owner with a later true deadline pushes it on when the old one fires`() throws {
        var wheel = try TimerWheel(capacity: 1, nowMs: 0)
        var trueDeadline: UInt64 = 1000
        wheel.schedule(0, at: trueDeadline)
        var touches = 0
        var closedAt: UInt64?
        for now in stride(from: 0, through: 20_000, by: 8) as StrideThrough<UInt64> {
            if now <= 10_000 { trueDeadline = now + 1000 }
            for id in fired(&wheel, at: now) {
                if trueDeadline > now {
                    wheel.schedule(id, at: trueDeadline)
                    touches += 1
                } else {
                    closedAt = now
                }
            }
        }
        #expect(closedAt == 11_000)
        #expect(touches <= 11)
    }

    /// Random operations against a plain array of deadlines: the same ids fire, none early, none
    /// late, and the sleeper is never told to sleep past one.
    @Test(arguments: [(1, 20_000), (7, 100_000), (300, 300_000), (20_000, 100_000)])
    func `behaves like a sorted list of deadlines`(capacity: Int, operations: Int) throws {
        var random = SplitMix(state: UInt64(capacity))
        var now: UInt64 = 123_456_789
        var wheel = try TimerWheel(capacity: capacity, nowMs: now)
        var deadlines = [UInt64?](repeating: nil, count: capacity)
        var scheduled = 0
        let tick = TimerWheel.tickMs
        for _ in 0..<operations {
            let id = Int(random.below(UInt64(capacity)))
            switch random.below(10) {
            case 0...4:
                let span: UInt64 = [0, 20, 500, 5_000, 300_000, 90_000_000][Int(random.below(6))]
                let deadline = now + random.below(span + 1)
                // One that has passed is due at the next tick, as the wheel promises.
                scheduled += deadlines[id] == nil ? 1 : 0
                deadlines[id] = max((deadline + tick - 1) / tick, now / tick + 1) * tick
                wheel.schedule(UInt32(id), at: deadline)
            case 5...6:
                scheduled -= deadlines[id] == nil ? 0 : 1
                deadlines[id] = nil
                wheel.cancel(UInt32(id))
            default:
                let span: UInt64 = [1, 30, 30, 400, 4_000, 200_000][Int(random.below(6))]
                now += random.below(span)
                var last: UInt64 = 0
                for id in fired(&wheel, at: now) {
                    let due = try #require(deadlines[Int(id)])
                    try #require(due <= now && due >= last)
                    last = due
                    deadlines[Int(id)] = nil
                    scheduled -= 1
                }
                // A walk over many entries takes a while: done now and then.
                if random.below(UInt64(capacity)) > 10 { break }
                let earliest = deadlines.lazy.compactMap(\.self).min()
                try #require((earliest ?? .max) > now)
                if let earliest {
                    let next = wheel.nextDeadlineMs ?? .max
                    try #require(next <= earliest && next > now)
                } else {
                    try #require(wheel.nextDeadlineMs == nil)
                }
            }
            let isScheduled = wheel.isScheduled(UInt32(id))
            try #require(isScheduled == (deadlines[id] != nil))
            try #require(wheel.scheduledCount == scheduled)
        }
    }
}

/// Random numbers that are the same in every run.
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    mutating func below(_ bound: UInt64) -> UInt64 { next() % bound }
}
