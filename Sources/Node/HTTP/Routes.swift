import Keyspace
import Machine
import Wire

/// Which request goes where.
///
/// A path that is known is answered 405 with `Allow` for a method it does not have; `OPTIONS` is
/// answered for every path.
extension Shard {
    mutating func route(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape
    ) {
        if request.method == .other {
            return replyError(index, shape, .notImplemented, "The method is not known here")
        }
        if request.target == .asterisk {
            return replyOptions(index, request, shape, allow: Self.anyMethod)
        }
        if routeFixed(index, request.path, request, shape) { return }
        let path = unsafe TablePath.parse(
            request.rawPath, scratch: scratch, scratchBytes: Self.scratchBytes)
        if isLoading, path.kind != .none, request.method != .options {
            return replyLoading(index, shape)
        }
        switch path.kind {
        case .key: routeKey(index, request, shape, path)
        case .keys, .store: routeTable(index, request, shape, path)
        case .table: routeSettings(index, request, shape, path)
        case .root: routeRoot(index, request, shape)
        case .badTable: replyError(index, shape, .badRequest, "The table name is malformed")
        case .badKey: replyError(index, shape, .badRequest, "A key is 1 to 1024 bytes")
        case .badEncoding:
            refuse(
                index, .badRequest, "A percent sign in the path is not followed by two digits")
        case .subscribe: routeSubscribe(index, request, shape, path)
        case .subscribers: routeSubscribers(index, request, shape, path)
        case .none: routeNowhere(index, request, shape, path)
        }
    }

    /// The paths that are what they are. False: it is none of them.
    private mutating func routeFixed(
        _ index: UInt32, _ path: RawSpan, _ request: borrowing Request, _ shape: ReplyShape
    ) -> Bool {
        if path.equals("/health") {
            guard isRead(index, request, shape) else { return true }
            unsafe replyJSON(index, shape, healthBody)
        } else if path.equals("/ready") {
            guard isRead(index, request, shape) else { return true }
            replyReady(index, shape)
        } else if path.begins(with: "/auth/") {
            if isLoading {
                replyLoading(index, shape)
                return true
            }
            let prefix = 6
            let user = unsafe UnsafeRawBufferPointer(rebasing: request.rawPath[prefix...])
            unsafe routeLogin(index, request, shape, user: user)
        } else if path.equals("/ws") {
            routeSocket(index, request, shape)
        } else if settings.testRoutes, path.begins(with: "/_test/") {
            routeTest(index, request, shape)
        } else {
            return false
        }
        return true
    }

    private mutating func replyReady(_ index: UInt32, _ shape: ReplyShape) {
        if acceptsNoMoreRequests {
            return replyError(index, shape, .serviceUnavailable, "The node is draining")
        }
        if !durability.isReady {
            return replyError(index, shape, .serviceUnavailable, "The node is still loading")
        }
        if let trouble = diskTrouble {
            return replyError(index, shape, .serviceUnavailable, trouble.sentence)
        }
        let body: StaticString = "{\"status\":\"ready\"}"
        unsafe replyJSON(
            index, shape,
            UnsafeRawBufferPointer(start: body.utf8Start, count: body.utf8CodeUnitCount))
    }

    /// A record that can't be seen yet is not absent.
    mutating func replyLoading(_ index: UInt32, _ shape: ReplyShape) {
        var writer = beginReply(index, shape, .serviceUnavailable)
        HTTPReplyHead.field("Retry-After", "1", into: &writer)
        finishError(index, shape, "The node is still loading", writer)
    }

    /// What is wrong with the disk, of any shard.
    private var diskTrouble: DiskTrouble? {
        var worst: UInt64 = 0
        for shard in unsafe 0..<state.pointee.shardCount {
            unsafe worst = max(worst, state.pointee.figures[shard].tally.diskTrouble)
        }
        return DiskTrouble(rawValue: worst)
    }

    /// What no route takes. A fixed path may be written with percent-encoding where it need not.
    private mutating func routeNowhere(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape, _ path: TablePath
    ) {
        if routeOperations(index, request.path, request, shape) { return }
        if routeConsole(index, request.path, request, shape) { return }
        if request.path.equals("/subscribe") { return routeSubscribe(index, request, shape, nil) }
        if !Percent.isPlain(request.path, as: .path) {
            var writer = unsafe ByteWriter(scratch, capacity: Self.scratchBytes)
            guard Percent.decode(request.path, as: .path, into: &writer) != nil else {
                return refuse(
                    index, .badRequest,
                    "A percent sign in the path is not followed by two digits")
            }
            let decoded = unsafe UnsafeRawBufferPointer(writer.written)
            if unsafe routeFixed(index, decoded.bytes, request, shape) { return }
            if unsafe routeOperations(index, decoded.bytes, request, shape) { return }
            if unsafe decoded.bytes.equals("/subscribe") {
                return routeSubscribe(index, request, shape, nil)
            }
        }
        if path.isReserved, request.method == .put {
            return replyError(index, shape, .badRequest, "The name is reserved")
        }
        if request.method == .options {
            return replyOptions(index, request, shape, allow: Self.anyMethod)
        }
        replyError(index, shape, .notFound, "There is nothing here")
    }

    private mutating func routeRoot(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape
    ) {
        switch request.method {
        case .post:
            let name: StaticString = "default"
            unsafe routeMany(
                index, request, shape, kind: .store,
                table: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
        case .options: replyOptions(index, request, shape, allow: "POST, OPTIONS")
        default: replyNotAllowed(index, shape, allow: "POST, OPTIONS")
        }
    }

    /// Whether a request's body is worth keeping: one that no route takes is only read past.
    func takesBody(_ head: HTTPRequestHead, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard head.method == .put || head.method == .post || head.method == .patch else {
            return false
        }
        let raw = unsafe UnsafeRawBufferPointer(
            rebasing: bytes[Int(head.path.start)..<Int(head.path.end)])
        let path = unsafe TablePath.parse(raw, scratch: scratch, scratchBytes: Self.scratchBytes)
        switch path.kind {
        case .key: return head.method == .put || head.method == .patch
        case .keys, .store, .root: return head.method == .post
        case .table: return head.method == .put
        default: break
        }
        if unsafe raw.bytes.begins(with: "/auth/") { return head.method == .post }
        return unsafe settings.testRoutes && raw.bytes.equals("/_test/echo")
            && head.method != .patch
    }

    // MARK: Methods

    private static var anyMethod: StaticString { "GET, HEAD, OPTIONS, PUT, POST, PATCH, DELETE" }

    /// GET and HEAD go on; anything else has been answered.
    mutating func isRead(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape
    ) -> Bool {
        switch request.method {
        case .get, .head: return true
        case .options: replyOptions(index, request, shape, allow: "GET, HEAD, OPTIONS")
        default: replyNotAllowed(index, shape, allow: "GET, HEAD, OPTIONS")
        }
        return false
    }

    /// Also the answer to a browser that asks before it sends (a CORS preflight).
    mutating func replyOptions(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape, allow: StaticString
    ) {
        var writer = beginReply(index, shape, .noContent)
        HTTPReplyHead.field("Allow", allow, into: &writer)
        if shape.contains(.crossOrigin), unsafe request.field(.accessControlRequestMethod) != nil {
            HTTPReplyHead.field("Access-Control-Allow-Methods", Self.anyMethod, into: &writer)
            HTTPReplyHead.field(
                "Access-Control-Allow-Headers",
                "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID, X-API-Key, X-Consistency, X-Needletail-Token",
                into: &writer)
            HTTPReplyHead.field("Access-Control-Max-Age", "86400", into: &writer)
        }
        HTTPReplyHead.finish(into: &writer)
        commit(index, writer)
    }

    mutating func replyNotAllowed(
        _ index: UInt32, _ shape: ReplyShape, allow: StaticString
    ) {
        var writer = beginReply(index, shape, .methodNotAllowed)
        HTTPReplyHead.field("Allow", allow, into: &writer)
        finishError(index, shape, "The method is not allowed here", writer)
    }
}
