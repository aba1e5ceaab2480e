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
