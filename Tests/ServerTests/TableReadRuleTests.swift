import TestClient
import Testing

@Suite(.serialized) struct `Read rules` {
    @Test(arguments: NodeShape.allCases)
    func `a table shows its rule, and only the admin sets it`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let (alice, admin) = (try node.asAlice(), try node.asAdmin())
        expect(404, try alice.get("/\(table)"))
        expect(401, try node.asStranger().say("PUT", "/\(table)", "{\"read\":\"owner\"}"))
        expect([401, 403], try alice.say("PUT", "/\(table)", "{\"read\":\"owner\"}"))
        expect(201, try alice.put("/\(table)/key/k", "1"))
        #expect(try alice.get("/\(table)").json?["read"]?.string == "public")
        for rule in ["owner", "authenticated", "public"] {
            let set = try admin.say("PUT", "/\(table)", "{\"read\":\"\(rule)\"}")
            expect([200, 201, 204], set, rule)
            #expect(try alice.get("/\(table)").json?["read"]?.string == rule)
        }
        for body in [
            "", "{", "[]", "{\"read\":\"everyone\"}", "{\"read\":1}", "{\"read\":null}",
            "\"owner\"",
            "{\"consistency\":\"some\"}",
        ] {
            expect(400, try admin.say("PUT", "/\(table)", body), body)
        }
        #expect(try alice.get("/\(table)").json?["read"]?.string == "public")
    }

    @Test(arguments: NodeShape.allCases)
    func `a table can be set up before anything is in it`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let (alice, admin) = (try node.asAlice(), try node.asAdmin())
        expect([200, 201, 204], try admin.say("PUT", "/\(table)", "{\"read\":\"authenticated\"}"))
        #expect(try alice.get("/\(table)/keys").text == "[]")
        #expect(try alice.get("/\(table)/store").text == "{}")
        expect(404, try alice.get("/\(table)/key/k"))
        expect(401, try node.asStranger().get("/\(table)/key/k"))
    }

    @Test(arguments: NodeShape.allCases)
    func `what is for users is kept from strangers, on every way to it`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let (alice, bob) = (try node.asAlice(), try node.asBob())
        for key in keys { expect(201, try alice.put("/\(table)/key/\(key)", "1")) }
        try setRule("authenticated", table, node)
        for caller in [
            try node.asStranger(), Caller(try node.server.connect(), "not.a.token"),
            Caller(try node.server.connect(), node.alice + "x"),
        ] {
            for reply in try everyWay(to: table, caller) { expect(401, reply) }
        }
        for reply in try everyWay(to: table, bob) { expect(200, reply) }
        try setRule("public", table, node)
        for reply in try everyWay(to: table, node.asStranger()) { expect(200, reply) }
        // On an open read nobody asks for a token, so a bad one is no error.
        for reply in try everyWay(to: table, Caller(try node.server.connect(), "not.a.token")) {
            expect(200, reply)
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `what is for owners is theirs alone`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let (alice, bob) = (try node.asAlice(), try node.asBob())
        for key in keys { expect(201, try alice.put("/\(table)/key/\(key)", "\"hers\"")) }
        try setRule("owner", table, node)
        for reply in try everyWay(to: table, node.asStranger()) { expect(401, reply) }
        for key in keys {
            expect(403, try bob.get("/\(table)/key/\(key)"))
            expect(403, try bob.get("/\(table)/key/\(key)", "If-None-Match: *\r\n"))
            #expect(try bob.head("/\(table)/key/\(key)").status == 403)
            expectRecord(try alice.get("/\(table)/key/\(key)"), "\"hers\"")
        }
        for reply in try everyWay(to: table, alice) {
            expect(200, reply)
            #expect(reply.text.contains("a"))
        }
        // Whether they are refused or shown nothing: what is hers doesn't show.
        for reply in try everyWay(to: table, bob) {
            expect([200, 403], reply)
            #expect(!reply.text.contains("hers") && !reply.text.contains("\"a\""), "\(reply.text)")
        }
        // Nor through a refused write.
        let refused = try bob.put("/\(table)/key/a", "1", "If-None-Match: *\r\n")
        #expect(!refused.text.contains("hers"), "\(refused.status) \(refused.text)")
    }

    // MARK: Private parts

    private func setRule(_ rule: String, _ table: String, _ node: TableNode) throws {
        expect(
            [200, 201, 204], try node.asAdmin().say("PUT", "/\(table)", "{\"read\":\"\(rule)\"}"))
    }

    private func everyWay(to table: String, _ caller: Caller) throws -> [Reply] {
        [
            try caller.get("/\(table)/key/a"), try caller.get("/\(table)/key/b"),
            try caller.get("/\(table)/keys"), try caller.get("/\(table)/store"),
            try caller.get("/\(table)/keys?prefix=a&limit=5"),
            try caller.post("/\(table)/keys", "[\"a\",\"b\",\"c\",\"d\"]"),
        ]
    }

    private var keys: [String] { ["a", "b", "c", "d"] }
}
