import TestClient
import Testing

@Suite(.serialized) struct `Listings` {
    @Test(arguments: NodeShape.allCases)
    func `keys come in the order of their bytes, whatever shard they are on`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        let keys = [
            "b", "a", "aa", "a/b", "B", "0", "10", "9", "~", "a b", "é", "é!", "漢字", "😀", "a\"q",
            "a\\b", "a%b", "a+b", "a\n", "\u{1}", "-", "key", "keys", "store", "{tag}1", "{tag}2",
        ]
        for key in keys { expect(201, try alice.put("/\(table)/key/\(escaped(key))", "1"), key) }
        let sorted = inOrder(keys)
        let listed = expect(200, try node.asStranger().get("/\(table)/keys"))
        #expect(listed.json?.strings == sorted, "\(listed.text)")
        #expect(listed.header("link") == nil, "there is no next page")
        let store = expect(200, try node.asStranger().get("/\(table)/store"))
        #expect(store.json?.names == sorted)
        for key in keys {
            #expect(
                store.json?[key]?.text == (try alice.get("/\(table)/key/\(escaped(key))")).text)
        }
        for prefix in ["a", "aa", "a/", "B", "z", "é", "😀", "{tag}", ""] {
            let expected = sorted.filter { $0.utf8.starts(with: prefix.utf8) }
            let query = "?prefix=\(escaped(prefix))"
            #expect(try alice.get("/\(table)/keys\(query)").json?.strings == expected, "\(prefix)")
            #expect(try alice.get("/\(table)/store\(query)").json?.names == expected, "\(prefix)")
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `pages follow each other without a gap or a repetition`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        var keys: [String] = []
        var bodies: [String] = []
        for number in 0..<120 {
            let key = "k\(number * 7919 % 1000)/é \(number)"
            keys.append(key)
            bodies.append("\(JSON.quoted(key)):\(number)")
        }
        let stored = expect(
            200, try alice.post("/\(table)/store", "{\(bodies.joined(separator: ","))}"))
        #expect(stored.text == "{\"stored\":120}")
        let sorted = inOrder(keys)
        for limit in [1, 7, 60, 119, 120, 121, 1000] {
            for (kind, prefix) in [("keys", ""), ("keys", "k1"), ("store", ""), ("store", "k2")] {
                let expected = sorted.filter { $0.hasPrefix(prefix) }
                let query = "?limit=\(limit)" + (prefix.isEmpty ? "" : "&prefix=\(prefix)")
                let pages = try self.pages(alice, "/\(table)/\(kind)\(query)", atMost: 130)
                #expect(pages.flatMap { $0 } == expected, "\(kind)\(query)")
                #expect(pages.dropLast().allSatisfy { $0.count == limit }, "\(kind)\(query)")
                #expect(pages.allSatisfy { $0.count <= limit })
                #expect(pages.count <= expected.count / limit + 1)
            }
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `a page goes on where the last one ended, though keys come and go`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for number in 10..<40 { expect(201, try alice.put("/\(table)/key/\(number)", "1")) }
        let first = expect(200, try alice.get("/\(table)/keys?limit=10"))
        #expect(first.json?.strings?.last == "19")
        let next = try #require(nextPage(first))
        // The key at which the page ended goes; one before it and one behind it come.
        expect(200, try alice.delete("/\(table)/key/19"))
        expect(200, try alice.delete("/\(table)/key/20"))
        expect(201, try alice.put("/\(table)/key/105", "1"))
        expect(201, try alice.put("/\(table)/key/215", "1"))
        let second = expect(200, try alice.get(next))
        #expect(
            second.json?.strings
                == ["21", "215", "22", "23", "24", "25", "26", "27", "28", "29"])
    }

    @Test(arguments: NodeShape.allCases)
    func `a table that nobody wrote to isn't there`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for target in ["keys", "store", "keys?prefix=a", "store?limit=5"] {
            expect(404, try alice.get("/\(table)/\(target)"))
        }
        expect(404, try alice.get("/\(table)"))
        expect(201, try alice.put("/\(table)/key/a", "1"))
        #expect(try alice.get("/\(table)/keys").text == "[\"a\"]")
        #expect(try alice.get("/\(table)/keys?prefix=b").text == "[]")
        #expect(try alice.get("/\(table)/store?prefix=b").text == "{}")
        expect(200, try alice.get("/\(table)"))
    }

    @Test(arguments: NodeShape.allCases)
    func `a limit is a number, and a cursor is one that we gave`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        expect(201, try alice.put("/\(table)/key/a", "1"))
        for kind in ["keys", "store"] {
            for limit in ["0", "-1", "ten", "", "1.5", "99999999999999999999"] {
                expect(400, try alice.get("/\(table)/\(kind)?limit=\(limit)"), "limit=\(limit)")
            }
            for cursor in ["%00", "!!", "%FF%FE", String(repeating: "A", count: 3000)] {
                expect(
                    400, try alice.get("/\(table)/\(kind)?cursor=\(cursor)"), "cursor=\(cursor)")
            }
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `HEAD of a listing says what GET would`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for number in 0..<20 { expect(201, try alice.put("/\(table)/key/\(number)", "1")) }
        for kind in ["keys", "store", "keys?limit=3"] {
            let get = expect(200, try alice.get("/\(table)/\(kind)"))
            let head = expectHead(200, try alice.head("/\(table)/\(kind)"))
            #expect(head.body.isEmpty)
            #expect(head.header("content-type") == get.header("content-type"))
            #expect(try alice.client.ask("GET", "/health").status == 200)
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `a listing of megabytes arrives whole, also for HTTP 1.0 and slow readers`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        let text = String(repeating: "v", count: 4000)
        let count = 800
        for first in stride(from: 0, to: count, by: 100) {
            let members = (first..<first + 100).map { "\"k\($0)\":\"\(text)\"" }
            expect(200, try alice.post("/\(table)/store", "{\(members.joined(separator: ","))}"))
        }
        let sorted = inOrder((0..<count).map { "k\($0)" })
        let slow = try node.server.connect(receiveBuffer: 8192)
        try slow.send("GET /\(table)/store HTTP/1.1\r\nHost: t\r\n\r\n")
        nap(ms: 50)
        for reply in [
            try slow.reply(), try alice.get("/\(table)/store"), try oldReply(node, table),
        ] {
            expect(200, reply)
            let store = try #require(reply.json)
            #expect(store.names == sorted)
            guard case .object(let records) = store.kind else { return }
            #expect(records.allSatisfy { $0.value["value"]?.string == text })
        }
        #expect(try alice.get("/\(table)/keys").json?.strings == sorted)
    }

    // MARK: Private parts

    private func oldReply(_ node: TableNode, _ table: String) throws -> Reply {
        let old = try node.server.connect()
        try old.send("GET /\(table)/store HTTP/1.0\r\nHost: t\r\n\r\n")
        return try old.reply()
    }

    private func pages(
        _ caller: Caller, _ target: String, atMost bound: Int
    ) throws -> [[String]] {
        var pages: [[String]] = []
        var target: String? = target
        while let this = target, pages.count < bound {
            let reply = expect(200, try caller.get(this))
            guard let page = reply.json.flatMap({ $0.strings ?? $0.names }) else { return pages }
            pages.append(page)
            target = nextPage(reply)
        }
        return pages
    }
}

/// Where `Link: <…>; rel="next"` leads, as a path of the same server (RFC 8288).
func nextPage(_ reply: Reply) -> String? {
    guard let link = reply.header("link"), link.hasPrefix("<"),
        let end = link.firstIndex(of: ">"), link[end...].hasSuffix("; rel=\"next\"")
    else { return nil }
    let target = link[link.index(after: link.startIndex)..<end]
    return target.hasPrefix("/") ? String(target) : nil
}

/// By bytes, which for valid UTF-8 is by scalars.
func inOrder(_ keys: [String]) -> [String] {
    keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
}

/// Percent-encodes everything but what RFC 3986 calls unreserved.
func escaped(_ text: String) -> String {
    var escaped = ""
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "_"), UInt8(ascii: "~"):
            escaped.unicodeScalars.append(Unicode.Scalar(byte))
        default:
            escaped += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }
    }
    return escaped
}
