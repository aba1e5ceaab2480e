import Glibc
import TestClient
import Testing

@Suite(.serialized) struct `Who may listen` {
    private func setRule(_ rule: String, _ table: String, _ node: TableNode) throws {
        let set = try node.asAdmin().say("PUT", "/\(table)", "{\"read\":\"\(rule)\"}")
        expect([200, 201, 204], set)
    }

    @Test(arguments: NodeShape.allCases)
    func `a table for users is told to nobody else`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        try setRule("authenticated", table, node)
        expect(201, try node.asAlice().put("/\(table)/key/k", "1"))
        for target in [
            "/\(table)/subscribe/k", "/\(table)/subscribe", "/subscribe?topic=\(table)/k",
        ] {
            expect(401, try node.asStranger().get(target))
            expect(401, try Caller(try node.server.connect(), "no.good.token").get(target))
            let feed = try node.feed(target, "Authorization: Bearer \(node.bob)\r\n")
            #expect(feed.isOpen)
            #expect(try feed.next()?.value == "1")
            let mark = target.contains("?") ? "&" : "?"
            let byQuery = try node.feed("\(target)\(mark)access_token=\(node.bob)")
            #expect(try byQuery.next()?.value == "1")
        }
        // A stale token on an open read is no error.
        let open = node.table()
        #expect(try node.feed("/\(open)/subscribe/k?access_token=stale").isOpen)
        #expect(try node.feed("/\(open)/subscribe/k", "Authorization: Bearer x.y.z\r\n").isOpen)
    }

    @Test(arguments: NodeShape.allCases)
    func `a record for its owner is told to its owner and the admin`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        try setRule("owner", table, node)
        let (alice, bob) = (try node.asAlice(), try node.asBob())
        for n in 1...4 {
            expect(201, try alice.put("/\(table)/key/a\(n)", "1"))
            expect(201, try bob.put("/\(table)/key/b\(n)", "2"))
        }
        for n in 1...4 {
            let refused = Caller(try node.server.connect(), node.bob)
            expect(403, try refused.get("/\(table)/subscribe/a\(n)"))
            expect(200, try refused.get("/\(table)/key/b\(n)"), "the connection goes on")
            let both = "/\(table)/subscribe?key=a\(n)&key=b\(n)"
            expect(403, try Caller(try node.server.connect(), node.bob).get(both))
        }
        let own = try node.feed(
            "/\(table)/subscribe?prefix=", "Authorization: Bearer \(node.alice)\r\n")
        #expect(Set(try own.next(4).compactMap(\.key)) == ["a1", "a2", "a3", "a4"])
        let all = try node.feed(
            "/\(table)/subscribe?prefix=", "Authorization: Bearer \(node.admin)\r\n")
        #expect(try all.next(8).count == 8)
        // An absent key is waited for; what another then makes of it stays theirs.
        let awaited = try node.feed(
            "/\(table)/subscribe/new", "Authorization: Bearer \(node.alice)\r\n")
        #expect(awaited.isOpen)
        expect(201, try bob.put("/\(table)/key/new", "3"))
        expect(201, try alice.put("/\(table)/key/a1", "4"))
        #expect(try own.next()?.value == "4")
        #expect(try all.next(2).compactMap(\.value).sorted() == ["3", "4"])
        #expect(try awaited.isQuiet(forMs: 30))
        // What was missed is shown by the same rule.
        let last = try #require(try own.placeToResume())
        own.close()
        expect(201, try bob.put("/\(table)/key/b1", "5"))
        expect(201, try alice.put("/\(table)/key/a2", "6"))
        let again = try node.feed(
            "/\(table)/subscribe?prefix=",
            "Authorization: Bearer \(node.alice)\r\nLast-Event-ID: \(last)\r\n")
        #expect(try again.next()?.value == "6")
        #expect(try again.isQuiet(forMs: 30))
    }

    @Test(arguments: NodeShape.allCases)
    func `a rule that becomes stricter holds for those who listen already`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let alice = try node.asAlice()
        expect(201, try alice.put("/\(table)/key/k", "1"))
        let stranger = try node.feed("/\(table)/subscribe/k")
        let user = try node.feed(
            "/\(table)/subscribe/k", "Authorization: Bearer \(node.bob)\r\n")
        #expect(try stranger.next()?.value == "1")
        #expect(try user.next()?.value == "1")
        try setRule("authenticated", table, node)
        // A shard hears of it with its next turn.
        #expect(
            try becomes {
                _ = try alice.get("/health")
                if stranger.hasEnded { return true }
                return try stranger.next(withinMs: 20) == nil && stranger.hasEnded
            })
        expect(201, try alice.put("/\(table)/key/k", "2"))
        #expect(try user.next()?.value == "2")
    }

    @Test(arguments: NodeShape.few)
    func `a stream that needed its token ends with it`(_ shape: NodeShape) throws {
        let server = try shape.start(
            environment: ["ADMIN_PASSWORD=\(TableNode.adminPassword)", "JWT_EXPIRATION=2s"])
        let admin = Caller(
            try server.connect(), try server.token("admin", TableNode.adminPassword))
        expect([200, 201, 204], try admin.say("PUT", "/closed", "{\"read\":\"authenticated\"}"))
        let token = try server.token("alice", "alice's secret")
        let closed = try Feed(
            try server.connect(), "/closed/subscribe/k", "Authorization: Bearer \(token)\r\n")
        let open = try Feed(
            try server.connect(), "/open/subscribe/k", "Authorization: Bearer \(token)\r\n")
        #expect(closed.isOpen && open.isOpen)
        #expect(try closed.next(withinMs: 6000) == nil && closed.hasEnded)
        #expect(try open.isQuiet(forMs: 50) && !open.hasEnded)
    }

    @Test(arguments: NodeShape.allCases)
    func `a bad request for a stream is told what is wrong`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let stranger = try node.asStranger()
        for target in [
            "/subscribe", "/subscribe?topic=", "/subscribe?topic=t", "/subscribe?topic=t/",
            "/subscribe?topic=/k", "/subscribe?topic=_t/k", "/subscribe?topic=key/k",
            "/subscribe?topic=t%2", "/\(table)/subscribe?key=", "/\(table)/subscribe?key=%FF",
            "/\(table)/subscribe?prefix=%zz",
            "/\(table)/subscribe?key=\(String(repeating: "k", count: 1025))",
            "/\(table)/subscribe?lastEventId=%", "/.t/subscribe/k",
            "/\(table)/subscribe?" + (0..<257).map { "key=\($0)" }.joined(separator: "&"),
        ] {
            let reply = try stranger.get(target)
            expect(400, reply, String(target.prefix(60)))
        }
        for method in ["PUT", "POST", "DELETE", "PATCH"] {
            let reply = try stranger.say(method, "/\(table)/subscribe/k", "{}")
            expect(405, reply)
            #expect(reply.header("allow") == "GET, HEAD, OPTIONS")
        }
        let head = try stranger.head("/\(table)/subscribe/k")
        #expect(head.status == 200 && head.header("content-type") == "text/event-stream")
        let options = try stranger.say(
            "OPTIONS", "/\(table)/subscribe/k", "",
            "Origin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n")
        #expect(options.header("access-control-allow-origin") == "*")
        #expect(options.header("access-control-allow-headers")?.contains("Last-Event-ID") == true)
        let cross = try node.feed("/\(table)/subscribe/k", "Origin: https://app.example\r\n")
        #expect(cross.head.header("access-control-allow-origin") == "*")
        let most = (0..<256).map { "key=\($0)" }.joined(separator: "&")
        #expect(try node.feed("/\(table)/subscribe?\(most)").isOpen)
        // A star is a key's own where the path names it.
        let star = try node.feed("/\(table)/subscribe/a*")
        #expect(try node.listeners(1, of: "/\(table)/subscribers/a*"))
        expect(201, try node.asAlice().put("/\(table)/key/ab", "1"))
        expect(201, try node.asAlice().put("/\(table)/key/a*", "2"))
        #expect(try star.next()?.value == "2")
    }

    @Test(arguments: NodeShape.allCases)
    func `a stream waits its turn behind other requests, and what follows it is read past`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        for n in 0..<8 { expect(201, try node.asAlice().put("/\(table)/key/k\(n)", "\(n)")) }
        let client = try node.server.connect()
        var text = ""
        for n in 0..<8 { text += "GET /\(table)/key/k\(n) HTTP/1.1\r\nHost: test\r\n\r\n" }
        text += "GET /\(table)/subscribe/k3 HTTP/1.1\r\nHost: test\r\n\r\n"
        text += "GET /health HTTP/1.1\r\nHost: test\r\n\r\n"
        try client.send(text)
        for n in 0..<8 { expectRecord(try client.reply(), "\(n)") }
        let feed = try Feed(hearing: client)
        #expect(try feed.next()?.value == "3")
        try client.send("noise that means nothing\r\n")
        expect(201, try node.asAlice().put("/\(table)/key/k3", "9"))
        #expect(try feed.next()?.value == "9")
    }

    @Test(arguments: NodeShape.few)
    func `a stream is never refused for want of room`(_ shape: NodeShape) throws {
        let server = try shape.start(["--max-connections", "4"])
        let held = try (0..<4).map { _ in try server.connect() }
        for client in held { _ = try client.ask("GET", "/health") }
        for target in ["/t/subscribe/k", "/subscribe?topic=t/k", "/t/subscribe?prefix=p"] {
            let feed = try Feed(try server.connect(), target)
            #expect(feed.isOpen)
            #expect(try feed.next() == nil)
            #expect(feed.hasEnded && feed.retryMs != nil)
        }
        let reply = try server.connect().ask("GET", "/t/key/k")
        #expect(reply.status == 503)
    }
}
