import Glibc
import Keyspace
import Machine
import Synchronization
import Wire

/// Requests that belong to another shard's keys, and their answers.
///
/// Messages are written in place in the mailbox to the other shard and shown to it once a turn,
/// after the commit point, so a batch costs one store and at most one wake-up. A request that
/// finds the mailbox full waits in its connection's input. An answer can't wait like that, or two
/// full mailboxes would wait for each other: it goes to a backlog, which is bounded by the places
/// that its asker's shard has.
extension Shard {
    mutating func mailbox(to target: Int) -> Mailbox.Writer {
        unsafe state.pointee.mailboxes[number * state.pointee.shardCount + target].writer
    }

    // MARK: Sending

    /// Whether any request there is can be handed on.
    @inline(__always)
    mutating func hasMailRoom() -> Bool {
        unsafe state.pointee.shardCount == 1 || hasRoomInMailboxes()
    }

    private mutating func hasRoomInMailboxes() -> Bool {
        for target in unsafe 0..<state.pointee.shardCount where target != number {
            if !mailbox(to: target).hasRoom(Message.requestBytesMax) { return false }
        }
        return true
    }

    /// False: the mailbox is full, try again next turn.
    mutating func post(_ work: TableWork, to target: Int, ticket: UInt64) -> Bool {
        guard let place = unsafe mailbox(to: target).reserve(messageBytes(work)) else {
            return false
        }
        unsafe write(work, ticket: ticket, to: place)
        return true
    }

    /// Keeps work on a key of this shard until no transaction holds the key.
    mutating func waitForHold(_ work: TableWork, ticket: UInt64) {
        let size = messageBytes(work)
        let message = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
        unsafe write(work, ticket: ticket, to: message.baseAddress.unsafelyUnwrapped)
        let claim = Holds.Claim(keys: [work.hash], isAll: false)
        unsafe putOff(UnsafeRawBufferPointer(message), claim, from: number)
        unsafe message.deallocate()
    }

    private mutating func messageBytes(_ work: TableWork) -> Int {
        let valueInline = unsafe work.value.count <= Message.inlineBytesMax
        let ifMatchCount = unsafe work.ifMatch.map { $0.count } ?? 0
        let ifNoneMatchCount = unsafe work.ifNoneMatch.map { $0.count } ?? 0
        return unsafe MemoryLayout<Message.Work>.size + work.key.count + ifMatchCount
            + ifNoneMatchCount + (valueInline ? work.value.count : 0)
    }

    private mutating func write(
        _ work: TableWork, ticket: UInt64, to place: UnsafeMutableRawPointer
    ) {
        let valueInline = unsafe work.value.count <= Message.inlineBytesMax
        let ifMatchCount = unsafe work.ifMatch.map { $0.count } ?? -1
        let ifNoneMatchCount = unsafe work.ifNoneMatch.map { $0.count } ?? -1
        var memory: UnsafeMutableRawPointer? = nil
        if !valueInline {
            let copy = unsafe UnsafeMutableRawBufferPointer.allocate(
                byteCount: work.value.count, alignment: 8)
            unsafe copy.copyMemory(from: work.value)
            unsafe memory = copy.baseAddress
        }
        unsafe place.storeBytes(
            of: Message.Work(
                work: work.kind, caller: work.caller, readRule: work.readRule, table: work.table,
                principal: work.principal.rawValue, hash: work.hash, ticket: ticket,
                ttlMs: work.ttlMs, keyCount: UInt32(work.key.count),
                ifMatchCount: Int32(ifMatchCount), ifNoneMatchCount: Int32(ifNoneMatchCount),
                valueCount: UInt32(work.value.count), valueMemory: memory),
            as: Message.Work.self)
        var at = unsafe place + MemoryLayout<Message.Work>.size
        func add(_ bytes: UnsafeRawBufferPointer?) {
            guard let bytes = unsafe bytes, let start = bytes.baseAddress else { return }
            unsafe at.copyMemory(from: start, byteCount: bytes.count)
            unsafe at += bytes.count
        }
        unsafe add(work.key)
        unsafe add(work.ifMatch)
        unsafe add(work.ifNoneMatch)
        if valueInline { unsafe add(work.value) }
    }

    /// Answers with an outcome: now, or when what it tells of is safe. To this shard itself it comes
    /// at the end of the turn, as it would come from another.
    mutating func postAnswer(_ outcome: Outcome, to target: Int, ticket: UInt64) {
        let head = unsafe Message.Answer(
            status: outcome.status.rawValue, hasTag: outcome.tag != nil, extras: .none,
            ticket: ticket, version: outcome.tag?.version ?? 0,
            stamp: outcome.tag?.stamp.rawValue ?? 0, bodyCount: 0, bodyMemory: nil)
        let owners = owners
        let count = outcome.bodyCount(owners)
        if target == number || commitPoint.mustHold(outcome) {
            return holdAnswer(head, bodyCount: count, telling: outcome.position, to: target) {
                outcome.writeBody(owners, into: &$0)
            }
        }
        let place = unsafe postAnswer(head, bodyCount: count, to: target) {
            outcome.writeBody(owners, into: &$0)
        }
        if outcome.position > 0 { unsafe answersTelling.append(place) }
    }

    mutating func postAnswer(
        _ status: HTTPStatus, _ extras: AnswerExtras, _ body: UnsafeRawBufferPointer,
        to target: Int, ticket: UInt64
    ) {
        let head = unsafe Message.Answer(
            status: status.rawValue, hasTag: false, extras: extras, ticket: ticket,
            version: 0, stamp: 0, bodyCount: 0, bodyMemory: nil)
        unsafe postAnswer(head, bodyCount: body.count, to: target) { unsafe $0.write(body) }
    }

    /// Where the answer stands, until the mailbox is shown.
    @discardableResult
    private mutating func postAnswer(
        _ head: Message.Answer, bodyCount: Int, to target: Int,
        _ write: (inout ByteWriter) -> Void
    ) -> UnsafeMutableRawPointer {
        let isInline = bodyCount <= Message.inlineBytesMax
        let size = MemoryLayout<Message.Answer>.size + (isInline ? bodyCount : 0)
        // Behind a backlog everything queues: answers to one connection keep their order.
        let reserved = unsafe backlogs[target].isEmpty ? mailbox(to: target).reserve(size) : nil
        let place =
            unsafe reserved ?? UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 8)
        var head = head
        head.bodyCount = UInt32(bodyCount)
        if !isInline {
            unsafe head.bodyMemory = UnsafeMutableRawPointer.allocate(
                byteCount: bodyCount, alignment: 8)
        }
        unsafe place.storeBytes(of: head, as: Message.Answer.self)
        let body = unsafe head.bodyMemory ?? place + MemoryLayout<Message.Answer>.size
        var writer = unsafe ByteWriter(
            body.assumingMemoryBound(to: UInt8.self), capacity: bodyCount)
        write(&writer)
        if unsafe reserved == nil {
            unsafe backlogs[target].append(UnsafeRawBufferPointer(start: place, count: size))
        }
        return unsafe place
    }

    /// Keeps an answer until the position it tells of is safe.
    mutating func holdAnswer(
        _ status: HTTPStatus, _ body: UnsafeRawBufferPointer, telling position: CommitPosition,
        to target: Int, ticket: UInt64
    ) {
        let head = unsafe Message.Answer(
            status: status.rawValue, hasTag: false, extras: .none, ticket: ticket, version: 0,
            stamp: 0, bodyCount: 0, bodyMemory: nil)
        holdAnswer(head, bodyCount: body.count, telling: position, to: target) {
            unsafe $0.write(body)
        }
    }

    private mutating func holdAnswer(
        _ head: Message.Answer, bodyCount: Int, telling position: CommitPosition, to target: Int,
        _ write: (inout ByteWriter) -> Void
    ) {
        let isInline = bodyCount <= Message.inlineBytesMax
        let headCount = MemoryLayout<Message.Answer>.size
        var head = head
        head.bodyCount = UInt32(bodyCount)
        if !isInline {
            unsafe head.bodyMemory = UnsafeMutableRawPointer.allocate(
                byteCount: bodyCount, alignment: 8)
        }
        let message = UnsafeMutableRawBufferPointer.allocate(
            byteCount: headCount + (isInline ? bodyCount : 0), alignment: 8)
        let start = unsafe message.baseAddress.unsafelyUnwrapped
        unsafe start.storeBytes(of: head, as: Message.Answer.self)
        let body = unsafe head.bodyMemory ?? start + headCount
        var writer = unsafe ByteWriter(
            body.assumingMemoryBound(to: UInt8.self), capacity: bodyCount)
        write(&writer)
        unsafe commitPoint.hold(message, until: position, for: target)
    }

    /// Posts a message that must not get lost, behind a backlog if there is one.
    mutating func postCopy(_ message: UnsafeRawBufferPointer, to target: Int) {
        let reserved =
            unsafe backlogs[target].isEmpty ? mailbox(to: target).reserve(message.count) : nil
        let place =
            unsafe reserved
            ?? UnsafeMutableRawPointer.allocate(byteCount: message.count, alignment: 8)
        unsafe place.copyMemory(
            from: message.baseAddress.unsafelyUnwrapped, byteCount: message.count)
        if unsafe reserved == nil {
            unsafe backlogs[target].append(
                UnsafeRawBufferPointer(start: place, count: message.count))
        }
    }

    /// Shows the other shards what this turn wrote, and wakes those that sleep.
    mutating func publishMailboxes() {
        let shards = unsafe state.pointee.shardCount
        guard shards > 1 else { return }
        for target in 0..<shards where target != number {
            if unsafe !backlogs[target].isEmpty { drainBacklog(to: target) }
            let writer = mailbox(to: target)
            guard writer.hasUnpublished else { continue }
            writer.publish()
            if unsafe state.pointee.wakeFlags[target].claimWake() {
                tally.wakeUps &+= 1
                unsafe state.pointee.wakers[target].wake()
            }
        }
    }

    /// Whether something was written after this turn's messages had been shown: flushing can ask for
    /// the next pages of a list, or serve a request that had waited for room.
    mutating func hasUnpublished() -> Bool {
        let shards = unsafe state.pointee.shardCount
        guard shards > 1 else { return false }
        for target in 0..<shards where target != number {
            if mailbox(to: target).hasUnpublished { return true }
        }
        return false
    }

    mutating func hasBacklog() -> Bool {
        if unsafe !stalledGathers.isEmpty || !resp.pointee.stalled.isEmpty
            || publisher.behindCount > 0
        {
            return true
        }
        for target in unsafe 0..<state.pointee.shardCount where unsafe !backlogs[target].isEmpty {
            return true
        }
        return false
    }

    private mutating func drainBacklog(to target: Int) {
        var sent = 0
        let writer = mailbox(to: target)
        while unsafe sent < backlogs[target].count {
            let message = unsafe backlogs[target][sent]
            guard let place = unsafe writer.reserve(message.count) else { break }
            unsafe place.copyMemory(
                from: message.baseAddress.unsafelyUnwrapped, byteCount: message.count)
            unsafe message.deallocate()
            sent += 1
        }
        unsafe backlogs[target].removeFirst(sent)
    }

    // MARK: Receiving

    mutating func readMailboxes() {
        let shards = unsafe state.pointee.shardCount
        guard shards > 1 else { return }
        for from in 0..<shards where from != number {
            let reader = unsafe state.pointee.mailboxes[from * shards + number].reader
            // Reads that follow each other are answered together.
            var asked = 0
            while let message = unsafe reader.next() {
                tally.messages &+= 1
                if unsafe message.load(as: Message.Kind.self) == .read {
                    unsafe (askedReads + asked).initialize(to: AskedRead(message))
                    asked &+= 1
                    if asked < PlainRead.aheadMax { continue }
                    answerAskedReads(asked, from: from)
                    asked = 0
                    continue
                }
                answerAskedReads(asked, from: from)
                asked = 0
                unsafe receive(message, from: from)
            }
            answerAskedReads(asked, from: from)
            reader.consume()
        }
    }

    mutating func receive(_ message: UnsafeRawBufferPointer, from shard: Int) {
        if isLoading { takeLoaded() }
        switch unsafe message.load(as: Message.Kind.self) {
        case .connection:
            let connection = unsafe message.load(as: Message.Connection.self)
            open(connection.fd, listener: connection.listener)
        case .work:
            if hasHolds, case let hash = unsafe message.load(as: Message.Work.self).hash,
                mustWait(hash)
            {
                unsafe putOff(message, Holds.Claim(keys: [hash], isAll: false), from: shard)
            } else {
                unsafe carryOut(message, from: shard)
            }
        case .answer: unsafe deliver(message)
        case .list: unsafe receiveList(message, from: shard)
        case .page: unsafe receivePage(message, from: shard)
        case .login: unsafe receiveLogin(message, from: shard)
        case .forgetLogin:
            unsafe forgetLogin(
                Asker(shard: shard, ticket: message.load(as: Message.ForgetLogin.self).ticket))
        case .listen: unsafe receiveListen(message, from: shard)
        case .ask: unsafe receiveAsk(message, from: shard)
        case .told: unsafe receiveTold(message)
        case .event: unsafe receiveEvent(message, from: shard)
        case .lost: receiveLost(from: shard)
        case .command: unsafe receiveCommand(message, from: shard)
        case .commandReply: unsafe receiveReply(message, from: shard)
        case .hold: unsafe receiveHold(message, from: shard)
        case .release: unsafe releaseHold(message.load(as: Message.Release.self).transaction)
        case .read: unsafe answerAskedRead(AskedRead(message), from: shard)
        case .readAnswer: unsafe receiveReadAnswer(message)
        }
    }

    private mutating func carryOut(_ message: UnsafeRawBufferPointer, from shard: Int) {
        let head = unsafe message.load(as: Message.Work.self)
        var at = MemoryLayout<Message.Work>.size
        func take(_ count: Int) -> UnsafeRawBufferPointer {
            defer { at += count }
            return unsafe UnsafeRawBufferPointer(rebasing: message[at..<at + count])
        }
        let key = unsafe take(Int(head.keyCount))
        let ifMatch = unsafe head.ifMatchCount < 0 ? nil : take(Int(head.ifMatchCount))
        let ifNoneMatch = unsafe head.ifNoneMatchCount < 0 ? nil : take(Int(head.ifNoneMatchCount))
        let value: UnsafeRawBufferPointer
        if let memory = unsafe head.valueMemory {
            unsafe value = unsafe UnsafeRawBufferPointer(
                start: memory, count: Int(head.valueCount))
        } else {
            unsafe value = unsafe take(Int(head.valueCount))
        }
        let work = unsafe TableWork(
            kind: head.work, caller: head.caller, readRule: head.readRule, table: head.table,
            hash: head.hash, principal: RecordOwner(rawValue: head.principal), ttlMs: head.ttlMs,
            key: key, value: value, ifMatch: ifMatch, ifNoneMatch: ifNoneMatch)
        let outcome = carryOut(work)
        postAnswer(outcome, to: shard, ticket: head.ticket)
        unsafe head.valueMemory?.deallocate()
    }

    private mutating func deliver(_ message: UnsafeRawBufferPointer) {
        let head = unsafe message.load(as: Message.Answer.self)
        let start =
            unsafe head.bodyMemory
            ?? UnsafeMutableRawPointer(mutating: message.baseAddress.unsafelyUnwrapped)
            + MemoryLayout<Message.Answer>.size
        let body = unsafe UnsafeRawBufferPointer(start: start, count: Int(head.bodyCount))
        let status = unsafe HTTPStatus(rawValue: head.status).unsafelyUnwrapped
        let tag = head.hasTag ? (head.version, Stamp(rawValue: head.stamp)) : nil
        if let place = awaited.place(of: head.ticket),
            let gather = unsafe awaited.places[Int(place)].gather
        {
            let slot = unsafe Int(awaited.places[Int(place)].slot)
            awaited.give(place)
            unsafe heardElsewhere(gather, slot, status, body)
        } else if let place = awaited.place(of: head.ticket),
            unsafe awaited.places[Int(place)].question != nil
        {
            unsafe heardElsewhere(place, status, body)
        } else if let place = awaited.place(of: head.ticket),
            case let account = unsafe awaited.places[Int(place)].account, account != 0
        {
            awaited.give(place)
            accountStored(account, status)
        } else if let place = awaited.place(of: head.ticket),
            let (table, change) = unsafe awaited.places[Int(place)].settings, status == .created
        {
            settingsStored(head.ticket, table, change)
        } else {
            deliver(head.ticket) { shard, index, shape in
                unsafe shard.replyAnswer(
                    index, shape, status, tag: tag, head.extras, body)
            }
        }
        unsafe head.bodyMemory?.deallocate()
    }
}
