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
            return unsafe say(
                number, FramePool.text(frame), withID: stream.pointee.flags.contains(.isCurrent),
                skipped: frame.pointee.skipped)
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
        case .webSocket:
            say(number, capacity: 2) { _, writer in
                writer.write(byte: 0x89)
                writer.write(byte: 0)
            }
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

    /// An event as a text message, its id as the first member.
    private mutating func sayMessage(
        _ number: UInt32, _ text: UnsafeRawBufferPointer, withID: Bool
    ) {
        guard withID else {
            return sayMessage(number, capacity: text.count) { unsafe $0.write(text) }
        }
        var id = InlineArray<512, UInt8>(repeating: 0)
        var idCount = 0
        var span = id.mutableSpan
        unsafe span.withUnsafeMutableBufferPointer { room in
            var writer = unsafe ByteWriter(
                room.baseAddress.unsafelyUnwrapped, capacity: room.count)
            if idRoom() <= room.count {
                writeID(number, into: &writer)
                idCount = writer.count
            }
        }
        sayMessage(number, capacity: text.count + idCount + 16) { writer in
            writer.write("{\"id\":\"")
            unsafe id.span.withUnsafeBytes {
                unsafe writer.write(UnsafeRawBufferPointer(rebasing: $0[..<idCount]))
            }
            writer.write("\",")
            unsafe writer.write(UnsafeRawBufferPointer(rebasing: text[1...]))
        }
    }

    /// A text message (RFC 6455 5.2): one unmasked frame.
    mutating func sayMessage(
        _ number: UInt32, capacity: Int, _ write: (inout ByteWriter) -> Void
    ) {
        let headRoom = 10
        let frame = unsafe audience.frames.make(capacity + headRoom)
        let bytes = unsafe FramePool.bytes(frame)
        var writer = unsafe ByteWriter(bytes + headRoom, capacity: capacity)
        write(&writer)
        let count = writer.count
        let headCount = count < 126 ? 2 : count <= 0xFFFF ? 4 : 10
        let start = headRoom - headCount
        var head = unsafe ByteWriter(bytes + start, capacity: headCount)
        head.write(byte: 0x81)
        switch headCount {
        case 2: head.write(byte: UInt8(count))
        case 4:
            head.write(byte: 126)
            head.write(byte: UInt8(count >> 8))
            head.write(byte: UInt8(count & 0xFF))
        default:
            head.write(byte: 127)
            for shift in stride(from: 56, through: 0, by: -8) {
                head.write(byte: UInt8(truncatingIfNeeded: count >> shift))
            }
        }
        unsafe add(frame, UInt32(start), UInt32(headRoom + count), to: number)
        unsafe audience.frames.release(frame)
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
            if unsafe connection.pointee.firstBlock != Connection.noBlock {
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
        setDeadline(index, .send, after: ShardSettings.sendStallMs)
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
        if unsafe piece.pointee.start == piece.pointee.end { unsafe dropPiece(stream) }
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
        if unsafe connections[Int(index)].deadlineMeaning != .beat {
            setStreamDeadline(index, number)
        }
    }
}
