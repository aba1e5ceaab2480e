/// Whether bytes are UTF-8, by the table of RFC 3629 §4: no overlong forms, no surrogates, nothing
/// above U+10FFFF.
///
/// HTTP and streams show a value as a JSON string only when this says yes, and as base64
/// otherwise, so it runs over every byte value that is read. Text is mostly ASCII: that is passed
/// 16 bytes at a time.
public enum UTF8Text {
    public static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        let end = bytes.count
        var at = 0
        while at < end {
            while at &+ 16 <= end {
                let block = unsafe (base + at).loadUnaligned(as: SIMD16<UInt8>.self)
                let marks = block & SIMD16(repeating: 0x80)
                if !marks.isUnmarked {
                    at = at &+ marks.firstMark
                    break
                }
                at = at &+ 16
            }
            while at < end, unsafe base.load(fromByteOffset: at, as: UInt8.self) < 0x80 {
                at = at &+ 1
            }
            while at < end, unsafe base.load(fromByteOffset: at, as: UInt8.self) >= 0x80 {
                let length = unsafe sequenceLength(base, at, end)
                if length == 0 { return false }
                at = at &+ length
            }
        }
        return true
    }

    /// The length of the well-formed sequence of two to four bytes that starts at `at`; 0 when
    /// there is none.
    @inline(__always)
    static func sequenceLength(_ base: UnsafeRawPointer, _ at: Int, _ end: Int) -> Int {
        let left = end &- at
        let first = unsafe base.load(fromByteOffset: at, as: UInt8.self)
        if first < 0xC2 || left < 2 { return 0 }
        let second = unsafe base.load(fromByteOffset: at &+ 1, as: UInt8.self)
        if first < 0xE0 { return isContinuation(second) ? 2 : 0 }
        if left < 3 { return 0 }
        let third = unsafe base.load(fromByteOffset: at &+ 2, as: UInt8.self)
        if first < 0xF0 {
            let low: UInt8 = first == 0xE0 ? 0xA0 : 0x80
            let high: UInt8 = first == 0xED ? 0x9F : 0xBF
            return second >= low && second <= high && isContinuation(third) ? 3 : 0
        }
        if first > 0xF4 || left < 4 { return 0 }
        let fourth = unsafe base.load(fromByteOffset: at &+ 3, as: UInt8.self)
        let low: UInt8 = first == 0xF0 ? 0x90 : 0x80
        let high: UInt8 = first == 0xF4 ? 0x8F : 0xBF
        return second >= low && second <= high && isContinuation(third) && isContinuation(fourth)
            ? 4 : 0
    }

    @inline(__always)
    private static func isContinuation(_ byte: UInt8) -> Bool { byte & 0xC0 == 0x80 }
}

/// Sixteen bytes looked at as one. What is looked for is marked by its high bit, in arithmetic that
/// is a handful of vector instructions also where comparing vectors is not.
extension SIMD16<UInt8> {
    /// Marks the bytes that equal `byte`, and no others.
    @inline(__always)
    func zeros(after byte: UInt8) -> SIMD16<UInt8> {
        let rest = self ^ SIMD16(repeating: byte)
        return (rest &- SIMD16(repeating: 1)) & ~rest & SIMD16(repeating: 0x80)
    }

    /// Marks, among the bytes below 0x80, what cannot stand in a JSON string as it is: quote,
    /// backslash, control character. Other bits, and those of bytes above, mean nothing.
    @inline(__always)
    var stringStops: SIMD16<UInt8> {
        let one = SIMD16(repeating: 1)
        let quote = (self ^ SIMD16(repeating: 0x22)) &- one
        let backslash = (self ^ SIMD16(repeating: 0x5C)) &- one
        let control = self &- SIMD16(repeating: 0x20)
        return quote | backslash | control
    }

    @inline(__always)
    var isUnmarked: Bool {
        let halves = unsafe unsafeBitCast(self, to: SIMD2<UInt64>.self)
        return halves[0] | halves[1] == 0
    }

    /// The place of the first marked byte of which there must be one; all other bits must be clear.
    @inline(__always)
    var firstMark: Int {
        let halves = unsafe unsafeBitCast(self, to: SIMD2<UInt64>.self)
        let low = UInt64(littleEndian: halves[0])
        if low != 0 { return low.trailingZeroBitCount &>> 3 }
        return 8 &+ UInt64(littleEndian: halves[1]).trailingZeroBitCount &>> 3
    }
}
