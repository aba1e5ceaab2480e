import Keyspace
import Machine
import Wire

/// Live updates over WebSocket. A connection has one stream, whatever it listens to: so what it is
/// told has one order, and an event's id says how far all of it was told.
extension Shard {
    // MARK: Subscribe URLs

    /// A request for a stream that asks for WebSocket.
    mutating func openEvents(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape, key: ByteRange,
        _ wanted: [Wanted]?, _ listener: Listener
    ) {
        let endS = listener.tokenEndMs > 0 ? listener.tokenEndMs / 1000 : Int64.max
        guard
            upgrade(
                index, request, shape, key: key, .events, caller: listener.caller,
                principal: listener.principal, tokenEndS: endS),
            case .webSocket(let session) = unsafe connections[Int(index)].session,
            unsafe session.pointee.ending.stage == .open
        else { return }
        // The keys' shards say whose the records are, and then the connection is ended.
        var listener = listener
        listener.mustAsk = false
        guard let wanted, openStream(index, format: .webSocket, wanted, listener) else {
            return unsafe end(index, session, .tryAgainLater, "There are too many streams")
        }
        startStream(index, listener)
    }

    // MARK: Operations

    mutating func subscribe(
        _ index: UInt32, _ session: UnsafeMutablePointer<WebSocketSession>,
        _ request: SocketRequest
    ) {
        guard let table = unsafe awaitedTable(request.table) else {
            return unsafe sayError(
                index, id: request.id, .insufficientStorage, "There are too many tables")
        }
        var listener = Listener()
        (listener.caller, listener.principal) = unsafe session.pointee.caller(atS: wallMs / 1000)
        listener.needsToken = tables[table].readRule != .open
        if listener.needsToken, listener.caller == .nobody {
            return unsafe sayError(
                index, id: request.id, .unauthorized, "A valid token is needed to read this table")
        }
        listener.isSilent = !request.initial
        if let text = unsafe request.lastEventID {
            listener.lastID = unsafe EventID.parse(text.bytes)
            listener.hasForeignID = listener.lastID == nil
        }
        let wanted = topics(of: request, in: table)
        var number: UInt32? = nil
        if case .events(let known) = unsafe connections[Int(index)].stream { number = known }
        if let number {
            for topic in wanted { _ = unlisten(number, topic) }
        }
        let before = number.map {
            unsafe Int(audience.streams.place($0).pointee.subscriptionCount)
        }
        guard (before ?? 0) + wanted.count <= Audience.topicsMax else {
            return unsafe sayError(
                index, id: request.id, .contentTooLarge, "A connection has at most 256 topics")
        }
        let isOpen =
            number.map { listen($0, wanted, listener) }
            ?? openStream(index, format: .webSocket, wanted, listener, mayGrow: true)
        guard isOpen else {
            return unsafe sayError(
                index, id: request.id, .serviceUnavailable, "There are too many subscriptions")
        }
        unsafe say(index, request.id, .ok)
        startStream(index, listener)
    }

    private mutating func listen(
        _ number: UInt32, _ wanted: [Wanted], _ listener: Listener
    ) -> Bool {
        let stream = unsafe audience.streams.place(number)
        if listener.needsToken { unsafe stream.pointee.flags.insert(.needsToken) }
        let resume = resumption(number, listener)
        let isSilent = listener.isSilent && listener.lastID == nil && !listener.hasForeignID
        var made = 0
        for topic in wanted {
            guard listen(number, topic, resume, isSilent: isSilent) else {
                for topic in wanted[..<made] { _ = unlisten(number, topic) }
                return false
            }
            made += 1
        }
        return true
    }

    mutating func unsubscribe(_ index: UInt32, _ request: SocketRequest) {
        var count = 0
        if case .events(let number) = unsafe connections[Int(index)].stream,
            let table = unsafe table(request.table, adding: false)
                ?? registry.number(awaiting: request.table, updating: &tables)
        {
            for topic in topics(of: request, in: table) where unlisten(number, topic) { count += 1 }
        }
        guard count > 0 else {
            return unsafe sayError(
                index, id: request.id, .notFound, "There is no such subscription")
        }
        unsafe say(index, request.id, .ok)
    }

    private mutating func topics(of request: SocketRequest, in table: TableNumber) -> [Wanted] {
        switch request.topics {
        case .key(let key):
            return unsafe [Wanted(table: table, isKey: true, bytes: Array(key))]
        case .prefix(let prefix):
            return unsafe [Wanted(table: table, isKey: false, bytes: Array(prefix))]
        case .keys(let raw):
            var topics: [Wanted] = []
            var seen = Set<[UInt8]>()
            var names = unsafe KeyNames(raw)
            unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Key.bytesMax) { room in
                guard let base = room.baseAddress else { return }
                while true {
                    var writer = unsafe ByteWriter(base, capacity: room.count)
                    guard let key = unsafe names.next(into: &writer) else { return }
                    let bytes = unsafe Array(key)
                    guard seen.insert(bytes).inserted else { continue }
                    topics.append(Wanted(table: table, isKey: true, bytes: bytes))
                }
            }
            return topics
        }
    }

    /// Ends a stream's subscription to a topic; false: it has none.
    private mutating func unlisten(_ number: UInt32, _ topic: Wanted) -> Bool {
        let stream = unsafe audience.streams.place(number)
        var previous = TopicIndex.none
        var listener = unsafe stream.pointee.firstSubscription
        while listener != TopicIndex.none {
            let next = unsafe audience.topics.subscription(listener).pointee.nextOfStream
            guard isAbout(listener, topic) else {
                previous = listener
                listener = next
                continue
            }
            if previous == TopicIndex.none {
                unsafe stream.pointee.firstSubscription = next
            } else {
                unsafe audience.topics.subscription(previous).pointee.nextOfStream = next
            }
            if next == TopicIndex.none { unsafe stream.pointee.lastSubscription = previous }
            unsafe stream.pointee.subscriptionCount -= 1
            unsafe forget(listener, stream)
            return true
        }
        return false
    }

    private mutating func isAbout(_ listener: UInt32, _ topic: Wanted) -> Bool {
        let known = audience.topics.topic(of: listener)
        return unsafe known.table == topic.table && known.isKey == topic.isKey
            && known.bytes.elementsEqual(topic.bytes)
    }

    /// Answers that were asked for a subscription come to nobody; it may have been the last one that
    /// its stream waited for.
    private mutating func forget(_ listener: UInt32, _ stream: UnsafeMutablePointer<Stream>) {
        let subscription = unsafe audience.topics.subscription(listener)
        let state = unsafe SubscriptionState(rawValue: subscription.pointee.state)
        if !state.isLive {
            var asked: UInt16 = state.isAsked ? 1 : 0
            if let catchUp = unsafe CatchUp.of(subscription) { asked = catchUp.askedCount }
            unsafe stream.pointee.asked -= min(asked, stream.pointee.asked)
            unsafe stream.pointee.pending -= 1
            if unsafe stream.pointee.pending == 0 {
                unsafe stream.pointee.flags.insert(.isCurrent)
            }
            unsafe subscription.pointee.state = SubscriptionState.live.rawValue
        }
        endListening(listener)
    }

    // MARK: What the connection holds

    /// Whether events are on their way to the client.
    mutating func holdsEvents(_ index: UInt32) -> Bool {
        guard case .events(let number) = unsafe connections[Int(index)].stream else { return false }
        return unsafe audience.streams.place(number).pointee.firstPiece != Slab<Piece>.none
    }

    /// Whether it listens to what not everybody may read.
    mutating func needsToken(_ index: UInt32) -> Bool {
        guard case .events(let number) = unsafe connections[Int(index)].stream else { return false }
        return unsafe audience.streams.place(number).pointee.flags.contains(.needsToken)
    }
}
