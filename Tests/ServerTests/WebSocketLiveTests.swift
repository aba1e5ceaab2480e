import TestClient
import Testing

/// A message of a stream, in words: `a=1`, `a gone`, or a control message's name.
private func words(_ message: JSON) -> String {
    let event = message["event"]?.string ?? "?"
    guard let key = message["key"]?.string else { return event }
    switch event {
    case "Updated":
        let mark = message["initial"]?.bool == true ? "(" : ""
        return "\(mark)\(key)=\(message["value"]?["value"]?.text ?? "?")"
    case "Deleted": return "\(key) gone"
    default: return "\(key) \(event)"
    }
}

@Suite struct `Live updates over WebSocket` {
    private func write(_ caller: Caller, _ table: String, _ key: String, _ value: String) throws {
        expect(201, try caller.put("/\(table)/key/\(key)", value))
    }

    @Test(arguments: NodeShape.allCases)
    func `a subscribe URL that is upgraded tells the present state and every change`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let table = node.table("live")
        let alice = try node.asAlice()
        try write(alice, table, "a", "1")
        let socket = try node.server.socket("/\(table)/subscribe/a")
        let first = try socket.json()
        #expect(words(first) == "(a=1")
        #expect(first["table"]?.string == table)
        #expect(first["value"]?["owner"]?.string == "alice")
        var ids = [first["id"]?.string]
        for value in 2...20 {
            try write(alice, table, "a", "\(value)")
            let heard = try socket.json()
            #expect(words(heard) == "a=\(value)")
            #expect(heard.names?.first == "id")
            ids.append(heard["id"]?.string)
        }
        #expect(Set(ids.compactMap { $0 }).count == 20, "each has an id of its own")
        expect(200, try alice.delete("/\(table)/key/a"))
        let gone = try socket.json()
        #expect(words(gone) == "a gone")
        #expect(gone["version"]?.int == 21)
        let count = try alice.get("/\(table)/subscribers/a")
        #expect(count.json?["count"]?.int == 1)
        socket.client.close()
        #expect(
            try becomes { try alice.get("/\(table)/subscribers/a").json?["count"]?.int == 0 })
    }

    @Test(arguments: NodeShape.allCases)
    func `who comes back is told what it missed, or that it begins again`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let table = node.table("live")
        let alice = try node.asAlice()
        try write(alice, table, "k0", "0")
        let socket = try node.server.socket("/\(table)/subscribe")
        #expect(words(try socket.json()) == "(k0=0")
        // What is heard before every shard has told its state has no id yet.
        var place: String?
        _ = try becomes {
            try write(alice, table, "k0", "1")
            let heard = try socket.json()
            #expect(words(heard) == "k0=1")
            place = heard["id"]?.string
            return place != nil
        }
        let id = try #require(place)
        socket.client.close()
        for key in 1...6 { try write(alice, table, "k\(key)", "\(key)") }
        let again = try node.server.socket("/\(table)/subscribe?lastEventId=\(id)")
        var heard: Set<String> = []
        for _ in 1...6 { heard.insert(words(try again.json())) }
        #expect(heard == Set((1...6).map { "k\($0)=\($0)" }))
        let foreign = try node.server.socket("/\(table)/subscribe?lastEventId=nobody")
        #expect(words(try foreign.json()) == "reset")
        heard = []
        for _ in 0...6 { heard.insert(words(try foreign.json())) }
        #expect(heard == Set(["(k0=1"] + (1...6).map { "(k\($0)=\($0)" }))
    }

    @Test(arguments: NodeShape.allCases)
    func `one connection listens to many things, and stops listening to some`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let one = node.table("live")
        let two = node.table("live")
        let alice = try node.asAlice()
        for key in ["a", "b", "c", "d"] { try write(alice, one, key, "0") }
        let socket = try node.socket(nil)
        func ask(_ operation: String, hears count: Int) throws -> Set<String> {
            #expect(try socket.ask(operation)["status"]?.int == 200, "\(operation)")
            var heard: Set<String> = []
            for _ in 0..<count { heard.insert(words(try socket.json())) }
            return heard
        }
        let subscribe = "{\"id\":1,\"op\":\"subscribe\",\"table\":\"\(one)\""
        #expect(try ask(subscribe + ",\"key\":\"a\"}", hears: 1) == ["(a=0"])
        #expect(
            try ask(subscribe + ",\"keys\":[\"b\",\"c\",\"x\"]}", hears: 2) == ["(b=0", "(c=0"])
        #expect(
            try ask(
                "{\"id\":2,\"op\":\"subscribe\",\"table\":\"\(two)\",\"prefix\":\"p\"}", hears: 0)
                == [])
        #expect(try ask(subscribe + ",\"key\":\"d\",\"initial\":false}", hears: 0) == [])
        for key in ["a", "b", "c", "d", "x"] {
            try write(alice, one, key, "1")
            #expect(words(try socket.json()) == "\(key)=1")
        }
        try write(alice, two, "q1", "1")
        try write(alice, two, "p1", "1")
        #expect(words(try socket.json()) == "p1=1")
        let unsubscribe = "{\"id\":3,\"op\":\"unsubscribe\",\"table\":\"\(one)\""
        #expect(try ask(unsubscribe + ",\"keys\":[\"a\",\"b\"]}", hears: 0) == [])
        #expect(try socket.ask(unsubscribe + ",\"key\":\"a\"}")["status"]?.int == 404)
        for key in ["a", "b", "c"] { try write(alice, one, key, "2") }
        #expect(words(try socket.json()) == "c=2")
        #expect(try ask(subscribe + ",\"key\":\"a\"}", hears: 1) == ["(a=2"])
        let many = (0..<300).map { "\"k\($0)\"" }.joined(separator: ",")
        #expect(try socket.ask(subscribe + ",\"keys\":[\(many)]}")["status"]?.int == 413)
        try write(alice, one, "a", "3")
        #expect(words(try socket.json()) == "a=3")
    }

    @Test(arguments: NodeShape.allCases)
    func `subscriptions that come and go at once leave the others in order`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let table = node.table("live")
        let socket = try node.socket(node.alice)
        #expect(
            try socket.ask(
                "{\"id\":0,\"op\":\"subscribe\",\"table\":\"\(table)\",\"key\":\"steady\"}")[
                    "status"]?.int == 200)
        var frames: [UInt8] = []
        let rounds = 100
        for round in 1...rounds {
            for message in [
                "{\"id\":1,\"op\":\"subscribe\",\"table\":\"\(table)\",\"prefix\":\"\"}",
                "{\"id\":2,\"op\":\"put\",\"table\":\"\(table)\",\"key\":\"steady\",\"value\":\(round)}",
                "{\"id\":3,\"op\":\"put\",\"table\":\"\(table)\",\"key\":\"other\",\"value\":\(round)}",
                "{\"id\":4,\"op\":\"unsubscribe\",\"table\":\"\(table)\",\"prefix\":\"\"}",
            ] { frames += Socket.frame(1, Array(message.utf8)) }
        }
        frames += Socket.frame(1, Array("{\"id\":5,\"op\":\"ping\"}".utf8))
        background { [frames] in try? socket.client.send(frames, withinMs: 30_000) }
        var answers = 0
        var last = 0
        while answers < rounds * 4 + 1 || last < rounds {
            let message = try socket.json()
            if message["event"] == nil {
                let status = message["status"]?.int ?? 0
                #expect(status == 200 || status == 201, "\(message.text)")
                answers += 1
            } else if message["key"]?.string == "steady",
                let value = message["value"]?["value"]?.int
            {
                // A subscription that comes tells the present state once more.
                let isInitial = message["initial"]?.bool == true
                #expect(value > last || isInitial && value == last, "\(value) after \(last)")
                last = value
            }
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `read rules hold for listeners`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table("live")
        try write(try node.asAlice(), table, "k", "1")
        expect(200, try node.asAdmin().say("PUT", "/\(table)", "{\"read\":\"owner\"}"))
        let stranger = try node.server.connect()
        #expect(
            try becomes {
                try stranger.send(Socket.opening("/\(table)/subscribe/k"))
                return try stranger.reply().status == 401
            })
        let alice = try node.server.socket("/\(table)/subscribe/k?access_token=\(node.alice)")
        #expect(words(try alice.json()) == "(k=1")
        let bob = try node.server.socket("/\(table)/subscribe/k?access_token=\(node.bob)")
        #expect(try bob.hear() == .close(1008, "Only its owner may read this"))
        let all = try node.server.socket("/\(table)/subscribe?access_token=\(node.bob)")
        let operations = try node.socket(node.bob)
        let subscribe = "{\"id\":1,\"op\":\"subscribe\",\"table\":\"\(table)\"}"
        #expect(try operations.ask(subscribe)["status"]?.int == 200)
        #expect(try node.socket(nil).ask(subscribe)["status"]?.int == 401)
        try write(try node.asAlice(), table, "k", "2")
        try write(try node.asBob(), table, "own", "1")
        #expect(words(try alice.json()) == "k=2")
        #expect(words(try all.json()) == "own=1")
        #expect(words(try operations.json()) == "own=1")
    }

    @Test(arguments: IODriver.allCases)
    func `a table that is closed ends the sockets of strangers`(_ io: IODriver) throws {
        let node = try TableNode.shared(NodeShape(io: io, shards: 2))
        let table = node.table("live")
        try write(try node.asAlice(), table, "k", "1")
        let stranger = try node.server.socket("/\(table)/subscribe/k")
        #expect(words(try stranger.json()) == "(k=1")
        let alice = try node.server.socket("/\(table)/subscribe/k?access_token=\(node.alice)")
        #expect(words(try alice.json()) == "(k=1")
        expect(200, try node.asAdmin().say("PUT", "/\(table)", "{\"read\":\"authenticated\"}"))
        #expect(try stranger.hear() == .close(1008, "A valid token is needed to read on"))
        try write(try node.asAlice(), table, "k", "2")
        #expect(words(try alice.json()) == "k=2")
    }

    @Test(arguments: NodeShape.few)
    func `long answers and events never stand in each other`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table("live")
        let socket = try node.socket(node.alice)
        #expect(
            try socket.ask("{\"id\":0,\"op\":\"subscribe\",\"table\":\"\(table)\"}")["status"]?.int
                == 200)
        let value = String(repeating: "v", count: 150_000)
        var frames: [UInt8] = []
        let count = 40
        for id in 1...count {
            frames += Socket.frame(
                1,
                Array(
                    "{\"id\":\(id),\"op\":\"put\",\"table\":\"\(table)\",\"key\":\"k\(id % 4)\",\"value\":\"\(value)\"}"
                        .utf8))
            frames += Socket.frame(
                1,
                Array(
                    "{\"id\":\(id),\"op\":\"get\",\"table\":\"\(table)\",\"key\":\"k\(id % 4)\"}"
                        .utf8))
            frames += Socket.frame(9, Array("p\(id)".utf8))
        }
        background { [frames] in try? socket.client.send(frames, withinMs: 60_000) }
        var answers = 0
        var pongs = 0
        while answers < 2 * count || pongs < count {
            switch try socket.hear(withinMs: 30_000) {
            case .pong: pongs += 1
            case .text(let text):
                let message = try #require(JSON(text))
                if message["status"] != nil { answers += 1 }
                let record = message["record"] ?? message["value"]
                if let record { #expect(record["value"]?.string?.utf8.count == value.utf8.count) }
            case let other: Issue.record("\(other)")
            }
        }
    }

    @Test(arguments: IODriver.allCases)
    func `a slow reader is told that it lags, and then the newest state`(_ io: IODriver) throws {
        let node = try TableNode.shared(NodeShape(io: io, shards: 2))
        let table = node.table("live")
        let alice = try node.asAlice()
        let socket = try node.server.socket("/\(table)/subscribe", receiveBuffer: 4096)
        let filler = String(repeating: "x", count: 20_000)
        let rounds = 60
        for round in 1...rounds {
            for key in ["a", "b"] { try write(alice, table, key, "\"\(round) \(filler)\"") }
        }
        var newest: [String: Int] = [:]
        var lagged = 0
        while newest["a"] != rounds || newest["b"] != rounds {
            let message = try socket.json()
            if let skipped = message["skipped"]?.int {
                #expect(message["event"]?.string == "lagged")
                lagged += skipped
                continue
            }
            let key = try #require(message["key"]?.string)
            let text = try #require(message["value"]?["value"]?.string)
            let round = try #require(Int(text.prefix { $0 != " " }))
            #expect(round > newest[key] ?? 0)
            newest[key] = round
        }
        #expect(lagged > 0)
    }

    @Test(arguments: IODriver.allCases)
    func `a client that leaves two pings unanswered is let go, any other is kept`(
        _ io: IODriver
    ) throws {
        let server = try Server.start(io: io, ["--heartbeat", "200ms"])
        let deaf = try server.socket("/ws")
        let quiet = try server.socket("/t/subscribe/k")
        #expect(try deaf.hear() == .ping([]))
        #expect(try deaf.hear() == .ping([]))
        for _ in 0..<8 {
            #expect(try quiet.hear() == .ping([]))
            try quiet.client.send(Socket.frame(10))
        }
        #expect(deaf.client.ending().isOver)
        try quiet.client.send(Socket.close(1000))
        var heard = try quiet.hear()
        while heard == .ping([]) { heard = try quiet.hear() }
        #expect(heard == .close(1000, ""))
    }

    @Test(arguments: NodeShape.few)
    func `a socket that needs its token ends with it, and one that does not goes on`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start(
            ["--heartbeat", "60s"],
            environment: ["JWT_EXPIRATION=8s", "ADMIN_PASSWORD=the operator's"])
        let admin = try server.token("admin", "the operator's")
        let asAdmin = Caller(try server.connect(), admin)
        expect(200, try asAdmin.say("PUT", "/closed", "{\"read\":\"authenticated\"}"))
        let token = try server.token("alice", "alice's secret")
        let closed = try server.socket("/closed/subscribe?access_token=\(token)")
        let open = try server.socket("/open/subscribe?access_token=\(token)")
        let operations = try server.socket("/ws?access_token=\(token)")
        let write = "{\"id\":1,\"op\":\"put\",\"table\":\"open\",\"key\":\"k\",\"value\":1}"
        #expect(try operations.ask(write)["status"]?.int == 201)
        #expect(try closed.hear(withinMs: 20_000) == .close(1008, "The token has ended"))
        #expect(try operations.ask(write)["status"]?.int == 401)
        #expect(words(try open.json()) == "k=1")
        try open.client.send(Socket.frame(9, [1]))
        #expect(try open.hear() == .pong([1]))
    }

    @Test(arguments: NodeShape.few)
    func `a drain says bye to listeners, and then goodbye`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let socket = try server.socket("/t/subscribe/k")
        let operations = try server.socket("/ws")
        #expect(
            try operations.ask("{\"id\":1,\"op\":\"subscribe\",\"table\":\"t\"}")["status"]?.int
                == 200)
        server.signal(15)
        for socket in [socket, operations] {
            #expect(words(try socket.json()) == "bye")
            #expect(try socket.hear() == .close(1001, "The node is draining"))
            try socket.client.send(Socket.close(1001))
            #expect(socket.client.ending().isOver)
        }
        #expect(server.waitForExit() == .code(0))
    }

    @Test(arguments: NodeShape.few)
    func `what a listener says is read past, and what is wrong about it is told`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let table = node.table("live")
        let socket = try node.server.socket("/\(table)/subscribe/k")
        try socket.say("anybody there?")
        try socket.client.send(Socket.frame(2, Array(repeating: 7, count: 100_000)))
        try socket.client.send(Socket.frame(9, [1]))
        #expect(try socket.hear() == .pong([1]))
        try write(try node.asAlice(), table, "k", "1")
        #expect(words(try socket.json()) == "k=1")
        try socket.client.send(Socket.frame(1, [0xFF]))
        #expect(try socket.hear() == .close(1007, "The text is not UTF-8"))
        #expect(socket.client.ending().isOver)
    }
}
