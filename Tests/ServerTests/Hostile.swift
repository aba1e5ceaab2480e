/// One row of the hostile table: bytes that a server should expect from the internet, and what
/// has to come back.
struct Hostile: Sendable {
    /// What the connection is good for after the answers.
    enum After: Sendable {
        /// A good request on the same connection is answered.
        case serves
        /// The server closes, and nothing that follows is taken for a request.
        case closes
        /// Both are right: RFC 9112 leaves it to the server.
        case either
    }

    struct Answer: Sendable {
        /// More than one where the RFC allows more than one.
        var statuses: [Int]
        var toHead = false
    }

    var name: String
    var bytes: [UInt8]
    var answers: [Answer]
    var after: After
    /// Whether we half-close behind the bytes. Then the connection has to end, and the answers
    /// may be missing: nobody is owed one for half a request.
    var ends = false

    /// Text in which each scalar stands for the byte of its number, so that any byte can be
    /// written: `"\u{80}"` is the byte 0x80, not two.
    static func bytes(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8($0.value) } }

    // MARK: Rows

    static func refuses(_ statuses: [Int], _ name: String, _ text: String) -> Hostile {
        Hostile(
            name: name, bytes: bytes(text), answers: [Answer(statuses: statuses)], after: .closes)
    }

    static func serves(_ status: Int, _ name: String, _ text: String) -> Hostile {
        inOrder([status], .serves, name, text)
    }

    static func either(_ statuses: [Int], _ name: String, _ text: String) -> Hostile {
        Hostile(
            name: name, bytes: bytes(text), answers: [Answer(statuses: statuses)], after: .either)
    }

    /// One answer each, in order.
    static func inOrder(
        _ statuses: [Int], _ after: After, _ name: String, _ text: String
    ) -> Hostile {
        Hostile(
            name: name, bytes: bytes(text), answers: statuses.map { Answer(statuses: [$0]) },
            after: after)
    }

    static func toHead(_ statuses: [Int], _ name: String, _ text: String) -> Hostile {
        Hostile(
            name: name, bytes: bytes(text), answers: [Answer(statuses: statuses, toHead: true)],
            after: .serves)
    }

    /// The bytes, then the end of them.
    static func ends(_ statuses: [Int], _ name: String, _ text: String) -> Hostile {
        Hostile(
            name: name, bytes: bytes(text), answers: [Answer(statuses: statuses)], after: .closes,
            ends: true)
    }

    /// Closed, with or without a word.
    static func dropped(_ name: String, _ text: String) -> Hostile {
        Hostile(
            name: name, bytes: bytes(text), answers: [Answer(statuses: [400, 501, 505])],
            after: .closes, ends: false, mayStaySilent: true)
    }

    var mayStaySilent = false

    init(
        name: String, bytes: [UInt8], answers: [Answer], after: After, ends: Bool = false,
        mayStaySilent: Bool = false
    ) {
        self.name = name
        self.bytes = bytes
        self.answers = answers
        self.after = after
        self.ends = ends
        self.mayStaySilent = mayStaySilent || ends
    }

    // MARK: Requests

    /// `GET /health` with these header lines besides Host.
    static func get(_ lines: String...) -> String {
        request("GET /health HTTP/1.1", ["Host: test"] + lines)
    }

    /// `GET` with another target.
    static func target(_ target: String) -> String {
        request("GET \(target) HTTP/1.1", ["Host: test"])
    }

    /// `GET /health` with these header lines and no others.
    static func headers(_ lines: String...) -> String { request("GET /health HTTP/1.1", lines) }

    /// A first line as given, and a Host.
    static func line(_ line: String) -> String { request(line, ["Host: test"]) }

    /// A request to the echo with these header lines, and the body as it is.
    static func post(_ lines: String..., body: String) -> String {
        request("POST /_test/echo HTTP/1.1", ["Host: test"] + lines) + body
    }

    /// A chunked request to the echo, its body given with all framing.
    static func chunks(_ body: String) -> String {
        post("Transfer-Encoding: chunked", body: body)
    }

    static func request(_ line: String, _ headers: [String]) -> String {
        line + "\r\n" + headers.map { $0 + "\r\n" }.joined() + "\r\n"
    }

    static func long(_ count: Int, of text: String = "a") -> String {
        String(repeating: text, count: count)
    }

    static let all =
        requestLines + targets + hosts + headerFields + lengths + codings
        + chunkings + trailers + expectations + pipelines + protocols + earlyEnds
}
