import Wire

/// The head of a 200 reply with JSON on a connection that stays open, all but the length.
struct ReplyTemplate {
    private var text: InlineArray<128, UInt8>
    private var count: Int
    /// The text goes on with this length, which the reply before had.
    private var length = -1
    private var countWithLength = 0

    init(date: HTTPDate) {
        text = InlineArray(repeating: 0)
        count = 0
        var span = text.mutableSpan
        count = unsafe span.withUnsafeMutableBufferPointer { place in
            var writer = unsafe ByteWriter(
                place.baseAddress.unsafelyUnwrapped, capacity: place.count)
            HTTPReplyHead.start(.ok, keepAlive: true, date: date, into: &writer)
            HTTPReplyHead.field("Content-Type", "application/json", into: &writer)
            HTTPReplyHead.begin("Content-Length", into: &writer)
            return writer.count
        }
    }

    /// The line of the length is left open, as `HTTPReplyHead` does.
    ///
    /// Answers come in runs of one length, so the text is kept with the last.
    @inline(__always)
    mutating func prepare(contentLength: Int) -> Int {
        if contentLength != length { keep(contentLength) }
        return countWithLength
    }

    /// The text that was prepared.
    @unsafe @inline(__always)
    func copyPrepared(to place: UnsafeMutableRawPointer) {
        unsafe text.span.withUnsafeBufferPointer { source in
            unsafe place.copyMemory(
                from: source.baseAddress.unsafelyUnwrapped, byteCount: countWithLength)
        }
    }

    @inline(never)
    private mutating func keep(_ contentLength: Int) {
        length = contentLength
        var span = text.mutableSpan
        countWithLength = unsafe span.withUnsafeMutableBufferPointer { place in
            var writer = unsafe ByteWriter(
                place.baseAddress.unsafelyUnwrapped, capacity: place.count, count: count)
            writer.write(decimal: UInt64(truncatingIfNeeded: contentLength))
            return writer.count
        }
    }

    @inline(__always)
    func write(contentLength: Int, into writer: inout ByteWriter) {
        let target = unsafe writer.reserve(count)
        unsafe text.span.withUnsafeBufferPointer { source in
            unsafe target.update(from: source.baseAddress.unsafelyUnwrapped, count: count)
        }
        writer.write(decimal: UInt64(truncatingIfNeeded: contentLength))
    }
}
