import Glibc
import TestClient
import Testing
import Wire

/// Clients that do everything at once, and leave in the middle of it.
@Suite("Transactions under stress") struct RESPStressTests {
    static let shapes = [
        NodeShape(io: .uring, shards: 4), NodeShape(io: .epoll, shards: 3),
        NodeShape(io: .uring, shards: 1),
    ]
    static var rounds: Int { isSoak ? 4000 : 250 }

    private struct Dice {
        var state: UInt64
        mutating func roll(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
    }

    private static func command(_ dice: inout Dice) -> [String] {
        let key = "k\(dice.roll(12))"
        let other = "k\(dice.roll(12))"
        let list = "l\(dice.roll(6))"
        switch dice.roll(22) {
        case 0: return ["MSET", key, "1", other, "2", "k\(dice.roll(12))", "3"]
        case 1: return ["MGET", key, other, "k\(dice.roll(12))"]
        case 2: return ["DEL", key, other]
        case 3: return ["RENAME", key, other]
        case 4: return ["COPY", key, other, "REPLACE"]
        case 5: return ["RPUSH", list, "a", "b"]
        case 6: return ["LMOVE", list, "l\(dice.roll(6))", "LEFT", "RIGHT"]
        case 7: return ["LPOP", list]
        case 8: return ["KEYS", "k*"]
        case 9: return ["DBSIZE"]
        case 10: return ["RANDOMKEY"]
        case 11: return ["MSETNX", key, "1", other, "2"]
        case 12: return ["SCAN", "0"]
        case 13: return dice.roll(10) == 0 ? ["FLUSHDB"] : ["EXISTS", key, other]
        case 14: return ["APPEND", key, String(repeating: "x", count: dice.roll(3000))]
        case 15: return ["PUBLISH", "channel", "message"]
        case 16: return ["EXPIRE", key, "100"]
        case 17: return ["SETRANGE", key, "\(dice.roll(20_000))", "y"]
        default: return dice.roll(2) == 0 ? ["GET", key] : ["SET", key, "v"]
        }
    }

    /// A few commands in one go: alone, in MULTI, watched.
    private static func burst(_ dice: inout Dice) -> [[String]] {
        var burst: [[String]] = []
        for _ in 0...dice.roll(6) {
            switch dice.roll(4) {
            case 0:
                if dice.roll(2) == 0 {
                    burst.append(["WATCH", "k\(dice.roll(12))", "k\(dice.roll(12))"])
                }
                burst.append(["MULTI"])
                for _ in 0...dice.roll(8) { burst.append(command(&dice)) }
                burst.append([dice.roll(8) == 0 ? "DISCARD" : "EXEC"])
            default: burst.append(command(&dice))
            }
        }
        return burst
    }

    private static func bytes(_ burst: [[String]]) -> [UInt8] {
        burst.flatMap { RESPCaller.bytes($0.map { Array($0.utf8) }) }
    }

    /// Seen once: a reply never came, and FLUSHALL of another client hung, too.
    @Test(arguments: shapes, ["everysec", "always"])
    func `whatever clients do at once, and wherever they leave, every reply comes`(
        _ shape: NodeShape, _ policy: String
    ) throws {
        let server = try shape.start(["--fsync", policy])
        let port = server.port
        let rounds = policy == "always" ? Self.rounds / 4 : Self.rounds
        let token = try server.token("alice", "alice's secret")
        _ = try atOnce(10) { number in
            var dice = Dice(state: UInt64(number) &* 77 &+ 1)
            if number == 9 {
                // HTTP on the same keys.
                let alice = Caller(try Client(port: port), token)
                for _ in 0..<rounds {
                    _ = try alice.get("/default/key/k\(dice.roll(12))")
                    _ = try alice.put("/default/key/k\(dice.roll(12))", "1")
                }
                return
            }
            var redis = try RESPCaller(port: port)
            for _ in 0..<rounds {
                let burst = Self.burst(&dice)
                var bytes = Self.bytes(burst)
                if number >= 6, dice.roll(4) == 0 {
                    // Half of it, and away.
                    bytes.removeLast(dice.roll(bytes.count))
                    try redis.client.send(bytes)
                    redis = try RESPCaller(port: port)
                    continue
                }
                try redis.client.send(bytes)
                for _ in burst { _ = try redis.hear() }
            }
        }
        let last = try RESPCaller(server)
        #expect(try last.ask("FLUSHALL") == "OK")
        #expect(try last.ask("DBSIZE") == "0")
        #expect(server.answers)
    }

    @Test(arguments: [NodeShape(io: .uring, shards: 2), NodeShape(io: .epoll, shards: 2)])
    func `more commands for other shards than can be awaited wait, and end nothing`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start(["--fsync", "always"])
        let port = server.port
        // 64 connections, a thousand writes and transactions of each on their way at a time.
        _ = try atOnce(64) { number in
            let redis = try RESPCaller(port: port)
            var bytes: [UInt8] = []
            let count = 1000
            for place in 0..<count {
                let key = Array("key \(number) \(place)".utf8)
                bytes += RESPCaller.bytes(
                    place % 50 == 0
                        ? [Array("MSET".utf8), key, [1], Array("other \(place)".utf8), [2]]
                        : [Array("SET".utf8), key, [1]])
            }
            try redis.client.send(bytes)
            for _ in 0..<count {
                let reply = try redis.hear()
                #expect(RESPCaller.text(reply) == "OK")
            }
        }
        #expect(server.answers)
    }
}
