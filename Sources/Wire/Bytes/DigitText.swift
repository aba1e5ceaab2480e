/// Digits by arithmetic on a whole word, for who knows how many there are.
public enum DigitText {
    /// Eight digits in the order of reading, the first in the lowest byte, each as a number.
    ///
    /// Halves, then pairs, then digits are divided side by side in one word; the factors are the
    /// reciprocals of 100 and 10, exact for what four and two digits can hold.
    @inlinable @inline(__always)
    static func eightDigits(_ value: UInt32) -> UInt64 {
        let upper = UInt64(value / 10_000)
        let halves = upper | (UInt64(value) &- upper &* 10_000) &<< 32
        let hundreds = ((halves &* 10_486) &>> 20) & 0x0000_007F_0000_007F
        let pairs = hundreds | (halves &- hundreds &* 100) &<< 16
        let tens = ((pairs &* 103) &>> 10) & 0x000F_000F_000F_000F
        return tens | (pairs &- tens &* 10) &<< 8
    }

    /// Four digits, likewise.
    @inlinable @inline(__always)
    static func fourDigits(_ value: UInt32) -> UInt32 {
        let hundreds = (value &* 5243) &>> 19
        let pairs = hundreds | (value &- hundreds &* 100) &<< 16
        let tens = ((pairs &* 103) &>> 10) & 0x000F_000F
        return tens | (pairs &- tens &* 10) &<< 8
    }

    /// The eight hexadecimal digits as text, the first in the lowest byte: the nibbles are spread over
    /// the bytes of a word, then each is made a character.
    @inlinable @inline(__always)
    public static func eightHexDigits(_ value: UInt32) -> UInt64 {
        var word = UInt64(value)
        word = (word | word &<< 16) & 0x0000_FFFF_0000_FFFF
        word = (word | word &<< 8) & 0x00FF_00FF_00FF_00FF
        word = (word | word &<< 4) & 0x0F0F_0F0F_0F0F_0F0F
        let letters = ((word &+ 0x0606_0606_0606_0606) &>> 4) & 0x0101_0101_0101_0101
        return (word &+ 0x3030_3030_3030_3030 &+ letters &* 0x27).byteSwapped
    }

    /// Writes a time in milliseconds since 1970 that has thirteen digits, as all have from 2001 to
    /// 2286.
    @unsafe @inlinable @inline(__always)
    public static func writeTime(_ milliseconds: UInt64, to place: UnsafeMutableRawPointer) {
        let upper = milliseconds / 100_000_000
        let zeros: UInt64 = 0x3030_3030_3030_3030
        // Five digits, with three in front that are not stored.
        let first = (eightDigits(UInt32(truncatingIfNeeded: upper)) | zeros) &>> 24
        unsafe place.storeBytes(of: first, as: UInt64.self)
        let rest = milliseconds &- upper &* 100_000_000
        unsafe place.storeBytes(
            of: eightDigits(UInt32(truncatingIfNeeded: rest)) | zeros, toByteOffset: 5,
            as: UInt64.self)
    }

    /// Whether `writeTime` can write it.
    @inlinable @inline(__always)
    public static func isTime(_ milliseconds: UInt64) -> Bool {
        milliseconds &- 1_000_000_000_000 < 9_000_000_000_000
    }
}
