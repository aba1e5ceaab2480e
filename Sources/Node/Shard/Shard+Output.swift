import Glibc
import Machine
import Wire

/// Replies on their way out: gathered in a chain of blocks, sent one block at a time.
///
/// A reply may be added to the very block whose beginning is being sent: the send covers a count
/// that was fixed when it began. The block goes back to the pool when all of it has left.
extension Shard {
    /// Whether a reply of `ShardSettings.replyRoomBytes` can be written now.
    mutating func hasReplyRoom(_ index: UInt32) -> Bool {
        if unsafe connections[Int(index)].flags.contains(.diverted) { return awaited.hasFree }
        return unsafe lastBlockHasRoom(index)
            || pool.canTake(isFirst: connections[Int(index)].blockCount == 0)
    }

    @inline(__always)
    private mutating func lastBlockHasRoom(_ index: UInt32) -> Bool {
        let last = unsafe connections[Int(index)].lastBlock
        return unsafe last != Connection.noBlock
            && BlockPool.blockBytes - Int(pool.links[Int(last)].end)
                >= ShardSettings.replyRoomBytes
    }

    private mutating func addBlock(_ index: UInt32) -> Bool {
        let connection = unsafe connections + Int(index)
        guard let block = unsafe pool.take(isFirst: connection.pointee.blockCount == 0) else {
            return false
        }
        let start = BlockPool.firstByte(of: block)
        unsafe pool.links[Int(block)] = BlockPool.Link(
            next: Connection.noBlock, start: start, end: start)
        if unsafe connection.pointee.lastBlock == Connection.noBlock {
            unsafe connection.pointee.firstBlock = block
        } else {
            unsafe pool.links[Int(connection.pointee.lastBlock)].next = block
        }
        unsafe connection.pointee.lastBlock = block
        unsafe connection.pointee.blockCount &+= 1
        return true
    }

    /// A writer with room for a reply: over what is left of the last block, or a new one. Whoever
    /// asks for it writes and commits: a block without bytes would be sent as such.
    ///
    /// Where earlier requests of the connection still wait for their answers, it is room of the
    /// shard's own, and `commit` lays the reply aside until it is its turn.
    mutating func writer(_ index: UInt32) -> ByteWriter {
        if unsafe connections[Int(index)].flags.contains(.diverted) {
            return unsafe ByteWriter(aside, capacity: BlockPool.blockBytes)
        }
        if !lastBlockHasRoom(index) {
            let added = addBlock(index)
            invariant(added, "a reply was begun without room for it")
        }
        return restOfLastBlock(index)
    }

    private mutating func restOfLastBlock(_ index: UInt32) -> ByteWriter {
        let last = unsafe connections[Int(index)].lastBlock
        let end = unsafe Int(pool.links[Int(last)].end)
        return unsafe ByteWriter(pool.bytes(of: last) + end, capacity: BlockPool.blockBytes - end)
    }

    /// Makes what was written part of the reply.
    mutating func commit(_ index: UInt32, _ writer: ByteWriter) {
        let connection = unsafe connections + Int(index)
        if unsafe connection.pointee.flags.contains(.diverted) {
            return unsafe layAside(index, UnsafeRawBufferPointer(writer.written))
        }
        let link = unsafe pool.links + Int(connection.pointee.lastBlock)
        unsafe link.pointee.end &+= UInt32(truncatingIfNeeded: writer.count)
        makeDirty(index)
    }

    mutating func makeDirty(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        guard unsafe !connection.pointee.flags.contains(.dirty) else { return }
        unsafe connection.pointee.flags.insert(.dirty)
        dirty.append(index)
    }

    /// Copies bytes behind what was written, over as many blocks as it takes. False: the pool is
    /// exhausted, and the reply can't be completed.
    mutating func append(_ index: UInt32, _ bytes: UnsafeRawBufferPointer) -> Bool {
        if unsafe connections[Int(index)].flags.contains(.diverted) {
            unsafe layAside(index, bytes)
            return true
        }
        var at = 0
        while at < bytes.count {
            var writer = restOfLastBlock(index)
            if !writer.hasRoom(1) {
                guard addBlock(index) else { return false }
                continue
            }
            let count = min(writer.remaining, bytes.count - at)
            unsafe writer.write(UnsafeRawBufferPointer(rebasing: bytes[at..<at + count]))
            commit(index, writer)
            at += count
        }
        return true
    }

    /// Sends what this turn has made for each connection, after the commit point.
    mutating func flushDirty() {
        let isDue = uncork()
        // What is produced while flushing has its turn in the next round, with everybody else's.
        var turns = dirty.count
        while turns > 0, let index = dirty.popFirst() {
            turns -= 1
            goOnSyncing()
            let connection = unsafe connections + Int(index)
            unsafe connection.pointee.flags.remove(.dirty)
            if !isDue, mayWaitForOthers(index) {
                cork(index)
            } else {
                flush(index)
            }
        }
    }

    /// Starts the next send, unless one is in flight. What follows from all being sent, the next
    /// piece of a stream or the next requests, is sent in the next turn: a reader who takes
    /// everything at once must not keep us from the others. For the same reason a long reply goes
    /// in shares: a megabyte into each of a thousand sockets is a turn of seconds.
    mutating func flush(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        if case .events(let number) = unsafe connection.pointee.stream {
            return flushStream(index, number)
        }
        var share = settings.turnBytesMax
        if unsafe connection.pointee.isGreedy { share /= ShardSettings.greedyPart }
        while unsafe connection.pointee.state == .open,
            unsafe !connection.pointee.flags.contains(.sendInFlight),
            unsafe connection.pointee.firstBlock != Connection.noBlock
        {
            guard sendBlock(index) else { return }
            if unsafe connection.pointee.firstBlock == Connection.noBlock {
                return outputLeft(index)
            }
            unsafe share &-= Int32(truncatingIfNeeded: connection.pointee.sendCount)
            if share <= 0 { return makeDirty(index) }
        }
    }

    /// Sends the first block. True: it has left already; else the send is in flight.
    mutating func sendBlock(_ index: UInt32) -> Bool {
        let connection = unsafe connections + Int(index)
        let block = unsafe connection.pointee.firstBlock
        let link = unsafe pool.links[Int(block)]
        let count = link.end &- link.start
        unsafe connection.pointee.sendCount = count
        let hasLeft = unsafe driver.send(
            index, UnsafePointer(pool.bytes(of: block) + Int(link.start)), count: Int(count))
        if hasLeft {
            dropSent(index)
        } else {
            unsafe connection.pointee.flags.insert(.sendInFlight)
            setDeadline(index, .send, after: ShardSettings.sendStallMs)
        }
        return hasLeft
    }

    mutating func sent(_ index: UInt32, result: Int32) {
        let connection = unsafe connections + Int(index)
        unsafe connection.pointee.flags.remove(.sendInFlight)
        guard unsafe connection.pointee.state == .open else { return }
        if result < 0 { return close(index) }
        if case .events(let number) = unsafe connection.pointee.stream {
            return streamSent(index, number)
        }
        dropSent(index)
        if unsafe connection.pointee.firstBlock != Connection.noBlock {
            // Not at once: what follows may be the answer to a write of this very turn, which
            // leaves after the commit point.
            makeDirty(index)
            // Half of the chain has left: the next requests may be answered.
            if unsafe connection.pointee.input.count > 0 || connection.pointee.phase == .streaming {
                outputLeft(index)
            }
        } else {
            outputLeft(index)
        }
    }

    /// There is room for more output: produces it, or serves what waited for it.
    mutating func outputLeft(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        if unsafe connection.pointee.phase == .streaming || listing(of: index) != nil {
            produce(index)
        }
        if unsafe connection.pointee.input.count > 0 {
            advance(index)
        } else {
            settle(index)
        }
    }

    /// Goes on with an answer that is produced as its reader takes it: up to a few blocks ahead.
    mutating func produce(_ index: UInt32) {
        if let listing = unsafe listing(of: index) { return unsafe goOnListing(index, listing) }
        if case .filler = unsafe connections[Int(index)].stream { produceFiller(index) }
    }

    mutating func dropSent(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        let block = unsafe connection.pointee.firstBlock
        let link = unsafe pool.links + Int(block)
        unsafe link.pointee.start &+= connection.pointee.sendCount
        unsafe tally.sentBytes &+= UInt64(connection.pointee.sendCount)
        if unsafe link.pointee.start < link.pointee.end { return }
        unsafe connection.pointee.firstBlock = unsafe link.pointee.next
        if unsafe link.pointee.next == Connection.noBlock {
            unsafe connection.pointee.lastBlock = Connection.noBlock
        }
        unsafe connection.pointee.blockCount &-= 1
        pool.give(block)
    }

    mutating func releaseOutput(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        var block = unsafe connection.pointee.firstBlock
        while block != Connection.noBlock {
            let next = unsafe pool.links[Int(block)].next
            pool.give(block)
            block = next
        }
        unsafe connection.pointee.firstBlock = Connection.noBlock
        unsafe connection.pointee.lastBlock = Connection.noBlock
        unsafe connection.pointee.blockCount = 0
    }

    // MARK: Replies that wait for those in between

    /// Some of a pipeline's answers come from other shards, a moment later. What is ready before the
    /// first of them is little, and waits for them so that one send does for all: a millisecond or
    /// two at most.
    private mutating func mayWaitForOthers(_ index: UInt32) -> Bool {
        let connection = unsafe connections + Int(index)
        guard unsafe connection.pointee.flags.contains(.diverted),
            unsafe !connection.pointee.flags.contains(.sendInFlight),
            unsafe connection.pointee.blockCount == 1
        else { return false }
        let link = unsafe pool.links[Int(connection.pointee.firstBlock)]
        return link.end &- link.start <= ShardSettings.corkedBytesMax
    }

    private mutating func cork(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        guard unsafe !connection.pointee.flags.contains(.corked) else { return }
        unsafe connection.pointee.flags.insert(.corked)
        corked.append(index)
        if corkDueMs == nil { corkDueMs = nowMs + ShardSettings.corkedMs }
    }

    /// Whether the time is over, in which case all that wait are to be sent.
    private mutating func uncork() -> Bool {
        guard let due = corkDueMs, nowMs >= due else { return false }
        corkDueMs = nil
        while let index = corked.popFirst() {
            let connection = unsafe connections + Int(index)
            unsafe connection.pointee.flags.remove(.corked)
            if unsafe connection.pointee.state == .open,
                unsafe connection.pointee.firstBlock != Connection.noBlock
            {
                makeDirty(index)
            }
        }
        return true
    }
}
