/// What one request may cost before anybody knows who sent it.
public struct HTTPLimits: Sendable, BitwiseCopyable {
    /// Bytes of a request line and its fields, with the empty line that ends them. 16 KiB is what
    /// most servers and proxies accept; a longer head is answered 431.
    public var headBytesMax = 16 * 1024 {
        didSet { headBytesMax = min(headBytesMax, Self.headBytesCeiling) }
    }

    /// Field lines in a head, and lines in trailers; one more is answered 431.
    public var headerCountMax = 100

    /// Bytes of a request target; a longer one is answered 414. RFC 9112 3 asks for at least 8000.
    public var targetBytesMax = 8 * 1024

    /// Bytes of a body once its framing is gone; a longer one is answered 413. The default is the
    /// largest value (8 MiB) with room for the JSON around it.
    public var bodyBytesMax: UInt64 = 8 * 1024 * 1024 + 64 * 1024

    /// Bytes of chunk extensions in one body. Nobody sends them but to make a server read for
    /// nothing, so they get about what a signature on every chunk of a real upload would need.
    public var chunkExtensionBytesMax = 16 * 1024

    /// Bytes after the last chunk of a body, trailers and the empty line; more is answered 431.
    public var trailerBytesMax = 8 * 1024

    public init() {}

    /// A head keeps its offsets in 16 bits.
    public static let headBytesCeiling = 65_535

    /// Longer than any registered method: RFC 9112 3 has 501 for what is longer.
    public static let methodBytesMax = 32

    /// RFC 9112 2.2 asks for at least one: old clients end a body with a CRLF too many. A few are
    /// forgiven, an endless row of them is not a request.
    public static let emptyLinesMax = 4

    /// Fifteen hexadecimal digits can't overflow 64 bits, nor can sums of them before a body's
    /// bound stops them.
    public static let chunkSizeDigitsMax = 15
}
