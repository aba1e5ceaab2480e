import Testing

@testable import Wire

/// A request is put together of these: everything before the version, and everything from it on.
private let starts = [
    "GET /t/key/k", "GET /", "PUT /t/key/a%2Fb", "GET /t/key/" + String(repeating: "k", count: 300),
    "GET /t/keys?limit=1", "GET /t/key/", "HEAD /t/key/k", "POST /t/store", "GET http://h/t/key/k",
    "GET /t/key/k#x", "GET  /t", "GET /t/key/\u{1}", "get /t/key/k", "GET *",
]
private let sections = [
    " HTTP/1.1\r\nHost: a\r\n\r\n", " HTTP/1.1\r\nHost: b\r\n\r\n", " HTTP/1.0\r\n\r\n",
    " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(String(repeating: "x", count: 300))\r\n\r\n",
    " HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"1\"\r\nAccept: */*\r\n\r\n",
    " HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Type: application/json\r\n\r\n",
    " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", " HTTP/1.1\r\n\r\n",
    " HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "y", count: 2000))\r\n\r\n",
    " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nAccept: a\r\nAccept: b\r\n\r\n",
]

@Suite("Fields met again") struct HTTPHeadMemoTests {
    /// Everything a head says.
    private func words(_ head: HTTPRequestHead) -> String {
        let ranges = HTTPKnownField.allCases.map { field in
            head.range(field).map { "\(field) \($0.start)+\($0.count) \(head.isRepeated(field))" }
                ?? "-"
        }
        return """
            \(head.method) \(head.target) \(head.minorVersion) \(head.keepAlive) \(head.expectsContinue) \
            \(head.isUpgrade) \(head.hasQuery) \(head.path) \(head.query) \(head.headByteCount) \
            \(head.fieldsStart) \(head.body) \(ranges)
            """
    }

    private func parse(_ bytes: [UInt8]) -> HTTPRequestHead? {
        guard case .head(let head) = HTTPRequestParser.parse(bytes.span.bytes, limits: HTTPLimits())
        else { return nil }
        return head
    }

    private func recall(
        _ memo: inout HTTPHeadMemo, _ bytes: [UInt8], _ limits: HTTPLimits = HTTPLimits()
    ) -> HTTPRequestHead? {
        var head = HTTPRequestHead()
        return memo.recall(bytes.span.bytes, connection: 7, limits: limits, into: &head)
            ? head : nil
    }

    @Test(arguments: sections)
    func `mean the same behind any path, or nothing is said`(_ section: String) throws {
        var memo = HTTPHeadMemo()
        let first = Array(("GET /first" + section).utf8)
        #expect(recall(&memo, first) == nil)
        if let head = parse(first) { memo.remember(first.span.bytes, connection: 7, head) }
        var recalled = 0
        for start in starts {
            for other in sections {
                let bytes = Array((start + other + "GET /next").utf8)
                guard let head = recall(&memo, bytes) else { continue }
                recalled += 1
                #expect(parse(bytes).map(words) == words(head), "\(start)\(other)")
            }
        }
        #expect(recalled == (parse(first) == nil || section.utf8.count > 800 ? 0 : 5))
    }

    @Test(arguments: sections)
    func `are not believed before all of them are there, nor when a byte differs`(
        _ section: String
    ) throws {
        var memo = HTTPHeadMemo()
        var bytes = Array(("GET /t/key/k" + section).utf8)
        guard let head = parse(bytes) else { return }
        memo.remember(bytes.span.bytes, connection: 7, head)
        for count in 0..<bytes.count { #expect(recall(&memo, Array(bytes[..<count])) == nil) }
        for place in "GET /t/key/k".utf8.count..<bytes.count {
            bytes[place] ^= 1
            if let head = recall(&memo, bytes) { #expect(parse(bytes).map(words) == words(head)) }
            bytes[place] ^= 1
        }
        var tight = HTTPLimits()
        tight.headBytesMax = bytes.count - 1
        #expect(recall(&memo, bytes, tight) == nil)
        tight = HTTPLimits()
        tight.targetBytesMax = 7
        #expect(recall(&memo, bytes, tight) == nil)
    }

    @Test func `a plain read is told where its key and its head end`() throws {
        for section in sections {
            var memo = HTTPHeadMemo()
            let first = Array(("GET /t/key/first" + section).utf8)
            guard let head = parse(first) else { continue }
            memo.remember(first.span.bytes, connection: 7, head)
            for start in starts where start.hasPrefix("GET /t/key/") {
                let bytes = Array((start + section).utf8)
                let found = memo.recallPlainRead(
                    bytes.span.bytes, keyPlace: 11, connection: 7, limits: HTTPLimits())
                guard let found else { continue }
                #expect(head.fieldsArePlain)
                #expect(found.headEnd == bytes.count)
                #expect(found.keyEnd == start.utf8.count)
                #expect(!start.contains("#") && !start.contains("\u{1}"))
            }
        }
    }

    @Test func `that always change are remembered now and then only`() throws {
        var memo = HTTPHeadMemo()
        var hits = 0
        for number in 0..<1000 {
            let bytes = Array("GET / HTTP/1.1\r\nHost: a\r\nX: \(number)\r\n\r\n".utf8)
            if let head = parse(bytes) { memo.remember(bytes.span.bytes, connection: 7, head) }
            if recall(&memo, bytes) != nil { hits += 1 }
        }
        #expect((16...200).contains(hits))
    }
}
