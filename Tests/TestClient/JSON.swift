/// A JSON value read from an answer, with the text it was written in.
///
/// Foundation's reader turns numbers into doubles and forgets the order of members; what the
/// server promises is the text itself. This one is strict and keeps it.
public struct JSON: Sendable {
    public enum Kind: Sendable {
        case null
        case bool(Bool)
        case number
        case string(String)
        case array([JSON])
        case object([(name: String, value: JSON)])
    }

    public let kind: Kind
    /// The bytes between which it stood.
    public let source: ArraySlice<UInt8>

    /// As it was written.
    public var text: String { String(decoding: source, as: UTF8.self) }

    /// nil where the bytes are anything but exactly one value and white space around it.
    public init?(_ bytes: [UInt8]) {
        var reader = Reader(bytes: bytes)
        guard let value = reader.value() else { return nil }
        reader.skipSpace()
        guard reader.at == bytes.count else { return nil }
        self = value
    }

    public init?(_ text: String) { self.init(Array(text.utf8)) }

    fileprivate init(_ kind: Kind, _ source: ArraySlice<UInt8>) {
        self.kind = kind
        self.source = source
    }

    /// The member of that name; nil where there is none, or more than one.
    public subscript(_ name: String) -> JSON? {
        guard case .object(let members) = kind else { return nil }
        let found = members.filter { $0.name == name }
        return found.count == 1 ? found[0].value : nil
    }

    public subscript(_ index: Int) -> JSON? {
        guard case .array(let elements) = kind, elements.indices.contains(index) else {
            return nil
        }
        return elements[index]
    }

    public var string: String? {
        if case .string(let text) = kind { return text }
        return nil
    }

    public var bool: Bool? {
        if case .bool(let value) = kind { return value }
        return nil
    }

    /// A number that is a whole one as it is written.
    public var int: Int? {
        if case .number = kind { return Int(text) }
        return nil
    }

    public var number: Double? {
        if case .number = kind { return Double(text) }
        return nil
    }

    public var elements: [JSON]? {
        if case .array(let elements) = kind { return elements }
        return nil
    }

    /// The names of an object's members, in the order in which they stand.
    public var names: [String]? {
        if case .object(let members) = kind { return members.map(\.name) }
        return nil
    }

    /// The elements of an array of strings and nothing else.
    public var strings: [String]? {
        guard let elements else { return nil }
        let texts = elements.compactMap(\.string)
        return texts.count == elements.count ? texts : nil
    }

    /// Text as a JSON string.
    public static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\u{0}"..<" ":
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}

extension Reply {
    /// The body as JSON; nil where it isn't, or isn't said to be.
    public var json: JSON? {
        guard header("content-type")?.lowercased().hasPrefix("application/json") == true
        else { return nil }
        return JSON(body)
    }
}

private struct Reader {
    let bytes: [UInt8]
    var at = 0
    var depth = 0

    /// As deep as anything the server may send, and shallow enough for a thread's stack.
    static let depthMax = 200

    mutating func skipSpace() {
        while at < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[at]) { at += 1 }
    }

    mutating func value() -> JSON? {
        skipSpace()
        let start = at
        guard at < bytes.count, depth < Self.depthMax else { return nil }
        depth += 1
        defer { depth -= 1 }
        guard let kind = kind() else { return nil }
        return JSON(kind, bytes[start..<at])
    }

    private mutating func kind() -> JSON.Kind? {
        switch bytes[at] {
        case UInt8(ascii: "n"): return take("null") ? .null : nil
        case UInt8(ascii: "t"): return take("true") ? .bool(true) : nil
        case UInt8(ascii: "f"): return take("false") ? .bool(false) : nil
        case UInt8(ascii: "\""): return string().map { .string($0) }
        case UInt8(ascii: "["): return array()
        case UInt8(ascii: "{"): return object()
        default: return passNumber() ? .number : nil
        }
    }

    private mutating func take(_ word: String) -> Bool {
        guard bytes[at...].starts(with: word.utf8) else { return false }
        at += word.utf8.count
        return true
    }

    private mutating func array() -> JSON.Kind? {
        at += 1
        var elements: [JSON] = []
        skipSpace()
        if take("]") { return .array([]) }
        while true {
            guard let element = value() else { return nil }
            elements.append(element)
            skipSpace()
            if take("]") { return .array(elements) }
            guard take(",") else { return nil }
        }
    }

    private mutating func object() -> JSON.Kind? {
        at += 1
        var members: [(name: String, value: JSON)] = []
        skipSpace()
        if take("}") { return .object([]) }
        while true {
            skipSpace()
            guard at < bytes.count, bytes[at] == UInt8(ascii: "\""), let name = string()
            else { return nil }
            skipSpace()
            guard take(":"), let value = value() else { return nil }
            members.append((name, value))
            skipSpace()
            if take("}") { return .object(members) }
            guard take(",") else { return nil }
        }
    }

    private mutating func passNumber() -> Bool {
        _ = take("-")
        if !take("0") {
            guard at < bytes.count, bytes[at] != UInt8(ascii: "0"), passDigits() else {
                return false
            }
        }
        if take("."), !passDigits() { return false }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            return passDigits()
        }
        return true
    }

    private mutating func passDigits() -> Bool {
        let start = at
        while at < bytes.count, (0x30...0x39).contains(bytes[at]) { at += 1 }
        return at > start
    }

    private mutating func string() -> String? {
        at += 1
        var text: [UInt8] = []
        while at < bytes.count {
            let start = at
            while at < bytes.count, bytes[at] >= 0x20, bytes[at] != UInt8(ascii: "\""),
                bytes[at] != UInt8(ascii: "\\")
            {
                at += 1
            }
            text += bytes[start..<at]
            guard at < bytes.count, bytes[at] >= 0x20 else { return nil }
            at += 1
            if bytes[at - 1] == UInt8(ascii: "\"") {
                return String(validating: text, as: UTF8.self)
            }
            guard at < bytes.count, let scalar = escaped() else { return nil }
            text += String(Character(scalar)).utf8
        }
        return nil
    }

    /// What stands behind a backslash.
    private mutating func escaped() -> Unicode.Scalar? {
        at += 1
        switch bytes[at - 1] {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            guard let unit = fourDigits() else { return nil }
            if let scalar = Unicode.Scalar(unit) { return scalar }
            guard (0xD800..<0xDC00).contains(unit), take("\\u"), let low = fourDigits(),
                (0xDC00..<0xE000).contains(low)
            else { return nil }
            return Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))
        default: return nil
        }
    }

    private mutating func fourDigits() -> UInt32? {
        guard at + 4 <= bytes.count else { return nil }
        let digits = String(decoding: bytes[at..<at + 4], as: UTF8.self)
        guard digits.utf8.count == 4, digits.first != "+", digits.first != "-" else { return nil }
        at += 4
        return UInt32(digits, radix: 16)
    }
}
