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
            unsafe connection.pointee.turn = turn
            unsafe connection.pointee.turnRequests = settings.turnRequestsMax
            unsafe connection.pointee.turnBytes = settings.turnBytesMax
        }
        var used = 0
        while used < count, mayServe(index) {
            if unsafe connection.pointee.turnRequests <= 0 || connection.pointee.turnBytes <= 0 {
                makeRunnable(index)
                break
            }
            if !hasReplyRoom(index) {
                makeRunnable(index)
                break
            }
            let step: Int
            if unsafe connection.pointee.phase == .body {
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
        let raw = unsafe UnsafeRawBufferPointer(start: bytes, count: count)
        switch unsafe HTTPRequestParser.parse(
            raw.bytes, limits: settings.limits, into: &head.pointee)
        {
        case .needMore: return 0
        case .violation(let violation):
            refuse(index, violation.status, violation.sentence)
            return count
        case .head:
            unsafe connections[Int(index)].turnRequests &-= 1
            let headCount = unsafe Int(head.pointee.headByteCount)
            switch unsafe head.pointee.body {
            case .none:
                unsafe answer(index, Request(head: head, bytes: raw, body: nothing))
                return headCount
            case .length(let length) where length <= UInt64(count - headCount):
                let body = unsafe UnsafeRawBufferPointer(
                    rebasing: raw[headCount..<headCount + Int(length)])
                unsafe answer(index, Request(head: head, bytes: raw, body: body))
                return headCount + Int(length)
            case .length, .chunked:
                unsafe beginBody(index, raw)
                return headCount
            }
        }
    }

    private var nothing: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    }

    /// Answers one complete request.
    mutating func answer(_ index: UInt32, _ request: borrowing Request) {
        let connection = unsafe connections + Int(index)
        unsafe connection.pointee.flags.insert(.served)
        if !request.keepAlive || acceptsNoMoreRequests {
            unsafe connection.pointee.flags.insert(.closeAfterReply)
        }
        if unsafe connection.pointee.flags.contains(.refused) {
            unsafe connection.pointee.flags.insert(.closeAfterReply)
            var reply = beginReply(index, request, .serviceUnavailable)
            HTTPReplyHead.field("Retry-After", "1", into: &reply)
            return finishError(index, request, "The node has as many connections as it may", reply)
        }
        route(index, request)
    }

    // MARK: Replies

    /// A whole JSON reply of status 200 whose body fits the room every reply has.
    mutating func replyJSON(
        _ index: UInt32, _ request: borrowing Request, _ body: UnsafeRawBufferPointer
    ) {
        let staysOpen = unsafe !connections[Int(index)].flags.contains(.closeAfterReply)
        guard staysOpen, request.minorVersion == 1 else {
            return unsafe reply(index, request, .ok, contentType: "application/json", body)
        }
        var writer = writer(index)
        okHead.write(contentLength: body.count, into: &writer)
        if request.method != .head { unsafe writer.write(body) }
        commit(index, writer)
    }

    /// A whole reply with a body that fits the room every reply has.
    mutating func reply(
        _ index: UInt32, _ request: borrowing Request, _ status: HTTPStatus,
        contentType: StaticString, _ body: UnsafeRawBufferPointer
    ) {
        var writer = beginReply(index, request, status)
        HTTPReplyHead.field("Content-Type", contentType, into: &writer)
        HTTPReplyHead.framing(.length(UInt64(body.count)), into: &writer)
        HTTPReplyHead.finish(into: &writer)
        if request.method != .head { unsafe writer.write(body) }
        commit(index, writer)
    }

    mutating func replyError(
        _ index: UInt32, _ request: borrowing Request, _ status: HTTPStatus,
        _ sentence: StaticString
    ) {
        let writer = beginReply(index, request, status)
        finishError(index, request, sentence, writer)
    }

    /// The status line and the fields that every reply has; the caller adds its own.
    mutating func beginReply(
        _ index: UInt32, _ request: borrowing Request, _ status: HTTPStatus
    ) -> ByteWriter {
        var writer = writer(index)
        let keepsAlive = unsafe !connections[Int(index)].flags.contains(.closeAfterReply)
        HTTPReplyHead.start(
            status, keepAlive: keepsAlive, minorVersion: request.minorVersion, date: date,
            into: &writer)
        return writer
    }

    mutating func finishError(
        _ index: UInt32, _ request: borrowing Request, _ sentence: StaticString,
        _ begun: ByteWriter
    ) {
        var writer = begun
        writeErrorBody(sentence, sendsBody: request.method != .head, into: &writer)
        commit(index, writer)
    }

    /// Answers something that is not a request we can act on, and closes after it.
    mutating func refuse(_ index: UInt32, _ status: HTTPStatus, _ sentence: StaticString) {
        let connection = unsafe connections + Int(index)
        dropArriving(index)
        unsafe connection.pointee.flags.insert(.closeAfterReply)
        guard hasReplyRoom(index) else { return close(index) }
        var writer = writer(index)
        HTTPReplyHead.start(status, keepAlive: false, date: date, into: &writer)
        writeErrorBody(sentence, sendsBody: true, into: &writer)
        commit(index, writer)
    }

    private func writeErrorBody(
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
}
