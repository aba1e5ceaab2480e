import Identity
import Keyspace
import Machine
import Wire

/// `GET /{t}/subscribe/{k}`, `GET /{t}/subscribe`, `GET /subscribe`: from a request to a stream.
extension Shard {
    static var streamMethods: StaticString { "GET, HEAD, OPTIONS" }

    /// Why a request for a stream is refused.
    private struct Refusal: Error {
        let status: HTTPStatus
        let sentence: StaticString

        static func bad(_ sentence: StaticString) -> Refusal {
            Refusal(status: .badRequest, sentence: sentence)
        }
    }

    /// What the query of a stream asks for.
    private struct StreamQuery {
        var topics: [(table: [UInt8], isKey: Bool, bytes: [UInt8])] = []
        var accessToken: [UInt8]? = nil
        var lastID: [UInt8]? = nil
        var isSilent = false
    }

    /// `path` is nil for `/subscribe`, whose topics name their tables.
    mutating func routeSubscribe(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape, _ path: TablePath?
    ) {
        switch request.method {
        case .get, .head: break
        case .options: return replyOptions(index, request, shape, allow: Self.streamMethods)
        default: return replyNotAllowed(index, shape, allow: Self.streamMethods)
        }
        var listener = Listener()
        let wanted: [Wanted]?
        do throws(Refusal) {
            let query = try streamQuery(request, path)
            (wanted, listener) = try admit(request, query)
        } catch {
            return replyError(index, shape, error.status, error.sentence)
        }
        switch request.opening {
        case .none: break
        case .refused(let refusal): return refuseOpening(index, shape, refusal)
        case .open(let key):
            return openEvents(index, request, shape, key: key, wanted, listener)
        }
        guard let wanted, !acceptsNoMoreRequests else { return replyFarewell(index, shape) }
        if shape.contains(.headOnly) { return writeStreamHead(index, shape) }
        let format: Stream.Format = shape.contains(.version10) ? .bare : .chunked
        guard openStream(index, format: format, wanted, listener) else {
            return replyFarewell(index, shape)
        }
        if listener.mustAsk {
            if shape.contains(.crossOrigin),
                case .events(let number) = unsafe connections[Int(index)].stream
            {
                unsafe audience.streams.place(number).pointee.flags.insert(.crossOrigin)
            }
        } else {
            writeStreamHead(index, shape)
        }
        startStream(index, listener)
    }

    // MARK: The query

    private mutating func streamQuery(
        _ request: borrowing Request, _ path: TablePath?
    ) throws(Refusal) -> StreamQuery {
        var query = StreamQuery()
        let table = path.map { unsafe Array($0.table) }
        var hasKey = false
        if let path, unsafe path.key.count > 0 {
            unsafe query.topics.append((Array(path.table), true, Array(path.key)))
            hasKey = true
        }
        let all = unsafe request.bytes.bytes
        var items = request.queryItems
        while let item = items.next(in: all) {
            let name = all.slice(item.name)
            if QueryName.isNamed(name, "key") || QueryName.isNamed(name, "prefix") {
                guard let table, !hasKey else { continue }
                let isKey = QueryName.isNamed(name, "key")
                let bytes = try Self.decoded(all.slice(item.value))
                try Self.check(bytes, isKey: isKey)
                query.topics.append((table, isKey, bytes))
            } else if QueryName.isNamed(name, "topic") {
                guard table == nil else { continue }
                try query.topics.append(Self.topic(Self.decoded(all.slice(item.value))))
            } else if QueryName.isNamed(name, "initial") {
                query.isSilent = all.slice(item.value).equals("false")
            } else if QueryName.isNamed(name, "lastEventId") {
                query.lastID = try Self.decoded(all.slice(item.value))
            } else if QueryName.isNamed(name, "access_token") {
                query.accessToken = try Self.decoded(all.slice(item.value))
            }
            if query.topics.count > Audience.topicsMax {
                throw .bad("A stream has at most 256 topics")
            }
        }
        // What the browser itself remembers is newer than the URL.
        if let field = unsafe request.field(.lastEventID), field.count > 0 {
            query.lastID = unsafe Array(field)
        }
        if query.topics.isEmpty {
            guard let table else { throw .bad("Name what to listen to: ?topic=table/key") }
            query.topics.append((table, false, []))
        }
        Self.leaveOutCovered(&query)
        return query
    }

    private static func decoded(_ raw: RawSpan) throws(Refusal) -> [UInt8] {
        var isGood = true
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: raw.byteCount) { place, count in
            guard let base = place.baseAddress else { return }
            var writer = unsafe ByteWriter(base, capacity: place.count)
            guard let decoded = Percent.decode(raw, as: .query, into: &writer) else {
                isGood = false
                return
            }
            count = decoded
        }
        guard isGood else {
            throw .bad("A percent sign in the query is not followed by two digits")
        }
        return bytes
    }

    private static func check(_ bytes: [UInt8], isKey: Bool) throws(Refusal) {
        let isText = unsafe bytes.withUnsafeBytes { unsafe UTF8Text.isValid($0) }
        guard bytes.count <= Key.bytesMax, isText, !isKey || !bytes.isEmpty else {
            throw .bad("A key is 1 to 1024 bytes of UTF-8")
        }
    }

    /// `t/k`, or `t/p*` for all keys that begin with `p`.
    private static func topic(
        _ text: [UInt8]
    ) throws(Refusal) -> (table: [UInt8], isKey: Bool, bytes: [UInt8]) {
        guard let slash = text.firstIndex(of: UInt8(ascii: "/")) else {
            throw .bad("A topic is table/key, or table/prefix*")
        }
        let table = Array(text[..<slash])
        guard unsafe table.withUnsafeBytes({ unsafe TableName.judge($0) }) == .good else {
            throw .bad("The table name is malformed")
        }
        var bytes = Array(text[(slash + 1)...])
        let isKey = bytes.last != UInt8(ascii: "*")
        if !isKey { bytes.removeLast() }
        try check(bytes, isKey: isKey)
        return (table, isKey, bytes)
    }

    /// What another topic of the same stream covers is told once, and keys come before prefixes.
    private static func leaveOutCovered(_ query: inout StreamQuery) {
        var kept: [(table: [UInt8], isKey: Bool, bytes: [UInt8])] = []
        for topic in query.topics.sorted(by: {
            !$0.isKey && $1.isKey
                ? false : $0.isKey != $1.isKey ? $0.isKey : $0.bytes.count < $1.bytes.count
        }) {
            let isCovered = query.topics.contains { other in
                !other.isKey && other.table == topic.table && topic.bytes.starts(with: other.bytes)
                    && (topic.isKey || other.bytes.count < topic.bytes.count)
            }
            let isRepeated = kept.contains {
                $0.isKey == topic.isKey && $0.table == topic.table && $0.bytes == topic.bytes
            }
            if !isCovered, !isRepeated { kept.append(topic) }
        }
        query.topics = kept
    }

    // MARK: Who may

    /// The topics by their tables' numbers, and who asks. Nil where no more tables can be waited
    /// for.
    private mutating func admit(
        _ request: borrowing Request, _ query: StreamQuery
    ) throws(Refusal) -> ([Wanted]?, Listener) {
        var listener = Listener()
        listener.isSilent = query.isSilent
        identify(request, query, &listener)
        if let text = query.lastID {
            let parsed = unsafe text.withUnsafeBytes { unsafe EventID.parse($0.bytes) }
            listener.lastID = parsed
            listener.hasForeignID = parsed == nil
        }
        var wanted: [Wanted] = []
        for topic in query.topics {
            guard let table = unsafe topic.table.withUnsafeBytes({ unsafe awaitedTable($0) }) else {
                return (nil, listener)
            }
            let rule = tables[table].readRule
            if rule != .open {
                guard listener.caller != .nobody else {
                    throw Refusal(
                        status: .unauthorized,
                        sentence: "A valid token is needed to read this table")
                }
                listener.needsToken = true
                if rule == .owner, topic.isKey, listener.caller != .admin {
                    listener.mustAsk = true
                }
            }
            wanted.append(Wanted(table: table, isKey: topic.isKey, bytes: topic.bytes))
        }
        return (wanted, listener)
    }

    private mutating func identify(
        _ request: borrowing Request, _ query: StreamQuery, _ listener: inout Listener
    ) {
        let authorization = unsafe request.field(.authorization)
        let apiKey = unsafe request.field(.xAPIKey)
        let nowS = wallMs / 1000
        let caller: Caller
        if unsafe authorization == nil, unsafe apiKey == nil, let token = query.accessToken {
            caller = unsafe token.withUnsafeBytes { bytes in
                unsafe authenticator.caller(token: bytes.bytes, nowS: nowS, owners: owners)
            }
        } else {
            caller = unsafe authenticator.caller(
                authorization: authorization?.bytes, apiKey: apiKey?.bytes, nowS: nowS,
                owners: owners)
        }
        guard case .user(let principal) = caller else { return }
        listener.caller = principal.user == .admin ? .admin : .user
        listener.principal = RecordOwner(rawValue: principal.owner)
        let endS = principal.expiresAtS
        listener.tokenEndMs = endS > UInt64(Int64.max / 1000) ? 0 : Int64(endS) * 1000
    }

    /// The number of a table that need not exist yet: whoever listens to it waits for it.
    mutating func awaitedTable(_ name: UnsafeRawBufferPointer) -> TableNumber? {
        if let known = unsafe table(name, adding: false) { return known }
        return unsafe registry.number(awaiting: name, updating: &tables)
    }

    // MARK: Counting

    /// `GET /{t}/subscribers/{k}`: asked of the key's shard, where all listeners are known.
    mutating func routeSubscribers(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape, _ path: TablePath
    ) {
        guard isRead(index, request, shape) else { return }
        var work = unsafe TableWork(kind: .listeners, table: 0, hash: 0, key: path.key)
        _ = identify(request, &work)
        guard let table = unsafe table(path.table, adding: false) else {
            return replyOutcome(index, shape, Outcome(status: .ok, body: .count(0)))
        }
        work.table = table
        work.readRule = tables[table].readRule
        work.hash = unsafe keyspace.hashing.hash(table, work.key)
        let target = unsafe shard(of: work.key, in: table)
        guard target != number else { return replyOutcome(index, shape, carryOut(work)) }
        let ticket = awaitAnswer(index, shape)
        if !post(work, to: target, ticket: ticket) {
            deliver(ticket) { shard, index, shape in
                shard.replyError(
                    index, shape, .serviceUnavailable, "The key's shard has too much to do")
            }
        }
    }
}
