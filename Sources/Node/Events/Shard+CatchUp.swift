import Keyspace
import Machine
import Wire

/// Bringing a subscription to the present: what it asks of its topic's shards, and what it makes of
/// their answers.
///
/// A subscription is *live* when it is told of changes as they happen. Before that it waits for an
/// answer that stands in the order of those changes, so nothing is missed or told twice. A slow
/// reader's subscriptions stop being live and become so again in the same way: what it owes is
/// asked for, in its newest state, when its socket has drained.
extension Shard {
    /// Questions of one stream under way: their answers have to fit what it may hold.
    private static let askedMax: UInt16 = 8

    // MARK: Asking

    /// Asks for what a stream waits for, as far as it can hold the answers.
    mutating func goOn(_ number: UInt32) {
        let stream = unsafe audience.streams.place(number)
        guard unsafe !stream.pointee.flags.contains(.ended),
            unsafe connections[Int(stream.pointee.connection)].state == .open
        else { return }
        if unsafe stream.pointee.flags.contains(.lagging) || stream.pointee.skipped > 0 {
            // Only a reader who has taken everything is told what it missed.
            guard unsafe stream.pointee.heldBytes == 0 else { return }
            unsafe sayLagged(number, UInt64(stream.pointee.skipped))
            unsafe stream.pointee.skipped = 0
            unsafe stream.pointee.flags.remove(.lagging)
        }
        guard unsafe stream.pointee.pending > 0 else { return }
        var subscription = unsafe stream.pointee.firstSubscription
        while subscription != TopicIndex.none {
            // Nothing can be sent yet, so nothing but what the head waits for is asked.
            if unsafe stream.pointee.flags.contains(.headWaits),
                !audience.topics.topic(of: subscription).isKey
            {
                return
            }
            while unsafe mayAsk(stream) {
                guard askNext(subscription, number) else { break }
            }
            guard unsafe mayAsk(stream) else { return }
            subscription = unsafe audience.topics.subscription(subscription).pointee.nextOfStream
        }
    }

    /// Answers may fill half of what a stream may hold. The rest is for changes meanwhile: one that
    /// finds no room has a list begin again.
    private mutating func mayAsk(_ stream: UnsafeMutablePointer<Stream>) -> Bool {
        let asked = unsafe stream.pointee.asked
        let held = unsafe Int(stream.pointee.heldBytes)
        if asked == 0, held < 4096 { return true }
        return asked < Self.askedMax
            && held + (Int(asked) + 1) * ToldPage.bytesMax <= settings.streamBufferBytes / 2
    }

    /// Asks the next question of a subscription; false when it has none.
    private mutating func askNext(_ listener: UInt32, _ number: UInt32) -> Bool {
        let subscription = unsafe audience.topics.subscription(listener)
        let state = unsafe SubscriptionState(rawValue: subscription.pointee.state)
        let topic = audience.topics.topic(of: listener)
        let none = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        guard let catchUp = unsafe CatchUp.of(subscription) else {
            guard state.isWaiting else { return false }
            let serial = audience.nextAskSerial()
            unsafe subscription.pointee.state = state.asked(serial).rawValue
            // Before the head is sent it is only asked whether the record may be read.
            let isHeld = unsafe audience.streams.place(number).pointee.flags.contains(.headWaits)
            unsafe ask(
                number, listener, serial, isHeld ? .silence : state.wish, topic, after: none,
                seq: 0, of: shard(of: topic.bytes, in: topic.table))
            return true
        }
        if catchUp.wish == .owed {
            guard let key = catchUp.owed.first(where: { $0.value == 0 })?.key else { return false }
            let serial = audience.nextAskSerial()
            catchUp.owed[key] = serial
            unsafe key.withUnsafeBytes { bytes in
                let one = unsafe Topic(
                    topic.table, isKey: true, bytes, keyspace.hashing)
                unsafe ask(
                    number, listener, serial, .owed, one, after: none, seq: 0,
                    of: shard(of: bytes, in: topic.table), isOfKey: true)
            }
            return true
        }
        for shard in 0..<catchUp.parts.count where catchUp.parts[shard].state == .waiting {
            let serial = audience.nextAskSerial()
            catchUp.parts[shard].state = .asked
            catchUp.parts[shard].serial = serial
            let after = catchUp.parts[shard].after
            unsafe after.withUnsafeBytes { after in
                unsafe ask(
                    number, listener, serial, catchUp.wish, topic, after: after,
                    seq: catchUp.parts[shard].seq, of: shard)
            }
            return true
        }
        return false
    }

    private mutating func ask(
        _ number: UInt32, _ listener: UInt32, _ serial: UInt32, _ wish: SubscriptionState.Wish,
        _ topic: Topic, after: UnsafeRawBufferPointer, seq: UInt64, of shard: Int,
        isOfKey: Bool = false
    ) {
        let stream = unsafe audience.streams.place(number)
        unsafe stream.pointee.asked += 1
        let head = unsafe Message.Ask(
            connection: stream.pointee.connection, stream: stream.pointee.serial,
            subscription: listener, serial: serial, wish: wish, caller: stream.pointee.caller,
            isKey: topic.isKey, isOfKey: isOfKey, table: topic.table,
            principal: stream.pointee.principal.rawValue, byteCount: UInt32(topic.bytes.count),
            afterCount: UInt32(after.count), hash: topic.hash, seq: seq)
        guard shard != self.number else {
            return unsafe answer(head, topic.bytes, after: after, from: shard)
        }
        let headCount = MemoryLayout<Message.Ask>.size
        let size = unsafe headCount + topic.bytes.count + after.count
        unsafe withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { message in
            unsafe message.storeBytes(of: head, as: Message.Ask.self)
            unsafe UnsafeMutableRawBufferPointer(rebasing: message[headCount...])
                .copyMemory(from: topic.bytes)
            unsafe UnsafeMutableRawBufferPointer(
                rebasing: message[(headCount + topic.bytes.count)...]
            ).copyMemory(from: after)
            unsafe postCopy(UnsafeRawBufferPointer(message), to: shard)
        }
    }

    // MARK: Hearing

    /// Takes an answer in its place among events.
    mutating func take(_ memory: UnsafeMutableRawPointer) {
        let head = unsafe memory.load(as: ToldPage.Head.self)
        guard Int(head.connection) < slotCount,
            case .events(let number) = unsafe connections[Int(head.connection)].stream,
            unsafe connections[Int(head.connection)].state == .open
        else { return }
        let stream = unsafe audience.streams.place(number)
        guard unsafe stream.pointee.serial == head.stream,
            unsafe !stream.pointee.flags.contains(.ended)
        else { return }
        let subscription = unsafe audience.topics.subscription(head.subscription)
        let state = unsafe SubscriptionState(rawValue: subscription.pointee.state)
        var entries = unsafe ToldPage.Entries(memory)
        var single = false

        if let catchUp = unsafe CatchUp.of(subscription) {
            guard isAwaited(catchUp, head, entries) else { return }
            unsafe stream.pointee.asked -= 1
            if head.isForgotten {
                restart(number)
                return goOn(number)
            }
            unsafe goOnCatchingUp(catchUp, head, memory)
            single =
                unsafe catchUp.wish == .replay && stream.pointee.subscriptionCount == 1
                && stream.pointee.positions == nil
            if isDone(catchUp) {
                unsafe CatchUp.release(subscription)
                unsafe subscription.pointee.state = SubscriptionState.live.rawValue
                unsafe stream.pointee.pending -= 1
            }
        } else {
            guard state.isAsked, state.serial == head.serial else { return }
            unsafe stream.pointee.asked -= 1
            if unsafe stream.pointee.flags.contains(.headWaits) {
                if head.isRefused { return refuseStream(number) }
                unsafe subscription.pointee.state = state.checked.rawValue
                noteHead(number)
                return goOn(number)
            }
            unsafe subscription.pointee.state = SubscriptionState.live.rawValue
            unsafe stream.pointee.pending -= 1
        }
        if head.isRefused,
            case .webSocket(let session) = unsafe connections[Int(head.connection)]
                .session, unsafe session.pointee.purpose == .events
        {
            return unsafe end(
                head.connection, session, .policyViolation, "Only its owner may read this")
        }
        noteHead(number)
        let isCurrent = unsafe stream.pointee.pending == 0
        if !single { unsafe note(stream, head.from, head.seq) }

        var left = head.entryCount
        while let entry = entries.next() {
            left -= 1
            // What one topic missed of one shard can be resumed from anywhere within.
            if single { unsafe note(stream, head.from, entry.seq) }
            unsafe say(number, entry.text, withID: single || isCurrent && left == 0)
        }
        if isCurrent, unsafe !stream.pointee.flags.contains(.isCurrent) {
            unsafe note(stream, head.from, head.seq)
            unsafe stream.pointee.flags.insert(.isCurrent)
            if head.entryCount == 0 || single { sayID(number) }
        }
        goOn(number)
    }

    private mutating func isAwaited(
        _ catchUp: CatchUp, _ head: ToldPage.Head, _ entries: ToldPage.Entries
    ) -> Bool {
        if catchUp.wish == .owed {
            guard head.isOfKey else { return false }
            return catchUp.owed.contains { $0.value == head.serial }
        }
        let part = catchUp.parts[Int(head.from)]
        return part.state == .asked && part.serial == head.serial
    }

    private mutating func isDone(_ catchUp: CatchUp) -> Bool {
        if catchUp.wish == .owed { return catchUp.owed.isEmpty }
        return catchUp.parts.allSatisfy { $0.state == .live }
    }

    private mutating func goOnCatchingUp(
        _ catchUp: CatchUp, _ head: ToldPage.Head, _ memory: UnsafeMutableRawPointer
    ) {
        var entries = unsafe ToldPage.Entries(memory)
        while entries.next() != nil {}
        let last = unsafe Array(entries.lastKey(head.lastKeyCount))
        if catchUp.wish == .owed {
            catchUp.owed[last] = nil
            catchUp.owedBytes -= last.count
            return
        }
        let from = Int(head.from)
        catchUp.parts[from].state = head.isLast ? .live : .waiting
        if !last.isEmpty { catchUp.parts[from].after = last }
        catchUp.parts[from].seq = head.seq
    }

    /// A stream has been told everything up to a change of a shard.
    private mutating func note(
        _ stream: UnsafeMutablePointer<Stream>, _ shard: UInt16, _ seq: UInt64
    ) {
        if let positions = unsafe stream.pointee.positions {
            unsafe positions[Int(shard)] = max(positions[Int(shard)], seq)
        } else {
            unsafe stream.pointee.seq = max(stream.pointee.seq, seq)
        }
    }

    // MARK: Falling behind

    /// A stream that holds as much as it may does not get this event; its newest state later.
    mutating func owe(
        _ frame: UnsafeMutablePointer<Frame>, to listener: UInt32, _ number: UInt32
    ) {
        let stream = unsafe audience.streams.place(number)
        let subscription = unsafe audience.topics.subscription(listener)
        unsafe stream.pointee.skipped &+= 1 &+ frame.pointee.skipped
        unsafe stream.pointee.flags.insert(.lagging)
        unsafe stream.pointee.flags.remove(.isCurrent)
        tally.eventsConflated &+= 1
        if audience.topics.topic(of: listener).isKey {
            unsafe subscription.pointee.state = SubscriptionState(waitingFor: .owed).rawValue
            unsafe stream.pointee.pending += 1
            return
        }
        var catchUp: CatchUp
        if let note = unsafe CatchUp.of(subscription) {
            // It was being listed or replayed: that, too, begins again.
            guard note.wish == .owed else { return restart(number) }
            catchUp = note
        } else {
            catchUp = CatchUp(.owed, shards: 0)
            unsafe catchUp.attach(to: subscription)
            unsafe subscription.pointee.state = SubscriptionState(waitingFor: .owed).rawValue
            unsafe stream.pointee.pending += 1
        }
        let key = unsafe Array(FramePool.key(frame))
        if catchUp.owed.updateValue(0, forKey: key) == nil { catchUp.owedBytes += key.count }
        if catchUp.owed.count > CatchUp.owedKeysMax || catchUp.owedBytes > CatchUp.owedBytesMax {
            restart(number)
        }
    }

    /// A stream begins again with the present state, and is told so.
    mutating func restart(_ number: UInt32) {
        let stream = unsafe audience.streams.place(number)
        tally.streamsReset &+= 1
        var listener = unsafe stream.pointee.firstSubscription
        var count: UInt16 = 0
        while listener != TopicIndex.none {
            let subscription = unsafe audience.topics.subscription(listener)
            unsafe subscription.pointee.state = SubscriptionState(waitingFor: .records).rawValue
            unsafe CatchUp.release(subscription)
            if !audience.topics.topic(of: listener).isKey {
                let shards = unsafe state.pointee.shardCount
                unsafe CatchUp(.records, shards: shards).attach(to: subscription)
            }
            count += 1
            listener = unsafe subscription.pointee.nextOfStream
        }
        unsafe stream.pointee.pending = count
        unsafe stream.pointee.asked = 0
        unsafe stream.pointee.skipped = 0
        unsafe stream.pointee.flags.subtract([.lagging, .isCurrent])
        sayControl(number, "reset")
    }
}
