import Keyspace
import Machine
import Wire

/// What is said on `/ws`: operations, and their answers in whatever order they come.
extension Shard {
    /// A whole message.
    mutating func heard(
        _ index: UInt32, _ session: UnsafeMutablePointer<WebSocketSession>, isText: Bool,
        _ message: UnsafeRawBufferPointer
    ) {
        switch unsafe session.pointee.purpose {
        case .events: break
        case .echo:
            guard unsafe say(index, isText ? .text : .bytes, message) else { return close(index) }
        case .operations:
            guard isText else {
                return unsafe fail(
                    index, session, .unsupportedData, "Operations are text, not bytes")
            }
            switch unsafe SocketRequest.parse(
                message, scratch: scratch, scratchBytes: Self.scratchBytes)
            {
            case .request(let request):
                if rates != nil, unsafe !mayAsk(session) {
                    return unsafe sayError(
                        index, id: request.id, .tooManyRequests, Self.overRate)
                }
                unsafe carryOut(index, session, request)
            case .refused(let id, let sentence):
                unsafe sayError(index, id: id, .badRequest, sentence)
            }
        }
    }

    /// One message in one frame. False: there is no memory for it.
    mutating func say(
        _ index: UInt32, _ kind: WebSocketFrame.Kind, _ message: UnsafeRawBufferPointer
    ) -> Bool {
        guard hasReplyRoom(index) else { return false }
        var writer = writer(index)
        WebSocketFrame.head(kind, message.count, into: &writer)
        guard !writer.hasRoom(message.count) else {
            unsafe writer.write(message)
            commit(index, writer)
            return true
        }
        commit(index, writer)
        return unsafe append(index, message)
    }

    // MARK: Operations

    private mutating func carryOut(
        _ index: UInt32, _ session: UnsafeMutablePointer<WebSocketSession>,
        _ request: SocketRequest
    ) {
        let (caller, principal) = unsafe session.pointee.caller(atS: wallMs / 1000)
        var work = unsafe TableWork(
            kind: .get, caller: caller, table: 0, hash: 0, principal: principal, key: request.key)
        switch request.operation {
        case .ping: return unsafe say(index, request.id, .ok)
        case .keys: return unsafe list(index, session, request, work)
        case .subscribe: return unsafe subscribe(index, session, request)
        case .unsubscribe: return unsubscribe(index, request)
        case .get: break
        case .put, .delete:
            if caller == .nobody {
                return unsafe sayError(
                    index, id: request.id, .unauthorized, "A valid token is needed for this")
            }
            work.kind = request.operation == .put ? .put : .delete
        }
        if unsafe request.value.count > settings.valueBytesMax {
            return unsafe sayError(
                index, id: request.id, .contentTooLarge,
                "The value is larger than may be stored")
        }
        unsafe work.value = unsafe request.value
        work.ttlMs = request.ttlMs
        unsafe work.ifMatch = unsafe request.ifMatch
        unsafe work.ifNoneMatch = unsafe request.ifNoneMatch
        guard let table = unsafe table(request.table, adding: work.kind == .put) else {
            return unsafe work.kind == .put
                ? sayError(
                    index, id: request.id, .insufficientStorage, "There are too many tables")
                : say(index, request.id, .keyNotFound)
        }
        work.table = table
        work.readRule = tables[table].readRule
        work.hash = unsafe keyspace.hashing.hash(table, work.key)

        let target = unsafe shard(of: work.key, in: table)
        if target == number {
            let outcome = carryOut(work)
            if !commitPoint.mustHold(outcome) {
                if outcome.position > 0 {
                    let connection = unsafe connections + Int(index)
                    unsafe connection.pointee.toldTurn = turn
                }
                return unsafe say(index, request.id, outcome)
            }
            guard let ticket = unsafe ask(index, session, request.id) else {
                return close(index)
            }
            return postAnswer(outcome, to: number, ticket: ticket)
        }
        guard let ticket = unsafe ask(index, session, request.id) else {
            return unsafe sayError(
                index, id: request.id, .serviceUnavailable, "The node has too much to do")
        }
        if !post(work, to: target, ticket: ticket) {
            dropQuestion(ticket)
            unsafe sayError(
                index, id: request.id, .serviceUnavailable,
                "The key's shard has too much to do")
        }
    }

    private mutating func list(
        _ index: UInt32, _ session: UnsafeMutablePointer<WebSocketSession>,
        _ request: SocketRequest, _ work: TableWork
    ) {
        guard let table = unsafe table(request.table, adding: false) else {
            return unsafe sayError(index, id: request.id, .notFound, "There is no such table")
        }
        var principal = RecordOwner.system
        if tables[table].readRule != .open {
            if work.caller == .nobody {
                return unsafe sayError(
                    index, id: request.id, .unauthorized,
                    "A valid token is needed to read this table")
            }
            if tables[table].readRule == .owner, work.caller == .user { principal = work.principal }
        }
        var query = ListQuery()
        unsafe query.prefix = unsafe request.prefix
        query.limit = request.limit
        unsafe query.after = unsafe request.after
        let question = unsafe SocketQuestion(
            connection: index, session: session.pointee.serial, id: request.id)
        unsafe beginListing(
            index, [], table, path: UnsafeRawBufferPointer(start: nil, count: 0),
            withRecords: false, principal: principal.rawValue, query, for: question)
    }

    // MARK: Questions

    /// Keeps a place for an answer from elsewhere; nil where there is none left.
    private mutating func ask(
        _ index: UInt32, _ session: UnsafeMutablePointer<WebSocketSession>,
        _ id: UnsafeRawBufferPointer
    ) -> UInt64? {
        guard awaited.hasFreeForRequest else { return nil }
        let place = awaited.take(for: Connection.noBlock, [])
        let question = UnsafeMutablePointer<SocketQuestion>.allocate(capacity: 1)
        unsafe question.initialize(
            to: SocketQuestion(connection: index, session: session.pointee.serial, id: id))
        unsafe awaited.places[Int(place)].question = unsafe question
        unsafe session.pointee.pendingCount += 1
        return awaited.ticket(place)
    }

    /// Takes a question's place back, and answers what was asked, if whoever asked is still there.
    private mutating func take(
        _ place: UInt32
    ) -> (SocketQuestion, UnsafeMutablePointer<WebSocketSession>)? {
        guard let memory = unsafe awaited.places[Int(place)].question else { return nil }
        let question = unsafe memory.move()
        unsafe memory.deallocate()
        unsafe awaited.places[Int(place)].question = nil
        awaited.give(place)
        guard case .webSocket(let session) = unsafe connections[Int(question.connection)].session,
            unsafe session.pointee.serial == question.session
        else { return nil }
        unsafe session.pointee.pendingCount -= 1
        return unsafe (question, session)
    }

    private mutating func dropQuestion(_ ticket: UInt64) {
        if let place = awaited.place(of: ticket) { _ = unsafe take(place) }
    }

    /// An answer has come from elsewhere.
    mutating func heardElsewhere(
        _ place: UInt32, _ status: HTTPStatus, _ body: UnsafeRawBufferPointer
    ) {
        guard let (question, session) = unsafe take(place) else { return }
        let index = question.connection
        guard unsafe connections[Int(index)].state == .open,
            unsafe session.pointee.ending.stage == .open
        else { return }
        if hasReplyRoom(index) {
            unsafe question.withID { id in
                unsafe say(index, SocketAnswer(id: id, status: status, body: body))
            }
        } else {
            close(index)
        }
        // Operations may have waited for this one.
        makeRunnable(index)
    }

    // MARK: Answers

    mutating func say(_ index: UInt32, _ answer: SocketAnswer) {
        var writer = writer(index)
        WebSocketFrame.head(.text, answer.byteCount, into: &writer)
        answer.writeHead(into: &writer)
        let rest = unsafe answer.rest
        if writer.hasRoom(rest.count + 1) {
            unsafe writer.write(rest)
            writer.write(SocketAnswer.tail)
            return commit(index, writer)
        }
        commit(index, writer)
        let tail = SocketAnswer.tail
        let isWhole =
            unsafe append(index, rest)
            && append(index, UnsafeRawBufferPointer(start: tail.utf8Start, count: 1))
        if !isWhole { close(index) }
    }

    /// Nothing to say but that it was done.
    mutating func say(
        _ index: UInt32, _ id: UnsafeRawBufferPointer, _ status: HTTPStatus
    ) {
        unsafe say(
            index,
            SocketAnswer(
                id: id, status: status, body: UnsafeRawBufferPointer(start: nil, count: 0)))
    }

    private mutating func say(_ index: UInt32, _ id: UnsafeRawBufferPointer, _ outcome: Outcome) {
        let count = outcome.bodyCount(owners)
        // What was decoded there has been used.
        if count <= Self.scratchBytes {
            var writer = unsafe ByteWriter(scratch, capacity: count)
            outcome.writeBody(owners, into: &writer)
            return unsafe say(
                index,
                SocketAnswer(
                    id: id, status: outcome.status,
                    body: UnsafeRawBufferPointer(writer.written)))
        }
        let body = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 8)
        defer { unsafe body.deallocate() }
        var writer = unsafe ByteWriter(
            body.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self),
            capacity: count)
        outcome.writeBody(owners, into: &writer)
        unsafe say(
            index,
            SocketAnswer(id: id, status: outcome.status, body: UnsafeRawBufferPointer(body)))
    }

    mutating func sayError(
        _ index: UInt32, id: UnsafeRawBufferPointer, _ status: HTTPStatus,
        _ sentence: StaticString
    ) {
        unsafe say(index, id, .error(status, sentence))
    }

    /// A page of keys: `{"id":1,"status":200,"keys":["a"],"cursor":"…"}`; false: there is no room.
    mutating func sayKeys(
        _ question: SocketQuestion, _ keys: UnsafeRawBufferPointer, last: UnsafeRawBufferPointer?
    ) -> Bool {
        let index = question.connection
        guard hasReplyRoom(index) else { return false }
        return unsafe question.withID { id in
            let opening: StaticString = "{\"id\":"
            let middle: StaticString = ",\"status\":200,\"keys\":"
            let cursorName: StaticString = ",\"cursor\":\""
            let cursorCount = unsafe last.map {
                unsafe cursorName.utf8CodeUnitCount + Cursor.byteCount($0) + 1
            }
            var writer = writer(index)
            let head = opening.utf8CodeUnitCount + id.count + middle.utf8CodeUnitCount
            WebSocketFrame.head(.text, head + keys.count + (cursorCount ?? 0) + 1, into: &writer)
            writer.write(opening)
            unsafe writer.write(id)
            writer.write(middle)
            commit(index, writer)
            guard unsafe append(index, keys), hasReplyRoom(index) else { return false }
            writer = self.writer(index)
            if let last = unsafe last {
                writer.write(cursorName)
                unsafe Cursor.write(last, into: &writer)
                writer.write(byte: 0x22)
            }
            writer.write(SocketAnswer.tail)
            commit(index, writer)
            return true
        }
    }
}
