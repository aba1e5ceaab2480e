import Glibc
import Machine
import Wire

/// Requests out of bytes, answers into blocks: the HTTP/1.1 session of a connection.
///
/// A request is looked at only when there is room for its reply and the connection has not used up
/// its share of the turn, so that pipelined requests are answered in order, bounded, and fairly.
extension Shard {
    /// Serves as much of the bytes as may be served now and answers how many were used.
    mutating func serve(_ index: UInt32, _ bytes: UnsafePointer<UInt8>, count: Int) -> Int {
        let connection = unsafe connections + Int(index)
        if unsafe connection.pointee.turn != turn {
            // Who used up the last turn's share gets a smaller one: a turn that is short for others is
            // worth more than one that is cheap for who never has enough.
            let isGreedy = unsafe connection.pointee.isGreedy
            let part = isGreedy ? ShardSettings.greedyPart : 1
            unsafe connection.pointee.turn = turn
            unsafe connection.pointee.turnRequests = max(1, settings.turnRequestsMax / part)
            unsafe connection.pointee.turnBytes = max(1, settings.turnBytesMax / part)
        }
        if case .unknown = unsafe connection.pointee.session, count > 0 {
            // The first byte tells what the client speaks.
            let first = unsafe bytes[0]
            let isRESP =
                unsafe connection.pointee.flags.contains(.respListener)
                || first == UInt8(ascii: "*") || first == UInt8(ascii: "$")
            if isRESP, unsafe connection.pointee.flags.contains(.refused) {
                return refuseCommands(index, count)
            }
            unsafe connection.pointee.session =
                isRESP ? unsafe .resp(makeSession(index)) : .http
        }
        var used = 0
        while used < count, mayServe(index) {
            if unsafe connection.pointee.turnRequests <= 0 || connection.pointee.turnBytes <= 0 {
                makeRunnable(index)
                break
            }
            // The answer may come from another shard, and what was gathered before it from the disk.
            if !hasReplyRoom(index) || !awaited.hasFreeForRequest {
                makeRunnable(index)
                break
            }
            if !hasMailRoom() {
                awaitsMailRoom = true
                makeRunnable(index)
                break
            }
            let step: Int
            if case .webSocket(let session) = unsafe connection.pointee.session {
                step = unsafe takeFrame(index, session, bytes + used, count: count - used)
            } else if case .resp(let session) = unsafe connection.pointee.session {
                step = unsafe takeCommands(index, session, bytes + used, count: count - used)
            } else if unsafe connection.pointee.phase == .body {
                step = unsafe takeBody(index, bytes + used, count: count - used)
            } else {
                step = unsafe takeRequest(index, bytes + used, count: count - used)
            }
            unsafe connection.pointee.turnBytes &-= Int32(truncatingIfNeeded: step)
            used += step
            if step == 0 { break }
        }
        return used
    }

    /// Takes one request with a body that is here in one piece, or its head, and answers how many
    /// bytes that was; 0 when more are needed.
    private mutating func takeRequest(
        _ index: UInt32, _ bytes: UnsafePointer<UInt8>, count: Int
    ) -> Int {
        let plain = unsafe answerPlainReads(index, bytes, count: count)
        if plain > 0 { return plain }
        let raw = unsafe UnsafeRawBufferPointer(start: bytes, count: count)
        let head = unsafe self.head
        if unsafe heads.recall(
            raw.bytes, connection: index, limits: settings.limits, into: &head.pointee)
        {
            return unsafe takeHead(index, raw)
        }
        switch unsafe HTTPRequestParser.parse(
            raw.bytes, limits: settings.limits, into: &head.pointee)
        {
        case .needMore: return 0
        case .violation(let violation):
            refuse(index, violation.status, violation.sentence)
            return count
        case .head:
            unsafe heads.remember(raw.bytes, connection: index, head.pointee)
            return unsafe takeHead(index, raw)
        }
    }

    /// Goes on with a request whose head is understood.
    private mutating func takeHead(_ index: UInt32, _ raw: UnsafeRawBufferPointer) -> Int {
        let head = unsafe self.head
        if unsafe mustWait(index, raw) { return 0 }
        let connection = unsafe connections + Int(index)
        unsafe connection.pointee.turnRequests &-= 1
        // The time of a head that is still coming is over; the next one has its own.
        if unsafe connection.pointee.deadlineMeaning == .head {
            unsafe connection.pointee.deadlineMeaning = .idle
        }
        if rates != nil, let refused = unsafe refuseOverRate(index, raw) { return refused }
        let headCount = unsafe Int(head.pointee.headByteCount)
        switch unsafe head.pointee.body {
        case .none:
            unsafe answer(index, Request(head: head, bytes: raw, body: nothing))
            return headCount
        case .length(let length) where length <= UInt64(raw.count - headCount):
            let body = unsafe UnsafeRawBufferPointer(
                rebasing: raw[headCount..<headCount + Int(length)])
            unsafe answer(index, Request(head: head, bytes: raw, body: body))
            return headCount + Int(length)
        case .length, .chunked:
            unsafe beginBody(index, raw)
            return headCount
        }
    }

    /// A list is produced as its reader takes it, so it can't be laid aside: it begins when the
    /// answers to all earlier requests of the connection have come.
    ///
    /// Mutating so that the shard is handed over by its address: see docs/compiler-workarounds.md.
    private mutating func mustWait(_ index: UInt32, _ bytes: UnsafeRawBufferPointer) -> Bool {
        let isDiverted = unsafe connections[Int(index)].flags.contains(.diverted)
        guard isDiverted || isLoading else { return false }
        // Nor can another protocol begin.
        if isDiverted, unsafe head.pointee.isUpgrade { return true }
        guard unsafe head.pointee.method == .get || head.pointee.method == .head else {
            return false
        }
        let range = unsafe head.pointee.path
        let raw = unsafe UnsafeRawBufferPointer(
            rebasing: bytes[Int(range.start)..<Int(range.end)])
        let path = unsafe TablePath.parse(raw, scratch: scratch, scratchBytes: Self.scratchBytes)
        if unsafe path.kind == .subscribe || raw.bytes.equals("/subscribe") {
            // Browsers would not come back from the refusal that others get while the node loads.
            if isLoading, !isDiverted, !acceptsNoMoreRequests {
                let connection = unsafe connections + Int(index)
                unsafe connection.pointee.flags.insert(.awaitsLoading)
            }
            return true
        }
        return isDiverted && (path.kind == .keys || path.kind == .store)
    }

    private var nothing: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    }

    /// Answers one complete request.
    mutating func answer(_ index: UInt32, _ request: borrowing Request) {
        let connection = unsafe connections + Int(index)
        let shape = shape(index, request)
        if unsafe connection.pointee.flags.contains(.refused) {
            // Browsers never come back to a stream that was answered anything but 200.
            if asksForStream(request) { return replyFarewell(index, shape) }
            var reply = beginReply(index, shape, .serviceUnavailable)
            HTTPReplyHead.field("Retry-After", "1", into: &reply)
            return finishError(index, shape, "The node has as many connections as it may", reply)
        }
        route(index, request, shape)
    }

    /// What the reply needs of the request, and whether it is the connection's last.
    @inline(__always)
    mutating func shape(_ index: UInt32, _ request: borrowing Request) -> ReplyShape {
        let connection = unsafe connections + Int(index)
        var shape = request.shape
        if unsafe !request.keepAlive || acceptsNoMoreRequests
            || connection.pointee.flags.contains(.refused)
        {
            unsafe connection.pointee.flags.insert(.closeAfterReply)
            shape.insert(.closes)
        }
        return shape
    }

    mutating func asksForStream(_ request: borrowing Request) -> Bool {
        guard request.method == .get, request.opening == .none else { return false }
        if request.path.equals("/subscribe") { return true }
        return unsafe TablePath.parse(
            request.rawPath, scratch: scratch, scratchBytes: Self.scratchBytes
        ).kind == .subscribe
    }

    // MARK: Replies

    /// A whole JSON reply of status 200 whose body fits the room every reply has.
    mutating func replyJSON(
        _ index: UInt32, _ shape: ReplyShape, _ body: UnsafeRawBufferPointer
    ) {
        guard shape.isDisjoint(with: [.closes, .version10, .crossOrigin]) else {
            return unsafe reply(index, shape, .ok, contentType: "application/json", body)
        }
        var writer = writer(index)
        tally.answers2xx &+= 1
        okHead.write(contentLength: body.count, into: &writer)
        HTTPReplyHead.finish(into: &writer)
        if !shape.contains(.headOnly) { unsafe writer.write(body) }
        commit(index, writer)
    }

    /// A whole reply with a body that fits the room every reply has.
    mutating func reply(
        _ index: UInt32, _ shape: ReplyShape, _ status: HTTPStatus,
        contentType: StaticString, _ body: UnsafeRawBufferPointer
    ) {
        var writer = beginReply(index, shape, status)
        HTTPReplyHead.field("Content-Type", contentType, into: &writer)
        HTTPReplyHead.framing(.length(UInt64(body.count)), into: &writer)
        HTTPReplyHead.finish(into: &writer)
        if !shape.contains(.headOnly) { unsafe writer.write(body) }
        commit(index, writer)
    }

    mutating func replyError(
        _ index: UInt32, _ shape: ReplyShape, _ status: HTTPStatus, _ sentence: StaticString
    ) {
        let writer = beginReply(index, shape, status)
        finishError(index, shape, sentence, writer)
    }

    /// The status line and the fields that every reply has; the caller adds its own.
    mutating func beginReply(
        _ index: UInt32, _ shape: ReplyShape, _ status: HTTPStatus
    ) -> ByteWriter {
        tally.countAnswer(status)
        var writer = writer(index)
        HTTPReplyHead.start(
            status, keepAlive: !shape.contains(.closes),
            minorVersion: shape.contains(.version10) ? 0 : 1, date: date, into: &writer)
        if shape.contains(.crossOrigin) { allowOrigin(into: &writer) }
        if status == .unauthorized {
            HTTPReplyHead.field("WWW-Authenticate", "Bearer", into: &writer)
        }
        return writer
    }

    mutating func finishError(
        _ index: UInt32, _ shape: ReplyShape, _ sentence: StaticString, _ begun: ByteWriter
    ) {
        var writer = begun
        writeErrorBody(sentence, sendsBody: !shape.contains(.headOnly), into: &writer)
        commit(index, writer)
    }

    /// Answers something that is not a request we can act on, and closes after it.
    mutating func refuse(_ index: UInt32, _ status: HTTPStatus, _ sentence: StaticString) {
        let connection = unsafe connections + Int(index)
        dropArriving(index)
        unsafe connection.pointee.flags.insert(.closeAfterReply)
        guard hasReplyRoom(index) else { return close(index) }
        replyError(index, [.closes, .crossOrigin], status, sentence)
    }

    private mutating func writeErrorBody(
        _ sentence: StaticString, sendsBody: Bool, into writer: inout ByteWriter
    ) {
        HTTPReplyHead.field("Content-Type", "application/json", into: &writer)
        let overhead = 12
        let count = UInt64(sentence.utf8CodeUnitCount + overhead)
        HTTPReplyHead.framing(.length(count), into: &writer)
        HTTPReplyHead.finish(into: &writer)
        guard sendsBody else { return }
        writer.write("{\"error\":\"")
        writer.write(sentence)
        writer.write("\"}")
    }

    /// Lets pages of other origins read the reply, as far as `--cors-origin` goes.
    private mutating func allowOrigin(into writer: inout ByteWriter) {
        HTTPReplyHead.begin("Access-Control-Allow-Origin", into: &writer)
        unsafe writer.write(settings.corsOrigin)
        if !settings.allowsAnyOrigin { HTTPReplyHead.field("Vary", "Origin", into: &writer) }
        HTTPReplyHead.field(
            "Access-Control-Expose-Headers",
            "ETag, Link, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Needletail-Token",
            into: &writer)
    }
}
