import Keyspace
import Testing
import Wire

@testable import Node

struct Listed: Equatable {
    var prefix = ""
    var limit = ListQuery.unlimited
    var after = ""
    /// The name of the parameter that was refused.
    var refused: String?
}

@Suite("List queries") struct TablesListQueryTests {
    private func parse(_ query: [UInt8]) -> Listed {
        withExact(query) { query in
            withScratch(ListQuery.scratchBytesMin) { scratch in
                let range = ByteRange(start: 0, count: UInt32(query.count))
                let parsed = ListQuery.parse(
                    QueryItems(range), query, scratch: scratch,
                    scratchBytes: ListQuery.scratchBytesMin)
                switch parsed {
                case .query(let query):
                    return Listed(
                        prefix: text(query.prefix), limit: query.limit, after: text(query.after))
                case .malformed(let sentence):
                    return Listed(refused: String("\(sentence)".prefix { $0 != " " }))
                }
            }
        }
    }

    private func parse(_ query: String) -> Listed { parse(bytes(query)) }

    private func cursor(_ key: [UInt8]) -> String {
        withExact(key) { key in written(Cursor.byteCount(key)) { Cursor.write(key, into: &$0) } }
    }

    private func key(of cursor: [UInt8]) -> [UInt8]? {
        withExact(cursor) { cursor in
            withScratch(2048) { scratch in
                var writer = ByteWriter(scratch, capacity: 2048)
                return Cursor.parse(cursor, into: &writer).map { key in
                    #expect(writer.count == key.count)
                    return [UInt8](key)
                }
            }
        }
    }

    @Test func `what is not said is the whole table from its start`() {
        #expect(parse("") == Listed())
        #expect(parse("x=1&&Limit=3&access_token=t") == Listed())
    }

    @Test func `prefix, limit and cursor are read, decoded`() {
        #expect(parse("prefix=a&limit=10&cursor=aw") == Listed(prefix: "a", limit: 10, after: "k"))
        #expect(parse("prefix=a%2Fb%20c+d") == Listed(prefix: "a/b c d"))
        #expect(parse("prefix=") == Listed())
        #expect(parse("prefix") == Listed())
        #expect(parse("pr%65fix=a") == Listed(prefix: "a"))
        #expect(parse("prefix=%00%26") == Listed(prefix: "\0&"))
        #expect(parse("cursor=%61w") == Listed(after: "k"))
        #expect(parse("limit=1").limit == 1)
        #expect(parse("limit=10000").limit == 10_000)
    }

    @Test(arguments: [
        "limit", "limit=", "limit=0", "limit=-1", "limit=+1", "limit=10001", "limit=1e3",
        "limit=99999999999999999999", "limit=1&limit=1", "limit=1&l%69mit=2", "limit=%31x",
    ])
    func `a limit that is none is refused`(_ query: String) {
        #expect(parse(query).refused == "limit")
    }

    @Test(arguments: [
        "prefix=%", "prefix=%4", "prefix=%zz", "prefix=a&prefix=a", "prefix&prefix",
        "prefix=" + String(repeating: "a", count: 1025),
        "prefix=" + String(repeating: "%61", count: 1025),
    ])
    func `a prefix that is none is refused`(_ query: String) {
        #expect(parse(query).refused == "prefix")
    }

    @Test(arguments: [
        "cursor", "cursor=", "cursor=a", "cursor=aw=", "cursor=aw==", "cursor=ax", "cursor=a+",
        "cursor=a%2F", "cursor=aw&cursor=aw", "cursor=%", "cursor=a w",
        "cursor=" + String(repeating: "A", count: 1367),
        "cursor=" + String(repeating: "A", count: 9000),
    ])
    func `a cursor that no page gave is refused`(_ query: String) {
        #expect(parse(query).refused == "cursor")
    }

    @Test func `a cursor leads back to the key it was made of`() {
        var random = SplitMix(state: 8)
        for count in Array(1...60) + [1023, 1024] {
            let last = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            let cursor = cursor(last)
            #expect(cursor.utf8.count <= Cursor.bytesMax)
            #expect(key(of: bytes(cursor)) == last)
            // No other spelling of it is one.
            #expect(key(of: bytes(cursor + "=")) == nil)
            #expect(key(of: bytes(cursor + "\n")) == nil)
        }
    }

    @Test func `any bytes are a cursor's own spelling or none`() {
        var random = SplitMix(state: 9)
        var good = 0
        for _ in 0..<5000 {
            let text = random.bytes(upTo: 12, from: Array("ABwxyz019-_+/= ".utf8) + [0, 0xFF])
            if let key = key(of: text) {
                good += 1
                #expect(bytes(cursor(key)) == text)
            }
        }
        #expect(good > 100)
    }

    @Test func `the longest prefix and cursor fit the room that is asked for`() {
        let key = String(repeating: "k", count: 1024)
        let encoded = String(repeating: "%6B", count: 1024)
        let cursor = cursor(bytes(key)).utf8.map { "%" + String($0, radix: 16) }.joined()
        #expect(
            parse("prefix=\(encoded)&cursor=\(cursor)") == Listed(prefix: key, after: key))
    }

    @Test func `a page's link asks for the rest of the same list`() {
        func link(_ query: String, _ last: String) -> String {
            withExact(bytes("/t%2E/keys")) { path in
                withExact(bytes(query)) { query in
                    withExact(bytes(last)) { last in
                        withScratch(ListQuery.scratchBytesMin) { scratch in
                            let range = ByteRange(start: 0, count: UInt32(query.count))
                            let parsed = ListQuery.parse(
                                QueryItems(range), query, scratch: scratch,
                                scratchBytes: ListQuery.scratchBytesMin)
                            guard case .query(let list) = parsed else { return "refused" }
                            return written(HTTPLimits.headBytesCeiling) {
                                list.writeLink(path: path, last: last, into: &$0)
                            }
                        }
                    }
                }
            }
        }
        #expect(link("", "k") == "</t%2E/keys?cursor=aw>; rel=\"next\"")
        #expect(
            link("cursor=aw&limit=7&x=1&prefix=%3E+%C3%A4", "l")
                == "</t%2E/keys?prefix=%3E%20%C3%A4&limit=7&cursor=bA>; rel=\"next\"")
        let longest = String(repeating: "\u{1}", count: 1024)
        let prefix = String(repeating: "%01", count: 1024)
        #expect(link("limit=10000&prefix=\(prefix)", longest).hasSuffix(">; rel=\"next\""))
    }

    @Test func `any query is answered`() {
        var random = SplitMix(state: 10)
        let parts = ["prefix=", "limit=", "cursor=", "&", "%", "1", "aw", "=", "%61", "+"]
        var seen: Set<String> = []
        for _ in 0..<20_000 {
            let count = Int.random(in: 0...8, using: &random)
            let query = (0..<count).map { _ in parts.randomElement(using: &random) ?? "" }
            let listed = parse(query.joined())
            #expect(listed.limit == ListQuery.unlimited || (1...10_000).contains(listed.limit))
            seen.insert(listed.refused ?? "")
        }
        #expect(seen == ["", "prefix", "limit", "cursor"])
    }
}
