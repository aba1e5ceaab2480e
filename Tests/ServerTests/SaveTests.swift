import Glibc
import TestClient
import Testing
import Wire

/// SAVE, BGSAVE, LASTSAVE and BGREWRITEAOF, and what INFO and CONFIG say of them.
@Suite("Saving for Redis") struct SaveTests {
    /// What `INFO` says under a name.
    private func figure(_ name: String, _ section: String, _ redis: RESPCaller) throws -> String? {
        let text = try redis.ask("INFO", section)
        let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix(name + ":") }
        return line.map { String($0.dropFirst(name.count + 1)) }
    }

    @Test(arguments: NodeShape.few)
    func `replies are Redis' own`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let redis = try RESPCaller(server)
        #expect(try redis.ask("SET", "a", "1") == "OK")
        #expect(try redis.ask("BGSAVE", "NOW") == "-ERR syntax error")
        #expect(try redis.ask("BGSAVE", "SCHEDULE", "NOW") == "-ERR syntax error")
        #expect(
            try redis.ask("SAVE", "x") == "-ERR wrong number of arguments for 'save' command")
        // One after the other in one piece: the first is not done before the others are read.
        let inProgress = "-ERR Background save already in progress"
        try redis.say("BGSAVE")
        #expect(RESPCaller.text(try redis.hear()) == "Background saving started")
        let isDone = try becomes {
            try figure("rdb_bgsave_in_progress", "persistence", redis) == "0"
        }
        #expect(isDone)
        let together = [["BGSAVE"], ["SAVE"], ["BGSAVE", "SCHEDULE"], ["BGREWRITEAOF"]]
        try redis.client.send(
            together.flatMap { words in RESPCaller.bytes(words.map { Array($0.utf8) }) })
        #expect(RESPCaller.text(try redis.hear()) == "Background saving started")
        #expect(RESPCaller.text(try redis.hear()) == inProgress)
        #expect(RESPCaller.text(try redis.hear()) == inProgress)
        #expect(
            RESPCaller.text(try redis.hear()) == "Background append only file rewriting started")
        let isOver = try becomes {
            try figure("rdb_bgsave_in_progress", "persistence", redis) == "0"
                && figure("aof_rewrite_in_progress", "persistence", redis) == "0"
        }
        #expect(isOver)
        #expect(try figure("aof_rewrites", "persistence", redis) == "1")

        #expect(try redis.ask("MULTI") == "OK")
        #expect(try redis.ask("BGSAVE") == "QUEUED")
        #expect(try redis.ask("BGREWRITEAOF") == "QUEUED")
        #expect(
            try redis.ask("EXEC")
                == "[Background saving scheduled Background append only file rewriting scheduled]")
        #expect(try redis.ask("MULTI") == "OK")
        #expect(
            try redis.ask("SAVE") == "-ERR Command not allowed inside a transaction")
        #expect(
            try redis.ask("EXEC")
                == "-EXECABORT Transaction discarded because of previous errors.")
        #expect(server.answers)
    }

    @Test(arguments: NodeShape.few)
    func `others are served while one waits for SAVE, and its next command waits`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start()
        let redis = try RESPCaller(server)
        #expect(try redis.ask("SET", "a", "1") == "OK")
        // A file that can't be opened before somebody reads it takes as long as we like.
        let file = server.directory + "/dump.rdb.new"
        try #require(mkfifo(file, 0o600) == 0)
        try redis.client.send(
            RESPCaller.bytes([Array("SAVE".utf8)])
                + RESPCaller.bytes([Array("PING".utf8)]))
        let other = try RESPCaller(server)
        let isSaving = try becomes {
            try figure("rdb_bgsave_in_progress", "persistence", other) == "1"
        }
        #expect(isSaving)
        #expect(try other.ask("SAVE") == "-ERR Background save already in progress")
        #expect(try other.ask("BGSAVE") == "-ERR Background save already in progress")
        #expect(try other.ask("SET", "a", "2") == "OK")
        var waiting = pollfd(fd: redis.client.fd, events: Int16(POLLIN), revents: 0)
        #expect(poll(&waiting, 1, 0) == 0)

        // What is no file can't be synced, which is an error like any of the disk's.
        let bytes = try #require(fileBytes(file))
        #expect(bytes.starts(with: Array("REDIS0010".utf8)))
        #expect(RESPCaller.text(try redis.hear()) == "-ERR")
        #expect(RESPCaller.text(try redis.hear()) == "PONG")
        #expect(try figure("rdb_last_bgsave_status", "persistence", other) == "err")
        #expect(server.log.contains("save failed"))
        #expect(!entries(of: server.directory).contains("dump.rdb"))
        #expect(try redis.ask("SAVE") == "OK")
        #expect(try figure("rdb_last_bgsave_status", "persistence", other) == "ok")
        #expect(permissions(server.directory + "/dump.rdb") == 0o600)
        #expect(!entries(of: server.directory).contains("dump.rdb.new"))
    }

    @Test(arguments: NodeShape.few)
    func `a drain waits for a SAVE that is under way`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let redis = try RESPCaller(server)
        let file = server.directory + "/dump.rdb.new"
        try #require(mkfifo(file, 0o600) == 0)
        try redis.say("SAVE")
        let other = try RESPCaller(server)
        let isSaving = try becomes {
            try figure("rdb_bgsave_in_progress", "persistence", other) == "1"
        }
        #expect(isSaving)
        server.signal(SIGTERM)
        #expect(becomes { server.log.contains("draining") })
        #expect(fileBytes(file) != nil)
        #expect(RESPCaller.text(try redis.hear()) == "-ERR")
        #expect(server.waitForExit() == .code(0))
    }

    @Test(arguments: NodeShape.few)
    func `LASTSAVE and INFO tell what was saved, when, and what has changed since`(
        _ shape: NodeShape
    ) throws {
        let before = time(nil)
        let server = try shape.start()
        let redis = try RESPCaller(server)
        #expect(try figure("loading", "persistence", redis) == "0")
        let started = try #require(Int(try redis.ask("LASTSAVE")))
        #expect(started >= before - 1)
        #expect(try figure("rdb_last_save_time", "persistence", redis) == "\(started)")
        #expect(try figure("rdb_last_bgsave_time_sec", "persistence", redis) == "-1")
        for number in 0..<100 {
            let life = number < 10 ? ["PX", "100000000"] : []
            #expect(try redis.ask(["SET", "k\(number)", "v"] + life) == "OK")
        }
        #expect(try redis.ask("SELECT", "3") == "OK")
        #expect(try redis.ask("SET", "elsewhere", "v") == "OK")
        #expect(try figure("rdb_changes_since_last_save", "persistence", redis) == "101")
        let first = try #require(try figure("db0", "keyspace", redis))
        #expect(first.hasPrefix("keys=100,expires=10,avg_ttl=99"))
        #expect(try figure("db3", "keyspace", redis) == "keys=1,expires=0,avg_ttl=0")
        #expect(try redis.ask("SAVE") == "OK")
        #expect(try figure("rdb_changes_since_last_save", "persistence", redis) == "0")
        #expect(try figure("rdb_saves", "persistence", redis) == "1")
        let saved = try #require(Int(try redis.ask("LASTSAVE")))
        #expect(saved >= started && saved <= time(nil))
        #expect(try redis.ask("DEL", "elsewhere") == "1")
        #expect(try figure("rdb_changes_since_last_save", "persistence", redis) == "1")
        #expect(try figure("db3", "keyspace", redis) == nil)
        // Records that are overwritten, persisted and expired are counted out.
        #expect(try redis.ask("SELECT", "0") == "OK")
        #expect(try redis.ask("PERSIST", "k0") == "1")
        #expect(try redis.ask("SET", "k1", "v") == "OK")
        #expect(try redis.ask("DEL", "k2") == "1")
        #expect(try redis.ask("PEXPIRE", "k3", "1") == "1")
        let isGone = try becomes {
            try figure("db0", "keyspace", redis)?.hasPrefix("keys=98,expires=6,") == true
        }
        #expect(isGone)
        #expect(try figure("expired_keys", "stats", redis) == "1")
        // A new start has lost nothing, so it owes no save.
        server.signal(SIGTERM)
        #expect(server.waitForExit() == .code(0))
        let restarted = try shape.start(directory: server.directory)
        let again = try RESPCaller(restarted)
        let isBack = try becomes {
            try figure("db0", "keyspace", again)?.hasPrefix("keys=98,expires=6,") == true
        }
        #expect(isBack)
        #expect(try figure("rdb_changes_since_last_save", "persistence", again) == "0")
        #expect(restarted.answers)
    }

    @Test func `CONFIG tells what the node was started with`() throws {
        let options = [
            "--fsync", "always", "--dbfilename", "kept.rdb", "--max-memory", "64MiB", "--eviction",
            "lru", "--max-value", "1MiB",
        ]
        let server = try Server.start(options)
        let redis = try RESPCaller(server)
        let directory = try #require(realpath(server.directory, nil))
        defer { free(directory) }
        for (name, value) in [
            ("appendonly", "yes"), ("appendfsync", "always"), ("save", ""),
            ("dbfilename", "kept.rdb"), ("maxmemory", "67108864"),
            ("maxmemory-policy", "allkeys-lru"), ("proto-max-bulk-len", "1048576"),
            ("dir", String(cString: directory)), ("databases", "16"), ("port", "\(server.port)"),
        ] {
            #expect(try redis.ask("CONFIG", "GET", name) == "[\(name) \(value)]")
        }
        #expect(try figure("aof_enabled", "persistence", redis) == "1")
        #expect(try figure("maxmemory_human", "memory", redis) == "64.00M")
        #expect(
            try redis.ask("CONFIG", "SET", "dir", "/tmp")
                == "-ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config"
        )
        #expect(try redis.ask("SAVE") == "OK")
        #expect(entries(of: server.directory).contains("kept.rdb"))
    }

    @Test(arguments: NodeShape.few)
    func `the admin alone saves, where there is one`(_ shape: NodeShape) throws {
        let server = try shape.start(environment: ["ADMIN_PASSWORD=the operator's"])
        let redis = try RESPCaller(server)
        let saving = [
            ["SAVE"], ["BGSAVE"], ["BGREWRITEAOF"],
            ["CONFIG", "SET", "notify-keyspace-events", "KEA"],
        ]
        for words in saving { #expect(try redis.ask(words).hasPrefix("-NOPERM ")) }
        #expect(try Int(redis.ask("LASTSAVE")) != nil)
        #expect(!entries(of: server.directory).contains("dump.rdb"))
        #expect(try redis.ask("AUTH", "admin", "the operator's") == "OK")
        for words in saving {
            let reply = try redis.ask(words)
            #expect(!reply.hasPrefix("-"), "\(words): \(reply)")
            let isDone = try becomes {
                try figure("rdb_bgsave_in_progress", "persistence", redis) == "0"
            }
            #expect(isDone)
        }
    }
}

/// The same data on both sides of a file that a serving node wrote.
@Suite("What a serving node saves, in Redis", .enabled(if: RedisServer.binary != nil))
struct SavedInRedisTests {
    private func words(_ text: [String]) -> [[UInt8]] { text.map { Array($0.utf8) } }

    /// Asks a node many things and takes the replies as redis-server would give them.
    private func replies(_ redis: RESPCaller, _ commands: [[[UInt8]]]) throws -> [RedisReply] {
        func plain(_ value: RESPValue) -> RedisReply {
            switch value {
            case .simple(let bytes), .bulk(let bytes): .text(bytes)
            case .integer(let number): .number(number)
            case .array(let values): .list(values.map(plain))
            case .error(let bytes): .error(String(decoding: bytes, as: UTF8.self))
            default: .none
            }
        }
        var all: [RedisReply] = []
        for start in stride(from: 0, to: commands.count, by: 100) {
            let some = commands[start..<min(start + 100, commands.count)]
            try redis.client.send(some.flatMap { RESPCaller.bytes($0) })
            for _ in some { all.append(plain(try redis.hear())) }
        }
        return all
    }

    /// What is asked of every key of every database on either side.
    private func questions(_ redis: RESPCaller) throws -> [[[UInt8]]] {
        var asked: [[[UInt8]]] = []
        for database in 0..<16 {
            asked.append(words(["SELECT", "\(database)"]))
            asked.append(words(["DBSIZE"]))
            guard try redis.ask("SELECT", "\(database)") == "OK",
                case .list(let keys) = try replies(redis, [words(["KEYS", "*"])])[0]
            else { continue }
            for case .text(let key) in keys {
                let name = [Array("TYPE".utf8), key]
                guard case .text(let type) = try replies(redis, [name])[0] else { continue }
                asked.append(name)
                asked.append([Array("PEXPIRETIME".utf8), key])
                asked.append(
                    type == Array("list".utf8)
                        ? [Array("LRANGE".utf8), key] + words(["0", "-1"])
                        : [Array("GET".utf8), key])
            }
        }
        return asked
    }

    @Test(arguments: [
        NodeShape(io: .uring, shards: 1), NodeShape(io: .epoll, shards: 2),
        NodeShape(io: .uring, shards: 4),
    ])
    func `redis-server holds what SAVE wrote, key by key, and a node what redis-server saves`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start()
        let redis = try RESPCaller(server)
        var dice = SystemRandomNumberGenerator()
        func bytes(_ count: Int) -> [UInt8] {
            (0..<count).map { _ in .random(in: 0...255, using: &dice) }
        }
        var commands: [[[UInt8]]] = []
        for database in [0, 1, 15] {
            commands.append(words(["SELECT", "\(database)"]))
            for number in 0..<400 {
                // The second colon keeps a chance byte from making one key another.
                let key = Array("key:\(number):".utf8) + bytes(number % 7)
                switch number % 5 {
                case 0: commands.append([Array("SET".utf8), key, bytes(number)])
                case 1: commands.append([Array("SET".utf8), key, Array("\(number - 200)".utf8)])
                case 2:
                    let text = [UInt8](repeating: 0x61, count: number * 20)
                    commands.append([Array("SET".utf8), key, text])
                default:
                    let elements = (0..<number % 90 + 1).map {
                        $0 % 3 == 0 ? Array("\($0 * number)".utf8) : bytes($0)
                    }
                    commands.append([Array("RPUSH".utf8), key] + elements)
                    commands.append([Array("LPUSH".utf8), key, bytes(10_000)])
                }
                guard number % 4 == 0 else { continue }
                commands.append(
                    [Array("PEXPIREAT".utf8), key] + words(["\(4_000_000_000_000 + number)"]))
            }
        }
        for reply in try replies(redis, commands) {
            if case .error(let text) = reply { Issue.record("\(text)") }
        }
        let token = try server.token("alice", "alice's secret")
        let web = Caller(try server.connect(), token)
        #expect(try web.put("/key/word", #""a \"b\"\n☃""#).status == 201)
        #expect(try web.put("/key/object", #"{"a":[1,2]}"#).status == 201)
        #expect(try web.put("/notes/key/left", "1").status == 201)
        #expect(try web.put("/db16/key/left", "1").status == 201)
        #expect(try redis.ask("SAVE") == "OK")
        #expect(becomes { server.log.contains("not saved records=2") })

        let asked = try questions(redis)
        let expected = try replies(redis, asked)
        let dump = try #require(fileBytes(server.directory + "/dump.rdb"))
        let other = try RedisServer.start(
            ["--sanitize-dump-payload", "yes"], dump: dump)
        let isSame = try other.ask(all: asked) == expected
        #expect(isSame)
        #expect(asked.count > 3 * 1200)

        // And back: what redis-server makes of it is what a new node takes in.
        #expect(try other.ask("SAVE").string == "OK")
        let directory = try Server.temporaryDirectory()
        defer { Server.removeTree(directory) }
        try write(try #require(fileBytes(other.dumpFile)), to: directory + "/dump.rdb")
        let again = try shape.start(directory: directory)
        let isBack = try replies(try RESPCaller(again), asked) == expected
        #expect(isBack)
    }

    private let keys = 5000
    private let padding = String(repeating: ".", count: 300)

    /// Writes every key once more.
    private func change(round: Int, _ caller: RESPCaller) throws {
        var commands: [[[UInt8]]] = []
        for key in 0..<keys {
            commands.append(words(["SET", "k\(key)", "\(round) \(padding)"]))
            // Keys that come and go, a thousand at a time.
            let passing = "passing\(key % 1000)"
            commands.append(
                words(round % 2 == 0 ? ["SET", passing, "\(round) "] : ["DEL", passing]))
        }
        commands.append(words(["RPUSH", "list", "\(round)"]))
        for reply in try replies(caller, commands) {
            if case .error(let text) = reply { throw Refused(text: text) }
        }
    }

    @Test(arguments: [
        NodeShape(io: .uring, shards: 1), NodeShape(io: .epoll, shards: 2),
        NodeShape(io: .uring, shards: 4),
    ])
    func `a dump written amid writes has each key once, as it was at some moment meanwhile`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start()
        let redis = try RESPCaller(server)
        try change(round: 1, redis)
        let port = server.port
        for _ in 0..<(isSoak ? 20 : 3) {
            let first = try #require(Int(try redis.ask("GET", "k\(keys - 1)").prefix { $0 != " " }))
            let rounds = try atOnce(2) { thread in
                let caller = try RESPCaller(port: port)
                if thread == 1 {
                    _ = try caller.ask("SAVE")
                    return 0
                }
                var round = first
                for _ in 0..<4 {
                    round += 1
                    try change(round: round, caller)
                }
                return round
            }
            let dump = try #require(fileBytes(server.directory + "/dump.rdb"))
            let other = try RedisServer.start(
                ["--sanitize-dump-payload", "yes"], dump: dump)
            let held = try other.ask(all: (0..<keys).map { words(["GET", "k\($0)"]) })
            for (key, reply) in held.enumerated() {
                let round = reply.string.flatMap { Int($0.prefix { $0 != " " }) } ?? 0
                let isWhole = reply.string?.hasSuffix(padding) == true
                if isWhole, round >= first, round <= rounds[0] { continue }
                Issue.record("k\(key) is \(reply), of rounds \(first) to \(rounds[0])")
                return
            }
            let list = try other.ask("LRANGE", "list", "0", "-1").items ?? []
            #expect(list.map(\.string) == (1...max(1, list.count)).map { "\($0)" })
            #expect(list.count >= first && list.count <= rounds[0])
        }
    }

    private struct Refused: Error { let text: String }
}
