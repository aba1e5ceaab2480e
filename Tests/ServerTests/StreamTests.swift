import TestClient
import Testing

extension TableNode {
    /// A stream of its own connection.
    func feed(
        _ target: String, _ headers: String = "", version: String = "1.1"
    ) throws -> Feed {
        try Feed(try server.connect(), target, headers, version: version)
    }

    /// Waits until so many listen to a key: then what is written next is told to them.
    func listeners(_ count: Int, of target: String) throws -> Bool {
        let asker = try asAlice()
        return try becomes { try asker.get(target).text == "{\"count\":\(count)}" }
    }
}

@Suite(.serialized) struct `Live updates` {
    @Test(arguments: NodeShape.allCases)
    func `a listener is told the present record, then every change`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let alice = try node.asAlice()
        expect(201, try alice.put("/\(table)/key/k", "{\"n\":1}"))
        let feed = try node.feed("/\(table)/subscribe/k")
        #expect(feed.isOpen)
        #expect(feed.head.header("cache-control") == "no-store")
        #expect(feed.head.header("x-accel-buffering") == "no")
        let first = try #require(try feed.next())
        #expect(first.isInitial && first.event == "Updated" && first.value == "{\"n\":1}")
        #expect(first.json?["table"]?.string == table && first.key == "k")
        #expect(first.json?["value"]?["owner"]?.string == "alice")
        #expect(first.id != nil)
        let retry = try #require(feed.retryMs)
        #expect((1500...2500).contains(retry))

        expect(201, try alice.put("/\(table)/key/k", "2"))
        expect(409, try alice.patch("/\(table)/key/k", "{\"a\":1}"))
        expect(201, try alice.put("/\(table)/key/other", "0"))
        expect(200, try alice.delete("/\(table)/key/k"))
        expect(201, try alice.put("/\(table)/key/k", "{\"n\":4}"))
        expect(200, try alice.patch("/\(table)/key/k", "{\"m\":5}"))
        let told = try feed.next(4)
        #expect(told.map(\.event) == ["Updated", "Deleted", "Updated", "Updated"])
        #expect(told.map(\.version) == [2, 3, 4, 5])
        #expect(told[3].value == "{\"n\":4,\"m\":5}")
        #expect(told.allSatisfy { !$0.isInitial && $0.name == nil && $0.id != nil })
        #expect(try feed.isQuiet(forMs: 30))
    }

    @Test(arguments: NodeShape.allCases)
    func `a key and a table that are not there are waited for`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table("unheard")
        let feed = try node.feed("/\(table)/subscribe/k")
        #expect(feed.isOpen)
        #expect(try node.listeners(1, of: "/\(table)/subscribers/k"))
        expect(201, try node.asAlice().put("/\(table)/key/k", "1"))
        #expect(try feed.next()?.value == "1")
    }

    @Test(arguments: NodeShape.allCases)
    func `an expiry and a put of many are told`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let alice = try node.asAlice()
        let feed = try node.feed("/\(table)/subscribe?prefix=")
        #expect(try node.listeners(1, of: "/\(table)/subscribers/a"))
        expect(200, try alice.post("/\(table)/store", "{\"a\":1,\"b\":2,\"c\":[3]}"))
        let told = try feed.next(3)
        #expect(Set(told.compactMap(\.key)) == ["a", "b", "c"])
        expect(201, try alice.put("/\(table)/key/a?ttl=1s", "9"))
        #expect(try feed.next()?.json?["value"]?["expires_at"] != nil)
        let gone = try #require(try feed.next())
        #expect(gone.event == "Expired" && gone.key == "a" && gone.version == 3)
    }

    @Test(arguments: NodeShape.allCases)
    func `many topics come over one connection, each change once`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (one, two) = (node.table("one"), node.table("two"))
        let alice = try node.asAlice()
        for key in ["a", "b", "pa", "pb", "q"] {
            expect(201, try alice.put("/\(one)/key/\(key)", "1"))
            expect(201, try alice.put("/\(two)/key/\(key)", "1"))
        }
        let feed = try node.feed(
            "/subscribe?topic=\(one)/a&topic=\(one)/p*&topic=\(one)/pa&topic=\(two)/b&topic=\(one)/a"
        )
        let present = try feed.next(4)
        #expect(present.allSatisfy { $0.isInitial })
        #expect(
            present.map { "\($0.json?["table"]?.string ?? "")/\($0.key ?? "")" }.sorted()
                == ["\(one)/a", "\(one)/pa", "\(one)/pb", "\(two)/b"].sorted())
        #expect(present.filter { $0.id != nil }.count <= 1, "only the last one can be resumed from")
        for key in ["a", "b", "pa", "pc", "q"] {
            expect(201, try alice.put("/\(one)/key/\(key)", "2"))
            expect(201, try alice.put("/\(two)/key/\(key)", "2"))
        }
        let told = try feed.next(4)
        #expect(Set(told.compactMap(\.key)) == ["a", "pa", "pc", "b"])
        #expect(try feed.isQuiet(forMs: 30))

        let both = try node.feed("/\(one)/subscribe?key=a&key=b&prefix=q&initial=false")
        #expect(try node.listeners(2, of: "/\(one)/subscribers/a"))
        #expect(try both.isQuiet(forMs: 30))
        expect(201, try alice.put("/\(one)/key/b", "3"))
        #expect(try both.next()?.key == "b")
    }

    @Test(arguments: NodeShape.allCases)
    func `who comes back is told what it missed, and nothing else`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let alice = try node.asAlice()
        for target in ["/\(table)/subscribe/k1", "/\(table)/subscribe?prefix=k"] {
            let feed = try node.feed(target + (target.contains("?") ? "&" : "?") + "initial=false")
            #expect(try feed.placeToResume() != nil)
            expect(201, try alice.put("/\(table)/key/k1", "1"))
            _ = try feed.next(1)
            let last = try #require(feed.lastID)
            feed.close()
            for n in 2...5 { expect(201, try alice.put("/\(table)/key/k1", "\(n)")) }
            expect(201, try alice.put("/\(table)/key/x", "0"))
            let again = try node.feed(target, "Last-Event-ID: \(last)\r\n")
            let missed = try again.next(4)
            #expect(missed.map(\.value) == ["2", "3", "4", "5"])
            #expect(missed.allSatisfy { $0.name == nil && !$0.isInitial })
            expect(201, try alice.put("/\(table)/key/k1", "6"))
            #expect(try again.next()?.value == "6")
            let place = try #require(try again.placeToResume())
            let asked = try node.feed(
                target + (target.contains("?") ? "&" : "?") + "lastEventId=\(place)")
            #expect(try asked.isQuiet(forMs: 50))
            expect(201, try alice.put("/\(table)/key/k1", "7"))
            #expect(try asked.next()?.value == "7")
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `what can't be replayed is said, and the present state follows`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let alice = try node.asAlice()
        expect(201, try alice.put("/\(table)/key/k", "1"))
        let feed = try node.feed("/\(table)/subscribe/k")
        _ = try feed.next(1)
        let last = try #require(feed.lastID)
        for id in [
            "nonsense", "0", String(repeating: "f", count: 16) + "-0.1", last + "0000",
            String(last.dropLast(1)) + "ffffff", "\u{7F}",
        ] {
            if id == "\u{7F}" { continue }
            for query in ["", "?initial=false"] {
                let again = try node.feed(
                    "/\(table)/subscribe/k\(query)", "Last-Event-ID: \(id)\r\n")
                let told = try again.next(2)
                #expect(told[0].name == "reset" && !told[0].data.isEmpty, "\(id)")
                #expect(told[1].isInitial && told[1].value == "1", "\(id)")
            }
        }
        // More changes than are remembered.
        let long = JSON.quoted(String(repeating: "x", count: 200_000))
        for _ in 0..<12 { expect(201, try alice.put("/\(table)/key/k", long)) }
        let again = try node.feed("/\(table)/subscribe/k", "Last-Event-ID: \(last)\r\n")
        let told = try again.next(2)
        #expect(told[0].name == "reset")
        #expect(told[1].version == 13)
    }

    @Test(arguments: NodeShape.allCases)
    func `a value larger than all that is remembered is told, and what follows it`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let alice = try node.asAlice()
        let feed = try node.feed("/\(table)/subscribe/k")
        let long = JSON.quoted(String(repeating: "x", count: 2_000_000))
        for version in [1, 3, 5] {
            expect(201, try alice.put("/\(table)/key/k", long))
            #expect(try feed.next(1)[0].version == version)
            expect(201, try alice.put("/\(table)/key/k", "1"))
            #expect(try feed.next(1)[0].version == version + 1)
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `a table of many records is listed once, while it changes`(_ shape: NodeShape) throws {
        // A stream that may hold all of it is never told that it fell behind, however small the
        // sockets' buffers are.
        let server = try shape.start(["--stream-buffer", "4MiB"])
        let alice = Caller(try server.connect(), try server.token("alice", "alice's secret"))
        let table = "t"
        let pad = String(repeating: "p", count: 400)
        for hundred in 0..<8 {
            let members = (0..<100).map { "\"k\(1000 + hundred * 100 + $0)\":\"\(pad)\"" }
            expect(200, try alice.post("/\(table)/store", "{\(members.joined(separator: ","))}"))
        }
        let feed = try Feed(try server.connect(), "/\(table)/subscribe")
        var versions: [String: Int] = [:]
        func hear(_ message: Feed.Message) throws {
            let key = try #require(message.key)
            let version = try #require(message.version)
            if message.isInitial { #expect(versions[key] == nil, "\(key) was listed twice") }
            #expect(version > versions[key] ?? 0, "\(key) \(versions[key] ?? 0) \(version)")
            versions[key] = version
        }
        // Nothing is read meanwhile, so the list is somewhere in its middle.
        for n in stride(from: 0, to: 800, by: 7) {
            expect(201, try alice.put("/\(table)/key/k\(1000 + n)", "\(n)"))
        }
        expect(201, try alice.put("/\(table)/key/last", "1"))
        while versions["last"] == nil || versions.count < 801 { try hear(feed.next(1)[0]) }
        while let message = try feed.next(withinMs: 50) { try hear(message) }
        #expect(versions.count == 801)
        for n in 0..<800 { #expect(versions["k\(1000 + n)"] == (n % 7 == 0 ? 2 : 1)) }
    }

    @Test(arguments: NodeShape.allCases)
    func `no value breaks the framing`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let alice = try node.asAlice()
        let feed = try node.feed("/\(table)/subscribe/k")
        #expect(try node.listeners(1, of: "/\(table)/subscribers/k"))
        let values = [
            "{\n\"a\"\r\n:\r[1,\n\n2]\n}", "\"\\n\\r\\u0000data: x\\n\\n\"", "\"\u{2028}\u{85}\"",
            "\"\\u000aid: 7\\u000a\"", "[\n\n\n]",
            "\"" + String(repeating: "é", count: 90_000) + "\"",
        ]
        for value in values {
            expect(201, try alice.put("/\(table)/key/k", value))
            let told = try #require(try feed.next())
            let flat = String(value.map { $0.isNewline && $0.isASCII ? " " : $0 })
            #expect(
                told.value?.replacing(" ", with: "") == flat.replacing(" ", with: ""),
                "\(value.prefix(60))")
        }
        let key = "%0Adata:%20x%0D%0A%0A%00%22"
        let other = try node.feed("/\(table)/subscribe/\(key)")
        #expect(try node.listeners(1, of: "/\(table)/subscribers/\(key)"))
        expect(201, try alice.put("/\(table)/key/\(key)", "1"))
        #expect(try other.next()?.key == "\ndata: x\r\n\n\0\"")
    }

    @Test(arguments: NodeShape.allCases)
    func `an HTTP 1.0 client gets a stream that ends with its connection`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let feed = try node.feed("/\(table)/subscribe/k", version: "1.0")
        #expect(feed.isOpen && feed.head.header("transfer-encoding") == nil)
        #expect(try node.listeners(1, of: "/\(table)/subscribers/k"))
        expect(201, try node.asAlice().put("/\(table)/key/k", "1"))
        #expect(try feed.next()?.value == "1")
    }

    @Test(arguments: NodeShape.allCases)
    func `listeners are counted, and those who leave are not`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let path = "/\(table)/subscribers/k"
        let asker = try node.asStranger()
        #expect(try asker.get(path).text == "{\"count\":0}")
        let feeds = try [
            "/subscribe/k", "/subscribe/k", "/subscribe?prefix=", "/subscribe?prefix=k",
        ]
        .map { try node.feed("/\(table)\($0)") }
        #expect(try node.listeners(4, of: path))
        #expect(try node.listeners(1, of: "/\(table)/subscribers/j"))
        let open = try #require(try asker.get("/stats").json?["active_sse_connections"]?.int)
        #expect(open >= 4)
        feeds[0].close()
        feeds[2].client.reset()
        #expect(try node.listeners(2, of: path))
        feeds[1].client.finishSending()
        feeds[3].close()
        #expect(try node.listeners(0, of: path))
        expect(405, try asker.say("POST", path, "{}"))
    }

    @Test(arguments: NodeShape.allCases)
    func `comments keep a quiet stream, and a drain says goodbye`(_ shape: NodeShape) throws {
        let server = try shape.start(["--heartbeat", "200ms"])
        let feeds = try (0..<5).map { _ in try Feed(try server.connect(), "/t/subscribe/k") }
        for feed in feeds {
            #expect(try becomes { try feed.isQuiet(forMs: 20) && feed.comments >= 3 })
        }
        server.signal(15)
        for feed in feeds {
            let bye = try #require(try feed.next())
            #expect(bye.name == "bye" && !bye.data.isEmpty)
            #expect(try feed.next() == nil)
            #expect(feed.hasEnded)
            #expect((1000...10_000).contains(try #require(feed.retryMs)))
            feed.close()
        }
        #expect(server.waitForExit() == .code(0))
    }
}
