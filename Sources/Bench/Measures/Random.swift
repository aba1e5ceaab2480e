import Glibc

/// Random numbers that a seed repeats (SplitMix64). One for each thread, so that a run asks for
/// the same keys at the same times whatever the machine does.
struct Random {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    @inline(__always)
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// From 0 up to 1, which is never reached.
    @inline(__always)
    mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// From 0 up to the bound, which is never reached.
    @inline(__always)
    mutating func below(_ bound: UInt32) -> UInt32 {
        UInt32(truncatingIfNeeded: ((next() >> 32) &* UInt64(bound)) >> 32)
    }
}

/// Which key the next request is for.
struct KeyChoice {
    enum Distribution: String, CaseIterable { case uniform, zipf, sequential }

    private let distribution: Distribution
    private let count: UInt32
    private let zipf: Zipf
    private var place: UInt32
    private let step: UInt32

    /// Sequential choices of several threads divide the keys: each begins at its own number and
    /// steps over those of the others.
    init(_ distribution: Distribution, count: Int, exponent: Double, thread: Int, threads: Int) {
        self.distribution = distribution
        self.count = UInt32(count)
        zipf = Zipf(count: count, exponent: exponent)
        place = UInt32(thread % count)
        step = UInt32(threads)
    }

    @inline(__always)
    mutating func next(_ random: inout Random) -> UInt32 {
        switch distribution {
        case .uniform: return random.below(count)
        case .zipf: return zipf.next(&random) - 1
        case .sequential:
            let key = place
            place = (place + step) % count
            return key
        }
    }
}

/// Ranks from 1 to `count`, the k-th as often as 1/k^exponent, by rejection from the inverted
/// integral (Hörmann and Derflinger 1996): no table, whatever the number of keys.
struct Zipf {
    private let exponent: Double
    private let count: Double
    private let integralOfFirst: Double
    private let integralOfLast: Double
    private let accepted: Double

    init(count: Int, exponent: Double) {
        self.exponent = exponent
        self.count = Double(count)
        integralOfFirst = Self.integral(1.5, exponent) - 1
        integralOfLast = Self.integral(Double(count) + 0.5, exponent)
        accepted =
            2 - Self.inverse(Self.integral(2.5, exponent) - Self.weight(2, exponent), exponent)
    }

    func next(_ random: inout Random) -> UInt32 {
        while true {
            let area = integralOfLast + random.unit() * (integralOfFirst - integralOfLast)
            let place = Self.inverse(area, exponent)
            let rank = min(max(place.rounded(), 1), count)
            if rank - place <= accepted
                || area >= Self.integral(rank + 0.5, exponent) - Self.weight(rank, exponent)
            {
                return UInt32(rank)
            }
        }
    }

    private static func weight(_ x: Double, _ exponent: Double) -> Double {
        exp(-exponent * log(x))
    }

    /// The integral of x^-exponent, written so that exponents near 1 lose no digits.
    private static func integral(_ x: Double, _ exponent: Double) -> Double {
        let logarithm = log(x)
        let scaled = (1 - exponent) * logarithm
        return (abs(scaled) < 1e-8 ? 1 : expm1(scaled) / scaled) * logarithm
    }

    private static func inverse(_ area: Double, _ exponent: Double) -> Double {
        let scaled = max(area * (1 - exponent), -1)
        return exp((abs(scaled) < 1e-8 ? 1 : log1p(scaled) / scaled) * area)
    }
}
