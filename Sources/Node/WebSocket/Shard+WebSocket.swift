import Glibc
import Identity
import Keyspace
import Machine
import Synchronization
import Wire

/// A connection's life as a WebSocket: opened by a request, kept alive by pings, ended by a Close
/// from either side.
extension Shard {
    // MARK: Opening

    /// `/ws`: operations in both directions.
    mutating func routeSocket(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape
    ) {
        let echoes = settings.testRoutes && asksForEcho(request)
        openSocket(index, request, shape, echoes ? .echo : .operations)
    }

    private mutating func asksForEcho(_ request: borrowing Request) -> Bool {
        let all = unsafe request.bytes.bytes
        var items = request.queryItems
        while let item = items.next(in: all) {
            if all.slice(item.name).equals("echo") { return all.slice(item.value).equals("1") }
        }
        return false
    }

    /// Answers a request for a path that is spoken to over WebSocket only.
    private mutating func openSocket(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape,
        _ purpose: WebSocketSession.Purpose
    ) {
        switch request.method {
        case .get: break
        case .options: return replyOptions(index, request, shape, allow: "GET, OPTIONS")
        default: return replyNotAllowed(index, shape, allow: "GET, OPTIONS")
        }
        switch request.opening {
        case .open(let key):
            let (caller, principal, endS) = opener(request)
            upgrade(
                index, request, shape, key: key, purpose, caller: caller, principal: principal,
                tokenEndS: endS)
        case .refused(let refusal): refuseOpening(index, shape, refusal)
        case .none:
            var writer = beginReply(index, shape, .upgradeRequired)
            writeUpgradeFields(into: &writer)
            finishError(index, shape, "This is spoken to over WebSocket", writer)
        }
    }

    mutating func refuseOpening(
        _ index: UInt32, _ shape: ReplyShape, _ refusal: WebSocketRefusal
    ) {
        var writer = beginReply(index, shape, refusal.status)
        if refusal == .otherVersion { writeUpgradeFields(into: &writer) }
        finishError(index, shape, refusal.sentence, writer)
    }

    /// What RFC 9110 15.5.22 and RFC 6455 4.4 have a 426 say.
    private mutating func writeUpgradeFields(into writer: inout ByteWriter) {
        HTTPReplyHead.field("Upgrade", "websocket", into: &writer)
        HTTPReplyHead.field("Connection", "Upgrade", into: &writer)
        HTTPReplyHead.field("Sec-WebSocket-Version", WebSocketHandshake.version, into: &writer)
    }

    /// Says 101; from the next byte on the connection speaks WebSocket. False: it was refused.
    @discardableResult
    mutating func upgrade(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape, key: ByteRange,
        _ purpose: WebSocketSession.Purpose, caller: TableWork.Caller, principal: RecordOwner,
        tokenEndS: Int64
    ) -> Bool {
        // Browsers hold WebSockets to no CORS rule, so `--cors-origin` is held here.
        guard mayOpen(request) else {
            replyError(index, shape, .forbidden, "Pages of this origin may not connect here")
            return false
        }
        let connection = unsafe connections + Int(index)
        var writer = writer(index)
        tally.countAnswer(.switchingProtocols)
        HTTPReplyHead.start(.switchingProtocols, keepAlive: true, date: date, into: &writer)
        unsafe WebSocketHandshake.writeAccept(key: request.bytes.bytes.slice(key), into: &writer)
        HTTPReplyHead.finish(into: &writer)
        commit(index, writer)

        socketSerial &+= 1
        let session = UnsafeMutablePointer<WebSocketSession>.allocate(capacity: 1)
        unsafe session.initialize(
            to: WebSocketSession(
                purpose, serial: socketSerial, caller: caller, principal: principal,
                tokenEndS: tokenEndS,
                address: rates == nil
                    ? IPAddress(high: 0, low: 0)
                    : client(of: request, from: PeerAddress.of(driver.fd(of: index))),
                beatMs: firstBeatMs(index)))
        unsafe connection.pointee.session = unsafe .webSocket(session)
        // `Connection: close` was about HTTP.
        unsafe connection.pointee.flags.remove(.closeAfterReply)
        tally.webSocketsOpened &+= 1
        tally.webSocketsOpen &+= 1
        if acceptsNoMoreRequests { unsafe say(goodbyeTo: index, session) }
        return true
    }

    /// Pages come back all at once after a restart: their pings are spread over time.
    private mutating func firstBeatMs(_ index: UInt32) -> UInt64 {
        let half = settings.heartbeatMs / 2
        return nowMs + half + UInt64(index &* 2_654_435_761) % max(half, 1)
    }

    /// Whether the page that asks may: any may, unless the node was told which; and always the
    /// node's own.
    private mutating func mayOpen(_ request: borrowing Request) -> Bool {
        guard !settings.allowsAnyOrigin, let origin = unsafe request.field(.origin) else {
            return true
        }
        if unsafe origin.elementsEqual(settings.corsOrigin) { return true }
        guard let host = unsafe request.field(.host) else { return false }
        let scheme = unsafe origin.bytes.begins(with: "https://") ? 8 : 7
        return unsafe (origin.bytes.begins(with: "http://") || scheme == 8)
            && origin.dropFirst(scheme).elementsEqual(host)
    }

    /// Who opens the connection, and until when: by a field, or by `?access_token=` where a browser
    /// can set none. A credential that is not in force is nobody's.
    private mutating func opener(
        _ request: borrowing Request
    ) -> (TableWork.Caller, RecordOwner, endS: Int64) {
        let authorization = unsafe request.field(.authorization)
        let apiKey = unsafe request.field(.xAPIKey)
        var caller = unsafe authenticator.caller(
            authorization: authorization?.bytes, apiKey: apiKey?.bytes, nowS: wallMs / 1000,
            owners: owners)
        if caller == .nobody, let token = unsafe accessToken(request) {
            caller = unsafe authenticator.caller(
                token: token.bytes, nowS: wallMs / 1000, owners: owners)
        }
        guard case .user(let principal) = caller else { return (.nobody, .anonymous, Int64.max) }
        return (
            principal.user == .admin ? .admin : .user, RecordOwner(rawValue: principal.owner),
            Int64(clamping: principal.expiresAtS)
        )
    }

    private mutating func accessToken(_ request: borrowing Request) -> UnsafeRawBufferPointer? {
        let all = unsafe request.bytes.bytes
        var items = request.queryItems
        while let item = items.next(in: all) {
            guard QueryName.isNamed(all.slice(item.name), "access_token") else { continue }
            var writer = unsafe ByteWriter(scratch, capacity: Self.scratchBytes)
            guard Percent.decode(all.slice(item.value), as: .query, into: &writer) != nil else {
                return nil
            }
            return unsafe UnsafeRawBufferPointer(writer.written)
        }
        return nil
    }

    // MARK: Frames

    /// Takes what the client says next and answers how many bytes that was; 0 when more are needed.
    mutating func takeFrame(
        _ index: UInt32, _ session: UnsafeMutablePointer<WebSocketSession>,
        _ bytes: UnsafePointer<UInt8>, count: Int
    ) -> Int {
        let connection = unsafe connections + Int(index)
        if unsafe session.pointee.pendingCount >= WebSocketSession.pendingMax
            || session.pointee.listing != nil
        {
            return 0
        }
        // The buffer is the driver's or the connection's own, and nobody reads these bytes again.
        let all = unsafe UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(mutating: bytes), count: count)
        let step = unsafe session.pointee.reader.read(
            all, messageBytesMax: Int(clamping: settings.limits.bodyBytesMax))
        guard step != .needMore else {
            unsafe noteOpen(session, count)
            return 0
        }
        unsafe connection.pointee.turnRequests &-= 1
        unsafe session.pointee.ending.heard()
        unsafe session.pointee.beatMs = nowMs + settings.heartbeatMs
        switch step {
        case .needMore: return 0
        case .part(let part):
            unsafe take(part, index, session, UnsafeRawBufferPointer(all))
            return part.consumed
        case .ping(let payload, let consumed):
            if unsafe session.pointee.ending.stage == .open {
                var writer = writer(index)
                let echo = unsafe UnsafeRawBufferPointer(
                    rebasing: all[Int(payload.start)..<Int(payload.end)])
                unsafe WebSocketFrame.control(.pong, echo, into: &writer)
                commit(index, writer)
            }
            return consumed
        case .pong(_, let consumed): return consumed
        case .close(let code, _, _):
            if case .echo(let code) = unsafe session.pointee.ending.heardClose(code) {
                _ = sayClose(index, code, "")
            }
            unsafe connection.pointee.flags.insert(.closeAfterReply)
            return count
        case .violation(let violation):
            unsafe fail(index, session, violation.code, violation.sentence)
            return count
        }
    }

    /// A part of a message: where it is the whole of one it is used where it lies, else gathered.
    private mutating func take(
        _ part: WebSocketPart, _ index: UInt32, _ session: UnsafeMutablePointer<WebSocketSession>,
        _ bytes: UnsafeRawBufferPointer
    ) {
        let isOpen = unsafe session.pointee.ending.stage == .open
        if unsafe !isOpen || session.pointee.purpose == .events {
            return unsafe noteOpen(session, part.isLast ? nil : Int(part.payload.count))
        }
        let payload = unsafe UnsafeRawBufferPointer(
            rebasing: bytes[Int(part.payload.start)..<Int(part.payload.end)])
        if part.isFirst, part.isLast {
            unsafe session.pointee.openSinceMs = 0
            return unsafe heard(index, session, isText: part.isText, payload)
        }
        guard unsafe gather(index, session, payload) else { return }
        guard part.isLast else { return unsafe noteOpen(session, payload.count) }
        unsafe session.pointee.openSinceMs = 0
        let message = unsafe UnsafeRawBufferPointer(
            start: session.pointee.message, count: session.pointee.messageCount)
        unsafe heard(index, session, isText: part.isText, message)
        unsafe dropMessage(session)
    }

    /// Remembers since when something has been incomplete, and how much has come; nil: nothing is.
    private mutating func noteOpen(_ session: UnsafeMutablePointer<WebSocketSession>, _ count: Int?)
    {
        guard let count else {
            unsafe session.pointee.openSinceMs = 0
            return
        }
        if unsafe session.pointee.openSinceMs == 0 {
            unsafe session.pointee.openSinceMs = nowMs
            unsafe session.pointee.openBytes = 0
        }
        unsafe session.pointee.openBytes += count
    }

    /// Memory grows with what has come, under the budget of all bodies. False: the connection is
    /// told that there is none left.
    private mutating func gather(
        _ index: UInt32, _ session: UnsafeMutablePointer<WebSocketSession>,
        _ payload: UnsafeRawBufferPointer
    ) -> Bool {
        if payload.count == 0 { return true }
        let before = unsafe session.pointee.messageCapacity
        let needed = unsafe session.pointee.messageCount + payload.count
        if needed > before {
            let capacity = max(needed, 2 * before, WebSocketSession.messageBytesFirst)
            let total = unsafe state.pointee.bodyBytes.add(capacity - before, ordering: .relaxed)
                .newValue
            if total > settings.bodyBudgetBytes {
                unsafe state.pointee.bodyBytes.subtract(capacity - before, ordering: .relaxed)
                unsafe fail(
                    index, session, .tryAgainLater, "Too much is arriving at the same time")
                return false
            }
            let larger = unsafe realloc(session.pointee.message, capacity)
            unsafe invariant(larger != nil, "out of memory for a message of \(capacity) bytes")
            unsafe session.pointee.message = unsafe larger?.assumingMemoryBound(to: UInt8.self)
            unsafe session.pointee.messageCapacity = capacity
        }
        if let start = payload.baseAddress {
            let end =
                unsafe session.pointee.message.unsafelyUnwrapped + session.pointee.messageCount
            unsafe UnsafeMutableRawPointer(end).copyMemory(from: start, byteCount: payload.count)
        }
        unsafe session.pointee.messageCount = needed
        return true
    }

    private mutating func dropMessage(_ session: UnsafeMutablePointer<WebSocketSession>) {
        unsafe state.pointee.bodyBytes.subtract(
            session.pointee.messageCapacity, ordering: .relaxed)
        unsafe free(session.pointee.message)
        unsafe session.pointee.message = nil
        unsafe session.pointee.messageCount = 0
        unsafe session.pointee.messageCapacity = 0
    }

    // MARK: Time

    /// What a WebSocket's timer means, set whenever anything happened to its connection.
    mutating func settleSocket(
        _ index: UInt32, _ session: UnsafeMutablePointer<WebSocketSession>
    ) {
        let connection = unsafe connections + Int(index)
        // Else `flush` has set how long the client may take to read.
        guard unsafe connection.pointee.firstBlock == Connection.noBlock, !holdsEvents(index)
        else { return }
        var dueMs = unsafe session.pointee.beatMs
        if needsToken(index), unsafe session.pointee.tokenEndS < Int64.max {
            let leftMs = unsafe max(0, session.pointee.tokenEndS * 1000 - wallMs)
            dueMs = min(dueMs, nowMs + UInt64(leftMs))
        }
        if unsafe session.pointee.openSinceMs > 0 {
            dueMs = unsafe min(dueMs, session.pointee.openSinceMs + settings.bodyTimeoutMs)
        }
        setDeadline(index, .beat, after: dueMs > nowMs ? dueMs - nowMs : 0)
    }

    /// The time has come that `settleSocket` set.
    mutating func socketIsDue(
        _ index: UInt32, _ session: UnsafeMutablePointer<WebSocketSession>
    ) {
        // It had its time to answer our Close.
        guard unsafe session.pointee.ending.stage == .open else { return close(index) }
        if needsToken(index), unsafe session.pointee.tokenEndS * 1000 <= wallMs {
            return unsafe end(index, session, .policyViolation, "The token has ended")
        }
        let since = unsafe session.pointee.openSinceMs
        if since > 0, nowMs >= since + settings.bodyTimeoutMs {
            // As for a body: each span of that length has to bring its share.
            let due = UInt64(ShardSettings.bodyBytesPerSecondMin) * settings.bodyTimeoutMs / 1000
            guard unsafe UInt64(session.pointee.openBytes) >= max(due, 1) else {
                unsafe fail(index, session, .policyViolation, "The message took too long to arrive")
                return settle(index)
            }
            unsafe session.pointee.openSinceMs = nowMs
            unsafe session.pointee.openBytes = 0
        }
        if unsafe nowMs >= session.pointee.beatMs {
            guard unsafe session.pointee.ending.pingIsDue(), hasReplyRoom(index) else {
                return close(index)
            }
            var writer = writer(index)
            unsafe WebSocketFrame.control(
                .ping, UnsafeRawBufferPointer(start: nil, count: 0), into: &writer)
            commit(index, writer)
            unsafe session.pointee.beatMs = nowMs + settings.heartbeatMs
        }
        settle(index)
    }

    // MARK: Ending

    /// Says Close and waits for the client's.
    mutating func end(
        _ index: UInt32, _ session: UnsafeMutablePointer<WebSocketSession>,
        _ code: WebSocketCode, _ reason: StaticString
    ) {
        guard unsafe session.pointee.ending.begin() else { return }
        guard sayClose(index, code, reason) else { return close(index) }
        unsafe session.pointee.beatMs = nowMs + WebSocketSession.closeMs
        settle(index)
    }

    /// A Close goes behind all events that are on their way. False: there is no room for it.
    private mutating func sayClose(
        _ index: UInt32, _ code: WebSocketCode?, _ reason: StaticString
    ) -> Bool {
        if case .events(let number) = unsafe connections[Int(index)].stream {
            say(number, capacity: WebSocketFrame.controlFrameBytesMax) { _, writer in
                WebSocketFrame.close(code, reason, into: &writer)
            }
            unsafe audience.streams.place(number).pointee.flags.insert(.ended)
            stopListening(number)
            makeDirty(index)
            return true
        }
        guard hasReplyRoom(index) else { return false }
        var writer = writer(index)
        WebSocketFrame.close(code, reason, into: &writer)
        commit(index, writer)
        return true
    }

    /// The node goes down, or this connection's turn to go has come with it.
    mutating func say(
        goodbyeTo index: UInt32, _ session: UnsafeMutablePointer<WebSocketSession>
    ) {
        if case .events(let number) = unsafe connections[Int(index)].stream,
            unsafe session.pointee.ending.stage == .open
        {
            sayControl(number, "bye")
        }
        unsafe end(index, session, .goingAway, "The node is draining")
    }

    /// Says Close and looks at nothing that comes after: where the next frame begins is unknown, or
    /// there is no room for it.
    mutating func fail(
        _ index: UInt32, _ session: UnsafeMutablePointer<WebSocketSession>,
        _ code: WebSocketCode, _ reason: StaticString
    ) {
        if unsafe session.pointee.ending.begin(), !sayClose(index, code, reason) {
            return close(index)
        }
        let connection = unsafe connections + Int(index)
        unsafe connection.pointee.flags.insert(.closeAfterReply)
    }

    /// The connection is gone.
    mutating func dropSocket(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        guard case .webSocket(let session) = unsafe connection.pointee.session else { return }
        unsafe connection.pointee.session = .http
        tally.webSocketsOpen &-= 1
        unsafe dropMessage(session)
        unsafe session.deinitialize(count: 1)
        unsafe session.deallocate()
    }
}
