import Testing

@testable import Wire

@Suite("RESP replies") struct RESPReplyTests {
    private func written(_ version: UInt8, _ write: (inout RESPWriter) -> Void) -> String {
        var out = RESPWriter(capacity: 1)
        out.version = version
        write(&out)
        return String(decoding: out.written, as: UTF8.self)
    }

    @Test func `each protocol gets what it has a type for`() {
        func both(_ write: (inout RESPWriter) -> Void) -> [String] {
            [written(2, write), written(3, write)]
        }
        #expect(both { $0.ok() } == ["+OK\r\n", "+OK\r\n"])
        #expect(both { $0.error("ERR no") } == ["-ERR no\r\n", "-ERR no\r\n"])
        #expect(both { $0.integer(-12) } == [":-12\r\n", ":-12\r\n"])
        #expect(both { $0.integer(Int64.min) }[0] == ":-9223372036854775808\r\n")
        #expect(both { $0.bulk("") } == ["$0\r\n\r\n", "$0\r\n\r\n"])
        #expect(both { $0.null() } == ["$-1\r\n", "_\r\n"])
        #expect(both { $0.nullArray() } == ["*-1\r\n", "_\r\n"])
        #expect(both { $0.map(2) } == ["*4\r\n", "%2\r\n"])
        #expect(both { $0.set(2) } == ["*2\r\n", "~2\r\n"])
        #expect(both { $0.push(3) } == ["*3\r\n", ">3\r\n"])
        #expect(both { $0.double(1.5) } == ["$3\r\n1.5\r\n", ",1.5\r\n"])
        #expect(both { $0.double(3) } == ["$1\r\n3\r\n", ",3\r\n"])
        #expect(both { $0.double(-.infinity) } == ["$4\r\n-inf\r\n", ",-inf\r\n"])
        #expect(both { $0.double(0.1) }[1] == ",0.10000000000000001\r\n")
        #expect(both { $0.verbatim("txt", "hi") } == ["$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"])
    }

    static let replies: [(String, RESPValue)] = [
        ("+OK\r\n", .simple(Array("OK".utf8))),
        ("-ERR no\r\n", .error(Array("ERR no".utf8))),
        (":-3\r\n", .integer(-3)),
        ("$5\r\nhe\r\no\r\n", .bulk(Array("he\r\no".utf8))),
        ("$0\r\n\r\n", .bulk([])),
        ("$-1\r\n", .null),
        ("*-1\r\n", .null),
        ("_\r\n", .null),
        ("*0\r\n", .array([])),
        ("*2\r\n:1\r\n*1\r\n$1\r\na\r\n", .array([.integer(1), .array([.bulk([0x61])])])),
        ("%1\r\n+k\r\n:2\r\n", .map([(.simple([0x6B]), .integer(2))])),
        ("~2\r\n:1\r\n:2\r\n", .set([.integer(1), .integer(2)])),
        (",1.5\r\n", .double(1.5, text: [])),
        (",inf\r\n", .double(.infinity, text: [])),
        ("#t\r\n", .boolean(true)),
        ("#f\r\n", .boolean(false)),
        ("(123456789012345678901\r\n", .bigNumber(Array("123456789012345678901".utf8))),
        ("=6\r\ntxt:hi\r\n", .verbatim(kind: Array("txt".utf8), Array("hi".utf8))),
        ("!6\r\nERR no\r\n", .error(Array("ERR no".utf8))),
        (">2\r\n+a\r\n:1\r\n", .push([.simple([0x61]), .integer(1)])),
        (
            "|1\r\n+ttl\r\n:9\r\n:1\r\n",
            .attribute([(.simple(Array("ttl".utf8)), .integer(9))], of: .integer(1))
        ),
        (
            "*2\r\n|1\r\n+a\r\n:9\r\n:1\r\n:2\r\n",
            .array([.attribute([(.simple([0x61]), .integer(9))], of: .integer(1)), .integer(2)])
        ),
    ]

    @Test(arguments: replies.indices)
    func `a reply reads the same however it is split`(_ number: Int) {
        let (text, value) = Self.replies[number]
        let bytes = Array(text.utf8)
        for place in 0...bytes.count {
            var parser = RESPReplyParser()
            parser.feed(Array(bytes[..<place]))
            if place < bytes.count { #expect(parser.next() == .needMore) }
            parser.feed(Array(bytes[place...]) + Array("+NEXT\r\n".utf8))
            #expect(parser.next() == .reply(value))
            #expect(parser.next() == .reply(.simple(Array("NEXT".utf8))))
            #expect(parser.next() == .needMore)
        }
    }

    @Test(arguments: [
        "x\r\n", ":a\r\n", "$-2\r\n", "$1\r\nabc\r\n", "#x\r\n", ",y\r\n", "*-2\r\n", "\r\n",
        "$99999999999\r\n", "=2\r\nab\r\n",
    ])
    func `what is no reply is told, and ends the reading`(_ text: String) {
        var parser = RESPReplyParser()
        parser.feed(Array(text.utf8))
        guard case .violation = parser.next() else {
            Issue.record("\(text.debugDescription) was taken for a reply")
            return
        }
        parser.feed(Array("+OK\r\n".utf8))
        guard case .violation = parser.next() else {
            Issue.record("went on after \(text.debugDescription)")
            return
        }
    }

    @Test func `nesting without end is refused`() {
        var parser = RESPReplyParser()
        parser.feed(Array(String(repeating: "*1\r\n", count: 1000).utf8))
        guard case .violation = parser.next() else {
            Issue.record("a reply nested a thousand deep was taken")
            return
        }
    }
}

@Suite("RESP numbers and patterns") struct RESPNumberTests {
    private func integer(_ text: String) -> Int64? {
        Array(text.utf8).withUnsafeBytes { RESPNumber.integer($0) }
    }

    @Test func `a whole number has one way to be written`() {
        #expect(integer("0") == 0)
        #expect(integer("-1") == -1)
        #expect(integer("9223372036854775807") == Int64.max)
        #expect(integer("-9223372036854775808") == Int64.min)
        for text in [
            "", "-", "-0", "00", "01", "-01", "+1", " 1", "1 ", "1.0", "1e3", "0x10", "a",
            "9223372036854775808", "-9223372036854775809", "99999999999999999999",
            "123456789012345678901",
        ] {
            #expect(integer(text) == nil, "\(text)")
        }
    }

    private func long(_ text: String) -> RESPNumber.Long? {
        Array(text.utf8).withUnsafeBytes { RESPNumber.long($0) }
    }

    private func shown(_ value: RESPNumber.Long) -> String {
        var result = ""
        RESPNumber.text(value) { result = String(decoding: $0, as: UTF8.self) }
        return result
    }

    @Test func `fractions are read as C reads them and written for people`() {
        #expect(shown(long("10.50")!) == "10.5")
        #expect(shown(long("5.0e3")!) == "5000")
        #expect(shown(long("0x10")!) == "16")
        #expect(shown(long("-0")!) == "0")
        #expect(shown(long("3")! + long("0.1")!) == "3.1")
        #expect(shown(long("1e-20")!) == "0")
        for text in ["", " 1", "1 ", "nan", "abc", "1a", "1\u{0}"] {
            #expect(long(text) == nil, "\(text)")
        }
        #expect(long("inf") == .infinity)
    }

    static let globs: [(String, String, Bool)] = [
        ("*", "anything", true), ("h?llo", "hello", true), ("h?llo", "hllo", false),
        ("h*llo", "heeeello", true), ("h[ae]llo", "hallo", true), ("h[ae]llo", "hillo", false),
        ("h[^e]llo", "hallo", true), ("h[^e]llo", "hello", false), ("h[a-b]llo", "hbllo", true),
        ("h[b-a]llo", "hallo", true), ("h\\*llo", "h*llo", true), ("h\\*llo", "hxllo", false),
        ("[\\]]", "]", true), ("[abc", "c", true), ("[", "[", false), ("a\\", "a\\", true),
        ("**a", "bca", true), ("a**", "a", true), ("", "", true), ("", "a", false),
        ("*a*b*c*", "xaybzc", true), ("[a-]", "-", false), ("[a-]", "^", true), ("[^]", "a", true),
        ("a[]b", "ab", false),
    ]

    @Test(arguments: globs.indices)
    func `a pattern matches what it matches in Redis`(_ number: Int) {
        let (pattern, text, expected) = Self.globs[number]
        let result = Array(pattern.utf8).withUnsafeBytes { pattern in
            Array(text.utf8).withUnsafeBytes { Glob.matches(pattern, $0) }
        }
        #expect(result == expected, "\(pattern) \(text)")
    }

    @Test func `a pattern of many stars does not take for ever`() {
        let pattern = Array(String(repeating: "a*", count: 50).utf8) + [0x62]
        let text = [UInt8](repeating: 0x61, count: 5_000)
        let result = pattern.withUnsafeBytes { pattern in
            text.withUnsafeBytes { Glob.matches(pattern, $0) }
        }
        #expect(!result)
    }
}
