import TestClient
import Testing

@Suite(.serialized) struct `Many records at once` {
    @Test(arguments: NodeShape.allCases)
    func `an object of values is stored key by key`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        let stored = expect(
            200,
            try alice.post(
                "/\(table)/store",
                #" {"a":1,"b":{"x":[true]},"c/d":"text","é":null,"\u0065":0.10,"f":[]} "#))
        #expect(stored.text == "{\"stored\":6}")
        #expect(stored.json != nil)
        for (key, value) in [
            ("a", "1"), ("b", "{\"x\":[true]}"), ("c%2Fd", "\"text\""), ("%C3%A9", "null"),
            ("e", "0.10"), ("f", "[]"),
        ] {
            expectRecord(
                try alice.get("/\(table)/key/\(key)"), value, version: 1, owner: "alice")
        }
        expect(200, try alice.post("/\(table)/store", "{\"a\":2}"))
        expectRecord(try alice.get("/\(table)/key/a"), "2", version: 2)
        #expect(try alice.post("/\(table)/store", "{}").text == "{\"stored\":0}")
    }

    @Test(arguments: NodeShape.allCases)
    func `a key that an object has twice is written once, with the last value`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        var members = (0..<300).map { "\"k\($0)\":\"first\"" }
        members += (0..<300).map { "\"\\u006b\($0)\":\"second\"" }
        members += ["\"once\":1", "\"k7\":\"third\""]
        let stored = expect(
            200, try alice.post("/\(table)/store", "{\(members.joined(separator: ","))}"))
        #expect(stored.text == "{\"stored\":301}")
        expectRecord(try alice.get("/\(table)/key/k7"), "\"third\"", version: 1, owner: "alice")
        for number in [0, 6, 8, 255, 256, 299] {
            expectRecord(
                try alice.get("/\(table)/key/k\(number)"), "\"second\"", version: 1,
                owner: "alice")
        }
        expectRecord(try alice.get("/\(table)/key/once"), "1", version: 1)
        let read = expect(
            200, try alice.post("/\(table)/keys", "[\"once\",\"k1\",\"\\u006b1\",\"once\"]"))
        #expect(read.json?.names == ["k1", "once"])
    }

    @Test(arguments: NodeShape.allCases)
    func `POST to the root stores into table default`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let alice = try node.asAlice()
        let (one, other) = (node.table("root"), node.table("root"))
        let stored = expect(200, try alice.post("/", "{\"\(one)\":1,\"\(other)\":2}"))
        #expect(stored.text == "{\"stored\":2}")
        expectRecord(try alice.get("/key/\(one)"), "1", version: 1, owner: "alice")
        expectRecord(try alice.get("/default/key/\(other)"), "2", version: 1)
        expect(401, try node.asBob().post("/", "{\"\(one)\":3}"))
        expect(401, try node.asStranger().post("/", "{\"\(one)\":3}"))
    }

    @Test(arguments: NodeShape.allCases)
    func `where one key is another's, none is stored`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let (alice, bob) = (try node.asAlice(), try node.asBob())
        for key in ["p", "q", "r", "s"] {
            expect(201, try bob.put("/\(table)/key/\(key)", "\"bob's\""))
            let members = (0..<20).map { "\"\(key)\($0)\":1" } + ["\"\(key)\":1"]
            for order in [members, members.reversed()] {
                let body = "{\(order.joined(separator: ","))}"
                expect(401, try alice.post("/\(table)/store", body))
                expect(401, try node.asStranger().post("/\(table)/store", body))
            }
        }
        #expect(try alice.get("/\(table)/keys").json?.strings == ["p", "q", "r", "s"])
        expectRecord(try alice.get("/\(table)/key/p"), "\"bob's\"", version: 1, owner: "bob")
    }

    @Test(arguments: NodeShape.allCases)
    func `what is no object of good keys is refused whole`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        let deep = String(repeating: "[", count: 129) + String(repeating: "]", count: 129)
        for body in [
            "", "[]", "1", "\"a\"", "null", "{", "{\"a\":1", "{\"a\":1}x", "{\"a\":1,}", "{\"a\"}",
            "{\"a\":\"\\udc00\"}", "{\"b\":1,\"a\":01}", "{\"b\":1,\"\":1}",
            "{\"b\":1,\"a\":\(deep)}",
            "{\"b\":1,\"\(String(repeating: "k", count: 1025))\":1}",
        ] {
            expect(400, try alice.post("/\(table)/store", body), String(body.prefix(60)))
        }
        expect(415, try alice.post("/\(table)/store", "{\"a\":1}", "Content-Type: text/plain\r\n"))
        expect(404, try alice.get("/\(table)/keys"))
    }

    @Test(arguments: NodeShape.allCases)
    func `records are asked for by a list of keys`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        let stranger = try node.asStranger()
        let keys = (0..<50).map { "k/\($0)" }
        let members = keys.map { "\"\($0)\":\"v\($0)\"" }
        expect(200, try alice.post("/\(table)/store", "{\(members.joined(separator: ","))}"))
        let asked = ["\"none\""] + keys.map { "\"\($0)\"" } + ["\"k\\u002f\"", "\"zz\""]
        let list = "[\(asked.joined(separator: ","))]"
        for body in [list, "{\"keys\":\(list)}", " { \"keys\" : \(list) } "] {
            let reply = expect(200, try stranger.post("/\(table)/keys", body))
            let records = try #require(reply.json, "\(reply.text.prefix(200))")
            #expect(Set(records.names ?? []) == Set(keys))
            #expect(records.names?.count == keys.count)
            for key in keys {
                #expect(
                    records[key]?.text == (try alice.get("/\(table)/key/\(escaped(key))")).text)
            }
        }
        for body in ["[]", "{\"keys\":[]}", "[\"none\"]"] {
            #expect(expect(200, try stranger.post("/\(table)/keys", body)).text == "{}")
        }
        for body in [
            "", "1", "{}", "[1]", "[\"a\",]", "[null]", "{\"keys\":1}", "[\"a\"]x", "\"a\"",
        ] {
            expect(400, try stranger.post("/\(table)/keys", body), body)
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `a thousand records are stored and fetched in one request each`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        let keys = (0..<1000).map { "key-\($0)" }
        let members = keys.enumerated().map { "\"\($1)\":{\"n\":\($0)}" }
        let stored = try alice.post("/\(table)/store", "{\(members.joined(separator: ","))}")
        #expect(stored.text == "{\"stored\":1000}")
        let list = keys.reversed().map { "\"\($0)\"" }.joined(separator: ",")
        let fetched = try #require(try alice.post("/\(table)/keys", "[\(list)]").json)
        guard case .object(let records) = fetched.kind else { return }
        let byKey = Dictionary(uniqueKeysWithValues: records.map { ($0.name, $0.value) })
        for (number, key) in keys.enumerated() {
            #expect(byKey[key]?["value"]?["n"]?.int == number)
        }
    }
}
