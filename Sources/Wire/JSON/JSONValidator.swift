/// Whether bytes are one JSON document, strictly by RFC 8259: what a client stores as JSON is given
/// back to others byte for byte, so nothing may get in that some reader would stumble over.
///
/// Stricter than the grammar where it leaves room: text must be UTF-8 (§8.1), a `\u` surrogate
/// must have its other half (§8.2), a byte order mark is refused, and nesting is bounded.
public enum JSONValidator {
    /// How many arrays and objects may be open at once in one value. Readers in many languages
    /// recurse, and some give up not far above this; people's documents stay below 20. It also
    /// makes what is open fit one 128-bit integer.
    public static let depthMax = 128

    /// White space around the value is allowed, anything else is not. Allocates nothing.
    public static func validate(_ bytes: UnsafeRawBufferPointer) -> JSONVerdict {
        var cursor = unsafe JSONCursor(bytes)
        guard cursor.skipValue(depthMax: depthMax) else {
            return .invalid(offset: cursor.at, reason: cursor.fault)
        }
        cursor.skipSpace()
        if cursor.at < cursor.end { return .invalid(offset: cursor.at, reason: .trailingBytes) }
        return .valid
    }
}

@frozen
public enum JSONVerdict: Equatable, Sendable {
    case valid
    /// `offset` is of the first byte that cannot stand where it does; the length, if text ends too
    /// early.
    case invalid(offset: Int, reason: JSONFault)
}

/// What is wrong with JSON text, each with the words a client is told.
@frozen
public enum JSONFault: UInt8, Equatable, Sendable {
    case unexpectedEnd
    case unexpectedByte
    case badLiteral
    case badNumber
    case badEscape
    case loneSurrogate
    case controlCharacter
    case badUTF8
    case missingName
    case missingColon
    case missingComma
    case tooDeep
    case trailingBytes
    case notAnObject
    case notAnArray

    public var text: StaticString {
        switch self {
        case .unexpectedEnd: "JSON ends too early"
        case .unexpectedByte: "a JSON value cannot start with this character"
        case .badLiteral: "only true, false and null may stand without quotes"
        case .badNumber: "this is not a JSON number"
        case .badEscape: "this escape is not one of JSON's"
        case .loneSurrogate: "a \\u surrogate lacks its other half"
        case .controlCharacter: "a control character in a string must be escaped"
        case .badUTF8: "a string is not UTF-8"
        case .missingName: "a member must start with its name in double quotes"
        case .missingColon: "a member's name must be followed by a colon"
        case .missingComma: "a comma or the closing bracket is missing"
        case .tooDeep: "arrays and objects are nested too deep"
        case .trailingBytes: "something follows the JSON value"
        case .notAnObject: "a JSON object is wanted here"
        case .notAnArray: "a JSON array is wanted here"
        }
    }
}

/// What a value is, by its first byte.
@frozen
public enum JSONKind: UInt8, Equatable, Sendable {
    case object, array, string, number, boolean, null

    /// Nil for no bytes but white space, or where no value starts like this. Says nothing about
    /// what follows the first byte.
    public init?(of bytes: UnsafeRawBufferPointer) {
        var cursor = unsafe JSONCursor(bytes)
        cursor.skipSpace()
        switch cursor.byte {
        case 0x7B: self = .object
        case 0x5B: self = .array
        case 0x22: self = .string
        case 0x2D, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39: self = .number
        case 0x74, 0x66: self = .boolean
        case 0x6E: self = .null
        default: return nil
        }
    }
}
