import Glibc
import TestClient
import Testing

@Suite(.serialized) struct `Many connections` {
    init() { raiseDescriptorLimit() }

    @Test(arguments: IODriver.allCases)
    func `one too many is told so, and the others are unharmed`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--max-connections", "20"])
        let inside = try (0..<20).map { _ in try server.connect() }
        for client in inside { #expect(try client.ask("GET", "/health").status == 200) }
        for _ in 0..<5 {
            let outside = try server.connect()
            try? outside.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n")
            let refusal = try outside.reply()
            #expect(refusal.status == 503)
            #expect(refusal.header("retry-after").flatMap { Int($0) } != nil)
            #expect(refusal.errorSentence != nil)
            #expect(refusal.saysClose)
            #expect(outside.ending().isOver)
        }
        for client in inside { #expect(try client.ask("GET", "/health").status == 200) }
        inside[7].close()
        #expect(becomes { server.answers }, "the place that became free is given to another")
        for (index, client) in inside.enumerated() where index != 7 {
            #expect(try client.ask("GET", "/health").status == 200)
        }
    }

    @Test(arguments: IODriver.allCases)
    func `a crowd over the limit that says nothing is sent away too`(_ io: IODriver) throws {
        let server = try Server.start(
            io: io, ["--max-connections", "10", "--header-timeout", "0.5"])
        let inside = try (0..<10).map { _ in try server.connect() }
        for client in inside { #expect(try client.ask("GET", "/health").status == 200) }
        let descriptors = server.figures.descriptors
        let crowd = try (0..<100).map { _ in try server.connect() }
        for client in inside { #expect(try client.ask("GET", "/health").status == 200) }
        #expect(becomes { server.figures.descriptors <= descriptors + 1 })
        for client in inside { #expect(try client.ask("GET", "/health").status == 200) }
        for client in crowd { client.close() }
    }

    @Test(arguments: IODriver.allCases)
    func `a further round of connections leaves no more than the one before`(_ io: IODriver) throws
    {
        // How many are served at the same moment, and so how many buffers are in use, differs from
        // round to round on a busy machine: it may take some until as many were as ever will be.
        let (perRound, roundsMax) = isSoak ? (10_000, 2) : (2000, 6)
        let server = try Server.start(io: io, ["--test-routes"])
        #expect(server.answers)
        let descriptors = server.figures.descriptors
        var residentKiB: [Int] = []
        var added = Int.max
        for round in 1...roundsMax where added > 256 {
            var opened = 0
            while opened < perRound {
                try openAndClose(500, server)
                opened += 500
            }
            #expect(
                becomes { server.figures.descriptors <= descriptors },
                "round \(round): descriptors \(descriptors) → \(server.figures.descriptors)")
            residentKiB.append(server.figures.residentKiB)
            if round > 1 { added = residentKiB[round - 1] - residentKiB[round - 2] }
        }
        print("\(perRound) connections a round, \(io): \(residentKiB) KiB resident after each")
        #expect(server.figures.isSanitized || added <= 256, "\(residentKiB) KiB")
        #expect(server.answers)
    }

    @Test(.enabled(if: isSoak), arguments: IODriver.allCases)
    func `fifteen thousand idle connections are held`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--idle-timeout", "300"])
        let before = server.figures.residentKiB
        let clients = try (0..<15_000).map { _ in try server.connect() }
        for client in clients { #expect(try client.ask("GET", "/health").status == 200) }
        let each = (server.figures.residentKiB - before) * 1024 / clients.count
        print("15,000 idle connections, \(io): \(each) bytes resident each")
        for client in clients { #expect(try client.ask("GET", "/health").status == 200) }
        #expect(server.answers)
    }

    @Test(arguments: IODriver.allCases)
    func `connections are dealt evenly to two shards, and stay`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes", "--shards", "2"])
        var served: [String: Int] = [:]
        for client in try (0..<10).map({ _ in try server.connect() }) {
            let shard = try client.ask("GET", "/_test/shard")
            #expect(shard.status == 200)
            served[shard.text, default: 0] += 1
            for _ in 0..<5 { #expect(try client.ask("GET", "/_test/shard").text == shard.text) }
        }
        #expect(served == ["{\"shard\":0}": 5, "{\"shard\":1}": 5])
    }

    @Test(arguments: IODriver.allCases, [1, 2])
    func `an idle server sleeps`(_ io: IODriver, _ shards: Int) throws {
        let server = try Server.start(io: io, ["--shards", "\(shards)"])
        let idle = try (0..<10).map { _ in try server.connect() }
        for client in idle { #expect(try client.ask("GET", "/health").status == 200) }
        nap(ms: 2000)
        let before = server.figures.waits
        let ticks = server.figures.ticks
        nap(ms: 3000)
        let woken = server.figures.waits - before
        print(
            """
            idle, \(io), \(shards) shards: \(woken) wake-ups and \
            \(server.figures.ticks - ticks) ticks in 3 s, \(server.figures.residentKiB) KiB resident
            """)
        // A sanitizer has a thread of its own that wakes.
        #expect(server.figures.isSanitized || woken <= 3)
        #expect(server.figures.ticks - ticks <= 1)
        if environment("NEEDLETAIL_BINARY")?.contains("release") == true && shards == 1 {
            #expect(server.figures.residentKiB <= 6 * 1024)
        }
        for client in idle { #expect(try client.ask("GET", "/health").status == 200) }
    }

    /// Opens so many at once, asks on each, and closes them in one of three ways.
    private func openAndClose(_ count: Int, _ server: Server) throws {
        let clients = try (0..<count).map { _ in try server.connect() }
        for (index, client) in clients.enumerated() {
            let headers = index % 3 == 0 ? "Connection: close\r\n" : ""
            #expect(try client.ask("GET", "/health", headers).status == 200)
        }
        for (index, client) in clients.enumerated() {
            switch index % 3 {
            case 0: #expect(client.ending() == .closed)
            case 1: client.reset()
            default: client.close()
            }
        }
    }
}
