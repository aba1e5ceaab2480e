/// Whether a request is the opening of a WebSocket connection (RFC 6455 4.2), and the answer to it.
public enum WebSocketHandshake {
    public enum Verdict: Equatable, Sendable, BitwiseCopyable {
        /// An ordinary request: it doesn't ask for this protocol.
        case none
        /// Say 101; the key is what the answer is made of.
        case open(key: ByteRange)
        case refused(WebSocketRefusal)
    }

    /// The version of RFC 6455, the only one there is.
    public static let version: StaticString = "13"

    /// The longest answer besides its `Date`.
    public static let acceptBytesMax = 192

    /// `head` was parsed from `bytes`. Extensions and subprotocols that are offered are declined by
    /// not being named in the answer, as RFC 6455 9.1 and 4.2.2 have it.
    public static func judge(_ head: HTTPRequestHead, _ bytes: RawSpan) -> Verdict {
        guard head.isUpgrade, namesProtocol(head, bytes) else { return .none }
        // RFC 6455 4.1: an opening is a GET. RFC 9110 7.8 lets any server disregard an upgrade.
        guard head.method == .get else { return .none }
        // Where the frames begin would be for each of two readers to guess.
        if head.body != .none, head.body != .length(0) { return .refused(.hasBody) }
        guard let version = head.range(.secWebSocketVersion),
            bytes.slice(version).equals(self.version)
        else { return .refused(.otherVersion) }
        guard let key = head.range(.secWebSocketKey), isKey(bytes.slice(key)) else {
            return .refused(.badKey)
        }
        return .open(key: key)
    }

    /// The fields that make a 101 of it, after the status line and before the end of the head.
    public static func writeAccept(key: RawSpan, into writer: inout ByteWriter) {
        HTTPReplyHead.field("Upgrade", "websocket", into: &writer)
        HTTPReplyHead.field("Connection", "Upgrade", into: &writer)
        HTTPReplyHead.begin("Sec-WebSocket-Accept", into: &writer)
        var message = InlineArray<60, UInt8>(repeating: 0)
        for index in 0..<keyCount { message[index] = key.byte(index) }
        let suffix: StaticString = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        for index in 0..<suffix.utf8CodeUnitCount {
            message[keyCount + index] = unsafe suffix.utf8Start[index]
        }
        let digest = unsafe SHA1.digest(of: message.span.bytes)
        let count = Base64.encodedCount(20, .standard)
        let place = unsafe UnsafeMutableRawBufferPointer(
            start: writer.reserve(count), count: count)
        let written = unsafe digest.span.withUnsafeBytes {
            unsafe Base64.encode($0, .standard, into: place)
        }
        invariant(written == count, "twenty bytes are 28 characters of base64")
    }

    // MARK: Parts

    private static var keyCount: Int { 24 }

    /// Sixteen bytes in base64: 22 characters and two signs of padding. The last character has
    /// four bits that mean nothing; not every client has them zero, so they are not looked at.
    private static func isKey(_ key: RawSpan) -> Bool {
        guard key.byteCount == keyCount, key.byte(22) == 0x3D, key.byte(23) == 0x3D else {
            return false
        }
        for index in 0..<22 {
            let byte = key.byte(index)
            let isLetter = (byte | 0x20) &- 0x61 < 26
            guard isLetter || ByteScan.isDigit(byte) || byte == 0x2B || byte == 0x2F else {
                return false
            }
        }
        return true
    }

    /// Whether one of the Upgrade lines names the protocol.
    private static func namesProtocol(_ head: HTTPRequestHead, _ bytes: RawSpan) -> Bool {
        guard let range = head.range(.upgrade) else { return false }
        guard head.isRepeated(.upgrade) else { return bytes.slice(range).lists("websocket") }
        var lines = head.fieldLines
        while let line = lines.next(in: bytes) {
            guard bytes.slice(line.name).equalsIgnoringCase("upgrade") else { continue }
            if bytes.slice(line.value).lists("websocket") { return true }
        }
        return false
    }
}

/// Why an opening is refused. The connection goes on as HTTP, except after a body.
public enum WebSocketRefusal: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case otherVersion
    case badKey
    case hasBody

    public var status: HTTPStatus {
        // RFC 6455 4.4: 426, and the versions that are spoken.
        self == .otherVersion ? .upgradeRequired : .badRequest
    }

    public var sentence: StaticString {
        switch self {
        case .otherVersion: "Only version 13 of the WebSocket protocol is spoken here"
        case .badKey: "Sec-WebSocket-Key is not sixteen bytes in base64"
        case .hasBody: "A request that opens a WebSocket connection has no body"
        }
    }
}
