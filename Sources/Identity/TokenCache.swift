internal import Glibc

/// Who a verified credential speaks for, in the few words that a request needs.
public struct Principal: Equatable, Sendable, BitwiseCopyable {
    /// The user's `sub`.
    public var user: Identifier
    /// The login a token came from (`sid`); of an API key, the key's own identifier.
    public var login: Identifier
    /// The token's `jti`; of an API key, the key's own identifier.
    public var credential: Identifier
    /// `UInt64.max` for an API key without an end.
    public var expiresAtS: UInt64
    /// The keyspace's number for the user, so that an owner check compares two integers.
    public var owner: UInt32
    public var scopes: Scopes

    public init(
        user: Identifier, login: Identifier, credential: Identifier, expiresAtS: UInt64,
        owner: UInt32, scopes: Scopes
    ) {
        self.user = user
        self.login = login
        self.credential = credential
        self.expiresAtS = expiresAtS
        self.owner = owner
        self.scopes = scopes
    }

    public init(_ claims: Claims, owner: UInt32, scopes: Scopes) {
        self.init(
            user: claims.subject, login: claims.login, credential: claims.token,
            expiresAtS: claims.expiresAtS, owner: owner, scopes: scopes)
    }
}

/// One shard's memory of credentials that verified, so that a request costs a hash and a
/// comparison instead of an HMAC.
///
/// Fixed memory: sets of four slots, each with the whole credential in it. A hit is a comparison of
/// every byte, never of a hash alone, so no collision lets anybody in. The hash only chooses the set
/// and is seeded. Only what verified is remembered: an attacker's guesses displace nothing. When a
/// set is full the slot not asked for since the hand last passed goes (CLOCK).
@safe public struct TokenCache: ~Copyable {
    /// Anything shorter can't be a token or a key of ours; the hash reads the last 16 bytes.
    public static let tokenBytesMin = 32
    /// The longest token we issue is under 400 bytes; a longer one is verified each time.
    public static let tokenBytesMax = slotBytes - tokenOffset

    private static let slotBytes = 512
    private static let lengthOffset = 72
    private static let tokenOffset = 80
    private static let ways = 4

    /// What was in force when a verification began. A revocation in between makes it stale, so
    /// that an answer that was on its way can't bring a revoked token back.
    public struct Ticket: Sendable, BitwiseCopyable {
        fileprivate let revocations: UInt64
    }

    private let slots: UnsafeMutableRawPointer
    /// Per slot the hash with its lowest bit set, or zero for a free slot.
    private let tags: UnsafeMutablePointer<UInt64>
    /// Per set: bits 0-3 say which slots were asked for, bits 4-5 are the hand.
    private let clocks: UnsafeMutablePointer<UInt8>
    private let setMask: Int
    private let seed: SipKey
    private var revocations: UInt64 = 0

    public private(set) var count = 0

    /// Room for at least `capacity` credentials, rounded up to a power of two: 521 bytes each,
    /// which the system provides as they are first used. `seed` is random.
    public init(capacity: Int, seed: SipKey) {
        invariant(
            MemoryLayout<Principal>.size <= Self.lengthOffset, "a principal outgrew its slot")
        var sets = 1
        while sets * Self.ways < capacity { sets *= 2 }
        let count = sets * Self.ways
        setMask = sets - 1
        self.seed = seed
        let memory = unsafe calloc(count, Self.slotBytes)
        let tagMemory = unsafe calloc(count, MemoryLayout<UInt64>.stride)
        let clockMemory = unsafe calloc(sets, 1)
        invariant(
            unsafe memory != nil && tagMemory != nil && clockMemory != nil,
            "out of memory for the token cache")
        unsafe slots = memory!
        unsafe tags = tagMemory!.bindMemory(to: UInt64.self, capacity: count)
        unsafe clocks = clockMemory!.bindMemory(to: UInt8.self, capacity: sets)
    }

    deinit {
        for slot in 0..<(setMask + 1) * Self.ways where unsafe tags[slot] != 0 {
            unsafe wipe(slots + slot * Self.slotBytes, Self.slotBytes)
        }
        unsafe free(slots)
        unsafe free(tags)
        unsafe free(clocks)
    }

    public var ticket: Ticket { Ticket(revocations: revocations) }

    /// The principal of a credential that verified before and is in force at `nowS`.
    public mutating func principal(for credential: RawSpan, nowS: UInt64) -> Principal? {
        guard let (set, tag) = place(credential) else { return nil }
        for way in 0..<Self.ways where unsafe tags[set * Self.ways + way] == tag {
            let slot = set * Self.ways + way
            guard isSame(credential, slot) else { continue }
            let principal = principal(at: slot)
            guard nowS < principal.expiresAtS else {
                drop(slot)
                return nil
            }
            unsafe clocks[set] |= 1 << UInt8(way)
            return principal
        }
        return nil
    }

    /// Remembers a credential that verified, was asked for with `ticket`, and isn't revoked.
    public mutating func remember(
        _ credential: RawSpan, as principal: Principal, asOf ticket: Ticket, nowS: UInt64
    ) {
        guard ticket.revocations == revocations, nowS < principal.expiresAtS,
            let (set, tag) = place(credential)
        else { return }
        let slot = set * Self.ways + room(in: set, for: credential, tag: tag, nowS: nowS)
        if unsafe tags[slot] != 0 { drop(slot) }
        let base = unsafe slots + slot * Self.slotBytes
        unsafe base.storeBytes(of: principal, as: Principal.self)
        unsafe base.storeBytes(
            of: UInt32(credential.byteCount), toByteOffset: Self.lengthOffset, as: UInt32.self)
        unsafe credential.withUnsafeBytes { bytes in
            unsafe (base + Self.tokenOffset).copyMemory(
                from: bytes.baseAddress!, byteCount: bytes.count)
        }
        unsafe tags[slot] = tag
        count += 1
    }

    /// Forgets every token of a login that ended.
    public mutating func revoke(login: Identifier) { revoke { $0.login == login } }

    /// Forgets one token (`jti`) or API key.
    public mutating func revoke(credential: Identifier) {
        revoke { $0.credential == credential }
    }

    /// Forgets everything of a user who was shut out or whose secret changed.
    public mutating func revoke(user: Identifier) { revoke { $0.user == user } }

    /// Forgets everything, as when the signing key changes.
    public mutating func revokeAll() { revoke { _ in true } }

    private mutating func revoke(where matches: (Principal) -> Bool) {
        revocations += 1
        for slot in 0..<(setMask + 1) * Self.ways
        where unsafe tags[slot] != 0 && matches(principal(at: slot)) {
            drop(slot)
        }
    }

    private func principal(at slot: Int) -> Principal {
        unsafe (slots + slot * Self.slotBytes).load(as: Principal.self)
    }

    private mutating func drop(_ slot: Int) {
        unsafe wipe(slots + slot * Self.slotBytes, Self.slotBytes)
        unsafe tags[slot] = 0
        unsafe clocks[slot / Self.ways] &= ~(1 << UInt8(slot % Self.ways))
        count -= 1
    }

    /// A credential ends in bits its holder can't choose (a signature, or the key itself), so its
    /// last 16 bytes are enough to spread on.
    @inline(__always)
    private func place(_ credential: RawSpan) -> (set: Int, tag: UInt64)? {
        let length = credential.byteCount
        guard length >= Self.tokenBytesMin, length <= Self.tokenBytesMax else { return nil }
        let first = unsafe credential.unsafeLoadUnaligned(
            fromByteOffset: length - 16, as: UInt64.self)
        let second = unsafe credential.unsafeLoadUnaligned(
            fromByteOffset: length - 8, as: UInt64.self)
        let once = (first ^ seed.low).multipliedFullWidth(by: second ^ seed.high)
        let twice = (once.high ^ once.low ^ UInt64(length)).multipliedFullWidth(
            by: seed.low ^ seed.high | 1)
        let hash = twice.high ^ twice.low
        return (Int(truncatingIfNeeded: hash >> 32) & setMask, hash | 1)
    }

    /// Whether the slot holds exactly these bytes. Reads all of them whatever it finds, so its time
    /// says nothing of a remembered token.
    @inline(__always)
    private func isSame(_ credential: RawSpan, _ slot: Int) -> Bool {
        let base = unsafe slots + slot * Self.slotBytes
        let length = credential.byteCount
        guard
            unsafe base.load(fromByteOffset: Self.lengthOffset, as: UInt32.self) == UInt32(length)
        else { return false }
        let stored = unsafe base + Self.tokenOffset
        return unsafe credential.withUnsafeBytes { bytes in
            let given = bytes.baseAddress!
            var difference = SIMD4<UInt64>(repeating: 0)
            // The last load overlaps the one before, so that no byte needs a loop of its own.
            var offset = 0
            while offset < length {
                let from = min(offset, length - 32)
                let left = unsafe given.loadUnaligned(fromByteOffset: from, as: SIMD4<UInt64>.self)
                let right = unsafe stored.loadUnaligned(
                    fromByteOffset: from, as: SIMD4<UInt64>.self)
                difference |= left ^ right
                offset += 32
            }
            return difference == SIMD4(repeating: 0)
        }
    }

    /// The way of `set` to write to: the same credential's, a free one, an expired one, or the one
    /// that the hand finds unasked for.
    private mutating func room(
        in set: Int, for credential: RawSpan, tag: UInt64, nowS: UInt64
    ) -> Int {
        for way in 0..<Self.ways {
            let slot = set * Self.ways + way
            if unsafe tags[slot] == tag && isSame(credential, slot) { return way }
        }
        for way in 0..<Self.ways {
            let slot = set * Self.ways + way
            if unsafe tags[slot] == 0 || principal(at: slot).expiresAtS <= nowS { return way }
        }
        let clock = unsafe clocks[set]
        var hand = Int(clock >> 4)
        var asked = clock & 15
        while asked >> UInt8(hand) & 1 == 1 {
            asked &= ~(1 << UInt8(hand))
            hand = (hand + 1) % Self.ways
        }
        unsafe clocks[set] = UInt8((hand + 1) % Self.ways) << 4 | asked
        return hand
    }
}
