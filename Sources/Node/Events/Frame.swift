import Keyspace
import Machine
import Wire

/// One event on its way to a shard's listeners: counted, and immutable once it is dressed.
///
/// The head is followed by the event's bytes: its key; room for what stands before the data, which
/// is known only when its turn comes; and the data line as a stream sends it. All streams that
/// send the same bytes send these.
///
/// ```
/// key │ … chunk head · lagged · id line │ data: {…}⏎⏎ │ chunk end
///       ▲ chunkStart  ▲ textStart ▲ idStart  ▲ dataStart   ▲ dataEnd
/// ```
@safe struct Frame {
    /// The room before the data: a chunk's head, `lagged`, and an id with one position.
    static let roomBefore = 160
    static let dataPrefix = 6
    static let dataSuffix = 2

    var references: UInt32 = 1
    var sizeClass: UInt8
    var isDressed = false
    var kind = Change.Kind.updated
    /// The shard it came from.
    var from: UInt16 = 0
    var keyCount: UInt16 = 0
    var table: TableNumber = 0
    var owner = RecordOwner.anonymous
    /// Events of its key that were left out because this one came before they were sent.
    var skipped: UInt32 = 0
    var seq: UInt64 = 0
    var hash: UInt64 = 0
    var atNs: UInt64 = 0
    /// When it was put in the queue.
    var queuedMs: UInt64 = 0
    var chunkStart: UInt32 = 0
    var textStart: UInt32 = 0
    var idStart: UInt32 = 0
    var dataStart: UInt32 = 0
    var dataEnd: UInt32 = 0
    var byteCount: Int
    /// The same event as a WebSocket message, made when first asked for.
    var message: UnsafeMutablePointer<Frame>? = nil
}

/// A part of a frame that a stream has to send.
@safe struct Piece: BitwiseCopyable {
    var next: UInt32
    var start: UInt32
    var end: UInt32
    let frame: UnsafeMutablePointer<Frame>
}

/// Memory for frames, in sizes of powers of two, so that a stream of events allocates nothing.
@safe struct FramePool: ~Copyable {
    private static let classes = 10
    private static let smallestBits = 8
    /// Free frames of one size that are kept, and those that are kept however long they lie unused.
    private static let keptBytesMax = 512 << 10
    private static let warmBytesMax = 4 << 10
    private static let unpooled: UInt8 = 255

    private var free: InlineArray<10, UnsafeMutableRawPointer?> = unsafe .init(repeating: nil)
    private var freeCounts: InlineArray<10, Int> = .init(repeating: 0)
    /// The fewest there were since the last look: so many were not needed since.
    private var fewest: InlineArray<10, Int> = .init(repeating: 0)
    /// The classes that have more free frames than are kept for good, a bit each.
    private var warmClasses: UInt16 = 0
    /// What all frames in use take.
    private(set) var bytesInUse = 0

    static let headBytes = (MemoryLayout<Frame>.size + 7) & ~7

    @unsafe static func bytes(_ frame: UnsafeMutablePointer<Frame>) -> UnsafeMutablePointer<UInt8> {
        unsafe (UnsafeMutableRawPointer(frame) + headBytes).assumingMemoryBound(to: UInt8.self)
    }

    /// A frame with room for so many bytes behind its head; the caller is its first reference.
    mutating func make(_ byteCount: Int) -> UnsafeMutablePointer<Frame> {
        let wanted = byteCount + Self.headBytes
        let bits = max(
            Self.smallestBits, Int.bitWidth - (wanted - 1).leadingZeroBitCount)
        let sizeClass = bits - Self.smallestBits
        let memory: UnsafeMutableRawPointer
        var total = wanted
        if sizeClass < Self.classes {
            total = 1 << bits
            if let kept = unsafe free[sizeClass] {
                unsafe free[sizeClass] = unsafe kept.load(as: UnsafeMutableRawPointer?.self)
                freeCounts[sizeClass] -= 1
                fewest[sizeClass] = min(fewest[sizeClass], freeCounts[sizeClass])
                unsafe memory = unsafe kept
            } else {
                unsafe memory = .allocate(byteCount: total, alignment: 16)
            }
        } else {
            unsafe memory = .allocate(byteCount: total, alignment: 16)
        }
        bytesInUse += total
        let frame = unsafe memory.bindMemory(to: Frame.self, capacity: 1)
        let mark = sizeClass < Self.classes ? UInt8(sizeClass) : Self.unpooled
        unsafe frame.initialize(to: Frame(sizeClass: mark, byteCount: total))
        return unsafe frame
    }

    @inline(__always)
    mutating func release(_ frame: UnsafeMutablePointer<Frame>) {
        unsafe frame.pointee.references -= 1
        if unsafe frame.pointee.references == 0 { unsafe drop(frame) }
    }

    private mutating func drop(_ frame: UnsafeMutablePointer<Frame>) {
        if let message = unsafe frame.pointee.message { unsafe release(message) }
        let sizeClass = unsafe frame.pointee.sizeClass
        let total = unsafe frame.pointee.byteCount
        bytesInUse -= total
        let memory = UnsafeMutableRawPointer(frame)
        let kind = Int(sizeClass)
        guard sizeClass != Self.unpooled, (freeCounts[kind] + 1) * total <= Self.keptBytesMax
        else { return unsafe memory.deallocate() }
        unsafe memory.storeBytes(of: free[kind], as: UnsafeMutableRawPointer?.self)
        unsafe free[kind] = unsafe memory
        freeCounts[kind] += 1
        if freeCounts[kind] > Self.warmCount(kind) { warmClasses |= 1 << UInt16(kind) }
    }

    private static func warmCount(_ sizeClass: Int) -> Int {
        max(1, warmBytesMax >> (smallestBits + sizeClass))
    }

    /// Whether a crowd has left frames that are not used now.
    var mayGiveBack: Bool { warmClasses != 0 }

    /// Frees what was not used since the call before, so many frames at most; whether there is more
    /// of it. `freed` counts them.
    mutating func giveBack(most: Int, freed: inout Int) -> Bool {
        var left = most
        for kind in 0..<Self.classes where warmClasses & 1 << UInt16(kind) != 0 {
            let warm = Self.warmCount(kind)
            while fewest[kind] > 0, freeCounts[kind] > warm {
                guard left > 0, let frame = unsafe free[kind] else { return true }
                unsafe free[kind] = unsafe frame.load(as: UnsafeMutableRawPointer?.self)
                unsafe frame.deallocate()
                freeCounts[kind] -= 1
                fewest[kind] -= 1
                freed += 1
                left -= 1
            }
            fewest[kind] = freeCounts[kind]
            if freeCounts[kind] <= warm { warmClasses &= ~(1 << UInt16(kind)) }
        }
        return false
    }
}

extension FramePool {
    /// A frame for an event: its key, and its text as data.
    mutating func make(
        key: UnsafeRawBufferPointer, text: UnsafeRawBufferPointer
    ) -> UnsafeMutablePointer<Frame> {
        let dataStart = key.count + Frame.roomBefore
        let dataEnd = dataStart + Frame.dataPrefix + text.count + Frame.dataSuffix
        let frame = unsafe make(dataEnd + 2)
        unsafe frame.pointee.keyCount = UInt16(key.count)
        unsafe frame.pointee.dataStart = UInt32(dataStart)
        unsafe frame.pointee.dataEnd = UInt32(dataEnd)
        let bytes = unsafe Self.bytes(frame)
        var writer = unsafe ByteWriter(bytes, capacity: key.count)
        unsafe writer.write(key)
        writer = unsafe ByteWriter(bytes + dataStart, capacity: dataEnd + 2 - dataStart)
        unsafe EventStream.data(text, into: &writer)
        HTTPChunkWriter.tail(into: &writer)
        return unsafe frame
    }

    @unsafe static func key(_ frame: UnsafeMutablePointer<Frame>) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: bytes(frame), count: Int(frame.pointee.keyCount))
    }

    /// The event's JSON.
    @unsafe static func text(_ frame: UnsafeMutablePointer<Frame>) -> UnsafeRawBufferPointer {
        let start = unsafe Int(frame.pointee.dataStart) + Frame.dataPrefix
        let end = unsafe Int(frame.pointee.dataEnd) - Frame.dataSuffix
        return unsafe UnsafeRawBufferPointer(start: bytes(frame) + start, count: end - start)
    }

    /// The data line and the empty one behind it.
    @unsafe static func data(_ frame: UnsafeMutablePointer<Frame>) -> UnsafeRawBufferPointer {
        let start = unsafe Int(frame.pointee.dataStart)
        return unsafe UnsafeRawBufferPointer(
            start: bytes(frame) + start, count: Int(frame.pointee.dataEnd) - start)
    }

    /// Writes what stands before the data, right up to it: who needs it is known now.
    static func dress(_ frame: UnsafeMutablePointer<Frame>, origin: UInt64) {
        let keyCount = unsafe Int(frame.pointee.keyCount)
        let dataStart = unsafe Int(frame.pointee.dataStart)
        var before = InlineArray<160, UInt8>(repeating: 0)
        var span = before.mutableSpan
        unsafe span.withUnsafeMutableBufferPointer { room in
            var writer = unsafe ByteWriter(
                room.baseAddress.unsafelyUnwrapped, capacity: Frame.roomBefore)
            if unsafe frame.pointee.skipped > 0 {
                EventStream.lagged(UInt64(unsafe frame.pointee.skipped), into: &writer)
            }
            let idAt = writer.count
            writer.write("id: ")
            EventID.write(origin: origin, into: &writer)
            unsafe EventID.write(
                Int(frame.pointee.from), frame.pointee.seq, isFirst: true, into: &writer)
            writer.write(byte: 0x0A)
            let count = writer.count
            let textStart = dataStart - count
            unsafe (Self.bytes(frame) + textStart).update(
                from: room.baseAddress.unsafelyUnwrapped, count: count)
            unsafe frame.pointee.textStart = UInt32(textStart)
            unsafe frame.pointee.idStart = UInt32(textStart + idAt)
            writer.rewind(to: 0)
            unsafe HTTPChunkWriter.head(Int(frame.pointee.dataEnd) - textStart, into: &writer)
            let chunkStart = textStart - writer.count
            invariant(chunkStart >= keyCount, "no room before an event's data")
            unsafe (Self.bytes(frame) + chunkStart).update(
                from: room.baseAddress.unsafelyUnwrapped, count: writer.count)
            unsafe frame.pointee.chunkStart = UInt32(chunkStart)
        }
        unsafe frame.pointee.isDressed = true
    }

    /// A comment in a chunk; without the chunk it lies between `textStart` and `dataEnd`.
    mutating func makeHeartbeat() -> UnsafeMutablePointer<Frame> {
        let frame = unsafe make(32)
        let bytes = unsafe Self.bytes(frame)
        var writer = unsafe ByteWriter(bytes, capacity: 32)
        let count = EventStream.heartbeat.utf8CodeUnitCount
        HTTPChunkWriter.head(count, into: &writer)
        unsafe frame.pointee.textStart = UInt32(writer.count)
        writer.write(EventStream.heartbeat)
        unsafe frame.pointee.dataEnd = UInt32(writer.count)
        HTTPChunkWriter.tail(into: &writer)
        return unsafe frame
    }
}
