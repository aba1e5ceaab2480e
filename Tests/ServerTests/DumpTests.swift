import Glibc
import TestClient
import Testing

/// Data on its way from redis-server into a node and back, through files.
@Suite("Dumps of Redis", .enabled(if: RedisServer.binary != nil)) struct DumpTests {
    private func words(_ line: String) -> [[UInt8]] {
        line.split(separator: " ").map { Array($0.utf8) }
    }

    /// A dump of two databases, with texts, bytes, numbers, lists, expiries, and a set.
    private func dump() throws -> [UInt8] {
        let redis = try RedisServer.start()
        var commands = [
            "SET greeting hello", "SET number 42", "RPUSH list a b 3 c", "SET brief x PX 1",
            "SET long y PXAT 4000000000000", "SADD set a b", "SELECT 5", "SET elsewhere z",
            "RPUSH other 1 2 3", "PEXPIREAT other 4000000000001",
        ].map(words)
        commands.append(words("SET bytes") + [[0, 255, 10, 34]])
        commands.append(words("SET large") + [[UInt8](repeating: 0x61, count: 100_000)])
        commands += (0..<500).map { words("SET key:\($0) value:\($0)") }
        commands.append(words("SAVE"))
        for reply in try redis.ask(all: commands) {
            if case .error(let text) = reply { Issue.record("\(text)") }
        }
        return try #require(fileBytes(redis.dumpFile))
    }

    /// What a server holds, as it answers.
    private func contents(of file: [UInt8]) throws -> [RedisReply] {
        let redis = try RedisServer.start(dump: file)
        var commands: [[[UInt8]]] = []
        for line in [
            "DBSIZE", "GET greeting", "GET number", "LRANGE list 0 -1", "GET long",
            "PEXPIRETIME long", "SELECT 5", "DBSIZE", "GET elsewhere", "LRANGE other 0 -1",
            "PEXPIRETIME other", "GET bytes", "GET large",
        ] { commands.append(words(line)) }
        commands += (0..<500).map { words("GET key:\($0)") }
        return try redis.ask(all: commands)
    }

    @Test func `a dump is imported and exported again, and Redis finds the same in it`() throws {
        let directory = try Server.temporaryDirectory()
        defer { Server.removeTree(directory) }
        let original = try dump()
        try write(original, to: directory + "/in.rdb")
        let data = directory + "/data"
        let imported = try Server.run(["import", directory + "/in.rdb"], directory: data)
        #expect(imported.exit == .code(0))
        #expect(imported.logLines.contains { $0.contains("imported") && $0.contains("lists=2") })
        #expect(imported.logLines.contains { $0.contains("not imported") && $0.contains("1 set") })
        let again = try Server.run(["import", directory + "/in.rdb"], directory: data)
        #expect(again.exit == .code(1))
        #expect(again.logLines.last?.contains("holds records already") == true)

        let exported = try Server.run(["export", directory + "/out.rdb"], directory: data)
        #expect(exported.exit == .code(0))
        var before = try contents(of: original)
        let after = try contents(of: try #require(fileBytes(directory + "/out.rdb")))
        // The set did not come along, and what had expired is not counted.
        #expect(after[0] == .number(4))
        before[0] = after[0]
        #expect(before == after)
    }

    @Test(arguments: IODriver.allCases)
    func `a first start takes in the dump that lies there, and a second does not`(
        _ io: IODriver
    ) throws {
        let directory = try Server.temporaryDirectory()
        defer { Server.removeTree(directory) }
        try write(try dump(), to: directory + "/dump.rdb")
        for round in 0..<2 {
            let server = try Server.start(io: io, ["--shards", "2"], directory: directory)
            #expect(server.log.contains("imported") == (round == 0))
            let answer = try server.ask("GET", "/default/key/greeting")
            #expect(answer.status == 200 && answer.text.contains("\"value\":\"hello\""))
            #expect(try server.ask("GET", "/db5/key/elsewhere").status == 200)
            #expect(try server.ask("GET", "/default/key/brief").status == 404)
            server.signal(15)
            #expect(server.waitForExit() == .code(0))
        }
    }

    @Test func `a broken dump stops the first start, and nothing of it is taken`() throws {
        let directory = try Server.temporaryDirectory()
        defer { Server.removeTree(directory) }
        var file = try dump()
        file[file.count / 2] ^= 1
        try write(file, to: directory + "/dump.rdb")
        let refused = try Server.run(["127.0.0.1:0"], directory: directory)
        #expect(refused.exit == .code(1))
        #expect(refused.logLines.last?.contains("nothing of it was taken") == true)
        #expect(!entries(of: directory).contains("storage.db"))
        // Moved away, the node starts empty.
        #expect(rename(directory + "/dump.rdb", directory + "/broken.rdb") == 0)
        let server = try Server.start(directory: directory)
        #expect(try server.ask("GET", "/default/key/greeting").status == 404)
    }

    /// A thousand in the long form.
    @Test func `broken dumps are each refused with a sentence, or taken`() throws {
        let good = try dump()
        var refused = 0
        let rounds = isSoak ? 1000 : 40
        for round in 0..<rounds {
            let directory = try Server.temporaryDirectory()
            defer { Server.removeTree(directory) }
            var file = good
            if round % 2 == 0 {
                // Without its checksum, so that the damage has to be seen where it is.
                for place in file.count - 8..<file.count { file[place] = 0 }
            }
            switch round % 3 {
            case 0:
                // Most of the file is one large value; what is before and after it has the forms.
                for _ in 0...round % 5 {
                    let end = min(600, file.count)
                    file[Int.random(in: 9..<end)] = UInt8.random(in: 0...255)
                }
            case 1: file.removeLast(Int.random(in: 1..<file.count))
            default: file[Int.random(in: 9..<file.count)] ^= 1 << UInt8.random(in: 0..<8)
            }
            try write(file, to: directory + "/in.rdb")
            let run = try Server.run(
                ["import", directory + "/in.rdb"], directory: directory + "/data")
            let last = run.logLines.last ?? ""
            switch run.exit {
            case .code(0): #expect(last.contains("imported"))
            case .code(1):
                refused += 1
                #expect(last.contains("in.rdb, ") && last.contains("nothing of it was taken"))
                #expect(!entries(of: directory + "/data").contains("storage.db"))
            default: Issue.record("round \(round) ended with \(run.exit): \(last)")
            }
        }
        #expect(refused > rounds / 3)
    }
}
