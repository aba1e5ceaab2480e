import TestClient
import Testing

/// `/ws` on behalf of somebody.
extension TableNode {
    func socket(_ token: String?) throws -> Socket {
        try server.socket("/ws", token.map { "Authorization: Bearer \($0)\r\n" } ?? "")
    }
}

@Suite struct `Operations on a WebSocket` {
    @Test(arguments: NodeShape.allCases)
    func `records are written, read and deleted as over HTTP`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table("ws")
        let socket = try node.socket(node.alice)
        for key in 0..<8 {
            let put = try socket.ask(
                "{\"id\":\(key),\"op\":\"put\",\"table\":\"\(table)\",\"key\":\"k\(key)\","
                    + "\"value\":{\"n\": \(key)}}")
            #expect(put["id"]?.int == key)
            #expect(put["status"]?.int == 201)
            #expect(put["record"]?["owner"]?.string == "alice")
            let http = try node.asStranger().get("/\(table)/key/k\(key)")
            expectRecord(http, "{\"n\": \(key)}", version: 1, owner: "alice")
        }
        let got = try socket.ask(
            "{\"op\":\"get\",\"id\":\"seven\",\"key\":\"k7\",\"table\":\"\(table)\"}")
        #expect(got["id"]?.string == "seven")
        #expect(got["record"]?["value"]?.text == "{\"n\": 7}")
        let gone = try socket.ask(
            "{\"id\":1,\"op\":\"delete\",\"table\":\"\(table)\",\"key\":\"k7\"}")
        #expect(gone["status"]?.int == 200)
        let missing = try socket.ask(
            "{\"id\":2,\"op\":\"get\",\"table\":\"\(table)\",\"key\":\"k7\"}")
        #expect(missing.text == "{\"id\":2,\"error\":\"Key not found\",\"status\":404}")
        let keys = try socket.ask("{\"id\":3,\"op\":\"keys\",\"table\":\"\(table)\",\"limit\":4}")
        #expect(keys["keys"]?.strings == ["k0", "k1", "k2", "k3"])
        let cursor = try #require(keys["cursor"]?.string)
        let rest = try socket.ask(
            "{\"id\":4,\"op\":\"keys\",\"table\":\"\(table)\",\"cursor\":\"\(cursor)\"}")
        #expect(rest["keys"]?.strings == ["k4", "k5", "k6"])
        #expect(rest["cursor"] == nil)
        #expect(try socket.ask("{\"id\":5,\"op\":\"ping\"}").text == "{\"id\":5,\"status\":200}")
    }

    @Test(arguments: NodeShape.allCases)
    func `many operations may be under way, and each answer says whose it is`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let table = node.table("ws")
        let socket = try node.socket(node.alice)
        let count = 2000
        var waiting = Set(0..<count)
        var frames: [UInt8] = []
        for id in 0..<count {
            let operation =
                "{\"id\":\(id),\"op\":\"put\",\"table\":\"\(table)\",\"key\":\"k\(id)\","
                + "\"value\":\(id)}"
            frames += Socket.frame(1, Array(operation.utf8))
        }
        background { [frames] in try? socket.client.send(frames, withinMs: 30_000) }
        while !waiting.isEmpty {
            let answer = try socket.json()
            let id = try #require(answer["id"]?.int)
            #expect(waiting.remove(id) != nil, "\(id) twice")
            #expect(answer["record"]?["value"]?.int == id)
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `owners, tokens, conditions and read rules hold as over HTTP`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table("ws")
        let alice = try node.socket(node.alice)
        let bob = try node.socket(node.bob)
        let stranger = try node.socket(nil)
        let write = "{\"id\":1,\"op\":\"put\",\"table\":\"\(table)\",\"key\":\"k\",\"value\":1"
        #expect(try stranger.ask(write + "}")["status"]?.int == 401)
        #expect(try alice.ask(write + "}")["status"]?.int == 201)
        #expect(try bob.ask(write + "}")["status"]?.int == 401)
        #expect(
            try bob.ask("{\"id\":1,\"op\":\"delete\",\"table\":\"\(table)\",\"key\":\"k\"}")[
                "status"]?.int == 401)
        #expect(try alice.ask(write + ",\"ifMatch\":1}")["record"]?["version"]?.int == 2)
        let refused = try alice.ask(write + ",\"ifMatch\":1}")
        #expect(refused["status"]?.int == 412)
        #expect(refused["error"]?.string != nil)
        #expect(refused["record"]?["version"]?.int == 2)
        #expect(try alice.ask(write + ",\"ifNoneMatch\":\"*\"}")["status"]?.int == 412)
        #expect(try alice.ask(write + ",\"ttl\":\"soon\"}")["status"]?.int == 400)
        #expect(
            try alice.ask(write + ",\"ttl\":\"1h\"}")["record"]?["expires_at"]?.int != nil)

        expect(
            200, try node.asAdmin().say("PUT", "/\(table)", "{\"read\":\"owner\"}"))
        let read = "{\"id\":2,\"op\":\"get\",\"table\":\"\(table)\",\"key\":\"k\"}"
        #expect(try becomes { try stranger.ask(read)["status"]?.int == 401 })
        #expect(try bob.ask(read)["status"]?.int == 403)
        #expect(try alice.ask(read)["status"]?.int == 200)
        let list = "{\"id\":3,\"op\":\"keys\",\"table\":\"\(table)\"}"
        #expect(try stranger.ask(list)["status"]?.int == 401)
        #expect(try bob.ask(list)["keys"]?.strings == [])
        #expect(try alice.ask(list)["keys"]?.strings == ["k"])
    }

    @Test(arguments: IODriver.allCases)
    func `a token may stand in the address, where a page can set no field`(_ io: IODriver) throws {
        let node = try TableNode.shared(NodeShape(io: io, shards: 1))
        let table = node.table("ws")
        let write = "{\"id\":1,\"op\":\"put\",\"table\":\"\(table)\",\"key\":\"k\",\"value\":1}"
        let socket = try node.server.socket("/ws?access_token=\(node.alice)")
        #expect(try socket.ask(write)["record"]?["owner"]?.string == "alice")
        let forged = try node.server.socket("/ws?access_token=\(node.alice)x")
        #expect(try forged.ask(write)["status"]?.int == 401)
    }

    @Test(arguments: IODriver.allCases)
    func `large values come and go`(_ io: IODriver) throws {
        let node = try TableNode.shared(NodeShape(io: io, shards: 2))
        let table = node.table("ws")
        let socket = try node.socket(node.alice)
        for (key, size) in [("a", 15_000), ("b", 70_000), ("c", 400_000)] {
            let value = String(repeating: "v", count: size)
            let put = try socket.ask(
                "{\"id\":1,\"op\":\"put\",\"table\":\"\(table)\",\"key\":\"\(key)\","
                    + "\"value\":\"\(value)\"}")
            #expect(put["record"]?["value"]?.string == value)
            let got = try socket.ask(
                "{\"id\":1,\"op\":\"get\",\"table\":\"\(table)\",\"key\":\"\(key)\"}")
            #expect(got["record"]?["value"]?.string == value)
        }
    }

    @Test(arguments: IODriver.allCases)
    func `what is no operation is answered with a sentence, and bytes end the connection`(
        _ io: IODriver
    ) throws {
        let node = try TableNode.shared(NodeShape(io: io, shards: 1))
        let socket = try node.socket(nil)
        for message in [
            "", "1", "[]", "{", "{\"id\":1}", "{\"op\":\"ping\"}", "{\"id\":{},\"op\":\"ping\"}",
            "{\"id\":1,\"op\":\"fly\"}", "{\"id\":1,\"op\":\"ping\",\"op\":\"ping\"}",
            "{\"id\":1,\"op\":\"get\",\"key\":\"\"}", "{\"id\":1,\"op\":\"get\",\"kee\":\"a\"}",
        ] {
            let answer = try socket.ask(message)
            #expect(answer["status"]?.int == 400, "\(message)")
            #expect(answer["error"]?.string != nil, "\(message)")
        }
        try socket.client.send(Socket.frame(2, [1]))
        #expect(try socket.hear() == .close(1003, "Operations are text, not bytes"))
    }

    @Test(arguments: NodeShape.allCases)
    func `a connection may vanish with operations under way`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table("ws")
        for round in 0..<20 {
            let socket = try node.socket(node.alice)
            var frames: [UInt8] = []
            for id in 0..<100 {
                frames += Socket.frame(
                    1,
                    Array(
                        "{\"id\":\(id),\"op\":\"put\",\"table\":\"\(table)\",\"key\":\"k\(id)\",\"value\":\(round)}"
                            .utf8))
            }
            frames += Socket.frame(
                1, Array("{\"id\":0,\"op\":\"keys\",\"table\":\"\(table)\"}".utf8))
            try socket.client.send(frames)
            if round % 2 == 0 { socket.client.reset() } else { socket.client.close() }
        }
        #expect(try node.socket(nil).ask("{\"id\":1,\"op\":\"ping\"}")["status"]?.int == 200)
    }
}
