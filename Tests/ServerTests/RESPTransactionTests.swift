import TestClient
import Testing
import Wire

/// Hunting for anomalies: what nobody may ever see, with many clients trying.
@Suite("Transactions over shards") struct RESPTransactionTests {
    static let shapes = [
        NodeShape(io: .uring, shards: 1), NodeShape(io: .uring, shards: 4),
        NodeShape(io: .epoll, shards: 3),
    ]
    static var rounds: Int { isSoak ? 3000 : 150 }

    struct Refused: Error { let what: String }

    /// Keys that lie on different shards.
    static let accounts = (0..<8).map { "account\($0)" }

    @Test(arguments: shapes)
    func `money moved in MULTI is never made or lost, whoever looks`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let port = server.port
        let first = try RESPCaller(server)
        for account in Self.accounts { _ = try first.ask("SET", account, "1000") }
        _ = try atOnce(7) { number in
            let redis = try RESPCaller(port: port)
            if number < 4 {
                var seed = UInt64(number) &+ 7
                for _ in 0..<Self.rounds {
                    seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    let from = Self.accounts[Int(seed >> 33) % Self.accounts.count]
                    let to = Self.accounts[Int(seed >> 45) % Self.accounts.count]
                    guard (try? redis.ask("MULTI")) == "OK",
                        (try? redis.ask("DECRBY", from, "7")) == "QUEUED",
                        (try? redis.ask("INCRBY", to, "7")) == "QUEUED",
                        let done = try? redis.ask("EXEC"), done.hasPrefix("[")
                    else { throw Refused(what: "a transfer was refused") }
                }
            } else {
                for _ in 0..<Self.rounds {
                    guard let seen = try? redis.ask(["MGET"] + Self.accounts) else {
                        throw Refused(what: "MGET was not answered")
                    }
                    let sum = seen.dropFirst().dropLast().split(separator: " ")
                        .reduce(0) { $0 + (Int($1) ?? 0) }
                    #expect(sum == 1000 * Self.accounts.count, "\(seen)")
                }
            }
        }
        #expect(server.answers)
    }

    @Test(arguments: shapes)
    func `MSET is seen whole or not at all`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let port = server.port
        _ = try RESPCaller(server).ask(["MSET"] + Self.accounts.flatMap { [$0, "first"] })
        _ = try atOnce(6) { number in
            let redis = try RESPCaller(port: port)
            if number < 3 {
                for round in 0..<Self.rounds {
                    let value = "\(number)-\(round)"
                    let words = ["MSET"] + Self.accounts.flatMap { [$0, value] }
                    guard (try? redis.ask(words)) == "OK" else {
                        throw Refused(what: "MSET was refused")
                    }
                }
            } else {
                for _ in 0..<Self.rounds {
                    let seen = (try? redis.ask(["MGET"] + Self.accounts)) ?? "nothing"
                    let values = Set(seen.dropFirst().dropLast().split(separator: " "))
                    #expect(values.count == 1, "\(seen)")
                }
            }
        }
    }

    @Test(arguments: shapes)
    func `over HTTP a record is never seen under its old name once it has the new one`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start()
        let token = try server.token("alice", "secret")
        let (old, new) = (Self.accounts[0], Self.accounts[1])
        let port = server.port
        @Sendable func value(_ reply: Reply) -> Substring? {
            reply.status == 200 ? reply.text.split(separator: ",").first : nil
        }
        _ = try atOnce(4) { number in
            if number == 0 {
                let alice = Caller(try Client(port: port), token)
                let redis = try RESPCaller(port: port)
                #expect(try redis.ask("AUTH", "alice", "secret") == "OK")
                for round in 0..<Self.rounds {
                    expect(201, try alice.put("/default/key/\(old)", "\(round)"))
                    #expect(try redis.ask("RENAME", old, new) == "OK")
                }
            } else {
                let client = try Client(port: port)
                // One after the other: what is asked in one go may be answered on two shards at once.
                for _ in 0..<4 * Self.rounds {
                    try client.send(Client.request("GET", "/default/key/\(new)"))
                    let after = value(try client.reply())
                    try client.send(Client.request("GET", "/default/key/\(old)"))
                    let before = value(try client.reply())
                    #expect(after == nil || after != before, "\(after ?? "")")
                }
            }
        }
        #expect(server.answers)
    }

    @Test(arguments: shapes)
    func `of those who watch the same key one wins each time`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let port = server.port
        _ = try RESPCaller(server).ask("SET", "counter", "0")
        let wins = try atOnce(4) { _ in
            let redis = try RESPCaller(port: port)
            var wins = 0
            for _ in 0..<Self.rounds {
                guard try redis.ask("WATCH", "counter") == "OK",
                    let value = Int(try redis.ask("GET", "counter")),
                    try redis.ask("MULTI") == "OK",
                    try redis.ask("SET", "counter", "\(value + 1)") == "QUEUED",
                    try redis.ask("SET", "other", "x") == "QUEUED"
                else {
                    Issue.record("a round was refused")
                    break
                }
                if try redis.ask("EXEC") != "nil" { wins += 1 }
            }
            return wins
        }
        let won = wins.reduce(0, +)
        #expect(try RESPCaller(server).ask("GET", "counter") == "\(won)")
        #expect(won > 0)
    }

    @Test(arguments: shapes)
    func `elements moved between lists are neither lost nor doubled`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let port = server.port
        let first = try RESPCaller(server)
        let lists = (0..<5).map { "list\($0)" }
        for number in 0..<20 { _ = try first.ask("RPUSH", lists[number % 5], "e\(number)") }
        _ = try atOnce(4) { number in
            let redis = try RESPCaller(port: port)
            for round in 0..<Self.rounds {
                let from = lists[(round + number) % 5]
                let to = lists[(round * 3 + number * 2) % 5]
                let reply = try redis.ask(
                    "LMOVE", from, to, round % 2 == 0 ? "LEFT" : "RIGHT", "LEFT")
                #expect(!reply.hasPrefix("-"), "\(reply)")
            }
        }
        var elements: [String] = []
        for list in lists {
            let seen = try first.ask("LRANGE", list, "0", "-1")
            elements += seen.dropFirst().dropLast().split(separator: " ").map(String.init)
        }
        #expect(elements.sorted() == (0..<20).map { "e\($0)" }.sorted())
    }

    @Test(arguments: shapes)
    func `a refused command breaks the transaction, a failing one does not`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start()
        let redis = try RESPCaller(server)
        #expect(try redis.ask("EXEC") == "-ERR EXEC without MULTI")
        #expect(try redis.ask("MULTI") == "OK")
        #expect(try redis.ask("NOSUCH").hasPrefix("-ERR unknown command"))
        #expect(
            try redis.ask("EXEC")
                == "-EXECABORT Transaction discarded because of previous errors.")
        #expect(try redis.ask("MULTI") == "OK")
        #expect(try redis.ask("SET", "a", "x") == "QUEUED")
        #expect(try redis.ask("INCR", "a") == "QUEUED")
        #expect(try redis.ask("RENAME", "a", "b") == "QUEUED")
        #expect(try redis.ask("MGET", "a", "b", "c") == "QUEUED")
        #expect(
            try redis.ask("EXEC")
                == "[OK -ERR value is not an integer or out of range OK [nil x nil]]")
    }
}
