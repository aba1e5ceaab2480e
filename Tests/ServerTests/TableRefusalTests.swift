import TestClient
import Testing

@Suite(.serialized) struct `Refused requests` {
    @Test(arguments: NodeShape.allCases)
    func `a body that isn't one value is refused`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        let deep = String(repeating: "[", count: 129) + String(repeating: "]", count: 129)
        let objects =
            String(repeating: "{\"a\":", count: 129) + "1" + String(repeating: "}", count: 129)
        for body in [
            "", " ", "{}", "[]", "null", "1", "\"value\"", "value=1", "{\"value\":}",
            "{\"value\":1",
            "{\"value\":1}}", "{\"value\":1} x", "{\"value\":1}{}", "{\"value\":1,}", "{value:1}",
            "{'value':1}", "{\"Value\":1}", "{\"other\":1}", "{\"value\":1,\"value\":2}",
            "{\"value\":1,\"\\u0076alue\":2}", "{\"value\":01}", "{\"value\":1.}", "{\"value\":.5}",
            "{\"value\":+1}", "{\"value\":1e}", "{\"value\":NaN}", "{\"value\":Infinity}",
            "{\"value\":tru}", "{\"value\":\"a}", "{\"value\":\"\\x\"}", "{\"value\":\"\\u12\"}",
            "{\"value\":\"\\ud800\"}", "{\"value\":\"\\udc00\\ud800\"}", "{\"value\":\"\\ud800x\"}",
            "{\"value\":{\"a\":\"\\udfff\"}}", "{\"value\":\"a\nb\"}", "{\"value\":[1,]}",
            "{\"value\":[1 2]}", "{\"value\":\(deep)}", "{\"value\":\(objects)}",
            "{\"other\":\(deep),\"value\":1}", "{\"value\":1}\u{0}", "\u{FEFF}{\"value\":1}",
        ] {
            let about = String(body.prefix(60))
            expect(400, try alice.say("PUT", "/\(table)/key/k", body), about)
        }
        for bytes: [UInt8] in [
            [0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
        ] {
            let body = Array("{\"value\":\"".utf8) + bytes + Array("\"}".utf8)
            let reply = try alice.client.ask(
                "PUT", "/\(table)/key/k", alice.credentials, body: body)
            expect(400, reply, "\(bytes)")
        }
        expect(404, try alice.get("/\(table)/key/k"))
        expect([400, 411], try alice.client.ask("PUT", "/\(table)/key/k", alice.credentials))
    }

    @Test(arguments: NodeShape.allCases)
    func `a body is JSON, or doesn't say what it is`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (path, alice) = ("/\(node.table())/key/k", try node.asAlice())
        for type in [
            "text/plain", "application/x-www-form-urlencoded", "application/octet-stream",
            "application/jsonp", "text/json-not", "multipart/form-data; boundary=x", "json",
        ] {
            expect(415, try alice.put(path, "1", "Content-Type: \(type)\r\n"), type)
        }
        for type in [
            "application/json", "APPLICATION/JSON", "application/json;charset=utf-8",
            "application/json ; charset=\"UTF-8\"",
        ] {
            expect(201, try alice.put(path, "1", "Content-Type: \(type)\r\n"), type)
        }
        expect(201, try alice.put(path, "1"))
    }

    @Test(arguments: NodeShape.allCases)
    func `a value longer than allowed is refused, one as long is not`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start(["--max-value", "1000"])
        let alice = Caller(try server.connect(), try server.token("alice", "secret"))
        func text(_ count: Int) -> String {
            "\"" + String(repeating: "x", count: count - 2) + "\""
        }
        for key in ["a", "b", "c", "d"] {
            expect(201, try alice.put("/t/key/\(key)", text(1000)), "1000 of 1000 bytes")
            expect(413, try alice.put("/t/key/\(key)", text(1001)))
            expect(413, try alice.put("/t/key/\(key)", text(60_000)))
            expectRecord(try alice.get("/t/key/\(key)"), text(1000), version: 1)
            let longer = "{\"more\":\(text(990))}"
            expect(201, try alice.put("/t/key/o\(key)", "{\"some\":\(text(900))}"))
            expect(413, try alice.patch("/t/key/o\(key)", longer), "what it would become")
            expect(413, try alice.post("/t/store", "{\"s\(key)\":1,\"l\":\(text(1001))}"))
            expect(404, try alice.get("/t/key/s\(key)"), "nothing is stored of what is refused")
        }
        let far = try server.connect()
        expect(
            413,
            try far.ask(
                "PUT", "/t/key/a", alice.credentials, body: "{\"value\":\(text(200_000))}"))
        #expect(server.answers)
    }

    @Test(arguments: NodeShape.allCases)
    func `a method that a path doesn't have is told which it has`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        expect(201, try alice.put("/\(table)/key/k", "1"))
        let record = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"]
        for (path, wrong, right) in [
            ("/\(table)/key/k", ["POST"], record), ("/key/k", ["POST"], record),
            ("/\(table)/store", ["PUT", "PATCH", "DELETE"], ["GET", "HEAD", "OPTIONS", "POST"]),
            ("/\(table)/keys", ["PUT", "PATCH", "DELETE"], ["GET", "HEAD", "OPTIONS", "POST"]),
            ("/\(table)", ["POST", "PATCH", "DELETE"], ["GET", "HEAD", "OPTIONS", "PUT"]),
            ("/stats", ["PUT", "POST", "PATCH", "DELETE"], ["GET", "HEAD", "OPTIONS"]),
            ("/metrics", ["PUT", "POST", "PATCH", "DELETE"], ["GET", "HEAD", "OPTIONS"]),
            ("/membership", ["PUT", "POST", "PATCH", "DELETE"], ["GET", "HEAD", "OPTIONS"]),
            ("/auth/carol", ["GET", "PUT", "PATCH", "DELETE"], ["OPTIONS", "POST"]),
        ] {
            for method in wrong {
                let reply = expect(
                    405, try alice.say(method, path, "{\"value\":1}"), "\(method) \(path)")
                #expect(allowed(reply) == right, "\(method) \(path)")
            }
            let options = try alice.client.ask("OPTIONS", path)
            expect([200, 204], options, "OPTIONS \(path)")
            #expect(allowed(options) == right, "OPTIONS \(path)")
        }
        expectRecord(try alice.get("/\(table)/key/k"), "1", version: 1)
    }

    @Test(arguments: NodeShape.allCases)
    func `paths that lead nowhere are not found`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let alice = try node.asAlice()
        for path in [
            "/t/other/k", "/t/key/a/b", "/t/key/longer-than-eight/and/more", "/t/store/x",
            "/t/keys/x", "/a/b/c/d", "/t/Key/k",
        ] {
            expect(404, try alice.get(path), path)
            expect([404, 405], try alice.put(path, "1"), path)
        }
    }

    private func allowed(_ reply: Reply) -> [String] {
        (reply.header("allow") ?? "").split(separator: ",").map {
            String($0.drop(while: { $0 == " " }))
        }.sorted()
    }
}

@Suite(.serialized) struct `Other origins` {
    @Test(arguments: NodeShape.allCases)
    func `a script of any origin may use every method and header`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let stranger = try node.asStranger()
        let record = ["GET", "PUT", "PATCH", "DELETE"]
        for (path, needed) in [
            ("/\(table)/key/k", record), ("/key/k", record), ("/\(table)/store", ["GET", "POST"]),
            ("/\(table)/keys", ["GET", "POST"]), ("/\(table)", ["GET", "PUT"]), ("/", ["POST"]),
            ("/auth/me", ["POST"]), ("/stats", ["GET"]),
        ] {
            for method in needed {
                let reply = try stranger.client.ask(
                    "OPTIONS", path,
                    origin + "Access-Control-Request-Method: \(method)\r\n"
                        + "Access-Control-Request-Headers: authorization,content-type\r\n")
                expect([200, 204], reply, "\(method) \(path)")
                #expect(reply.header("access-control-allow-origin") == "*")
                let methods = reply.header("access-control-allow-methods") ?? ""
                #expect(methods.contains(method), "\(path): \(methods)")
                let headers = (reply.header("access-control-allow-headers") ?? "").lowercased()
                for name in [
                    "authorization", "content-type", "if-match", "if-none-match", "x-api-key",
                    "last-event-id", "x-consistency",
                ] {
                    #expect(headers.contains(name), "\(path): \(headers)")
                }
            }
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `answers and errors alike may be read`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let path = "/\(node.table())/key/k"
        let (alice, stranger) = (try node.asAlice(), try node.asStranger())
        for reply in [
            expect(201, try alice.put(path, "1", origin)),
            expect(200, try alice.get(path, origin)),
            expect(401, try stranger.put(path, "1", origin)),
            expect(404, try stranger.get(path + "2", origin)),
            expect(400, try alice.put(path, "{", origin)),
            expect(412, try alice.put(path, "1", origin + "If-None-Match: *\r\n")),
            expect(405, try alice.post(path, "1", origin)),
            expect(415, try alice.put(path, "1", origin + "Content-Type: text/plain\r\n")),
            expect(
                401,
                try node.server.connect().ask(
                    "POST", "/auth/admin", origin, body: "{\"secret\":\"wrong\"}")),
            expect(304, try alice.get(path, origin + "If-None-Match: *\r\n")),
        ] {
            #expect(reply.header("access-control-allow-origin") == "*", "\(reply.status)")
        }
        let exposed = try alice.get(path, origin).header("access-control-expose-headers") ?? ""
        #expect(exposed.lowercased().contains("etag") && exposed.lowercased().contains("link"))
    }

    @Test(arguments: IODriver.allCases)
    func `the operator can name the one origin`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--cors-origin", "https://app.example"])
        let client = try server.connect()
        for reply in [
            try client.ask("GET", "/t/key/none", origin),
            try client.ask("OPTIONS", "/t/key/k", origin),
            try client.ask("GET", "/health", "Origin: https://evil.example\r\n"),
        ] {
            #expect(reply.header("access-control-allow-origin") != "*")
            #expect(reply.header("access-control-allow-origin") != "https://evil.example")
        }
        let allowed = try client.ask("GET", "/t/key/none", origin)
        #expect(allowed.header("access-control-allow-origin") == "https://app.example")
    }

    private var origin: String { "Origin: https://app.example\r\n" }
}
