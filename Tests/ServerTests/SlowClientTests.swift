import Glibc
import TestClient
import Testing

/// The limits of time are set low here, and judged with much room: a busy machine makes a server
/// late, never early.
@Suite(.serialized) struct `Slow clients` {
    static let limitMs = 500
    static let soonEnoughMs = 6000

    @Test(arguments: IODriver.allCases)
    func `a head that trickles in gets 408`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--header-timeout", "0.5"])
        let begun = monotonicMs()
        let client = try server.connect()
        let reply = try trickle(client, "GET /health HTTP/1.1\r\nHost: t\r\nX-Slow: ", "a")
        #expect(reply.status == 408)
        #expect(reply.errorSentence != nil)
        #expect(reply.saysClose)
        #expect(monotonicMs() - begun >= Self.limitMs - 50)
        #expect(monotonicMs() - begun < Self.soonEnoughMs)
        #expect(client.ending().isOver)
        #expect(server.answers)
    }

    @Test(arguments: IODriver.allCases)
    func `the second head of a connection is timed as the first`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--header-timeout", "0.5"])
        let client = try server.connect()
        #expect(try client.ask("GET", "/health").status == 200)
        let reply = try trickle(client, "GET /health HTTP/1.1\r\nHost: t\r\nX-Slow: ", "a")
        #expect(reply.status == 408)
        #expect(client.ending().isOver)
    }

    @Test(arguments: IODriver.allCases, [true, false])
    func `a body that trickles in gets 408`(_ io: IODriver, _ chunked: Bool) throws {
        let server = try Server.start(io: io, ["--test-routes", "--body-timeout", "0.5"])
        let begun = monotonicMs()
        let client = try server.connect()
        let framing = chunked ? "Transfer-Encoding: chunked" : "Content-Length: 100000"
        let reply = try trickle(
            client, "POST /_test/echo HTTP/1.1\r\nHost: t\r\n\(framing)\r\n\r\n",
            chunked ? "1\r\na\r\n" : "a")
        #expect(reply.status == 408)
        #expect(reply.errorSentence != nil)
        #expect(monotonicMs() - begun >= Self.limitMs - 50)
        #expect(monotonicMs() - begun < Self.soonEnoughMs)
        #expect(client.ending().isOver)
        #expect(server.answers)
    }

    /// What came fast at the start buys no hours to sit on the memory of all bodies.
    @Test(arguments: IODriver.allCases)
    func `a body that comes fast and then not at all gets 408`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes", "--body-timeout", "0.5"])
        let client = try server.connect()
        try client.send("POST /_test/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1000001\r\n\r\n")
        try client.send([UInt8](repeating: 1, count: 1_000_000))
        let reply = try client.reply(withinMs: Self.soonEnoughMs)
        #expect(reply.status == 408)
        #expect(server.answers)
    }

    @Test(arguments: IODriver.allCases)
    func `a body that comes slowly but steadily is taken`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes", "--body-timeout", "0.5"])
        let client = try server.connect()
        try client.send("POST /_test/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 6000\r\n\r\n")
        for _ in 0..<15 {
            try client.send([UInt8](repeating: 1, count: 400))
            nap(ms: 100)
        }
        #expect(try client.reply().body.count == 6000)
    }

    /// Each head has the whole time, also where the one before it ended in the same piece.
    @Test(arguments: IODriver.allCases)
    func `heads that straddle the pieces they come in are timed one by one`(
        _ io: IODriver
    ) throws {
        let server = try Server.start(io: io, ["--header-timeout", "1"])
        let client = try server.connect()
        try client.send("GET /health HT")
        for _ in 0..<10 {
            nap(ms: 200)
            try client.send("TP/1.1\r\nHost: t\r\n\r\nGET /health HT")
            #expect(try client.reply().status == 200)
        }
    }

    @Test(arguments: IODriver.allCases)
    func `a body that nobody wants is timed too`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--body-timeout", "0.5"])
        let client = try server.connect()
        try client.send("POST /nothing HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\nabc")
        let reply = try client.reply()
        #expect([404, 408].contains(reply.status))
        #expect(client.ending(withinMs: Self.soonEnoughMs).isOver)
    }

    @Test(arguments: IODriver.allCases)
    func `a connection that says nothing is closed`(_ io: IODriver) throws {
        let server = try Server.start(
            io: io, ["--header-timeout", "0.5", "--idle-timeout", "0.5"])
        let client = try server.connect()
        do throws(ClientError) {
            let reply = try client.reply(withinMs: Self.soonEnoughMs)
            #expect(reply.status == 408)
        } catch {
            #expect(error == .ended(unfinished: ""))
        }
    }

    @Test(arguments: IODriver.allCases)
    func `a connection that goes quiet is closed without a word`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--idle-timeout", "0.5"])
        let begun = monotonicMs()
        let client = try server.connect()
        #expect(try client.ask("GET", "/health").status == 200)
        #expect(client.ending(withinMs: Self.soonEnoughMs) == .closed)
        #expect(monotonicMs() - begun >= Self.limitMs - 50)
        #expect(server.answers)
    }

    @Test(arguments: IODriver.allCases)
    func `a connection that keeps asking is kept`(_ io: IODriver) throws {
        let server = try Server.start(
            io: io,
            [
                "--idle-timeout", "2", "--header-timeout", "1", "--body-timeout", "1",
                "--test-routes",
            ])
        let client = try server.connect()
        let deadline = Deadline.after(ms: 3500)
        while !deadline.isOver {
            #expect(try client.ask("GET", "/health").status == 200)
            try client.send(
                "POST /_test/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nok")
            #expect(try client.reply().text == "ok")
            nap(ms: 100)
        }
    }

    @Test(arguments: IODriver.allCases)
    func `who half-closes behind a request still gets the answer`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes"])
        let body = String(repeating: "b", count: 200_000)
        let requests: [(String, Int)] = [
            ("GET /health HTTP/1.1\r\nHost: t\r\n\r\n", -1),
            ("GET /_test/bytes?n=2000000 HTTP/1.1\r\nHost: t\r\n\r\n", 2_000_000),
            ("GET /_test/stream?n=2000000 HTTP/1.1\r\nHost: t\r\n\r\n", 2_000_000),
            (
                "POST /_test/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n" + body,
                200_000
            ),
        ]
        for (request, size) in requests {
            let client = try server.connect(receiveBuffer: 8192)
            try client.send(request)
            client.finishSending()
            let reply = try client.reply()
            #expect(reply.status == 200)
            #expect(size < 0 || reply.body.count == size)
            #expect(client.ending() == .closed)
        }
    }

    @Test(arguments: IODriver.allCases)
    func `who vanishes in the middle leaves nothing behind`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes"])
        #expect(server.answers)
        let descriptors = server.figures.descriptors
        var residentKiB: [Int] = []
        for _ in 0..<3 {
            for index in 0..<200 {
                try vanish(from: server, at: index)
            }
            #expect(
                becomes { server.figures.descriptors <= descriptors },
                "descriptors went from \(descriptors) to \(server.figures.descriptors)")
            #expect(server.answers)
            residentKiB.append(server.figures.residentKiB)
        }
        #expect(
            server.figures.isSanitized || residentKiB[2] <= residentKiB[1] + 1024,
            "resident KiB after each round: \(residentKiB)")
    }

    /// Breaks off in one of eight ways.
    private func vanish(from server: Server, at index: Int) throws {
        let client = try server.connect(receiveBuffer: 4096)
        let half = String(repeating: "b", count: 30_000)
        switch index % 8 {
        case 0: break
        case 1: try client.send("GET /hea")
        case 2:
            try client.send(
                "POST /_test/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 60000\r\n\r\n" + half)
        case 3:
            try client.send(
                "POST /_test/echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nFFFF\r\n"
                    + half)
        case 4: try client.send("GET /_test/bytes?n=5000000 HTTP/1.1\r\nHost: t\r\n\r\n")
        case 5:
            try client.send("GET /_test/stream?n=50000000 HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(try client.interimStatus() == 200)
        case 6:
            try client.send(
                String(repeating: "GET /_test/bytes?n=1000 HTTP/1.1\r\nHost: t\r\n\r\n", count: 50))
        default:
            try client.send("POST /_test/echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n")
            try client.send("Content-Length: 5\r\n\r\n")
            #expect(try client.interimStatus() == 100)
        }
        // Every other one says a proper goodbye.
        if index / 8 % 2 == 0 { client.reset() } else { client.close() }
    }

    /// Sends the start, then a piece every 20 ms until an answer comes.
    private func trickle(
        _ client: Client, _ start: String, _ piece: String
    ) throws(ClientError) -> Reply {
        try client.send(start)
        let deadline = Deadline.after(ms: Self.soonEnoughMs)
        while !deadline.isOver {
            do throws(ClientError) {
                try client.send(piece)
            } catch .reset {}
            do throws(ClientError) {
                return try client.reply(withinMs: 20)
            } catch .timedOut {}
        }
        throw .timedOut("an answer to a trickle")
    }
}
