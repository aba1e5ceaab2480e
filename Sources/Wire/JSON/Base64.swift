/// Base64 (RFC 4648): the padded standard alphabet for bytes shown in JSON, and the URL-safe one
/// without padding for tokens (RFC 7515 §2).
///
/// Decoding is strict, so that one sequence of bytes has one spelling: no white space, no missing
/// or needless padding, no stray bits at the end. Otherwise two spellings of a signature would
/// pass for two tokens. No table is looked up and no branch depends on a character's value, since
/// what passes here is often secret: eight characters are one integer, a byte each, and what would
/// be a comparison is an addition that carries into the byte's high bit.
public enum Base64 {
    @frozen
    public enum Alphabet: Sendable {
        /// `+` and `/`, padded with `=` to a multiple of four.
        case standard
        /// `-` and `_`, never padded.
        case urlSafe
    }

    @inlinable
    public static func encodedCount(_ count: Int, _ alphabet: Alphabet) -> Int {
        switch alphabet {
        case .standard: (count + 2) / 3 * 4
        case .urlSafe: (count * 4 + 2) / 3
        }
    }

    /// Room enough to decode `count` characters, padded or not.
    @inlinable
    public static func decodedCountMax(_ count: Int) -> Int { count / 4 * 3 + 2 }

    /// Answers how many characters were written; nil when they don't fit.
    public static func encode(
        _ bytes: UnsafeRawBufferPointer, _ alphabet: Alphabet,
        into output: UnsafeMutableRawBufferPointer
    ) -> Int? {
        let count = encodedCount(bytes.count, alphabet)
        guard output.count >= count else { return nil }
        var at = 0
        var written = 0
        while at + 8 <= bytes.count {
            let word = unsafe bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            let characters = characters(UInt64(bigEndian: word) >> 16, alphabet)
            unsafe output.storeBytes(
                of: characters.bigEndian, toByteOffset: written, as: UInt64.self)
            at += 6
            written += 8
        }
        while at < bytes.count {
            let left = min(6, bytes.count - at)
            var bits: UInt64 = 0
            for i in 0..<left { bits |= unsafe UInt64(bytes[at + i]) << (40 - 8 * UInt64(i)) }
            let characters = characters(bits, alphabet)
            for i in 0..<((left * 8 + 5) / 6) {
                unsafe output[written] = UInt8(truncatingIfNeeded: characters >> (56 - 8 * i))
                written += 1
            }
            at += left
        }
        while written < count {
            unsafe output[written] = 0x3D
            written += 1
        }
        return count
    }

    /// Answers how many bytes were written; nil when `text` is not exactly what `encode` makes, or
    /// when the bytes don't fit. What `output` holds after nil means nothing.
    public static func decode(
        _ text: UnsafeRawBufferPointer, _ alphabet: Alphabet,
        into output: UnsafeMutableRawBufferPointer
    ) -> Int? {
        var length = text.count
        if alphabet == .standard {
            guard length % 4 == 0 else { return nil }
            for _ in 0..<2 where length > 0 {
                if unsafe text[length - 1] == 0x3D { length -= 1 }
            }
        }
        let left = length % 4
        guard left != 1 else { return nil }
        let count = length / 4 * 3 + (left == 0 ? 0 : left - 1)
        guard output.count >= count else { return nil }
        var wrong: UInt64 = 0
        var at = 0
        var written = 0
        while at + 8 <= length {
            let word = unsafe text.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            let bits = bits(UInt64(bigEndian: word), alphabet, &wrong)
            unsafe output.storeBytes(
                of: UInt32(truncatingIfNeeded: bits >> 16).bigEndian, toByteOffset: written,
                as: UInt32.self)
            unsafe output.storeBytes(
                of: UInt16(truncatingIfNeeded: bits).bigEndian, toByteOffset: written + 4,
                as: UInt16.self)
            at += 8
            written += 6
        }
        if at < length {
            // The characters that lack are `A`s, which stand for zero bits.
            var word: UInt64 = 0x4141_4141_4141_4141
            for i in 0..<(length - at) {
                let shift = 56 - 8 * UInt64(i)
                word = unsafe word & ~(0xFF << shift) | UInt64(text[at + i]) << shift
            }
            let bits = bits(word, alphabet, &wrong)
            for i in 0..<(count - written) {
                unsafe output[written + i] = UInt8(truncatingIfNeeded: bits >> (40 - 8 * i))
            }
            // Bits past the last whole byte would be a second spelling of it.
            wrong |= bits & (1 << (48 - 8 * UInt64(count - written)) - 1)
        }
        return wrong == 0 ? count : nil
    }

    // MARK: Eight characters

    private static var ones: UInt64 { 0x0101_0101_0101_0101 }

    /// 1 in each byte that is at least `bound`, 0 in the others; for bytes below 0x80.
    @inline(__always)
    private static func atLeast(_ bound: UInt64, _ bytes: UInt64) -> UInt64 {
        (bytes &+ (0x80 - bound) &* ones) >> 7 & ones
    }

    /// 1 in each byte from `low` to `high`, 0 in the others; for bytes below 0x80.
    @inline(__always)
    private static func within(_ low: UInt64, _ high: UInt64, _ bytes: UInt64) -> UInt64 {
        atLeast(low, bytes) ^ atLeast(high + 1, bytes)
    }

    /// The eight characters for 48 bits, first one highest.
    @inline(__always)
    private static func characters(_ bits: UInt64, _ alphabet: Alphabet) -> UInt64 {
        var values = (bits & 0xFFFF_FF00_0000) << 8 | bits & 0xFF_FFFF
        values = (values & 0x00FF_F000_00FF_F000) << 4 | values & 0x0000_0FFF_0000_0FFF
        values = (values & 0x0FC0_0FC0_0FC0_0FC0) << 2 | values & 0x003F_003F_003F_003F
        // How far each stretch of the alphabet is from the one before. No sum leaves its byte.
        let isStandard = alphabet == .standard
        let more =
            values &+ 0x41 &* ones &+ 6 &* atLeast(26, values)
            &+ (isStandard ? 3 : 49) &* atLeast(63, values)
        return more &- 75 &* atLeast(52, values)
            &- (isStandard ? 15 : 13) &* atLeast(62, values)
    }

    /// The 48 bits that eight characters stand for; leaves a bit in `wrong` where one of them is
    /// not of the alphabet.
    @inline(__always)
    private static func bits(
        _ characters: UInt64, _ alphabet: Alphabet, _ wrong: inout UInt64
    ) -> UInt64 {
        let high = characters & (0x80 &* ones)
        let codes = characters ^ high
        let upper = within(0x41, 0x5A, codes)
        let lower = within(0x61, 0x7A, codes)
        let digit = within(0x30, 0x39, codes)
        let values: UInt64
        let known: UInt64
        switch alphabet {
        case .standard:
            let plus = within(0x2B, 0x2B, codes)
            let slash = within(0x2F, 0x2F, codes)
            known = upper | lower | digit | plus | slash
            values = codes &+ 19 &* plus &+ 16 &* slash
        case .urlSafe:
            let minus = within(0x2D, 0x2D, codes)
            let line = within(0x5F, 0x5F, codes)
            known = upper | lower | digit | minus | line
            values = codes &+ 17 &* minus &- 32 &* line
        }
        wrong |= high | known ^ ones
        var bits = values &+ 4 &* digit &- 65 &* upper &- 71 &* lower
        bits = (bits & 0x3F00_3F00_3F00_3F00) >> 2 | bits & 0x003F_003F_003F_003F
        bits = (bits & 0x0FFF_0000_0FFF_0000) >> 4 | bits & 0x0000_0FFF_0000_0FFF
        return (bits & 0x00FF_FFFF_0000_0000) >> 8 | bits & 0x00FF_FFFF
    }
}
