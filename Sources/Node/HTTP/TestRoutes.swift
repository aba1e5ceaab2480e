import Glibc
import Machine
import Wire

/// What the tests need a server to do before it has a use of its own for it: answers of any size,
/// streams, echoes, a crash. Only under `--test-routes`, and below a path no table can have.
extension Shard {
    mutating func routeTest(_ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape) {
        if request.path.equals("/_test/bytes") {
            guard isRead(index, request, shape) else { return }
            return replyFiller(index, shape, count: number(request, "n"))
        }
        if request.path.equals("/_test/stream") {
            guard isRead(index, request, shape) else { return }
            return replyStream(index, shape, count: number(request, "n"))
        }
        if request.path.equals("/_test/echo") { return replyEcho(index, request, shape) }
        if request.path.equals("/_test/shard") {
            guard isRead(index, request, shape) else { return }
            var body = InlineArray<32, UInt8>(repeating: 0)
            var span = body.mutableSpan
            unsafe span.withUnsafeMutableBufferPointer { place in
                var writer = unsafe ByteWriter(place.baseAddress.unsafelyUnwrapped, capacity: 32)
                writer.write("{\"shard\":")
                writer.write(decimal: UInt64(number))
                writer.write("}")
                unsafe reply(
                    index, shape, .ok, contentType: "application/json",
                    UnsafeRawBufferPointer(writer.written))
            }
            return
        }
        if request.path.equals("/_test/crash") { abort() }
        replyError(index, shape, .notFound, "There is nothing here")
    }

    private mutating func replyFiller(
        _ index: UInt32, _ shape: ReplyShape, count asked: UInt64
    ) {
        let count = min(asked, 8 << 20)
        var writer = beginReply(index, shape, .ok)
        HTTPReplyHead.field("Content-Type", "text/plain", into: &writer)
        HTTPReplyHead.framing(.length(count), into: &writer)
        HTTPReplyHead.finish(into: &writer)
        commit(index, writer)
        if shape.contains(.headOnly) { return }
        var left = Int(count)
        while left > 0 {
            let size = min(left, Self.filler.utf8CodeUnitCount)
            let bytes = unsafe UnsafeRawBufferPointer(start: Self.filler.utf8Start, count: size)
            guard unsafe append(index, bytes) else { return close(index) }
            left -= size
        }
    }

    private mutating func replyStream(
        _ index: UInt32, _ shape: ReplyShape, count: UInt64
    ) {
        let connection = unsafe connections + Int(index)
        let isFramed = !shape.contains(.version10)
        if !isFramed { unsafe connection.pointee.flags.formUnion([.unframed, .closeAfterReply]) }
        var writer = beginReply(index, isFramed ? shape : shape.union(.closes), .ok)
        HTTPReplyHead.field("Content-Type", "text/plain", into: &writer)
        if isFramed { HTTPReplyHead.framing(.chunked, into: &writer) }
        HTTPReplyHead.finish(into: &writer)
        commit(index, writer)
        if shape.contains(.headOnly) { return }
        unsafe connection.pointee.phase = .streaming
        unsafe connection.pointee.stream = .filler(count)
        produce(index)
    }

    private mutating func replyEcho(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape
    ) {
        guard request.method == .post || request.method == .put else {
            return replyNotAllowed(index, shape, allow: "OPTIONS, POST, PUT")
        }
        var writer = beginReply(index, shape, .ok)
        HTTPReplyHead.field("Content-Type", "application/octet-stream", into: &writer)
        unsafe HTTPReplyHead.framing(.length(UInt64(request.body.count)), into: &writer)
        HTTPReplyHead.finish(into: &writer)
        commit(index, writer)
        guard unsafe append(index, request.body) else { return close(index) }
    }

    mutating func produceFiller(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        guard case .filler(var left) = unsafe connection.pointee.stream else { return }
        while unsafe connection.pointee.blockCount < ShardSettings.streamBlocksMax {
            guard hasReplyRoom(index) else {
                unsafe connection.pointee.stream = .filler(left)
                return makeRunnable(index)
            }
            let isFramed = unsafe !connection.pointee.flags.contains(.unframed)
            if left == 0 {
                unsafe connection.pointee.stream = .none
                unsafe connection.pointee.phase = .head
                guard isFramed else { return }
                var writer = writer(index)
                HTTPChunkWriter.last(into: &writer)
                return commit(index, writer)
            }
            var writer = writer(index)
            let room = writer.remaining - HTTPChunkWriter.overheadMax
            let size = min(Int(min(left, UInt64(room))), Self.filler.utf8CodeUnitCount)
            if isFramed { HTTPChunkWriter.head(size, into: &writer) }
            unsafe writer.write(UnsafeRawBufferPointer(start: Self.filler.utf8Start, count: size))
            if isFramed { HTTPChunkWriter.tail(into: &writer) }
            commit(index, writer)
            left -= UInt64(size)
        }
        unsafe connection.pointee.stream = .filler(left)
    }

    /// The number that the query gives a name, or 0.
    private func number(_ request: borrowing Request, _ name: StaticString) -> UInt64 {
        let all = unsafe request.bytes.bytes
        var items = request.queryItems
        while let item = items.next(in: all) {
            guard all.slice(item.name).equals(name) else { continue }
            var value: UInt64 = 0
            let digits = all.slice(item.value)
            for place in 0..<min(digits.byteCount, 18) {
                let digit = unsafe digits.unsafeLoad(fromByteOffset: place, as: UInt8.self) &- 0x30
                guard digit < 10 else { return 0 }
                value = value * 10 + UInt64(digit)
            }
            return value
        }
        return 0
    }

    private static var filler: StaticString {
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    }
}
