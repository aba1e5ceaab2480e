/// The header fields this server acts on. A head remembers where each of them lies; all others
/// are checked and passed over, and can be walked with `HTTPFieldLines`.
public enum HTTPKnownField: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case host
    case contentLength
    case transferEncoding
    case connection
    case expect
    case authorization
    case xAPIKey
    case contentType
    case contentEncoding
    case accept
    case acceptEncoding
    case origin
    case ifMatch
    case ifNoneMatch
    case lastEventID
    case xConsistency
    case xNeedletailToken
    case xForwardedFor
    case xForwardedProto
    case forwarded
    case upgrade
    case secWebSocketKey
    case secWebSocketVersion
    case secWebSocketProtocol
    case secWebSocketExtensions
    case accessControlRequestMethod
    case accessControlRequestHeaders
    case userAgent

    /// How many there are; a head has a slot for each.
    public static var count: Int { 28 }

    @inlinable @inline(__always)
    var bit: UInt32 { 1 &<< UInt32(rawValue) }

    /// Fields that say one thing only: a second line of them leaves two readers free to believe
    /// different ones, which is how requests are smuggled and credentials confused.
    @inline(__always)
    static var onlyOnce: UInt32 {
        HTTPKnownField.host.bit | HTTPKnownField.contentLength.bit
            | HTTPKnownField.authorization.bit | HTTPKnownField.xAPIKey.bit
            | HTTPKnownField.contentType.bit | HTTPKnownField.origin.bit
            | HTTPKnownField.lastEventID.bit | HTTPKnownField.xConsistency.bit
            | HTTPKnownField.xNeedletailToken.bit | HTTPKnownField.secWebSocketKey.bit
            | HTTPKnownField.secWebSocketVersion.bit
            | HTTPKnownField.accessControlRequestMethod.bit
    }

    /// Fields that change nothing about the answer to a read of what everybody may see. Any other
    /// has to be looked at.
    static var idleInRead: UInt32 {
        HTTPKnownField.host.bit | HTTPKnownField.authorization.bit | HTTPKnownField.xAPIKey.bit
            | HTTPKnownField.contentType.bit | HTTPKnownField.accept.bit
            | HTTPKnownField.acceptEncoding.bit | HTTPKnownField.userAgent.bit
            | HTTPKnownField.xForwardedFor.bit | HTTPKnownField.xForwardedProto.bit
            | HTTPKnownField.forwarded.bit
    }

    /// Fields whose value the parser has to understand by itself.
    @inline(__always)
    static var readByParser: UInt32 {
        HTTPKnownField.host.bit | HTTPKnownField.contentLength.bit
            | HTTPKnownField.transferEncoding.bit | HTTPKnownField.connection.bit
            | HTTPKnownField.expect.bit
    }

    /// The field whose name is these `length` bytes, which are known to be a token.
    @inline(__always)
    init?(name bytes: RawSpan, at start: Int, length: Int) {
        /// Names of one length are told apart by comparing them in turn: there are at most five.
        @inline(__always)
        func spells(_ text: StaticString) -> Bool { bytes.spells(text, at: start) }

        switch length {
        case 4 where spells("host"): self = .host
        case 6:
            if spells("accept") {
                self = .accept
            } else if spells("origin") {
                self = .origin
            } else if spells("expect") {
                self = .expect
            } else {
                return nil
            }
        case 7 where spells("upgrade"): self = .upgrade
        case 8 where spells("if-match"): self = .ifMatch
        case 9:
            if spells("x-api-key") {
                self = .xAPIKey
            } else if spells("forwarded") {
                self = .forwarded
            } else {
                return nil
            }
        case 10:
            if spells("connection") {
                self = .connection
            } else if spells("user-agent") {
                self = .userAgent
            } else {
                return nil
            }
        case 12 where spells("content-type"): self = .contentType
        case 13:
            if spells("authorization") {
                self = .authorization
            } else if spells("if-none-match") {
                self = .ifNoneMatch
            } else if spells("last-event-id") {
                self = .lastEventID
            } else if spells("x-consistency") {
                self = .xConsistency
            } else {
                return nil
            }
        case 14 where spells("content-length"): self = .contentLength
        case 15:
            if spells("accept-encoding") {
                self = .acceptEncoding
            } else if spells("x-forwarded-for") {
                self = .xForwardedFor
            } else {
                return nil
            }
        case 16 where spells("content-encoding"): self = .contentEncoding
        case 17:
            if spells("transfer-encoding") {
                self = .transferEncoding
            } else if spells("sec-websocket-key") {
                self = .secWebSocketKey
            } else if spells("x-forwarded-proto") {
                self = .xForwardedProto
            } else {
                return nil
            }
        case 18 where spells("x-needletail-token"): self = .xNeedletailToken
        case 21 where spells("sec-websocket-version"): self = .secWebSocketVersion
        case 22 where spells("sec-websocket-protocol"): self = .secWebSocketProtocol
        case 24 where spells("sec-websocket-extensions"): self = .secWebSocketExtensions
        case 29 where spells("access-control-request-method"): self = .accessControlRequestMethod
        case 30 where spells("access-control-request-headers"): self = .accessControlRequestHeaders
        default: return nil
        }
    }
}

extension RawSpan {
    /// Whether the token at `start` is `text` in any case. `text` is in lower case, made of
    /// letters, digits and dashes, and as long as the token; it is compared a word at a time, the
    /// last word overlapping the one before.
    ///
    /// Setting bit 5 folds letters. It also makes other bytes equal to each other, but none of
    /// them can be in a token.
    @inline(__always)
    fileprivate func spells(_ text: StaticString, at start: Int) -> Bool {
        let count = text.utf8CodeUnitCount
        let wanted = unsafe UnsafeRawPointer(text.utf8Start)
        if count >= 8 {
            var index = 0
            while index &+ 8 <= count {
                let word = unsafe wanted.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                if word64(start &+ index) | 0x2020_2020_2020_2020 != word { return false }
                index &+= 8
            }
            let last = count &- 8
            let word = unsafe wanted.loadUnaligned(fromByteOffset: last, as: UInt64.self)
            return word64(start &+ last) | 0x2020_2020_2020_2020 == word
        }
        let last = count &- 4
        let head = unsafe wanted.loadUnaligned(as: UInt32.self)
        let tail = unsafe wanted.loadUnaligned(fromByteOffset: last, as: UInt32.self)
        return word32(start) | 0x2020_2020 == head && word32(start &+ last) | 0x2020_2020 == tail
    }
}
