import Glibc
import Machine

/// Bytes from the driver to the protocol, and what is kept of them in between.
///
/// Requests are understood right in the driver's receive buffer. Only what is left over (half a
/// request, or more than the connection's share of a turn) is copied into memory of the
/// connection's own.
extension Shard {
    mutating func received(_ index: UInt32, buffer: UInt16, count: Int) {
        let connection = unsafe connections + Int(index)
        let bytes = unsafe driver.bytes(ofBuffer: buffer)
        switch unsafe connection.pointee.state {
        case .open:
            if case .events = unsafe connection.pointee.stream, isHTTP(index) {
                // Nothing is asked on a stream: what its client says is read past.
                unsafe connection.pointee.lingered &+= UInt32(truncatingIfNeeded: count)
                if unsafe connection.pointee.lingered > ShardSettings.lingerBytesMax {
                    close(index)
                }
            } else if unsafe connection.pointee.input.count == 0, mayServe(index) {
                let used = unsafe serve(index, UnsafePointer(bytes), count: count)
                if used < count { unsafe keep(index, bytes + used, count: count - used) }
                settle(index)
            } else {
                unsafe keep(index, bytes, count: count)
                advance(index)
            }
        case .lingering:
            unsafe connection.pointee.lingered &+= UInt32(truncatingIfNeeded: count)
            if unsafe connection.pointee.lingered > ShardSettings.lingerBytesMax { close(index) }
        case .free, .closing: break
        }
        driver.recycle(buffer)
    }

    /// Goes on with input that is already here.
    mutating func advance(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        if unsafe connection.pointee.input.count > 0, mayServe(index) {
            let start =
                unsafe connection.pointee.input.base.unsafelyUnwrapped
                + Int(connection.pointee.input.start)
            let used = unsafe serve(
                index, UnsafePointer(start), count: connection.pointee.input.count)
            unsafe connection.pointee.input.start &+= UInt32(truncatingIfNeeded: used)
            if unsafe connection.pointee.input.count == 0 { releaseInput(index) }
        }
        settle(index)
    }

    /// Whether the connection's next request may be looked at now.
    mutating func mayServe(_ index: UInt32) -> Bool {
        let connection = unsafe connections + Int(index)
        return unsafe connection.pointee.flags.isDisjoint(with: [
            .closeAfterReply, .runnable, .gathering,
        ])
            && connection.pointee.phase != .streaming
            && connection.pointee.blockCount < ShardSettings.outputBlocksMax
            && connection.pointee.awaitedCount < settings.pipelineDepthMax
            && connection.pointee.asideBytes < ShardSettings.asideBytesMax
    }

    mutating func makeRunnable(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        guard unsafe !connection.pointee.flags.contains(.runnable) else { return }
        unsafe connection.pointee.flags.insert(.runnable)
        runnable.append(index)
    }

    /// Adds bytes to the connection's unread input. The driver stops reading from a peer once
    /// `inputPauseBytes` are here, so what can come on top is what was in its buffers already:
    /// one batch at most.
    private mutating func keep(
        _ index: UInt32, _ bytes: UnsafeMutablePointer<UInt8>, count: Int
    ) {
        let connection = unsafe connections + Int(index)
        // After a last reply nothing more is read, so nothing is kept for it.
        if unsafe connection.pointee.flags.contains(.closeAfterReply) { return }
        if unsafe connection.pointee.state != .open { return }
        guard makeRoom(index, for: count) else { return close(index) }
        let input = unsafe connection.pointee.input
        unsafe (input.base.unsafelyUnwrapped + Int(input.end)).update(from: bytes, count: count)
        unsafe connection.pointee.input.end = input.end &+ UInt32(truncatingIfNeeded: count)
    }

    /// Input takes a part of the pool only, which is for replies: else a crowd of half requests
    /// would silence everybody. Past it there is memory of the connection's own, under a budget of
    /// the shard's. False: that is used up.
    private mutating func makeRoom(_ index: UInt32, for count: Int) -> Bool {
        let connection = unsafe connections + Int(index)
        if unsafe connection.pointee.input.base == nil, count <= BlockPool.blockBytes,
            inputBlocks < pool.capacity / ShardSettings.inputShare,
            let block = pool.take(isFirst: false)
        {
            unsafe connection.pointee.input = unsafe Input(
                base: pool.bytes(of: block), capacity: UInt32(BlockPool.blockBytes), block: block)
            inputBlocks += 1
            return true
        }
        let input = unsafe connection.pointee.input
        if Int(input.capacity &- input.end) >= count { return true }
        let needed = input.count + count
        if needed <= Int(input.capacity), let base = unsafe input.base {
            unsafe base.update(from: base + Int(input.start), count: input.count)
        } else {
            let capacity = max(needed, 2 * Int(input.capacity))
            guard ownInputBytes + capacity <= ShardSettings.ownInputBytesMax else { return false }
            let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
            if let base = unsafe input.base {
                unsafe larger.update(from: base + Int(input.start), count: input.count)
            }
            releaseInput(index)
            ownInputBytes += capacity
            unsafe connection.pointee.input.base = unsafe larger
            unsafe connection.pointee.input.capacity = UInt32(truncatingIfNeeded: capacity)
        }
        unsafe connection.pointee.input.start = 0
        unsafe connection.pointee.input.end = UInt32(truncatingIfNeeded: input.count)
        return true
    }

    mutating func releaseInput(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        let input = unsafe connection.pointee.input
        guard let base = unsafe input.base else { return }
        if input.block != Connection.noBlock {
            pool.give(input.block)
            inputBlocks -= 1
        } else {
            ownInputBytes -= Int(input.capacity)
            unsafe base.deallocate()
        }
        unsafe connection.pointee.input = Input()
    }
}
