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
            if unsafe base.load(fromByteOffset: at, as: UInt8.self) >= 0x80 {
                let length = unsafe sequenceLength(base, at, end)
                if length == 0 { return false }
                at += length
                continue
            }
            at += 1
            while at + 16 <= end {
                let high = unsafe UInt128(blockAt: base + at) & highBits
                at += high.trailingZeroBitCount >> 3
                if high != 0 { break }
            }
        }
        return true
    }

    private static var highBits: UInt128 { UInt128(repeatingByte: 0x80) }

    /// The length of the well-formed sequence of two to four bytes that starts at `at`; 0 when
    /// there is none.
    @inline(__always)
    static func sequenceLength(_ base: UnsafeRawPointer, _ at: Int, _ end: Int) -> Int {
        let left = end - at
        let first = unsafe base.load(fromByteOffset: at, as: UInt8.self)
        if first < 0xC2 || left < 2 { return 0 }
        let second = unsafe base.load(fromByteOffset: at + 1, as: UInt8.self)
        if first < 0xE0 { return isContinuation(second) ? 2 : 0 }
        if left < 3 { return 0 }
        let third = unsafe base.load(fromByteOffset: at + 2, as: UInt8.self)
        if first < 0xF0 {
            let low: UInt8 = first == 0xE0 ? 0xA0 : 0x80
            let high: UInt8 = first == 0xED ? 0x9F : 0xBF
            return second >= low && second <= high && isContinuation(third) ? 3 : 0
        }
        if first > 0xF4 || left < 4 { return 0 }
        let fourth = unsafe base.load(fromByteOffset: at + 3, as: UInt8.self)
        let low: UInt8 = first == 0xF0 ? 0x90 : 0x80
        let high: UInt8 = first == 0xF4 ? 0x8F : 0xBF
        return second >= low && second <= high && isContinuation(third) && isContinuation(fourth)
            ? 4 : 0
    }

    @inline(__always)
    private static func isContinuation(_ byte: UInt8) -> Bool { byte & 0xC0 == 0x80 }
}

/// Sixteen bytes as one integer, the first of them lowest: so that the number of trailing zero
/// bits, by eight, is the place of the first byte that was marked.
extension UInt128 {
    @inline(__always)
    init(block: SIMD16<UInt8>) {
        self = UInt128(littleEndian: unsafe unsafeBitCast(block, to: UInt128.self))
    }

    @inline(__always)
    init(blockAt start: UnsafeRawPointer) {
        self = unsafe UInt128(littleEndian: start.loadUnaligned(as: UInt128.self))
    }

    @inline(__always)
    init(repeatingByte byte: UInt8) {
        let word = UInt64(byte) &* 0x0101_0101_0101_0101
        self = UInt128(word) << 64 | UInt128(word)
    }
}
