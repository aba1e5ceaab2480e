/// The two alphabets of RFC 4648 without padding: `url` for tokens (RFC 7515 section 2) and
/// `standard` for the encoded password hash, where every other implementation uses it.
///
/// Decoding is canonical: padding, foreign characters, a length no encoder makes and spare bits
/// that are not zero are all refused, so that no two spellings of one token or hash exist.
enum Base64 {
    case url, standard

    /// How many characters encode `count` bytes.
    static func encodedCount(_ count: Int) -> Int { (count * 4 + 2) / 3 }

    func append(_ bytes: RawSpan, to output: inout [UInt8]) {
        var at = 0
        while at < bytes.byteCount {
            let count = min(3, bytes.byteCount - at)
            var group: UInt32 = 0
            for index in 0..<3 {
                group = group << 8 | (index < count ? UInt32(bytes.byte(at + index)) : 0)
            }
            for index in 0...count {
                output.append(character(UInt8(group >> (18 - 6 * UInt32(index)) & 63)))
            }
            at += count
        }
    }

    /// Writes what `text` at `range` decodes to from the start of `output`; the number of bytes,
    /// or nil where the text is not canonical or `output` is too small.
    func decode(_ text: RawSpan, _ range: Range<Int>, into output: inout MutableRawSpan) -> Int? {
        let spare = range.count % 4
        let decoded = range.count / 4 * 3 + (spare == 0 ? 0 : spare - 1)
        guard spare != 1, decoded <= output.byteCount else { return nil }
        var group: UInt32 = 0
        var bits = 0
        var written = 0
        for index in range {
            guard let value = value(text.byte(index)) else { return nil }
            group = group << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                output.storeBytes(
                    of: UInt8(truncatingIfNeeded: group >> UInt32(bits)), toByteOffset: written,
                    as: UInt8.self)
                written += 1
                group &= (1 << UInt32(bits)) - 1
            }
        }
        return group == 0 ? written : nil
    }

    private func character(_ value: UInt8) -> UInt8 {
        switch value {
        case 0..<26: UInt8(ascii: "A") + value
        case 26..<52: UInt8(ascii: "a") + (value - 26)
        case 52..<62: UInt8(ascii: "0") + (value - 52)
        case 62: self == .url ? UInt8(ascii: "-") : UInt8(ascii: "+")
        default: self == .url ? UInt8(ascii: "_") : UInt8(ascii: "/")
        }
    }

    private func value(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): character - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): character - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0") + 52
        case UInt8(ascii: "-") where self == .url: 62
        case UInt8(ascii: "_") where self == .url: 63
        case UInt8(ascii: "+") where self == .standard: 62
        case UInt8(ascii: "/") where self == .standard: 63
        default: nil
        }
    }
}
