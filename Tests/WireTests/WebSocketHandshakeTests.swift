import Testing

@testable import Wire

/// The verdict on a request, in words.
private func judge(_ request: String) -> String {
    let bytes = Array(request.replacing("\n", with: "\r\n").utf8)
    guard case .head(let head) = HTTPRequestParser.parse(bytes.span.bytes, limits: HTTPLimits())
    else { return "no head" }
    switch WebSocketHandshake.judge(head, bytes.span.bytes) {
    case .none: return "none"
    case .open(let key):
        return String(decoding: bytes[Int(key.start)..<Int(key.end)], as: UTF8.self)
    case .refused(let refusal): return "\(refusal.status.rawValue) \(refusal)"
    }
}

private let key = "dGhlIHNhbXBsZSBub25jZQ=="

struct OpeningExample: CustomTestStringConvertible, Sendable {
    var name: String
    var lines: String
    var verdict: String

    var testDescription: String { name }

    private static let usual = """
        GET /ws HTTP/1.1
        Host: a
        Upgrade: websocket
        Connection: Upgrade
        Sec-WebSocket-Key: \(key)
        Sec-WebSocket-Version: 13

        """

    private static func but(_ old: String, _ new: String) -> String {
        usual.replacing(old, with: new)
    }

    static let all: [OpeningExample] = [
        .init(name: "as RFC 6455 1.2 has it", lines: usual, verdict: key),
        .init(
            name: "tokens in any case, among others",
            lines: but("Upgrade: websocket", "Upgrade: h2c, WebSocket").replacing(
                "Connection: Upgrade", with: "Connection: keep-alive, UPGRADE"), verdict: key),
        .init(
            name: "two Upgrade lines",
            lines: but("Upgrade: websocket\n", "Upgrade: h2c\nUpgrade: websocket\n"), verdict: key),
        .init(
            name: "with protocols and extensions, which are declined",
            lines: but(
                "Upgrade: websocket\n",
                "Upgrade: websocket\nSec-WebSocket-Protocol: chat\nSec-WebSocket-Extensions: permessage-deflate\n"
            ), verdict: key),
        .init(
            name: "an empty body", lines: but("Host: a\n", "Host: a\nContent-Length: 0\n"),
            verdict: key),
        .init(
            name: "another Upgrade", lines: but("Upgrade: websocket", "Upgrade: h2c"),
            verdict: "none"),
        .init(name: "no Upgrade", lines: but("Upgrade: websocket\n", ""), verdict: "none"),
        .init(name: "no Connection", lines: but("Connection: Upgrade\n", ""), verdict: "none"),
        .init(
            name: "a Connection that names something else",
            lines: but("Connection: Upgrade", "Connection: keep-alive"), verdict: "none"),
        .init(name: "another method", lines: but("GET", "PUT"), verdict: "none"),
        .init(name: "HTTP/1.0", lines: but("HTTP/1.1", "HTTP/1.0"), verdict: "none"),
        .init(
            name: "another version", lines: but("Version: 13", "Version: 8"),
            verdict: "426 otherVersion"),
        .init(
            name: "a list of versions", lines: but("Version: 13", "Version: 13, 8"),
            verdict: "426 otherVersion"),
        .init(
            name: "no version", lines: but("Sec-WebSocket-Version: 13\n", ""),
            verdict: "426 otherVersion"),
        .init(
            name: "no key", lines: but("Sec-WebSocket-Key: \(key)\n", ""), verdict: "400 badKey"),
        .init(name: "an empty key", lines: but(key, ""), verdict: "400 badKey"),
        .init(name: "a short key", lines: but(key, "dGhlIHNhbXBsZQ=="), verdict: "400 badKey"),
        .init(
            name: "a long key", lines: but(key, "AAAA" + key), verdict: "400 badKey"),
        .init(
            name: "a key that is no base64", lines: but(key, "dGhlIHNhbXBsZSBub25j_Q=="),
            verdict: "400 badKey"),
        .init(
            name: "a body", lines: but("Host: a\n", "Host: a\nContent-Length: 1\n"),
            verdict: "400 hasBody"),
        .init(
            name: "a body in chunks",
            lines: but("Host: a\n", "Host: a\nTransfer-Encoding: chunked\n"),
            verdict: "400 hasBody"),
    ]
}

@Suite("WebSocket handshake") struct WebSocketHandshakeTests {
    @Test(arguments: OpeningExample.all)
    func `judges an opening`(_ example: OpeningExample) {
        #expect(judge(example.lines + "\n") == example.verdict)
    }

    @Test func `answers the key of RFC 6455 1.3 as it says there`() {
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
        defer { room.deallocate() }
        var writer = ByteWriter(room, capacity: 256)
        WebSocketHandshake.writeAccept(key: Array(key.utf8).span.bytes, into: &writer)
        let text = String(decoding: writer.written, as: UTF8.self)
        #expect(
            text == "\r\nUpgrade: websocket\r\nConnection: Upgrade"
                + "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        #expect(text.utf8.count <= WebSocketHandshake.acceptBytesMax)
    }

    @Test(arguments: [
        ("", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1"
        ),
        ("01234567", 80, "dea356a2cddd90c7a7ecedc5ebb563934f460452"),
        ("a", 1_000_000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
    ])
    func `makes the digests of RFC 3174`(_ text: String, _ times: Int, _ hex: String) {
        let message = Array(String(repeating: text, count: times).utf8)
        let digest = SHA1.digest(of: message.span.bytes)
        var made = ""
        for index in 0..<20 {
            let digits = String(digest[index], radix: 16)
            made += digits.count == 1 ? "0" + digits : digits
        }
        #expect(made == hex)
    }
}

@Suite("WebSocket frames") struct WebSocketFrameTests {
    private func written(_ write: (inout ByteWriter) -> Void) -> [UInt8] {
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
        defer { room.deallocate() }
        var writer = ByteWriter(room, capacity: 256)
        write(&writer)
        return Array(writer.written)
    }

    @Test(
        arguments: [
            (0, [0x81, 0]), (1, [0x81, 1]), (125, [0x81, 125]), (126, [0x81, 126, 0, 126]),
            (65535, [0x81, 126, 255, 255]), (65536, [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] as [(Int, [UInt8])])
    func `have the shortest head there is, and no mask`(_ count: Int, _ head: [UInt8]) {
        #expect(written { WebSocketFrame.head(.text, count, into: &$0) } == head)
        #expect(WebSocketFrame.headCount(count) == head.count)
    }

    @Test func `answer a ping with its own payload`() {
        let payload = Array("Hello".utf8)
        let frame = payload.withUnsafeBytes { bytes in
            written { WebSocketFrame.control(.pong, bytes, into: &$0) }
        }
        #expect(frame == [0x8A, 5] + payload)
    }

    @Test func `close with a code and a reason, or with neither`() {
        #expect(written { WebSocketFrame.close(nil, into: &$0) } == [0x88, 0])
        #expect(
            written { WebSocketFrame.close(.goingAway, "bye", into: &$0) }
                == [0x88, 5, 3, 0xE9] + Array("bye".utf8))
    }
}

@Suite("WebSocket ending") struct WebSocketEndingTests {
    @Test func `whoever is told Close says it too, and the connection ends`() {
        var ending = WebSocketEnding()
        let answers = [ending.heardClose(.normal), ending.heardClose(.normal)]
        #expect(answers == [.echo(.normal), .nothing])
        #expect(ending.stage == .over)
        let began = ending.begin()
        #expect(!began)
    }

    @Test func `an empty Close is answered with an empty one`() {
        var ending = WebSocketEnding()
        let answer = ending.heardClose(nil)
        #expect(answer == .echo(nil))
    }

    @Test func `whoever said Close waits for the other's and sends no second one`() {
        var ending = WebSocketEnding()
        let began = [ending.begin(), ending.begin()]
        #expect(began == [true, false])
        #expect(ending.stage == .waiting)
        let answer = ending.heardClose(.goingAway)
        #expect(answer == .end)
        #expect(ending.stage == .over)
    }

    @Test func `a peer is dead that leaves two pings without any answer`() {
        var ending = WebSocketEnding()
        let pings = [ending.pingIsDue(), ending.pingIsDue(), ending.pingIsDue()]
        #expect(pings == [true, true, false])
        ending.heard()
        let again = ending.pingIsDue()
        #expect(again)
    }
}
