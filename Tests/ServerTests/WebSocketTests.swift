import TestClient
import Testing

/// What a client says on `/ws?echo=1`, and what it hears until the server closes or the table ends.
struct EchoExample: CustomTestStringConvertible, Sendable {
    var name: String
    var says: [UInt8]
    var hears: [Socket.Heard]
    /// The server ends the connection after it.
    var ends: Bool

    init(_ name: String, _ says: [[UInt8]], _ hears: [Socket.Heard], ends: Bool? = nil) {
        self.name = name
        self.says = says.flatMap { $0 }
        self.hears = hears
        if case .close = hears.last { self.ends = true } else { self.ends = ends ?? false }
    }

    var testDescription: String { name }

    private static func text(_ text: String, isFinal: Bool = true) -> [UInt8] {
        Socket.frame(1, Array(text.utf8), isFinal: isFinal)
    }
    private static func more(_ text: String, isFinal: Bool = true) -> [UInt8] {
        Socket.frame(0, Array(text.utf8), isFinal: isFinal)
    }
    private static func refused(_ code: Int, _ sentence: String) -> [Socket.Heard] {
        [.close(code, sentence)]
    }
    private static let ping = Socket.frame(9, Array("p".utf8))
    private static let pong = Socket.Heard.pong(Array("p".utf8))

    static var all: [EchoExample] { talk + wrong + closes }

    static let talk: [EchoExample] = {
        var examples: [EchoExample] = []
        for count in [0, 1, 125, 126, 127, 4000, 16_384, 65_535, 65_536, 200_000] {
            let text = String(repeating: "x", count: count)
            examples.append(
                .init("a text of \(count)", [Socket.frame(1, Array(text.utf8))], [.text(text)]))
            let data = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            examples.append(.init("\(count) bytes", [Socket.frame(2, data)], [.bytes(data)]))
        }
        let big = String(repeating: "κόσμε ", count: 20_000)
        let bytes = Array(big.utf8)
        examples += [
            .init("a ping", [ping], [pong]),
            .init("a pong nobody asked for", [Socket.frame(10, [1]), ping], [pong]),
            .init(
                "ten pings", Array(repeating: ping, count: 10), Array(repeating: pong, count: 10)),
            .init(
                "a text in three fragments with pings between",
                [
                    text("a", isFinal: false), ping, more("b", isFinal: false), ping, more("c"),
                ], [pong, pong, .text("abc")]),
            .init(
                "a character cut by fragments",
                [
                    Socket.frame(1, [0xF0, 0x9F], isFinal: false), Socket.frame(0, [0x98, 0x80]),
                ], [.text("😀")]),
            .init(
                "a long text in a thousand fragments",
                [Socket.frame(1, [], isFinal: false)]
                    + (0..<1000).map { part in
                        let size = bytes.count / 1000 + 1
                        let start = min(part * size, bytes.count)
                        return Socket.frame(
                            0, Array(bytes[start..<min(start + size, bytes.count)]),
                            isFinal: part == 999)
                    }, [.text(big)]),
            .init("two texts", [text("a"), text("b")], [.text("a"), .text("b")]),
        ]
        return examples
    }()

    static let wrong: [EchoExample] = {
        let reserved = "A reserved bit is set and no extension was agreed on"
        var examples: [EchoExample] = [
            .init(
                "a frame without a mask", [text("a"), Socket.frame(1, [65], masked: false)],
                [.text("a")] + refused(1002, "A client's frames have to be masked")),
            .init(
                "a fragmented ping", [Socket.frame(9, isFinal: false)],
                refused(1002, "A control frame is fragmented")),
            .init(
                "a ping of 126 bytes", [Socket.frame(9, Array(repeating: 65, count: 126))],
                refused(1002, "A control frame has more than 125 bytes")),
            .init(
                "a continuation of nothing", [more("a")],
                refused(1002, "A continuation continues nothing")),
            .init(
                "a text within a text", [text("a", isFinal: false), text("b")],
                refused(1002, "A message begins before the one before it has ended")),
            .init(
                "text that is not UTF-8", [Socket.frame(1, [0xC0, 0xAF])],
                refused(1007, "The text is not UTF-8")),
            .init(
                "text that ends within a character", [Socket.frame(1, [0xE2, 0x82])],
                refused(1007, "The text is not UTF-8")),
            .init(
                "bad text in a fragment, before the rest comes",
                [Socket.frame(1, [65, 0xFF], isFinal: false)],
                refused(1007, "The text is not UTF-8")),
            .init(
                "bad text in the first half of a frame",
                [Array(Socket.frame(1, [0xFF] + Array(repeating: 65, count: 50)).prefix(20))],
                refused(1007, "The text is not UTF-8")),
            .init(
                "a message that is announced as too long",
                [Array(Socket.frame(2, [], length: 9 << 20))],
                refused(1009, "The message is larger than is taken here")),
            .init(
                "a length beyond any memory",
                [[0x82, 0xFF, 0x7F] + Array(repeating: 255, count: 7)],
                refused(1009, "The message is larger than is taken here")),
            .init(
                "a length with its highest bit", [[0x82, 0xFF, 0x80]],
                refused(1002, "A length has its highest bit set")),
            .init(
                "a length in two bytes that needs one", [[0x82, 0xFE, 0, 5]],
                refused(1002, "A length is not in its shortest form")),
        ]
        for bits in [1, 2, 4, 7] as [UInt8] {
            examples.append(
                .init(
                    "reserved bits \(bits)", [Socket.frame(1, [65], reserved: bits)],
                    refused(1002, reserved)))
        }
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] as [UInt8] {
            examples.append(
                .init(
                    "opcode \(opcode)", [Socket.frame(opcode)],
                    refused(1002, "The opcode is not known")))
        }
        return examples
    }()

    static let closes: [EchoExample] = {
        var examples: [EchoExample] = [
            .init("an empty close", [Socket.close(nil)], [.close(nil, "")]),
            .init("a close with a reason", [Socket.close(1000, "bye")], [.close(1000, "")]),
            .init(
                "a message, a close, and a message", [text("a"), Socket.close(1001), text("b")],
                [.text("a"), .close(1001, "")]),
            .init(
                "a close within a message", [text("a", isFinal: false), Socket.close(1000)],
                [.close(1000, "")]),
            .init(
                "a close of one byte", [Socket.frame(8, [3])],
                refused(1002, "A close frame has one byte")),
            .init(
                "a reason that is not UTF-8", [Socket.frame(8, [0x03, 0xE8, 0xFF])],
                refused(1007, "The reason is not UTF-8")),
        ]
        for code in [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999] {
            examples.append(.init("code \(code)", [Socket.close(code)], [.close(code, "")]))
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            examples.append(
                .init(
                    "code \(code)", [Socket.close(code)],
                    refused(1002, "The close code may not be sent")))
        }
        return examples
    }()
}

@Suite struct `WebSocket conformance` {
    /// Plays all examples against one server, each on a connection of its own.
    private func play(
        _ io: IODriver, _ examples: [EchoExample], _ send: (Client, [UInt8]) throws -> Void
    ) throws {
        let server = try Server.start(io: io, ["--test-routes"])
        for example in examples {
            let socket = try server.socket("/ws?echo=1")
            try send(socket.client, example.says)
            var heard: [Socket.Heard] = []
            do {
                for _ in example.hears { heard.append(try socket.hear()) }
            } catch {
                Issue.record("\(example.name): \(error) after \(heard)")
            }
            #expect(heard == example.hears, "\(example.name)")
            if example.ends {
                let ending = socket.client.ending()
                #expect(ending.isOver, "\(example.name): \(ending)")
            } else {
                try socket.client.send(Socket.frame(9, [7]))
                #expect(try socket.hear() == .pong([7]), "\(example.name)")
            }
        }
        #expect(server.answers)
    }

    @Test(arguments: IODriver.allCases)
    func `every example is answered as RFC 6455 has it`(_ io: IODriver) throws {
        try play(io, EchoExample.all) { try $0.send($1) }
    }

    @Test(arguments: IODriver.allCases)
    func `the answers are the same when the bytes come one by one`(_ io: IODriver) throws {
        let short = EchoExample.all.filter { $0.says.count < 1000 }
        try play(io, short) { try $0.sendByteByByte($1) }
    }

    @Test(arguments: IODriver.allCases)
    func `frames may follow the opening in the same segment`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes"])
        let client = try server.connect()
        try client.send(
            Array(Socket.opening("/ws?echo=1").utf8) + Socket.frame(1, Array("early".utf8)))
        #expect(try client.reply().status == 101)
        #expect(try Socket(client).hear() == .text("early"))
    }

    @Test(arguments: IODriver.allCases)
    func `a reader that is slow is read from slowly`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes"])
        let socket = try server.socket("/ws?echo=1", receiveBuffer: 4096)
        let frame = Socket.frame(2, Array(repeating: 0x78, count: 100_000))
        var sent = 0
        // Until the server takes no more, which it has to at some time.
        var stalls = 0
        while stalls < 50 {
            let rest = Array(frame[(sent % frame.count)...])
            let count = try socket.client.sendWhatFits(rest)
            sent += count
            stalls = count == 0 ? stalls + 1 : 0
            if count == 0 { nap(ms: 2) }
            try #require(sent < 64 << 20, "everything was taken")
        }
        let resident = server.figures.residentKiB
        #expect(resident < 128 * 1024, "\(resident) KiB")
        for _ in 0..<sent / frame.count {
            #expect(try socket.hear() == .bytes(Array(repeating: 0x78, count: 100_000)))
        }
    }
}

@Suite struct `WebSocket openings` {
    @Test(arguments: IODriver.allCases)
    func `an opening is answered as its own example says`(_ io: IODriver) throws {
        let server = try Server.start(io: io)
        let client = try server.connect()
        try client.send(Socket.opening("/ws"))
        let reply = try client.reply()
        #expect(reply.status == 101)
        #expect(reply.header("upgrade") == "websocket")
        #expect(reply.header("connection") == "Upgrade")
        #expect(reply.header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        #expect(reply.header("sec-websocket-extensions") == nil)
        #expect(reply.header("sec-websocket-protocol") == nil)
    }

    @Test(arguments: IODriver.allCases)
    func `what is no opening is told what is spoken here, and the connection goes on`(
        _ io: IODriver
    ) throws {
        let server = try Server.start(io: io)
        let client = try server.connect()
        let plain = try client.ask("GET", "/ws")
        #expect(plain.status == 426)
        #expect(plain.header("upgrade") == "websocket")
        #expect(plain.header("sec-websocket-version") == "13")
        try client.send(Socket.opening("/ws").replacing("Version: 13", with: "Version: 8"))
        let old = try client.reply()
        #expect(old.status == 426)
        #expect(old.header("sec-websocket-version") == "13")
        try client.send(Socket.opening("/ws").replacing(Socket.key, with: "short"))
        #expect(try client.reply().status == 400)
        #expect(try client.ask("POST", "/ws").status == 405)
        #expect(try client.ask("GET", "/health").status == 200)
    }

    @Test(arguments: IODriver.allCases)
    func `the echo is there for tests only`(_ io: IODriver) throws {
        let server = try Server.start(io: io)
        let socket = try server.socket("/ws?echo=1")
        #expect(try socket.ask("hello")["status"]?.int == 400)
    }

    @Test(arguments: IODriver.allCases)
    func `a page of another origin may connect only where all may`(_ io: IODriver) throws {
        let open = try Server.start(io: io)
        _ = try open.socket("/ws", "Origin: https://b.example\r\n")
        let narrow = try Server.start(io: io, ["--cors-origin", "https://a.example"])
        _ = try narrow.socket("/ws", "Origin: https://a.example\r\n")
        _ = try narrow.socket("/ws", "Origin: http://test\r\n")
        _ = try narrow.socket("/ws")
        for origin in ["https://b.example", "null", "http://test.b.example", "https://a.example.b"]
        {
            let client = try narrow.connect()
            try client.send(Socket.opening("/ws", "Origin: \(origin)\r\n"))
            #expect(try client.reply().status == 403, "\(origin)")
        }
    }

    @Test(arguments: [2])
    func `an opening waits for the answers before it`(_ shards: Int) throws {
        let server = try NodeShape(io: .uring, shards: shards).start(["--test-routes"])
        let client = try server.connect()
        var requests = ""
        for key in 0..<20 { requests += "GET /t/key/k\(key) HTTP/1.1\r\nHost: t\r\n\r\n" }
        try client.send(
            Array((requests + Socket.opening("/ws?echo=1")).utf8)
                + Socket.frame(1, Array("after".utf8)))
        for _ in 0..<20 { #expect(try client.reply().status == 404) }
        #expect(try client.reply().status == 101)
        #expect(try Socket(client).hear() == .text("after"))
    }

    @Test(arguments: IODriver.allCases)
    func `a drain says goodbye and waits for the client's`(_ io: IODriver) throws {
        let server = try Server.start(io: io)
        let polite = try server.socket("/ws")
        let rude = try server.socket("/ws")
        server.signal(15)
        #expect(try polite.hear() == .close(1001, "The node is draining"))
        try polite.client.send(Socket.close(1001))
        #expect(polite.client.ending().isOver)
        #expect(try rude.hear() == .close(1001, "The node is draining"))
        #expect(server.waitForExit() == .code(0))
    }

    @Test(arguments: IODriver.allCases)
    func `sockets are counted while they are open`(_ io: IODriver) throws {
        let server = try Server.start(io: io)
        func figure(_ name: String) throws -> String? {
            let reply = try server.connect().ask("GET", "/metrics", "Accept: text/plain\r\n")
            let lines = reply.text.split(separator: "\n")
            return lines.first { $0.hasPrefix(name) }?.split(separator: " ").last.map(String.init)
        }
        let sockets = try (0..<3).map { _ in try server.socket("/ws") }
        #expect(try figure("needletail_websockets_open{") == "3")
        for socket in sockets { socket.client.close() }
        #expect(try becomes { try figure("needletail_websockets_open{") == "0" })
        #expect(try figure("needletail_websockets_opened_total") == "3")
    }
}
