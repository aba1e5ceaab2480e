import TestClient
import Testing

@Suite(.serialized) struct `Records` {
    @Test(arguments: NodeShape.allCases)
    func `a record has its value, version, time and owner`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for key in keys {
            let before = wallClockMs()
            let put = expect(201, try alice.put("/\(table)/key/\(key)", "{\"a\":[1,true,null]}"))
            let record = try #require(put.json, "\(put.text)")
            #expect(record.names == ["value", "version", "timestamp", "owner"], "\(put.text)")
            #expect(record["value"]?.text == "{\"a\":[1,true,null]}")
            #expect(record["version"]?.int == 1)
            #expect(record["owner"]?.string == "alice")
            let timestamp = try #require(record["timestamp"]?.int)
            #expect(timestamp >= before - 2000 && timestamp <= wallClockMs() + 2000)
            let got = expect(200, try node.asStranger().get("/\(table)/key/\(key)"))
            #expect(got.text == put.text, "what was stored is what is read")
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `versions count the writes of a key`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        var lastTime = 0
        for version in 1...5 {
            for key in keys {
                let put = expect(201, try alice.put("/\(table)/key/\(key)", "\(version * 10)"))
                expectRecord(put, "\(version * 10)", version: version, owner: "alice")
                let time = try #require(put.json?["timestamp"]?.int)
                #expect(time >= lastTime - 50, "time goes on, but for the shards' difference")
                lastTime = max(lastTime, time)
            }
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `a deleted record is gone, and its versions go on`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for key in keys {
            let path = "/\(table)/key/\(key)"
            expect(201, try alice.put(path, "1"))
            expect(201, try alice.put(path, "2"))
            let deleted = expect(200, try alice.delete(path))
            #expect(deleted.text == "{\"message\":\"Deleted locally\"}")
            #expect(deleted.json != nil)
            for reply in [try alice.get(path), try alice.delete(path)] {
                expect(404, reply)
                #expect(reply.text == "{\"error\":\"Key not found\"}")
            }
            let head = expectHead(404, try alice.head(path))
            #expect(head.body.isEmpty)
            let again = expect(201, try alice.put(path, "3"))
            #expect((again.json?["version"]?.int ?? 0) > 2, "\(again.text)")
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `what was never written is not found`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let (alice, stranger) = (try node.asAlice(), try node.asStranger())
        for target in ["/\(table)/key/none", "/key/none-\(table)", "/default/key/none-\(table)"] {
            let reply = expect(404, try stranger.get(target))
            #expect(reply.text == "{\"error\":\"Key not found\"}")
            expect(404, try alice.delete(target))
            expect(404, try alice.patch(target, "{}"))
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `HEAD answers as GET does, without the body`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for key in keys {
            let path = "/\(table)/key/\(key)"
            expect(201, try alice.put(path, "\"some text\""))
            let get = expect(200, try alice.get(path))
            let head = expectHead(200, try alice.head(path))
            #expect(head.body.isEmpty)
            for name in ["Content-Length", "Content-Type", "ETag"] {
                #expect(head.header(name) != nil && head.header(name) == get.header(name))
            }
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `the short form is table default`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (alice, bob) = (try node.asAlice(), try node.asBob())
        let key = node.table("short")
        let put = expect(201, try alice.put("/key/\(key)", "7"))
        #expect(try alice.get("/default/key/\(key)").text == put.text)
        expectRecord(try alice.put("/default/key/\(key)", "8"), "8", version: 2)
        expectRecord(try alice.get("/key/\(key)"), "8", version: 2)
        expect(401, try bob.put("/key/\(key)", "9"))
        expect(201, try alice.put("/key/\(key)-object", "{}"))
        expectRecord(
            try alice.patch("/default/key/\(key)-object", "{\"a\":1}"), "{\"a\":1}", version: 2)
        expect(200, try alice.delete("/key/\(key)"))
        expect(404, try alice.get("/default/key/\(key)"))
    }

    @Test(arguments: NodeShape.allCases)
    func `equal keys of two tables are two records`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (one, other) = (node.table(), node.table())
        let (alice, bob) = (try node.asAlice(), try node.asBob())
        for key in keys {
            expectRecord(try alice.put("/\(one)/key/\(key)", "1"), "1", version: 1)
            expectRecord(
                try bob.put("/\(other)/key/\(key)", "2"), "2", version: 1, owner: "bob")
            expect(200, try bob.delete("/\(other)/key/\(key)"))
            expectRecord(try bob.get("/\(one)/key/\(key)"), "1", version: 1, owner: "alice")
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `every kind of value comes back as it was sent`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for (index, value) in Self.values.enumerated() {
            let path = "/\(table)/key/v\(index)"
            let put = expect(201, try alice.put(path, value), value)
            expectRecord(put, value, version: 1)
            expectRecord(try alice.get(path), value, version: 1)
        }
        let all = try #require(try alice.get("/\(table)/store").json)
        for (index, value) in Self.values.enumerated() {
            #expect(all["v\(index)"]?["value"]?.text == value)
        }
    }

    static let values = [
        "null", "true", "false", "0", "-0", "0.10", "1e400", "-1E+2", "1.0", "3.14159265358979312",
        "123456789012345678901234567890", "-9223372036854775809", "\"\"", "\"text\"",
        #""\"\\\/\b\f\n\r\t""#, #""\u0000\u001f\u00e9""#, #""\ud83d\ude00""#, "\"é😀\u{2028}\"",
        #""</script>""#, "[]", "{}", "[1,[2,[3]]]", #"{"a":{"b":[]},"c":null}"#,
        #"{"value":{"value":1}}"#, #"{"":0}"#, #"[ 1 , 2 ]"#,
        String(repeating: "[", count: 128) + String(repeating: "]", count: 128),
        "\"" + String(repeating: "x", count: 70_000) + "\"",
    ]

    @Test(arguments: NodeShape.allCases)
    func `white space and other members around the value don't matter`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let (path, alice) = ("/\(node.table())/key/k", try node.asAlice())
        for body in [" { \"value\" : 5 } ", "\r\n{\t\"value\":5\n}\n", #"{"\u0076alue":5}"#] {
            expectRecord(expect(201, try alice.say("PUT", path, body), body), "5")
        }
    }

    @Test(arguments: NodeShape.few)
    func `values of a mebibyte and of eight arrive whole`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for (size, isStored) in [(1 << 20, true), (8 << 20, true), (8 << 20 + 1, false)] {
            for key in ["a", "b"] {
                let path = "/\(table)/key/\(key)"
                let value = [0x22] + [UInt8](repeating: 0x78, count: size - 2) + [0x22]
                let opening = Array("{\"value\":".utf8)
                let reply = try alice.client.ask(
                    "PUT", path, alice.credentials, body: opening + value + [0x7D],
                    withinMs: 30_000)
                guard isStored else {
                    expect(413, reply)
                    return
                }
                #expect(reply.status == 201)
                for got in [reply, try alice.get(path)] {
                    expectSame(
                        Array(got.body.prefix(opening.count + size)), opening + value,
                        "\(size) bytes")
                    let rest = String(
                        decoding: got.body.dropFirst(opening.count + size), as: UTF8.self)
                    #expect(JSON("{\"value\":0" + rest)?["owner"]?.string == "alice", "\(rest)")
                }
            }
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `who has no token or another's can't write`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let (alice, bob) = (try node.asAlice(), try node.asBob())
        let stranger = try node.asStranger()
        for key in keys {
            let path = "/\(table)/key/\(key)"
            expect(401, try stranger.put(path, "1"))
            expect(404, try alice.get(path))
            expect(201, try alice.put(path, "{\"a\":1}"))
            for other in [stranger, bob] {
                expect(401, try other.put(path, "2"))
                expect(401, try other.patch(path, "{\"a\":2}"))
                expect(401, try other.delete(path))
                expect(401, try other.post("/\(table)/store", "{\"\(key)\":2}"))
            }
            expectRecord(try bob.get(path), "{\"a\":1}", version: 1, owner: "alice")
        }
        let refused = try stranger.put("/\(table)/key/k", "1")
        #expect(refused.header("www-authenticate")?.hasPrefix("Bearer") == true, "RFC 9110 11.6.1")
    }

    @Test(arguments: NodeShape.allCases)
    func `the admin may set a record right, and it stays its owner's`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let (alice, bob, admin) = (try node.asAlice(), try node.asBob(), try node.asAdmin())
        for key in keys {
            let path = "/\(table)/key/\(key)"
            expect(201, try alice.put(path, "1"))
            expectRecord(try admin.put(path, "2"), "2", version: 2, owner: "alice")
            expect(401, try bob.put(path, "3"))
            expectRecord(try alice.put(path, "4"), "4", version: 3, owner: "alice")
            expect(200, try admin.delete(path))
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `an hour of life, and what isn't one`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (path, alice) = ("/\(node.table())/key/k", try node.asAlice())
        for (text, seconds) in [
            ("30s", 30), ("45", 45), ("10m", 600), ("1h", 3600), ("1h30m", 5400), ("2d", 172_800),
            ("1d2h3m4s", 93_784), ("100d", 8_640_000),
        ] {
            let put = expect(201, try alice.put(path + "?ttl=\(text)", "1"), text)
            let record = try #require(put.json)
            let expires = try #require(record["expires_at"]?.int, "\(put.text)")
            let timestamp = try #require(record["timestamp"]?.int)
            #expect(abs(expires - timestamp - seconds * 1000) <= 100, "\(text): \(put.text)")
            #expect(try alice.get(path).json?["expires_at"]?.int == expires)
        }
        expect(201, try alice.put(path, "2"))
        #expect(try alice.get(path).json?["expires_at"] == nil, "a new value lives its own life")
        for text in [
            "", "-1", "soon", "1x", "1.5", "1h30", "s", "h1", "30%20s", "1h%00", "0x10", "+5",
            "99999999999999999999", "9223372036854775807", "1e3", "%31%2C",
        ] {
            expect(400, try alice.put(path + "?ttl=\(text)", "3"), "ttl=\(text)")
        }
        expectRecord(try alice.get(path), "2")
    }

    @Test(arguments: NodeShape.allCases)
    func `a record is gone when its time is up`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for key in keys { expect(201, try alice.put("/\(table)/key/\(key)?ttl=1s", "1")) }
        expect(201, try alice.put("/\(table)/key/stays", "1"))
        let put = expect(201, try alice.put("/\(table)/key/late?ttl=1", "1"))
        let expires = try #require(put.json?["expires_at"]?.int)
        #expect(try alice.get("/\(table)/keys").json?.strings?.count == keys.count + 2)
        #expect(
            try becomes(everyMs: 20) { try alice.get("/\(table)/key/late").status == 404 })
        let now = wallClockMs()
        #expect(now >= expires - 5 && now < expires + 3000)
        for key in keys {
            let path = "/\(table)/key/\(key)"
            expect(404, try alice.get(path))
            expect(404, try alice.delete(path))
        }
        #expect(try alice.get("/\(table)/keys").text == "[\"stays\"]")
        #expect(try alice.get("/\(table)/store").json?.names == ["stays"])
        let again = expect(201, try alice.put("/\(table)/key/\(keys[0])", "2"))
        #expect((again.json?["version"]?.int ?? 0) > 1, "versions go on: \(again.text)")
        #expect(again.json?["expires_at"] == nil)
    }

    /// Of these, some belong to each of two shards.
    private var keys: [String] { ["a", "b", "c", "d", "e", "f"] }
}

/// As `expect`, of an answer that can't have a body.
@discardableResult
func expectHead(
    _ status: Int, _ reply: Reply, at place: SourceLocation = #_sourceLocation
) -> Reply {
    #expect(reply.status == status, sourceLocation: place)
    return reply
}
