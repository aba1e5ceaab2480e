/// Walks one flat JSON object, the only JSON a token of ours holds: strings of plain printable
/// ASCII without escapes, and whole numbers.
///
/// Everything else JSON allows (nesting, escapes, fractions, exponents, literals, bytes over 0x7e)
/// is malformed here. We are the only issuer and write none of it, and what isn't read can't be
/// read in two ways.
struct FlatObject: ~Escapable {
    enum Value: Equatable {
        case text(Range<Int>)
        case number(UInt64)
    }

    enum Step: Equatable {
        case member(name: Range<Int>, Value)
        case end
        case malformed
    }

    /// Fifteen digits stay below 2^53, so no reader of the token sees another number than we do.
    static let digitsMax = 15

    private let bytes: RawSpan
    private var at = 0
    private var begun = false

    @_lifetime(copy bytes)
    init(_ bytes: RawSpan) { self.bytes = bytes }

    /// The next member. After `end` or `malformed` there is nothing more to ask.
    mutating func next() -> Step {
        skipSpace()
        if !begun {
            guard take(UInt8(ascii: "{")) else { return .malformed }
            begun = true
            skipSpace()
            if take(UInt8(ascii: "}")) { return end() }
        } else {
            if take(UInt8(ascii: "}")) { return end() }
            guard take(UInt8(ascii: ",")) else { return .malformed }
            skipSpace()
        }
        guard let name = string() else { return .malformed }
        skipSpace()
        guard take(UInt8(ascii: ":")) else { return .malformed }
        skipSpace()
        if let text = string() { return .member(name: name, .text(text)) }
        if let number = number() { return .member(name: name, .number(number)) }
        return .malformed
    }

    private mutating func end() -> Step {
        skipSpace()
        return at == bytes.byteCount ? .end : .malformed
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard at < bytes.byteCount, bytes.byte(at) == byte else { return false }
        at += 1
        return true
    }

    private mutating func skipSpace() {
        while at < bytes.byteCount {
            switch bytes.byte(at) {
            case 0x20, 0x09, 0x0a, 0x0d: at += 1
            default: return
            }
        }
    }

    private mutating func string() -> Range<Int>? {
        guard at < bytes.byteCount, bytes.byte(at) == UInt8(ascii: "\"") else { return nil }
        let start = at + 1
        var end = start
        while end < bytes.byteCount {
            switch bytes.byte(end) {
            case UInt8(ascii: "\""):
                at = end + 1
                return start..<end
            case UInt8(ascii: "\\"), 0..<0x20, 0x7f...: return nil
            default: end += 1
            }
        }
        return nil
    }

    private mutating func number() -> UInt64? {
        let start = at
        var value: UInt64 = 0
        while at < bytes.byteCount, at - start <= Self.digitsMax {
            let digit = bytes.byte(at) &- UInt8(ascii: "0")
            guard digit < 10 else { break }
            value = value * 10 + UInt64(digit)
            at += 1
        }
        let count = at - start
        guard count > 0, count <= Self.digitsMax else { return nil }
        return count > 1 && bytes.byte(start) == UInt8(ascii: "0") ? nil : value
    }
}
