import Wire

/// One complete request, as the routes see it. Its memory belongs to the session and is valid for
/// the call only.
@safe struct Request: ~Copyable {
    /// Where the head was parsed to: it is large, so it is never copied.
    private let head: UnsafePointer<HTTPRequestHead>
    /// Where the head's ranges count from.
    let bytes: UnsafeRawBufferPointer
    let body: UnsafeRawBufferPointer

    init(
        head: UnsafePointer<HTTPRequestHead>, bytes: UnsafeRawBufferPointer,
        body: UnsafeRawBufferPointer
    ) {
        unsafe self.head = unsafe head
        unsafe self.bytes = unsafe bytes
        unsafe self.body = unsafe body
    }

    var method: HTTPMethod { unsafe head.pointee.method }
    var target: HTTPRequestHead.TargetForm { unsafe head.pointee.target }
    var minorVersion: UInt8 { unsafe head.pointee.minorVersion }
    var keepAlive: Bool { unsafe head.pointee.keepAlive }
    /// What the reply needs of this request, should it come later.
    var shape: ReplyShape {
        var shape: ReplyShape = []
        if unsafe head.pointee.method == .head { shape.insert(.headOnly) }
        if unsafe head.pointee.minorVersion == 0 { shape.insert(.version10) }
        if unsafe head.pointee.has(.origin) { shape.insert(.crossOrigin) }
        return shape
    }

    /// Whether it asks for the WebSocket protocol.
    var opening: WebSocketHandshake.Verdict {
        unsafe WebSocketHandshake.judge(head.pointee, bytes.bytes)
    }

    /// A field's value, or nil where the request has none.
    func field(_ field: HTTPKnownField) -> UnsafeRawBufferPointer? {
        guard let range = unsafe head.pointee.range(field) else { return nil }
        return unsafe UnsafeRawBufferPointer(rebasing: bytes[Int(range.start)..<Int(range.end)])
    }

    /// All field lines: for those that may be there more than once.
    var fieldLines: HTTPFieldLines { unsafe head.pointee.fieldLines }

    var rawPath: UnsafeRawBufferPointer {
        let range = unsafe head.pointee.path
        return unsafe UnsafeRawBufferPointer(rebasing: bytes[Int(range.start)..<Int(range.end)])
    }

    var queryItems: QueryItems { unsafe QueryItems(head.pointee.query) }

    var path: RawSpan {
        @_lifetime(borrow self) get { unsafe slice(head.pointee.path) }
    }

    @_lifetime(borrow self)
    func slice(_ range: ByteRange) -> RawSpan {
        let part = unsafe UnsafeRawBufferPointer(rebasing: bytes[Int(range.start)..<Int(range.end)])
        return unsafe _overrideLifetime(part.bytes, borrowing: self)
    }
}
