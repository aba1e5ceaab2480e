import Glibc

/// Numbers as Redis reads and writes them.
public enum RESPNumber {
    /// A whole number of 64 bits, only in the one form Redis itself would write it: no sign but a
    /// minus, no leading zero, no space.
    public static func integer(_ text: UnsafeRawBufferPointer) -> Int64? {
        let count = text.count
        guard count > 0, count <= 20 else { return nil }
        var at = 0
        let isNegative = unsafe text[0] == UInt8(ascii: "-")
        if isNegative {
            at = 1
            guard count > 1 else { return nil }
        }
        let first = unsafe text[at]
        if first == UInt8(ascii: "0") { return count == 1 ? 0 : nil }
        guard first &- 0x31 < 9 else { return nil }
        var value: UInt64 = 0
        while at < count {
            let digit = unsafe text[at] &- 0x30
            guard digit < 10 else { return nil }
            let (scaled, isOver) = value.multipliedReportingOverflow(by: 10)
            let (sum, isFull) = scaled.addingReportingOverflow(UInt64(digit))
            if isOver || isFull { return nil }
            value = sum
            at += 1
        }
        if isNegative {
            return value <= 1 << 63 ? Int64(truncatingIfNeeded: 0 &- value) : nil
        }
        return value < 1 << 63 ? Int64(value) : nil
    }

    /// A number as C's `strtod` reads it, all of the text and not a NaN: `1e3`, `inf`, `0x1p4`.
    public static func double(_ text: UnsafeRawBufferPointer) -> Double? {
        guard let copy = unsafe terminated(text) else { return nil }
        defer { unsafe copy.deallocate() }
        var end: UnsafeMutablePointer<CChar>? = nil
        errno = 0
        let value = unsafe strtod(copy, &end)
        guard unsafe end == copy + text.count, !value.isNaN else { return nil }
        if errno == ERANGE, value.isInfinite || value == 0 { return nil }
        return value
    }

    /// A double as Redis 7 writes it: a whole number plainly, others with seventeen digits, `inf`
    /// and `-inf`.
    public static func text(_ value: Double, _ body: (UnsafeRawBufferPointer) -> Void) {
        if value.isInfinite {
            let word: StaticString = value < 0 ? "-inf" : "inf"
            return unsafe body(
                UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount))
        }
        unsafe printed("%.17g", [value], roomFor: 64, body)
    }

    // MARK: Long doubles, for INCRBYFLOAT

    #if arch(x86_64)
    public typealias Long = Float80
    #else
    public typealias Long = Double
    #endif

    /// Longer texts are no numbers to Redis.
    private static let longTextBytesMax = 5 * 1024

    public static func long(_ text: UnsafeRawBufferPointer) -> Long? {
        guard text.count < longTextBytesMax, let copy = unsafe terminated(text) else { return nil }
        defer { unsafe copy.deallocate() }
        var end: UnsafeMutablePointer<CChar>? = nil
        errno = 0
        #if arch(x86_64)
        let value = unsafe strtold(copy, &end)
        #else
        let value = unsafe strtod(copy, &end)
        #endif
        guard unsafe end == copy + text.count, !value.isNaN else { return nil }
        if errno == ERANGE, value.isInfinite || value == 0 { return nil }
        return value
    }

    /// The sum's text for people: seventeen decimals, then no zeros that say nothing.
    public static func text(_ value: Long, _ body: (UnsafeRawBufferPointer) -> Void) {
        #if arch(x86_64)
        let format = "%.17Lf"
        #else
        let format = "%.17f"
        #endif
        unsafe printed(format, [value], roomFor: longTextBytesMax) { text in
            var count = text.count
            if unsafe text.contains(UInt8(ascii: ".")) {
                while unsafe text[count - 1] == UInt8(ascii: "0") { count -= 1 }
                if unsafe text[count - 1] == UInt8(ascii: ".") { count -= 1 }
            }
            if count == 2, unsafe text[0] == UInt8(ascii: "-"), unsafe text[1] == 0x30 {
                return unsafe body(UnsafeRawBufferPointer(rebasing: text[1..<2]))
            }
            unsafe body(UnsafeRawBufferPointer(rebasing: text[..<count]))
        }
    }

    // MARK: C's side

    /// A copy with a zero at its end; nil where C would read less than what is there, or skip a
    /// space at its beginning.
    private static func terminated(
        _ text: UnsafeRawBufferPointer
    ) -> UnsafeMutablePointer<CChar>? {
        guard let start = text.baseAddress, text.count > 0,
            case let first = unsafe text[0], first != 0x20, !(0x09...0x0D).contains(first),
            unsafe !text.contains(0)
        else { return nil }
        let copy = UnsafeMutablePointer<CChar>.allocate(capacity: text.count + 1)
        unsafe UnsafeMutableRawPointer(copy).copyMemory(from: start, byteCount: text.count)
        unsafe copy[text.count] = 0
        return unsafe copy
    }

    private static func printed(
        _ format: String, _ values: [any CVarArg], roomFor bytes: Int,
        _ body: (UnsafeRawBufferPointer) -> Void
    ) {
        unsafe withUnsafeTemporaryAllocation(byteCount: bytes, alignment: 1) { room in
            let count = unsafe withVaList(values) { list in
                unsafe vsnprintf(
                    room.baseAddress?.assumingMemoryBound(to: CChar.self), bytes, format, list)
            }
            let shown = min(Int(count), bytes - 1)
            unsafe body(UnsafeRawBufferPointer(rebasing: room[..<shown]))
        }
    }
}
