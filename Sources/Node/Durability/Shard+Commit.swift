import Glibc
import Identity
import Journal
import Keyspace
import Machine
import Wire

/// From a change of the keyspace to the moment others may hear of it.
extension Shard {
    /// The one door to the keyspace for commands that may change it: what changed is written down
    /// before anything else can touch the keyspace.
    ///
    /// A write that has no place in the log is refused before it is carried out.
    mutating func change(_ command: borrowing Command) -> Reply {
        guard hasLogRoom(for: command) else { return .unwritable }
        let reply = keyspace.run(command, at: wallMs)
        if keyspace.changeCount > 0 { recordChanges() }
        return reply
    }

    /// Takes note of what the last call to the keyspace changed. Called after every call that can
    /// change it, before the next.
    mutating func recordChanges() {
        for number in 0..<keyspace.changeCount { recordChange(number) }
        publishChanges()
    }

    private mutating func recordChange(_ number: Int) {
        let change = keyspace.change(number)
        if notifies { announce(change) }
        // An expiry follows from the record's own time and is not logged.
        guard change.position > 0, let keeper = unsafe keeper else {
            if change.kind == .expired { tally.expired &+= 1 }
            return
        }
        if change.kind == .evicted { tally.evicted &+= 1 }
        // A table that another shard has made since.
        if Int(change.table) >= tables.count { registry.update(&tables) }
        let info = tables[change.table]
        let owner = owners.identifier(of: change.record.owner.rawValue)
        let nobody = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        var record = unsafe LogRecord(
            change, slot: Slot.of(change.record.key, offset: info.slotOffset),
            owner: OwnerID(high: owner.high, low: owner.low), space: info.space,
            table: tables.name(change.table) ?? nobody)
        if change.position == keyspace.spliced.position { record.narrow(to: keyspace.spliced) }
        // What had to make room is none of the transaction's business.
        if logged.transaction != 0, change.kind != .evicted {
            record.transaction = logged.transaction
            if logged.last == 0 { logged.first = change.position }
            logged.last = change.position
        }
        unsafe keeper.pointee.append(record)
    }

    private mutating func hasLogRoom(for command: borrowing Command) -> Bool {
        var bytes = unsafe command.key.bytes.count + command.value.bytes.count
        switch command.kind {
        case .get, .touch, .count: return true
        case .put, .delete: break
        case .expire: bytes += keyspace.get(command.key, at: wallMs)?.valueCount ?? 0
        case .splice:
            // A new list is logged whole, with its room.
            bytes += unsafe command.splice.inserted.count * 2 + ListForm.roomBytesMin
        }
        guard let keeper = unsafe keeper else { return false }
        return unsafe keeper.pointee.hasRoom(bytes + LogRecord.overheadBytesMax)
    }

    /// Whether so many deletions have their place in the log.
    mutating func hasLogRoom(deleting count: Int) -> Bool {
        guard let keeper = unsafe keeper else { return false }
        return unsafe keeper.pointee.hasRoom(
            count * (Key.bytesMax + LogRecord.overheadBytesMax))
    }

    /// What a write is told that has no place on the disk.
    var logRefusal: Outcome {
        mutating get {
            guard let keeper = unsafe keeper else {
                return .error(.serviceUnavailable, "The node is still loading")
            }
            let trouble = unsafe keeper.pointee.trouble ?? .full
            return .error(.serviceUnavailable, trouble.sentence)
        }
    }

    /// The commit point of a turn: makes its writes safe, and lets go of what waited for that.
    /// Nothing that tells of a write leaves before.
    mutating func commit() {
        guard let keeper = unsafe keeper else { return }
        if unsafe keeper.pointee.write(at: nowMs) {
            unsafe commitPoint.wrote(keeper.pointee.writer.written, keyspace.clock.last)
        } else {
            withholdTurn()
        }
        if unsafe !answersTelling.isEmpty {
            unsafe answersTelling.removeAll(keepingCapacity: true)
        }
        unsafe keeper.pointee.startWork(
            at: nowMs, isSyncWanted: commitPoint.heldCount > 0, stamp: keyspace.clock.last)
        let isAwaited = unsafe keeper.pointee.isAwaited
        if isAwaited != syncIsAwaited {
            syncIsAwaited = isAwaited
            driver.sendInSlices(isAwaited)
        }
        noteLogGrowth()
        noteTrouble()
        releaseHeld()
        refuseHeld()
    }

    /// Takes in what the disk's workers have done.
    mutating func readDiskWork() {
        guard let keeper = unsafe keeper, unsafe keeper.pointee.hasFinishedWork else { return }
        if let (position, stamp) = unsafe keeper.pointee.takeFinished() {
            commitPoint.synced(position, stamp)
        }
    }

    /// Between two parts of a turn: what was written is synced as soon as the disk is free. With many
    /// clients a turn takes as long as a sync.
    @inline(__always)
    mutating func goOnSyncing() {
        if syncIsAwaited { lookForSync() }
    }

    @inline(never)
    private mutating func lookForSync() {
        guard let keeper = unsafe keeper, unsafe keeper.pointee.hasFinishedWork else { return }
        readDiskWork()
        unsafe keeper.pointee.syncNext(at: nowMs, stamp: commitPoint.writtenStamp)
    }

    /// The log's file did not take the turn's writes, so nobody may be told that they were made.
    /// Whoever waits for such an answer here loses the connection, which leaves open what became of
    /// the write, as it is; on other shards the answer becomes a refusal.
    private mutating func withholdTurn() {
        closeTold()
        for place in unsafe answersTelling.indices { unsafe refuse(answersTelling[place]) }
    }

    /// The disk failed, so what waits for it will never be safe: whoever asked is told.
    private mutating func refuseHeld() {
        guard let keeper = unsafe keeper, unsafe keeper.pointee.trouble == .failed else { return }
        while let (target, bytes) = unsafe commitPoint.nextHeld() {
            unsafe refuse(bytes.baseAddress.unsafelyUnwrapped)
            unsafe letGo(bytes, to: target)
        }
    }

    /// Makes an answer that tells of a write into one that doesn't.
    private mutating func refuse(_ answer: UnsafeMutableRawPointer) {
        if unsafe answer.load(as: Message.Kind.self) == .commandReply {
            return unsafe withholdReply(answer)
        }
        let head = unsafe answer.assumingMemoryBound(to: Message.Answer.self)
        let body: StaticString =
            "{\"error\":\"The disk failed at this write: it may or may not have been made\"}"
        unsafe head.pointee.bodyMemory?.deallocate()
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: body.utf8CodeUnitCount, alignment: 8)
        unsafe memory.copyMemory(from: body.utf8Start, byteCount: body.utf8CodeUnitCount)
        unsafe head.pointee.bodyMemory = unsafe memory
        unsafe head.pointee.bodyCount = UInt32(body.utf8CodeUnitCount)
        unsafe head.pointee.hasTag = false
        unsafe head.pointee.status = HTTPStatus.serviceUnavailable.rawValue
    }

    private mutating func releaseHeld() {
        while let (target, bytes) = unsafe commitPoint.nextReleased() {
            unsafe letGo(bytes, to: target)
        }
    }

    private mutating func letGo(_ bytes: UnsafeMutableRawBufferPointer, to target: Int) {
        let message = UnsafeRawBufferPointer(bytes)
        if target == number {
            unsafe receive(message, from: number)
        } else {
            unsafe postCopy(message, to: target)
        }
        unsafe bytes.deallocate()
    }

    /// Says once what the disk has come to, in the log and to whoever asks.
    private mutating func noteTrouble() {
        guard let keeper = unsafe keeper else { return }
        let trouble = unsafe keeper.pointee.trouble
        unsafe tally.logBytes = keeper.pointee.writer.bytesWritten
        unsafe tally.syncs = keeper.pointee.syncs
        unsafe tally.syncNs = keeper.pointee.syncNs
        guard (trouble?.rawValue ?? 0) != tally.diskTrouble else { return }
        tally.diskTrouble = trouble?.rawValue ?? 0
        switch trouble {
        case nil: log.info("disk takes writes again", ("shard", "\(number)"))
        case .full:
            log.error(
                "disk full", ("shard", "\(number)"), ("error", diskError),
                ("hint", "free space: writes are refused until there is some"))
        case .stuck:
            log.error(
                "log stuck", ("shard", "\(number)"), ("error", diskError),
                ("hint", "it can't be made longer: writes are refused until it can"))
        case .failed:
            log.error(
                "disk failed", ("shard", "\(number)"), ("error", diskError),
                ("hint", "look at the disk, then start the node again: it takes no more writes"))
        }
    }

    private var diskError: String {
        guard let keeper = unsafe keeper, let failure = unsafe keeper.pointee.writer.failure
        else { return "" }
        return "\(failure.call.rawValue): \(SystemError.text(of: failure.errno))"
    }
}
