import Glibc
import Machine
import Wire

/// Replies on their way out: gathered in a chain of blocks, sent one block at a time.
///
/// A reply may be added to the very block whose beginning is being sent: the send covers a count
/// that was fixed when it began. The block goes back to the pool when all of it has left.
extension Shard {
    /// Whether a reply of `ShardSettings.replyRoomBytes` can be written now; takes a block if the
    /// last one is too full.
    mutating func ensureReplyRoom(_ index: UInt32) -> Bool {
        let connection = connections + Int(index)
        let last = connection.pointee.lastBlock
        if last != Connection.noBlock,
            BlockPool.blockBytes - Int(pool.links[Int(last)].end) >= ShardSettings.replyRoomBytes
        {
            return true
        }
        return addBlock(index)
    }

    private mutating func addBlock(_ index: UInt32) -> Bool {
        let connection = connections + Int(index)
        guard let block = pool.take(isFirst: connection.pointee.blockCount == 0) else {
            return false
        }
        pool.links[Int(block)] = BlockPool.Link(next: Connection.noBlock, start: 0, end: 0)
        if connection.pointee.lastBlock == Connection.noBlock {
            connection.pointee.firstBlock = block
        } else {
            pool.links[Int(connection.pointee.lastBlock)].next = block
        }
        connection.pointee.lastBlock = block
        connection.pointee.blockCount &+= 1
        return true
    }

    /// A writer over what is left of the last block, which `ensureReplyRoom` has provided.
    func writer(_ index: UInt32) -> ByteWriter {
        let last = connections[Int(index)].lastBlock
        let end = Int(pool.links[Int(last)].end)
        return ByteWriter(pool.bytes(of: last) + end, capacity: BlockPool.blockBytes - end)
    }

    /// Makes what was written part of the reply.
    mutating func commit(_ index: UInt32, _ writer: ByteWriter) {
        let connection = connections + Int(index)
        let link = pool.links + Int(connection.pointee.lastBlock)
        link.pointee.end &+= UInt32(truncatingIfNeeded: writer.count)
        guard !connection.pointee.flags.contains(.dirty) else { return }
        connection.pointee.flags.insert(.dirty)
        dirty.append(index)
    }

    /// Copies bytes behind what was written, over as many blocks as it takes. False: the pool is
    /// exhausted, and the reply can't be completed.
    mutating func append(_ index: UInt32, _ bytes: UnsafeRawBufferPointer) -> Bool {
        var at = 0
        while at < bytes.count {
            var writer = writer(index)
            if !writer.hasRoom(1) {
                guard addBlock(index) else { return false }
                continue
            }
            let count = min(writer.remaining, bytes.count - at)
            writer.write(UnsafeRawBufferPointer(rebasing: bytes[at..<at + count]))
            commit(index, writer)
            at += count
        }
        return true
    }

    /// Starts the next send, unless one is in flight.
    mutating func flush(_ index: UInt32) {
        let connection = connections + Int(index)
        while connection.pointee.state == .open,
            !connection.pointee.flags.contains(.sendInFlight),
            connection.pointee.firstBlock != Connection.noBlock
        {
            let block = connection.pointee.firstBlock
            let link = pool.links[Int(block)]
            let count = link.end &- link.start
            connection.pointee.sendCount = count
            let hasLeft = driver.send(
                index, UnsafePointer(pool.bytes(of: block) + Int(link.start)), count: Int(count))
            if hasLeft {
                dropSent(index)
                if connection.pointee.firstBlock == Connection.noBlock { outputLeft(index) }
            } else {
                connection.pointee.flags.insert(.sendInFlight)
                setDeadline(index, .send, after: ShardSettings.sendStallMs)
            }
        }
    }

    mutating func sent(_ index: UInt32, result: Int32) {
        let connection = connections + Int(index)
        connection.pointee.flags.remove(.sendInFlight)
        guard connection.pointee.state == .open else { return }
        if result < 0 { return close(index) }
        dropSent(index)
        if connection.pointee.firstBlock != Connection.noBlock {
            flush(index)
            // Half of the chain has left: the next requests may be answered.
            if connection.pointee.input.count > 0 || connection.pointee.phase == .streaming {
                outputLeft(index)
            }
        } else {
            outputLeft(index)
        }
    }

    /// There is room for more output: produces it, or serves what waited for it.
    private mutating func outputLeft(_ index: UInt32) {
        let connection = connections + Int(index)
        if connection.pointee.phase == .streaming { produce(index) }
        if connection.pointee.input.count > 0 {
            advance(index)
        } else {
            settle(index)
        }
    }

    private mutating func dropSent(_ index: UInt32) {
        let connection = connections + Int(index)
        let block = connection.pointee.firstBlock
        let link = pool.links + Int(block)
        link.pointee.start &+= connection.pointee.sendCount
        if link.pointee.start < link.pointee.end { return }
        connection.pointee.firstBlock = link.pointee.next
        if link.pointee.next == Connection.noBlock {
            connection.pointee.lastBlock = Connection.noBlock
        }
        connection.pointee.blockCount &-= 1
        pool.give(block)
    }

    mutating func releaseOutput(_ index: UInt32) {
        let connection = connections + Int(index)
        var block = connection.pointee.firstBlock
        while block != Connection.noBlock {
            let next = pool.links[Int(block)].next
            pool.give(block)
            block = next
        }
        connection.pointee.firstBlock = Connection.noBlock
        connection.pointee.lastBlock = Connection.noBlock
        connection.pointee.blockCount = 0
    }
}
