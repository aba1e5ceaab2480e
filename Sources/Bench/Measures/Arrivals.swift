import Glibc

/// When requests are meant to be sent in an open loop, whatever the server does.
///
/// Latency is counted from these moments. A generator that waited for the server and counted from
/// the actual send would leave out just those requests that a stall held up.
struct Arrivals {
    enum Kind: String, CaseIterable { case poisson, even }

    private let kind: Kind
    private let gapNs: Double
    private let startNs: UInt64
    private var offsetNs: Double
    private var random: Random

    /// The moment of the next request, of the monotonic clock.
    private(set) var nextNs: UInt64

    /// One thread's share of `perSecond` requests, which all threads have together. Even arrivals
    /// of several threads interleave; Poisson ones add up to Poisson by themselves.
    init(
        _ kind: Kind, perSecond: Double, thread: Int, threads: Int, startNs: UInt64,
        random: Random
    ) {
        self.kind = kind
        gapNs = 1e9 * Double(threads) / perSecond
        self.startNs = startNs
        self.random = random
        offsetNs = kind == .even ? Double(thread) * 1e9 / perSecond : 0
        nextNs = startNs
        if kind == .poisson { advance() } else { nextNs = startNs + UInt64(offsetNs) }
    }

    mutating func advance() {
        switch kind {
        case .even: offsetNs += gapNs
        case .poisson: offsetNs += -log(1 - random.unit()) * gapNs
        }
        nextNs = startNs + UInt64(offsetNs)
    }
}
