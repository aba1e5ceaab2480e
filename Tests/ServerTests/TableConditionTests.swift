import TestClient
import Testing

@Suite(.serialized) struct `Preconditions` {
    @Test(arguments: NodeShape.allCases)
    func `a reader who has it already is told so`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for key in ["a", "b", "c", "d"] {
            let path = "/\(table)/key/\(key)"
            let put = expect(201, try alice.put(path, "1"))
            let tag = try #require(put.header("etag"))
            #expect(tag.hasPrefix("\"") && tag.hasSuffix("\"") && tag.utf8.count > 2, "\(tag)")
            #expect(try alice.get(path).header("etag") == tag)
            for condition in [tag, "W/\(tag)", "*", "\"other\", \(tag)"] {
                let reply = try alice.get(path, "If-None-Match: \(condition)\r\n")
                #expect(reply.status == 304, "\(condition)")
                #expect(reply.body.isEmpty)
                #expect(reply.header("etag") == tag)
                #expect(try alice.head(path, "If-None-Match: \(condition)\r\n").status == 304)
            }
            for condition in ["\"other\"", "\"\""] {
                expect(200, try alice.get(path, "If-None-Match: \(condition)\r\n"), condition)
            }
            let next = try #require(try alice.put(path, "1").header("etag"))
            #expect(next != tag, "the same value is another version")
            expectRecord(try alice.get(path, "If-None-Match: \(tag)\r\n"), "1", version: 2)
            #expect(try alice.get(path, "If-None-Match: \(next)\r\n").status == 304)
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `a write asks for the version it knows`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for key in ["a", "b", "c", "d"] {
            let path = "/\(table)/key/\(key)"
            expect(201, try alice.put(path, "{\"n\":1}", "If-None-Match: *\r\n"))
            expectRefused(try alice.put(path, "9", "If-None-Match: *\r\n"), version: 1)
            let put = expect(201, try alice.put(path, "{\"n\":2}", "If-Match: \"1\"\r\n"))
            expectRefused(try alice.put(path, "9", "If-Match: \"1\"\r\n"), version: 2)
            let tag = try #require(put.header("etag"))
            let patched = expect(
                200, try alice.patch(path, "{\"n\":3}", "If-Match: \(tag)\r\n"))
            expectRefused(try alice.patch(path, "{}", "If-Match: \(tag)\r\n"), version: 3)
            expectRefused(try alice.patch(path, "{}", "If-None-Match: *\r\n"), version: 3)
            expectRefused(try alice.delete(path, "If-Match: \"2\"\r\n"), version: 3)
            expectRefused(try alice.delete(path, "If-Match: \(tag)\r\n"), version: 3)
            expectRefused(try alice.delete(path, "If-Match: \"nonsense\"\r\n"), version: 3)
            expectRecord(try alice.get(path), "{\"n\":3}", version: 3)
            let last = try #require(patched.header("etag"))
            expect(201, try alice.put(path, "{\"n\":4}", "If-Match: *\r\n"))
            expectRefused(try alice.delete(path, "If-Match: \(last)\r\n"), version: 4)
            expect(200, try alice.delete(path, "If-Match: \"4\"\r\n"))
            // Nothing stands there: the condition fails, and there is no record to show.
            for condition in ["*", "\"4\"", tag] {
                let reply = try alice.put(path, "9", "If-Match: \(condition)\r\n")
                #expect(reply.status == 412, "\(condition): \(reply.text)")
                #expect(reply.json?["value"] == nil)
                expect(404, try alice.get(path))
            }
            expect(201, try alice.put(path, "5", "If-None-Match: *\r\n"))
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `a condition doesn't help who may not write`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let (alice, bob) = (try node.asAlice(), try node.asBob())
        let path = "/\(table)/key/k"
        expect(201, try alice.put(path, "1"))
        expect(401, try bob.put(path, "2", "If-Match: \"1\"\r\n"))
        expect(401, try node.asStranger().put(path, "2", "If-Match: \"1\"\r\n"))
        expect(401, try bob.delete(path, "If-Match: \"1\"\r\n"))
        expectRecord(try bob.get(path), "1", version: 1)
    }

    @Test(arguments: NodeShape.allCases)
    func `of many who increment with If-Match, each counts once`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let path = "/\(node.table())/key/counter"
        expect(201, try node.asAlice().put(path, "0"))
        let each = 25
        _ = try atOnce(4) { _ in
            let alice = try node.asAlice()
            for _ in 0..<each {
                while true {
                    let current = try alice.get(path)
                    guard let tag = current.header("etag"),
                        let value = current.json?["value"]?.int
                    else { throw ClientError.malformed("\(current.status) \(current.text)") }
                    let put = try alice.put(path, "\(value + 1)", "If-Match: \(tag)\r\n")
                    if put.status == 201 { break }
                    guard put.status == 412 else {
                        throw ClientError.malformed("\(put.status) \(put.text)")
                    }
                }
            }
        }
        expectRecord(
            try node.asAlice().get(path), "\(4 * each)", version: 4 * each + 1, owner: "alice")
    }

    /// 412 shows the record as it is, so that who lost can try again at once.
    private func expectRefused(
        _ reply: Reply, version: Int, at place: SourceLocation = #_sourceLocation
    ) {
        #expect(reply.status == 412, "\(reply.text)", sourceLocation: place)
        #expect(reply.json?["version"]?.int == version, "\(reply.text)", sourceLocation: place)
        #expect(reply.json?["value"] != nil, "\(reply.text)", sourceLocation: place)
    }
}
