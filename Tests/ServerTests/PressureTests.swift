import Glibc
import Synchronization
import TestClient
import Testing

/// Clients that take and take. Each test asks the same two things: is what the server holds for
/// them bounded, and are the others still served?
@Suite(.serialized) struct `Clients under pressure` {
    static let growthKiBMax = 32 * 1024

    @Test(arguments: IODriver.allCases)
    func `who asks for much and never reads costs little`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes"])
        #expect(server.answers)
        let before = server.figures.residentKiB
        let requests = [UInt8](
            String(
                repeating: "GET /_test/bytes?n=100000 HTTP/1.1\r\nHost: t\r\n\r\n", count: 500
            ).utf8)
        var deaf: [Client] = []
        for _ in 0..<4 {
            let client = try server.connect(receiveBuffer: 4096)
            try pushUntilStuck(client, requests, most: 8 << 20)
            deaf.append(client)
        }
        try expectOthersServed(server)
        let grown = server.figures.residentPeakKiB - before
        print("never reading, \(io): \(grown) KiB more at the peak, for \(deaf.count) clients")
        #expect(server.figures.isSanitized || grown < Self.growthKiBMax)
        // The first of them comes to its senses, and nothing of its answers is lost.
        for _ in 0..<20 {
            let (status, count) = try deaf[0].replySize(of: UInt8(ascii: "x"))
            #expect(status == 200 && count == 100_000)
        }
    }

    @Test(arguments: IODriver.allCases)
    func `a stream waits for its reader`(_ io: IODriver) throws {
        let size = isSoak ? 1 << 30 : 64 << 20
        let server = try Server.start(io: io, ["--test-routes"])
        #expect(server.answers)
        let before = server.figures.residentKiB
        let client = try server.connect(receiveBuffer: 1 << 20)
        try client.send("GET /_test/stream?n=\(size) HTTP/1.1\r\nHost: t\r\n\r\n")
        // Nothing is read until the server has filled what lies between, and stopped.
        expectStandstill(server)
        try expectOthersServed(server)
        let stalled = server.figures.residentPeakKiB - before
        let (status, count) = try client.replySize(of: UInt8(ascii: "x"), withinMs: 60_000)
        #expect(status == 200)
        #expect(count == size)
        let grown = server.figures.residentPeakKiB - before
        print("stream of \(size), \(io): \(stalled) KiB more while stalled, \(grown) at the peak")
        #expect(server.figures.isSanitized || grown < Self.growthKiBMax)
        #expect(try client.ask("GET", "/health").status == 200)
    }

    @Test(arguments: IODriver.allCases)
    func `bodies in flight share one budget, and give it back`(_ io: IODriver) throws {
        let server = try Server.start(
            io: io, ["--test-routes", "--body-budget", "4194304", "--max-value", "1048576"])
        #expect(server.answers)
        let before = server.figures.residentKiB
        let head = "POST /_test/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1048576\r\n\r\n"
        let almost = [UInt8](repeating: UInt8(ascii: "x"), count: 1_048_575)
        var halfway: [Client] = []
        for _ in 0..<50 {
            let client = try server.connect()
            try client.send(head)
            var sent = 0
            _ = try becomes(withinMs: 100, everyMs: 5) {
                sent += try client.sendWhatFits(Array(almost[sent...]))
                return sent == almost.count
            }
            halfway.append(client)
        }
        try expectOthersServed(server)
        let grown = server.figures.residentPeakKiB - before
        print("50 bodies of 1 MiB on a budget of 4 MiB, \(io): \(grown) KiB more at the peak")
        #expect(server.figures.isSanitized || grown < Self.growthKiBMax)
        for client in halfway { client.reset() }
        // The budget is free again, once the server has seen them go: each of these needs a quarter.
        func isTaken() throws -> Bool {
            let client = try server.connect()
            try client.sendWhileHearing(Array(head.utf8) + almost + [UInt8(ascii: "x")])
            let (status, count) = try client.replySize(of: UInt8(ascii: "x"))
            return status == 200 && count == 1 << 20
        }
        #expect(becomes { (try? isTaken()) == true })
        for _ in 0..<8 { #expect(try isTaken()) }
    }

    @Test(arguments: IODriver.allCases)
    func `over the body budget nobody is left hanging`(_ io: IODriver) throws {
        let server = try Server.start(
            io: io,
            [
                "--test-routes", "--body-budget", "2097152", "--max-value", "1048576",
                "--body-timeout", "3",
            ])
        let request =
            Array("POST /_test/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1048576\r\n\r\n".utf8)
            + [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)
        let clients = try (0..<12).map { _ in try server.connect() }
        for client in clients { try client.sendWhileHearing(request) }
        var statuses: [Int: Int] = [:]
        for client in clients { statuses[try client.reply().status, default: 0] += 1 }
        print("12 bodies on a budget of 2, \(io): \(statuses)")
        #expect(statuses[200, default: 0] >= 2)
        #expect(Set(statuses.keys).isSubset(of: [200, 408, 503]))
        #expect(server.answers)
    }

    @Test(arguments: IODriver.allCases)
    func `one greedy pipeliner starves none of 63 polite clients`(_ io: IODriver) throws {
        let rounds = isSoak ? 400 : 30
        let server = try Server.start(io: io, ["--test-routes"])
        let polite = try (0..<63).map { _ in try server.connect() }
        let quiet = try measure(polite, rounds: rounds)

        let flood = Flood(try server.connect())
        flood.begin()
        defer { flood.end() }
        #expect(becomes { flood.bytesHeard > 100_000 }, "the greedy one gets answers too")
        let crowded = try measure(polite, rounds: rounds)
        print(
            """
            63 polite clients, \(io): p50 \(quiet.p50) µs, p99 \(quiet.p99) µs; \
            beside a greedy one p50 \(crowded.p50) µs, p99 \(crowded.p99) µs, \
            while it got \(flood.bytesHeard >> 10) KiB
            """)
        #expect(quiet.answers == 63 * rounds)
        #expect(crowded.answers == 63 * rounds)
    }

    // MARK: Private parts

    /// Sends until the server has stopped reading for a while.
    private func pushUntilStuck(
        _ client: Client, _ bytes: [UInt8], most: Int
    ) throws(ClientError) {
        var total = 0
        var at = 0
        var quietSince = monotonicMs()
        while total < most && monotonicMs() - quietSince < 300 {
            let sent = try client.sendWhatFits(Array(bytes[at...]))
            at = (at + sent) % bytes.count
            total += sent
            if sent > 0 { quietSince = monotonicMs() } else { nap(ms: 5) }
        }
    }

    /// Waits until the server uses no more processor time.
    private func expectStandstill(_ server: Server) {
        var ticks = -1
        #expect(
            becomes(everyMs: 150) {
                defer { ticks = server.figures.ticks }
                return server.figures.ticks == ticks
            }, "it goes on working for who does not read")
    }

    private func expectOthersServed(_ server: Server) throws {
        let client = try server.connect()
        for _ in 0..<100 { #expect(try client.ask("GET", "/health").status == 200) }
    }

    private func measure(
        _ clients: [Client], rounds: Int
    ) throws(ClientError) -> (answers: Int, p50: Int, p99: Int) {
        var took: [Int] = []
        for _ in 0..<rounds {
            for client in clients {
                let begun = monotonicNs()
                if try client.ask("GET", "/health").status == 200 {
                    took.append(Int(monotonicNs() - begun) / 1000)
                }
            }
        }
        took.sort()
        guard !took.isEmpty else { return (0, 0, 0) }
        return (took.count, took[took.count / 2], took[took.count * 99 / 100])
    }
}

/// A client that sends requests as fast as the server takes them, and drops the answers.
final class Flood: Sendable {
    private let client: Client
    private let stopping = Atomic(false)
    private let running = Atomic(0)
    private let heard = Atomic(0)

    init(_ client: Client) { self.client = client }

    var bytesHeard: Int { heard.load(ordering: .relaxed) }

    func begin() {
        running.store(2, ordering: .relaxed)
        let requests = [UInt8](
            String(repeating: "GET /_test/bytes?n=100 HTTP/1.1\r\nHost: t\r\n\r\n", count: 400).utf8
        )
        background {
            Self.yieldToOthers()
            while !self.stopping.load(ordering: .relaxed) {
                do throws(ClientError) { try self.client.send(requests, withinMs: 1000) } catch {
                    break
                }
            }
            self.client.finishSending()
            self.running.subtract(1, ordering: .releasing)
        }
        background {
            Self.yieldToOthers()
            while let count = try? self.client.drop(withinMs: 2000), count > 0 {
                self.heard.add(count, ordering: .relaxed)
            }
            self.running.subtract(1, ordering: .releasing)
        }
    }

    /// The greedy client would be on a machine of its own. Here it takes of the processors what the
    /// server and the others leave, or the scheduler would be measured, and not the server.
    private static func yieldToOthers() {
        let idleClass: Int32 = 5
        var parameters = sched_param()
        _ = sched_setscheduler(0, idleClass, &parameters)
    }

    func end() {
        stopping.store(true, ordering: .relaxed)
        _ = becomes { running.load(ordering: .acquiring) == 0 }
    }
}
