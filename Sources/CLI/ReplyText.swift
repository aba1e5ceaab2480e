import Wire

/// A reply as text, to the byte as redis-cli has it.
struct ReplyText {
    enum Form: Equatable, Sendable {
        /// For people: types are told, strings are quoted, nested values are indented.
        case standard
        /// For programs: values and line ends, nothing else.
        case raw
        case csv
        case json
    }

    private var text: [UInt8] = []

    /// `isPlain` is for replies that are a page of text in themselves, such as INFO's.
    static func render(_ value: RESPValue, _ form: Form, isPlain: Bool = false) -> [UInt8] {
        var out = ReplyText()
        switch form {
        case _ where isPlain && form != .json: out.raw(value)
        case .standard: out.standard(value, indent: 0)
        case .raw:
            out.raw(value)
            out.add("\n")
        case .csv:
            out.csv(value)
            out.add("\n")
        case .json:
            out.json(value)
            out.add("\n")
        }
        return out.text
    }

    private mutating func add(_ part: String) { text += Array(part.utf8) }
    private mutating func add(_ part: [UInt8]) { text += part }

    // MARK: For people

    private mutating func standard(_ value: RESPValue, indent: Int) {
        switch value {
        case .error(let bytes):
            add("(error) ")
            add(bytes)
            add("\n")
        case .simple(let bytes):
            add(bytes)
            add("\n")
        case .integer(let number): add("(integer) \(number)\n")
        case .double(_, let digits):
            add("(double) ")
            add(digits)
            add("\n")
        case .bulk(let bytes):
            add(Words.quoted(bytes))
            add("\n")
        case .verbatim(_, let bytes):
            add(bytes)
            add("\n")
        case .null: add("(nil)\n")
        case .boolean(let isTrue): add(isTrue ? "(true)\n" : "(false)\n")
        case .bigNumber(let digits):
            add(digits)
            add("\n")
        case .array(let items): rows(items, ")", "(empty array)\n", indent)
        case .set(let items): rows(items, "~", "(empty set)\n", indent)
        case .push(let items): rows(items, ")", "(empty push)\n", indent)
        case .map(let pairs): rows(pairs, "(empty hash)\n", indent)
        case .attribute(let pairs, let of):
            add("|")
            rows(pairs, "(empty attribute)\n", indent + 1)
            add(spaces(indent))
            standard(of, indent: indent)
        }
    }

    private mutating func rows(
        _ items: [RESPValue], _ mark: String, _ empty: String, _ indent: Int
    ) {
        guard !items.isEmpty else { return add(empty) }
        let width = "\(items.count)".utf8.count
        for (at, item) in items.enumerated() {
            label(at, mark, width, indent)
            standard(item, indent: indent + width + 2)
        }
    }

    private mutating func rows(
        _ pairs: [(RESPValue, RESPValue)], _ empty: String, _ indent: Int
    ) {
        guard !pairs.isEmpty else { return add(empty) }
        let width = "\(pairs.count)".utf8.count
        for (at, pair) in pairs.enumerated() {
            label(at, "#", width, indent)
            standard(pair.0, indent: indent + width + 2)
            if text.last == 0x0A { text.removeLast() }
            add(" => ")
            let start = text.count
            standard(pair.1, indent: indent + width + 2)
            // What takes several rows begins on one of its own.
            if pair.1.isAggregate, text[start...].dropLast().contains(0x0A) {
                text.insert(contentsOf: Array(("\n" + spaces(indent + width + 2)).utf8), at: start)
            }
        }
    }

    private mutating func label(_ at: Int, _ mark: String, _ width: Int, _ indent: Int) {
        let number = "\(at + 1)"
        add(spaces((at == 0 ? 0 : indent) + width - number.utf8.count))
        add(number + mark + " ")
    }

    private func spaces(_ count: Int) -> String { String(repeating: " ", count: count) }

    // MARK: For programs

    private mutating func raw(_ value: RESPValue) {
        switch value {
        case .null: break
        case .error(let bytes):
            add(bytes)
            add("\n")
        case .simple(let bytes), .bulk(let bytes), .verbatim(_, let bytes), .bigNumber(let bytes),
            .double(_, let bytes):
            add(bytes)
        case .boolean(let isTrue): add(isTrue ? "(true)" : "(false)")
        case .integer(let number): add("\(number)")
        case .array(let items), .set(let items), .push(let items):
            for (at, item) in items.enumerated() {
                if at > 0 { add("\n") }
                raw(item)
            }
        case .map(let pairs):
            for (at, pair) in pairs.enumerated() {
                if at > 0 { add("\n") }
                raw(pair.0)
                add(" ")
                raw(pair.1)
            }
        case .attribute(_, let of): raw(of)
        }
    }

    private mutating func csv(_ value: RESPValue) {
        switch value {
        case .error(let bytes):
            add("ERROR,")
            add(Words.quoted(bytes))
        case .simple(let bytes): add(Words.quoted(bytes))
        case .integer(let number): add("\(number)")
        case .double(_, let digits), .bigNumber(let digits): add(digits)
        case .bulk(let bytes), .verbatim(_, let bytes): add(Words.quoted(bytes))
        case .null: add("NULL")
        case .boolean(let isTrue): add(isTrue ? "true" : "false")
        case .array(let items), .set(let items), .push(let items):
            for (at, item) in items.enumerated() {
                if at > 0 { add(",") }
                csv(item)
            }
        case .map(let pairs):
            for (at, pair) in pairs.enumerated() {
                if at > 0 { add(",") }
                csv(pair.0)
                add(",")
                csv(pair.1)
            }
        case .attribute(_, let of): csv(of)
        }
    }

    // MARK: JSON

    private mutating func json(_ value: RESPValue) {
        switch value {
        case .null: add("null")
        case .error(let bytes):
            add("{\"error\":")
            jsonString(bytes)
            add("}")
        case .simple(let bytes), .bulk(let bytes), .verbatim(_, let bytes): jsonString(bytes)
        case .bigNumber(let digits): add(digits)
        case .double(let number, let digits):
            if number.isFinite { add(digits) } else { jsonString(digits) }
        case .boolean(let isTrue): add(isTrue ? "true" : "false")
        case .integer(let number): add("\(number)")
        case .array(let items), .set(let items), .push(let items):
            add("[")
            for (at, item) in items.enumerated() {
                if at > 0 { add(",") }
                json(item)
            }
            add("]")
        case .map(let pairs):
            add("{")
            for (at, pair) in pairs.enumerated() {
                if at > 0 { add(",") }
                switch pair.0 {
                case .simple(let bytes), .bulk(let bytes): jsonString(bytes)
                default: jsonString(Self.render(pair.0, .raw).dropLast().map(\.self))
                }
                add(":")
                json(pair.1)
            }
            add("}")
        case .attribute(_, let of): json(of)
        }
    }

    /// What is no UTF-8 is shown as in a quoted string, byte by byte.
    private mutating func jsonString(_ bytes: [UInt8]) {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            return jsonString(Array(Words.quoted(bytes).dropFirst().dropLast()))
        }
        add("\"")
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += [UInt8(ascii: "\\"), byte]
            case 0x0A: add("\\n")
            case 0x0D: add("\\r")
            case 0x09: add("\\t")
            case ..<0x20:
                let digits = Array("0123456789abcdef".utf8)
                add("\\u00")
                text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: text.append(byte)
            }
        }
        add("\"")
    }
}

extension RESPValue {
    fileprivate var isAggregate: Bool {
        switch self {
        case .array, .set, .push, .map: true
        default: false
        }
    }
}
