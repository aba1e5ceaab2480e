import Glibc
import Machine
import Synchronization
import Wire

/// Bodies that arrive in several pieces: memory of their own, under one budget for the node.
///
/// The memory grows with what has really come, not with what a Content-Length promises, so a peer
/// can't reserve ours by announcing a lot. A request that will be refused anyway has its body read
/// and thrown away, so that the connection can go on.
extension Shard {
    /// What a body gets at first; it doubles from there.
    private static let bodyBytesFirst = 16 * 1024

    mutating func beginBody(
        _ index: UInt32, _ bytes: UnsafeRawBufferPointer
    ) {
        let connection = unsafe connections + Int(index)
        let headCount = unsafe Int(head.pointee.headByteCount)
        let takesBody =
            unsafe !connection.pointee.flags.contains(.refused) && takesBody(head.pointee, bytes)
        if unsafe head.pointee.expectsContinue {
            // Whether a refused body comes is the peer's choice, so nobody could tell it from the
            // next request: the answer is final and ends the connection.
            guard takesBody else {
                unsafe connection.pointee.flags.insert(.closeAfterReply)
                let body = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
                return unsafe answer(index, Request(head: head, bytes: bytes, body: body))
            }
            if bytes.count == headCount {
                var writer = writer(index)
                writer.write(HTTPReplyHead.continueLine)
                commit(index, writer)
            }
        }

        let headBytes = UnsafeMutablePointer<UInt8>.allocate(capacity: headCount)
        unsafe UnsafeMutableRawPointer(headBytes).copyMemory(
            from: bytes.baseAddress.unsafelyUnwrapped, byteCount: headCount)
        var chunks: HTTPChunkedDecoder? = nil
        var remaining: UInt64 = 0
        switch unsafe head.pointee.body {
        case .chunked: chunks = HTTPChunkedDecoder()
        case .length(let length): remaining = length
        case .none: break
        }
        let request = UnsafeMutablePointer<ArrivingRequest>.allocate(capacity: 1)
        unsafe request.initialize(
            to: ArrivingRequest(
                headBytes: headBytes, head: head.pointee, chunks: chunks, body: nil, bodyCount: 0,
                bodyCapacity: 0, receivedCount: 0, discards: !takesBody, remaining: remaining,
                receivedBefore: 0))
        unsafe connection.pointee.arriving = unsafe request
        unsafe connection.pointee.phase = .body
    }

    /// Takes bytes of the body and answers how many; the request is answered with its last one.
    mutating func takeBody(
        _ index: UInt32, _ bytes: UnsafePointer<UInt8>, count: Int
    ) -> Int {
        let request = unsafe connections[Int(index)].arriving.unsafelyUnwrapped
        if unsafe request.pointee.chunks == nil {
            let here = unsafe Int(min(UInt64(count), request.pointee.remaining))
            unsafe request.pointee.remaining -= UInt64(here)
            unsafe request.pointee.receivedCount += here
            guard unsafe store(index, bytes, count: here) else { return count }
            if unsafe request.pointee.remaining == 0 { complete(index) }
            return here
        }
        var used = 0
        while true {
            let rest = unsafe UnsafeRawBufferPointer(start: bytes + used, count: count - used)
            let step = unsafe request.pointee.chunks!.decode(rest.bytes, limits: settings.limits)
            switch step {
            case .needMore:
                unsafe request.pointee.receivedCount += count
                return count
            case .data(let start, let size):
                guard unsafe store(index, bytes + used + start, count: size) else { return count }
                used += start + size
            case .end(let consumed):
                complete(index)
                return used + consumed
            case .violation(let violation):
                refuse(index, violation.status, violation.sentence)
                return count
            }
        }
    }

    /// False: the request was refused, and with it the rest of the input.
    private mutating func store(
        _ index: UInt32, _ bytes: UnsafePointer<UInt8>, count: Int
    ) -> Bool {
        let request = unsafe connections[Int(index)].arriving.unsafelyUnwrapped
        if unsafe request.pointee.discards || count == 0 { return true }
        let needed = unsafe request.pointee.bodyCount + count
        if unsafe needed > request.pointee.bodyCapacity, !growBody(index, to: needed) {
            return false
        }
        unsafe (request.pointee.body.unsafelyUnwrapped + request.pointee.bodyCount)
            .update(from: bytes, count: count)
        unsafe request.pointee.bodyCount = needed
        return true
    }

    private mutating func growBody(_ index: UInt32, to needed: Int) -> Bool {
        let request = unsafe connections[Int(index)].arriving.unsafelyUnwrapped
        let before = unsafe request.pointee.bodyCapacity
        var capacity = max(needed, 2 * before, Self.bodyBytesFirst)
        if case .length(let length) = unsafe request.pointee.head.body {
            // The parser has held the length against the bound, so it fits an Int.
            capacity = min(capacity, max(Int(length), needed))
        }
        let total = unsafe state.pointee.bodyBytes.add(capacity - before, ordering: .relaxed)
            .newValue
        if total > settings.bodyBudgetBytes {
            unsafe state.pointee.bodyBytes.subtract(capacity - before, ordering: .relaxed)
            refuse(
                index, .serviceUnavailable, "Too many request bodies are arriving at the same time")
            return false
        }
        let larger = unsafe realloc(request.pointee.body, capacity)
        unsafe invariant(larger != nil, "out of memory for a body of \(capacity) bytes")
        unsafe request.pointee.body = unsafe larger?.assumingMemoryBound(to: UInt8.self)
        unsafe request.pointee.bodyCapacity = capacity
        return true
    }

    /// The body is whole: answers the request.
    private mutating func complete(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        let request = unsafe connection.pointee.arriving.unsafelyUnwrapped
        unsafe connection.pointee.phase = .head
        unsafe connection.pointee.deadlineMeaning = .idle
        let headBytes = unsafe UnsafeRawBufferPointer(
            start: request.pointee.headBytes, count: Int(request.pointee.head.headByteCount))
        let body = unsafe UnsafeRawBufferPointer(
            start: request.pointee.body, count: request.pointee.bodyCount)
        unsafe answer(
            index,
            Request(
                head: request.pointer(to: \.head).unsafelyUnwrapped, bytes: headBytes, body: body))
        dropArriving(index)
    }

    mutating func dropArriving(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        guard let request = unsafe connection.pointee.arriving else { return }
        unsafe connection.pointee.arriving = nil
        if unsafe connection.pointee.phase == .body { unsafe connection.pointee.phase = .head }
        unsafe state.pointee.bodyBytes.subtract(request.pointee.bodyCapacity, ordering: .relaxed)
        unsafe request.pointee.headBytes.deallocate()
        unsafe free(request.pointee.body)
        unsafe request.deinitialize(count: 1)
        unsafe request.deallocate()
    }
}
