/// How often each value occurred, in buckets that are never wider than 1/128 of their values.
///
/// A percentile is answered with the middle of its bucket, so it is within 0.4 % of what sorting
/// all values would give, whatever their number; minimum, maximum, count and sum are exact.
/// Histograms of several threads or runs are merged by adding their buckets, which averages of
/// percentiles would not survive. Recording touches one counter and allocates nothing.
@safe struct Histogram: ~Copyable {
    /// 128 buckets for each power of two.
    private static let detailBits = 7
    /// Nanoseconds up to 73 minutes. Longer values are counted in the last bucket.
    private static let valueBits = 42
    static let bucketCount = ((valueBits - detailBits) << detailBits) + (1 << detailBits)
    private static let valueMax = UInt64(1) << valueBits - 1

    private let buckets: UnsafeMutablePointer<UInt64>
    private(set) var count: UInt64 = 0
    private(set) var sum: Double = 0
    private(set) var maximum: UInt64 = 0
    private var least = UInt64.max

    init() {
        unsafe buckets = .allocate(capacity: Self.bucketCount)
        unsafe buckets.initialize(repeating: 0, count: Self.bucketCount)
    }

    deinit { unsafe buckets.deallocate() }

    @inline(__always)
    mutating func record(_ value: UInt64) {
        let bucket = unsafe buckets + Self.bucket(of: value)
        unsafe bucket.pointee &+= 1
        count &+= 1
        sum += Double(value)
        if value > maximum { maximum = value }
        if value < least { least = value }
    }

    mutating func merge(_ other: borrowing Histogram) {
        for index in 0..<Self.bucketCount {
            let bucket = unsafe buckets + index
            unsafe bucket.pointee &+= unsafe other.buckets[index]
        }
        count &+= other.count
        sum += other.sum
        maximum = max(maximum, other.maximum)
        least = min(least, other.least)
    }

    var minimum: UInt64 { count == 0 ? 0 : least }

    var mean: Double { count == 0 ? 0 : sum / Double(count) }

    /// The smallest value that at least `share` of all values don't exceed (nearest rank); 0 when
    /// nothing was recorded.
    func percentile(_ share: Double) -> UInt64 {
        guard count > 0 else { return 0 }
        let rank = max(1, UInt64((share * Double(count)).rounded(.up)))
        guard rank < count else { return maximum }
        var seen: UInt64 = 0
        for index in 0..<Self.bucketCount {
            seen &+= unsafe buckets[index]
            if seen >= rank {
                let range = Self.values(ofBucket: index)
                return min(
                    max(range.lowerBound + (range.upperBound - range.lowerBound) / 2, least),
                    maximum)
            }
        }
        return maximum
    }

    /// The buckets that hold anything: their lowest value and how many values they have.
    var occupied: [(value: UInt64, count: UInt64)] {
        (0..<Self.bucketCount).compactMap { index in
            let count = unsafe buckets[index]
            return count == 0 ? nil : (Self.values(ofBucket: index).lowerBound, count)
        }
    }

    /// Below 256 every value has a bucket of its own; above, the leading eight bits choose it.
    @inline(__always)
    static func bucket(of value: UInt64) -> Int {
        let value = min(value, valueMax)
        let shift = max(63 - (value | 1).leadingZeroBitCount - detailBits, 0)
        return (shift << detailBits) + Int(value >> UInt64(shift))
    }

    static func values(ofBucket index: Int) -> ClosedRange<UInt64> {
        let shift = max(index >> detailBits - 1, 0)
        let low = UInt64(index - shift << detailBits) << UInt64(shift)
        return low...(low + (1 << UInt64(shift)) - 1)
    }
}
