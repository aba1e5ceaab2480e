/// One thing that was done at the keyboard.
enum Key: Equatable, Sendable {
    case character(Character)
    /// Text that was pasted in one go, with its line breaks as line feeds.
    case pasted(String)
    /// A letter with the control key: `c` of Ctrl-C.
    case control(Character)
    /// A letter with the meta (alt) key.
    case meta(Character)
    case enter, tab, backTab, backspace, delete, escape
    case left, right, up, down, home, end, wordLeft, wordRight
}

/// From a terminal's bytes to keys, however the bytes are split.
///
/// A lone escape byte is a key as well as the beginning of many: it is one once the terminal has
/// nothing more to say (`settle`).
struct KeyReader {
    private var bytes: [UInt8] = []
    private var paste: [UInt8]?

    private static let pasteStart = Array("\u{1B}[200~".utf8)
    private static let pasteEnd = Array("\u{1B}[201~".utf8)
    /// Longer sequences than this are no terminal's.
    private static let sequenceMax = 32

    /// Bytes wait for what follows them.
    var isPending: Bool { !bytes.isEmpty }

    mutating func feed(_ more: [UInt8]) { bytes += more }

    /// No more is coming soon: an escape is a key of its own.
    mutating func settle() -> Key? {
        guard paste == nil, bytes.first == 0x1B else { return nil }
        bytes.removeFirst()
        return .escape
    }

    mutating func next() -> Key? {
        while true {
            if paste != nil {
                guard let key = nextOfPaste() else { return nil }
                return key
            }
            guard let first = bytes.first else { return nil }
            if first == 0x1B {
                switch sequence() {
                case .needMore: return nil
                case .key(let key): return key
                case .nothing: continue
                }
            }
            if first < 0x20 || first == 0x7F {
                bytes.removeFirst()
                return Self.control(first)
            }
            guard let count = Self.scalarCount(bytes) else { return nil }
            let text = String(decoding: bytes[..<count], as: UTF8.self)
            bytes.removeFirst(count)
            if let character = text.first { return .character(character) }
        }
    }

    private static func control(_ byte: UInt8) -> Key {
        switch byte {
        case 0x0D, 0x0A: .enter
        case 0x09: .tab
        case 0x08, 0x7F: .backspace
        default: .control(Character(Unicode.Scalar(byte | 0x60)))
        }
    }

    /// The bytes of the scalar at the beginning, nil where some are still to come. What is no
    /// UTF-8 is taken byte by byte, and shown as a replacement character.
    private static func scalarCount(_ bytes: [UInt8]) -> Int? {
        let wanted =
            switch bytes[0] {
            case 0xC2...0xDF: 2
            case 0xE0...0xEF: 3
            case 0xF0...0xF4: 4
            default: 1
            }
        for place in 1..<max(1, wanted) {
            guard place < bytes.count else { return nil }
            if bytes[place] & 0xC0 != 0x80 { return 1 }
        }
        return wanted
    }

    private mutating func nextOfPaste() -> Key? {
        let end = Self.pasteEnd
        for at in bytes.indices where bytes[at...].starts(with: end) {
            let text = (paste ?? []) + bytes[..<at]
            bytes.removeFirst(at + end.count)
            paste = nil
            var plain = String(decoding: text, as: UTF8.self)
            plain = plain.split(separator: "\r\n", omittingEmptySubsequences: false)
                .joined(separator: "\n")
            return .pasted(String(plain.map { $0 == "\r" ? "\n" : $0 }))
        }
        // The end may have begun in what is there.
        let keep = min(bytes.count, end.count - 1)
        paste = (paste ?? []) + bytes[..<(bytes.count - keep)]
        bytes.removeFirst(bytes.count - keep)
        return nil
    }

    private enum Sequence { case needMore, key(Key), nothing }

    private mutating func sequence() -> Sequence {
        guard bytes.count > 1 else { return .needMore }
        switch bytes[1] {
        case UInt8(ascii: "["): return bracket()
        case UInt8(ascii: "O"):
            guard bytes.count > 2 else { return .needMore }
            let final = bytes[2]
            bytes.removeFirst(3)
            return Self.arrow(final, modifier: 1).map { .key($0) } ?? .nothing
        case 0x7F, 0x08:
            bytes.removeFirst(2)
            return .key(.meta("\u{7F}"))
        case 0x1B:
            bytes.removeFirst()
            return .key(.escape)
        case let byte where byte >= 0x20 && byte < 0x7F:
            bytes.removeFirst(2)
            return .key(.meta(Character(Unicode.Scalar(byte | (byte > 0x40 ? 0x20 : 0)))))
        default:
            bytes.removeFirst()
            return .key(.escape)
        }
    }

    /// `ESC [ numbers final`.
    private mutating func bracket() -> Sequence {
        guard let end = bytes[2...].firstIndex(where: { $0 >= 0x40 && $0 <= 0x7E }) else {
            guard bytes.count > Self.sequenceMax else { return .needMore }
            bytes.removeAll()
            return .nothing
        }
        let sequence = Array(bytes[...end])
        bytes.removeFirst(end + 1)
        if sequence == Self.pasteStart {
            paste = []
            return .nothing
        }
        let numbers = String(decoding: sequence[2..<end], as: UTF8.self)
            .split(separator: ";", omittingEmptySubsequences: false).map { Int($0) ?? 1 }
        let modifier = numbers.count > 1 ? numbers[1] : 1
        if sequence[end] == UInt8(ascii: "~") {
            switch numbers.first {
            case 1, 7: return .key(.home)
            case 3: return .key(.delete)
            case 4, 8: return .key(.end)
            default: return .nothing
            }
        }
        return Self.arrow(sequence[end], modifier: modifier).map { .key($0) } ?? .nothing
    }

    /// Modifier 1 is none; with control (5) or meta (3) an arrow goes by words.
    private static func arrow(_ final: UInt8, modifier: Int) -> Key? {
        switch final {
        case UInt8(ascii: "A"): .up
        case UInt8(ascii: "B"): .down
        case UInt8(ascii: "C"): modifier > 2 ? .wordRight : .right
        case UInt8(ascii: "D"): modifier > 2 ? .wordLeft : .left
        case UInt8(ascii: "F"): .end
        case UInt8(ascii: "H"): .home
        case UInt8(ascii: "Z"): .backTab
        default: nil
        }
    }
}
