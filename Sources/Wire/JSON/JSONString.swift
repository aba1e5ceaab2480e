/// JSON strings to the bytes they stand for, and back. HTTP shows a value of UTF-8 bytes as a JSON
/// string, RESP sees a JSON string as its raw characters, and member names are compared decoded.
public enum JSONString {
    /// How many bytes `raw`, a JSON string with its quotes, decodes to at most: no escape is
    /// shorter than what it stands for.
    @inlinable
    public static func decodedCountMax(_ raw: UnsafeRawBufferPointer) -> Int {
        max(0, raw.count - 2)
    }

    /// Writes what `raw` stands for and answers how many bytes that is; nil when `raw` is not one
    /// JSON string from quote to quote, or when it doesn't fit. Escaped pairs of surrogates become
    /// the one character they mean.
    public static func decode(
        _ raw: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) -> Int? {
        var pieces = unsafe JSONStringPieces(raw)
        var written = 0
        while let piece = pieces.next() {
            let count = piece.count
            guard written + count <= output.count else { return nil }
            if count == 0 { continue }
            unsafe piece.write(to: output.baseAddress.unsafelyUnwrapped + written)
            written += count
        }
        return pieces.isWhole ? written : nil
    }

    /// Whether `raw`, a JSON string with its quotes, stands for exactly `text`.
    public static func decodes(
        _ raw: UnsafeRawBufferPointer, to text: UnsafeRawBufferPointer
    ) -> Bool {
        var pieces = unsafe JSONStringPieces(raw)
        var matched = 0
        while let piece = pieces.next() {
            let count = piece.count
            guard matched + count <= text.count else { return false }
            for i in 0..<count where unsafe piece[i] != text[matched + i] { return false }
            matched += count
        }
        return pieces.isWhole && matched == text.count
    }

    /// How many bytes `encode` writes for `text`, quotes included.
    public static func encodedCount(_ text: UnsafeRawBufferPointer) -> Int {
        var count = text.count + 2
        var at = 0
        while true {
            at = unsafe nextEscaped(in: text, from: at)
            guard at < text.count else { return count }
            count += unsafe shortEscape(text[at]) == 0 ? 5 : 1
            at += 1
        }
    }

    /// Writes `text`, which must be UTF-8 (``UTF8Text/isValid(_:)``), as a JSON string with its
    /// quotes, and answers the count; nil when it doesn't fit. Only what RFC 8259 §7 demands is
    /// escaped: the quote, the backslash and control characters.
    public static func encode(
        _ text: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) -> Int? {
        guard output.count >= text.count + 2 else { return nil }
        let out = unsafe output.baseAddress.unsafelyUnwrapped
        unsafe out.storeBytes(of: 0x22, as: UInt8.self)
        var written = 1
        var at = 0
        while true {
            let stop = unsafe nextEscaped(in: text, from: at)
            let run = stop - at
            guard written + run < output.count else { return nil }
            if run > 0 {
                unsafe (out + written).copyMemory(
                    from: text.baseAddress.unsafelyUnwrapped + at, byteCount: run)
                written += run
            }
            guard stop < text.count else { break }
            let byte = unsafe text[stop]
            let short = shortEscape(byte)
            guard written + (short == 0 ? 6 : 2) < output.count else { return nil }
            unsafe output[written] = 0x5C
            if short != 0 {
                unsafe output[written + 1] = short
                written += 2
            } else {
                unsafe output[written + 1] = 0x75
                unsafe output[written + 2] = 0x30
                unsafe output[written + 3] = 0x30
                unsafe output[written + 4] = 0x30 + byte >> 4
                unsafe output[written + 5] = hexDigit(byte & 15)
                written += 6
            }
            at = stop + 1
        }
        unsafe output[written] = 0x22
        return written + 1
    }

    // MARK: Escapes

    /// The next byte that cannot stand in a JSON string as it is; the end where there is none.
    static func nextEscaped(in text: UnsafeRawBufferPointer, from start: Int) -> Int {
        var at = start
        while at + 16 <= text.count {
            let block = unsafe text.loadUnaligned(fromByteOffset: at, as: SIMD16<UInt8>.self)
            let stops = block.stringStops & ~block & SIMD16(repeating: 0x80)
            if !stops.isUnmarked { return at + stops.firstMark }
            at += 16
        }
        while at < text.count {
            let byte = unsafe text[at]
            if byte < 0x20 || byte == 0x22 || byte == 0x5C { break }
            at += 1
        }
        return at
    }

    /// The letter after the backslash of the two-character form; 0 where there is none.
    private static func shortEscape(_ byte: UInt8) -> UInt8 {
        switch byte {
        case 0x22, 0x5C: byte
        case 0x08: 0x62
        case 0x09: 0x74
        case 0x0A: 0x6E
        case 0x0C: 0x66
        case 0x0D: 0x72
        default: 0
        }
    }

    private static func hexDigit(_ digit: UInt8) -> UInt8 { digit + (digit < 10 ? 0x30 : 0x57) }
}

/// What a JSON string stands for, a piece at a time: a run of bytes as they are, or the one to four
/// bytes of an escape.
@safe
struct JSONStringPieces {
    private var cursor: JSONCursor
    /// Whether the string was read to its closing quote, and that was its last byte.
    private(set) var isWhole = false

    @safe
    struct Piece {
        let start: UnsafeRawPointer?
        let count: Int
        /// The bytes of an escape, the first lowest.
        let packed: UInt32

        @inline(__always)
        subscript(_ i: Int) -> UInt8 {
            if let start = unsafe start {
                return unsafe start.load(fromByteOffset: i, as: UInt8.self)
            }
            return UInt8(truncatingIfNeeded: packed &>> (UInt32(i) &* 8))
        }

        @inline(__always)
        func write(to output: UnsafeMutableRawPointer) {
            if let start = unsafe start {
                unsafe output.copyMemory(from: start, byteCount: count)
                return
            }
            for i in 0..<count {
                unsafe output.storeBytes(of: self[i], toByteOffset: i, as: UInt8.self)
            }
        }
    }

    init(_ raw: UnsafeRawBufferPointer) {
        cursor = unsafe JSONCursor(raw)
        // Past the opening quote; without one the text is as good as over.
        cursor.at = cursor.byte == 0x22 ? 1 : cursor.end
    }

    mutating func next() -> Piece? {
        guard let byte = cursor.byte else { return nil }
        if byte == 0x5C { return escape() }
        let start = cursor.at
        let text = unsafe UnsafeRawBufferPointer(start: cursor.base, count: cursor.end)
        cursor.at = unsafe JSONString.nextEscaped(in: text, from: start)
        if cursor.at == start {
            // The closing quote, or a bare control character, which no JSON string has.
            isWhole = byte == 0x22 && start + 1 == cursor.end
            return nil
        }
        return unsafe Piece(start: cursor.base + start, count: cursor.at - start, packed: 0)
    }

    private mutating func escape() -> Piece? {
        let start = cursor.at
        guard cursor.skipEscape() else { return nil }
        switch cursor[start + 1] {
        case 0x62: return one(0x08)
        case 0x66: return one(0x0C)
        case 0x6E: return one(0x0A)
        case 0x72: return one(0x0D)
        case 0x74: return one(0x09)
        case 0x75: break
        case let same: return one(same)
        }
        guard var scalar = cursor.fourHex(start + 2) else { return nil }
        if cursor.at - start == 12 {
            guard let second = cursor.fourHex(start + 8) else { return nil }
            scalar = 0x10000 + (scalar & 0x3FF) << 10 + second & 0x3FF
        }
        return utf8(scalar)
    }

    private func one(_ byte: UInt8) -> Piece {
        unsafe Piece(start: nil, count: 1, packed: UInt32(byte))
    }

    private func utf8(_ scalar: UInt32) -> Piece {
        let last = 0x80 | scalar & 0x3F
        if scalar < 0x80 { return unsafe Piece(start: nil, count: 1, packed: scalar) }
        if scalar < 0x800 {
            return unsafe Piece(start: nil, count: 2, packed: (0xC0 | scalar >> 6) | last << 8)
        }
        let third = 0x80 | scalar >> 6 & 0x3F
        if scalar < 0x10000 {
            return unsafe Piece(
                start: nil, count: 3, packed: (0xE0 | scalar >> 12) | third << 8 | last << 16)
        }
        let second = 0x80 | scalar >> 12 & 0x3F
        return unsafe Piece(
            start: nil, count: 4,
            packed: (0xF0 | scalar >> 18) | second << 8 | third << 16 | last << 24)
    }
}
