/// Random documents and random damage, the same for the same seed on every machine.
struct JSONRandom {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    mutating func pick<T>(_ all: [T]) -> T { all[below(all.count)] }

    // MARK: Documents

    /// Few names in several spellings, so that documents meet each other's names and repeat their
    /// own.
    private static let names = [
        "a", "b", "c", "d", "\\u0061", "\\u0062", "", "é", "\\u00e9",
        "long name of more than sixteen",
        "\\ud83d\\ude00", "😀",
    ]

    private static let scalars = [
        "null", "null", "true", "false", "0", "-0", "12", "-3.5", "1e9", "6.02E+23", "\"\"",
        "\"plain\"", "\"\\n\\\"\\\\\"", "\"ünï\\u0041😀\"",
        "\"a string that is longer than a block\"",
    ]

    private mutating func space() -> String {
        below(8) == 0 ? pick([" ", "\n", "\t", "\r\n", "\n                        "]) : ""
    }

    mutating func document(depth: Int = 4) -> String {
        space() + value(depth: depth) + space()
    }

    mutating func object(depth: Int = 4) -> String {
        var text = "{" + space()
        for i in 0..<below(5) {
            if i > 0 { text += "," + space() }
            text += "\"\(pick(Self.names))\"" + space() + ":" + space()
            text += value(depth: depth - 1) + space()
        }
        return text + "}"
    }

    private mutating func value(depth: Int) -> String {
        guard depth > 0 else { return pick(Self.scalars) }
        switch below(6) {
        case 0, 1, 2: return object(depth: depth)
        case 3:
            let elements = (0..<below(4)).map { _ in space() + value(depth: depth - 1) + space() }
            return "[" + elements.joined(separator: ",") + "]"
        default: return pick(Self.scalars)
        }
    }

    // MARK: Damage

    /// What a damaged document is likely to have in it.
    private static let spice: [UInt8] =
        Array("{}[]\":,\\u0123eE+-.dD8fbnrt \n\u{1}".utf8)
        + [0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xC2, 0xE0, 0xED, 0xA0, 0xF0, 0xF4, 0x90, 0xFF]

    mutating func damaged(_ document: [UInt8]) -> [UInt8] {
        var bytes = document
        for _ in 0...below(3) {
            guard !bytes.isEmpty else { break }
            let at = below(bytes.count)
            switch below(5) {
            case 0: bytes.remove(at: at)
            case 1: bytes.insert(pick(Self.spice), at: at)
            case 2: bytes[at] = pick(Self.spice)
            case 3: bytes.swapAt(at, below(bytes.count))
            default: bytes[at] ^= 1 << UInt8(below(8))
            }
        }
        return bytes
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }
}
