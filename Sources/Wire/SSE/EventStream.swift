/// The pieces of a Server-Sent Events stream (WHATWG HTML 9.2), as bytes.
///
/// A message is a few lines and an empty one. Data here is one line: JSON needs its line breaks
/// nowhere, so `flatten` turns the raw ones, which JSON allows between its tokens only, into spaces.
public enum EventStream {
    public static let contentType: StaticString = "text/event-stream"

    /// Comments keep proxies from ending a quiet stream.
    public static let heartbeat: StaticString = ":\n\n"

    /// What `data: `, and the end of the message, take beside the data.
    public static let dataOverhead = 6 + 2
    /// What `id: ` and its line end take beside the id.
    public static let idOverhead = 4 + 1

    @inlinable
    public static func data(_ text: UnsafeRawBufferPointer, into writer: inout ByteWriter) {
        writer.write("data: ")
        unsafe writer.write(text)
        writer.write("\n\n")
    }

    /// A message for the program rather than for its user: browsers deliver it under its own name,
    /// and only if it has data.
    public static func control(
        _ name: StaticString, _ data: StaticString, into writer: inout ByteWriter
    ) {
        writer.write("event: ")
        writer.write(name)
        writer.write("\ndata: ")
        writer.write(data)
        writer.write("\n\n")
    }

    /// `event: lagged` with how many events were left out.
    public static func lagged(_ skipped: UInt64, into writer: inout ByteWriter) {
        writer.write("event: lagged\ndata: {\"skipped\":")
        writer.write(decimal: skipped)
        writer.write("}\n\n")
    }

    /// The most bytes `lagged` writes.
    public static let laggedBytesMax = 64

    /// When to come back after the stream has ended.
    public static func retry(_ milliseconds: UInt64, into writer: inout ByteWriter) {
        writer.write("retry: ")
        writer.write(decimal: milliseconds)
        writer.write("\n\n")
    }

    /// Makes JSON one line: a raw line break can only stand between two tokens, where a space is as
    /// good.
    public static func flatten(_ text: UnsafeMutableRawBufferPointer) {
        let bytes = unsafe UnsafeRawBufferPointer(text).bytes
        var at = 0
        while true {
            at = ByteScan.first(of: 0x0A, or: 0x0D, in: bytes, from: at, to: text.count)
            if at == text.count { return }
            unsafe text[at] = 0x20
            at += 1
        }
    }
}
