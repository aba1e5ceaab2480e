import Keyspace
import Machine
import Synchronization
import Wire

/// Commands out of bytes, replies into blocks: the RESP session of a connection.
///
/// A pipeline is worked off in one go: replies made here are gathered and go into the connection's
/// output together. Commands for other shards leave as messages, each with a place in the order of
/// replies.
extension Shard {
    /// What may be gathered before it is handed to the connection.
    private static var gatheredBytesMax: Int { 32 * 1024 }
    /// A command of which this much is here, or is known to be missing, gets memory of its own.
    private static var gatherFrom: Int { 4096 }
    /// Commands whose records are fetched ahead; at most `fetchedAheadMax`, which there is room for.
    private static var lookedAheadMax: Int { 32 }

    // MARK: The session

    mutating func makeSession(_ index: UInt32) -> UnsafeMutablePointer<RESPSession> {
        let connection = unsafe connections + Int(index)
        let fd = driver.fd(of: index)
        let peer = SocketAddress.peer(of: fd)
        let name: StaticString = "default"
        let table = unsafe table(
            UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount),
            adding: true)
        let state = unsafe resp
        let id = unsafe state.pointee.nextID
        unsafe state.pointee.nextID += UInt64(self.state.pointee.shardCount)
        let isInline = unsafe connection.pointee.flags.contains(.respListener)
        let session = UnsafeMutablePointer<RESPSession>.allocate(capacity: 1)
        let isTrusted =
            (peer?.isLoopback ?? false)
            && (isInline ? settings.respListenerIsLoopback : settings.listenerIsLoopback)
        unsafe session.initialize(
            to: RESPSession(
                id: id, context: RESPContext(table: table ?? ReservedTable.count),
                isTrusted: isTrusted, address: peer?.text ?? "?:0",
                local: SocketAddress.local(of: fd)?.text ?? "?:0", nowMs: nowMs))
        unsafe setLimits(&session.pointee, allowsInline: isInline)
        unsafe state.pointee.sessions.append(index)
        return unsafe session
    }

    /// What a client may send follows from whether it is served.
    mutating func setLimits(_ session: inout RESPSession, allowsInline: Bool) {
        session.limits = session.isServed ? RESPLimits() : RESPLimits.stranger
        session.limits.allowsInline = allowsInline
        if session.isServed { session.limits.bulkBytesMax = settings.valueBytesMax }
    }

    mutating func endSession(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        guard let session = unsafe connection.pointee.resp else { return }
        dropArrivingCommand(index)
        unsafe dropSubscriptions(index, session)
        unsafe connection.pointee.session = .unknown
        unsafe session.deinitialize(count: 1)
        unsafe session.deallocate()
        let state = unsafe resp
        if let place = unsafe state.pointee.sessions.firstIndex(of: index) {
            let last = unsafe state.pointee.sessions.count - 1
            unsafe state.pointee.sessions.swapAt(place, last)
            unsafe state.pointee.sessions.removeLast()
        }
    }

    // MARK: Bytes

    /// Works off commands and answers how many bytes were used; 0 when more are needed.
    mutating func takeCommands(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>,
        _ bytes: UnsafePointer<UInt8>, count: Int
    ) -> Int {
        let connection = unsafe connections + Int(index)
        if unsafe session.pointee.arriving != nil {
            return unsafe goOnArriving(index, session, bytes, count)
        }
        let state = unsafe resp
        if unsafe self.state.pointee.shardCount == 1 {
            unsafe lookAhead(
                UnsafeRawBufferPointer(start: bytes, count: count), session.pointee.context.table)
        }
        var used = 0
        working: while used < count {
            let rest = unsafe UnsafeRawBufferPointer(start: bytes + used, count: count - used)
            var parser = RESPRequestParser()
            switch unsafe parser.parse(
                rest, session.pointee.limits, into: &state.pointee.arguments)
            {
            case .needMore(let missing):
                guard max(rest.count, missing) >= Self.gatherFrom else { break working }
                unsafe session.pointee.arriving = .allocate(capacity: 1)
                unsafe session.pointee.arriving?.initialize(
                    to: ArrivingCommand(capacity: Self.gatherFrom * 4))
                used += unsafe goOnArriving(index, session, bytes + used, rest.count)
                break working
            case .violation(let violation):
                unsafe violation.write(into: &state.pointee.out)
                unsafe connection.pointee.flags.insert(.closeAfterReply)
                used = count
                break working
            case .command(let size):
                let words = unsafe state.pointee.arguments.words(
                    of: rest.baseAddress.unsafelyUnwrapped)
                if words.count > 0, unsafe !command(index, session, words) {
                    makeRunnable(index)
                    break working
                }
                used += size
            }
            unsafe connection.pointee.turnRequests &-= 1
            guard unsafe connection.pointee.turnRequests > 0, unsafe mayGoOn(index, session) else {
                break
            }
        }
        flushReplies(index)
        return used
    }

    /// Has the processor fetch the records of a pipeline's commands, side by side, before the first is
    /// carried out. A lone command has nothing to wait for meanwhile.
    @inline(__always)
    private mutating func lookAhead(_ bytes: UnsafeRawBufferPointer, _ table: TableNumber) {
        guard let (first, next) = unsafe RESPLookahead.key(bytes, at: 0), next < bytes.count
        else { return }
        var (key, at) = (first, next)
        let hashes = unsafe aheadHashes
        var count = 0
        while true {
            let name = unsafe UnsafeRawBufferPointer(rebasing: bytes[key])
            let hash = unsafe keyspace.hashing.hash(table, name)
            keyspace.prepare(hash)
            unsafe hashes[count] = hash
            count &+= 1
            guard count < Self.lookedAheadMax,
                let (following, end) = unsafe RESPLookahead.key(bytes, at: at)
            else { break }
            (key, at) = (following, end)
        }
        for place in 0..<count { unsafe keyspace.fetch(hashes[place]) }
    }

    /// Whether the pipeline's next command may be looked at in this go.
    @inline(__always)
    private mutating func mayGoOn(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>
    ) -> Bool {
        if unsafe resp.pointee.out.count > Self.gatheredBytesMax { return false }
        if unsafe connections[Int(index)].flags.isDisjoint(with: [.diverted, .gathering]) {
            return unsafe !connections[Int(index)].flags.contains(.closeAfterReply)
        }
        return mayServe(index) && hasReplyRoom(index) && awaited.hasFreeForRequest
    }

    /// A command that is longer than what came at once: its bytes are gathered, under the budget
    /// of all request bodies.
    private mutating func goOnArriving(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>,
        _ bytes: UnsafePointer<UInt8>, _ count: Int
    ) -> Int {
        let connection = unsafe connections + Int(index)
        let state = unsafe resp
        let arriving = unsafe session.pointee.arriving.unsafelyUnwrapped
        if unsafe arriving.pointee.count + count > arriving.pointee.capacity {
            let capacity = unsafe max(
                arriving.pointee.count + count, 2 * arriving.pointee.capacity)
            let more = unsafe capacity - arriving.pointee.capacity
            let total = unsafe self.state.pointee.bodyBytes.add(more, ordering: .relaxed).newValue
            guard total <= settings.bodyBudgetBytes else {
                unsafe self.state.pointee.bodyBytes.subtract(more, ordering: .relaxed)
                unsafe state.pointee.out.error(
                    "ERR Too many long commands are arriving at the same time")
                unsafe connection.pointee.flags.insert(.closeAfterReply)
                flushReplies(index)
                return count
            }
            unsafe arriving.pointee.grow(to: capacity)
        }
        unsafe (arriving.pointee.bytes + arriving.pointee.count).update(from: bytes, count: count)
        unsafe arriving.pointee.count += count
        let here = unsafe UnsafeRawBufferPointer(
            start: arriving.pointee.bytes, count: arriving.pointee.count)
        let step = unsafe arriving.pointee.parser.parse(
            here, session.pointee.limits, into: &arriving.pointee.arguments)
        switch step {
        case .needMore: return count
        case .violation(let violation):
            unsafe violation.write(into: &state.pointee.out)
            unsafe connection.pointee.flags.insert(.closeAfterReply)
            flushReplies(index)
            return count
        case .command(let size):
            unsafe connection.pointee.turnRequests &-= 1
            let words = unsafe arriving.pointee.arguments.words(
                of: here.baseAddress.unsafelyUnwrapped)
            unsafe state.pointee.mustSend = true
            if words.count > 0 { _ = unsafe command(index, session, words) }
            unsafe state.pointee.mustSend = false
            flushReplies(index)
            let left = here.count - size
            dropArrivingCommand(index)
            return count - left
        }
    }

    private mutating func dropArrivingCommand(_ index: UInt32) {
        guard let session = unsafe connections[Int(index)].resp,
            let arriving = unsafe session.pointee.arriving
        else { return }
        let counted = unsafe arriving.pointee.capacity - Self.gatherFrom * 4
        unsafe state.pointee.bodyBytes.subtract(counted, ordering: .relaxed)
        unsafe session.pointee.arriving = nil
        unsafe arriving.deinitialize(count: 1)
        unsafe arriving.deallocate()
    }

    mutating func refuseCommands(_ index: UInt32, _ count: Int) -> Int {
        let connection = unsafe connections + Int(index)
        unsafe connection.pointee.flags.insert(.closeAfterReply)
        let resp = unsafe resp
        unsafe resp.pointee.out.error("ERR max number of clients reached")
        flushReplies(index)
        return count
    }

    // MARK: Replies

    /// Hands what was gathered to the connection; what tells of a write that is not safe yet is
    /// held back until it is.
    mutating func flushReplies(_ index: UInt32) {
        let state = unsafe resp
        guard unsafe state.pointee.out.count > 0 else { return }
        let told = unsafe state.pointee.told
        if commitPoint.waitsForDisk, commitPoint.mustHold(told) {
            guard awaited.hasFree else {
                unsafe state.pointee.told = 0
                unsafe state.pointee.out.removeAll()
                return close(index)
            }
            let ticket = awaitAnswer(index, [])
            unsafe holdReply(state.pointee.out.written, telling: told, to: number, ticket: ticket)
        } else if hasReplyRoom(index) {
            if told > 0 {
                let connection = unsafe connections + Int(index)
                unsafe connection.pointee.toldTurn = turn
            }
            _ = writer(index)
            if unsafe !append(index, state.pointee.out.written) { close(index) }
        } else {
            close(index)
        }
        unsafe state.pointee.told = 0
        unsafe state.pointee.out.removeAll()
    }
}
