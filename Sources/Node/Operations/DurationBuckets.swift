/// Buckets for durations from a microsecond to seconds whose widths grow with what they hold: four
/// to each doubling, so that a quantile read from them is at most a quarter off.
///
/// A bucket holds what is above the bound before it and up to its own, as Prometheus counts.
enum DurationBuckets {
    /// The first bound is 1,024 ns. Turns that find nothing to do are shorter.
    private static let firstExponent = 10
    /// The last bound is 8.6 s; what took longer is beside all bounds.
    private static let lastExponent = 33
    private static let stepBits = 2

    static let count = (lastExponent - firstExponent) << stepBits + 2

    static func index(ofNs ns: UInt64) -> Int {
        // Bounds belong to the bucket below them.
        let value = ns &- (ns > 0 ? 1 : 0)
        guard value >> UInt64(firstExponent) > 0 else { return 0 }
        let exponent = 63 &- value.leadingZeroBitCount
        guard exponent < lastExponent else { return count - 1 }
        let step = Int(truncatingIfNeeded: value >> UInt64(exponent &- stepBits)) & 3
        return (exponent &- firstExponent) << stepBits &+ step &+ 1
    }

    /// The longest duration a bucket holds; nil for the last, which has no bound.
    static func boundNs(_ index: Int) -> UInt64? {
        guard index < count - 1 else { return nil }
        let exponent = UInt64(firstExponent + index >> stepBits)
        let step = UInt64(index & 3)
        return (4 + step) << (exponent - UInt64(stepBits))
    }

    /// A bound that so large a part of what was counted does not exceed; 0 where nothing was. What
    /// exceeds every bound is told as the last.
    static func quantileNs(_ part: Double, of counts: [UInt64]) -> UInt64 {
        let total = counts.reduce(0, &+)
        guard total > 0 else { return 0 }
        let wanted = max(1, UInt64((Double(total) * part).rounded(.up)))
        var seen: UInt64 = 0
        for (index, count) in counts.enumerated() {
            seen &+= count
            if seen >= wanted { return boundNs(index) ?? boundNs(self.count - 2) ?? 0 }
        }
        return 0
    }
}
