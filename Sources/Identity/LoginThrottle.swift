/// Slows down whoever guesses secrets.
///
/// Three kinds of bucket, all in fixed memory. Each *address* (an IPv6 one by its /64) may fail so
/// often; each *user* may be failed at so often, from wherever; and each *pair* of a user and an
/// address that once gave the right secret has its own bucket instead of the user's. An attempt is
/// charged when it begins, because many can be under way at once, and refunded when it succeeds.
///
/// So one address that sprays names runs dry itself: at 10 failures a minute it can hold down the
/// buckets of five users, which recover at 2 a minute. And whoever fails at a user from everywhere
/// shuts out only newcomers: the user, coming from where they logged in before, isn't counted in
/// that bucket. A table that is full forgives (`BucketTable`), it never refuses.
public struct LoginThrottle: ~Copyable {
    /// How often one may fail at once, and how long until one more.
    public struct Policy: Sendable, BitwiseCopyable {
        public var userBurst: UInt64
        public var userIntervalS: UInt64
        public var addressBurst: UInt64
        public var addressIntervalS: UInt64

        /// A user: 10, then 2,880 a day: a random 6-digit secret holds half a year on average. An
        /// address: 30, then 10 a minute, room for an office behind one address.
        public static let standard = Policy(
            userBurst: 10, userIntervalS: 30, addressBurst: 30, addressIntervalS: 6)

        public init(
            userBurst: UInt64, userIntervalS: UInt64, addressBurst: UInt64,
            addressIntervalS: UInt64
        ) {
            self.userBurst = max(1, userBurst)
            self.userIntervalS = max(1, userIntervalS)
            self.addressBurst = max(1, addressBurst)
            self.addressIntervalS = max(1, addressIntervalS)
        }
    }

    /// An attempt that was let in. It ends in `succeeded` or `withdrawn`, or stays charged.
    public struct Attempt: Equatable, Sendable, BitwiseCopyable {
        fileprivate let address: UInt64
        fileprivate let user: UInt64
        fileprivate let pair: UInt64
        fileprivate let isKnown: Bool
    }

    public enum Verdict: Equatable, Sendable {
        case attempt(Attempt)
        /// 429, with this many seconds for `Retry-After`.
        case wait(retryAfterS: UInt64)
    }

    /// A pair is remembered this long after its last success.
    public static let pairLifetimeS: UInt64 = 30 * 86_400

    private let seed: SipKey
    private let userShape: BucketTable.Shape
    private let addressShape: BucketTable.Shape
    private var addresses: BucketTable
    /// The buckets of users and of pairs.
    private var users: BucketTable
    /// Pairs that gave the right secret: a debt that lasts until they are forgotten, so that among
    /// eight the one seen longest ago gives way.
    private var known: BucketTable
    private static let knownShape = BucketTable.Shape(
        intervalNs: pairLifetimeS * 1_000_000_000, burst: 1)

    /// Three tables of `capacity` entries of 16 bytes; `seed` is random.
    public init(_ policy: Policy = .standard, capacity: Int = 8192, seed: SipKey) {
        self.seed = seed
        userShape = BucketTable.Shape(
            intervalNs: policy.userIntervalS * 1_000_000_000, burst: policy.userBurst)
        addressShape = BucketTable.Shape(
            intervalNs: policy.addressIntervalS * 1_000_000_000, burst: policy.addressBurst)
        addresses = BucketTable(capacity: capacity)
        users = BucketTable(capacity: capacity)
        known = BucketTable(capacity: capacity)
    }

    /// Charges one attempt at `user` from `address`, or says how long to wait. `nowNs` is monotonic.
    /// An attempt that is told to wait costs nothing, so waiting as told always ends it.
    public mutating func begin(
        _ user: UserName, from address: IPAddress, nowNs: UInt64
    ) -> Verdict {
        let subscriber = address.subscriber
        let userKey = user.hashed(with: seed)
        let addressKey = hashed(subscriber.high, subscriber.low, 1 << 62)
        let pairKey = hashed(userKey, addressKey, 1 << 63)
        let isKnown = known.look(pairKey, Self.knownShape, nowNs: nowNs).resetNs > 0
        let attempt = Attempt(
            address: addressKey, user: userKey, pair: pairKey, isKnown: isKnown)
        let byAddress = addresses.look(addressKey, addressShape, nowNs: nowNs)
        let byUser = users.look(attempt.counted, userShape, nowNs: nowNs)
        guard byAddress.allowed, byUser.allowed else {
            return .wait(retryAfterS: wholeSeconds(max(byAddress.retryNs, byUser.retryNs)))
        }
        _ = addresses.take(addressKey, addressShape, nowNs: nowNs)
        _ = users.take(attempt.counted, userShape, nowNs: nowNs)
        return .attempt(attempt)
    }

    /// The secret was right: the user's bucket is full again, the address gets back only what this
    /// attempt cost, so that one known secret doesn't buy guesses at others.
    public mutating func succeeded(_ attempt: Attempt, nowNs: UInt64) {
        addresses.giveBack(attempt.address, addressShape, nowNs: nowNs)
        users.fill(attempt.counted, nowNs: nowNs)
        known.fill(attempt.pair, nowNs: nowNs)
        _ = known.take(attempt.pair, Self.knownShape, nowNs: nowNs)
    }

    /// The secret was never judged (the queue of hashes was full, the client went away).
    public mutating func withdrawn(_ attempt: Attempt, nowNs: UInt64) {
        addresses.giveBack(attempt.address, addressShape, nowNs: nowNs)
        users.giveBack(attempt.counted, userShape, nowNs: nowNs)
    }

    private func hashed(_ first: UInt64, _ second: UInt64, _ kind: UInt64) -> UInt64 {
        var hasher = SipHash(seed)
        hasher.mix(first)
        hasher.mix(second)
        return hasher.finish(kind)
    }
}

extension LoginThrottle.Attempt {
    /// The bucket that stands for the user in this attempt.
    fileprivate var counted: UInt64 { isKnown ? pair : user }
}
