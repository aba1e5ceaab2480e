import Testing

@testable import Identity

private let seed = SipKey(low: 11, high: 22)

extension LoginThrottle {
    /// A wrong guess: nil when it was let in, or the seconds to wait.
    fileprivate mutating func guesses(
        _ user: String, from: String, at nowS: UInt64
    ) -> UInt64? {
        switch begin(name(user), from: address(from), nowNs: nowS * second) {
        case .attempt: nil
        case .wait(let retryAfterS): retryAfterS
        }
    }

    fileprivate mutating func logsIn(_ user: String, from: String, at nowS: UInt64) -> Bool {
        guard
            case .attempt(let attempt) = begin(
                name(user), from: address(from), nowNs: nowS * second)
        else { return false }
        succeeded(attempt, nowNs: nowS * second)
        return true
    }
}

@Suite("Login throttle") struct LoginThrottleTests {
    @Test func `ten wrong guesses at a user, then one every 30 s, from wherever`() {
        var throttle = LoginThrottle(seed: seed)
        for guess in 0..<10 {
            #expect(throttle.guesses("alice", from: "10.0.0.\(guess)", at: 1000) == nil)
        }
        #expect(throttle.guesses("alice", from: "10.0.1.1", at: 1000) == 30)
        #expect(throttle.guesses("alice", from: "10.0.1.1", at: 1029) == 1)
        #expect(throttle.guesses("bob", from: "10.0.1.1", at: 1029) == nil)
        #expect(throttle.guesses("alice", from: "10.0.1.1", at: 1030) == nil)
        #expect(throttle.guesses("alice", from: "10.0.1.1", at: 1030) == 30)
    }

    @Test func `waiting as long as told is always enough`() {
        var throttle = LoginThrottle(seed: seed)
        var nowS: UInt64 = 5
        var letIn = 0
        for _ in 0..<1000 {
            if let wait = throttle.guesses("alice", from: "10.0.0.1", at: nowS) {
                nowS += wait
                #expect(throttle.guesses("alice", from: "10.0.0.1", at: nowS) == nil)
            }
            letIn += 1
        }
        #expect(letIn == 1000)
        #expect(nowS > 500 * 30)
    }

    @Test func `an address that sprays names runs dry itself and shuts nobody out`() {
        var throttle = LoginThrottle(seed: seed)
        var letIn = 0
        for number in 0..<100_000 {
            let nowS = 1000 + UInt64(number / 1000)
            if throttle.guesses("user\(number % 499)", from: "10.0.0.1", at: nowS) == nil {
                letIn += 1
            }
        }
        #expect(letIn <= 30 + 100 / 6 + 1)
        for number in 0..<499 {
            let from = "10.1.\(number / 250).\(number % 250)"
            #expect(throttle.logsIn("user\(number)", from: from, at: 1100) == true, "user\(number)")
        }
    }

    @Test func `an IPv6 attacker's 2^64 addresses are one`() {
        var throttle = LoginThrottle(seed: seed)
        for number in 0..<30 {
            #expect(throttle.guesses("u\(number)", from: "2001:db8::\(number)", at: 9) == nil)
        }
        #expect(throttle.guesses("v", from: "2001:db8:0:0:ffff::1", at: 9) == 6)
        #expect(throttle.guesses("v", from: "2001:db8:0:1::1", at: 9) == nil)
    }

    @Test func `success clears the user and refunds the address only this attempt`() {
        var throttle = LoginThrottle(seed: seed)
        for _ in 0..<9 { #expect(throttle.guesses("alice", from: "10.0.0.1", at: 50) == nil) }
        #expect(throttle.logsIn("alice", from: "10.0.0.1", at: 50) == true)
        for _ in 0..<10 { #expect(throttle.guesses("alice", from: "10.0.0.2", at: 50) == nil) }
        for number in 0..<21 {
            #expect(throttle.guesses("x\(number)", from: "10.0.0.1", at: 50) == nil)
        }
        #expect(throttle.guesses("y", from: "10.0.0.1", at: 50) == 6)
    }

    @Test func `one's own right secret doesn't buy guesses at others`() {
        var throttle = LoginThrottle(seed: seed)
        var guesses = 0
        for number in 0..<1000 {
            _ = throttle.logsIn("mallory", from: "10.0.0.1", at: 50)
            if throttle.guesses("u\(number)", from: "10.0.0.1", at: 50) == nil { guesses += 1 }
        }
        #expect(guesses == 30)
    }

    @Test func `a user under attack still logs in from where they were before`() {
        var throttle = LoginThrottle(seed: seed)
        #expect(throttle.logsIn("alice", from: "192.0.2.7", at: 10) == true)
        for number in 0..<200 {
            _ = throttle.guesses("alice", from: "10.0.\(number).1", at: 3600)
        }
        #expect(throttle.guesses("alice", from: "198.51.100.1", at: 3600) != nil)
        #expect(throttle.logsIn("alice", from: "192.0.2.7", at: 3600) == true)
    }

    @Test func `from there, too, guessing has an end`() {
        var throttle = LoginThrottle(seed: seed)
        #expect(throttle.logsIn("alice", from: "192.0.2.7", at: 10) == true)
        for _ in 0..<10 { #expect(throttle.guesses("alice", from: "192.0.2.7", at: 20) == nil) }
        #expect(throttle.guesses("alice", from: "192.0.2.7", at: 20) == 30)
    }

    @Test func `attempts under way are counted before they are judged`() {
        var throttle = LoginThrottle(seed: seed)
        var underWay: [LoginThrottle.Attempt] = []
        for _ in 0..<10_000 {
            if case .attempt(let attempt) = throttle.begin(
                name("alice"), from: address("10.0.0.1"), nowNs: second)
            {
                underWay.append(attempt)
            }
        }
        #expect(underWay.count == 10)
        for attempt in underWay { throttle.withdrawn(attempt, nowNs: second) }
        for _ in 0..<10 { #expect(throttle.guesses("alice", from: "10.0.0.1", at: 1) == nil) }
    }

    @Test func `a table that overflows forgives, and never refuses a newcomer`() {
        var throttle = LoginThrottle(capacity: 64, seed: seed)
        for number in 0..<20_000 {
            let from = "10.\(number / 65_536).\(number / 256 % 256).\(number % 256)"
            #expect(throttle.guesses("user\(number)", from: from, at: 77) == nil)
        }
    }
}

@Suite("Rates") struct RateTests {
    @Test func `a rate out of all measure is none`() {
        #expect(RateLimit(count: 0, periodS: 60, burst: 1) == nil)
        #expect(RateLimit(count: 1, periodS: 0, burst: 1) == nil)
        #expect(RateLimit(count: 1, periodS: 60, burst: 0) == nil)
        #expect(RateLimit(count: 1_000_001, periodS: 1, burst: 1) == nil)
        #expect(RateLimit(count: 1_000_000, periodS: 86_400, burst: 1_000_000) != nil)
    }

    @Test func `lets a burst through, then the rate, and says how long`() {
        var buckets = RateBuckets(.standard, capacity: 64, seed: seed)
        let alice = RateSubject.user(identifier(1))
        for left in (0..<10).reversed() {
            let verdict = buckets.take(alice, nowNs: 5 * second)
            #expect(verdict.allowed)
            #expect(verdict.remaining == UInt64(left))
            #expect(verdict.limit == 10)
        }
        let refused = buckets.take(alice, nowNs: 5 * second)
        #expect(!refused.allowed)
        #expect(refused.retryAfterS == 1)
        #expect(refused.resetS == 6)
        #expect(buckets.take(.user(identifier(2)), nowNs: 5 * second).allowed == true)
        #expect(buckets.take(alice, nowNs: 5 * second + 600_000_000).allowed == true)
        #expect(buckets.take(alice, nowNs: 5 * second + 600_000_000).allowed == false)
    }

    @Test func `over an hour exactly the rate is let through`() {
        var buckets = RateBuckets(.standard, capacity: 64, seed: seed)
        var allowed = 0
        for tick in 0..<UInt64(36_000) {
            if buckets.take(.user(identifier(1)), nowNs: second + tick * second / 10).allowed {
                allowed += 1
            }
        }
        #expect(allowed == 10 + 5999)
    }

    @Test func `refusals cost nothing, so a stubborn client isn't shut out for good`() {
        var buckets = RateBuckets(.standard, capacity: 64, seed: seed)
        for _ in 0..<1000 { _ = buckets.take(.user(identifier(1)), nowNs: second) }
        #expect(buckets.take(.user(identifier(1)), nowNs: second + 600_000_000).allowed == true)
    }

    @Test func `a clock that went back locks nobody out for longer than a full bucket`() {
        var buckets = RateBuckets(.standard, capacity: 64, seed: seed)
        for _ in 0..<10 { _ = buckets.take(.user(identifier(1)), nowNs: 1_000_000 * second) }
        #expect(buckets.take(.user(identifier(1)), nowNs: second).retryAfterS <= 1)
    }

    @Test func `an address and a user of the same bits are two`() {
        var buckets = RateBuckets(
            RateLimit(count: 1, periodS: 60, burst: 1)!, capacity: 64, seed: seed)
        let bits = Identifier(high: 1, low: 0)
        #expect(buckets.take(.user(bits), nowNs: second).allowed == true)
        #expect(buckets.take(.address(IPAddress(high: 1, low: 0)), nowNs: second).allowed == true)
        #expect(buckets.take(.address(IPAddress(high: 1, low: 9)), nowNs: second).allowed == false)
    }

    @Test func `in a crowded table whoever owes most stays`() {
        var buckets = RateBuckets(.standard, capacity: 8, seed: seed)
        for _ in 0..<20 { _ = buckets.take(.user(identifier(0)), nowNs: second) }
        for other in 1..<UInt64(1000) {
            #expect(buckets.take(.user(identifier(other)), nowNs: second).allowed == true)
        }
        #expect(buckets.take(.user(identifier(0)), nowNs: second).allowed == false)
    }

    /// The reference implementation's vectors, key 00…0f: the empty message and eight bytes.
    @Test func `SipHash is the reference's`() {
        let key = SipKey(low: 0x0706_0504_0302_0100, high: 0x0f0e_0d0c_0b0a_0908)
        #expect(SipHash(key).finish(0) == 0x726f_db47_dd0e_0e31)
        var eight = SipHash(key)
        eight.mix(0x0706_0504_0302_0100)
        #expect(eight.finish(8 << 56) == 0x93f5_f579_9a93_2462)
        var fifteen = SipHash(key)
        fifteen.mix(0x0706_0504_0302_0100)
        #expect(fifteen.finish(0x0f0e_0d0c_0b0a_0908) == 0xa129_ca61_49be_45e5)
    }
}
