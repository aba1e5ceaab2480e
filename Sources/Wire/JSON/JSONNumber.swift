/// JSON numbers that have to be exact: counters are added to, and above 2^53 a double would lose
/// what the client sent.
public enum JSONNumber {
    @frozen
    public enum Integer: Equatable, Sendable {
        case exact(Int64)
        /// An integer, but outside of 64 bits.
        case overflow
        /// Not a JSON number, or one with a fraction or an exponent, whatever its value.
        case notInteger
    }

    /// Reads the whole of `raw`, which may have no white space around it. `-0` is 0.
    public static func integer(_ raw: UnsafeRawBufferPointer) -> Integer {
        var at = 0
        let isNegative = unsafe raw.first == 0x2D
        if isNegative { at = 1 }
        guard at < raw.count else { return .notInteger }
        if unsafe raw[at] == 0x30, at + 1 < raw.count { return .notInteger }
        // Summed below zero, where there is room for one more than above it.
        var sum: Int64 = 0
        var overflowed = false
        while at < raw.count {
            let digit = unsafe raw[at] &- 0x30
            guard digit < 10 else { return .notInteger }
            let (tens, lost) = sum.multipliedReportingOverflow(by: 10)
            let (next, lostToo) = tens.subtractingReportingOverflow(Int64(digit))
            overflowed = overflowed || lost || lostToo
            sum = next
            at += 1
        }
        if overflowed { return .overflow }
        if isNegative { return .exact(sum) }
        return sum == .min ? .overflow : .exact(-sum)
    }
}
