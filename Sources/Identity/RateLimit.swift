/// So many requests a period, so many of them at once.
public struct RateLimit: Equatable, Sendable, BitwiseCopyable {
    /// Requests a period.
    public let count: UInt64
    public let periodS: UInt64
    public let burst: UInt64

    /// More than this is no limit, and keeps every product below in 64 bits.
    public static let countMax: UInt64 = 1_000_000

    /// 100 a minute, 10 at once.
    public static let standard = RateLimit(count: 100, periodS: 60, burst: 10)!

    /// nil outside 1...`countMax`.
    public init?(count: UInt64, periodS: UInt64, burst: UInt64) {
        let bounds = 1...Self.countMax
        guard bounds.contains(count), bounds.contains(burst), (1...86_400).contains(periodS) else {
            return nil
        }
        self.count = count
        self.periodS = periodS
        self.burst = burst
    }

    var shape: BucketTable.Shape {
        BucketTable.Shape(intervalNs: periodS * 1_000_000_000 / count, burst: burst)
    }
}

/// Who a rate is counted for.
public enum RateSubject: Sendable, BitwiseCopyable {
    case user(Identifier)
    /// Nobody: by address, an IPv6 one by its /64, which is what one subscriber has.
    case address(IPAddress)
}

/// What one request may do, and the numbers for its `RateLimit-*` headers.
public struct RateVerdict: Equatable, Sendable, BitwiseCopyable {
    public let allowed: Bool
    /// `RateLimit-Limit`: what a full bucket holds.
    public let limit: UInt64
    /// `RateLimit-Remaining`.
    public let remaining: UInt64
    /// `RateLimit-Reset`: seconds until the bucket is full.
    public let resetS: UInt64
    /// `Retry-After`: seconds until one more is allowed; zero where this one was.
    public let retryAfterS: UInt64
}

/// Token buckets, one a principal.
public struct RateBuckets: ~Copyable {
    private var table: BucketTable
    private let seed: SipKey
    private let shape: BucketTable.Shape

    /// `capacity` buckets of 16 bytes; `seed` is random. Past it the one that would recover first
    /// is forgiven.
    public init(_ limit: RateLimit, capacity: Int, seed: SipKey) {
        table = BucketTable(capacity: capacity)
        self.seed = seed
        shape = limit.shape
    }

    /// Counts one request. `nowNs` is monotonic.
    public mutating func take(_ subject: RateSubject, nowNs: UInt64) -> RateVerdict {
        let key =
            switch subject {
            case .user(let user): hashed(user.high, user.low, 1)
            case .address(let address): hashed(address.subscriber.high, address.subscriber.low, 2)
            }
        let level = table.take(key, shape, nowNs: nowNs)
        return RateVerdict(
            allowed: level.allowed, limit: shape.burst, remaining: level.remaining,
            resetS: wholeSeconds(level.resetNs),
            retryAfterS: level.allowed ? 0 : wholeSeconds(level.retryNs))
    }

    private func hashed(_ first: UInt64, _ second: UInt64, _ kind: UInt64) -> UInt64 {
        var hasher = SipHash(seed)
        hasher.mix(first)
        hasher.mix(second)
        return hasher.finish(kind)
    }
}

/// Rounded up: who waits that long is let in.
func wholeSeconds(_ ns: UInt64) -> UInt64 { (ns + 999_999_999) / 1_000_000_000 }
