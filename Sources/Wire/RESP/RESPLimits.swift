/// What a client may send at most, in one request.
///
/// The lower bounds hold for whoever has not shown who they are: a stranger gets no memory to
/// speak of. The sentences for what lies beyond are Redis' own, because clients look at them.
public struct RESPLimits: Sendable, BitwiseCopyable {
    /// Arguments of one command, its name included.
    public var argumentsMax = 1024 * 1024
    /// The longest argument.
    public var bulkBytesMax = 512 << 20
    /// All arguments of one command together.
    public var requestBytesMax = 512 << 20
    /// Whether a command may also be a line of words. Only on a port where nothing but RESP is
    /// spoken: elsewhere a line of words is HTTP.
    public var allowsInline = false
    /// Whether these are a stranger's bounds, which have sentences of their own.
    public var isStrangers = false

    /// The longest line: a length, or a command of words (Redis: 64 KiB).
    public static let lineBytesMax = 64 * 1024
    /// Words that a line command may have; a line has room for no more than half its length.
    public static let inlineArgumentsMax = 1024 * 1024

    public init() {}

    /// Before authentication, where it is asked for.
    public static var stranger: RESPLimits {
        var limits = RESPLimits()
        limits.argumentsMax = 10
        limits.bulkBytesMax = 16 * 1024
        limits.requestBytesMax = 32 * 1024
        limits.isStrangers = true
        return limits
    }
}
