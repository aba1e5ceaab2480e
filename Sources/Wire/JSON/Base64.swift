/// Base64 (RFC 4648): the padded standard alphabet for bytes shown in JSON, and the URL-safe one
/// without padding for tokens (RFC 7515 §2).
///
/// Decoding is strict, so that one sequence of bytes has one spelling: no white space, no missing
/// or needless padding, no stray bits at the end. Otherwise two spellings of a signature would
/// pass for two tokens. No table is looked up and no branch depends on a character's value, since
/// what passes here is often secret.
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
        while at + 3 <= bytes.count {
            let group =
                unsafe UInt32(bytes[at]) << 16 | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2])
            unsafe output[written] = character(group >> 18, alphabet)
            unsafe output[written + 1] = character(group >> 12, alphabet)
            unsafe output[written + 2] = character(group >> 6, alphabet)
            unsafe output[written + 3] = character(group, alphabet)
            at += 3
            written += 4
        }
        let left = bytes.count - at
        if left > 0 {
            var group = unsafe UInt32(bytes[at]) << 16
            if left == 2 { group |= unsafe UInt32(bytes[at + 1]) << 8 }
            unsafe output[written] = character(group >> 18, alphabet)
            unsafe output[written + 1] = character(group >> 12, alphabet)
            written += 2
            if left == 2 {
                unsafe output[written] = character(group >> 6, alphabet)
                written += 1
            }
            while written < count {
                unsafe output[written] = 0x3D
                written += 1
            }
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
        var bad: UInt32 = 0
        var at = 0
        var written = 0
        while at + 4 <= length {
            let first = unsafe sextet(text[at], alphabet)
            let second = unsafe sextet(text[at + 1], alphabet)
            let third = unsafe sextet(text[at + 2], alphabet)
            let fourth = unsafe sextet(text[at + 3], alphabet)
            bad |= first | second | third | fourth
            let group = first << 18 | second << 12 | third << 6 | fourth
            unsafe output[written] = UInt8(truncatingIfNeeded: group >> 16)
            unsafe output[written + 1] = UInt8(truncatingIfNeeded: group >> 8)
            unsafe output[written + 2] = UInt8(truncatingIfNeeded: group)
            at += 4
            written += 3
        }
        if left >= 2 {
            let first = unsafe sextet(text[at], alphabet)
            let second = unsafe sextet(text[at + 1], alphabet)
            let third = left == 3 ? unsafe sextet(text[at + 2], alphabet) : 0
            bad |= first | second | third
            let group = first << 18 | second << 12 | third << 6
            unsafe output[written] = UInt8(truncatingIfNeeded: group >> 16)
            if left == 3 { unsafe output[written + 1] = UInt8(truncatingIfNeeded: group >> 8) }
            // Bits past the last whole byte would be a second spelling of it.
            let stray = left == 3 ? group & 0xFF : group & 0xFFFF
            if stray != 0 { return nil }
        }
        return bad & invalidSextet == 0 ? count : nil
    }

    // MARK: One character

    /// Set by `sextet` for a character outside the alphabet.
    private static var invalidSextet: UInt32 { 1 << 31 }

    /// All ones where `low <= value <= high`, for values below 256.
    @inline(__always)
    private static func within(_ value: UInt32, _ low: UInt32, _ high: UInt32) -> UInt32 {
        let outside = (value &- low) | (high &- value)
        return (outside >> 31) &- 1
    }

    @inline(__always)
    private static func character(_ group: UInt32, _ alphabet: Alphabet) -> UInt8 {
        let value = group & 63
        let plus: UInt32 = alphabet == .standard ? 0x2B : 0x2D
        let slash: UInt32 = alphabet == .standard ? 0x2F : 0x5F
        let code =
            within(value, 0, 25) & (value &+ 0x41)
            | within(value, 26, 51) & (value &+ 0x47)
            | within(value, 52, 61) & (value &- 4)
            | within(value, 62, 62) & plus
            | within(value, 63, 63) & slash
        return UInt8(truncatingIfNeeded: code)
    }

    @inline(__always)
    private static func sextet(_ character: UInt8, _ alphabet: Alphabet) -> UInt32 {
        let code = UInt32(character)
        let plus: UInt32 = alphabet == .standard ? 0x2B : 0x2D
        let slash: UInt32 = alphabet == .standard ? 0x2F : 0x5F
        let upper = within(code, 0x41, 0x5A)
        let lower = within(code, 0x61, 0x7A)
        let digit = within(code, 0x30, 0x39)
        let isPlus = within(code, plus, plus)
        let isSlash = within(code, slash, slash)
        let value =
            upper & (code &- 0x41) | lower & (code &- 0x47) | digit & (code &+ 4)
            | isPlus & 62 | isSlash & 63
        return value | ~(upper | lower | digit | isPlus | isSlash) & invalidSextet
    }
}
