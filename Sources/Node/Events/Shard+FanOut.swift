import Keyspace
import Machine
import Wire

/// From what a shard has heard to its own listeners, in order, a bounded share of each turn.
///
/// One event is told to all of its listeners before the next one begins, however many turns that
/// takes: so every stream hears a shard's changes in their order, and its id says with one number
/// what it has heard.
extension Shard {
    /// Streams told in one turn: a millisecond of the kernel's sending. Each send is a completion
    /// of the next batch, which has to have room for everybody's requests as well: where every turn
    /// makes more completions than one takes, requests wait behind ever more of them.
    private static let deliveriesPerTurn = 128
    /// The same while completions wait.
    private static let deliveriesWhenBehind = 32
    /// What a page of an answer counts as among them.
    private static let pageDeliveries = 8
    /// When the first in the queue has waited for so long, events of one key are taken together.
    private static let conflateAfterMs: UInt64 = 50
    /// Frames in the queue past which the listeners begin again with the present state.
    private static let queuedFramesMax = 64 * 1024

    // MARK: Hearing

    /// A change of this shard's own.
    mutating func hear(_ change: RecentChanges.Look) {
        let frame = unsafe audience.frames.make(key: change.key, text: change.text)
        let entry = change.entry
        unsafe frame.pointee.kind = entry.kind
        unsafe frame.pointee.from = UInt16(truncatingIfNeeded: number)
        unsafe frame.pointee.table = entry.table
        unsafe frame.pointee.owner = entry.owner
        unsafe frame.pointee.seq = entry.seq
        unsafe frame.pointee.hash = entry.hash
        unsafe frame.pointee.atNs = entry.atNs
        unsafe enqueue(frame)
    }

    /// A change of another shard's.
    mutating func receiveEvent(_ message: UnsafeRawBufferPointer, from shard: Int) {
        let head = unsafe message.load(as: Message.Event.self)
        let start = MemoryLayout<Message.Event>.size
        let middle = start + Int(head.keyCount)
        let key = unsafe UnsafeRawBufferPointer(rebasing: message[start..<middle])
        let text: UnsafeRawBufferPointer
        if let memory = unsafe head.textMemory {
            unsafe text = unsafe UnsafeRawBufferPointer(start: memory, count: Int(head.textCount))
        } else {
            unsafe text = unsafe UnsafeRawBufferPointer(
                rebasing: message[middle..<middle + Int(head.textCount)])
        }
        let frame = unsafe audience.frames.make(key: key, text: text)
        unsafe head.textMemory?.deallocate()
        unsafe frame.pointee.kind = head.change
        unsafe frame.pointee.from = UInt16(truncatingIfNeeded: shard)
        unsafe frame.pointee.table = head.table
        unsafe frame.pointee.owner = RecordOwner(rawValue: head.owner)
        unsafe frame.pointee.seq = head.seq
        unsafe frame.pointee.hash = head.hash
        unsafe frame.pointee.atNs = head.atNs
        unsafe enqueue(frame)
    }

    mutating func receiveTold(_ message: UnsafeRawBufferPointer) {
        let head = unsafe message.load(as: Message.Told.self)
        unsafe audience.queue.append(.told(head.memory))
    }

    mutating func receiveLost(from shard: Int) {
        audience.queue.append(.lost(from: shard))
    }

    private mutating func enqueue(_ frame: UnsafeMutablePointer<Frame>) {
        unsafe frame.pointee.queuedMs = nowMs
        unsafe audience.queue.append(.event(frame))
    }

    // MARK: Telling

    /// Whether there is more to tell in the next turn.
    mutating func hasToFanOut() -> Bool {
        unsafe audience.current != nil || audience.queue.count > 0
    }

    /// Tells listeners what was heard, as much as one turn allows.
    mutating func fanOut() {
        var budget = driver.isBehind ? Self.deliveriesWhenBehind : Self.deliveriesPerTurn
        while budget > 0 {
            if let frame = unsafe audience.current {
                unsafe goOn(telling: frame, &budget)
                continue
            }
            if audience.queue.count > 1 { conflate() }
            guard let item = audience.queue.popFirst() else { return }
            switch item {
            case .nothing: break
            case .event(let frame): unsafe begin(telling: frame)
            case .told(let memory):
                unsafe take(memory)
                unsafe memory.deallocate()
                budget -= Self.pageDeliveries
            case .lost(let shard): lose(from: shard)
            }
        }
    }

    private mutating func begin(telling frame: UnsafeMutablePointer<Frame>) {
        let table = unsafe frame.pointee.table
        if Int(table) >= tables.count { registry.update(&tables) }
        audience.currentRule = tables[table].readRule
        let matched = unsafe audience.matched
        audience.matchedCount = unsafe audience.topics.match(
            table, frame.pointee.hash, FramePool.key(frame), into: matched)
        guard audience.matchedCount > 0 else { return unsafe audience.frames.release(frame) }
        unsafe FramePool.dress(frame, origin: audience.origin)
        unsafe audience.current = unsafe frame
        audience.matchedAt = 0
        audience.nextListener = unsafe audience.topics.firstSubscription(ofTopic: matched[0])
    }

    private mutating func goOn(telling frame: UnsafeMutablePointer<Frame>, _ budget: inout Int) {
        while budget > 0 {
            while audience.nextListener == TopicIndex.none {
                audience.matchedAt += 1
                guard audience.matchedAt < audience.matchedCount else {
                    return unsafe isTold(frame)
                }
                let topic = unsafe audience.matched[audience.matchedAt]
                if topic != TopicIndex.none {
                    audience.nextListener = audience.topics.firstSubscription(ofTopic: topic)
                }
            }
            let listener = audience.nextListener
            audience.nextListener = audience.topics.subscription(after: listener)
            budget -= 1
            unsafe tell(frame, to: listener)
        }
    }

    private mutating func isTold(_ frame: UnsafeMutablePointer<Frame>) {
        let ns = unsafe Clock.monotonicNs() &- frame.pointee.atNs
        figures.countPush(ns: ns)
        tally.pushNs &+= ns
        unsafe audience.current = nil
        unsafe audience.frames.release(frame)
    }

    /// A subscription ends: it must not be the next to be told.
    mutating func forgetListener(_ subscription: UInt32) {
        if audience.nextListener == subscription {
            audience.nextListener = audience.topics.subscription(after: subscription)
        }
        guard unsafe audience.current != nil, audience.topics.isLast(subscription) else { return }
        let topic = audience.topics.topicNumber(of: subscription)
        for place in audience.matchedAt..<audience.matchedCount
        where unsafe audience.matched[place] == topic {
            unsafe audience.matched[place] = TopicIndex.none
        }
    }

    private mutating func tell(_ frame: UnsafeMutablePointer<Frame>, to listener: UInt32) {
        let subscription = unsafe audience.topics.subscription(listener)
        let number = unsafe subscription.pointee.stream
        let stream = unsafe audience.streams.place(number)
        let state = unsafe SubscriptionState(rawValue: subscription.pointee.state)
        // A crowd that does not read is passed over quickly: each is owed the key already.
        if state.isWaiting, state.wish == .owed, audience.currentRule == .open,
            unsafe subscription.pointee.note == nil
        {
            return unsafe skip(frame, stream)
        }
        guard unsafe !stream.pointee.flags.contains(.ended),
            unsafe connections[Int(stream.pointee.connection)].state == .open
        else { return }
        if audience.currentRule != .open {
            guard
                unsafe audience.currentRule.allows(
                    stream.pointee.caller, stream.pointee.principal,
                    recordOf: frame.pointee.owner)
            else { return }
        }
        if !state.isLive {
            guard unsafe isTold(listener, state, frame) else { return }
        }
        guard unsafe isNew(stream, frame) else { return }
        let count = unsafe Int(frame.pointee.dataEnd &- frame.pointee.chunkStart) + 2
        if unsafe canHold(stream, count) {
            unsafe push(frame, to: number)
        } else {
            unsafe owe(frame, to: listener, number)
        }
    }

    /// Whether a stream has not heard of it by another of its topics, and notes that it has now.
    private mutating func isNew(
        _ stream: UnsafeMutablePointer<Stream>, _ frame: UnsafeMutablePointer<Frame>
    ) -> Bool {
        let seq = unsafe frame.pointee.seq
        if let positions = unsafe stream.pointee.positions {
            let from = unsafe Int(frame.pointee.from)
            if unsafe seq <= positions[from] { return false }
            unsafe positions[from] = seq
        } else {
            if unsafe seq <= stream.pointee.seq { return false }
            unsafe stream.pointee.seq = seq
        }
        return true
    }

    /// An event is left out for a stream that is owed its key.
    private mutating func skip(
        _ frame: UnsafeMutablePointer<Frame>, _ stream: UnsafeMutablePointer<Stream>
    ) {
        unsafe stream.pointee.skipped &+= 1 &+ frame.pointee.skipped
        tally.eventsConflated &+= 1
    }

    /// What a subscription that is not told of everything yet makes of an event: true if it is told.
    private mutating func isTold(
        _ listener: UInt32, _ state: SubscriptionState, _ frame: UnsafeMutablePointer<Frame>
    ) -> Bool {
        let subscription = unsafe audience.topics.subscription(listener)
        let stream = unsafe audience.streams.place(subscription.pointee.stream)
        guard let catchUp = unsafe CatchUp.of(subscription) else {
            // The answer it waits for will say what the event says, or something newer.
            if state.wish == .owed, state.isWaiting { unsafe skip(frame, stream) }
            return false
        }
        let key = unsafe FramePool.key(frame)
        if catchUp.wish == .owed {
            guard let serial = unsafe catchUp.owed[Array(key)] else { return true }
            if serial == 0 { unsafe skip(frame, stream) }
            return false
        }
        let from = unsafe Int(frame.pointee.from)
        if catchUp.parts[from].state == .live { return true }
        guard catchUp.wish == .records, !catchUp.parts[from].after.isEmpty else { return false }
        // Records behind this one are still to be listed, as they will be then.
        return unsafe catchUp.parts[from].after.withUnsafeBytes { after in
            unsafe !after.lexicographicallyPrecedes(key)
        }
    }

    // MARK: Too much to tell

    /// When more is heard than can be told, events of one key that nobody was told of yet are
    /// taken together: the last one stands for all, and says how many those were.
    private mutating func conflate() {
        guard case .event(let first) = audience.queue[0],
            unsafe nowMs &- first.pointee.queuedMs >= Self.conflateAfterMs
        else { return }
        guard audience.queue.count <= Self.queuedFramesMax else { return loseAll() }
        // A table of the latest place of each key; two keys that share a place only lose the chance.
        unsafe withUnsafeTemporaryAllocation(of: Int32.self, capacity: 4096) { latest in
            unsafe latest.initialize(repeating: -1)
            var place = audience.queue.count - 1
            while place >= 0 {
                defer { place -= 1 }
                guard case .event(let frame) = audience.queue[place] else {
                    // What was asked is answered between events: none may pass an answer.
                    if case .nothing = audience.queue[place] { continue }
                    unsafe latest.update(repeating: -1)
                    continue
                }
                let slot = unsafe Int(truncatingIfNeeded: frame.pointee.hash) & 4095
                let later = unsafe Int(latest[slot])
                unsafe latest[slot] = Int32(place)
                guard later >= 0, case .event(let newer) = audience.queue[later],
                    unsafe Self.isSameKey(frame, newer)
                else { continue }
                unsafe newer.pointee.skipped &+= 1 &+ frame.pointee.skipped
                unsafe newer.pointee.queuedMs = unsafe frame.pointee.queuedMs
                unsafe latest[slot] = Int32(later)
                audience.queue[place] = .nothing
                unsafe audience.frames.release(frame)
            }
        }
        // Those left had their chance: the next pass is due when as much time has gone by.
        if case .event(let first) = audience.queue[0] {
            unsafe first.pointee.queuedMs = nowMs
        }
    }

    private static func isSameKey(
        _ one: UnsafeMutablePointer<Frame>, _ other: UnsafeMutablePointer<Frame>
    ) -> Bool {
        unsafe one.pointee.hash == other.pointee.hash && one.pointee.table == other.pointee.table
            && one.pointee.from == other.pointee.from
            && FramePool.key(one).elementsEqual(FramePool.key(other))
    }

    /// Events of a shard are lost to this one: whoever listens to it begins again.
    private mutating func lose(from shard: Int) {
        for index in 0..<slotsReached() {
            guard case .events(let number) = unsafe connections[index].stream else { continue }
            let stream = unsafe audience.streams.place(number)
            guard unsafe connections[index].state == .open,
                unsafe !stream.pointee.flags.contains(.ended),
                unsafe stream.pointee.shard == Stream.spansShards
                    || Int(stream.pointee.shard) == shard
            else { continue }
            restart(number)
            goOn(number)
        }
    }

    private mutating func loseAll() {
        let count = audience.queue.count
        for _ in 0..<count {
            guard let item = audience.queue.popFirst() else { break }
            if case .event(let frame) = item {
                unsafe audience.frames.release(frame)
            } else {
                audience.queue.append(item)
            }
        }
        for shard in unsafe 0..<state.pointee.shardCount {
            audience.queue.append(.lost(from: shard))
        }
    }
}
