import TestClient
import Testing

@Suite(.serialized) struct `Patches` {
    @Test(arguments: NodeShape.allCases)
    func `patches merge as RFC 7396 shows`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for (index, example) in Self.examples.enumerated() {
            let path = "/\(table)/key/p\(index)"
            expect(201, try alice.put(path, example.value))
            let patched = expect(200, try alice.patch(path, example.patch), "\(example)")
            let value = try #require(patched.json?["value"], "\(patched.text)")
            #expect(isSame(value, try #require(JSON(example.result))), "\(example): \(value.text)")
            #expect(patched.json?["version"]?.int == 2)
            #expect(patched.json?["owner"]?.string == "alice")
            #expect(try alice.get(path).text == patched.text)
            #expect(patched.header("etag") == (try alice.head(path)).header("etag"))
        }
    }

    /// Of RFC 7396 appendix A, those whose value is an object.
    static let examples: [(value: String, patch: String, result: String)] = [
        (#"{"a":"b"}"#, #"{"a":"c"}"#, #"{"a":"c"}"#),
        (#"{"a":"b"}"#, #"{"b":"c"}"#, #"{"a":"b","b":"c"}"#),
        (#"{"a":"b"}"#, #"{"a":null}"#, "{}"),
        (#"{"a":"b","b":"c"}"#, #"{"a":null}"#, #"{"b":"c"}"#),
        (#"{"a":["b"]}"#, #"{"a":"c"}"#, #"{"a":"c"}"#),
        (#"{"a":"c"}"#, #"{"a":["b"]}"#, #"{"a":["b"]}"#),
        (#"{"a":{"b":"c"}}"#, #"{"a":{"b":"d","c":null}}"#, #"{"a":{"b":"d"}}"#),
        (#"{"a":[{"b":"c"}]}"#, #"{"a":[1]}"#, #"{"a":[1]}"#),
        (#"{"e":null}"#, #"{"a":1}"#, #"{"e":null,"a":1}"#),
        ("{}", #"{"a":{"bb":{"ccc":null}}}"#, #"{"a":{"bb":{}}}"#),
        (
            #"{"n":1e400,"m":0.10}"#, #"{"k":12345678901234567890}"#,
            #"{"n":1e400,"m":0.10,"k":12345678901234567890}"#
        ),
        (#"{"a":1}"#, "{}", #"{"a":1}"#),
    ]

    @Test(arguments: NodeShape.allCases)
    func `a patch needs an object to merge into, and its owner`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        let (alice, bob) = (try node.asAlice(), try node.asBob())
        expect(404, try alice.patch("/\(table)/key/none", "{\"a\":1}"))
        for (index, value) in ["1", "null", "\"text\"", "[{}]", "true"].enumerated() {
            let path = "/\(table)/key/v\(index)"
            expect(201, try alice.put(path, value))
            expect(409, try alice.patch(path, "{\"a\":1}"), value)
            expectRecord(try alice.get(path), value, version: 1)
        }
        let path = "/\(table)/key/object"
        expect(201, try alice.put(path, "{}"))
        expect(401, try bob.patch(path, "{\"a\":1}"))
        expect(401, try node.asStranger().patch(path, "{\"a\":1}"))
        for body in ["", "{", "{\"a\":}", "{\"a\":1}x", "{\"a\":\"\\ud800\"}", "{'a':1}"] {
            expect(400, try alice.patch(path, body), body)
        }
        expectRecord(try alice.get(path), "{}", version: 1)
    }

    @Test(arguments: NodeShape.allCases)
    func `a patch is said to be JSON or a merge patch`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (path, alice) = ("/\(node.table())/key/k", try node.asAlice())
        expect(201, try alice.put(path, "{}"))
        for type in [
            "application/merge-patch+json", "application/json", "Application/JSON",
            "application/json; charset=utf-8", "application/merge-patch+json;charset=UTF-8",
        ] {
            expect(200, try alice.patch(path, "{\"a\":1}", "Content-Type: \(type)\r\n"), type)
        }
        expect(200, try alice.patch(path, "{\"a\":1}", ""), "none is said")
        for type in ["text/plain", "application/json-patch+json", "application/jsonx", "json"] {
            expect(415, try alice.patch(path, "{\"a\":1}", "Content-Type: \(type)\r\n"), type)
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `patches of many at once lose nothing`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let path = "/\(node.table())/key/k"
        expect(201, try node.asAlice().put(path, "{}"))
        let each = 40
        let statuses = try atOnce(4) { number in
            let alice = try node.asAlice()
            return try (0..<each).map {
                try alice.patch(path, "{\"w\(number)-\($0)\":\($0)}").status
            }
        }
        #expect(statuses.flatMap { $0 }.allSatisfy { $0 == 200 })
        let record = try #require(try node.asAlice().get(path).json)
        #expect(record["version"]?.int == 1 + 4 * each)
        #expect(record["value"]?.names?.count == 4 * each)
    }

    /// Equal but for the order of members; numbers as they are written.
    private func isSame(_ one: JSON, _ other: JSON) -> Bool {
        switch (one.kind, other.kind) {
        case (.object(let members), .object(let others)):
            members.count == others.count
                && members.allSatisfy { member in
                    other[member.name].map { isSame(member.value, $0) } ?? false
                }
        case (.array(let elements), .array(let others)):
            elements.count == others.count && zip(elements, others).allSatisfy(isSame)
        default: one.text == other.text
        }
    }
}
