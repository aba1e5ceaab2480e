/// 128 bits that name something for ever: a user (`sub`), a login (`sid`), a token (`jti`), an
/// API key.
///
/// Made of 16 random bytes the caller passes in, so it says nothing of when or in which order
/// things were made. Written as 26 characters of lower-case Crockford base32: no case to lose in
/// a URL or a database, no letters that look like digits, and all 26-character texts but those
/// beginning with `8` or later decode, each to a different identifier.
public struct Identifier: Hashable, Sendable, BitwiseCopyable {
    public static let textCount = 26

    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Reads the 26 characters at `range`, lower case only: one spelling, so that comparing texts
    /// is comparing identifiers.
    public init?(_ text: RawSpan, _ range: Range<Int>) {
        guard range.count == Self.textCount else { return nil }
        var high: UInt64 = 0
        var low: UInt64 = 0
        for index in range {
            guard let value = Self.value(text.byte(index)), high >> 59 == 0 else { return nil }
            high = high << 5 | low >> 59
            low = low << 5 | UInt64(value)
        }
        self.high = high
        self.low = low
    }

    public init?(_ text: RawSpan) { self.init(text, 0..<text.byteCount) }

    public func append(to output: inout [UInt8]) {
        for index in 0..<Self.textCount {
            let shift = UInt64(125 - 5 * index)
            var value = shift >= 64 ? high >> (shift - 64) : low >> shift
            if shift < 64 && shift > 59 { value |= high << (64 - shift) }
            output.append(Self.character(UInt8(value & 31)))
        }
    }

    public var text: String {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The built-in `admin` and `default` have the same identifier on every node: nobody creates
    /// them, so nobody could agree on a random one.
    public static let admin = Identifier(high: 0, low: 1)
    public static let `default` = Identifier(high: 0, low: 2)

    private static func character(_ value: UInt8) -> UInt8 {
        unsafe ("0123456789abcdefghjkmnpqrstvwxyz" as StaticString).utf8Start[Int(value)]
    }

    private static func value(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "h"): character - UInt8(ascii: "a") + 10
        case UInt8(ascii: "j"), UInt8(ascii: "k"): character - UInt8(ascii: "j") + 18
        case UInt8(ascii: "m"), UInt8(ascii: "n"): character - UInt8(ascii: "m") + 20
        case UInt8(ascii: "p")...UInt8(ascii: "t"): character - UInt8(ascii: "p") + 22
        case UInt8(ascii: "v")...UInt8(ascii: "z"): character - UInt8(ascii: "v") + 27
        default: nil
        }
    }
}
