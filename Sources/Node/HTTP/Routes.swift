import Machine
import Wire

/// Which request goes where.
///
/// A path that is known is answered 405 with `Allow` for a method it does not have; `OPTIONS` is
/// answered for every path.
extension Shard {
    enum Route {
        case health
        case ready
        case test
        /// The path's percent-encoding is broken.
        case malformed
        case unknown
    }

    mutating func route(_ index: UInt32, _ request: borrowing Request) {
        if request.method == .other {
            return replyError(index, request, .notImplemented, "The method is not known here")
        }
        if request.target == .asterisk {
            return replyOptions(index, request, allow: anyMethod)
        }
        var route = find(request.path)
        if route == .unknown { route = findDecoded(request.path) }
        switch route {
        case .health:
            guard isRead(index, request) else { return }
            unsafe replyJSON(index, request, healthBody)
        case .ready:
            guard isRead(index, request) else { return }
            if acceptsNoMoreRequests {
                return replyError(index, request, .serviceUnavailable, "The node is draining")
            }
            let body: StaticString = "{\"status\":\"ready\"}"
            let bytes = unsafe UnsafeRawBufferPointer(
                start: body.utf8Start, count: body.utf8CodeUnitCount)
            unsafe replyJSON(index, request, bytes)
        case .test: routeTest(index, request)
        case .malformed:
            refuse(index, .badRequest, "A percent sign in the path is not followed by two digits")
        case .unknown: replyError(index, request, .notFound, "There is nothing here")
        }
    }

    /// Whether a request's body is worth keeping: one that no route takes is only read past.
    func takesBody(_ head: HTTPRequestHead, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard settings.testRoutes else { return false }
        let path = unsafe UnsafeRawBufferPointer(
            rebasing: bytes[Int(head.path.start)..<Int(head.path.end)])
        return unsafe (head.method == .post || head.method == .put)
            && path.bytes.equals("/_test/echo")
    }

    private func find(_ path: RawSpan) -> Route {
        if path.equals("/health") { return .health }
        if path.equals("/ready") { return .ready }
        if settings.testRoutes, path.begins(with: "/_test/") { return .test }
        return .unknown
    }

    /// The same for a path that is written with percent-encoding where it need not be.
    private func findDecoded(_ path: RawSpan) -> Route {
        if Percent.isPlain(path, as: .path) { return .unknown }
        var writer = unsafe ByteWriter(scratch, capacity: Self.scratchBytes)
        guard Percent.decode(path, as: .path, into: &writer) != nil else { return .malformed }
        return unsafe find(UnsafeRawBufferPointer(writer.written).bytes)
    }

    // MARK: Methods

    private var anyMethod: StaticString { "GET, HEAD, OPTIONS, PUT, POST, PATCH, DELETE" }

    /// GET and HEAD go on; anything else has been answered.
    mutating func isRead(_ index: UInt32, _ request: borrowing Request) -> Bool {
        switch request.method {
        case .get, .head: return true
        case .options: replyOptions(index, request, allow: "GET, HEAD, OPTIONS")
        default: replyNotAllowed(index, request, allow: "GET, HEAD, OPTIONS")
        }
        return false
    }

    mutating func replyOptions(
        _ index: UInt32, _ request: borrowing Request, allow: StaticString
    ) {
        var writer = beginReply(index, request, .noContent)
        HTTPReplyHead.field("Allow", allow, into: &writer)
        HTTPReplyHead.finish(into: &writer)
        commit(index, writer)
    }

    mutating func replyNotAllowed(
        _ index: UInt32, _ request: borrowing Request, allow: StaticString
    ) {
        var writer = beginReply(index, request, .methodNotAllowed)
        HTTPReplyHead.field("Allow", allow, into: &writer)
        finishError(index, request, "The method is not allowed here", writer)
    }
}
