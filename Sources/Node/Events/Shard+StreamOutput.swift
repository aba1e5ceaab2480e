import Glibc
import Keyspace
import Machine
import Wire

/// What a stream is sent: parts of frames in a row, shared where every listener gets the same
/// bytes.
///
/// Small parts that wait are gathered into one before they are sent: copying 16 KiB costs less
/// than a second system call.
extension Shard {
    /// Parts smaller than this are gathered, up to so much at a time.
    private static let gatheredPieceMax = 4 * 1024
    private static let gatheredBytesMax = 16 * 1024
    /// What one send takes of a long frame, so that a slow reader shows that it reads.
    private static let sendBytesMax: UInt32 = 64 * 1024
    /// Data longer than this is shared also by streams whose ids are their own.
    private static let copiedDataMax = 8 * 1024
    private static let chunkRoom = 10

    /// Whether a stream may hold so many bytes more. One that holds nothing always may.
    mutating func canHold(_ stream: UnsafeMutablePointer<Stream>, _ count: Int) -> Bool {
        if unsafe stream.pointee.heldBytes == 0 { return true }
        return unsafe Int(stream.pointee.heldBytes) + count <= settings.streamBufferBytes
            && audience.frames.bytesInUse <= Audience.frameBytesMax
            && audience.pieces.count < Audience.piecesMax / 2
    }

    // MARK: Adding

    /// Adds a part of a frame, which the stream refers to from now on.
    private mutating func add(
        _ frame: UnsafeMutablePointer<Frame>, _ start: UInt32, _ end: UInt32, to number: UInt32
    ) {
        let stream = unsafe audience.streams.place(number)
        guard
            let piece = unsafe audience.pieces.take(
                Piece(next: Slab<Piece>.none, start: start, end: end, frame: frame))
        else { return unsafe close(stream.pointee.connection) }
        unsafe frame.pointee.references += 1
        if unsafe stream.pointee.lastPiece == Slab<Piece>.none {
            unsafe stream.pointee.firstPiece = piece
        } else {
            unsafe audience.pieces.place(stream.pointee.lastPiece).pointee.next = piece
        }
        unsafe stream.pointee.lastPiece = piece
        unsafe stream.pointee.heldBytes += end - start
        if unsafe !stream.pointee.flags.contains(.headWaits) {
            unsafe makeDirty(stream.pointee.connection)
        }
    }

    /// Tells a stream an event that it has not heard.
    mutating func push(_ frame: UnsafeMutablePointer<Frame>, to number: UInt32) {
        tally.eventsPushed &+= 1
        let stream = unsafe audience.streams.place(number)
        if unsafe stream.pointee.format == .webSocket {
            return unsafe pushMessage(frame, to: number)
        }
        let isShared =
            unsafe stream.pointee.flags.contains(.isCurrent) && stream.pointee.positions == nil
        if isShared {
            if unsafe stream.pointee.format == .chunked {
                return unsafe add(
                    frame, frame.pointee.chunkStart, frame.pointee.dataEnd + 2, to: number)
            }
            return unsafe add(frame, frame.pointee.textStart, frame.pointee.dataEnd, to: number)
        }
        let data = unsafe FramePool.data(frame)
        let withID = unsafe stream.pointee.flags.contains(.isCurrent)
        let skipped = unsafe frame.pointee.skipped
        guard data.count > Self.copiedDataMax else {
            return say(number, capacity: data.count + idRoom() + EventStream.laggedBytesMax) {
                shard, writer in
                if skipped > 0 { EventStream.lagged(UInt64(skipped), into: &writer) }
                if withID { shard.writeIDLine(number, into: &writer) }
                unsafe writer.write(data)
            }
        }
        // The id is the stream's own, the data everybody's.
        say(
            number, capacity: idRoom() + EventStream.laggedBytesMax, chunkBeyond: data.count
        ) { shard, writer in
            if skipped > 0 { EventStream.lagged(UInt64(skipped), into: &writer) }
            if withID { shard.writeIDLine(number, into: &writer) }
        }
        let tail: UInt32 = unsafe stream.pointee.format == .chunked ? 2 : 0
        unsafe add(frame, frame.pointee.dataStart, frame.pointee.dataEnd + tail, to: number)
    }

    /// Sends a stream bytes of its own, as one chunk where its answer has chunks. `chunkBeyond`
    /// counts data behind them that belongs to the same chunk and brings its end.
    mutating func say(
        _ number: UInt32, capacity: Int, chunkBeyond: Int = 0,
        _ write: (inout Shard, inout ByteWriter) -> Void
    ) {
        let frame = unsafe audience.frames.make(capacity + Self.chunkRoom + 2)
        let bytes = unsafe FramePool.bytes(frame)
        var writer = unsafe ByteWriter(bytes + Self.chunkRoom, capacity: capacity + 2)
        write(&self, &writer)
        var start = Self.chunkRoom
        if unsafe audience.streams.place(number).pointee.format == .chunked,
            writer.count + chunkBeyond > 0
        {
            var head = InlineArray<16, UInt8>(repeating: 0)
            var span = head.mutableSpan
            unsafe span.withUnsafeMutableBufferPointer { room in
                var headWriter = unsafe ByteWriter(
                    room.baseAddress.unsafelyUnwrapped, capacity: room.count)
                HTTPChunkWriter.head(writer.count + chunkBeyond, into: &headWriter)
                start -= headWriter.count
                unsafe (bytes + start).update(
                    from: room.baseAddress.unsafelyUnwrapped, count: headWriter.count)
            }
            if chunkBeyond == 0 { HTTPChunkWriter.tail(into: &writer) }
        }
        let end = Self.chunkRoom + writer.count
        if end > start { unsafe add(frame, UInt32(start), UInt32(end), to: number) }
        unsafe audience.frames.release(frame)
    }

    /// An event's JSON to one stream.
    mutating func say(
        _ number: UInt32, _ text: UnsafeRawBufferPointer, withID: Bool, skipped: UInt32 = 0
    ) {
        let capacity =
            text.count + idRoom() + EventStream.dataOverhead + EventStream.laggedBytesMax
        if unsafe audience.streams.place(number).pointee.format == .webSocket {
            if skipped > 0 { sayLagged(number, UInt64(skipped)) }
            return unsafe sayMessage(number, text, withID: withID)
        }
        say(number, capacity: capacity) { shard, writer in
            if skipped > 0 { EventStream.lagged(UInt64(skipped), into: &writer) }
            if withID { shard.writeIDLine(number, into: &writer) }
            unsafe EventStream.data(text, into: &writer)
        }
    }

    /// A message that is not an event: `reset`, `bye`.
    mutating func sayControl(_ number: UInt32, _ name: StaticString) {
        if unsafe audience.streams.place(number).pointee.format == .webSocket {
            return sayMessage(number, capacity: 64) { writer in
                writer.write("{\"event\":\"")
                writer.write(name)
                writer.write("\"}")
            }
        }
        say(number, capacity: 64) { EventStream.control(name, "{}", into: &$1) }
    }

    mutating func sayLagged(_ number: UInt32, _ skipped: UInt64) {
        if unsafe audience.streams.place(number).pointee.format == .webSocket {
            return sayMessage(number, capacity: 64) { writer in
                writer.write("{\"event\":\"lagged\",\"skipped\":")
                writer.write(decimal: skipped)
                writer.write("}")
            }
        }
        say(number, capacity: EventStream.laggedBytesMax) { EventStream.lagged(skipped, into: &$1) }
    }

    /// The position by itself: browsers remember it and deliver nothing.
    mutating func sayID(_ number: UInt32) {
        if unsafe audience.streams.place(number).pointee.format == .webSocket { return }
        say(number, capacity: idRoom() + 1) { shard, writer in
            shard.writeIDLine(number, into: &writer)
            writer.write(byte: 0x0A)
        }
    }

    mutating func sayHeartbeat(_ number: UInt32) {
        let frame = unsafe audience.heartbeat
        switch unsafe audience.streams.place(number).pointee.format {
        case .chunked: unsafe add(frame, 0, frame.pointee.dataEnd + 2, to: number)
        case .bare:
            unsafe add(frame, frame.pointee.textStart, frame.pointee.dataEnd, to: number)
        case .webSocket: break
        }
    }

    // MARK: Ids

    mutating func idRoom() -> Int {
        unsafe EventStream.idOverhead + EventID.bytesMax(positions: state.pointee.shardCount)
    }

    private mutating func writeIDLine(_ number: UInt32, into writer: inout ByteWriter) {
        writer.write("id: ")
        writeID(number, into: &writer)
        writer.write(byte: 0x0A)
    }

    mutating func writeID(_ number: UInt32, into writer: inout ByteWriter) {
        let stream = unsafe audience.streams.place(number)
        EventID.write(origin: audience.origin, into: &writer)
        guard let positions = unsafe stream.pointee.positions else {
            unsafe EventID.write(
                Int(stream.pointee.shard), stream.pointee.seq, isFirst: true, into: &writer)
            return
        }
        for shard in unsafe 0..<state.pointee.shardCount {
            unsafe EventID.write(shard, positions[shard], isFirst: shard == 0, into: &writer)
        }
    }

    // MARK: WebSocket

    /// An event that a WebSocket has not heard. Those that have heard the same of the one shard they
    /// listen to send the same bytes.
    private mutating func pushMessage(
        _ frame: UnsafeMutablePointer<Frame>, to number: UInt32
    ) {
        let stream = unsafe audience.streams.place(number)
        let isShared =
            unsafe stream.pointee.flags.contains(.isCurrent) && stream.pointee.positions == nil
        if unsafe frame.pointee.skipped > 0 {
            unsafe sayLagged(number, UInt64(frame.pointee.skipped))
        }
        guard isShared else {
            return unsafe sayMessage(
                number, FramePool.text(frame), withID: stream.pointee.flags.contains(.isCurrent))
        }
        if unsafe frame.pointee.message == nil {
            unsafe frame.pointee.message = unsafe makeMessage(
                FramePool.text(frame), withIDOf: number)
        }
        guard let message = unsafe frame.pointee.message else { return }
        unsafe add(message, message.pointee.textStart, message.pointee.dataEnd, to: number)
    }

    /// An event as a text message, its id as the first member.
    private mutating func sayMessage(
        _ number: UInt32, _ text: UnsafeRawBufferPointer, withID: Bool
    ) {
        guard withID else {
            return sayMessage(number, capacity: text.count) { unsafe $0.write(text) }
        }
        let message = unsafe makeMessage(text, withIDOf: number)
        unsafe add(message, message.pointee.textStart, message.pointee.dataEnd, to: number)
        unsafe audience.frames.release(message)
    }

    private mutating func makeMessage(
        _ text: UnsafeRawBufferPointer, withIDOf number: UInt32
    ) -> UnsafeMutablePointer<Frame> {
        unsafe makeMessage(capacity: text.count + idRoom() + 16) { shard, writer in
            writer.write("{\"id\":\"")
            shard.writeID(number, into: &writer)
            writer.write("\",")
            unsafe writer.write(UnsafeRawBufferPointer(rebasing: text[1...]))
        }
    }

    private mutating func sayMessage(
        _ number: UInt32, capacity: Int, _ write: (inout ByteWriter) -> Void
    ) {
        let message = unsafe makeMessage(capacity: capacity) { write(&$1) }
        unsafe add(message, message.pointee.textStart, message.pointee.dataEnd, to: number)
        unsafe audience.frames.release(message)
    }

    /// A text message in one frame of its own.
    private mutating func makeMessage(
        capacity: Int, _ write: (inout Shard, inout ByteWriter) -> Void
    ) -> UnsafeMutablePointer<Frame> {
        let headRoom = WebSocketFrame.headBytesMax
        let frame = unsafe audience.frames.make(capacity + headRoom)
        let bytes = unsafe FramePool.bytes(frame)
        var writer = unsafe ByteWriter(bytes + headRoom, capacity: capacity)
        write(&self, &writer)
        let headCount = WebSocketFrame.headCount(writer.count)
        let start = headRoom - headCount
        var head = unsafe ByteWriter(bytes + start, capacity: headCount)
        WebSocketFrame.head(.text, writer.count, into: &head)
        unsafe frame.pointee.textStart = UInt32(start)
        unsafe frame.pointee.dataEnd = UInt32(headRoom + writer.count)
        return unsafe frame
    }

    // MARK: Sending

    /// Starts the next send of a stream's connection, unless one is in flight.
    mutating func flushStream(_ index: UInt32, _ number: UInt32) {
        let connection = unsafe connections + Int(index)
        let stream = unsafe audience.streams.place(number)
        var share = settings.turnBytesMax
        while unsafe connection.pointee.state == .open,
            unsafe !connection.pointee.flags.contains(.sendInFlight)
        {
            let hasLeft: Bool
            if unsafe connection.pointee.firstBlock != Connection.noBlock,
                unsafe !stream.pointee.flags.contains(.midPiece)
            {
                hasLeft = sendBlock(index)
            } else if unsafe stream.pointee.firstPiece != Slab<Piece>.none,
                unsafe !stream.pointee.flags.contains(.headWaits)
            {
                hasLeft = sendPiece(index, number)
            } else {
                return streamDrained(index, number)
            }
            unsafe share &-= Int32(truncatingIfNeeded: connection.pointee.sendCount)
            guard hasLeft else { return }
            if share <= 0 { return makeDirty(index) }
        }
    }

    /// True: it has left already.
    private mutating func sendPiece(_ index: UInt32, _ number: UInt32) -> Bool {
        let connection = unsafe connections + Int(index)
        let stream = unsafe audience.streams.place(number)
        gatherPieces(number)
        let piece = unsafe audience.pieces.place(stream.pointee.firstPiece)
        let count = unsafe min(piece.pointee.end - piece.pointee.start, Self.sendBytesMax)
        unsafe connection.pointee.sendCount = count
        unsafe stream.pointee.flags.insert(.sendingPiece)
        let start = unsafe FramePool.bytes(piece.pointee.frame) + Int(piece.pointee.start)
        if unsafe driver.send(index, UnsafePointer(start), count: Int(count)) {
            pieceSent(index, number)
            return true
        }
        unsafe connection.pointee.flags.insert(.sendInFlight)
        let isEnding = unsafe stream.pointee.flags.contains(.ended)
        setDeadline(
            index, .send, after: isEnding ? ShardSettings.lingerMs : ShardSettings.sendStallMs)
        return false
    }

    /// What was sent of the first piece can go.
    private mutating func pieceSent(_ index: UInt32, _ number: UInt32) {
        let stream = unsafe audience.streams.place(number)
        let count = unsafe connections[Int(index)].sendCount
        unsafe stream.pointee.flags.remove(.sendingPiece)
        let piece = unsafe audience.pieces.place(stream.pointee.firstPiece)
        unsafe piece.pointee.start += count
        unsafe stream.pointee.heldBytes -= count
        tally.sentBytes &+= UInt64(count)
        tally.streamBytes &+= UInt64(count)
        if unsafe piece.pointee.start < piece.pointee.end {
            unsafe stream.pointee.flags.insert(.midPiece)
            return
        }
        unsafe stream.pointee.flags.remove(.midPiece)
        unsafe dropPiece(stream)
    }

    private mutating func dropPiece(_ stream: UnsafeMutablePointer<Stream>) {
        let number = unsafe stream.pointee.firstPiece
        let piece = unsafe audience.pieces.place(number).pointee
        unsafe stream.pointee.firstPiece = piece.next
        if piece.next == Slab<Piece>.none { unsafe stream.pointee.lastPiece = Slab<Piece>.none }
        unsafe audience.frames.release(piece.frame)
        audience.pieces.give(number)
    }

    /// Makes one of several small parts at the front.
    private mutating func gatherPieces(_ number: UInt32) {
        let stream = unsafe audience.streams.place(number)
        var count = 0
        var total = 0
        var at = unsafe stream.pointee.firstPiece
        while at != Slab<Piece>.none {
            let piece = unsafe audience.pieces.place(at).pointee
            let size = Int(piece.end - piece.start)
            guard size <= Self.gatheredPieceMax, total + size <= Self.gatheredBytesMax else {
                break
            }
            count += 1
            total += size
            at = piece.next
        }
        guard count > 1 else { return }
        let frame = unsafe audience.frames.make(total)
        var writer = unsafe ByteWriter(FramePool.bytes(frame), capacity: total)
        for _ in 0..<count {
            let piece = unsafe audience.pieces.place(stream.pointee.firstPiece).pointee
            let start = unsafe FramePool.bytes(piece.frame) + Int(piece.start)
            unsafe writer.write(
                UnsafeRawBufferPointer(start: start, count: Int(piece.end - piece.start)))
            unsafe dropPiece(stream)
        }
        // The places just given back are there to be taken.
        let piece = unsafe audience.pieces.take(
            Piece(
                next: stream.pointee.firstPiece, start: 0, end: UInt32(total), frame: frame))
        unsafe stream.pointee.firstPiece = piece.unsafelyUnwrapped
        if unsafe stream.pointee.lastPiece == Slab<Piece>.none {
            unsafe stream.pointee.lastPiece = piece.unsafelyUnwrapped
        }
    }

    /// The driver has sent what it was given.
    mutating func streamSent(_ index: UInt32, _ number: UInt32) {
        if unsafe audience.streams.place(number).pointee.flags.contains(.sendingPiece) {
            pieceSent(index, number)
        } else {
            dropSent(index)
        }
        flushStream(index, number)
    }

    mutating func releasePieces(_ number: UInt32) {
        let stream = unsafe audience.streams.place(number)
        while unsafe stream.pointee.firstPiece != Slab<Piece>.none { unsafe dropPiece(stream) }
        unsafe stream.pointee.heldBytes = 0
    }

    /// Everything has been sent.
    private mutating func streamDrained(_ index: UInt32, _ number: UInt32) {
        let stream = unsafe audience.streams.place(number)
        if unsafe stream.pointee.flags.contains(.ended) { return finishStream(index) }
        if unsafe stream.pointee.pending > 0 || stream.pointee.skipped > 0 { goOn(number) }
        // The client of a WebSocket goes on asking.
        guard isHTTP(index) else { return outputLeft(index) }
        if unsafe connections[Int(index)].deadlineMeaning != .beat {
            setStreamDeadline(index, number)
        }
    }
}
