/// Loads and searches over bytes that a peer sent.
///
/// The scans are written with sixteen lanes at a time because a head is mostly bytes that mean
/// nothing to us: only the next one that ends or spoils an element matters. All of them answer
/// with the first such index, or with `end` when there is none, and never read at or past `end`.

#if _endian(big)
#error("words are compared in little-endian order")
#endif

extension RawSpan {
    /// One byte, unchecked at -O: the scans compare indices with their end before they load, and
    /// the fuzz targets run them with these assertions on.
    @inlinable @inline(__always)
    func byte(_ index: Int) -> UInt8 {
        assert(index >= 0 && index < byteCount)
        return unsafe unsafeLoad(fromUncheckedByteOffset: index, as: UInt8.self)
    }

    @inline(__always)
    func half(_ index: Int) -> UInt16 {
        assert(index >= 0 && index + 2 <= byteCount)
        return unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: index, as: UInt16.self)
    }

    @inline(__always)
    func word32(_ index: Int) -> UInt32 {
        assert(index >= 0 && index + 4 <= byteCount)
        return unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: index, as: UInt32.self)
    }

    @inline(__always)
    func word64(_ index: Int) -> UInt64 {
        assert(index >= 0 && index + 8 <= byteCount)
        return unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: index, as: UInt64.self)
    }

    @inline(__always)
    func lanes(_ index: Int) -> SIMD16<UInt8> {
        assert(index >= 0 && index + 16 <= byteCount)
        return unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: index, as: SIMD16<UInt8>.self)
    }
}

/// Sixteen bytes at once, compared by arithmetic.
///
/// The answers are in the top bit of each lane. Swift 6.3 compiles `.<` and `.==` on lanes to a
/// loop over them (60 times the instructions), while sums and bit operations are one instruction:
/// so `x >= n` for seven bits is the top bit of `x + (128 - n)`, and the eighth bit is added by
/// whoever asks. Nothing carries from one lane to the next, so every answer is exact.
extension SIMD16<UInt8> {
    /// The lower seven bits are not less than `bound`.
    @inline(__always)
    func sevenBitsReach(_ bound: UInt8) -> SIMD16<UInt8> { (self & 0x7F) &+ (128 &- bound) }

    /// The lower seven bits differ from those of `byte`.
    @inline(__always)
    func sevenBitsDiffer(from byte: UInt8) -> SIMD16<UInt8> { (self ^ byte).sevenBitsReach(1) }

    /// The first lane whose top bit is set, or 16.
    ///
    /// SSE2's movmskb is out of Swift's reach; two words and a count of trailing zeros are close.
    @inline(__always)
    var firstMarked: Int {
        let words = unsafe unsafeBitCast(self & 0x80, to: SIMD2<UInt64>.self)
        if words[0] != 0 { return words[0].trailingZeroBitCount &>> 3 }
        if words[1] != 0 { return 8 &+ words[1].trailingZeroBitCount &>> 3 }
        return 16
    }
}

/// Sets of ASCII characters as 128 bits, so that asking costs a shift and not a table's cache line.
struct ASCIISet: Sendable, BitwiseCopyable {
    private let low: UInt64
    private let high: UInt64

    @inline(__always)
    init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    @inline(__always)
    func contains(_ byte: UInt8) -> Bool {
        let bits = byte < 64 ? low : high
        return byte < 128 && (bits &>> UInt64(byte & 63)) & 1 != 0
    }

    /// RFC 9110 5.6.2 `tchar`: `!#$%&'*+-.^_`|~`, digits and letters.
    @inline(__always)
    static var token: ASCIISet {
        ASCIISet(low: 0x03FF_6CFA_0000_0000, high: 0x57FF_FFFF_C7FF_FFFE)
    }

    /// RFC 3986 `unreserved` and `sub-delims`: what a registered name holds besides `%XX`.
    @inline(__always)
    static var registeredName: ASCIISet {
        ASCIISet(low: 0x2BFF_7FD2_0000_0000, high: 0x47FF_FFFE_87FF_FFFE)
    }

    /// RFC 3986 `unreserved`.
    @inline(__always)
    static var unreserved: ASCIISet {
        ASCIISet(low: 0x03FF_6000_0000_0000, high: 0x47FF_FFFE_87FF_FFFE)
    }
}

enum ByteScan {
    /// The first byte that can't be part of a token.
    @inline(__always)
    static func tokenEnd(_ bytes: RawSpan, from start: Int, to end: Int) -> Int {
        var index = start
        while index &+ 16 <= end {
            let lanes = bytes.lanes(index)
            let folded = lanes | 0x20
            let letter = folded.sevenBitsReach(0x61) & ~folded.sevenBitsReach(0x7B)
            // Folding makes CR look like a dash, so the dash is compared unfolded.
            let other = ((~letter & lanes.sevenBitsDiffer(from: 0x2D)) | lanes).firstMarked
            index &+= other
            if other < 16 {
                if !ASCIISet.token.contains(bytes.byte(index)) { return index }
                index &+= 1
            }
        }
        while index < end, ASCIISet.token.contains(bytes.byte(index)) { index &+= 1 }
        return index
    }

    /// The first byte that can't be part of a field value: a control other than HTAB.
    @inline(__always)
    static func fieldValueEnd(_ bytes: RawSpan, from start: Int, to end: Int) -> Int {
        var index = start
        while index &+ 16 <= end {
            let lanes = bytes.lanes(index)
            let spoilt = ~lanes.sevenBitsReach(0x20) | lanes.sevenBitsReach(0x7F)
            let control = (spoilt & ~lanes).firstMarked
            index &+= control
            if control < 16 {
                if bytes.byte(index) != 0x09 { return index }
                index &+= 1
            }
        }
        while index < end, isFieldValueByte(bytes.byte(index)) { index &+= 1 }
        return index
    }

    /// The first byte that ends or spoils a request target, or begins its query: a control, a
    /// space, DEL, `#`, `?` or a byte beyond ASCII.
    @inline(__always)
    static func targetStop(_ bytes: RawSpan, from start: Int, to end: Int) -> Int {
        var index = start
        while index &+ 16 <= end {
            let lanes = bytes.lanes(index)
            let spoilt = ~lanes.sevenBitsReach(0x21) | lanes.sevenBitsReach(0x7F)
            let other = lanes.sevenBitsDiffer(from: 0x23) & lanes.sevenBitsDiffer(from: 0x3F)
            let stop = (spoilt | ~other | lanes).firstMarked
            index &+= stop
            if stop < 16 { return index }
        }
        while index < end {
            let byte = bytes.byte(index)
            if byte < 0x21 || byte >= 0x7F || byte == 0x23 || byte == 0x3F { return index }
            index &+= 1
        }
        return index
    }

    /// The first byte that can't be part of a path's last segment with nothing to decode in it: what
    /// `targetStop` finds, and `%` and `/`.
    @inline(__always)
    static func plainSegmentEnd(_ bytes: RawSpan, from start: Int, to end: Int) -> Int {
        var index = start
        while index &+ 16 <= end {
            let lanes = bytes.lanes(index)
            let spoilt = ~lanes.sevenBitsReach(0x21) | lanes.sevenBitsReach(0x7F)
            let other =
                lanes.sevenBitsDiffer(from: 0x23) & lanes.sevenBitsDiffer(from: 0x25)
                & lanes.sevenBitsDiffer(from: 0x2F) & lanes.sevenBitsDiffer(from: 0x3F)
            let stop = (spoilt | ~other | lanes).firstMarked
            index &+= stop
            if stop < 16 { return index }
        }
        while index < end {
            let byte = bytes.byte(index)
            if byte < 0x21 || byte >= 0x7F || byte == 0x23 || byte == 0x3F || byte == 0x25
                || byte == 0x2F
            {
                return index
            }
            index &+= 1
        }
        return index
    }

    /// The first byte that is neither letter, digit, dot nor dash: where a plain host name ends.
    @inline(__always)
    static func plainHostEnd(_ bytes: RawSpan, from start: Int, to end: Int) -> Int {
        var index = start
        while index &+ 16 <= end {
            let lanes = bytes.lanes(index)
            let folded = lanes | 0x20
            let letter = folded.sevenBitsReach(0x61) & ~folded.sevenBitsReach(0x7B)
            // 0x2D up to 0x39 is dash, dot, slash and the digits.
            let digit = lanes.sevenBitsReach(0x2D) & ~lanes.sevenBitsReach(0x3A)
            let plain = letter | (digit & lanes.sevenBitsDiffer(from: 0x2F))
            let other = (~plain | lanes).firstMarked
            index &+= other
            if other < 16 { return index }
        }
        while index < end {
            let byte = bytes.byte(index)
            let letter = (byte | 0x20) &- 0x61 < 26
            guard letter || (byte &- 0x2D < 13 && byte != 0x2F) else { return index }
            index &+= 1
        }
        return index
    }

    /// The first byte that is no digit.
    @inline(__always)
    static func digitsEnd(_ bytes: RawSpan, from start: Int, to end: Int) -> Int {
        var index = start
        while index &+ 8 <= end {
            let word = bytes.word64(index)
            // Bytes below 0x30 and above 0x39, each by the top bit of a sum that can't carry.
            let seven = word & 0x7F7F_7F7F_7F7F_7F7F
            let below = ~(seven &+ 0x5050_5050_5050_5050)
            let above = seven &+ 0x4646_4646_4646_4646
            let others = (below | above | word) & 0x8080_8080_8080_8080
            if others != 0 { return index &+ others.trailingZeroBitCount &>> 3 }
            index &+= 8
        }
        while index < end, isDigit(bytes.byte(index)) { index &+= 1 }
        return index
    }

    /// The first of two ASCII bytes.
    @inline(__always)
    static func first(
        of one: UInt8, or other: UInt8, in bytes: RawSpan, from start: Int, to end: Int
    ) -> Int {
        var index = start
        while index &+ 16 <= end {
            let lanes = bytes.lanes(index)
            let equal = ~(lanes.sevenBitsDiffer(from: one) & lanes.sevenBitsDiffer(from: other))
            let found = (equal & ~lanes).firstMarked
            index &+= found
            if found < 16 { return index }
        }
        while index < end, bytes.byte(index) != one, bytes.byte(index) != other { index &+= 1 }
        return index
    }

    /// RFC 9110 5.5: HTAB, SP, visible characters and the bytes from 0x80 on.
    @inline(__always)
    static func isFieldValueByte(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte != 0x7F || byte == 0x09
    }

    @inline(__always)
    static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    /// The value of a hexadecimal digit, or 255.
    @inline(__always)
    static func hexValue(_ byte: UInt8) -> UInt8 {
        let digit = byte &- 0x30
        if digit < 10 { return digit }
        let letter = (byte | 0x20) &- 0x61
        return letter < 6 && byte >= 0x41 ? letter &+ 10 : 255
    }
}
