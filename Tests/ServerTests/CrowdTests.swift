import Glibc
import TestClient
import Testing

/// What a crowd of hostile clients does to one polite client that comes beside or after them.
@Suite(.serialized) struct `A polite client beside a crowd` {
    init() { raiseDescriptorLimit() }

    /// More half requests than the server has blocks for replies.
    @Test(arguments: IODriver.allCases)
    func `is answered while thousands hold back half a request`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes", "--header-timeout", "60"])
        let crowd = try (0..<5000).map { _ in try server.connect() }
        for client in crowd { try client.send("GET /health HTTP/1.1\r\nHost: t\r\nX-Half: ") }
        let polite = try server.connect()
        for _ in 0..<20 { #expect(try polite.ask("GET", "/health").status == 200) }
        // Also where one block is not enough for the answer.
        #expect(try polite.ask("GET", "/_test/bytes?n=1000000").body.count == 1_000_000)
        for client in crowd.prefix(10) {
            try client.send("1\r\n\r\n")
            #expect(try client.reply().status == 200)
        }
    }

    @Test(arguments: IODriver.allCases)
    func `is answered while hundreds ask for much and read nothing`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes"])
        #expect(server.answers)
        let before = server.figures.residentKiB
        let crowd = try (0..<400).map { _ in try server.connect(receiveBuffer: 4096) }
        for client in crowd {
            try client.send("GET /_test/bytes?n=8000000 HTTP/1.1\r\nHost: t\r\n\r\n")
        }
        let polite = try server.connect()
        for _ in 0..<50 { #expect(try polite.ask("GET", "/health").status == 200) }
        let grown = server.figures.residentPeakKiB - before
        print("400 deaf clients, \(io): \(grown) KiB more at the peak")
        #expect(server.figures.isSanitized || grown < 100 * 1024)
        for client in crowd { client.reset() }
        #expect(becomes { server.answers })
    }

    /// Those who were refused come back at once, for ever. They must not count as inside.
    @Test(arguments: IODriver.allCases)
    func `gets the place that became free though others are refused all the time`(
        _ io: IODriver
    ) throws {
        let server = try Server.start(io: io, ["--max-connections", "10"])
        let inside = try (0..<10).map { _ in try server.connect() }
        for client in inside { #expect(try client.ask("GET", "/health").status == 200) }
        let crowd = try (0..<50).map { _ in try server.connect() }
        for client in crowd {
            try client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(try client.reply().status == 503)
        }
        let descriptors = server.figures.descriptors
        for client in inside.dropFirst() { client.close() }
        #expect(becomes { server.figures.descriptors <= descriptors - 9 })
        // The crowd is still there, and has not read its end.
        #expect(try server.ask("GET", "/health").status == 200)
        #expect(try inside[0].ask("GET", "/health").status == 200)
        for client in crowd { client.close() }
    }

    @Test(arguments: IODriver.allCases)
    func `is not kept out by refused ones that dawdle over a body`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--max-connections", "1"])
        let inside = try server.connect()
        #expect(try inside.ask("GET", "/health").status == 200)
        let descriptors = server.figures.descriptors
        let crowd = try (0..<20).map { _ in try server.connect() }
        for client in crowd {
            try client.send("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n")
        }
        #expect(becomes(withinMs: 5000) { server.figures.descriptors > descriptors })
        #expect(becomes(withinMs: 5000) { server.figures.descriptors <= descriptors })
        for client in crowd { client.close() }
    }

    /// A reader who takes all that there is, at once, on the driver that sends at once.
    @Test(arguments: IODriver.allCases)
    func `is answered while another drinks from an endless stream`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes"])
        let drinker = try server.connect()
        try drinker.send("GET /_test/stream?n=99999999999 HTTP/1.1\r\nHost: t\r\n\r\n")
        #expect(try drinker.interimStatus() == 200)
        let drinks = Drinker(drinker)
        drinks.begin()
        defer { drinks.end() }
        let polite = try server.connect()
        for _ in 0..<50 { #expect(try polite.ask("GET", "/health", withinMs: 2000).status == 200) }
    }

    /// A socket whose reader ended its own direction is always ready, in the kernel's eyes.
    @Test(arguments: IODriver.allCases)
    func `is answered while others half-close and do not read`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes"])
        #expect(server.answers)
        let threads = server.figures.threads
        let descriptors = server.figures.descriptors
        let crowd = try (0..<20).map { _ in try server.connect(receiveBuffer: 4096) }
        for client in crowd {
            try client.send("GET /_test/stream?n=99999999999 HTTP/1.1\r\nHost: t\r\n\r\n")
            client.finishSending()
        }
        let polite = try server.connect()
        for _ in 0..<50 { #expect(try polite.ask("GET", "/health").status == 200) }
        #expect(server.figures.threads <= threads + 1, "a thread for each of them")
        // What lies between fills up; then there is nothing to do.
        var ticks = -1
        #expect(
            becomes(withinMs: 20_000, everyMs: 200) {
                defer { ticks = server.figures.ticks }
                return server.figures.ticks == ticks
            }, "it asks for ever whether they read")
        // Who reads after all gets everything there is, up to where it lets go.
        for client in crowd.prefix(3) {
            var heard = 0
            while heard < 20_000_000 { heard += try client.drop(withinMs: 5000) }
        }
        for client in crowd { client.reset() }
        #expect(becomes { server.figures.descriptors <= descriptors + 1 })
    }
}

/// Reads and drops, on a thread of its own.
private final class Drinker: Sendable {
    private let client: Client

    init(_ client: Client) { self.client = client }

    func begin() {
        background { while let count = try? self.client.drop(withinMs: 2000), count > 0 {} }
    }

    /// Both directions: the thread above then hears the end.
    func end() { shutdown(client.fd, Int32(SHUT_RDWR)) }
}
