import Testing

@testable import Identity

private func principal(_ number: UInt64, expiresAtS: UInt64 = noonS + 3600) -> Principal {
    Principal(
        claims(expiresAtS: expiresAtS, number: number), owner: UInt32(number),
        scopes: [.read, .write])
}

private func cache(capacity: Int = 64) -> TokenCache {
    TokenCache(capacity: capacity, seed: SipKey(low: 0x1234_5678_9abc_def0, high: 42))
}

extension TokenCache {
    fileprivate mutating func asks(_ token: [UInt8], nowS: UInt64 = noonS) -> Principal? {
        principal(for: token.span.bytes, nowS: nowS)
    }

    fileprivate mutating func learns(_ token: [UInt8], _ principal: Principal) {
        remember(token.span.bytes, as: principal, asOf: ticket, nowS: noonS)
    }
}

@Suite("Remembered tokens") struct TokenCacheTests {
    @Test func `knows a token it was told of and no other`() {
        var cache = cache()
        let token = signed(claims())
        #expect(cache.asks(token) == nil)
        cache.learns(token, principal(1))
        #expect(cache.asks(token) == principal(1))
        #expect(cache.asks(signed(claims(number: 2))) == nil)
        #expect(cache.count == 1)
    }

    @Test func `any flipped bit and any other length is another token`() {
        var cache = cache()
        let token = signed(claims())
        cache.learns(token, principal(1))
        for bit in 0..<token.count * 8 {
            var flipped = token
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(cache.asks(flipped) == nil, "bit \(bit)")
        }
        for count in 0..<token.count {
            #expect(cache.asks(Array(token.prefix(count))) == nil)
            #expect(cache.asks(Array(token.suffix(count))) == nil)
        }
        #expect(cache.asks(token + [0]) == nil)
        #expect(cache.asks(token) == principal(1))
    }

    @Test(arguments: [32, 33, 47, 63, 64, 65, 388, 431, 432])
    func `compares every byte of a credential of any length it keeps`(_ count: Int) {
        var cache = cache()
        let token = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        cache.learns(token, principal(1))
        #expect(cache.asks(token) == principal(1))
        for index in 0..<count {
            var changed = token
            changed[index] ^= 0x80
            #expect(cache.asks(changed) == nil, "byte \(index)")
        }
    }

    @Test func `doesn't keep what is too short or too long`() {
        var cache = cache()
        for count in [0, 1, 31, TokenCache.tokenBytesMax + 1, 2048] {
            let token = [UInt8](repeating: 65, count: count)
            cache.learns(token, principal(1))
            #expect(cache.asks(token) == nil)
        }
        #expect(cache.count == 0)
        let longest = signed(claims(name: String(repeating: "n", count: 64)))
        #expect(longest.count <= TokenCache.tokenBytesMax)
        cache.learns(longest, principal(1))
        #expect(cache.asks(longest) == principal(1))
    }

    @Test func `a token ends on its second, remembered or not`() {
        var cache = cache()
        let token = signed(claims())
        cache.learns(token, principal(1))
        #expect(cache.asks(token, nowS: noonS + 3599) == principal(1))
        #expect(cache.asks(token, nowS: noonS + 3600) == nil)
        #expect(cache.count == 0)
        cache.learns(token, principal(1, expiresAtS: noonS))
        #expect(cache.count == 0)
    }

    @Test func `a login that ended takes all its tokens with it and no others`() {
        var cache = cache(capacity: 256)
        var tokens: [[UInt8]] = []
        for number in 0..<UInt64(40) {
            var of = principal(number)
            of.login = identifier(number % 4)
            tokens.append(signed(claims(number: number)))
            cache.learns(tokens[Int(number)], of)
        }
        let held = tokens.indices.filter { cache.asks(tokens[$0]) != nil }
        cache.revoke(login: identifier(3))
        for index in held {
            #expect((cache.asks(tokens[index]) == nil) == (index % 4 == 3), "token \(index)")
        }
    }

    @Test func `revokes one token, one user, everything`() {
        var cache = cache()
        let tokens = (0..<UInt64(3)).map { signed(claims(number: $0)) }
        for (number, token) in tokens.enumerated() {
            cache.learns(token, principal(UInt64(number)))
        }
        cache.revoke(credential: principal(0).credential)
        #expect(tokens.map { cache.asks($0) != nil } == [false, true, true])
        cache.revoke(user: principal(1).user)
        #expect(tokens.map { cache.asks($0) != nil } == [false, false, true])
        cache.revokeAll()
        #expect(tokens.map { cache.asks($0) != nil } == [false, false, false])
        #expect(cache.count == 0)
    }

    @Test func `a verification overtaken by a logout isn't remembered`() {
        var cache = cache()
        let token = signed(claims())
        let ticket = cache.ticket
        cache.revoke(login: principal(1).login)
        cache.remember(token.span.bytes, as: principal(1), asOf: ticket, nowS: noonS)
        #expect(cache.asks(token) == nil)
        cache.learns(token, principal(1))
        #expect(cache.asks(token) != nil)
    }

    @Test func `stays within its memory and gives up what nobody asks for`() {
        var cache = cache(capacity: 64)
        let busy = signed(claims(number: 0))
        cache.learns(busy, principal(0))
        for number in 1...UInt64(5000) {
            #expect(cache.asks(busy) == principal(0), "lost after \(number) others")
            cache.learns(signed(claims(number: number)), principal(number))
        }
        #expect(cache.count <= 64)
        #expect(cache.count > 56)
    }

    @Test func `a token told of twice is kept once, as told last`() {
        var cache = cache()
        let token = signed(claims())
        cache.learns(token, principal(1))
        var changed = principal(1)
        changed.scopes = .read
        cache.learns(token, changed)
        #expect(cache.asks(token) == changed)
        #expect(cache.count == 1)
    }
}
