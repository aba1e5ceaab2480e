import Glibc
import Identity
import Keyspace
import Machine
import Wire

/// The table API over one key: from a request to work for the key's shard, and the work itself.
extension Shard {
    // MARK: Asking

    /// Answers, or hands on, a request for one key.
    mutating func routeKey(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape, _ path: TablePath
    ) {
        var work = unsafe TableWork(kind: .get, table: 0, hash: 0, key: path.key)
        switch request.method {
        case .get, .head: work.kind = .get
        case .put: work.kind = .put
        case .patch: work.kind = .patch
        case .delete: work.kind = .delete
        case .options: return replyOptions(index, request, shape, allow: Self.keyMethods)
        default: return replyNotAllowed(index, shape, allow: Self.keyMethods)
        }
        unsafe work.ifMatch = unsafe request.field(.ifMatch)
        unsafe work.ifNoneMatch = unsafe request.field(.ifNoneMatch)
        if !identify(request, &work), work.kind != .get {
            return replyError(index, shape, .unauthorized, "A valid token is needed for this")
        }
        if let refusal = prepare(&work, request) {
            return replyOutcome(index, shape, refusal)
        }
        guard let table = unsafe table(path.table, adding: work.kind == .put) else {
            let isFull = work.kind == .put
            return isFull
                ? replyError(index, shape, .insufficientStorage, "There are too many tables")
                : replyOutcome(index, shape, .keyNotFound)
        }
        // Plain reads are not counted one by one.
        if rates == nil { unsafe plainTable.remember(request.rawPath, key: path.key, table) }
        work.table = table
        work.readRule = tables[table].readRule
        work.hash = unsafe keyspace.hashing.hash(table, work.key)

        let target = unsafe shard(of: work.key, in: table)
        guard target != number else {
            if hasHolds, mustWait(work.hash) {
                return waitForHold(work, ticket: awaitAnswer(index, shape))
            }
            let outcome = carryOut(work)
            if commitPoint.mustHold(outcome) {
                return postAnswer(outcome, to: number, ticket: awaitAnswer(index, shape))
            }
            return replyOutcome(index, shape, outcome)
        }
        let ticket = awaitAnswer(index, shape)
        if !post(work, to: target, ticket: ticket) {
            deliver(ticket) { shard, index, shape in
                shard.replyError(
                    index, shape, .serviceUnavailable, "The key's shard has too much to do")
            }
        }
    }

    static var keyMethods: StaticString { "GET, HEAD, PUT, PATCH, DELETE, OPTIONS" }

    mutating func shard(of key: UnsafeRawBufferPointer, in table: TableNumber) -> Int {
        guard unsafe state.pointee.shardCount > 1 else { return number }
        let slot = unsafe Slot.of(key, offset: tables[table].slotOffset)
        return unsafe Slot.shard(ofGroup: Slot.group(slot), shards: state.pointee.shardCount)
    }

    /// Who asks. False: nobody that could write.
    mutating func identify(_ request: borrowing Request, _ work: inout TableWork) -> Bool {
        let authorization = unsafe request.field(.authorization)
        let apiKey = unsafe request.field(.xAPIKey)
        if unsafe authorization == nil, unsafe apiKey == nil { return false }
        switch unsafe authenticator.caller(
            authorization: authorization?.bytes, apiKey: apiKey?.bytes, nowS: wallMs / 1000,
            owners: owners)
        {
        case .nobody, .invalid: return false
        case .user(let principal):
            work.caller = principal.user == .admin ? .admin : .user
            work.principal = RecordOwner(rawValue: principal.owner)
            if let met = authenticator.takeNewOwner() { storeOwner(met.id, met.name) }
            return true
        }
    }

    /// What can be judged before the key's shard is asked: the body and the query.
    private mutating func prepare(_ work: inout TableWork, _ request: borrowing Request) -> Outcome?
    {
        guard work.kind == .put || work.kind == .patch else { return nil }
        if let type = unsafe request.field(.contentType), unsafe !Self.isJSON(type.bytes, work.kind)
        {
            return .error(.unsupportedMediaType, "The content type has to be JSON")
        }
        switch unsafe TTL.find(in: request.queryItems, request.bytes.bytes) {
        case .absent: break
        case .lasts(let milliseconds): work.ttlMs = milliseconds
        case .malformed:
            return .error(.badRequest, "The ttl is not a time such as 30s, 5m or 1h30m")
        }
        if work.kind == .patch {
            unsafe work.value = unsafe request.body
        } else {
            switch unsafe PutBody.value(in: request.body) {
            case .value(let value): unsafe work.value = unsafe value
            case .missing: return .error(.badRequest, "The body has no member \"value\"")
            case .repeated: return .error(.badRequest, "The body has two members \"value\"")
            case .invalid: return .error(.badRequest, "The body is not a JSON object")
            }
        }
        if unsafe work.value.count > settings.valueBytesMax {
            return .error(.contentTooLarge, "The value is larger than may be stored")
        }
        return nil
    }

    static func isJSON(_ type: RawSpan, _ kind: TableWork.Kind) -> Bool {
        // As nearly everybody writes it.
        if type.equals("application/json") { return true }
        var end = 0
        while end < type.byteCount {
            let byte = unsafe type.unsafeLoad(fromByteOffset: end, as: UInt8.self)
            if byte == UInt8(ascii: ";") || byte == 0x20 || byte == 0x09 { break }
            end += 1
        }
        let bare = type.extracting(0..<end)
        return bare.equalsIgnoringCase("application/json")
            || (kind == .patch && bare.equalsIgnoringCase("application/merge-patch+json"))
    }

    // MARK: Doing

    /// Carries out work on a key of this shard. The outcome is good until the next work.
    mutating func carryOut(_ work: TableWork) -> Outcome {
        let key = unsafe Key(work.table, work.key, hash: work.hash)
        if work.kind == .get { return read(work, key) }
        if work.kind == .listeners {
            if work.readRule != .open, work.caller == .nobody { return Self.tokenNeeded }
            let count = unsafe publisher.interest.listeners(of: work.table, work.hash, work.key)
            return Outcome(status: .ok, body: .count(count))
        }

        let record = keyspace.get(key, at: wallMs)
        if let refusal = refusal(work, record) { return refusal }
        var command = unsafe Command(.put, key, by: work.principal, value: Value(.json, work.value))
        if work.caller == .admin { command.principal = .system }
        if work.ttlMs > 0 { command.expiry = .at(wallMs + work.ttlMs) }
        switch work.kind {
        case .check: return Outcome(status: .ok, body: .none)
        case .get, .put, .listeners: break
        case .delete: command.kind = .delete
        case .patch:
            guard let record else { return .keyNotFound }
            command.expiry = work.ttlMs > 0 ? command.expiry : .keep
            return unsafe patch(command, record, work.value)
        }
        return outcome(of: command)
    }

    private mutating func read(_ work: TableWork, _ key: Key) -> Outcome {
        guard let record = keyspace.get(key, at: wallMs) else {
            if work.readRule != .open, work.caller == .nobody { return Self.tokenNeeded }
            return .keyNotFound
        }
        switch work.readRule {
        case .open: break
        case .authenticated where work.caller == .nobody: return Self.tokenNeeded
        case .owner where work.caller == .nobody: return Self.tokenNeeded
        case .owner where work.caller == .user && record.owner != work.principal:
            return .error(.forbidden, "Only its owner may read this")
        case .authenticated, .owner: break
        }
        if let field = unsafe work.ifNoneMatch {
            guard
                let matches = unsafe EntityTag.matches(
                    field.bytes, version: record.version, stamp: record.stamp)
            else { return Self.malformedTag }
            if matches {
                return Outcome(
                    status: .notModified, body: .none, tag: (record.version, record.stamp))
            }
        }
        var found = Outcome.record(.ok, record)
        if commitPoint.mustHold(record) {
            found.position = keyspace.position
        }
        return found
    }

    private static var tokenNeeded: Outcome {
        .error(.unauthorized, "A valid token is needed to read this table")
    }

    private static var malformedTag: Outcome {
        .error(.badRequest, "A precondition is not a list of entity tags")
    }

    /// Why a write does not happen: whose record it is first, then its preconditions.
    private mutating func refusal(_ work: TableWork, _ record: Record?) -> Outcome? {
        if let record, work.caller != .admin, record.owner != .anonymous,
            record.owner != work.principal
        {
            return .error(.unauthorized, "The record belongs to somebody else")
        }
        if let field = unsafe work.ifMatch {
            guard let record else {
                return work.kind == .put
                    ? .error(.preconditionFailed, "There is no such record") : .keyNotFound
            }
            guard
                let matches = unsafe EntityTag.matches(
                    field.bytes, version: record.version, stamp: record.stamp,
                    allowsWeak: false)
            else { return Self.malformedTag }
            if !matches { return .record(.preconditionFailed, record) }
        }
        if let field = unsafe work.ifNoneMatch, let record {
            guard
                let matches = unsafe EntityTag.matches(
                    field.bytes, version: record.version, stamp: record.stamp)
            else { return Self.malformedTag }
            if matches { return .record(.preconditionFailed, record) }
        }
        return nil
    }

    private mutating func patch(
        _ command: consuming Command, _ record: Record, _ patch: UnsafeRawBufferPointer
    ) -> Outcome {
        guard record.kind == .json, unsafe JSONKind(of: record.value) == .object else {
            return .error(.conflict, "The value is not an object, so it can't be patched")
        }
        let most = unsafe JSONMergePatch.countMax(patch: patch, target: record.value)
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: most, alignment: 8)
        defer { unsafe room.deallocate() }
        switch unsafe JSONMergePatch.apply(patch, to: record.value, into: room) {
        case .merged(let count):
            guard count <= settings.valueBytesMax else {
                return .error(.contentTooLarge, "The patched value is larger than may be stored")
            }
            command.value = unsafe Value(.json, UnsafeRawBufferPointer(rebasing: room[..<count]))
            var made = outcome(of: command)
            if made.status == .created { made.status = .ok }
            return made
        case .tooLarge, .tooManyMembers:
            return .error(.contentTooLarge, "The patch is larger than can be applied")
        case .invalidPatch: return .error(.badRequest, "The patch is not JSON")
        case .invalidTarget:
            return .error(.conflict, "The value is not an object, so it can't be patched")
        }
    }

    private mutating func outcome(of command: borrowing Command) -> Outcome {
        let reply = change(command)
        switch reply.status {
        case .created, .updated, .found:
            guard let record = reply.record else { return .keyNotFound }
            // D answers 201 to every PUT, whether the key is new or not.
            var made = Outcome.record(.created, record)
            made.position = reply.position
            made.needsSync = command.key.table < ReservedTable.count
            return made
        case .deleted:
            return Outcome(
                status: .ok, body: .text("{\"message\":\"Deleted locally\"}"),
                position: reply.position)
        case .missing: return .keyNotFound
        case .notOwner: return .error(.unauthorized, "The record belongs to somebody else")
        case .conditionFailed:
            guard let record = reply.record else {
                return .error(.preconditionFailed, "There is no such record")
            }
            return .record(.preconditionFailed, record)
        case .outOfMemory: return .error(.insufficientStorage, "The node's memory limit is reached")
        case .tooLarge: return .error(.contentTooLarge, "The key or the value is too long")
        case .unwritable: return logRefusal
        }
    }

    // MARK: Replies

    /// Writes an outcome of this shard's own as a reply.
    mutating func replyOutcome(_ index: UInt32, _ shape: ReplyShape, _ outcome: Outcome) {
        if outcome.position > 0 {
            let connection = unsafe connections + Int(index)
            unsafe connection.pointee.toldTurn = turn
        }
        let count = outcome.bodyCount(owners)
        var writer = beginAnswer(
            index, shape, outcome.status, tag: outcome.tag, .none, count: count)
        guard !shape.contains(.headOnly), count > 0 else { return commit(index, writer) }
        if writer.hasRoom(count) {
            outcome.writeBody(owners, into: &writer)
            return commit(index, writer)
        }
        commit(index, writer)
        let body = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 8)
        defer { unsafe body.deallocate() }
        var bodyWriter = unsafe ByteWriter(
            body.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self),
            capacity: count)
        outcome.writeBody(owners, into: &bodyWriter)
        if unsafe !append(index, UnsafeRawBufferPointer(body)) { close(index) }
    }

    /// Writes an answer that another shard has made.
    mutating func replyAnswer(
        _ index: UInt32, _ shape: ReplyShape, _ status: HTTPStatus,
        tag: (version: UInt64, stamp: Stamp)?, _ extras: AnswerExtras,
        _ body: UnsafeRawBufferPointer
    ) {
        if unsafe connections[Int(index)].resp != nil {
            return unsafe logInAnswered(index, status, body)
        }
        let writer = beginAnswer(
            index, shape, status, tag: tag, extras, count: body.count)
        commit(index, writer)
        if shape.contains(.headOnly) { return }
        if unsafe !append(index, body) { close(index) }
    }

    private mutating func beginAnswer(
        _ index: UInt32, _ shape: ReplyShape, _ status: HTTPStatus,
        tag: (version: UInt64, stamp: Stamp)?, _ extras: AnswerExtras, count: Int
    ) -> ByteWriter {
        var writer: ByteWriter
        if status == .ok, shape.isDisjoint(with: [.closes, .version10, .crossOrigin]) {
            writer = self.writer(index)
            tally.answers2xx &+= 1
            okHead.write(contentLength: count, into: &writer)
        } else {
            writer = beginReply(index, shape, status)
            if status.allowsBody {
                HTTPReplyHead.field("Content-Type", "application/json", into: &writer)
                HTTPReplyHead.framing(.length(UInt64(count)), into: &writer)
            }
        }
        if let tag {
            HTTPReplyHead.begin("ETag", into: &writer)
            EntityTag.write(version: tag.version, stamp: tag.stamp, into: &writer)
        }
        if extras.retryAfterS > 0 {
            HTTPReplyHead.field(
                "Retry-After", decimal: UInt64(extras.retryAfterS), into: &writer)
        }
        if extras.noStore { HTTPReplyHead.field("Cache-Control", "no-store", into: &writer) }
        HTTPReplyHead.finish(into: &writer)
        return writer
    }
}
