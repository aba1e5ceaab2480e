/// Why a connection ends (RFC 6455 7.4): what a Close frame says.
public struct WebSocketCode: Equatable, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static var normal: WebSocketCode { WebSocketCode(rawValue: 1000) }
    /// The server goes down, or a page is left.
    public static var goingAway: WebSocketCode { WebSocketCode(rawValue: 1001) }
    public static var protocolError: WebSocketCode { WebSocketCode(rawValue: 1002) }
    /// Data of a kind that is not taken here, as bytes where text is spoken.
    public static var unsupportedData: WebSocketCode { WebSocketCode(rawValue: 1003) }
    public static var invalidText: WebSocketCode { WebSocketCode(rawValue: 1007) }
    /// Such as a token that has ended.
    public static var policyViolation: WebSocketCode { WebSocketCode(rawValue: 1008) }
    public static var tooLarge: WebSocketCode { WebSocketCode(rawValue: 1009) }
    public static var internalError: WebSocketCode { WebSocketCode(rawValue: 1011) }
    public static var tryAgainLater: WebSocketCode { WebSocketCode(rawValue: 1013) }

    /// Whether a Close frame may carry it. 1004 means nothing, 1005, 1006 and 1015 are how a
    /// program tells itself that no code came, and 1016 up to 2999 are kept for later versions.
    /// 1012 to 1014 are IANA's additions.
    public var mayBeSent: Bool {
        switch rawValue {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}

/// What a client can do wrong, each with the code it is told and the reason beside it. After any
/// of them nobody can say where the next frame begins, so the connection is closed.
public enum WebSocketViolation: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case reservedBit
    case unknownOpcode
    case unmasked
    case longControl
    case fragmentedControl
    case lengthNotMinimal
    case lengthTooLong
    case nothingToContinue
    case messageInterrupted
    case halfCode
    case badCode
    case badText
    case badReason
    case tooLarge

    public var code: WebSocketCode {
        switch self {
        case .badText, .badReason: .invalidText
        case .tooLarge: .tooLarge
        default: .protocolError
        }
    }

    /// At most `WebSocketFrame.reasonBytesMax` bytes.
    public var sentence: StaticString {
        switch self {
        case .reservedBit: "A reserved bit is set and no extension was agreed on"
        case .unknownOpcode: "The opcode is not known"
        case .unmasked: "A client's frames have to be masked"
        case .longControl: "A control frame has more than 125 bytes"
        case .fragmentedControl: "A control frame is fragmented"
        case .lengthNotMinimal: "A length is not in its shortest form"
        case .lengthTooLong: "A length has its highest bit set"
        case .nothingToContinue: "A continuation continues nothing"
        case .messageInterrupted: "A message begins before the one before it has ended"
        case .halfCode: "A close frame has one byte"
        case .badCode: "The close code may not be sent"
        case .badText: "The text is not UTF-8"
        case .badReason: "The reason is not UTF-8"
        case .tooLarge: "The message is larger than is taken here"
        }
    }
}
