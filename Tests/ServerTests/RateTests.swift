import TestClient
import Testing

@Suite struct `Rates of requests` {
    @Test(arguments: NodeShape.allCases)
    func `a user has a burst, then is told when to come back, on whatever connection`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start(["--rate", "1/h,3"])
        let token = try server.token("alice", "hers")
        for key in 0..<3 {
            let alice = Caller(try server.connect(), token)
            expect(201, try alice.put("/t/key/\(key)", "1"))
        }
        for key in 0..<4 {
            let alice = Caller(try server.connect(), token)
            let told = expect(429, try alice.put("/t/key/\(key)", "2"))
            let wait = try #require(told.header("retry-after").flatMap { Int($0) })
            #expect((1...3600).contains(wait))
            #expect(told.header("ratelimit-limit") == "3")
            #expect(told.header("ratelimit-remaining") == "0")
            let reset = try #require(told.header("ratelimit-reset").flatMap { Int($0) })
            #expect((wait...10_800).contains(reset))
            // The connection goes on, and probes are always answered.
            for path in ["/health", "/ready", "/metrics"] {
                expect(200, try alice.client.ask("GET", path))
            }
        }
        // What was refused was not done. By address two are left: the login took one.
        let stranger = Caller(try server.connect(), nil)
        expectRecord(try stranger.get("/t/key/0"), "1", version: 1)
        expect(404, try stranger.get("/t/key/3"))
        expect(429, try stranger.get("/t/key/0"))
        expect(429, try stranger.get("/nothing"))
        expect(429, try server.login("bob", "his"))
    }

    @Test(arguments: NodeShape.few)
    func `plain reads are counted like all others`(_ shape: NodeShape) throws {
        let server = try shape.start(["--rate", "1/h,20"])
        let token = try server.token("alice", "hers")
        expect(201, try Caller(try server.connect(), token).put("/t/key/k", "1"))
        let client = try server.connect()
        try client.send((0..<40).flatMap { _ in Client.request("GET", "/t/key/k") })
        let statuses = try (0..<40).map { _ in try client.reply().status }
        #expect(statuses == Array(repeating: 200, count: 19) + Array(repeating: 429, count: 21))
    }

    @Test(arguments: NodeShape.few)
    func `of a request that is refused no body is awaited`(_ shape: NodeShape) throws {
        let server = try shape.start(["--rate", "1/h,1"])
        expect(200, try server.login("alice", "hers"))
        let client = try server.connect()
        // All of it is here: it is passed over.
        expect(429, try client.ask("POST", "/t/store", body: "{\"a\":1}"))
        expect(429, try client.ask("POST", "/t/store", body: "{\"a\":1}"))
        try client.send(
            "PUT /t/key/k HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n{\"value\":")
        let told = expect(429, try client.reply())
        #expect(told.header("connection") == "close")
    }

    @Test(arguments: NodeShape.few)
    func `behind a trusted proxy each client has its own`(_ shape: NodeShape) throws {
        let server = try shape.start(["--rate", "1/h,2", "--trusted-proxy", "127.0.0.0/8"])
        func get(_ client: String) throws -> Int {
            try server.connect().ask("GET", "/t/key/k", "X-Forwarded-For: \(client)\r\n").status
        }
        for client in ["203.0.113.9", "203.0.113.10"] {
            #expect(try (0..<3).map { _ in try get(client) } == [404, 404, 429], "\(client)")
        }
    }

    @Test(arguments: NodeShape.few)
    func `a stream is never refused for good`(_ shape: NodeShape) throws {
        let server = try shape.start(["--rate", "1/h,1"])
        expect(404, try server.ask("GET", "/t/key/k"))
        let client = try server.connect()
        try client.send("GET /t/subscribe/k HTTP/1.1\r\nHost: test\r\n\r\n")
        let farewell = try client.reply()
        #expect(farewell.status == 200)
        #expect(farewell.header("content-type") == "text/event-stream")
        #expect(farewell.text.hasPrefix("retry: "))
    }

    @Test(arguments: NodeShape.few)
    func `messages on a WebSocket are counted with the user's other requests`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start(["--rate", "1/h,4"])
        let token = try server.token("alice", "hers")
        let socket = try server.socket("/ws", "Authorization: Bearer \(token)\r\n")
        for id in 1...3 {
            let answer = try socket.ask("{\"id\":\(id),\"op\":\"ping\"}")
            #expect(answer["status"]?.int == 200)
        }
        let answer = try socket.ask("{\"id\":4,\"op\":\"ping\"}")
        #expect(answer["id"]?.int == 4)
        #expect(answer["status"]?.int == 429)
        #expect(answer["error"]?.string != nil)
        let alice = Caller(try server.connect(), token)
        expect(429, try alice.get("/t/key/k"))
        // Nobody in particular has what the login left of the address.
        let other = try server.socket("/ws", "")
        let statuses = try (0..<4).map {
            try other.ask("{\"id\":\($0),\"op\":\"ping\"}")["status"]?.int
        }
        #expect(statuses == [200, 200, 429, 429])
    }
}
