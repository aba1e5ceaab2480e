import Keyspace
import Machine
import Wire

extension Message {
    /// A command of RESP for the shard that has its keys; behind it, or in memory of its own, the
    /// packed words.
    @safe struct Command {
        var kind = Kind.command
        /// 0: nobody waits for the reply.
        var ticket: UInt64
        var context: RESPContext
        var facts: CommandFacts
        var packedBytes: UInt32
        /// Memory for a long command, which the receiver frees.
        var memory: UnsafeMutableRawPointer?
    }

    /// The reply to a command, whole as it goes to the client.
    @safe struct CommandReply {
        var kind = Kind.commandReply
        var ticket: UInt64
        var count: UInt32
        /// The last record that the transaction it belongs to has in the log; 0 is none.
        var last: CommitPosition
        /// The write it tells of did not get into the log: it is not to be told.
        var isWithheld = false
        var memory: UnsafeMutableRawPointer?
    }
}

/// Commands on their way to other shards, and their replies on the way back.
extension Shard {
    // MARK: Sending

    /// Sends a command to the shard of its keys; its reply has the connection's next place. False:
    /// there is no room, try again next turn.
    mutating func send(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, _ facts: CommandFacts,
        _ words: RESPWords, to target: Int
    ) -> Bool {
        let state = unsafe resp
        let packed = words.packedBytes
        let isInline = packed <= Message.inlineBytesMax
        let size = MemoryLayout<Message.Command>.stride + (isInline ? packed : 0)
        let mustSend = unsafe state.pointee.mustSend
        guard mustSend || target == number || mailbox(to: target).hasRoom(size) else {
            return false
        }
        guard awaited.hasFreeForRequest else {
            guard mustSend else { return false }
            unsafe state.pointee.out.error(Self.busy)
            return true
        }
        flushReplies(index)
        guard unsafe connections[Int(index)].state == .open else { return true }
        let isMuted = unsafe state.pointee.mutes
        let ticket = isMuted ? 0 : awaitAnswer(index, [])
        unsafe post(facts, words, session.pointee.context, to: target, ticket: ticket)
        return true
    }

    /// Puts a command into a shard's mailbox, or behind it where that is full. For this shard
    /// itself it waits until its keys are not held.
    mutating func post(
        _ facts: CommandFacts, _ words: RESPWords, _ context: RESPContext, to target: Int,
        ticket: UInt64
    ) {
        let packed = words.packedBytes
        let isInline = packed <= Message.inlineBytesMax
        let headBytes = MemoryLayout<Message.Command>.stride
        let size = headBytes + (isInline ? packed : 0)
        let reserved =
            unsafe target != number && backlogs[target].isEmpty
            ? mailbox(to: target).reserve(size) : nil
        let place =
            unsafe reserved ?? UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 8)
        var memory: UnsafeMutableRawPointer? = nil
        if isInline {
            unsafe words.pack(to: place + headBytes)
        } else {
            unsafe memory = .allocate(byteCount: packed, alignment: 8)
            unsafe words.pack(to: memory.unsafelyUnwrapped)
        }
        unsafe place.storeBytes(
            of: Message.Command(
                ticket: ticket, context: context, facts: facts, packedBytes: UInt32(packed),
                memory: memory),
            as: Message.Command.self)
        guard unsafe reserved == nil else { return }
        let message = unsafe UnsafeRawBufferPointer(start: place, count: size)
        if target == number {
            unsafe receiveCommand(message, from: number)
            unsafe place.deallocate()
        } else {
            unsafe backlogs[target].append(message)
        }
    }

    // MARK: Receiving

    mutating func receiveCommand(_ message: UnsafeRawBufferPointer, from shard: Int) {
        let head = unsafe message.load(as: Message.Command.self)
        let packed =
            unsafe head.memory.map { UnsafeRawPointer($0) }
            ?? message.baseAddress.unsafelyUnwrapped + MemoryLayout<Message.Command>.stride
        let words = unsafe RESPWords(packed: packed)
        if hasHolds, !head.context.isHolding, mustWait(head.facts, words, head.context) {
            let claim = claim(head.facts, words, head.context)
            return unsafe putOff(message, claim, from: shard)
        }
        let state = unsafe resp
        let start = unsafe state.pointee.out.count
        let told = unsafe state.pointee.told
        unsafe state.pointee.told = 0
        unsafe state.pointee.out.version = head.context.version
        let mark = logged
        logged = LogMark(transaction: head.context.transaction)
        unsafe execute(head.facts, words, head.context, into: &state.pointee.out)
        let last = logged.last
        noteUndecided(logged)
        logged = mark
        let reply = unsafe UnsafeRawBufferPointer(rebasing: state.pointee.out.written[start...])
        if head.ticket != 0 {
            unsafe postReply(
                reply, telling: state.pointee.told, last: last, to: shard, ticket: head.ticket)
        }
        unsafe state.pointee.told = told
        if start == 0 {
            unsafe state.pointee.out.removeAll()
        } else {
            unsafe state.pointee.out.rewind(to: start)
        }
        unsafe head.memory?.deallocate()
    }

    /// Sends a reply to whoever waits for it: now, or when what it tells of is safe.
    mutating func postReply(
        _ bytes: UnsafeRawBufferPointer, telling position: CommitPosition,
        last: CommitPosition = 0, to target: Int, ticket: UInt64
    ) {
        if commitPoint.waitsForDisk, commitPoint.mustHold(position) {
            return unsafe holdReply(
                bytes, telling: position, last: last, to: target, ticket: ticket)
        }
        if target == number { return unsafe deliverReply(ticket, bytes, last, from: number) }
        let isInline = bytes.count <= Message.inlineBytesMax
        let headBytes = MemoryLayout<Message.CommandReply>.stride
        let size = headBytes + (isInline ? bytes.count : 0)
        let reserved = unsafe backlogs[target].isEmpty ? mailbox(to: target).reserve(size) : nil
        let place =
            unsafe reserved ?? UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 8)
        unsafe write(bytes, last: last, ticket: ticket, isInline: isInline, to: place)
        if position > 0 { unsafe answersTelling.append(place) }
        if unsafe reserved == nil {
            unsafe backlogs[target].append(UnsafeRawBufferPointer(start: place, count: size))
        }
    }

    /// Keeps a reply until the position it tells of is safe.
    mutating func holdReply(
        _ bytes: UnsafeRawBufferPointer, telling position: CommitPosition,
        last: CommitPosition = 0, to target: Int, ticket: UInt64
    ) {
        let isInline = bytes.count <= Message.inlineBytesMax
        let headBytes = MemoryLayout<Message.CommandReply>.stride
        let message = UnsafeMutableRawBufferPointer.allocate(
            byteCount: headBytes + (isInline ? bytes.count : 0), alignment: 8)
        unsafe write(
            bytes, last: last, ticket: ticket, isInline: isInline,
            to: message.baseAddress.unsafelyUnwrapped)
        unsafe commitPoint.hold(message, until: position, for: target)
    }

    private func write(
        _ bytes: UnsafeRawBufferPointer, last: CommitPosition, ticket: UInt64, isInline: Bool,
        to place: UnsafeMutableRawPointer
    ) {
        var memory: UnsafeMutableRawPointer? = nil
        if !isInline { unsafe memory = .allocate(byteCount: bytes.count, alignment: 8) }
        let target = unsafe memory ?? place + MemoryLayout<Message.CommandReply>.stride
        if let start = bytes.baseAddress {
            unsafe target.copyMemory(from: start, byteCount: bytes.count)
        }
        unsafe place.storeBytes(
            of: Message.CommandReply(
                ticket: ticket, count: UInt32(bytes.count), last: last, memory: memory),
            as: Message.CommandReply.self)
    }

    /// See `Shard.commit`.
    func withholdReply(_ place: UnsafeMutableRawPointer) {
        unsafe place.assumingMemoryBound(to: Message.CommandReply.self).pointee.isWithheld = true
    }

    mutating func receiveReply(_ message: UnsafeRawBufferPointer, from shard: Int) {
        let head = unsafe message.load(as: Message.CommandReply.self)
        if head.isWithheld {
            let refusal: StaticString = "-MISCONF The node cannot write to its disk\r\n"
            unsafe deliverReply(
                head.ticket,
                UnsafeRawBufferPointer(
                    start: refusal.utf8Start, count: refusal.utf8CodeUnitCount),
                head.last, from: shard)
            unsafe head.memory?.deallocate()
            return
        }
        let start =
            unsafe head.memory.map { UnsafeRawPointer($0) }
            ?? message.baseAddress.unsafelyUnwrapped + MemoryLayout<Message.CommandReply>.stride
        unsafe deliverReply(
            head.ticket, UnsafeRawBufferPointer(start: start, count: Int(head.count)),
            head.last, from: shard)
        unsafe head.memory?.deallocate()
    }

    private mutating func deliverReply(
        _ ticket: UInt64, _ bytes: UnsafeRawBufferPointer, _ last: CommitPosition, from shard: Int
    ) {
        if let place = awaited.place(of: ticket),
            let transaction = unsafe awaited.places[Int(place)].transaction
        {
            let slot = unsafe Int(awaited.places[Int(place)].slot)
            awaited.give(place)
            if last > 0 { unsafe transaction.pointee.note(last, of: shard) }
            return unsafe heard(transaction, slot, bytes)
        }
        deliver(ticket) { shard, index, _ in
            _ = shard.writer(index)
            if unsafe !shard.append(index, bytes) { shard.close(index) }
        }
    }
}
