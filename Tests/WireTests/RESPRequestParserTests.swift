import Testing

@testable import Wire

/// What a stream of commands was understood as: the words of each, and how it ended.
struct Understood: Equatable {
    var commands: [[String]] = []
    var end = "more"
}

/// Reads commands that arrive in pieces, each from its first byte on as a connection does, or
/// gathered and read on from where the last piece ended.
func understand(
    _ pieces: [[UInt8]], _ limits: RESPLimits = RESPLimits(), gathering: Bool = false
) -> Understood {
    var result = Understood()
    var unread: [UInt8] = []
    var arguments = RESPArguments()
    var parser = RESPRequestParser()
    for piece in pieces {
        unread += piece
        while !unread.isEmpty {
            if !gathering { parser = RESPRequestParser() }
            let step = unread.withUnsafeBytes { parser.parse($0, limits, into: &arguments) }
            switch step {
            case .needMore(let bytes):
                #expect(bytes > 0)
            case .command(let bytes):
                let words = unread.withUnsafeBytes { raw in
                    (0..<arguments.count).map {
                        String(
                            decoding: arguments.bytes($0, of: raw.baseAddress!), as: UTF8.self)
                    }
                }
                if !words.isEmpty { result.commands.append(words) }
                unread.removeFirst(bytes)
                parser = RESPRequestParser()
                continue
            case .violation(let violation):
                var out = RESPWriter()
                violation.write(into: &out)
                result.end = String(decoding: out.written, as: UTF8.self)
                return result
            }
            break
        }
    }
    if unread.isEmpty { result.end = "end" }
    return result
}

struct RequestExample: CustomTestStringConvertible, Sendable {
    var text: String
    var commands: [[String]]
    var end: String

    init(_ text: String, _ commands: [[String]], _ end: String = "end") {
        self.text = text
        self.commands = commands
        self.end = end
    }

    var testDescription: String { String(text.debugDescription.prefix(80)) }

    static let arrays: [RequestExample] = [
        .init("*1\r\n$4\r\nPING\r\n", [["PING"]]),
        .init("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", [["GET", "k"]]),
        .init("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", [["SET", "k", ""]]),
        .init("*2\r\n$3\r\nGET\r\n$4\r\n\r\n\r\n\r\n", [["GET", "\r\n\r\n"]]),
        .init("*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPONG\r\n", [["PING"], ["PONG"]]),
        .init("*0\r\n*-1\r\n*1\r\n$1\r\na\r\n", [["a"]]),
        .init("*-20\r\n*1\r\n$1\r\na\r\n", [["a"]]),
        .init("\r\n*1\r\n$1\r\na\r\n", [["a"]]),
        .init("\n\n*1\r\n$1\r\na\r\n", [["a"]]),
        // Like Redis, whatever ends a string.
        .init("*1\r\n$1\r\naXY*1\r\n$1\r\nb\r\n", [["a"], ["b"]]),
        .init("*1\rX$1\rXa\r\n", [["a"]]),
        .init("*2\r\n$3\r\nGET\r\n$4\r\nab", [], "more"),
        .init("*2\r\n$3\r\nGET\r\n", [], "more"),
        .init("*", [], "more"),
    ]

    private static func error(_ text: String) -> String { "-ERR Protocol error: \(text)\r\n" }

    static let violations: [RequestExample] = [
        .init("*a\r\n", [], error("invalid multibulk length")),
        .init("*01\r\n", [], error("invalid multibulk length")),
        .init("*+1\r\n", [], error("invalid multibulk length")),
        .init("* 1\r\n", [], error("invalid multibulk length")),
        .init("*\r\n", [], error("invalid multibulk length")),
        .init("*1048577\r\n", [], error("invalid multibulk length")),
        .init("*99999999999999999999\r\n", [], error("invalid multibulk length")),
        .init("*1\r\n4\r\nPING\r\n", [], error("expected '$', got '4'")),
        .init("*1\r\n\r\nPING\r\n", [], error("expected '$', got ' '")),
        .init("*1\r\n$-1\r\n", [], error("invalid bulk length")),
        .init("*1\r\n$x\r\n", [], error("invalid bulk length")),
        .init("*1\r\n$536870913\r\n", [], error("invalid bulk length")),
        .init("*1\r\n$1\r\na\r\nGET / HTTP/1.1\r\n", [["a"]], error("expected '*', got 'G'")),
        .init("$4\r\nPING\r\n", [], error("expected '*', got '$'")),
    ]

    static let lines: [RequestExample] = [
        .init("PING\r\n", [["PING"]]),
        .init("PING\n", [["PING"]]),
        .init("  set  a\tb  \r\n", [["set", "a", "b"]]),
        .init("set a \"b c\\x41\\n\\\"\"\r\n", [["set", "a", "b cA\n\""]]),
        .init("set a 'it\\'s \\n'\r\n", [["set", "a", "it's \\n"]]),
        .init("set a \"\"\r\n", [["set", "a", ""]]),
        .init("set a b\"c d\"\r\n", [["set", "a", "bc d"]]),
        .init("\r\n   \r\nPING\r\n", [["PING"]]),
        .init("get a\r\n*1\r\n$4\r\nPING\r\nget b\r\n", [["get", "a"], ["PING"], ["get", "b"]]),
        .init("get \"a\r\n", [], error("unbalanced quotes in request")),
        .init("get \"a\"b\r\n", [], error("unbalanced quotes in request")),
        .init("get 'a\r\n", [], error("unbalanced quotes in request")),
    ]
}

@Suite("RESP commands") struct RESPRequestParserTests {
    @Test(arguments: RequestExample.arrays + RequestExample.violations)
    func `an array reads the same however it is split`(_ example: RequestExample) {
        splits(example, RESPLimits())
    }

    @Test(arguments: RequestExample.lines)
    func `a line reads the same however it is split`(_ example: RequestExample) {
        var limits = RESPLimits()
        limits.allowsInline = true
        splits(example, limits)
    }

    private func splits(_ example: RequestExample, _ limits: RESPLimits) {
        let bytes = Array(example.text.utf8)
        let expected = Understood(commands: example.commands, end: example.end)
        for gathering in [false, true] {
            #expect(understand([bytes], limits, gathering: gathering) == expected)
            for place in 0...bytes.count {
                let pieces = [Array(bytes[..<place]), Array(bytes[place...])]
                #expect(understand(pieces, limits, gathering: gathering) == expected)
            }
            let single = bytes.map { [$0] }
            #expect(understand(single, limits, gathering: gathering) == expected)
        }
    }

    @Test func `a stranger is held to ten arguments of 16 KiB`() {
        let limits = RESPLimits.stranger
        func end(_ text: String) -> String { understand([Array(text.utf8)], limits).end }
        #expect(end("*10\r\n") == "more")
        #expect(end("*11\r\n") == "-ERR Protocol error: unauthenticated multibulk length\r\n")
        #expect(end("*1\r\n$16384\r\n") == "more")
        #expect(end("*1\r\n$16385\r\n") == "-ERR Protocol error: unauthenticated bulk length\r\n")
    }

    @Test func `an endless line ends the connection`() {
        var limits = RESPLimits()
        limits.allowsInline = true
        func end(_ start: String) -> String {
            let bytes = Array(start.utf8) + [UInt8](repeating: 0x31, count: 64 * 1024 + 2)
            return understand([bytes], limits).end
        }
        #expect(end("*") == "-ERR Protocol error: too big mbulk count string\r\n")
        #expect(end("*1\r\n$") == "-ERR Protocol error: too big bulk count string\r\n")
        #expect(end("GET ") == "-ERR Protocol error: too big inline request\r\n")
    }

    @Test func `a command of many arguments that comes in pieces is read once`() {
        let count = 20_000
        var bytes = Array("*\(count)\r\n".utf8)
        for number in 0..<count { bytes += Array("$1\r\n\(number % 10)\r\n".utf8) }
        let pieces = stride(from: 0, to: bytes.count, by: 1000).map {
            Array(bytes[$0..<min($0 + 1000, bytes.count)])
        }
        let result = understand(pieces, gathering: true)
        #expect(result.commands.first?.count == count)
        #expect(result.end == "end")
    }
}
