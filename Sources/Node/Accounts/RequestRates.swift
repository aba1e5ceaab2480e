import Identity
import Machine
import Options

/// How many requests everybody may make, where `--rate` says so.
///
/// One for the node, since somebody's connections may be on any shard: shards look at it under a
/// lock that is held for a few dozen instructions. A node without the option has none, and its
/// shards ask nothing.
final class RequestRates: Sendable {
    /// Users and addresses remembered at a time, 16 bytes each. Past it whoever would recover first
    /// is forgiven.
    private static let principalsMax = 64 * 1024

    private let buckets: Guarded<RateBuckets>

    init(_ rate: Rate) {
        let limit = RateLimit(
            count: UInt64(rate.count), periodS: UInt64(rate.periodS), burst: UInt64(rate.burst))
        guard let limit else { fatalError("the options let through a rate that is none: \(rate)") }
        buckets = Guarded(
            RateBuckets(limit, capacity: Self.principalsMax, seed: Randomness.sipKey()))
    }

    /// Counts one request.
    func take(_ subject: RateSubject, nowNs: UInt64) -> RateVerdict {
        buckets.withLock { $0.take(subject, nowNs: nowNs) }
    }
}
