/// Writes the head of a reply: a status line, `Date`, how the connection goes on, what the body is.
///
/// `write` does it all for the common reply. Where more fields are needed, `start` it, add fields
/// with `field`, and `finish` it. A reply to HEAD is the same head without the body after it. The
/// caller has reserved the room: `bytesMax` for the fields written here, besides its own.
public enum HTTPReplyHead {
    /// What `write` needs at most besides the length of its content type: the longest status line
    /// (50), Connection (24), Date (37), Content-Type's name (16), Content-Length (38), the end (2).
    public static let bytesMax = 192

    /// A whole head of a reply whose length is known.
    ///
    /// `minorVersion` is the request's: an HTTP/1.0 client is told when its connection stays.
    @inlinable @inline(__always)
    public static func write(
        _ status: HTTPStatus, contentType: StaticString, contentLength: Int, keepAlive: Bool,
        minorVersion: UInt8 = 1, date: HTTPDate, into writer: inout ByteWriter
    ) {
        start(status, keepAlive: keepAlive, minorVersion: minorVersion, date: date, into: &writer)
        writer.write("\r\nContent-Type: ")
        writer.write(contentType)
        writer.write("\r\nContent-Length: ")
        writer.write(decimal: UInt64(truncatingIfNeeded: contentLength))
        writer.write("\r\n\r\n")
    }

    /// The status line, `Connection` where it says something, and `Date`. Its line is left open:
    /// each `field` and `finish` begin by ending the line before.
    @inlinable @inline(__always)
    public static func start(
        _ status: HTTPStatus, keepAlive: Bool, minorVersion: UInt8 = 1, date: HTTPDate,
        into writer: inout ByteWriter
    ) {
        if status == .ok {
            writer.write("HTTP/1.1 200 OK\r\n")
        } else {
            writer.write(status.line)
        }
        if !keepAlive {
            writer.write("Connection: close\r\n")
        } else if minorVersion == 0 {
            writer.write("Connection: keep-alive\r\n")
        }
        writer.write("Date: ")
        writer.write(date)
    }

    /// How the body ends. Not for statuses that allow none, nor for a body that ends with the
    /// connection, as a stream to an HTTP/1.0 client does.
    @inlinable
    public static func framing(_ body: HTTPBodyFraming, into writer: inout ByteWriter) {
        switch body {
        case .none: break
        case .length(let count):
            writer.write("\r\nContent-Length: ")
            writer.write(decimal: count)
        case .chunked: writer.write("\r\nTransfer-Encoding: chunked")
        }
    }

    @inlinable @inline(__always)
    public static func field(
        _ name: StaticString, _ value: StaticString, into writer: inout ByteWriter
    ) {
        begin(name, into: &writer)
        writer.write(value)
    }

    /// A value of `value`'s bytes; they must hold no control characters, or a peer who chose them
    /// could write fields of its own.
    @inlinable
    public static func field(
        _ name: StaticString, _ value: RawSpan, into writer: inout ByteWriter
    ) {
        invariant(isSafe(value), "a control character in a reply's field")
        begin(name, into: &writer)
        writer.write(value)
    }

    @inlinable @inline(__always)
    public static func field(
        _ name: StaticString, decimal value: UInt64, into writer: inout ByteWriter
    ) {
        begin(name, into: &writer)
        writer.write(decimal: value)
    }

    /// Only the name and its colon: the caller writes the value.
    @inlinable @inline(__always)
    public static func begin(_ name: StaticString, into writer: inout ByteWriter) {
        writer.write("\r\n")
        writer.write(name)
        writer.write(": ")
    }

    /// The empty line that ends a head.
    @inlinable @inline(__always)
    public static func finish(into writer: inout ByteWriter) {
        writer.write("\r\n\r\n")
    }

    /// What tells a client that waits for it to send its body (RFC 9110 10.1.1).
    public static let continueLine: StaticString = "HTTP/1.1 100 Continue\r\n\r\n"

    /// Whether bytes may stand in a field's value.
    public static func isSafe(_ value: RawSpan) -> Bool {
        ByteScan.fieldValueEnd(value, from: 0, to: value.byteCount) == value.byteCount
    }
}

/// Frames a streamed reply in chunks: `head`, the bytes, `tail`, again and again, then `last`.
public enum HTTPChunkWriter {
    /// A chunk's head and tail take at most this much.
    public static let overheadMax = 16 + 2 + 2

    /// Begins a chunk of `count` bytes. None is not a chunk: it would end the body.
    @inlinable
    public static func head(_ count: Int, into writer: inout ByteWriter) {
        invariant(count > 0, "an empty chunk ends a body")
        writer.write(hex: UInt64(truncatingIfNeeded: count))
        writer.writeLineEnd()
    }

    @inlinable
    public static func tail(into writer: inout ByteWriter) {
        writer.writeLineEnd()
    }

    /// Ends the body, without trailers.
    @inlinable
    public static func last(into writer: inout ByteWriter) {
        writer.write("0\r\n\r\n")
    }
}
