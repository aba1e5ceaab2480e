/// Whether bytes that arrive in pieces are UTF-8 so far, by the table of RFC 3629 §4.
///
/// RFC 6455 8.1 has a text message fail when it is found not to be UTF-8, and a message can come
/// in any number of frames and a frame in any number of pieces, cut within a character. So what is
/// carried from piece to piece is how many bytes the open character still needs and what the next
/// of them may be; the answer is no at the very byte that no character could have there.
public struct UTF8Progress: Equatable, Sendable, BitwiseCopyable {
    /// Bytes that the open character lacks.
    private var missing: UInt8 = 0
    private var low: UInt8 = 0x80
    private var high: UInt8 = 0xBF

    public init() {}

    /// Whether the text may end here: no character is open.
    public var isBetweenCharacters: Bool { missing == 0 }

    /// Reads on. False: the text is not UTF-8, whatever follows.
    public mutating func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        let end = bytes.count
        var at = 0
        while at < end {
            if missing == 0 {
                at = unsafe Self.asciiEnd(base, from: at, to: end)
                if at == end { break }
                guard unsafe begin(base.load(fromByteOffset: at, as: UInt8.self)) else {
                    return false
                }
            } else {
                let byte = unsafe base.load(fromByteOffset: at, as: UInt8.self)
                guard byte >= low, byte <= high else { return false }
                low = 0x80
                high = 0xBF
                missing &-= 1
            }
            at &+= 1
        }
        return true
    }

    /// The first byte of a character that is not ASCII. The byte after it has narrower bounds where
    /// wider ones would allow overlong forms, surrogates or what lies above U+10FFFF.
    private mutating func begin(_ byte: UInt8) -> Bool {
        switch byte {
        case 0xC2...0xDF: missing = 1
        case 0xE0...0xEF:
            missing = 2
            if byte == 0xE0 { low = 0xA0 }
            if byte == 0xED { high = 0x9F }
        case 0xF0...0xF4:
            missing = 3
            if byte == 0xF0 { low = 0x90 }
            if byte == 0xF4 { high = 0x8F }
        default: return false
        }
        return true
    }

    /// The first byte that is not ASCII, or the end.
    @inline(__always)
    private static func asciiEnd(_ base: UnsafeRawPointer, from start: Int, to end: Int) -> Int {
        var at = start
        while at &+ 16 <= end {
            let block = unsafe (base + at).loadUnaligned(as: SIMD16<UInt8>.self)
            let marks = block & SIMD16(repeating: 0x80)
            if !marks.isUnmarked { return at &+ marks.firstMark }
            at &+= 16
        }
        while at < end, unsafe base.load(fromByteOffset: at, as: UInt8.self) < 0x80 { at &+= 1 }
        return at
    }
}
