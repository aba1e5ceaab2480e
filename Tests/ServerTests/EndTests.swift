import Glibc
import TestClient
import Testing

@Suite(.serialized) struct `Ending` {
    @Test(arguments: IODriver.allCases, [SIGTERM, SIGINT])
    func `an idle server ends at once and well`(_ io: IODriver, _ signal: Int32) throws {
        let server = try Server.start(io: io)
        let idle = try (0..<10).map { _ in try server.connect() }
        for client in idle.dropFirst(5) { #expect(try client.ask("GET", "/health").status == 200) }
        server.signal(signal)
        for client in idle { #expect(client.ending().isOver) }
        #expect(server.waitForExit(withinMs: 5000) == .code(0), "\(server.log)")
    }

    @Test(arguments: IODriver.allCases, [1, 2])
    func `a drain lets requests finish and takes no more`(_ io: IODriver, _ shards: Int) throws {
        let server = try Server.start(io: io, ["--test-routes", "--shards", "\(shards)"])
        // One on each shard: when all have ended, each shard knows of the drain.
        let idle = try (0..<shards).map { _ in try server.connect() }
        for client in idle { #expect(try client.ask("GET", "/health").status == 200) }
        let sending = try server.connect()
        try sending.send(
            "POST /_test/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n"
                + "Expect: 100-continue\r\n\r\n")
        let hearing = try server.connect(receiveBuffer: 8192)
        try hearing.send("GET /_test/stream?n=20000000 HTTP/1.1\r\nHost: t\r\n\r\n")
        // Both have begun before the signal.
        #expect(try sending.interimStatus() == 100)
        #expect(try hearing.hears())
        try sending.send("hello")

        server.signal(SIGTERM)
        for client in idle { #expect(client.ending(withinMs: 5000).isOver) }
        #expect(becomes { (try? server.connect()) == nil }, "new connections are refused")
        #expect(server.exitNow() == .stillRunning)

        try sending.send("world")
        let echoed = try sending.reply()
        #expect(echoed.status == 200 && echoed.text == "helloworld")
        #expect(echoed.saysClose)
        #expect(sending.ending().isOver)

        let (status, count) = try hearing.replySize(of: UInt8(ascii: "x"))
        #expect(status == 200 && count == 20_000_000)
        #expect(hearing.ending().isOver)
        #expect(server.waitForExit() == .code(0), "\(server.log)")
    }

    /// A shard without clients of its own still has keys that others' clients ask for.
    @Test(arguments: IODriver.allCases)
    func `a drain finishes requests that other shards have to answer`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes", "--shards", "3"])
        let client = try server.connect()
        let keys = "[" + (0..<20).map { "\"k\($0)\"" }.joined(separator: ",") + "]"
        try client.send(
            "POST /default/keys HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
                + "Content-Length: \(keys.utf8.count)\r\n\r\n" + keys.prefix(5))
        #expect(server.answers)
        server.signal(SIGTERM)
        #expect(becomes { (try? server.connect()) == nil })
        nap(ms: 100)
        try client.send(String(keys.dropFirst(5)))
        let reply = try client.reply(withinMs: 3000)
        #expect([200, 404].contains(reply.status))
        #expect(client.ending(withinMs: 5000).isOver)
        #expect(server.waitForExit(withinMs: 8000) == .code(0), "\(server.log)")
    }

    @Test(arguments: IODriver.allCases)
    func `a drain waits for nobody for ever`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes", "--drain-timeout", "1"])
        let stuck = try server.connect()
        try stuck.send("POST /_test/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhello")
        let deaf = try server.connect(receiveBuffer: 4096)
        try deaf.send("GET /_test/stream?n=1000000000 HTTP/1.1\r\nHost: t\r\n\r\n")
        #expect(try deaf.interimStatus() == 200)
        server.signal(SIGTERM)
        #expect(server.waitForExit(withinMs: 10_000) == .code(0), "\(server.log)")
    }

    @Test(arguments: IODriver.allCases)
    func `a second signal does not make a drain worse`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes", "--drain-timeout", "2"])
        let stuck = try server.connect()
        try stuck.send("POST /_test/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhello")
        server.signal(SIGTERM)
        #expect(becomes { (try? server.connect()) == nil })
        server.signal(SIGTERM)
        let exit = server.waitForExit(withinMs: 10_000)
        // Whether the impatient are obeyed at once is open; that it ends, and not by a crash, not.
        #expect([.code(0), .code(1), .signal(SIGTERM)].contains(exit), "\(exit) \(server.log)")
    }

    @Test(arguments: IODriver.allCases)
    func `a crash leaves a report with the signal and the build`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes"])
        let client = try server.connect()
        try client.send("GET /_test/crash HTTP/1.1\r\nHost: t\r\n\r\n")
        #expect(client.ending(withinMs: 5000).isOver)
        #expect(server.waitForExit() == .signal(SIGABRT))
        expectReport(server.log, "SIGABRT")
    }

    @Test(arguments: [
        (SIGSEGV, "SIGSEGV"), (SIGBUS, "SIGBUS"), (SIGILL, "SIGILL"), (SIGFPE, "SIGFPE"),
    ])
    func `each fatal signal is reported by its name`(_ number: Int32, _ name: String) throws {
        let server = try Server.start()
        server.signal(number)
        #expect(server.waitForExit() == .signal(number))
        expectReport(server.log, name)
    }

    @Test(arguments: IODriver.allCases)
    func `a reader of its log that goes away does not end it`(_ io: IODriver) throws {
        let server = try Server.start(io: io)
        server.signal(SIGPIPE)
        #expect(server.answers)
        server.signal(SIGHUP)
        #expect(server.answers)
    }

    private func expectReport(_ log: String, _ name: String) {
        #expect(log.contains(name), "\(log)")
        let words = log.split(whereSeparator: { !$0.isHexDigit && $0 != "x" })
        #expect(words.contains { $0.count >= 16 && $0.allSatisfy(\.isHexDigit) }, "\(log)")
        #expect(log.lowercased().contains("build"), "\(log)")
    }
}
