internal import Glibc

/// Stops the process when a promise of our own code is broken: `precondition` says nothing at -O.
@inline(__always)
func invariant(_ holds: Bool, _ message: StaticString) {
    if !holds { stop(message) }
}

@inline(never)
func stop(_ message: StaticString) -> Never {
    _ = unsafe write(2, message.utf8Start, message.utf8CodeUnitCount)
    _ = unsafe write(2, "\n", 1)
    abort()
}

extension RawSpan {
    /// The byte at `offset`, bounds checked.
    @inline(__always)
    func byte(_ offset: Int) -> UInt8 {
        unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }

    /// Whether these bytes, at `range`, are exactly the ASCII of `text`. Not for secrets.
    func matches(_ text: StaticString, at range: Range<Int>) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<range.count
        where unsafe byte(range.lowerBound + index) != text.utf8Start[index] {
            return false
        }
        return true
    }

    /// Whether these bytes, at `range`, are the ASCII of `text` but for the case of letters;
    /// `text` is given in lower case.
    func matchesAnyCase(_ text: StaticString, at range: Range<Int>) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<range.count {
            var byte = byte(range.lowerBound + index)
            if byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") { byte |= 0x20 }
            if unsafe byte != text.utf8Start[index] { return false }
        }
        return true
    }
}

extension [UInt8] {
    mutating func append(ascii text: StaticString) {
        for index in 0..<text.utf8CodeUnitCount { append(unsafe text.utf8Start[index]) }
    }

    mutating func append(decimal number: UInt64) {
        var rest = number
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var first = digits.count
        repeat {
            first -= 1
            digits[first] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while rest != 0
        for index in first..<digits.count { append(digits[index]) }
    }
}
