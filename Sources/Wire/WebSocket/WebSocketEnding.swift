/// How far a connection has come towards its end (RFC 6455 7), and whether its peer still lives.
///
/// Each side says Close once. Whoever is told answers with the same code; when both have spoken the
/// server ends the connection. What a client sends after its Close is not looked at.
public struct WebSocketEnding: Equatable, Sendable, BitwiseCopyable {
    public enum Stage: UInt8, Sendable, BitwiseCopyable {
        case open
        /// We have said Close; messages of the client's may still be on their way.
        case waiting
        /// Both have: the connection is ended.
        case over
    }

    /// What is to be done about a Close that came.
    public enum Answer: Equatable, Sendable {
        /// Send one with this code (none: an empty one), then end the connection.
        case echo(WebSocketCode?)
        /// It answers ours: end the connection.
        case end
        /// All is said already.
        case nothing
    }

    /// Pings that may stay without any answer; with the next one due the peer is taken for dead.
    public static let unansweredMax: UInt8 = 2

    public private(set) var stage = Stage.open
    private var unanswered: UInt8 = 0

    public init() {}

    /// We want to end. False: a Close was said before, by whomever.
    public mutating func begin() -> Bool {
        guard stage == .open else { return false }
        stage = .waiting
        return true
    }

    public mutating func heardClose(_ code: WebSocketCode?) -> Answer {
        switch stage {
        case .open:
            stage = .over
            return .echo(code)
        case .waiting:
            stage = .over
            return .end
        case .over: return .nothing
        }
    }

    /// Anything came from the peer, so it lives.
    public mutating func heard() { unanswered = 0 }

    /// A heartbeat is due. True: send a ping; false: the last ones were not answered.
    public mutating func pingIsDue() -> Bool {
        guard unanswered < Self.unansweredMax else { return false }
        unanswered += 1
        return true
    }
}
