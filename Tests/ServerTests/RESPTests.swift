import Glibc
import TestClient
import Testing
import Wire

@Suite("RESP on the main port") struct RESPTests {
    @Test(arguments: NodeShape.allCases)
    func `what RESP writes HTTP reads, and the other way round`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let redis = try RESPCaller(server)
        let web = try server.connect()
        #expect(try redis.ask("SET", "greeting", "hello") == "OK")
        let shown = try web.ask("GET", "/key/greeting")
        #expect(shown.text.contains("\"value\":\"hello\""))
        let token = try server.token("alice", "alice's secret")
        let mine = Caller(web, token)
        _ = try mine.put("/key/word", #""a \"b\"\n""#)
        _ = try mine.put("/key/object", #"{"a":[1,2]}"#)
        #expect(try redis.ask("GET", "word") == "a \"b\"\n")
        #expect(try redis.ask("STRLEN", "word") == "6")
        #expect(try redis.ask("GET", "object") == #"{"a":[1,2]}"#)
        #expect(try redis.ask("SET", "word", "x") == "-NOPERM No permissions to access a key")
        #expect(try redis.ask("RPUSH", "list", "a", "b\"", "c") == "3")
        let list = try web.ask("GET", "/key/list")
        #expect(list.text.contains(#""value":["a","b\"","c"]"#))
        #expect(server.answers)
    }

    @Test(arguments: NodeShape.allCases)
    func `a deep pipeline is answered in order, however it was cut`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let redis = try RESPCaller(server)
        var bytes: [UInt8] = []
        let count = 3000
        for number in 0..<count {
            bytes += RESPCaller.bytes(
                [Array("SET".utf8), Array("k\(number)".utf8), Array("v\(number)".utf8)])
            bytes += RESPCaller.bytes([Array("GET".utf8), Array("k\(number)".utf8)])
        }
        let said = bytes
        _ = try atOnce(2) { thread in
            guard thread == 0 else {
                for number in 0..<count {
                    #expect(RESPCaller.text(try redis.hear()) == "OK")
                    #expect(RESPCaller.text(try redis.hear()) == "v\(number)")
                }
                return
            }
            var at = 0
            var piece = 1
            while at < said.count {
                let end = min(said.count, at + piece)
                try redis.client.send(Array(said[at..<end]))
                at = end
                piece = piece % 997 + 31
            }
        }
        #expect(try redis.ask("DBSIZE") == "\(count)")
    }

    @Test(arguments: NodeShape.few)
    func `a value of megabytes goes in and out`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let redis = try RESPCaller(server)
        let value = String(repeating: "0123456789abcdef", count: 250_000)
        #expect(try redis.ask("SET", "big", value) == "OK")
        #expect(try redis.ask("GET", "big") == value)
        #expect(try redis.ask("APPEND", "big", "!") == "\(value.utf8.count + 1)")
    }

    @Test(arguments: [
        ("*1\r\n$x\r\n", "-ERR Protocol error: invalid bulk length"),
        ("*a\r\n", "-ERR Protocol error: invalid multibulk length"),
        ("*1\r\n+OK\r\n", "-ERR Protocol error: expected '$', got '+'"),
        ("$4\r\nPING\r\n", "-ERR Protocol error: expected '*', got '$'"),
        ("*1\r\n$4\r\nPING\r\nPING\r\n", "PONG"),
    ])
    func `what is no protocol is told so, and the connection ends`(
        _ sent: String, _ reply: String
    ) throws {
        let server = try NodeShape.few[0].start()
        let redis = try RESPCaller(server)
        try redis.client.send(sent)
        #expect(RESPCaller.text(try redis.hear()) == reply)
        if reply == "PONG" {
            #expect(
                RESPCaller.text(try redis.hear()) == "-ERR Protocol error: expected '*', got 'P'")
        }
        #expect(redis.client.ending().isOver)
    }

    @Test func `lines of words are for the port that speaks nothing else`() throws {
        let server = try Server.start(["--resp", "127.0.0.1:0"])
        let line = try #require(server.log.split(separator: "\n").first { $0.contains("for RESP") })
        let port = try #require(line.split(separator: ":").last.flatMap { UInt16($0) })
        let redis = try RESPCaller(port: port)
        try redis.client.send("SET a \"b c\"\r\nGET a\r\n")
        #expect(RESPCaller.text(try redis.hear()) == "OK")
        #expect(RESPCaller.text(try redis.hear()) == "b c")
    }

    @Test func `nobody is served from elsewhere without saying who they are`() throws {
        let server = try Server.start(["--resp", "0.0.0.0:0"])
        let line = try #require(server.log.split(separator: "\n").first { $0.contains("for RESP") })
        let port = try #require(line.split(separator: ":").last.flatMap { UInt16($0) })
        _ = try server.token("alice", "alice's secret")
        let redis = try RESPCaller(port: port)
        #expect(try redis.ask("GET", "a").hasPrefix("-DENIED "))
        #expect(try redis.ask("AUTH", "alice", "wrong secret").hasPrefix("-WRONGPASS "))
        #expect(try redis.ask("AUTH", "nobody", "some secret").hasPrefix("-WRONGPASS "))
        let long = String(repeating: "x", count: 300_000)
        #expect(try RESPCaller(server).ask("AUTH", "alice", long).hasPrefix("-WRONGPASS "))
        #expect(try redis.ask("AUTH", "alice", "alice's secret") == "OK")
        #expect(try redis.ask("SET", "hers", "1") == "OK")
        let other = try RESPCaller(server)
        #expect(try other.ask("SET", "hers", "2") == "-NOPERM No permissions to access a key")
        #expect(try other.ask("DEL", "hers") == "-NOPERM No permissions to access a key")
        #expect(try other.ask("GET", "hers") == "1")
        let greeted = try RESPCaller(port: port)
        #expect(
            try greeted.ask("HELLO", "3", "AUTH", "alice", "alice's secret").contains("proto:3"))
        #expect(try greeted.ask("GET", "none") == "nil")
    }

    @Test func `the least rank that LPOS can be given is the first match from the end`() throws {
        let server = try Server.start()
        let redis = try RESPCaller(server)
        #expect(try redis.ask("RPUSH", "list", "a", "b", "a", "c") == "4")
        #expect(try redis.ask("LPOS", "list", "a", "RANK", "\(Int64.min)") == "2")
        #expect(try redis.ask("LPOS", "list", "a", "RANK", "\(Int64.min + 1)") == "nil")
    }

    @Test func `an end as far away as a number can say is told like any other`() throws {
        let server = try NodeShape.few[0].start()
        let redis = try RESPCaller(server)
        #expect(try redis.ask("SET", "a", "1", "PXAT", "9223372036854775807") == "OK")
        #expect(try redis.ask("PEXPIRETIME", "a") == "9223372036854775807")
        #expect(try redis.ask("EXPIRETIME", "a") == "9223372036854776")
        #expect(try redis.ask("TTL", "a").hasPrefix("92233"))
        #expect(server.answers)
    }

    @Test(arguments: NodeShape.few)
    func `the admin alone empties the node, where there is one`(_ shape: NodeShape) throws {
        let server = try shape.start(environment: ["ADMIN_PASSWORD=the operator's"])
        let redis = try RESPCaller(server)
        #expect(try redis.ask("SET", "a", "1") == "OK")
        #expect(try redis.ask("FLUSHALL").hasPrefix("-NOPERM "))
        #expect(try redis.ask("AUTH", "admin", "the operator's") == "OK")
        #expect(try redis.ask("FLUSHALL") == "OK")
        #expect(try redis.ask("DBSIZE") == "0")
    }

    @Test(arguments: NodeShape.few)
    func `what was written over RESP is there after a kill`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let redis = try RESPCaller(server)
        for number in 0..<200 {
            _ = try redis.ask("SET", "k\(number)", "v\(number)")
            _ = try redis.ask("RPUSH", "list", "\(number)")
            if number % 3 == 0 { _ = try redis.ask("LPOP", "list") }
        }
        _ = try redis.ask("DEL", "k7")
        let list = try redis.ask("LRANGE", "list", "0", "-1")
        server.signal(SIGKILL)
        #expect(server.waitForExit() == .signal(SIGKILL))
        let again = try shape.start(directory: server.directory)
        #expect(becomes { (try? RESPCaller(again).ask("PING")) == "PONG" })
        #expect(becomes { (try? RESPCaller(again).ask("DBSIZE")) == "200" })
        let after = try RESPCaller(again)
        #expect(try after.ask("LRANGE", "list", "0", "-1") == list)
        #expect(try after.ask("GET", "k7") == "nil")
        #expect(try after.ask("GET", "k8") == "v8")
    }

    @Test(arguments: NodeShape.few)
    func `SCAN meets every key that is there all the while`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let redis = try RESPCaller(server)
        for number in 0..<3000 { try redis.say("SET", "old\(number)", "1") }
        for _ in 0..<3000 { _ = try redis.hear() }
        var seen: Set<String> = []
        var cursor = "0"
        var grown = 0
        repeat {
            try redis.say("SCAN", cursor, "COUNT", "100")
            guard case .array(let parts) = try redis.hear(), case .bulk(let next) = parts[0],
                case .array(let keys) = parts[1]
            else {
                Issue.record("SCAN answered something else")
                return
            }
            cursor = String(decoding: next, as: UTF8.self)
            for key in keys { seen.insert(RESPCaller.text(key)) }
            for _ in 0..<300 {
                try redis.say("SET", "new\(grown)", "1")
                grown += 1
            }
            for _ in 0..<300 { _ = try redis.hear() }
        } while cursor != "0" && grown < 100_000
        #expect((0..<3000).allSatisfy { seen.contains("old\($0)") })
    }

    @Test(arguments: NodeShape.few)
    func `what is published is heard on every shard, and a PUT over HTTP too`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start()
        let listeners = try (0..<4).map { _ in try RESPCaller(server) }
        for listener in listeners {
            #expect(try listener.ask("SUBSCRIBE", "news").contains("subscribe news 1"))
            #expect(
                try listener.ask("PSUBSCRIBE", "__keyspace@0__:*").contains("psubscribe"))
        }
        let redis = try RESPCaller(server)
        #expect(try redis.ask("PUBLISH", "news", "now") == "4")
        for listener in listeners {
            #expect(RESPCaller.text(try listener.hear()) == "[message news now]")
        }
        #expect(try redis.ask("CONFIG", "SET", "notify-keyspace-events", "KEA") == "OK")
        let token = try server.token("alice", "alice's secret")
        _ = try Caller(try server.connect(), token).put("/key/told", "1")
        for listener in listeners {
            #expect(
                RESPCaller.text(try listener.hear())
                    == "[pmessage __keyspace@0__:* __keyspace@0__:told set]")
        }
    }

    @Test(arguments: [
        NodeShape(io: .uring, shards: 1), NodeShape(io: .epoll, shards: 2),
        NodeShape(io: .uring, shards: 4),
    ])
    func `clients of every shard are listed, and ended`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let redis = try RESPCaller(server)
        #expect(try redis.ask("CLIENT", "SETNAME", "asker") == "OK")
        var others = try (0..<6).map { _ in try RESPCaller(server) }
        var ids: [String] = []
        for (number, other) in others.enumerated() {
            #expect(try other.ask("CLIENT", "SETNAME", "other\(number)") == "OK")
            ids.append(try other.ask("CLIENT", "ID"))
        }
        #expect(Set(ids).count == 6)
        #expect(try others[5].ask("SUBSCRIBE", "news").contains("subscribe news 1"))
        func names(_ words: String...) throws -> [String] {
            try redis.ask(words).split(separator: "\n").compactMap { line in
                line.split(separator: " ").first { $0.hasPrefix("name=") }
                    .map { String($0.dropFirst(5)) }
            }.sorted()
        }
        let all = ["asker"] + (0..<6).map { "other\($0)" }
        #expect(try names("CLIENT", "LIST") == all)
        #expect(
            try names("CLIENT", "LIST", "ID", ids[1], ids[3], "999999") == ["other1", "other3"])
        #expect(try names("CLIENT", "LIST", "TYPE", "pubsub") == ["other5"])
        #expect(try names("CLIENT", "LIST", "TYPE", "replica") == [])
        #expect(try redis.ask("CLIENT", "LIST", "TYPE", "x") == "-ERR Unknown client type 'x'")
        #expect(try redis.ask("CLIENT", "LIST", "ID", "x") == "-ERR Invalid client ID")
        #expect(try redis.ask("CLIENT", "LIST", "BY", "x") == "-ERR syntax error")

        #expect(try redis.ask("CLIENT", "KILL", "ID", ids[0]) == "1")
        #expect(others[0].client.ending().isOver)
        #expect(try redis.ask("CLIENT", "KILL", "ID", ids[0]) == "0")
        #expect(
            try redis.ask("CLIENT", "KILL", "ID", "0")
                == "-ERR client-id should be greater than 0")
        #expect(try redis.ask("CLIENT", "KILL", "127.0.0.1:1") == "-ERR No such client")
        #expect(try redis.ask("CLIENT", "KILL", "TYPE", "pubsub") == "1")
        #expect(others[5].client.ending().isOver)
        #expect(try redis.ask("MULTI") == "OK")
        #expect(try redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") == "QUEUED")
        #expect(try redis.ask("PING") == "QUEUED")
        #expect(try redis.ask("EXEC") == "[4 PONG]")
        others.removeAll()
        #expect(try becomes { try names("CLIENT", "LIST") == ["asker"] })
        // Whoever ends itself hears of it first.
        #expect(try redis.ask("CLIENT", "KILL", "USER", "default", "SKIPME", "no") == "1")
        #expect(redis.client.ending().isOver)
        #expect(server.answers)
    }

    /// MSET and MGET were answered when their keys lay on more shards than one.
    @Test(arguments: [
        NodeShape(io: .uring, shards: 1), NodeShape(io: .epoll, shards: 2),
        NodeShape(io: .uring, shards: 4),
    ])
    func `whoever wants no replies gets none, whatever shards the keys are on`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start()
        let redis = try RESPCaller(server)
        let keys = (0..<20).map { "quiet\($0)" }
        try redis.say("CLIENT", "REPLY", "OFF")
        try redis.client.send(
            RESPCaller.bytes((["MSET"] + keys.flatMap { [$0, "1"] }).map { Array($0.utf8) }))
        try redis.client.send(RESPCaller.bytes((["MGET"] + keys).map { Array($0.utf8) }))
        try redis.say("MULTI")
        for key in keys { try redis.say("INCR", key) }
        try redis.say("EXEC")
        #expect(try redis.ask("CLIENT", "REPLY", "ON") == "OK")
        try redis.say("CLIENT", "REPLY", "SKIP")
        try redis.client.send(RESPCaller.bytes((["DEL"] + keys[1...]).map { Array($0.utf8) }))
        #expect(try redis.ask("GET", keys[0]) == "2")
        #expect(try redis.ask(["EXISTS"] + keys) == "1")
        #expect(server.answers)
    }

    /// Its end follows from the last command alone, since nothing is sent that it could follow from.
    @Test(arguments: [
        NodeShape(io: .uring, shards: 1), NodeShape(io: .epoll, shards: 4),
        NodeShape(io: .uring, shards: 4),
    ])
    func `whoever wants no replies and says that was all is let go at once`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start(["--fsync", "always"])
        let redis = try RESPCaller(server)
        let keys = (0..<20).map { "quiet\($0)" }
        let commands = [
            ["CLIENT", "REPLY", "OFF"], ["MSET"] + keys.flatMap { [$0, "1"] },
        ]
        try redis.client.send(
            commands.flatMap { RESPCaller.bytes($0.map { Array($0.utf8) }) })
        redis.client.finishSending()
        #expect(redis.client.ending().isOver)
        let other = try RESPCaller(server)
        #expect(try other.ask(["EXISTS"] + keys) == "20")
    }

    @Test func `a node that runs alone joins nobody and leaves what it was never in`() throws {
        let server = try Server.start(environment: ["ADMIN_PASSWORD=the operator's"])
        let redis = try RESPCaller(server)
        let joining = [
            ["REPLICAOF", "127.0.0.1", "1"], ["CLUSTER", "MEET", "127.0.0.1", "1"],
            ["CLUSTER", "FORGET", "0123"], ["CLUSTER", "RESHARD"],
        ]
        for words in joining { #expect(try redis.ask(words).hasPrefix("-NOPERM "), "\(words)") }
        #expect(try redis.ask("REPLICAOF", "NO", "ONE").hasPrefix("-NOPERM "))
        #expect(try redis.ask("AUTH", "admin", "the operator's") == "OK")
        for words in joining {
            #expect(try redis.ask(words).hasPrefix("-ERR This version runs alone"), "\(words)")
        }
        #expect(try redis.ask("REPLICAOF", "NO", "ONE") == "OK")
        #expect(try redis.ask("ROLE").hasPrefix("[master "))
    }
}
