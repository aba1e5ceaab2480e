import Glibc
import Keyspace
import Machine
import Wire

/// The life of a stream: opened on a connection, kept alive, ended.
extension Shard {
    /// How long a client is told to wait before it comes back, more or less.
    private static let retryMs: UInt64 = 2_000
    private static let retrySpreadMs: UInt64 = 500
    /// The same where everybody is sent away at once.
    private static let retryAllMs: UInt64 = 1_000
    private static let retryAllSpreadMs: UInt64 = 9_000

    /// What a client wants to listen to, as its request says.
    struct Wanted {
        let table: TableNumber
        let isKey: Bool
        let bytes: [UInt8]
    }

    /// Who listens, and how.
    struct Listener {
        var caller = TableWork.Caller.nobody
        var principal = RecordOwner.anonymous
        var tokenEndMs: Int64 = 0
        var needsToken = false
        /// The answer's head waits for the keys' shards: they know whose the records are.
        var mustAsk = false
        var isSilent = false
        /// The last id it heard.
        var lastID: EventID.Parsed? = nil
        /// It named one that is none.
        var hasForeignID = false
    }

    // MARK: Opening

    /// Makes a stream of a connection. False: there are as many as there may be.
    mutating func openStream(
        _ index: UInt32, format: Stream.Format, _ wanted: [Wanted], _ listener: Listener,
        mayGrow: Bool = false
    ) -> Bool {
        var flags: Stream.Flags = []
        if listener.needsToken { flags.insert(.needsToken) }
        if listener.mustAsk { flags.insert(.headWaits) }
        if listener.isSilent { flags.insert(.silent) }
        let isOne = unsafe !mayGrow || state.pointee.shardCount == 1
        let shard = isOne ? shardOfAll(wanted) : Stream.spansShards
        guard
            let number = unsafe audience.streams.take(
                Stream(
                    connection: index, serial: audience.nextStreamSerial(), format: format,
                    caller: listener.caller, flags: flags, shard: shard,
                    principal: listener.principal, tokenEndMs: listener.tokenEndMs))
        else { return false }
        let stream = unsafe audience.streams.place(number)
        if shard == Stream.spansShards {
            let shards = unsafe state.pointee.shardCount
            let positions = UnsafeMutablePointer<UInt64>.allocate(capacity: shards)
            unsafe positions.initialize(repeating: 0, count: shards)
            unsafe stream.pointee.positions = unsafe positions
        }
        let connection = unsafe connections + Int(index)
        if format != .webSocket { unsafe connection.pointee.phase = .streaming }
        unsafe connection.pointee.stream = .events(number)
        tally.streamsOpened &+= 1
        tally.streamsOpen &+= 1
        limitSendBuffer(index)

        let resume = resumption(number, listener)
        // Who can't be told what was missed is told what there is, also where they asked not to be.
        let isSilent = listener.isSilent && listener.lastID == nil && !listener.hasForeignID
        for topic in wanted {
            guard listen(number, topic, resume, isSilent: isSilent) else {
                dropStream(index)
                return false
            }
        }
        unsafe stream.pointee.beatMs = nowMs + audience.roll(settings.heartbeatMs) + 1
        return true
    }

    /// What follows once the head is written or waits for nothing more.
    mutating func startStream(_ index: UInt32, _ listener: Listener) {
        guard case .events(let number) = unsafe connections[Int(index)].stream else { return }
        let isResumed = resumption(number, listener) != nil
        if !isResumed, listener.lastID != nil || listener.hasForeignID {
            sayControl(number, "reset")
            tally.streamsReset &+= 1
        }
        setStreamDeadline(index, number)
        goOn(number)
    }

    /// The one shard that all of it is on, or `spansShards`.
    private mutating func shardOfAll(_ wanted: [Wanted]) -> UInt16 {
        if unsafe state.pointee.shardCount == 1 { return UInt16(number) }
        var found: Int? = nil
        for topic in wanted {
            guard topic.isKey else { return Stream.spansShards }
            let shard: Int = unsafe topic.bytes.withUnsafeBytes { bytes in
                unsafe self.shard(of: bytes, in: topic.table)
            }
            if let found, found != shard { return Stream.spansShards }
            found = shard
        }
        return UInt16(found ?? number)
    }

    /// Where each shard's changes are to be replayed from, when all of them can be asked to.
    mutating func resumption(
        _ number: UInt32, _ listener: Listener
    ) -> [EventID.Position]? {
        guard let id = listener.lastID, id.origin == audience.origin else { return nil }
        let shards = unsafe state.pointee.shardCount
        for position in id.positions where position.shard >= shards { return nil }
        let stream = unsafe audience.streams.place(number)
        if unsafe stream.pointee.shard == Stream.spansShards {
            for shard in 0..<shards where !id.positions.contains(where: { $0.shard == shard }) {
                return nil
            }
        } else {
            let shard = unsafe Int(stream.pointee.shard)
            guard id.positions.contains(where: { $0.shard == shard }) else { return nil }
        }
        return id.positions
    }

    /// Adds a topic to a stream. Nothing is told of it before its shards have answered.
    mutating func listen(
        _ number: UInt32, _ wanted: Wanted, _ resume: [EventID.Position]?, isSilent: Bool
    ) -> Bool {
        unsafe wanted.bytes.withUnsafeBytes { bytes in
            let topic = unsafe Topic(wanted.table, isKey: wanted.isKey, bytes, keyspace.hashing)
            guard let listener = audience.topics.subscribe(topic, number) else { return false }
            let subscription = unsafe audience.topics.subscription(listener)
            let stream = unsafe audience.streams.place(number)
            if unsafe stream.pointee.lastSubscription == TopicIndex.none {
                unsafe stream.pointee.firstSubscription = listener
            } else {
                let last = unsafe audience.topics.subscription(stream.pointee.lastSubscription)
                unsafe last.pointee.nextOfStream = listener
            }
            unsafe stream.pointee.lastSubscription = listener
            unsafe stream.pointee.subscriptionCount += 1
            unsafe stream.pointee.pending += 1
            unsafe stream.pointee.flags.remove(.isCurrent)
            let wish: SubscriptionState.Wish =
                resume != nil ? .replay : isSilent ? .silence : .records
            unsafe subscription.pointee.state = SubscriptionState(waitingFor: wish).rawValue
            let shards = unsafe state.pointee.shardCount
            if !wanted.isKey || resume != nil {
                let catchUp = CatchUp(wish, shards: shards)
                if wanted.isKey {
                    let own = unsafe shard(of: bytes, in: wanted.table)
                    for other in 0..<shards where other != own {
                        catchUp.parts[other].state = .live
                    }
                }
                for position in resume ?? [] where position.shard < shards {
                    catchUp.parts[position.shard].seq = position.seq
                }
                unsafe catchUp.attach(to: subscription)
            }
            tellOwners(topic, begins: true, isLast: false)
            return true
        }
    }

    /// Tells a topic's shards that this one has a subscription more, or fewer.
    private mutating func tellOwners(_ topic: Topic, begins: Bool, isLast: Bool) {
        if topic.isKey {
            let owner = unsafe shard(of: topic.bytes, in: topic.table)
            return tellOwner(owner, topic, begins: begins, isLast: isLast)
        }
        for owner in unsafe 0..<state.pointee.shardCount {
            tellOwner(owner, topic, begins: begins, isLast: isLast)
        }
    }

    private mutating func tellOwner(_ owner: Int, _ topic: Topic, begins: Bool, isLast: Bool) {
        guard owner != number else {
            return listen(topic, from: number, begins: begins, isLast: isLast)
        }
        let headCount = MemoryLayout<Message.Listen>.size
        let count = unsafe topic.bytes.count
        let head = Message.Listen(
            begins: begins, isLast: isLast, isKey: topic.isKey, table: topic.table,
            byteCount: UInt32(count), hash: topic.hash)
        unsafe withUnsafeTemporaryAllocation(
            byteCount: headCount + count, alignment: 8
        ) { message in
            unsafe message.storeBytes(of: head, as: Message.Listen.self)
            unsafe UnsafeMutableRawBufferPointer(rebasing: message[headCount...])
                .copyMemory(from: topic.bytes)
            unsafe postCopy(UnsafeRawBufferPointer(message), to: owner)
        }
    }

    /// A reader who does not read must not make the kernel keep megabytes for it.
    private mutating func limitSendBuffer(_ index: UInt32) {
        var bytes = Audience.sendBufferBytes
        unsafe setsockopt(
            driver.fd(of: index), SOL_SOCKET, SO_SNDBUF, &bytes,
            socklen_t(MemoryLayout<Int32>.size))
    }

    /// The node has loaded: requests for streams that waited for that are served.
    mutating func resumeAwaitingStreams() {
        for index in 0..<slotsReached() {
            let connection = unsafe connections + index
            guard unsafe connection.pointee.flags.contains(.awaitsLoading) else { continue }
            unsafe connection.pointee.flags.remove(.awaitsLoading)
            if unsafe connection.pointee.state == .open { makeRunnable(UInt32(index)) }
        }
    }

    // MARK: Heads

    /// The head of a stream's answer and when to come back should it break.
    mutating func writeStreamHead(_ index: UInt32, _ shape: ReplyShape) {
        let isFramed = !shape.contains(.version10)
        var writer = beginReply(index, isFramed ? shape : shape.union(.closes), .ok)
        HTTPReplyHead.field("Content-Type", EventStream.contentType, into: &writer)
        HTTPReplyHead.field("Cache-Control", "no-store", into: &writer)
        HTTPReplyHead.field("X-Accel-Buffering", "no", into: &writer)
        if isFramed { HTTPReplyHead.framing(.chunked, into: &writer) }
        HTTPReplyHead.finish(into: &writer)
        if !shape.contains(.headOnly) {
            let milliseconds =
                Self.retryMs - Self.retrySpreadMs + audience.roll(2 * Self.retrySpreadMs)
            writeRetry(milliseconds, isFramed: isFramed, into: &writer)
        }
        commit(index, writer)
    }

    /// A stream that can't be now: 200, so that browsers come back, and when.
    mutating func replyFarewell(_ index: UInt32, _ shape: ReplyShape) {
        let isFramed = !shape.contains(.version10)
        let connection = unsafe connections + Int(index)
        unsafe connection.pointee.flags.insert(.closeAfterReply)
        var writer = beginReply(index, shape.union(.closes), .ok)
        HTTPReplyHead.field("Content-Type", EventStream.contentType, into: &writer)
        HTTPReplyHead.field("Cache-Control", "no-store", into: &writer)
        HTTPReplyHead.field("X-Accel-Buffering", "no", into: &writer)
        if isFramed { HTTPReplyHead.framing(.chunked, into: &writer) }
        HTTPReplyHead.finish(into: &writer)
        if !shape.contains(.headOnly) {
            writeRetry(retryOfAll(), isFramed: isFramed, into: &writer)
            if isFramed { HTTPChunkWriter.last(into: &writer) }
        }
        commit(index, writer)
    }

    private mutating func retryOfAll() -> UInt64 {
        Self.retryAllMs + audience.roll(Self.retryAllSpreadMs)
    }

    private mutating func writeRetry(
        _ milliseconds: UInt64, isFramed: Bool, into writer: inout ByteWriter
    ) {
        let overhead = 9
        if isFramed {
            HTTPChunkWriter.head(
                overhead + ByteWriter.decimalDigits(of: milliseconds), into: &writer)
        }
        EventStream.retry(milliseconds, into: &writer)
        if isFramed { HTTPChunkWriter.tail(into: &writer) }
    }

    /// The last of the keys whose owners had to be asked about is here: the answer begins.
    mutating func noteHead(_ number: UInt32) {
        let stream = unsafe audience.streams.place(number)
        guard unsafe stream.pointee.flags.contains(.headWaits) else { return }
        var listener = unsafe stream.pointee.firstSubscription
        while listener != TopicIndex.none, audience.topics.topic(of: listener).isKey {
            let subscription = unsafe audience.topics.subscription(listener)
            let state = unsafe SubscriptionState(rawValue: subscription.pointee.state)
            guard state.isChecked || state.isLive else { return }
            listener = unsafe subscription.pointee.nextOfStream
        }
        unsafe stream.pointee.flags.remove(.headWaits)
        listener = unsafe stream.pointee.firstSubscription
        while listener != TopicIndex.none {
            let subscription = unsafe audience.topics.subscription(listener)
            let state = unsafe SubscriptionState(rawValue: subscription.pointee.state)
            if state.isChecked { unsafe subscription.pointee.state = state.waiting.rawValue }
            listener = unsafe subscription.pointee.nextOfStream
        }
        let index = unsafe stream.pointee.connection
        guard hasReplyRoom(index) else { return close(index) }
        var shape: ReplyShape = []
        if unsafe stream.pointee.format == .bare { shape.insert(.version10) }
        if unsafe stream.pointee.flags.contains(.crossOrigin) { shape.insert(.crossOrigin) }
        writeStreamHead(index, shape)
    }

    /// A record that the stream asked for is somebody else's.
    mutating func refuseStream(_ number: UInt32) {
        let stream = unsafe audience.streams.place(number)
        let index = unsafe stream.pointee.connection
        var shape: ReplyShape = []
        if unsafe stream.pointee.format == .bare { shape.insert(.version10) }
        if unsafe stream.pointee.flags.contains(.crossOrigin) { shape.insert(.crossOrigin) }
        dropStream(index)
        let connection = unsafe connections + Int(index)
        if shape.contains(.version10) {
            unsafe connection.pointee.flags.insert(.closeAfterReply)
            shape.insert(.closes)
        }
        guard hasReplyRoom(index) else { return close(index) }
        replyError(index, shape, .forbidden, "Only its owner may read this")
        settle(index)
    }

    // MARK: Time

    mutating func setStreamDeadline(_ index: UInt32, _ number: UInt32) {
        guard isHTTP(index) else { return settle(index) }
        let stream = unsafe audience.streams.place(number)
        var dueMs = unsafe stream.pointee.beatMs
        if unsafe stream.pointee.flags.contains(.needsToken), unsafe stream.pointee.tokenEndMs > 0 {
            let leftMs = unsafe max(0, stream.pointee.tokenEndMs - wallMs)
            dueMs = min(dueMs, nowMs + UInt64(leftMs))
        }
        setDeadline(index, .beat, after: dueMs > nowMs ? dueMs - nowMs : 0)
    }

    /// The stream's time has come: for a comment, or for its end with its token.
    mutating func beat(_ index: UInt32) {
        if case .webSocket(let session) = unsafe connections[Int(index)].session {
            return unsafe socketIsDue(index, session)
        }
        guard case .events(let number) = unsafe connections[Int(index)].stream else {
            return close(index)
        }
        let stream = unsafe audience.streams.place(number)
        if unsafe stream.pointee.flags.contains(.ended) { return close(index) }
        if unsafe stream.pointee.flags.contains(.needsToken), unsafe stream.pointee.tokenEndMs > 0,
            unsafe stream.pointee.tokenEndMs <= wallMs
        {
            return endStream(index)
        }
        if unsafe stream.pointee.beatMs <= nowMs {
            unsafe stream.pointee.beatMs = nowMs + settings.heartbeatMs
            if unsafe stream.pointee.heldBytes == 0 { sayHeartbeat(number) }
        }
        setStreamDeadline(index, number)
    }

    // MARK: Ending

    /// Ends a stream in words. `goesAway`: the node does, so its clients should try elsewhere.
    mutating func endStream(_ index: UInt32, goesAway: Bool = false) {
        guard case .events(let number) = unsafe connections[Int(index)].stream else { return }
        if case .webSocket(let session) = unsafe connections[Int(index)].session {
            return unsafe goesAway
                ? say(goodbyeTo: index, session)
                : end(index, session, .policyViolation, "A valid token is needed to read on")
        }
        let stream = unsafe audience.streams.place(number)
        guard unsafe !stream.pointee.flags.contains(.ended) else { return }
        unsafe stream.pointee.flags.remove(.headWaits)
        if goesAway {
            sayControl(number, "bye")
            let milliseconds = retryOfAll()
            say(number, capacity: 32) { EventStream.retry(milliseconds, into: &$1) }
        }
        if unsafe stream.pointee.format == .chunked {
            unsafe stream.pointee.format = .bare
            say(number, capacity: 8) { HTTPChunkWriter.last(into: &$1) }
        }
        unsafe stream.pointee.flags.insert(.ended)
        stopListening(number)
        makeDirty(index)
        // Who does not even take the goodbye must not hold up a drain.
        setDeadline(index, .send, after: ShardSettings.lingerMs)
    }

    /// All of an ended stream is sent.
    mutating func finishStream(_ index: UInt32) {
        dropStream(index)
        // A WebSocket's end is said and heard in frames.
        if isHTTP(index) {
            let connection = unsafe connections + Int(index)
            unsafe connection.pointee.flags.insert(.closeAfterReply)
        }
        settle(index)
    }

    /// What a stream holds goes. The driver has to be done with what it was given.
    mutating func dropStream(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        guard case .events(let number) = unsafe connection.pointee.stream else { return }
        let stream = unsafe audience.streams.place(number)
        stopListening(number)
        releasePieces(number)
        unsafe stream.pointee.positions?.deallocate()
        audience.streams.give(number)
        unsafe connection.pointee.stream = .none
        if unsafe connection.pointee.phase == .streaming { unsafe connection.pointee.phase = .head }
        tally.streamsOpen &-= 1
        tally.streamsClosed &+= 1
    }

    mutating func stopListening(_ number: UInt32) {
        let stream = unsafe audience.streams.place(number)
        var listener = unsafe stream.pointee.firstSubscription
        while listener != TopicIndex.none {
            let subscription = unsafe audience.topics.subscription(listener)
            let next = unsafe subscription.pointee.nextOfStream
            endListening(listener)
            listener = next
        }
        unsafe stream.pointee.firstSubscription = TopicIndex.none
        unsafe stream.pointee.lastSubscription = TopicIndex.none
        unsafe stream.pointee.subscriptionCount = 0
        unsafe stream.pointee.pending = 0
    }

    /// Ends a subscription that its stream does not name any more.
    mutating func endListening(_ listener: UInt32) {
        unsafe CatchUp.release(audience.topics.subscription(listener))
        tellOwners(
            audience.topics.topic(of: listener), begins: false,
            isLast: audience.topics.isLast(listener))
        forgetListener(listener)
        audience.topics.unsubscribe(listener)
    }

    /// Something happened to a stream's connection.
    mutating func settleStream(_ index: UInt32) {
        if unsafe connections[Int(index)].flags.contains(.peerEnded) { close(index) }
    }

    /// A table is not open to all any more: streams without a token that listen to it end.
    mutating func recheckStreams() {
        guard audience.streams.count > 0 else { return }
        for index in 0..<slotsReached() {
            guard case .events(let number) = unsafe connections[index].stream,
                unsafe connections[index].state == .open
            else { continue }
            let stream = unsafe audience.streams.place(number)
            var isClosed = false
            var listener = unsafe stream.pointee.firstSubscription
            while listener != TopicIndex.none {
                let table = audience.topics.topic(of: listener).table
                if Int(table) < tables.count, tables[table].readRule != .open { isClosed = true }
                listener = unsafe audience.topics.subscription(listener).pointee.nextOfStream
            }
            guard isClosed else { continue }
            if unsafe stream.pointee.caller == .nobody {
                endStream(UInt32(index))
            } else {
                unsafe stream.pointee.flags.insert(.needsToken)
                setStreamDeadline(UInt32(index), number)
            }
        }
    }
}
