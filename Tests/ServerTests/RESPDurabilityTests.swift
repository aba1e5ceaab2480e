import Glibc
import TestClient
import Testing
import Wire

/// What Redis clients wrote, after a kill.
@Suite("Redis clients and a kill") struct RESPDurabilityTests {
    /// A directory that lives as long as the test.
    private final class Home {
        let path: String
        init() throws { path = try Server.temporaryDirectory() }
        deinit { Server.removeTree(path) }
        var data: String { path + "/data" }
    }

    static let shapes = [
        NodeShape(io: .uring, shards: 1), NodeShape(io: .uring, shards: 4),
        NodeShape(io: .epoll, shards: 2),
    ]

    private func kill(_ server: Server) {
        server.signal(SIGKILL)
        #expect(server.waitForExit() == .signal(SIGKILL))
    }

    private func walBytes(_ server: Server) throws -> Int {
        let reply = expect(200, try Caller(try server.connect(), nil).get("/metrics"))
        return try #require(reply.json?["wal_size"]?.int)
    }

    @Test(arguments: shapes, ["always", "everysec"])
    func `lists, however they were changed, are what they were`(
        _ shape: NodeShape, _ policy: String
    ) throws {
        let home = try Home()
        let first = try shape.start(["--fsync", policy], directory: home.data)
        let redis = try RESPCaller(first)
        var lists: [String: String] = [:]
        for number in 0..<6 {
            let name = "list\(number)"
            _ = try redis.ask(["RPUSH", name] + (0..<50).map { "e\($0)" })
            _ = try redis.ask("LPUSH", name, "front", "", "and more")
            _ = try redis.ask("LSET", name, "7", "seven, and a longer one")
            _ = try redis.ask("LINSERT", name, "AFTER", "e20", "between")
            _ = try redis.ask("LREM", name, "0", "e30")
            _ = try redis.ask("LPOP", name, "2")
            _ = try redis.ask("RPOP", name)
            _ = try redis.ask("LTRIM", name, "1", "-4")
            if number == 2 { _ = try redis.ask("EXPIRE", name, "1000") }
            if number == 3 { _ = try redis.ask("RENAME", name, "renamed") }
            _ = try redis.ask("RPUSH", name, "last")
        }
        _ = try redis.ask("RPOPLPUSH", "list0", "list1")
        _ = try redis.ask("LMOVE", "list1", "list1", "LEFT", "RIGHT")
        _ = try redis.ask("DEL", "list4", "list5")
        let names = (0..<6).map { "list\($0)" } + ["renamed"]
        for name in names { lists[name] = try redis.ask("LRANGE", name, "0", "-1") }
        kill(first)
        let second = try shape.start(["--fsync", policy], directory: home.data)
        let again = try RESPCaller(second)
        for name in names {
            #expect(try again.ask("LRANGE", name, "0", "-1") == lists[name])
        }
        #expect(try Int(again.ask("TTL", "list2")) ?? 0 > 0)
        kill(second)
    }

    @Test func `a push costs the log what it pushes, however long the list is`() throws {
        let server = try NodeShape(io: .uring, shards: 1).start()
        let redis = try RESPCaller(server)
        for _ in 0..<20 {
            _ = try redis.ask(["RPUSH", "list"] + (0..<1000).map { "element \($0)" })
        }
        _ = try redis.ask("LPUSH", "list", "x")
        let before = try walBytes(server)
        for _ in 0..<100 {
            _ = try redis.ask("LPUSH", "list", "x")
            _ = try redis.ask("RPOP", "list")
        }
        // A record is some hundred bytes with its frame; the list has two hundred thousand.
        #expect(try walBytes(server) - before < 200 * 160)
    }

    @Test(arguments: shapes, ["always", "everysec"])
    func `an acknowledged transaction is there, whatever shards it was on`(
        _ shape: NodeShape, _ policy: String
    ) throws {
        let home = try Home()
        let first = try shape.start(["--fsync", policy], directory: home.data)
        let redis = try RESPCaller(first)
        for round in 0..<20 {
            #expect(try redis.ask("MULTI") == "OK")
            for key in 0..<6 {
                _ = try redis.ask("SET", "k\(key)", "round \(round)")
                _ = try redis.ask("RPUSH", "l\(key)", "round \(round)")
            }
            #expect(try redis.ask("EXEC").hasPrefix("[OK 1") || round > 0)
            #expect(
                try redis.ask(["MSET"] + (0..<6).flatMap { ["m\($0)", "\(round)"] }) == "OK")
        }
        _ = try redis.ask("RENAME", "k0", "k9")
        kill(first)
        let second = try shape.start(["--fsync", policy], directory: home.data)
        let again = try RESPCaller(second)
        #expect(
            try again.ask(["MGET"] + (0..<6).map { "m\($0)" })
                == "[" + Array(repeating: "19", count: 6).joined(separator: " ") + "]")
        for key in 1..<6 {
            #expect(try again.ask("GET", "k\(key)") == "round 19")
            #expect(try again.ask("LLEN", "l\(key)") == "20")
        }
        #expect(try again.ask("MGET", "k0", "k9") == "[nil round 19]")
        kill(second)
    }

    @Test(arguments: shapes)
    func `a transaction that was under way at a kill is there whole, or not at all`(
        _ shape: NodeShape
    ) throws {
        let home = try Home()
        let keys = (0..<8).map { "key\($0)" }
        for round in 0..<(isSoak ? 40 : 6) {
            let server = try shape.start(["--fsync", "no"], directory: home.data)
            let port = server.port
            let pid = server.pid
            let first = try RESPCaller(server)
            // What earlier rounds left is whole, too.
            try Self.expectWhole(first, keys)
            _ = try atOnce(3) { number in
                guard let redis = try? RESPCaller(port: port) else { return }
                if number == 2 {
                    usleep(UInt32(20_000 + round * 7_000 % 60_000))
                    Glibc.kill(pid, SIGKILL)
                    return
                }
                // The connection ends with the node.
                for turn in 0..<100_000 {
                    let value = "\(round)-\(number)-\(turn)"
                    if turn % 2 == 0 {
                        let words = ["MSET"] + keys.flatMap { [$0, value] }
                        guard (try? redis.ask(words)) == "OK" else { return }
                    } else {
                        guard (try? redis.ask("MULTI")) == "OK" else { return }
                        for key in keys { _ = try? redis.ask("SET", key, value) }
                        guard (try? redis.ask("EXEC")) != nil else { return }
                    }
                }
            }
            #expect(server.waitForExit() == .signal(SIGKILL))
        }
        let last = try shape.start(directory: home.data)
        try Self.expectWhole(try RESPCaller(last), keys)
    }

    private static func expectWhole(_ redis: RESPCaller, _ keys: [String]) throws {
        let seen = try redis.ask(["MGET"] + keys)
        let values = Set(seen.dropFirst().dropLast().split(separator: " "))
        #expect(values.count == 1, "\(seen)")
    }
}
