/// A second, slow reading of RFC 8259 and RFC 7396, written only to be obviously right: it recurses,
/// keeps a tree, and shares no line with what it is compared to.
indirect enum JSONTree: Equatable {
    case null
    case boolean(Bool)
    case number(String)
    case string(String)
    case array([JSONTree])
    /// Of two members with one name the last one counts.
    case object([[UInt8]: JSONTree])

    /// Nil for anything but one JSON document.
    init?(_ bytes: [UInt8], depthMax: Int = 128) {
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        var reader = JSONTreeReader(Array(text.unicodeScalars), depthMax)
        guard let tree = reader.value(depth: 0) else { return nil }
        reader.space()
        guard reader.rest == reader.text.count else { return nil }
        self = tree
    }

    /// The pseudo code of RFC 7396 §2.
    func merged(with patch: JSONTree) -> JSONTree {
        guard case .object(let changes) = patch else { return patch }
        var members: [[UInt8]: JSONTree] = [:]
        if case .object(let mine) = self { members = mine }
        for (name, change) in changes {
            if change == .null {
                members[name] = nil
            } else {
                members[name] = (members[name] ?? .null).merged(with: change)
            }
        }
        return .object(members)
    }
}

private struct JSONTreeReader {
    let text: [Unicode.Scalar]
    let depthMax: Int
    var rest = 0

    init(_ text: [Unicode.Scalar], _ depthMax: Int) {
        self.text = text
        self.depthMax = depthMax
    }

    var head: Unicode.Scalar? { rest < text.count ? text[rest] : nil }

    mutating func take(_ wanted: Unicode.Scalar) -> Bool {
        guard head == wanted else { return false }
        rest += 1
        return true
    }

    mutating func take(word: String) -> Bool {
        word.unicodeScalars.allSatisfy { take($0) }
    }

    mutating func space() {
        while let scalar = head, " \t\r\n".unicodeScalars.contains(scalar) { rest += 1 }
    }

    mutating func value(depth: Int) -> JSONTree? {
        space()
        switch head {
        case "{": return object(depth: depth + 1)
        case "[": return array(depth: depth + 1)
        case "\"": return string().map { .string($0) }
        case "t": return take(word: "true") ? .boolean(true) : nil
        case "f": return take(word: "false") ? .boolean(false) : nil
        case "n": return take(word: "null") ? .null : nil
        default: return number()
        }
    }

    mutating func object(depth: Int) -> JSONTree? {
        guard depth <= depthMax, take("{") else { return nil }
        var members: [[UInt8]: JSONTree] = [:]
        space()
        if take("}") { return .object(members) }
        repeat {
            space()
            guard let name = string() else { return nil }
            space()
            guard take(":"), let member = value(depth: depth) else { return nil }
            members[Array(name.utf8)] = member
            space()
        } while take(",")
        return take("}") ? .object(members) : nil
    }

    mutating func array(depth: Int) -> JSONTree? {
        guard depth <= depthMax, take("[") else { return nil }
        var elements: [JSONTree] = []
        space()
        if take("]") { return .array(elements) }
        repeat {
            guard let element = value(depth: depth) else { return nil }
            elements.append(element)
            space()
        } while take(",")
        return take("]") ? .array(elements) : nil
    }

    mutating func string() -> String? {
        guard take("\"") else { return nil }
        var units: [UInt16] = []
        while let scalar = head {
            rest += 1
            if scalar == "\"" { return String(validating: units, as: UTF16.self) }
            if scalar.value < 0x20 { return nil }
            guard scalar == "\\" else {
                units.append(contentsOf: scalar.utf16)
                continue
            }
            guard let letter = head else { return nil }
            rest += 1
            switch letter {
            case "\"", "\\", "/": units.append(UInt16(letter.value))
            case "b": units.append(8)
            case "f": units.append(12)
            case "n": units.append(10)
            case "r": units.append(13)
            case "t": units.append(9)
            case "u":
                guard rest + 4 <= text.count else { return nil }
                let digits = text[rest..<(rest + 4)]
                guard digits.allSatisfy({ $0.properties.isASCIIHexDigit }) else { return nil }
                guard let unit = UInt16(String(String.UnicodeScalarView(digits)), radix: 16)
                else { return nil }
                // A pair has to be written as two escapes, with nothing between.
                units.append(unit)
                rest += 4
            default: return nil
            }
        }
        return nil
    }

    mutating func number() -> JSONTree? {
        let start = rest
        _ = take("-")
        if !take("0") {
            guard let first = head, ("1"..."9").contains(first), digits() else { return nil }
        }
        if take("."), !digits() { return nil }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            guard digits() else { return nil }
        }
        return .number(String(String.UnicodeScalarView(text[start..<rest])))
    }

    mutating func digits() -> Bool {
        let start = rest
        while let digit = head, ("0"..."9").contains(digit) { rest += 1 }
        return rest > start
    }
}
