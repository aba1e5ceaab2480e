import Wire

/// The head of a 200 reply with JSON on a connection that stays open, all but the length.
struct ReplyTemplate {
    private var text: InlineArray<128, UInt8>
    private var count: Int

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
    @inline(__always)
    func write(contentLength: Int, into writer: inout ByteWriter) {
        let target = unsafe writer.reserve(count)
        unsafe text.span.withUnsafeBufferPointer { source in
            unsafe target.update(from: source.baseAddress.unsafelyUnwrapped, count: count)
        }
        writer.write(decimal: UInt64(truncatingIfNeeded: contentLength))
    }
}
