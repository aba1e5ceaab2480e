/// A place in JSON text that moves forward over one whole token or value at a time and stops at
/// the first byte RFC 8259 does not allow.
///
/// Everything that reads JSON here is made of it, so that there is one grammar: a scanner that is
/// only looking for a member checks what it passes over just as the validator does. It never looks
/// outside its bytes whatever they hold, which is why it is marked safe; it calls itself nowhere,
/// so nesting costs no stack.
@safe
struct JSONCursor {
    let base: UnsafeRawPointer
    let end: Int
    /// The next byte to read; after a failure, the byte that is at fault.
    var at: Int
    /// Why the last verb answered false.
    var fault: JSONFault
    /// Whether the last string passed over had a backslash in it: those without can be compared
    /// byte by byte.
    var sawEscape: Bool

    init(_ bytes: UnsafeRawBufferPointer, at start: Int = 0) {
        // An empty buffer may have no address; it is never read, so any address serves.
        unsafe base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1).unsafelyUnwrapped
        end = bytes.count
        at = start
        fault = .unexpectedEnd
        sawEscape = false
    }

    /// The byte at hand, nil at the end.
    @inline(__always)
    var byte: UInt8? { at < end ? self[at] : nil }

    @inline(__always)
    subscript(_ offset: Int) -> UInt8 {
        unsafe base.load(fromByteOffset: offset, as: UInt8.self)
    }

    @inline(never)
    mutating func fail(_ reason: JSONFault, at offset: Int) -> Bool {
        fault = offset >= end ? .unexpectedEnd : reason
        at = min(offset, end)
        return false
    }

    // MARK: Tokens

    @inline(__always)
    mutating func skipSpace() {
        if at < end && self[at] <= 0x20 { at = spaceEnd(from: at) }
    }

    /// Pretty-printed text has a line feed and then a run of blanks: one or two blocks.
    @inline(never)
    private func spaceEnd(from start: Int) -> Int {
        var i = start
        while i &+ 16 <= end {
            let block = unsafe (base + i).loadUnaligned(as: SIMD16<UInt8>.self)
            let blanks =
                block.zeros(after: 0x20) | block.zeros(after: 0x0A) | block.zeros(after: 0x0D)
                | block.zeros(after: 0x09)
            let others = blanks ^ SIMD16(repeating: 0x80)
            if !others.isUnmarked { return i &+ others.firstMark }
            i = i &+ 16
        }
        while i < end, isBlank(self[i]) { i = i &+ 1 }
        return i
    }

    @inline(__always)
    private func isBlank(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }

    /// Passes `wanted` and the white space before it.
    @inline(__always)
    mutating func skip(_ wanted: UInt8, else reason: JSONFault) -> Bool {
        skipSpace()
        guard at < end, self[at] == wanted else { return fail(reason, at: at) }
        at += 1
        return true
    }

    /// Passes the string whose opening quote is at hand.
    @inline(__always)
    mutating func skipString() -> Bool {
        sawEscape = false
        let i = stringStop(from: at &+ 1)
        if i < end && self[i] == 0x22 {
            at = i &+ 1
            return true
        }
        return skipString(from: i)
    }

    /// Passes the rest of a string that is more than plain ASCII text, from `start` on.
    @inline(never)
    private mutating func skipString(from start: Int) -> Bool {
        var i = start
        while true {
            guard i < end else { return fail(.unexpectedEnd, at: end) }
            let byte = self[i]
            if byte == 0x22 {
                at = i + 1
                return true
            }
            if byte == 0x5C {
                sawEscape = true
                at = i
                guard skipEscape() else { return false }
                i = at
            } else if byte < 0x20 {
                return fail(.controlCharacter, at: i)
            } else {
                // Text outside ASCII comes in runs: stay here while it lasts.
                repeat {
                    let length = unsafe UTF8Text.sequenceLength(base, i, end)
                    guard length > 0 else { return fail(.badUTF8, at: i) }
                    i = i &+ length
                } while i < end && self[i] >= 0x80
            }
            i = stringStop(from: i)
        }
    }

    /// The next byte that is not plain ASCII text: a quote, a backslash, a control character, or
    /// part of a longer sequence.
    @inline(__always)
    private func stringStop(from start: Int) -> Int {
        var i = start
        while i &+ 16 <= end {
            // A byte with its high bit set is a stop too, so what it does to the rest is no matter.
            let block = unsafe (base + i).loadUnaligned(as: SIMD16<UInt8>.self)
            let stops = (block.stringStops | block) & SIMD16(repeating: 0x80)
            if !stops.isUnmarked { return i &+ stops.firstMark }
            i = i &+ 16
        }
        while i < end {
            let byte = self[i]
            if byte < 0x20 || byte == 0x22 || byte == 0x5C || byte >= 0x80 { break }
            i = i &+ 1
        }
        return i
    }

    /// Passes the escape whose backslash is at hand, both halves of a surrogate pair at once.
    mutating func skipEscape() -> Bool {
        guard at + 1 < end else { return fail(.unexpectedEnd, at: end) }
        switch self[at + 1] {
        case 0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74:
            at += 2
            return true
        case 0x75:
            break
        default:
            return fail(.badEscape, at: at + 1)
        }
        guard let unit = fourHex(at + 2) else { return false }
        if unit & 0xF800 != 0xD800 {
            at += 6
            return true
        }
        let first = at
        guard unit < 0xDC00 else { return fail(.loneSurrogate, at: first) }
        guard at + 6 < end else { return fail(.unexpectedEnd, at: end) }
        guard self[at + 6] == 0x5C else { return fail(.loneSurrogate, at: first) }
        guard at + 7 < end else { return fail(.unexpectedEnd, at: end) }
        guard self[at + 7] == 0x75 else { return fail(.loneSurrogate, at: first) }
        guard let second = fourHex(at + 8) else { return false }
        guard second & 0xFC00 == 0xDC00 else { return fail(.loneSurrogate, at: first) }
        at += 12
        return true
    }

    /// The value of four hexadecimal digits; nil, with the fault noted, where they are not.
    mutating func fourHex(_ start: Int) -> UInt32? {
        var unit: UInt32 = 0
        for i in start..<(start + 4) {
            guard i < end else {
                _ = fail(.unexpectedEnd, at: end)
                return nil
            }
            let byte = self[i]
            let digit: UInt8
            switch byte {
            case 0x30...0x39: digit = byte &- 0x30
            case 0x41...0x46: digit = byte &- 0x37
            case 0x61...0x66: digit = byte &- 0x57
            default:
                _ = fail(.badEscape, at: i)
                return nil
            }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }

    /// Passes the number that starts at hand, RFC 8259 §6.
    @inline(__always)
    mutating func skipNumber() -> Bool {
        var i = at
        if self[i] == 0x2D { i = i &+ 1 }
        guard i < end, isDigit(self[i]) else { return fail(.badNumber, at: i) }
        if self[i] == 0x30 {
            i = i &+ 1
            if i < end, isDigit(self[i]) { return fail(.badNumber, at: i) }
        } else {
            i = skipDigits(i)
        }
        if i < end, self[i] == 0x2E {
            i = i &+ 1
            guard i < end, isDigit(self[i]) else { return fail(.badNumber, at: i) }
            i = skipDigits(i)
        }
        if i < end, self[i] | 0x20 == 0x65 {
            i = i &+ 1
            if i < end, self[i] == 0x2B || self[i] == 0x2D { i = i &+ 1 }
            guard i < end, isDigit(self[i]) else { return fail(.badNumber, at: i) }
            i = skipDigits(i)
        }
        at = i
        return true
    }

    @inline(__always)
    private func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    @inline(__always)
    private func skipDigits(_ start: Int) -> Int {
        var i = start
        while i < end, isDigit(self[i]) { i = i &+ 1 }
        return i
    }

    @inline(never)
    private mutating func skipLiteral(_ literal: StaticString) -> Bool {
        let text = unsafe literal.utf8Start
        for i in 0..<literal.utf8CodeUnitCount {
            guard at + i < end, unsafe self[at + i] == text[i] else {
                return fail(.badLiteral, at: at + i)
            }
        }
        at += literal.utf8CodeUnitCount
        return true
    }

    // MARK: Values

    /// Passes one value and the white space before it; `depthMax` is how many arrays and objects
    /// may be open within it.
    ///
    /// What is open is one bit each, an object being 1, so 128 levels are one integer and there is
    /// no stack to grow.
    mutating func skipValue(depthMax: Int) -> Bool {
        var cursor = self
        let passed = cursor.passValue(depthMax: depthMax)
        self = cursor
        return passed
    }

    @inline(__always)
    private mutating func passValue(depthMax: Int) -> Bool {
        var kinds: UInt128 = 0
        var depth = 0
        var wantsName = false
        while true {
            skipSpace()
            guard at < end else { return fail(.unexpectedEnd, at: end) }
            let byte = self[at]
            if byte == 0x22 {
                guard skipString() else { return false }
                if wantsName {
                    wantsName = false
                    guard skip(0x3A, else: .missingColon) else { return false }
                    continue
                }
            } else if wantsName {
                return fail(.missingName, at: at)
            } else if byte == 0x7B || byte == 0x5B {
                guard depth < depthMax else { return fail(.tooDeep, at: at) }
                at += 1
                skipSpace()
                // `{` and `}`, `[` and `]` are two apart.
                if at < end, self[at] == byte &+ 2 {
                    at += 1
                } else {
                    depth += 1
                    wantsName = byte == 0x7B
                    kinds = kinds &<< 1 | (wantsName ? 1 : 0)
                    continue
                }
            } else if byte == 0x2D || isDigit(byte) {
                guard skipNumber() else { return false }
            } else if byte == 0x74 {
                guard skipLiteral("true") else { return false }
            } else if byte == 0x66 {
                guard skipLiteral("false") else { return false }
            } else if byte == 0x6E {
                guard skipLiteral("null") else { return false }
            } else {
                return fail(.unexpectedByte, at: at)
            }
            while true {
                if depth == 0 { return true }
                skipSpace()
                guard at < end else { return fail(.unexpectedEnd, at: end) }
                let isObject = kinds & 1 == 1
                let next = self[at]
                if next == 0x2C {
                    at += 1
                    wantsName = isObject
                    break
                }
                guard next == (isObject ? 0x7D : 0x5D) else { return fail(.missingComma, at: at) }
                at += 1
                depth -= 1
                kinds = kinds &>> 1
            }
        }
    }
}
