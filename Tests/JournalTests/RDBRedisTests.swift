import TestClient
import Testing

@testable import Journal

/// The same data on both sides of a file, with the real redis-server as the other side.
@Suite("RDB files and redis-server", .enabled(if: RedisServer.binary != nil))
struct RDBRedisTests {
    private func words(_ words: String...) -> [[UInt8]] { words.map { Array($0.utf8) } }

    /// Writes the entries into the server by its own commands.
    private func fill(_ redis: RedisServer, _ entries: [RDBEntry]) throws {
        var commands: [[[UInt8]]] = []
        for entry in entries {
            commands.append(words("SELECT", "\(entry.database)"))
            switch entry.value {
            case .string(let value): commands.append(words("SET") + [entry.key, value])
            case .list(let elements): commands.append(words("RPUSH") + [entry.key] + elements)
            }
            if let expiry = entry.expiresAtMs {
                commands.append(words("PEXPIREAT") + [entry.key] + words("\(expiry)"))
            }
        }
        for reply in try redis.ask(all: commands) {
            if case .error(let text) = reply { Issue.record("\(text)") }
        }
    }

    /// Compares key by key what the server holds with what it should.
    private func compare(_ redis: RedisServer, _ entries: [RDBEntry]) throws {
        for database in Set(entries.map(\.database)) {
            try redis.ask("SELECT", "\(database)")
            let count = entries.count { $0.database == database }
            #expect(try redis.ask("DBSIZE").int == Int64(count))
        }
        var commands: [[[UInt8]]] = []
        var expected: [RedisReply] = []
        for entry in entries {
            commands.append(words("SELECT", "\(entry.database)"))
            expected.append(.text(Array("OK".utf8)))
            switch entry.value {
            case .string(let value):
                commands.append(words("GET") + [entry.key])
                expected.append(.text(value))
            case .list(let elements):
                commands.append(words("LRANGE") + [entry.key] + words("0", "-1"))
                expected.append(.list(elements.map { .text($0) }))
            }
            commands.append(words("PEXPIRETIME") + [entry.key])
            expected.append(.number(entry.expiresAtMs ?? -1))
        }
        let replies = try redis.ask(all: commands)
        for (at, reply) in replies.enumerated() where reply != expected[at] {
            Issue.record("\(String(decoding: commands[at][1], as: UTF8.self)) is not what it was")
        }
    }

    @Test(arguments: [true, false])
    func `redis-server loads what is written, and holds the same`(_ compresses: Bool) throws {
        var dice = Dice(7)
        let entries = dice.entries(400)
        let redis = try RedisServer.start(
            ["--sanitize-dump-payload", "yes"],
            dump: RDBWriter.file(entries, compresses: compresses))
        try compare(redis, entries)
        // And what it makes of it comes back the same.
        #expect(try redis.ask("SAVE").string == "OK")
        let reading = RDBReading(try #require(fileBytes(redis.dumpFile)))
        #expect(reading.damage == nil)
        let isSame = reading.entries.inOrder == entries.inOrder
        #expect(isSame)
    }

    @Test(arguments: [
        [], ["--rdbcompression", "no"], ["--rdbchecksum", "no"],
        ["--list-max-listpack-size", "1"], ["--list-max-listpack-size", "3"],
        ["--list-max-listpack-size", "-1"], ["--list-max-listpack-size", "-5"],
        ["--list-compress-depth", "1", "--list-max-listpack-size", "4"],
    ])
    func `what redis-server saves is read, and is the same`(_ options: [String]) throws {
        var dice = Dice(11)
        let entries = dice.entries(400)
        let redis = try RedisServer.start(options)
        try fill(redis, entries)
        try compare(redis, entries)
        #expect(try redis.ask("SAVE").string == "OK")
        let file = try #require(fileBytes(redis.dumpFile))
        let reading = RDBReading(file)
        #expect(reading.damage == nil)
        let isSame = reading.entries.inOrder == entries.inOrder
        #expect(isSame)
        #expect(reading.totals.kept == entries.count && reading.totals.passedOver == 0)
    }

    /// Small forms and large ones of every type there is beside strings and lists.
    static let others: [String] = {
        var lines: [String] = ["SET before 1", "RPUSH list a b c"]
        lines.append("SADD ints 1 2 3 70000 5000000000")
        lines.append("SADD words a b c")
        lines.append("ZADD scores 1 a 2.5 b -inf c inf d")
        lines.append("HSET hash a 1 b two")
        for number in 0..<600 {
            lines.append("SADD many member:\(number)")
            lines.append("ZADD ranking \(number).25 member:\(number)")
            lines.append("HSET wide field:\(number) value:\(number)")
            lines.append("XADD stream \(number + 1)-1 temperature \(number) place here")
        }
        lines += [
            "XGROUP CREATE stream readers 0", "XGROUP CREATE stream others 5-1",
            "XREADGROUP GROUP readers one COUNT 20 STREAMS stream >",
            "XREADGROUP GROUP readers two COUNT 30 STREAMS stream >",
            "XDEL stream 3-1", "PEXPIREAT hash 4000000000000", "SET after 2",
            "PEXPIREAT after 4000000000001",
        ]
        return lines
    }()

    @Test func `types that have no place here are passed over and counted`() throws {
        let redis = try RedisServer.start(["--maxmemory-policy", "allkeys-lfu"])
        let commands = Self.others.map { $0.split(separator: " ").map { Array($0.utf8) } }
        for reply in try redis.ask(all: commands) {
            if case .error(let text) = reply { Issue.record("\(text)") }
        }
        let library = "#!lua name=mylib\nredis.register_function('f', function() return 1 end)"
        #expect(try redis.ask("FUNCTION", "LOAD", library).string == "mylib")
        #expect(try redis.ask("SAVE").string == "OK")
        let file = try #require(fileBytes(redis.dumpFile))
        let reading = RDBReading(file)
        #expect(reading.damage == nil)
        #expect(
            reading.entries.inOrder == [
                RDBEntry(
                    database: 0, key: Array("after".utf8), value: .string([0x32]),
                    expiresAtMs: 4_000_000_000_001),
                RDBEntry(database: 0, key: Array("before".utf8), value: .string([0x31])),
                RDBEntry(
                    database: 0, key: Array("list".utf8), value: .list([[0x61], [0x62], [0x63]])),
            ])
        var expected = RDBTotals()
        (expected.strings, expected.lists) = (2, 1)
        (expected.sets, expected.hashes, expected.sortedSets) = (3, 2, 2)
        (expected.streams, expected.functions) = (1, 1)
        #expect(reading.totals == expected)
        #expect(
            reading.totals.warning
                == "3 sets, 2 hashes, 2 sorted sets, 1 stream, 1 function library")
        for window in [1, 7, 4096] { #expect(RDBReading(file, window: window) == reading) }
    }

    @Test func `redis-server says that it loaded every key`() throws {
        var dice = Dice(3)
        let redis = try RedisServer.start(dump: RDBWriter.file(dice.entries(50)))
        #expect(redis.log.contains("DB loaded from disk"))
        #expect(redis.log.contains("keys loaded: 50"))
    }
}
