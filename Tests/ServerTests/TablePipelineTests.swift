import Glibc
import TestClient
import Testing

/// Many requests on one connection, half of them for the other shard.
@Suite(.serialized) struct `Pipelines over shards` {
    @Test(arguments: NodeShape.allCases)
    func `who says no more still hears every answer`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        try alice.client.send(
            (0..<300).flatMap {
                Client.request(
                    "PUT", "/\(table)/key/\($0 % 30)", alice.credentials,
                    body: Array("{\"value\":\($0)}".utf8))
            })
        alice.client.finishSending()
        for number in 0..<300 {
            expectRecord(
                expect(201, try alice.client.reply()), "\(number)", version: number / 30 + 1)
        }
        #expect(alice.client.ending() == .closed)
    }

    @Test(arguments: NodeShape.allCases)
    func `a key is answered the same however it is asked for`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        let path = "/\(table)/key"
        for key in 0..<8 { expect(201, try alice.put("\(path)/a\(key)", "{\"n\":\(key)}")) }
        for _ in 0..<11 { expect(201, try alice.put("\(path)/a1", "\"many versions\"")) }
        expect(201, try alice.put("\(path)/a2?ttl=1h", "\"passing\""))
        expect(201, try alice.put("\(path)/a3", "\"\(String(repeating: "v", count: 9000))\""))
        expect(200, try alice.delete("\(path)/a4"))
        // The first makes the table and the fields known; each after that may take the short way.
        // Written with an escape, in a query or with another field, a request takes the long one.
        var plain: [UInt8] = []
        var other: [UInt8] = []
        for key in (0..<64).map({ $0 * 5 % 9 }) {
            plain += Client.request("GET", "\(path)/a\(key)")
            other += Client.request(
                "GET", "\(path)/\(key % 2 == 0 ? "%61" : "a")\(key)\(key % 2 == 0 ? "" : "?x=1")",
                key % 3 == 0 ? "If-None-Match: \"no\"\r\n" : "")
        }
        let client = try node.server.connect()
        try client.sendWhileHearing(plain + other)
        let first = try (0..<64).map { _ in try client.reply() }
        let second = try (0..<64).map { _ in try client.reply() }
        for (one, two) in zip(first, second) {
            #expect(one.status == two.status && one.body == two.body, "\(one.text.prefix(80))")
            #expect(one.headers.map(\.name) == two.headers.map(\.name))
            #expect(one.header("etag") == two.header("etag"))
            #expect(one.header("content-length") == two.header("content-length"))
        }
        #expect(Set(first.map(\.status)) == [200, 404])
        // Byte by byte too.
        for byte in Client.request("GET", "\(path)/a5") { try client.send([byte]) }
        expectRecord(expect(200, try client.reply()), "{\"n\":5}")
    }

    @Test(arguments: NodeShape.few)
    func `who may not read a table may not in a pipeline either`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        expect(201, try alice.put("/\(table)/key/k", "1"))
        let admin = try node.asAdmin()
        let ask = Client.request("GET", "/\(table)/key/k")
        try admin.client.send(
            ask + ask
                + Client.request(
                    "PUT", "/\(table)", admin.credentials, body: Array("{\"read\":\"owner\"}".utf8))
        )
        expect(200, try admin.client.reply())
        expect(200, try admin.client.reply())
        expect(200, try admin.client.reply())
        try admin.client.send(ask + ask)
        expect(401, try admin.client.reply())
        expect(401, try admin.client.reply())
        expect(200, try alice.get("/\(table)/key/k"))
    }

    @Test(arguments: NodeShape.allCases)
    func `a last request ends the connection behind all answers`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for key in 0..<10 { expect(201, try alice.put("/\(table)/key/\(key)", "\(key)")) }
        for last in ["Connection: close", "HTTP/1.0"] {
            let client = try node.server.connect()
            var bytes = (0..<50).flatMap { Client.request("GET", "/\(table)/key/\($0 % 10)") }
            bytes +=
                last == "HTTP/1.0"
                ? Array("GET /\(table)/key/7 HTTP/1.0\r\nHost: t\r\n\r\n".utf8)
                : Client.request("GET", "/\(table)/key/7", last + "\r\n")
            // What follows the last request is not looked at.
            try client.send(bytes + Client.request("GET", "/\(table)/key/8"))
            for number in 0..<50 { expectRecord(try client.reply(), "\(number % 10)") }
            let reply = try client.reply()
            expectRecord(reply, "7")
            #expect(reply.saysClose, "\(last)")
            #expect(client.ending().isOver, "\(last)")
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `a value arrives in chunks, in single bytes, or when it is asked for`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        let value = "\"\(String(repeating: "z", count: 700))\""
        let body = Array("{\"value\":\(value)}".utf8)
        for key in ["a", "b", "c"] {
            let path = "/\(table)/key/\(key)"
            let head = "PUT \(path) HTTP/1.1\r\nHost: t\r\n\(alice.credentials)"
            try alice.client.send(
                Array((head + "Transfer-Encoding: chunked\r\n\r\n").utf8) + inChunks(body))
            expectRecord(expect(201, try alice.client.reply()), value, version: 1)
            try alice.client.sendByteByByte(
                Client.request("PUT", path, alice.credentials, body: body))
            expectRecord(expect(201, try alice.client.reply()), value, version: 2)
            try alice.client.send(
                head + "Expect: 100-continue\r\nContent-Length: \(body.count)\r\n\r\n")
            #expect(try alice.client.interimStatus() == 100)
            try alice.client.send(body)
            expectRecord(expect(201, try alice.client.reply()), value, version: 3)
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `large and small bodies follow each other on one connection`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for _ in 1...3 {
            for size in [10, 70_000, 100, 300_000, 1] {
                let text = String(repeating: "m", count: size)
                let stored = try alice.post(
                    "/\(table)/store", "{\"s\":\"\(text)\",\"t\":1,\"u\":2}")
                #expect(stored.text == "{\"stored\":3}", "\(size): \(stored.status)")
                let put = try alice.put("/\(table)/key/p", "\"\(text)\"")
                #expect(put.status == 201 && put.json?["value"]?.string == text, "\(size)")
                let fetched = try alice.post("/\(table)/keys", "[\"p\",\"s\",\"\(text)\"]")
                #expect(fetched.status == (size > 1024 ? 400 : 200), "\(size): a key is shorter")
            }
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `many deep pipelines in all directions are all answered`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let (clients, depth) = (8, isSoak ? 20_000 : 6000)
        let ends = try atOnce(clients) { number in
            let alice = try node.asAlice()
            let bytes = (0..<depth).flatMap {
                $0 % 4 == 0
                    ? Client.request(
                        "PUT", "/\(table)/key/\(number)-\($0 % 64)", alice.credentials,
                        body: Array("{\"value\":\($0)}".utf8))
                    : Client.request("GET", "/\(table)/key/\(number)-\($0 & ~3 & 63)")
            }
            background {
                try? alice.client.send(bytes, withinMs: 60_000)
                alice.client.finishSending()
            }
            for request in 0..<depth {
                let reply = try alice.client.reply(withinMs: 30_000)
                let shown = Array("{\"value\":\(request & ~3),".utf8)
                guard reply.body.starts(with: shown) else {
                    throw ClientError.malformed("\(request): \(reply.status) \(reply.text)")
                }
            }
            return alice.client.ending(withinMs: 10_000)
        }
        #expect(ends.allSatisfy { $0 == .closed }, "\(ends)")
        #expect(node.server.answers)
    }

    @Test(arguments: NodeShape.allCases)
    func `who asks for much and reads nothing takes no memory to speak of`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start()
        let alice = Caller(try server.connect(), try server.token("alice", "secret"))
        let text = "\"\(String(repeating: "g", count: 500_000))\""
        for key in 0..<4 { expect(201, try alice.put("/t/key/\(key)", text)) }
        let before = server.figures.residentKiB
        let greedy = try (0..<4).map { _ in try server.connect(receiveBuffer: 65536) }
        for client in greedy {
            _ = try client.sendWhatFits(
                (0..<100).flatMap { Client.request("GET", "/t/key/\($0 % 4)") })
        }
        // Others are served meanwhile.
        for _ in 0..<50 { expect(404, try alice.get("/t/key/none")) }
        let figures = server.figures
        let taken = figures.residentKiB - before
        // 400 answers are 200 MB. A sanitizer keeps what was freed.
        #expect(taken < 32_000 || figures.isSanitized, "\(taken) KiB")
        for number in 0..<10 {
            let reply = try greedy[0].reply(withinMs: 30_000)
            guard reply.status == 200, reply.body.count > 500_000 else {
                Issue.record("answer \(number): \(reply.status), \(reply.body.count) bytes")
                return
            }
        }
        for client in greedy { client.reset() }
        #expect(server.answers)
    }

    @Test(arguments: NodeShape.allCases)
    func `who vanishes with answers due is forgotten`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        expect(200, try alice.post("/\(table)/store", "{\"0\":0,\"1\":1,\"2\":2,\"3\":3}"))
        let before = node.server.figures.openFiles.count
        for round in 0..<30 {
            let client = try node.server.connect()
            var bytes = (0..<100).flatMap { Client.request("GET", "/\(table)/key/\($0 % 4)") }
            bytes += Client.request("GET", "/\(table)/store")
            bytes += Client.request(
                "POST", "/\(table)/keys", body: Array("[\"0\",\"1\",\"2\"]".utf8))
            bytes += Client.request(
                "POST", "/\(table)/store", alice.credentials, body: Array("{\"0\":0,\"1\":1}".utf8))
            try client.send(bytes)
            if round % 3 == 0 { _ = try? client.reply() }
            if round % 2 == 0 { client.reset() } else { client.close() }
        }
        #expect(becomes { node.server.figures.openFiles.count <= before })
        for key in 0..<4 { expectRecord(try alice.get("/\(table)/key/\(key)"), "\(key)") }
    }

    @Test(arguments: NodeShape.allCases)
    func `a node that drains answers what it was asked`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let alice = Caller(try server.connect(), try server.token("alice", "secret"))
        for key in 0..<10 { expect(201, try alice.put("/t/key/\(key)", "\(key)")) }
        let client = try server.connect()
        try client.send((0..<200).flatMap { Client.request("GET", "/t/key/\($0 % 10)") })
        expectRecord(try client.reply(), "0")
        server.signal(SIGTERM)
        // It may close behind any answer, having said so, but not inside one.
        var last: Reply?
        for number in 1..<200 where last?.saysClose != true {
            let reply = try client.reply()
            expectRecord(reply, "\(number % 10)")
            last = reply
        }
        #expect(client.ending().isOver)
        #expect(server.waitForExit() == .code(0), "\(server.log)")
    }
}
