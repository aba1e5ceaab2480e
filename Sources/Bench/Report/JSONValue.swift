/// JSON, as far as results need it: written by `--json`, read back by `--compare`.
indirect enum JSONValue: Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])
    /// In the order of writing, so that a result reads the same each time.
    case object([(String, JSONValue)])

    static func == (a: JSONValue, b: JSONValue) -> Bool { a.text == b.text }

    static func count(_ value: UInt64) -> JSONValue { .number(Double(value)) }

    subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.0 == name }?.1
    }

    var members: [(String, JSONValue)] {
        guard case .object(let members) = self else { return [] }
        return members
    }

    var number: Double? {
        guard case .number(let value) = self else { return nil }
        return value
    }

    var string: String? {
        guard case .string(let value) = self else { return nil }
        return value
    }

    // MARK: Writing

    var text: String {
        switch self {
        case .null: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .number(let value):
            guard value.isFinite else { return "null" }
            return value == value.rounded() && abs(value) < 0x1p53
                ? String(Int64(value)) : String(value)
        case .string(let value): return Self.quoted(value)
        case .array(let values): return "[" + values.map(\.text).joined(separator: ",") + "]"
        case .object(let members):
            return "{"
                + members.map { Self.quoted($0.0) + ":" + $0.1.text }.joined(separator: ",") + "}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\" + String(scalar)
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    // MARK: Reading

    /// Results nest three deep; a file that nests deeper is none of ours.
    private static let depthMax = 32

    /// The value, or nil when the text is not JSON from end to end.
    static func parse(_ bytes: [UInt8]) -> JSONValue? {
        var rest = bytes[...]
        guard let value = value(&rest, depth: 0) else { return nil }
        skipSpace(&rest)
        return rest.isEmpty ? value : nil
    }

    private static func value(_ rest: inout ArraySlice<UInt8>, depth: Int) -> JSONValue? {
        guard depth < depthMax else { return nil }
        skipSpace(&rest)
        switch rest.first {
        case UInt8(ascii: "{"): return object(&rest, depth: depth)
        case UInt8(ascii: "["): return array(&rest, depth: depth)
        case UInt8(ascii: "\""): return stringBody(&rest).map { .string($0) }
        default: break
        }
        for (word, value) in [
            ("null", JSONValue.null), ("true", .bool(true)), ("false", .bool(false)),
        ]
        where rest.starts(with: word.utf8) {
            rest = rest.dropFirst(word.utf8.count)
            return value
        }
        let digits = rest.prefix { "+-.eE0123456789".utf8.contains($0) }
        guard let number = Double(String(decoding: digits, as: UTF8.self)) else { return nil }
        rest = rest.dropFirst(digits.count)
        return .number(number)
    }

    private static func object(_ rest: inout ArraySlice<UInt8>, depth: Int) -> JSONValue? {
        var members: [(String, JSONValue)] = []
        rest.removeFirst()
        if skips(UInt8(ascii: "}"), &rest) { return .object([]) }
        while true {
            skipSpace(&rest)
            guard rest.first == UInt8(ascii: "\""), let name = stringBody(&rest),
                skips(UInt8(ascii: ":"), &rest), let value = value(&rest, depth: depth + 1)
            else { return nil }
            members.append((name, value))
            if skips(UInt8(ascii: "}"), &rest) { return .object(members) }
            guard skips(UInt8(ascii: ","), &rest) else { return nil }
        }
    }

    private static func array(_ rest: inout ArraySlice<UInt8>, depth: Int) -> JSONValue? {
        var values: [JSONValue] = []
        rest.removeFirst()
        if skips(UInt8(ascii: "]"), &rest) { return .array([]) }
        while true {
            guard let value = value(&rest, depth: depth + 1) else { return nil }
            values.append(value)
            if skips(UInt8(ascii: "]"), &rest) { return .array(values) }
            guard skips(UInt8(ascii: ","), &rest) else { return nil }
        }
    }

    private static func stringBody(_ rest: inout ArraySlice<UInt8>) -> String? {
        var bytes: [UInt8] = []
        rest.removeFirst()
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\"") { return String(decoding: bytes, as: UTF8.self) }
            guard byte == UInt8(ascii: "\\") else {
                bytes.append(byte)
                continue
            }
            switch rest.popFirst() {
            case UInt8(ascii: "n"): bytes.append(0x0A)
            case UInt8(ascii: "t"): bytes.append(0x09)
            case UInt8(ascii: "r"): bytes.append(0x0D)
            case UInt8(ascii: "u"):
                let digits = String(decoding: rest.prefix(4), as: UTF8.self)
                guard digits.count == 4, let code = UInt32(digits, radix: 16),
                    let scalar = Unicode.Scalar(code)
                else { return nil }
                bytes += Array(String(scalar).utf8)
                rest = rest.dropFirst(4)
            case let other?: bytes.append(other)
            case nil: return nil
            }
        }
        return nil
    }

    private static func skipSpace(_ rest: inout ArraySlice<UInt8>) {
        rest = rest.drop { $0 == 0x20 || $0 == 0x0A || $0 == 0x0D || $0 == 0x09 }
    }

    private static func skips(_ byte: UInt8, _ rest: inout ArraySlice<UInt8>) -> Bool {
        skipSpace(&rest)
        guard rest.first == byte else { return false }
        rest.removeFirst()
        return true
    }
}
