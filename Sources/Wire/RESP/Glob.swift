/// Redis' patterns: `*`, `?`, `[a-c]`, `[^x]`, and a backslash before what is meant as it stands.
public enum Glob {
    /// Stars that one pattern may have within each other: each could double the work.
    private static let nestingMax = 1000

    /// Whether all of `text` matches.
    public static func matches(
        _ pattern: UnsafeRawBufferPointer, _ text: UnsafeRawBufferPointer,
        ignoringCase: Bool = false
    ) -> Bool {
        var skipsLonger = false
        return unsafe matches(pattern, 0, text, 0, ignoringCase, &skipsLonger, 0)
    }

    /// Whether a pattern has nothing special in it, so that it names one key.
    public static func isPlain(_ pattern: UnsafeRawBufferPointer) -> Bool {
        for place in 0..<pattern.count {
            switch unsafe pattern[place] {
            case UInt8(ascii: "*"), UInt8(ascii: "?"), UInt8(ascii: "["), UInt8(ascii: "\\"):
                return false
            default: break
            }
        }
        return true
    }

    /// `skipsLonger`: a star further in has met the end of the text, so no longer match of a star
    /// before it can help. It is what keeps `a*a*a*a*b` from taking for ever.
    private static func matches(
        _ pattern: UnsafeRawBufferPointer, _ patternStart: Int, _ text: UnsafeRawBufferPointer,
        _ textStart: Int, _ ignoringCase: Bool, _ skipsLonger: inout Bool, _ depth: Int
    ) -> Bool {
        guard depth <= nestingMax else { return false }
        var p = patternStart
        var t = textStart
        let pEnd = pattern.count
        let tEnd = text.count
        while p < pEnd, t < tEnd {
            switch unsafe pattern[p] {
            case UInt8(ascii: "*"):
                while p + 1 < pEnd, unsafe pattern[p + 1] == UInt8(ascii: "*") { p += 1 }
                if p + 1 == pEnd { return true }
                while t < tEnd {
                    if unsafe matches(
                        pattern, p + 1, text, t, ignoringCase, &skipsLonger, depth + 1)
                    {
                        return true
                    }
                    if skipsLonger { return false }
                    t += 1
                }
                skipsLonger = true
                return false
            case UInt8(ascii: "?"): t += 1
            case UInt8(ascii: "["):
                p += 1
                let isNegated = p < pEnd && (unsafe pattern[p] == UInt8(ascii: "^"))
                if isNegated { p += 1 }
                let isInside = unsafe holds(pattern, &p, text[t], ignoringCase)
                if isInside == isNegated { return false }
                t += 1
            default:
                if unsafe pattern[p] == UInt8(ascii: "\\"), p + 1 < pEnd { p += 1 }
                guard unsafe isSame(pattern[p], text[t], ignoringCase) else { return false }
                t += 1
            }
            p += 1
            if t == tEnd {
                while p < pEnd, unsafe pattern[p] == UInt8(ascii: "*") { p += 1 }
                break
            }
        }
        return p == pEnd && t == tEnd
    }

    /// Whether the class that begins at `p` holds the byte; `p` is left at its closing bracket,
    /// or at the last byte of a pattern that has none.
    private static func holds(
        _ pattern: UnsafeRawBufferPointer, _ p: inout Int, _ byte: UInt8, _ ignoringCase: Bool
    ) -> Bool {
        let end = pattern.count
        var isInside = false
        while true {
            if p + 1 < end, unsafe pattern[p] == UInt8(ascii: "\\") {
                p += 1
                if unsafe pattern[p] == byte { isInside = true }
            } else if p < end, unsafe pattern[p] == UInt8(ascii: "]") {
                return isInside
            } else if p >= end {
                p = end - 1
                return isInside
            } else if p + 2 < end, unsafe pattern[p + 1] == UInt8(ascii: "-") {
                var low = unsafe pattern[p]
                var high = unsafe pattern[p + 2]
                if low > high { swap(&low, &high) }
                var asked = byte
                if ignoringCase {
                    low = lower(low)
                    high = lower(high)
                    asked = lower(asked)
                }
                p += 2
                if asked >= low, asked <= high { isInside = true }
            } else if unsafe isSame(pattern[p], byte, ignoringCase) {
                isInside = true
            }
            p += 1
        }
    }

    @inline(__always)
    private static func isSame(_ one: UInt8, _ other: UInt8, _ ignoringCase: Bool) -> Bool {
        ignoringCase ? lower(one) == lower(other) : one == other
    }

    @inline(__always)
    private static func lower(_ byte: UInt8) -> UInt8 {
        byte &- 0x41 < 26 ? byte | 0x20 : byte
    }
}
