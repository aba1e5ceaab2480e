import Keyspace
import Machine
import Wire

/// From a change of this shard's keyspace to every shard that has listeners.
///
/// A change is written down as text when it happens and told when it is safe, in order. Answers to
/// listeners have their place in that same order: one that says what stood at change 17 comes after
/// that change and before the next. So whoever gets it can take everything that follows and
/// nothing that came before, and needs to compare nothing.
extension Shard {
    /// Writes down what the last call to the keyspace changed, if anybody ever listened.
    mutating func publishChanges() {
        guard publisher.isHeard else { return }
        let atNs = turnStartNs
        for place in 0..<keyspace.changeCount {
            let change = keyspace.change(place)
            // What the node keeps for itself is nobody's to hear.
            if change.table < ReservedTable.count { continue }
            let key = unsafe change.record.key
            let hash = unsafe keyspace.hashing.hash(change.table, key)
            if Int(change.table) >= tables.count { registry.update(&tables) }
            let text = unsafe EventText(
                change.kind, table: tableName(change.table), record: change.record,
                owner: owners.name(of: change.record.owner.rawValue), version: change.version)
            let textCount = text.byteCount
            let memory = unsafe publisher.recent.append(
                RecentChanges.Entry(
                    change.kind, stamp: change.stamp, position: change.position, hash: hash,
                    table: change.table, owner: change.record.owner,
                    interest: publisher.interest.shards(for: change.table, hash, key), atNs: atNs,
                    keyCount: key.count, textCount: textCount))
            var writer = unsafe ByteWriter(
                memory.assumingMemoryBound(to: UInt8.self), capacity: key.count + textCount)
            unsafe writer.write(key)
            text.write(into: &writer)
        }
    }

    mutating func tableName(_ table: TableNumber) -> UnsafeRawBufferPointer {
        unsafe tables.name(table) ?? UnsafeRawBufferPointer(start: nil, count: 0)
    }

    // MARK: Telling

    /// Tells what has become safe: to this shard's own listeners, and into the mailboxes of others.
    mutating func tellChanges() {
        guard publisher.isHeard else { return }
        if publisher.behindCount > 0 { catchUpOutlets() }
        let limit = tellable
        var cursor = publisher.told
        var answered = 0
        while true {
            while answered < publisher.answers.count,
                publisher.answers[answered].seq <= publisher.toldSeq,
                publisher.answers[answered].position <= limit
            {
                tell(publisher.answers[answered])
                answered += 1
            }
            if answered < publisher.answers.count,
                publisher.answers[answered].seq <= publisher.toldSeq
            {
                break
            }
            guard let change = publisher.recent.look(&cursor),
                change.entry.position <= limit
            else { break }
            tell(change, at: cursor)
            publisher.recent.advance(&cursor, over: change)
            publisher.toldSeq = change.entry.seq
        }
        publisher.told = cursor
        if answered > 0 { publisher.answers.removeFirst(answered) }
        publisher.recent.trim(told: publisher.toldSeq)
        // With a large change goes everything up to it, and the place where telling stands.
        if !publisher.recent.holds(publisher.told) { publisher.told = publisher.recent.start }
    }

    /// Whether there is something to tell that waits for nothing but the next turn.
    mutating func hasToTell() -> Bool {
        guard let first = publisher.answers.first else { return false }
        return first.position <= tellable
    }

    private mutating func tell(_ change: RecentChanges.Look, at cursor: RecentChanges.Cursor) {
        var shards = change.entry.interest
        while let bit = shards.popFirst() {
            var target = bit
            while unsafe target < state.pointee.shardCount {
                if target == number {
                    hear(change)
                } else if !publisher.outlets[target].isBehind, !post(change, to: target) {
                    publisher.outlets[target].isBehind = true
                    publisher.outlets[target].cursor = cursor
                    publisher.behindCount += 1
                }
                target += ShardSet.shardsMax
            }
        }
    }

    private mutating func tell(_ answer: Publisher.Answer) {
        if answer.target == number {
            unsafe audience.queue.append(.told(answer.memory))
        } else if publisher.outlets[answer.target].isBehind {
            publisher.outlets[answer.target].answers.append(answer)
        } else {
            post(answer)
        }
    }

    private mutating func post(_ answer: Publisher.Answer) {
        let message = unsafe Message.Told(memory: answer.memory)
        unsafe withUnsafeBytes(of: message) { unsafe postCopy($0, to: answer.target) }
    }

    /// False: there is no room, or others wait for it already.
    private mutating func post(_ change: RecentChanges.Look, to target: Int) -> Bool {
        let isInline = unsafe change.text.count <= Message.inlineBytesMax
        let headCount = MemoryLayout<Message.Event>.size
        let size = unsafe headCount + change.key.count + (isInline ? change.text.count : 0)
        guard unsafe backlogs[target].isEmpty,
            let place = unsafe mailbox(to: target).reserve(size)
        else { return false }
        var memory: UnsafeMutableRawPointer? = nil
        if !isInline {
            let copy = unsafe UnsafeMutableRawBufferPointer.allocate(
                byteCount: change.text.count, alignment: 8)
            unsafe copy.copyMemory(from: change.text)
            unsafe memory = copy.baseAddress
        }
        let entry = change.entry
        unsafe place.storeBytes(
            of: Message.Event(
                change: entry.kind, keyCount: entry.keyCount, table: entry.table,
                owner: entry.owner.rawValue, textCount: entry.textCount, seq: entry.seq,
                hash: entry.hash, atNs: entry.atNs, textMemory: memory),
            as: Message.Event.self)
        let bytes = unsafe place + headCount
        unsafe UnsafeMutableRawBufferPointer(start: bytes, count: change.key.count)
            .copyMemory(from: change.key)
        if isInline {
            unsafe UnsafeMutableRawBufferPointer(
                start: bytes + change.key.count, count: change.text.count
            ).copyMemory(from: change.text)
        }
        return true
    }

    /// Shards whose mailbox was full: as much of what they were not told as there is room for.
    private mutating func catchUpOutlets() {
        for target in 0..<publisher.outlets.count where publisher.outlets[target].isBehind {
            catchUp(target)
        }
    }

    private mutating func catchUp(_ target: Int) {
        var cursor = publisher.outlets[target].cursor
        guard publisher.recent.holds(cursor) else {
            // Its listeners begin again with the present state.
            let message = Message.Lost()
            unsafe withUnsafeBytes(of: message) { unsafe postCopy($0, to: target) }
            return isCaughtUp(target)
        }
        while let change = publisher.recent.look(&cursor), change.entry.seq <= publisher.toldSeq {
            answerWaiting(target, before: change.entry.seq)
            if isInterested(target, change.entry.interest), !post(change, to: target) {
                publisher.outlets[target].cursor = cursor
                return
            }
            publisher.recent.advance(&cursor, over: change)
        }
        isCaughtUp(target)
    }

    private mutating func isInterested(_ target: Int, _ interest: ShardSet) -> Bool {
        interest.contains(target % ShardSet.shardsMax)
    }

    private mutating func answerWaiting(_ target: Int, before seq: UInt64) {
        while let answer = publisher.outlets[target].answers.first, answer.seq < seq {
            post(answer)
            publisher.outlets[target].answers.removeFirst()
        }
    }

    private mutating func isCaughtUp(_ target: Int) {
        answerWaiting(target, before: UInt64.max)
        publisher.outlets[target].isBehind = false
        publisher.behindCount -= 1
    }

    // MARK: What listeners ask

    mutating func receiveListen(_ message: UnsafeRawBufferPointer, from shard: Int) {
        let head = unsafe message.load(as: Message.Listen.self)
        let start = MemoryLayout<Message.Listen>.size
        let topic = unsafe Topic(
            head.table, isKey: head.isKey, hash: head.hash,
            UnsafeRawBufferPointer(rebasing: message[start..<start + Int(head.byteCount)]))
        listen(topic, from: shard, begins: head.begins, isLast: head.isLast)
    }

    mutating func listen(_ topic: Topic, from shard: Int, begins: Bool, isLast: Bool) {
        let bit = shard % ShardSet.shardsMax
        if begins {
            publisher.isHeard = true
            publisher.interest.add(topic, of: bit)
        } else {
            // Where two shards share a bit it stays: the other one may still listen.
            let mayClear = unsafe isLast && state.pointee.shardCount <= ShardSet.shardsMax
            publisher.interest.remove(topic, of: bit, isLast: mayClear)
        }
    }

    mutating func receiveAsk(_ message: UnsafeRawBufferPointer, from shard: Int) {
        let head = unsafe message.load(as: Message.Ask.self)
        let start = MemoryLayout<Message.Ask>.size
        let middle = start + Int(head.byteCount)
        unsafe answer(
            head, UnsafeRawBufferPointer(rebasing: message[start..<middle]),
            after: UnsafeRawBufferPointer(
                rebasing: message[middle..<middle + Int(head.afterCount)]), from: shard)
    }

    /// Answers what a listener asks. The answer leaves in its place in the order of changes.
    mutating func answer(
        _ ask: Message.Ask, _ bytes: UnsafeRawBufferPointer, after: UnsafeRawBufferPointer,
        from shard: Int
    ) {
        var page = ToldPage(
            ToldPage.Head(
                connection: ask.connection, stream: ask.stream, subscription: ask.subscription,
                serial: ask.serial, from: UInt16(truncatingIfNeeded: number), wish: ask.wish,
                isOfKey: ask.isOfKey, seq: publisher.recent.lastSeq))
        if Int(ask.table) >= tables.count { registry.update(&tables) }
        let topic = unsafe Topic(ask.table, isKey: ask.isKey, hash: ask.hash, bytes)
        var last = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        switch ask.wish {
        case .silence where !ask.isKey: break
        case .silence, .records, .owed:
            if ask.isKey {
                addRecord(topic, ask, &page)
            } else {
                unsafe last = unsafe addRecords(topic, ask, after: after, &page)
            }
        case .replay: addMissed(topic, ask, &page)
        }
        // An owed key is named even where there is nothing to say of it.
        if ask.isOfKey { unsafe last = unsafe bytes }
        let memory = unsafe page.finish(after: last)
        publisher.answers.append(
            unsafe Publisher.Answer(
                target: shard, seq: publisher.recent.lastSeq,
                position: isAllSynced ? 0 : keyspace.position, memory: memory))
    }

    /// Whether what anybody may read now is as safe as the node promises.
    private var isAllSynced: Bool {
        mutating get {
            keyspace.clock.last <= commitPoint.syncedStamp
        }
    }

    private mutating func addRecord(_ topic: Topic, _ ask: Message.Ask, _ page: inout ToldPage) {
        let key = unsafe Key(topic.table, topic.bytes, hash: topic.hash)
        let rule = tables[topic.table].readRule
        let name = unsafe tableName(topic.table)
        guard let record = keyspace.get(key, at: wallMs) else {
            guard ask.wish == .owed else { return }
            let version = keyspace.tombstoneVersion(of: key) ?? 0
            let text = unsafe EventText(gone: topic.bytes, table: name, version: version)
            return unsafe page.add(
                topic.bytes, seq: page.head.seq, textCount: text.byteCount
            ) { text.write(into: &$0) }
        }
        guard
            rule.allows(
                ask.caller, RecordOwner(rawValue: ask.principal), recordOf: record.owner)
        else {
            page.head.isRefused = true
            return
        }
        guard ask.wish != .silence else { return }
        let text = unsafe EventText(
            .updated, table: name, record: record,
            owner: owners.name(of: record.owner.rawValue), version: record.version,
            isInitial: ask.wish == .records)
        unsafe page.add(record.key, seq: page.head.seq, textCount: text.byteCount) {
            text.write(into: &$0)
        }
    }

    /// A page of the records with a prefix; answers with the key it ends at.
    private mutating func addRecords(
        _ topic: Topic, _ ask: Message.Ask, after: UnsafeRawBufferPointer, _ page: inout ToldPage
    ) -> UnsafeRawBufferPointer {
        let rule = tables[topic.table].readRule
        let name = unsafe tableName(topic.table)
        var way = unsafe keyspace.list(
            topic.table, prefix: topic.bytes, after: after, steps: ListingPage.stepsMax)
        while !page.isFull, let record = keyspace.next(&way, at: wallMs) {
            guard
                rule.allows(
                    ask.caller, RecordOwner(rawValue: ask.principal), recordOf: record.owner)
            else { continue }
            let text = unsafe EventText(
                .updated, table: name, record: record,
                owner: owners.name(of: record.owner.rawValue), version: record.version,
                isInitial: true)
            unsafe page.add(record.key, seq: page.head.seq, textCount: text.byteCount) {
                text.write(into: &$0)
            }
        }
        page.head.isLast = way.isAtEnd
        return unsafe way.last?.key ?? after
    }

    /// What happened to a topic since a client was last told.
    private mutating func addMissed(_ topic: Topic, _ ask: Message.Ask, _ page: inout ToldPage) {
        guard var cursor = publisher.recent.cursor(after: ask.seq) else {
            page.head.isForgotten = true
            return
        }
        let rule = tables[topic.table].readRule
        while let change = publisher.recent.look(&cursor) {
            if page.isFull {
                page.head.isLast = false
                return
            }
            page.head.seq = change.entry.seq
            if unsafe topic.covers(change.entry.table, change.entry.hash, change.key),
                rule.allows(
                    ask.caller, RecordOwner(rawValue: ask.principal), recordOf: change.entry.owner)
            {
                unsafe page.add(
                    change.key, seq: change.entry.seq, textCount: change.text.count
                ) { unsafe $0.write(change.text) }
            }
            publisher.recent.advance(&cursor, over: change)
        }
        page.head.seq = publisher.recent.lastSeq
    }
}

extension ReadRule {
    /// Whether a caller may hear of a record.
    @inline(__always)
    func allows(
        _ caller: TableWork.Caller, _ principal: RecordOwner, recordOf owner: RecordOwner
    ) -> Bool {
        switch self {
        case .open: true
        case .authenticated: caller != .nobody
        case .owner: caller == .admin || (caller == .user && owner == principal)
        }
    }
}
