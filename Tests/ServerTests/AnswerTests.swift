import Glibc
import TestClient
import Testing

@Suite(.serialized) struct `Answers` {
    @Test(arguments: IODriver.allCases)
    func `health says alive and which node`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--node-id", "node-a"])
        let client = try server.connect()
        let reply = try client.ask("GET", "/health")
        #expect(reply.status == 200)
        #expect(reply.header("content-type")?.hasPrefix("application/json") == true)
        #expect(reply.text == "{\"status\":\"healthy\",\"node_id\":\"node-a\"}")
        let head = try client.ask("HEAD", "/health")
        #expect(head.status == 200)
        #expect(head.header("content-length") == "\(reply.body.count)")
        let options = try client.ask("OPTIONS", "/health")
        #expect([200, 204].contains(options.status))
        #expect(allowed(options) == ["GET", "HEAD", "OPTIONS"])
        #expect(try client.ask("GET", "/ready").status == 200)
    }

    @Test(arguments: IODriver.allCases)
    func `answers carry the date, as RFC 9110 6.6.1 asks of who has a clock`(
        _ io: IODriver
    ) throws {
        let server = try Server.start(io: io)
        for target in ["/health", "/nothing"] {
            let date = try #require(try server.ask("GET", target).header("date"))
            #expect(date.utf8.count == 29 && date.hasSuffix(" GMT"), "\(date)")
        }
    }

    @Test(arguments: IODriver.allCases)
    func `errors are one sentence of JSON and keep the connection`(_ io: IODriver) throws {
        let server = try Server.start(io: io)
        let client = try server.connect()
        let missing = try client.ask("GET", "/nothing/here")
        #expect(missing.status == 404)
        #expect(missing.errorSentence != nil)
        let wrong = try client.ask("DELETE", "/health")
        #expect(wrong.status == 405)
        #expect(wrong.errorSentence != nil)
        #expect(allowed(wrong) == ["GET", "HEAD", "OPTIONS"])
        #expect(try client.ask("GET", "/health").status == 200)
    }

    @Test(arguments: IODriver.allCases)
    func `test routes are there only when asked for`(_ io: IODriver) throws {
        let server = try Server.start(io: io)
        #expect(try server.ask("GET", "/_test/bytes?n=1").status == 404)
        #expect(try server.ask("GET", "/_test/crash").status == 404)
        #expect(server.answers)
    }

    @Test(arguments: IODriver.allCases)
    func `a body comes back as it was sent`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes"])
        for size in [0, 1, 4095, 4096, 4097, 65535, 65536, 1_000_000, 8 << 20] {
            let body = noise(size)
            let client = try server.connect()
            try client.sendWhileHearing(
                Array("PUT /_test/echo HTTP/1.1\r\nHost: t\r\nContent-Length: \(size)\r\n\r\n".utf8)
                    + body)
            let whole = try client.reply()
            #expect(whole.status == 200)
            expectSame(whole.body, body, "\(size) bytes with a length")
            try client.sendWhileHearing(
                Array(
                    "POST /_test/echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                        .utf8)
                    + inChunks(body))
            let pieces = try client.reply()
            #expect(pieces.status == 200)
            expectSame(pieces.body, body, "\(size) bytes in chunks")
        }
    }

    @Test(arguments: IODriver.allCases)
    func `answers of any size arrive whole, with a length or as a stream`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes"])
        let client = try server.connect(receiveBuffer: 8192)
        for size in [0, 1, 4096, 16383, 16384, 16385, 65536, 3_000_000] {
            for kind in ["bytes", "stream"] {
                try client.send("GET /_test/\(kind)?n=\(size) HTTP/1.1\r\nHost: t\r\n\r\n")
                let (status, count) = try client.replySize(of: UInt8(ascii: "x"))
                #expect(status == 200)
                #expect(count == size, "\(kind) of \(size)")
            }
        }
    }

    @Test(arguments: IODriver.allCases)
    func `a stream for HTTP 1.0 ends with the connection`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes"])
        let client = try server.connect()
        try client.send("GET /_test/stream?n=100000 HTTP/1.0\r\nHost: t\r\n\r\n")
        let reply = try client.reply()
        #expect(reply.header("transfer-encoding") == nil)
        #expect(reply.body.count == 100_000)
    }

    @Test(arguments: IODriver.allCases)
    func `100 Continue is said only to who waits for it`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes", "--max-value", "1000"])
        let client = try server.connect()
        let waiting = "POST /_test/echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"

        try client.send(waiting + "Content-Length: 5\r\n\r\n")
        #expect(try client.interimStatus() == 100)
        try client.send("hello")
        let asked = try client.reply()
        #expect(asked.status == 200 && asked.text == "hello" && asked.interim.isEmpty)

        try client.send(waiting + "Content-Length: 5\r\n\r\nhello")
        let together = try client.reply()
        #expect(together.status == 200 && together.interim.isEmpty)

        try client.send(waiting + "Content-Length: 0\r\n\r\n")
        let empty = try client.reply()
        #expect(empty.status == 200 && empty.interim.isEmpty)

        let old = try server.connect()
        try old.send(
            "POST /_test/echo HTTP/1.0\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
        #expect(throws: ClientError.timedOut("an answer")) {
            try old.interimStatus(withinMs: 200)
        }
        try old.send("hello")
        #expect(try old.reply().status == 200)

        let tooLarge = try server.connect()
        try tooLarge.send(waiting + "Content-Length: 100000\r\n\r\n")
        let refused = try tooLarge.reply()
        #expect(refused.status == 413 && refused.interim.isEmpty)

        let nowhere = try server.connect()
        try nowhere.send(
            "POST /nothing HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
        let missing = try nowhere.reply()
        #expect(missing.status == 405 && missing.interim.isEmpty)
    }

    @Test(arguments: IODriver.allCases)
    func `ten thousand pipelined requests get ten thousand answers in order`(
        _ io: IODriver
    ) throws {
        let server = try Server.start(io: io, ["--test-routes"])
        try expectPipelineInOrder(server, count: 10_000)
    }

    @Test(
        arguments: IODriver.allCases,
        [
            ["--turn-requests", "1", "--turn-bytes", "1024"],
            ["--pipeline-depth", "1"], ["--pipeline-depth", "4", "--turn-requests", "3"],
        ])
    func `narrow shares of a turn change nothing but the pace`(
        _ io: IODriver, _ options: [String]
    ) throws {
        let server = try Server.start(io: io, ["--test-routes"] + options)
        try expectPipelineInOrder(server, count: 1000)
    }

    @Test(arguments: IODriver.allCases)
    func `the bounds of a head are options`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--header-bytes", "1024", "--header-count", "10"])
        let fits = "X-A: " + String(repeating: "a", count: 800) + "\r\n"
        let isTooLong = "X-A: " + String(repeating: "a", count: 1100) + "\r\n"
        let ten = (2...10).map { "X-\($0): 1\r\n" }.joined()
        #expect(try server.connect().ask("GET", "/health", fits).status == 200)
        #expect(try server.connect().ask("GET", "/health", isTooLong).status == 431)
        #expect(try server.connect().ask("GET", "/health", ten).status == 200)
        #expect(try server.connect().ask("GET", "/health", ten + "X-11: 1\r\n").status == 431)
    }

    /// Sends a mix of GET and HEAD in one go and half-closes; each answer's length tells which
    /// request it belongs to.
    private func expectPipelineInOrder(_ server: Server, count: Int) throws {
        var bytes: [UInt8] = []
        for index in 0..<count {
            let method = index % 3 == 0 ? "HEAD" : "GET"
            bytes += "\(method) /_test/bytes?n=\(index % 1009) HTTP/1.1\r\nHost: t\r\n\r\n".utf8
        }
        let client = try server.connect()
        let request = bytes
        background {
            try? client.send(request, withinMs: 60_000)
            client.finishSending()
        }
        for index in 0..<count {
            let reply = try client.reply(toHead: index % 3 == 0)
            guard reply.status == 200, reply.header("content-length") == "\(index % 1009)",
                index % 3 == 0 || reply.body.count == index % 1009
            else {
                Issue.record("answer \(index): \(reply.status) \(reply.headers)")
                return
            }
        }
        #expect(client.ending() == .closed)
        #expect(server.answers)
    }

    private func allowed(_ reply: Reply) -> [String] {
        (reply.header("allow") ?? "").split(separator: ",").map {
            String($0.drop(while: { $0 == " " }))
        }.sorted()
    }
}

/// Bytes in which a piece out of place would show.
func noise(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count + 8) { bytes, filled in
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        for at in stride(from: 0, to: count, by: 8) {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            UnsafeMutableRawBufferPointer(bytes).storeBytes(
                of: state, toByteOffset: at, as: UInt64.self)
        }
        filled = count
    }
}

/// Compares without printing megabytes where they differ.
func expectSame(
    _ got: [UInt8], _ sent: [UInt8], _ what: String, at place: SourceLocation = #_sourceLocation
) {
    if got == sent { return }
    let index = zip(got, sent).enumerated().first { $0.element.0 != $0.element.1 }?.offset
    Issue.record(
        "\(what): \(got.count) of \(sent.count) bytes, the first wrong one at \(index ?? got.count)",
        sourceLocation: place)
}

/// A body in chunks of growing size.
func inChunks(_ body: [UInt8]) -> [UInt8] {
    var framed: [UInt8] = []
    var at = 0
    var size = 1
    while at < body.count {
        let end = min(body.count, at + size)
        framed += "\(String(end - at, radix: 16))\r\n".utf8
        framed += body[at..<end]
        framed += "\r\n".utf8
        at = end
        size = size * 3 + 1
    }
    return framed + Array("0\r\n\r\n".utf8)
}

extension Client {
    /// Sends on a thread of its own, so that an answer that begins early can't block both sides.
    func sendWhileHearing(_ bytes: [UInt8]) throws(ClientError) {
        if bytes.count < 65536 { return try send(bytes) }
        background { try? self.send(bytes, withinMs: 60_000) }
    }
}
