import Glibc
import TestClient
import Testing

@Suite(.serialized) struct `Starting` {
    @Test func `help and version are printed and end well`() throws {
        let help = try Server.run(["--help"])
        #expect(help.exit == .code(0))
        for flag in ["--dir", "--io", "--shards", "--max-connections", "--header-timeout"] {
            #expect(help.output.contains(flag))
        }
        #expect(!help.output.contains("--test-routes"), "what is for tests only is not advertised")
        let version = try Server.run(["--version"])
        #expect(version.exit == .code(0))
        #expect(version.output.hasPrefix("needletail "))
    }

    @Test(arguments: [
        ["--nonsense"], ["--shards", "0"], ["--shards", "many"], ["--shards", "-1"],
        ["--io", "kqueue"], ["--max-value", "-1"], ["--max-value", "much"],
        ["--header-timeout", "soon"], ["--idle-timeout", "-1"], ["--log-format", "xml"],
        ["--max-connections", "0"], ["--dir"], ["--tls-cert", "/nowhere"], ["127.0.0.1:99999"],
        ["127.0.0.1:http"], ["somewhere"], ["127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"],
    ])
    func `a bad option is one line and 64`(_ arguments: [String]) throws {
        let run = try Server.run(arguments)
        #expect(run.exit == .code(64), "\(run.logLines)")
        #expect(run.logLines.count == 1, "\(run.logLines)")
        #expect(run.logLines.first?.contains(arguments[0]) == true, "\(run.logLines)")
    }

    @Test func `the directory is made for its owner only, and lives on`() throws {
        let base = try Server.temporaryDirectory()
        defer { Server.removeTree(base) }
        let directory = base + "/kept"
        let first = try Server.start(directory: directory)
        #expect(first.directoryMode == 0o700)
        let identity = try first.ask("GET", "/health").text
        #expect(identity.contains("\"node_id\":\""))
        first.signal(SIGTERM)
        #expect(first.waitForExit() == .code(0))
        let second = try Server.start(directory: directory)
        #expect(try second.ask("GET", "/health").text == identity, "a node keeps its id")
    }

    @Test func `a second process on the same directory is refused in one line`() throws {
        let server = try Server.start()
        let second = try Server.run(["127.0.0.1:0"], directory: server.directory)
        #expect(second.exit == .code(1))
        #expect(second.logLines.count == 1, "\(second.logLines)")
        #expect(second.logLines.first?.contains(server.directory) == true, "\(second.logLines)")
        #expect(server.answers)
        // The lock goes with the process, however it went.
        server.signal(SIGKILL)
        #expect(server.waitForExit() == .signal(SIGKILL))
        #expect(try Server.start(directory: server.directory).answers)
    }

    @Test(arguments: IODriver.allCases)
    func `an address in use is refused in one line`(_ io: IODriver) throws {
        let server = try Server.start(io: io)
        let second = try Server.run(["127.0.0.1:\(server.port)", "--io", io.rawValue])
        #expect(second.exit == .code(1))
        #expect(second.logLines.count == 1, "\(second.logLines)")
        #expect(second.logLines.first?.contains("\(server.port)") == true, "\(second.logLines)")
        #expect(server.answers)
    }

    @Test(arguments: ["/dev/null/data", "/proc/data"])
    func `a directory that can't be made is refused in one line`(_ path: String) throws {
        let run = try Server.run(["127.0.0.1:0"], directory: path)
        #expect(run.exit == .code(1))
        #expect(run.logLines.count == 1, "\(run.logLines)")
        #expect(run.logLines.first?.contains(path) == true, "\(run.logLines)")
    }

    @Test func `the soft limit of descriptors is raised, and no core is dumped`() throws {
        let server = try Server.start(softFiles: 256)
        let files = try #require(server.figures.limit("Max open files"))
        #expect(files.soft == files.hard)
        let core = try #require(server.figures.limit("Max core file size"))
        #expect(core.soft == "0", "memory holds secrets")
    }

    @Test(arguments: Refusal.allCases)
    func `where io_uring is refused it serves on epoll and says so once`(
        _ refusal: Refusal
    ) throws {
        let server = try Server.start(["--io", "auto"], refusingURing: refusal)
        let client = try server.connect()
        for _ in 0..<10 { #expect(try client.ask("GET", "/health").status == 200) }
        let said = server.logLines.filter { $0.contains("epoll") }
        #expect(said.count == 1, "\(server.logLines)")
    }

    @Test(arguments: Refusal.allCases)
    func `who insists on io_uring where it is refused hears the remedy`(
        _ refusal: Refusal
    ) throws {
        let run = try Server.run(["127.0.0.1:0", "--io", "uring"], refusingURing: refusal)
        #expect(run.exit == .code(1))
        #expect(run.logLines.count == 1, "\(run.logLines)")
        #expect(run.logLines.first?.contains("--io epoll") == true, "\(run.logLines)")
    }

    @Test(arguments: IODriver.allCases)
    func `the driver that was asked for is the one it says`(_ io: IODriver) throws {
        let server = try Server.start(io: io)
        let other = io == .uring ? "epoll" : "uring"
        #expect(server.logLines.contains { $0.contains(io.rawValue) }, "\(server.logLines)")
        #expect(!server.logLines.contains { $0.contains(other) }, "\(server.logLines)")
        let opened = server.figures.openFiles.joined(separator: " ")
        #expect(opened.contains("io_uring") == (io == .uring))
    }

    @Test(arguments: [
        "defer-taskrun", "single-issuer", "coop-taskrun", "multishot-accept", "multishot-recv",
        "registered-ring",
        "defer-taskrun,single-issuer,coop-taskrun,multishot-accept,multishot-recv,registered-ring",
    ])
    func `it serves without the newer features of io_uring`(_ mask: String) throws {
        let server = try Server.start(
            io: .uring, ["--test-routes", "--io-mask", mask, "--shards", "2"])
        let clients = try (0..<20).map { _ in try server.connect() }
        let body = noise(300_000)
        for client in clients {
            #expect(try client.ask("GET", "/health").status == 200)
            try client.sendWhileHearing(
                Array("POST /_test/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 300000\r\n\r\n".utf8)
                    + body)
            expectSame(try client.reply().body, body, "\(mask)")
            try client.send("GET /_test/stream?n=300000 HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(try client.replySize(of: UInt8(ascii: "x")).bytes == 300_000)
        }
        server.signal(SIGTERM)
        #expect(server.waitForExit() == .code(0), "\(server.log)")
    }

    @Test(arguments: IODriver.allCases)
    func `a log of JSON is one object a line`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--log-format", "json"])
        #expect(server.answers)
        server.signal(SIGTERM)
        #expect(server.waitForExit() == .code(0))
        #expect(!server.logLines.isEmpty)
        for line in server.logLines {
            #expect(line.hasPrefix("{") && line.hasSuffix("}"), "\(line)")
        }
    }

    @Test(arguments: IODriver.allCases)
    func `nothing is logged for each request`(_ io: IODriver) throws {
        let server = try Server.start(io: io)
        #expect(server.answers)
        let lines = server.logLines.count
        let client = try server.connect()
        for _ in 0..<100 { #expect(try client.ask("GET", "/nothing").status == 404) }
        for _ in 0..<100 { #expect(try server.connect().ask("BAD(", "/").status == 400) }
        #expect(server.logLines.count <= lines + 1)
    }
}
