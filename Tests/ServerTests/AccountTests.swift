import TestClient
import Testing

@Suite(.serialized) struct `Accounts` {
    @Test(arguments: NodeShape.allCases)
    func `the first to come is made a user, and known from then on`(_ shape: NodeShape) throws {
        let server = try shape.start()
        for user in ["carol", "dave"] {
            let first = expect(200, try server.login(user, "a secret"))
            #expect(first.json?.names == ["status", "token"], "\(first.text)")
            #expect(first.json?["status"]?.string == "User created")
            let again = expect(200, try server.login(user, "a secret"))
            #expect(again.json?.names == ["token"], "\(again.text)")
            let wrong = expect(401, try server.login(user, "A secret"))
            #expect(!wrong.text.contains("secret\""))
            for reply in [first, again] {
                let token = try #require(reply.json?["token"]?.string)
                #expect(reply.header("cache-control")?.contains("no-store") == true)
                let caller = Caller(try server.connect(), token)
                for key in 0..<4 {
                    expectRecord(
                        expect(201, try caller.put("/\(user)/key/\(key)", "1")), "1", owner: user)
                }
            }
        }
    }

    @Test(arguments: NodeShape.few)
    func `a secret has 1 to 1024 bytes, of any kind`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let longest = String(repeating: "s", count: 1024)
        for (user, secret, other) in [
            ("one", "s", "t"), ("long", longest, String(longest.dropLast()) + "t"),
            ("unicode", "é😀\u{0}\n", "é😀\u{0}"),
        ] {
            expect(200, try server.login(user, secret), user)
            expect(200, try server.login(user, secret), user)
            expect(401, try server.login(user, other), user)
        }
        expect(400, try server.login("longer", longest + "s"))
        expect(400, try server.login("wide", String(repeating: "é", count: 513)))
        expect(400, try server.login("empty", ""))
        let escaped = try server.connect().ask(
            "POST", "/auth/one", body: "{ \"secret\" : \"\\u0073\" }")
        expect(200, escaped, "the secret is the string, not how it is written")
    }

    @Test(arguments: NodeShape.allCases)
    func `a bad body or name makes no user`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let client = try node.server.connect()
        let user = node.table("user")
        for body in [
            "", "{}", "[]", "\"secret\"", "null", "{\"secret\":1}", "{\"secret\":null}",
            "{\"secret\":[\"a\"]}", "{\"secret\":\"a\"", "{\"secret\":\"a\"}x",
            "{\"password\":\"abc\"}", "{\"secret\":\"a\",\"secret\":\"b\"}",
            "{\"secret\":\"\\ud800\"}", "secret=a",
        ] {
            expect(400, try client.ask("POST", "/auth/\(user)", body: body), body)
        }
        for name in [
            "_hidden", ".hidden", "-option", "a%20b", "a%2Fb", "%C3%A9", "a%00", "a@b",
            String(repeating: "n", count: 200), "%22", "a:b",
        ] {
            let reply = try client.ask("POST", "/auth/\(name)", body: "{\"secret\":\"abc\"}")
            expect(400, reply, name)
        }
        for path in ["/auth", "/auth/", "/auth/a/b"] {
            let reply = try client.ask("POST", path, body: "{\"secret\":\"abc\"}")
            expect([400, 404, 405], reply, path)
        }
        let plain = try client.ask(
            "POST", "/auth/\(user)", "Content-Type: text/plain\r\n", body: "{\"secret\":\"abc\"}")
        expect(415, plain)
        let created = try client.ask(
            "POST", "/auth/\(user)", "Content-Type: application/json; charset=utf-8\r\n",
            body: "{\"secret\":\"abc\"}")
        #expect(created.json?["status"]?.string == "User created", "nobody had the name before")
    }

    @Test(arguments: NodeShape.few)
    func `names differ by case, and each is its own`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let name = node.table("case")
        let upper = name.uppercased()
        for user in [name, upper, name + ".x", name + "_x"] {
            let reply = expect(200, try node.server.login(user, "of \(user)"))
            #expect(reply.json?["status"]?.string == "User created", "\(user)")
        }
        expect(401, try node.server.login(upper, "of \(name)"))
    }

    @Test(arguments: NodeShape.few)
    func `of twenty who make the same user, one does`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        for round in 0..<(isSoak ? 50 : 1) {
            let user = node.table("twenty-\(round)")
            let replies = try atOnce(20) { _ in try node.server.login(user, "the same") }
            // Ten at once are as many as may try a name; the others are told to wait.
            #expect(
                replies.allSatisfy { [200, 429].contains($0.status) }, "\(replies.map(\.status))")
            let created = replies.filter { $0.json?["status"]?.string == "User created" }
            #expect(created.count == 1)
            let tokens = replies.compactMap { $0.json?["token"]?.string }
            #expect(tokens.count >= 10 && tokens.count == replies.count { $0.status == 200 })
            let subjects = Set(tokens.compactMap { TokenText($0)?.claims["sub"]?.string })
            #expect(subjects.count == 1)
        }
    }

    @Test(arguments: NodeShape.few)
    func `of many with different secrets, one has the name`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let user = node.table("contested")
        let replies = try atOnce(8) { try node.server.login(user, "secret \($0)") }
        #expect(replies.filter { $0.status == 200 }.count == 1, "\(replies.map(\.status))")
        let winner = try #require(replies.firstIndex { $0.status == 200 })
        #expect(replies[winner].json?["status"]?.string == "User created")
        #expect(replies.enumerated().allSatisfy { $0 == winner || [401, 429].contains($1.status) })
        expect(200, try node.server.login(user, "secret \(winner)"))
    }

    @Test(arguments: NodeShape.few)
    func `who guesses has to wait, and nobody else does`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let alice = Caller(try server.connect(), try server.token("alice", "hers"))
        let bob = Caller(try server.connect(), try server.token("bob", "his"))
        expect(201, try bob.put("/t/key/k", "1"))
        // Nobody is believed who says that they come from somewhere else each time.
        let guesses = try (0..<40).map {
            try server.connect().ask(
                "POST", "/auth/alice",
                "X-Forwarded-For: 203.0.113.\($0)\r\nForwarded: for=203.0.113.\($0)\r\n",
                body: "{\"secret\":\"guess \($0)\"}", withinMs: 30_000)
        }
        #expect(guesses.allSatisfy { [401, 429].contains($0.status) }, "\(guesses.map(\.status))")
        #expect(guesses.first?.status == 401)
        let told = try #require(guesses.first { $0.status == 429 })
        let wait = try #require(told.header("retry-after").flatMap { Int($0) })
        #expect((1...3600).contains(wait))
        #expect(told.errorSentence != nil)
        #expect(guesses.last?.status == 429)
        #expect(guesses.filter { $0.status == 401 }.count <= 30)
        // Reading and writing go on, for her too.
        expect(200, try bob.get("/t/key/k"))
        expect(201, try alice.put("/t/key/hers", "1"))
    }

    @Test(arguments: NodeShape.few)
    func `behind a trusted proxy only who guesses has to wait`(_ shape: NodeShape) throws {
        let server = try shape.start(["--trusted-proxy", "127.0.0.0/8"])
        func login(_ user: String, _ headers: String) throws -> Reply {
            try server.connect().ask(
                "POST", "/auth/\(user)", headers, body: "{\"secret\":\"s\"}", withinMs: 30_000)
        }
        let users = (0..<4).map { "user-\($0)" }
        for user in users { expect(200, try server.login(user, "the right one")) }
        // One client tries name after name, whatever it claims to be itself.
        var statuses: [Int] = []
        for number in 0..<38 {
            let claim = "X-Forwarded-For: 198.51.100.\(number)"
            let word =
                number % 2 == 0
                ? "\(claim), 203.0.113.9, 127.0.0.2\r\n"
                : "\(claim)\r\nX-Forwarded-For: 203.0.113.9\r\n"
            statuses.append(try login(users[number % 4], word).status)
        }
        #expect(statuses.first == 401 && statuses.last == 429, "\(statuses)")
        #expect(try login("x", "X-Forwarded-For: 203.0.113.9\r\n").status == 429)
        #expect(try login("x", "Forwarded: for=203.0.113.9\r\n").status == 429)
        // Everybody else behind the same proxy may.
        expect(200, try login("x", "X-Forwarded-For: 203.0.113.10\r\n"))
        expect(200, try login("y", "Forwarded: for=203.0.113.11;proto=https\r\n"))
        expect(200, try login("z", ""))
    }

    @Test(arguments: NodeShape.allCases)
    func `there is an admin where the operator says so`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let admin = expect(200, try node.server.login("admin", TableNode.adminPassword))
        let token = try #require(admin.json?["token"]?.string)
        #expect(TokenText(token)?.claims["name"]?.string == "admin")
        expect(401, try node.server.login("admin", "guess"))
        let without = try shape.start()
        for secret in ["", "admin", TableNode.adminPassword] {
            expect([400, 401], try without.login("admin", secret))
        }
        expect(401, try without.login("admin", TableNode.adminPassword))
    }

    @Test(arguments: NodeShape.few)
    func `hashing keeps nobody waiting`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let alice = try node.asAlice()
        let table = node.table()
        expect(201, try alice.put("/\(table)/key/k", "1"))
        let user = node.table("slow")
        let logins = try (0..<6).map { number in
            let client = try node.server.connect()
            try client.send(
                Client.request(
                    "POST", "/auth/\(user)-\(number)", body: Array("{\"secret\":\"s\"}".utf8)))
            return client
        }
        let before = monotonicMs()
        for _ in 0..<20 { expect(200, try alice.get("/\(table)/key/k")) }
        let spent = monotonicMs() - before
        for client in logins { expect(200, try client.reply(withinMs: 30_000)) }
        let all = monotonicMs() - before
        #expect(spent < max(200, all), "\(spent) of \(all) ms")
    }

    @Test(arguments: NodeShape.few)
    func `who leaves while the hash is made leaves nothing behind`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let user = node.table("gone")
        for number in 0..<6 {
            let client = try node.server.connect()
            try client.send(
                Client.request(
                    "POST", "/auth/\(user)-\(number / 2)", body: Array("{\"secret\":\"s\"}".utf8)))
            if number % 2 == 0 { client.close() } else { client.reset() }
        }
        for number in 0..<3 { expect(200, try node.server.login("\(user)-\(number)", "s")) }
        #expect(node.server.answers)
    }

    @Test(arguments: NodeShape.few)
    func `a password is not hashed for who has left`(_ shape: NodeShape) throws {
        let server = try shape.start()
        expect(200, try server.login("known", "s"))
        // What is asked for before the login is heard, so the login is under way.
        let people = try (0..<10).map { number in
            let client = try server.connect()
            try client.send(
                Client.request("GET", "/health")
                    + Client.request(
                        "POST", "/auth/user-\(number)", body: Array("{\"secret\":\"s\"}".utf8)))
            expect(200, try client.reply())
            return client
        }
        let programs = try (0..<10).map { _ in
            let caller = try RESPCaller(server)
            try caller.client.send(
                RESPCaller.bytes([Array("PING".utf8)])
                    + RESPCaller.bytes(["AUTH", "known", "s"].map { Array($0.utf8) }))
            #expect(RESPCaller.text(try caller.hear()) == "PONG")
            return caller.client
        }
        for client in people + programs { client.reset() }
        // Hashed one after the other: when this one is answered, so are all that were before it.
        expect(200, try server.login("last", "s"))
        let metrics = try server.connect().ask("GET", "/metrics", "Accept: text/plain\r\n").text
        let answered = metrics.split(separator: "\n").filter {
            $0.hasPrefix("needletail_logins_total{") && $0.contains("accepted")
        }.compactMap { $0.split(separator: " ").last.flatMap { Double($0) } }.reduce(0, +)
        #expect(answered >= 2 && answered < 12, "\(answered) of 22 logins were answered")
    }

    /// Each password hash takes tens of milliseconds, so the long form has a thousand names; the desk
    /// itself, with a cheaper hash, plays ten thousand.
    @Test(arguments: NodeShape.few)
    func `of two who race for a name, again and again, one makes the user each time`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let racer = node.table("racer")
        let names = (0..<(isSoak ? 1000 : 5)).map { "\(racer)-\($0)" }
        let barrier = Barrier(2)
        let statuses = try atOnce(2) { _ -> [String] in
            let client = try node.server.connect()
            var statuses: [String] = []
            var failure: (any Error)?
            for name in names {
                barrier.wait()
                if failure != nil { continue }
                do {
                    let reply = try client.ask(
                        "POST", "/auth/\(name)", body: "{\"secret\":\"the same\"}",
                        withinMs: 30_000)
                    statuses.append(reply.json?["status"]?.string ?? "\(reply.status)")
                } catch {
                    failure = error
                }
            }
            if let failure { throw failure }
            return statuses
        }
        for (number, name) in names.enumerated() {
            let pair = [statuses[0][number], statuses[1][number]]
            #expect(Set(pair) == ["User created", "200"], "\(name): \(pair)")
        }
    }
}
