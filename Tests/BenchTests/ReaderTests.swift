import Testing

@testable import Bench

/// Cuts bytes in every way that matters: whole, byte by byte, and in two at each place.
func cuttings(_ bytes: [UInt8]) -> [[[UInt8]]] {
    var all = [[bytes], bytes.map { [$0] }]
    for place in bytes.indices.dropFirst() {
        all.append([Array(bytes[..<place]), Array(bytes[place...])])
    }
    return all
}

@Suite("HTTP replies, as a client reads them") struct HTTPReplyReaderTests {
    /// What came out: each reply as its status and body.
    private func read(_ pieces: [[UInt8]]) -> (replies: [String], isViolated: Bool) {
        var reader = HTTPReplyReader()
        var known = KnownHead()
        let carry = UnsafeMutablePointer<UInt8>.allocate(capacity: HTTPReplyReader.headBytesMax)
        defer { carry.deallocate() }
        var replies: [String] = []
        var body: [UInt8] = []
        for piece in pieces {
            var used = 0
            while used < piece.count {
                let step = piece.withUnsafeBufferPointer { bytes in
                    reader.next(
                        bytes.baseAddress! + used, piece.count - used, carry: carry, known: &known)
                }
                body += piece[(used + step.bodyStart)..<(used + step.bodyStart + step.bodyCount)]
                used += step.consumed
                switch step.kind {
                case .reply:
                    replies.append("\(reader.status) \(String(decoding: body, as: UTF8.self))")
                    body = []
                case .violation: return (replies, true)
                case .needMore, .piece: break
                }
            }
        }
        if reader.endsWithConnection {
            replies.append("\(reader.status) \(String(decoding: body, as: UTF8.self))")
        }
        return (replies, false)
    }

    private static let plain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    private static let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n, everyone"
        + "\r\n0\r\nTrailer: 1\r\n\r\n"

    static let examples: [(text: String, replies: [String])] = [
        (plain, ["200 hello"]),
        (plain + plain + plain, ["200 hello", "200 hello", "200 hello"]),
        (
            plain + "HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n" + plain,
            ["200 hello", "404 ", "200 hello"]
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n" + plain, ["204 ", "200 hello"]),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n" + plain, ["304 ", "200 hello"]),
        ("HTTP/1.1 100 Continue\r\n\r\n" + plain, ["200 hello"]),
        (chunked + plain, ["200 hello, everyone", "200 hello"]),
        (
            "HTTP/1.0 200 OK\nX-Content-Length: 3\nCONTENT-LENGTH: \t2 \n\nok" + plain,
            ["200 ok", "200 hello"]
        ),
        ("HTTP/1.1 200 OK\r\n\r\nto the end", ["200 to the end"]),
        // The same length and other bytes; the same beginning and another end.
        (
            plain + "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nlonger!" + plain,
            ["200 hello", "200 longer!", "200 hello"]
        ),
    ]

    @Test(arguments: examples.indices)
    func `replies are the same however they are cut`(_ index: Int) {
        let example = HTTPReplyReaderTests.examples[index]
        for pieces in cuttings(Array(example.text.utf8)) {
            let found = read(pieces)
            #expect(found.replies == example.replies, "\(pieces.count) pieces: \(example.text)")
            #expect(!found.isViolated)
        }
    }

    @Test(
        arguments: [
            "SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
            "HTTP/1.1 200 OK\r\nX: " + String(repeating: "x", count: 20_000) + "\r\n\r\n",
        ])
    func `nonsense is a violation however it is cut`(_ text: String) {
        let bytes = Array(text.utf8)
        let ways = bytes.count > 1000 ? [[bytes], bytes.map { [$0] }] : cuttings(bytes)
        for pieces in ways { #expect(read(pieces).isViolated, "\(pieces.count) pieces") }
    }
}

@Suite("RESP replies, as a client reads them") struct RESPReplyReaderTests {
    private func read(_ pieces: [[UInt8]]) -> String {
        var reader = RESPReplyReader()
        let carry = UnsafeMutablePointer<UInt8>.allocate(capacity: RESPReplyReader.lineBytesMax)
        defer { carry.deallocate() }
        var letters = ""
        for piece in pieces {
            var used = 0
            while used < piece.count {
                let step = piece.withUnsafeBufferPointer { bytes in
                    reader.next(bytes.baseAddress! + used, piece.count - used, carry: carry)
                }
                used += step.consumed
                switch step.kind {
                case .reply: letters += reader.isError ? "e" : reader.isNil ? "n" : "v"
                case .violation: return letters + "!"
                case .needMore, .piece: break
                }
            }
        }
        return reader.isAtRest ? letters : letters + "…"
    }

    /// v a value, n nil, e an error, ! no RESP, … unfinished.
    static let examples: [(text: String, letters: String)] = [
        ("+OK\r\n", "v"), ("+OK\r\n+PONG\r\n:42\r\n", "vvv"), ("-ERR no\r\n+OK\r\n", "ev"),
        ("$5\r\nhello\r\n$0\r\n\r\n$-1\r\n", "vvn"), ("$7\r\na\r\nb\r\nc\r\n", "v"),
        ("*2\r\n$1\r\na\r\n:5\r\n+OK\r\n", "vv"), ("*0\r\n*-1\r\n_\r\n", "vnn"),
        ("*2\r\n*1\r\n$1\r\na\r\n*2\r\n-ERR in it\r\n$-1\r\n:1\r\n", "vv"),
        ("%1\r\n+k\r\n:1\r\n#t\r\n,1.5\r\n(123\r\n", "vvvv"),
        ("=5\r\ntxt:a\r\n!3\r\nERR\r\n", "ve"),
        ("|1\r\n+ttl\r\n:3\r\n$2\r\nhi\r\n+OK\r\n", "vv"), ("~1\r\n:1\r\n>1\r\n+x\r\n", "vv"),
        ("$3\r\nab", "…"), ("*2\r\n:1\r\n", "…"), ("?what\r\n", "!"), ("$x\r\n", "!"),
        ("$99999999999999\r\n", "!"), ("+OK\n", "!"),
    ]

    @Test(arguments: examples.indices)
    func `replies are the same however they are cut`(_ index: Int) {
        let example = RESPReplyReaderTests.examples[index]
        for pieces in cuttings(Array(example.text.utf8)) {
            #expect(read(pieces) == example.letters, "\(pieces.count) pieces: \(example.text)")
        }
    }
}

@Suite("Event streams, as a client reads them") struct EventStreamReaderTests {
    private func read(_ pieces: [[UInt8]]) -> [String] {
        var reader = EventStreamReader()
        defer { reader.reset() }
        var found: [String] = []
        for piece in pieces {
            var bytes = piece
            var used = 0
            bytes.withUnsafeMutableBufferPointer { bytes in
                while used < bytes.count {
                    let step = reader.next(bytes.baseAddress! + used, bytes.count - used)
                    used += step.consumed
                    switch step.kind {
                    case .event:
                        let data = UnsafeBufferPointer(
                            start: UnsafePointer(step.data), count: step.dataCount)
                        let name = UnsafeBufferPointer(start: step.name, count: step.nameCount)
                        let prefix = step.nameCount > 0 ? String(decoding: name, as: UTF8.self) : ""
                        found.append(prefix + "<" + String(decoding: data, as: UTF8.self) + ">")
                    case .idle: if step.hasComment { found.append("#") }
                    case .needMore: break
                    case .violation: found.append("!")
                    }
                }
            }
        }
        return found
    }

    static let examples: [(text: String, events: [String])] = [
        ("data: hello\n\n", ["<hello>"]),
        ("data:hello\r\n\r\ndata: two\r\rdata: three\n\n", ["<hello>", "<two>", "<three>"]),
        ("id: 7\nevent: bye\ndata: {}\n\n", ["bye<{}>"]),
        ("data: a\ndata: b\ndata\ndata:  c\n\n", ["<a\nb\n\n c>"]),
        (": heartbeat\n\n: again\n\ndata: x\n\n", ["#", "#", "<x>"]),
        ("retry: 2000\n\ndata: x\n\n", ["<x>"]),
        ("\n\ndata: x\n\n\n\ndata: y\n\n", ["<x>", "<y>"]),
        ("event: none\n\ndata: x\n\n", ["<x>"]),
        ("datum: no\ndat: no\ndata: yes\n\n", ["<yes>"]),
        ("data: unfinished\n", []),
        ("data: a: b\r\n: comment inside\r\ndata:c\r\n\r\n", ["<a: b\nc>"]),
        ("data:\n\n", ["<>"]),
    ]

    @Test func `ids and retry times are read however they are cut`() {
        let text = "retry: 2000\n\nid: a:7\ndata: x\n\nid\ndata: y\n\nretry: soon\ndata: z\n\n"
        for pieces in cuttings(Array(text.utf8)) {
            var reader = EventStreamReader()
            defer { reader.reset() }
            var found: [String] = []
            for var piece in pieces {
                var used = 0
                piece.withUnsafeMutableBufferPointer { bytes in
                    while used < bytes.count {
                        let step = reader.next(bytes.baseAddress! + used, bytes.count - used)
                        used += step.consumed
                        if let retryMs = step.retryMs { found.append("retry \(retryMs)") }
                        if let id = step.id {
                            let text = UnsafeBufferPointer(start: id, count: step.idCount)
                            found.append("id \(String(decoding: text, as: UTF8.self))")
                        }
                    }
                }
            }
            #expect(found == ["retry 2000", "id a:7", "id "])
        }
    }

    @Test(arguments: examples.indices)
    func `events are the same however they are cut`(_ index: Int) {
        let example = EventStreamReaderTests.examples[index]
        for pieces in cuttings(Array(example.text.utf8)) {
            #expect(read(pieces) == example.events, "\(pieces.count) pieces: \(example.text)")
        }
    }
}

@Suite("WebSocket frames, as a client reads them") struct WebSocketReaderTests {
    private func read(_ pieces: [[UInt8]]) -> [String] {
        var reader = WebSocketReader()
        defer { reader.reset() }
        var found: [String] = []
        for var piece in pieces {
            var used = 0
            piece.withUnsafeMutableBufferPointer { bytes in
                while used < bytes.count {
                    let step = reader.next(bytes.baseAddress! + used, bytes.count - used)
                    used += step.consumed
                    let data = UnsafeBufferPointer(
                        start: UnsafePointer(step.data), count: step.dataCount)
                    let text = String(decoding: data, as: UTF8.self)
                    switch step.kind {
                    case .needMore: break
                    case .message: found.append(text)
                    case .ping: found.append("ping \(text)")
                    case .pong: found.append("pong \(text)")
                    case .close: found.append("close")
                    case .violation:
                        found.append("!")
                        used = bytes.count
                    }
                }
            }
            if found.last == "!" { break }
        }
        return found
    }

    private static func frame(_ first: UInt8, _ text: String) -> [UInt8] {
        let count = text.utf8.count
        let length: [UInt8] =
            count < 126
            ? [UInt8(count)]
            : count < 65_536
                ? [126, UInt8(count >> 8), UInt8(count & 255)]
                : [127] + (0..<8).map { UInt8(count >> (56 - 8 * $0) & 255) }
        return [first] + length + Array(text.utf8)
    }

    private static let long = String(repeating: "x", count: 300)

    static let examples: [(bytes: [UInt8], found: [String])] = [
        (frame(0x81, "hello") + frame(0x81, "") + frame(0x82, "b"), ["hello", "", "b"]),
        (frame(0x81, long) + frame(0x8A, ""), [long, "pong "]),
        // A message in three parts with a ping between them.
        (
            frame(0x01, "he") + frame(0x89, "?") + frame(0x00, "l") + frame(0x80, "lo")
                + frame(0x88, ""), ["ping ?", "hello", "close"]
        ),
        (frame(0x81, "a") + [0x81, 0x81, 0, 0, 0, 0, 0x61], ["a", "!"]),
        (frame(0xC1, "compressed"), ["!"]), (frame(0x83, "reserved"), ["!"]),
        (frame(0x80, "of nothing"), ["!"]), (frame(0x01, "a") + frame(0x81, "b"), ["!"]),
        (frame(0x09, "in parts"), ["!"]),
        ([0x89, 126, 0, 200], ["!"]), ([0x81, 127, 255, 0, 0, 0, 0, 0, 0, 0], ["!"]),
    ]

    @Test(arguments: examples.indices)
    func `messages are the same however they are cut`(_ index: Int) {
        let example = WebSocketReaderTests.examples[index]
        for pieces in cuttings(example.bytes) {
            #expect(read(pieces) == example.found, "\(pieces.count) pieces of \(index)")
        }
    }

    @Test func `a message longer than 64 KiB is read`() {
        let text = String(repeating: "y", count: 70_000)
        #expect(read([WebSocketReaderTests.frame(0x81, text)]) == [text])
        let bytes = WebSocketReaderTests.frame(0x81, text)
        #expect(
            read([Array(bytes[..<5]), Array(bytes[5...40_000]), Array(bytes[40_001...])]) == [text])
    }
}

@Suite("What a listener asks for and is told") struct SubscriptionTests {
    @Test func `a stream is gone on with as a browser does it`() {
        let events = SubscriptionText(
            path: "/t/subscribe/k", host: "h", headers: [], isWebSocket: false)
        let first = Array("GET /t/subscribe/k HTTP/1.1\r\nHost: h\r\n\r\n".utf8)
        #expect(
            String(decoding: events.resuming(first, from: Array("a:7".utf8)), as: UTF8.self)
                == "GET /t/subscribe/k HTTP/1.1\r\nHost: h\r\nLast-Event-ID: a:7\r\n\r\n")
        let messages = SubscriptionText(
            path: "/t/subscribe/k", host: "h", headers: [], isWebSocket: true)
        #expect(
            String(decoding: messages.resuming(first, from: Array("a:7".utf8)), as: UTF8.self)
                == "GET /t/subscribe/k?lastEventId=a%3A7 HTTP/1.1\r\nHost: h\r\n\r\n")
    }

    @Test(
        arguments: [
            ("{\"id\":\"7\",\"event\":\"Updated\",\"value\":1}", .change, "7"),
            ("{\"event\":\"reset\"}", .reset, ""), ("{\"event\":\"bye\"}", .bye, ""),
            ("{\"id\":\"8\",\"event\":\"lagged\",\"skipped\":12}", .lagged, "8"),
            ("{}", .change, ""),
            ("", .change, ""), ("{\"id\":\"9", .change, ""),
            ("{\"value\":{\"event\":\"reset\"}}", .change, ""),
        ] as [(String, LiveMessage.Kind, String)])
    func `a message is known for what it is`(
        _ text: String, _ kind: LiveMessage.Kind, _ id: String
    ) {
        var bytes = Array(text.utf8)
        bytes.withUnsafeMutableBufferPointer { bytes in
            guard let start = bytes.baseAddress else { return }
            let message = LiveMessage(webSocket: start, bytes.count)
            #expect(message.kind == kind)
            let found = UnsafeBufferPointer(start: message.id, count: message.idCount)
            #expect(String(decoding: found, as: UTF8.self) == id)
            #expect(message.skipped == (kind == .lagged ? 12 : 0))
        }
    }
}

@Suite("Stamps and requests") struct StampTests {
    private func text(_ write: (UnsafeMutablePointer<UInt8>) -> Void, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0x2E, count: count)
        bytes.withUnsafeMutableBufferPointer { write($0.baseAddress!) }
        return bytes
    }

    @Test func `a stamp is found again in whatever is put around it`() {
        let stamp = Stamp(
            run: 0xdead_beef, event: 7, key: 99, sequence: 0xffff_ffff, settled: 0x1234_5678,
            sentNs: 1 << 62)
        let bytes = text({ stamp.write(to: $0) }, count: Stamp.byteCount)
        for envelope in ["", "n", "ntb1", "{\"value\":\"", "ntb1zzzzzzzz", "nnnnntb"] {
            let whole = Array(envelope.utf8) + bytes + Array("\"}".utf8)
            let found = whole.withUnsafeBufferPointer {
                Stamp.find(in: $0.baseAddress!, whole.count)
            }
            #expect(found == stamp, "\(envelope)")
        }
        let cut = Array(bytes.dropLast())
        #expect(cut.withUnsafeBufferPointer { Stamp.find(in: $0.baseAddress!, cut.count) } == nil)
    }

    @Test func `a request is written with its key and nothing else changed`() {
        let request = RequestTemplate.http(
            method: "PUT", path: "/t/key/{key}?x=1", host: "h:1", headers: ["A: b"],
            contentType: "text/plain", body: Array("hi".utf8))
        let bytes = text({ request.write(to: $0, key: 4207) }, count: request.count)
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == "PUT /t/key/key00004207?x=1 HTTP/1.1\r\nHost: h:1\r\nA: b\r\n"
                + "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi")
    }

    @Test func `a RESP command's key is as long as it says`() {
        let texts = RequestTexts(
            settings: {
                var s = Settings(); s.command = .resp; s.size = 3; return s
            }(),
            headers: [])
        let read = texts.read
        let bytes = text({ read.write(to: $0, key: 12) }, count: read.count)
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == "*2\r\n$3\r\nGET\r\n$17\r\nbench:key00000012\r\n")
        let write = texts.write
        let set = text({ write.write(to: $0, key: 99_999_999) }, count: write.count)
        let said = String(decoding: set, as: UTF8.self)
        #expect(said.hasPrefix("*3\r\n$3\r\nSET\r\n$17\r\nbench:key99999999\r\n$3\r\n"))
        #expect(said.count == "*3\r\n$3\r\nSET\r\n$17\r\nbench:key99999999\r\n$3\r\nabc\r\n".count)
    }

    @Test(arguments: [
        (Settings.RESPCommand.incr, "*2\r\n$4\r\nINCR\r\n$19\r\nn:bench:key00000007\r\n"),
        (.lpush, "*3\r\n$5\r\nLPUSH\r\n$10\r\nbench:list\r\n$0\r\n\r\n"),
        (.lpop, "*2\r\n$4\r\nLPOP\r\n$10\r\nbench:list\r\n"),
    ])
    func `counters have a key each, pushes and pops one list`(
        command: Settings.RESPCommand, text wanted: String
    ) {
        var settings = Settings()
        settings.command = .resp
        settings.respCommand = command
        settings.size = 0
        let write = RequestTexts(settings: settings, headers: []).write
        let bytes = text({ write.write(to: $0, key: 7) }, count: write.count)
        #expect(String(decoding: bytes, as: UTF8.self) == wanted)
    }
}
