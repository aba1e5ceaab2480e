import Testing

@testable import Wire

@Suite("HTTP request parser") struct HTTPRequestParserTests {
    @Test(arguments: HTTPExample.valid)
    func `reads a request and uses up exactly its head`(_ example: HTTPExample) {
        let bytes = example.bytes
        #expect(words(parse(bytes), bytes) == example.verdict)
        #expect(parsedHead(bytes)?.headByteCount == UInt32(bytes.count))
    }

    @Test(arguments: HTTPExample.valid)
    func `waits at every byte of a request that is not complete`(_ example: HTTPExample) {
        let bytes = example.bytes
        for count in 0..<bytes.count {
            #expect(words(parse(bytes.prefix(count)), bytes) == "more", "after \(count) bytes")
        }
    }

    @Test(arguments: HTTPExample.violations)
    func `refuses what is wrong with the right status`(_ example: HTTPExample) {
        #expect(words(parse(example.bytes), example.bytes) == example.verdict)
    }

    @Test(arguments: HTTPExample.violations)
    func `refuses at the same byte however it is split`(_ example: HTTPExample) {
        let bytes = example.bytes
        var refused = false
        for count in 0...bytes.count {
            let verdict = words(parse(bytes.prefix(count)), bytes)
            if verdict != "more" { refused = true }
            #expect(verdict == (refused ? example.verdict : "more"), "after \(count) bytes")
        }
        #expect(refused)
    }

    @Test(arguments: HTTPExample.valid)
    func `reads two requests in a row`(_ example: HTTPExample) throws {
        let next = Array("DELETE /next HTTP/1.1\r\nHost: b\r\n\r\n".utf8)
        let bytes = example.bytes + next
        let first = try #require(parsedHead(bytes))
        #expect(words(first, bytes) == example.verdict)
        let rest = Array(bytes[Int(first.headByteCount)...])
        #expect(rest == next)
        #expect(words(parse(rest), rest) == "DELETE /next 1.1 stay none")
    }

    @Test(arguments: HTTPExample.violations)
    func `reads a request and then refuses the next`(_ example: HTTPExample) throws {
        let first = Array("GET /first HTTP/1.1\r\nHost: b\r\n\r\n".utf8)
        let bytes = first + example.bytes
        let head = try #require(parsedHead(bytes))
        #expect(words(head, bytes) == "GET /first 1.1 stay none")
        let rest = Array(bytes[Int(head.headByteCount)...])
        #expect(words(parse(rest), rest) == example.verdict)
    }

    @Test func `tells every violation in a sentence that JSON need not escape`() {
        for violation in HTTPViolation.allCases {
            let sentence = "\(violation.sentence)"
            #expect(sentence.count > 10)
            #expect(!sentence.contains { $0 == "\"" || $0 == "\\" || $0 < " " })
            #expect(violation.status.rawValue >= 400)
        }
    }

    // MARK: Fields

    @Test func `finds every known field in any case and any place`() throws {
        let names: [(HTTPKnownField, String)] = [
            (.host, "Host"), (.contentLength, "Content-Length"), (.connection, "Connection"),
            (.expect, "Expect"), (.authorization, "Authorization"), (.xAPIKey, "X-API-Key"),
            (.contentType, "Content-Type"), (.contentEncoding, "Content-Encoding"),
            (.accept, "Accept"), (.acceptEncoding, "Accept-Encoding"), (.origin, "Origin"),
            (.ifMatch, "If-Match"), (.ifNoneMatch, "If-None-Match"),
            (.lastEventID, "Last-Event-ID"), (.xConsistency, "X-Consistency"),
            (.xNeedletailToken, "X-Needletail-Token"), (.xForwardedFor, "X-Forwarded-For"),
            (.xForwardedProto, "X-Forwarded-Proto"), (.forwarded, "Forwarded"),
            (.upgrade, "Upgrade"), (.secWebSocketKey, "Sec-WebSocket-Key"),
            (.secWebSocketVersion, "Sec-WebSocket-Version"),
            (.secWebSocketProtocol, "Sec-WebSocket-Protocol"),
            (.secWebSocketExtensions, "Sec-WebSocket-Extensions"),
            (.accessControlRequestMethod, "Access-Control-Request-Method"),
            (.accessControlRequestHeaders, "Access-Control-Request-Headers"),
            (.userAgent, "User-Agent"), (.transferEncoding, "Transfer-Encoding"),
        ]
        #expect(Set(names.map(\.0)) == Set(HTTPKnownField.allCases))
        #expect(HTTPKnownField.allCases.count == HTTPKnownField.count)
        for (field, name) in names {
            for name in [name, name.lowercased(), name.uppercased()] {
                let value =
                    switch field {
                    case .contentLength: "7"
                    case .transferEncoding: "chunked"
                    case .expect: "100-continue"
                    default: "v.\(name)"
                    }
                let host = field == .host ? "" : "Host: a\r\n"
                let bytes = Array(
                    "GET / HTTP/1.1\r\nX: 1\r\n\(host)\(name): \(value) \r\nY: 2\r\n\r\n".utf8)
                let head = try #require(parsedHead(bytes))
                let range = try #require(head.range(field))
                #expect(text(range, bytes) == value)
                for other in HTTPKnownField.allCases where other != field && other != .host {
                    #expect(!head.has(other))
                }
            }
        }
    }

    @Test func `knows no field by a name that only resembles one`() throws {
        for name in ["Hosu", "\u{7C}ost", "X-API-Kez", "Authorizatiom", "Accept-Encodinf"] {
            let bytes = Array("GET / HTTP/1.1\r\nHost: a\r\n\(name): v\r\n\r\n".utf8)
            let head = try #require(parsedHead(bytes))
            for field in HTTPKnownField.allCases where field != .host {
                #expect(!head.has(field))
            }
        }
    }

    @Test func `remembers the first of repeated lines and walks them all`() throws {
        let bytes = Array(
            ("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\nX-Empty:\r\n"
                + "accept:  */*\t\r\n\r\nGET /").utf8)
        let head = try #require(parsedHead(bytes))
        #expect(text(try #require(head.range(.accept)), bytes) == "text/plain")
        #expect(head.isRepeated(.accept))
        #expect(!head.isRepeated(.host))
        var lines = head.fieldLines
        var seen: [String] = []
        while let line = lines.next(in: bytes.span.bytes) {
            seen.append("\(text(line.name, bytes))=\(text(line.value, bytes))")
        }
        #expect(seen == ["Host=a", "Accept=text/plain", "X-Empty=", "accept=*/*"])
    }

    @Test func `an absolute target's host takes the place of the Host field`() throws {
        for (request, host) in [
            ("GET http://b:1/x HTTP/1.1\r\nHost: a\r\n\r\n", "b:1"),
            ("GET http://b HTTP/1.0\r\n\r\n", "b"),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "a"),
        ] {
            let bytes = Array(request.utf8)
            let head = try #require(parsedHead(bytes))
            #expect(text(try #require(head.range(.host)), bytes) == host)
        }
    }

    @Test func `takes every byte that a field value may hold and no other`() {
        for byte in UInt8.min...UInt8.max {
            for before in [0, 3, 20] {
                let bytes =
                    Array("GET / HTTP/1.1\r\nHost: a\r\nX: ".utf8)
                    + Array(repeating: 0x61, count: before) + [byte]
                    + Array("bcdefghijklmnopqrstuvwxyz\r\n\r\n".utf8)
                let allowed = byte == 9 || byte >= 32 && byte != 127
                let isHead = parsedHead(bytes) != nil
                #expect(isHead == allowed, "byte \(byte)")
            }
        }
    }

    @Test func `takes every byte that a field name may hold and no other`() {
        let others = Set("!#$%&'*+-.^_`|~".utf8)
        for byte in UInt8.min...UInt8.max where byte != 0x3A {
            for before in [1, 9, 17] {
                let bytes =
                    Array("GET / HTTP/1.1\r\nHost: a\r\n".utf8)
                    + Array(repeating: 0x61, count: before) + [byte]
                    + Array("bcdefghijklmnopqrstuvwxyz: 1\r\n\r\n".utf8)
                let scalar = Character(UnicodeScalar(byte))
                let allowed =
                    byte < 128 && (scalar.isLetter || scalar.isNumber) || others.contains(byte)
                let isHead = parsedHead(bytes) != nil
                #expect(isHead == allowed, "byte \(byte)")
            }
        }
    }

    @Test func `takes every byte that a target may hold and no other`() throws {
        for byte in UInt8.min...UInt8.max where byte != 0x20 {
            for before in [0, 5, 18] {
                let target = [0x2F] + Array(repeating: 0x61, count: before) + [byte]
                let bytes =
                    Array("GET ".utf8) + target + Array(" HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
                let allowed = byte > 32 && byte < 127 && byte != 0x23
                let isHead = parsedHead(bytes) != nil
                #expect(isHead == allowed, "byte \(byte)")
            }
        }
    }

    @Test func `a list names a token in any case, among others, with or without parameters`() {
        func lists(_ value: String, _ token: StaticString) -> Bool {
            Array(value.utf8).span.bytes.lists(token)
        }
        #expect(lists("websocket", "websocket"))
        #expect(lists("h2c, WebSocket", "websocket"))
        #expect(lists("br , gzip;q=0.5", "gzip"))
        #expect(!lists("websockets", "websocket"))
        #expect(!lists("web socket", "socket"))
        #expect(!lists("", "gzip"))
        #expect(!lists(",,", "gzip"))
    }

    @Test func `a head that is parsed into again forgets the request before`() {
        let full = Array(
            ("POST http://b/x?q HTTP/1.0\r\nHost: a\r\nAccept: a\r\nAccept: b\r\n"
                + "Content-Length: 3\r\n\r\n").utf8)
        let upgrade = Array(
            ("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n"
                + "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n").utf8)
        let bare = Array("GET /y HTTP/1.1\r\nHost: c\r\n\r\n".utf8)
        let wrong = Array("GET / HTTP/1.1\r\nAccept: a\r\nHost\r\n".utf8)
        var head = HTTPRequestHead()
        for before in [full, upgrade, wrong] {
            _ = HTTPRequestParser.parse(before.span.bytes, limits: HTTPLimits(), into: &head)
            let verdict = HTTPRequestParser.parse(
                bare.span.bytes, limits: HTTPLimits(), into: &head)
            #expect(verdict == .head)
            #expect(words(head, bare) == "GET /y 1.1 stay none")
            #expect(HTTPKnownField.allCases.filter(head.has) == [.host])
            #expect(!head.isRepeated(.accept))
            #expect(head.range(.host).map { text($0, bare) } == "c")
        }
    }

    // MARK: Bounds

    @Test func `a head of exactly the largest size is read and one byte more is refused`() {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
        let room = 16 * 1024 - start.utf8.count - 4
        let fits = Array((start + String(repeating: "x", count: room) + "\r\n\r\n").utf8)
        #expect(fits.count == 16 * 1024)
        #expect(words(parse(fits), fits) == "GET / 1.1 stay none")
        let over = Array((start + String(repeating: "x", count: room + 1) + "\r\n\r\n").utf8)
        #expect(words(parse(over), over) == "431 headTooLarge")
        #expect(words(parse(over.prefix(16 * 1024)), over) == "431 headTooLarge")
        #expect(words(parse(over.prefix(16 * 1024 - 1)), over) == "more")
    }

    @Test func `a hundred fields are read and one more is refused at its first byte`() {
        let line = "X: y\r\n"
        let full = "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: line, count: 99)
        let fits = Array((full + "\r\n").utf8)
        #expect(words(parse(fits), fits) == "GET / 1.1 stay none")
        let over = Array((full + "X").utf8)
        #expect(words(parse(over), over) == "431 tooManyFields")
    }

    @Test func `a target of exactly the largest size is read and one byte more is refused`() {
        for form in ["/", "/?", "http://a/"] {
            let room = 8 * 1024 - form.utf8.count
            let target = form + String(repeating: "x", count: room)
            let fits = Array("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
            #expect(words(parse(fits), fits).hasPrefix("GET /"))
            let over = Array("GET \(target)x HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
            #expect(words(parse(over), over) == "414 targetTooLong")
            #expect(words(parse(over.prefix(4 + 8 * 1024 + 1)), over) == "414 targetTooLong")
            #expect(words(parse(over.prefix(4 + 8 * 1024)), over) == "more")
        }
    }

    @Test func `a target that fills the whole head is a target too long`() {
        var limits = HTTPLimits()
        limits.headBytesMax = 64
        let bytes = Array("GET /\(String(repeating: "x", count: 100))".utf8)
        #expect(words(parse(bytes, limits), bytes) == "414 targetTooLong")
        #expect(words(parse(bytes.prefix(63), limits), bytes) == "more")
    }

    @Test func `a method of 32 characters is unknown and one of 33 is refused`() {
        let method = String(repeating: "M", count: 32)
        let fits = Array("\(method) / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        #expect(words(parse(fits), fits) == "OTHER / 1.1 stay none")
        let over = Array("\(method)M".utf8)
        #expect(words(parse(over), over) == "501 unknownLongMethod")
    }

    @Test func `a body of exactly the largest size is taken and one byte more is refused`() {
        var limits = HTTPLimits()
        limits.bodyBytesMax = 1000
        let fits = Array("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n".utf8)
        #expect(words(parse(fits, limits), fits) == "PUT / 1.1 stay 1000")
        let over = Array("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n".utf8)
        #expect(words(parse(over, limits), over) == "413 bodyTooLarge")
    }

    @Test func `a limit on the head never exceeds what a head's offsets can hold`() {
        var limits = HTTPLimits()
        limits.headBytesMax = 1_000_000
        #expect(limits.headBytesMax == 65_535)
        let value = String(repeating: "x", count: 65_000)
        let bytes = Array("GET / HTTP/1.1\r\nX: \(value)\r\nHost: last\r\n\r\n".utf8)
        guard case .head(let head) = parse(bytes, limits) else {
            Issue.record("not a head")
            return
        }
        #expect(head.range(.host).map { text($0, bytes) } == "last")
    }
}
