import Testing

@testable import Wire

/// What a decoder made of a body: what it let through, and how it ended.
struct Unchunked: Equatable {
    var body: [UInt8] = []
    var end = "more"
    /// Bytes after the body.
    var rest: [UInt8] = []
}

/// Decodes a body that arrives in pieces, as a connection would.
func unchunk(_ pieces: [[UInt8]], _ limits: HTTPLimits = HTTPLimits()) -> Unchunked {
    var decoder = HTTPChunkedDecoder()
    var result = Unchunked()
    for (index, piece) in pieces.enumerated() {
        var from = 0
        reading: while true {
            let bytes = Array(piece[from...])
            switch decoder.decode(bytes.span.bytes, limits: limits) {
            case .needMore: break reading
            case .data(let start, let count):
                result.body += bytes[start..<start + count]
                from += start + count
            case .end(let consumed):
                result.end = "end"
                result.rest = Array(bytes[consumed...]) + pieces[(index + 1)...].flatMap { $0 }
                return result
            case .violation(let violation):
                result.end = "\(violation.status.rawValue) \(violation)"
                return result
            }
        }
    }
    return result
}

struct ChunkedExample: CustomTestStringConvertible, Sendable {
    var text: String
    var body: String
    var end: String

    init(_ text: String, _ body: String, _ end: String = "end") {
        self.text = text
        self.body = body
        self.end = end
    }

    var testDescription: String { String(text.debugDescription.prefix(80)) }

    static let valid: [ChunkedExample] = [
        .init("0\r\n\r\n", ""),
        .init("5\r\nhello\r\n0\r\n\r\n", "hello"),
        .init("5\r\nhello\r\n1\r\n \r\n5\r\nthere\r\n0\r\n\r\n", "hello there"),
        .init("a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        .init("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        .init("1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n", "abcdefghijklmnopqrstuvwxyz"),
        .init("000000000000005\r\nhello\r\n000\r\n\r\n", "hello"),
        .init("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        .init("5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n"),
        .init("5;name=value\r\nhello\r\n0;last\r\n\r\n", "hello"),
        .init("5;a=\"quoted ; text\"; b\r\nhello\r\n0\r\n\r\n", "hello"),
        .init("5;\r\nhello\r\n0\r\n\r\n", "hello"),
        .init("1\r\nx\r\n0\r\nTrailer: value\r\n\r\n", "x"),
        .init("1\r\nx\r\n0\r\nA:\r\nB: b \t\r\nC:c:c\r\n\r\n", "x"),
        .init("1\r\nx\r\n0\r\nContent-Length: 7\r\n\r\n", "x"),
    ]

    static let violations: [ChunkedExample] = [
        .init("\r\n", "", "400 malformedChunkSize"),
        .init("\n", "", "400 bareLineFeed"),
        .init(" 5\r\n", "", "400 malformedChunkSize"),
        .init("5 \r\n", "", "400 malformedChunkSize"),
        .init("5\t;x\r\n", "", "400 malformedChunkSize"),
        .init("+5\r\n", "", "400 malformedChunkSize"),
        .init("-5\r\n", "", "400 malformedChunkSize"),
        .init("0x5\r\n", "", "400 malformedChunkSize"),
        .init("5_0\r\n", "", "400 malformedChunkSize"),
        .init("g\r\n", "", "400 malformedChunkSize"),
        .init(";x\r\n", "", "400 malformedChunkSize"),
        .init("0000000000000005\r\n", "", "400 malformedChunkSize"),
        .init("fffffffffffffffff\r\n", "", "400 malformedChunkSize"),
        .init("fffffffffffffff\r\n", "", "413 bodyTooLarge"),
        .init("5\nhello\r\n", "", "400 bareLineFeed"),
        .init("5\rhello\r\n", "", "400 bareCarriageReturn"),
        .init("5\r\r\nhello\r\n", "", "400 bareCarriageReturn"),
        .init("5\r\nhello0\r\n\r\n", "hello", "400 malformedChunkEnd"),
        .init("5\r\nhello\n0\r\n\r\n", "hello", "400 malformedChunkEnd"),
        .init("5\r\nhello\r0\r\n\r\n", "hello", "400 malformedChunkEnd"),
        .init("5\r\nhello\r\n\r\n", "hello", "400 malformedChunkSize"),
        .init("5;a\n\r\nhello", "", "400 bareLineFeed"),
        .init("5;a\rb\r\nhello", "", "400 bareCarriageReturn"),
        .init("5;a\u{0}\r\nhello", "", "400 malformedChunkExtension"),
        .init("0\r\n\n", "", "400 bareLineFeed"),
        .init("0\r\n\rX", "", "400 bareCarriageReturn"),
        .init("0\r\n A: b\r\n\r\n", "", "400 malformedTrailer"),
        .init("0\r\nA : b\r\n\r\n", "", "400 malformedTrailer"),
        .init("0\r\n: b\r\n\r\n", "", "400 malformedTrailer"),
        .init("0\r\nA\r\n\r\n", "", "400 malformedTrailer"),
        .init("0\r\nA: b\u{1}\r\n\r\n", "", "400 malformedTrailer"),
        .init("0\r\nA: b\n\r\n", "", "400 bareLineFeed"),
        .init("0\r\nA: b\rc\r\n\r\n", "", "400 bareCarriageReturn"),
        .init("0\r\nGET / HTTP/1.1\r\n", "", "400 malformedTrailer"),
    ]
}

@Suite("HTTP chunked decoder") struct HTTPChunkedDecoderTests {
    static let next = Array("GET /next".utf8)

    @Test(arguments: ChunkedExample.valid)
    func `takes the coding off and leaves the next request`(_ example: ChunkedExample) {
        let bytes = Array(example.text.utf8)
        let wanted = Unchunked(body: Array(example.body.utf8), end: "end", rest: Self.next)
        #expect(unchunk([bytes + Self.next]) == wanted)
    }

    @Test(arguments: ChunkedExample.valid + ChunkedExample.violations)
    func `decides the same however the body is split`(_ example: ChunkedExample) {
        let bytes = Array(example.text.utf8)
        var wanted = Unchunked(body: Array(example.body.utf8), end: example.end)
        #expect(unchunk([bytes]) == wanted)
        #expect(unchunk(bytes.map { [$0] }) == wanted)
        for split in 0...bytes.count {
            #expect(unchunk([Array(bytes[..<split]), Array(bytes[split...])]) == wanted)
        }
        if example.end == "end" {
            wanted.rest = Self.next
            #expect(unchunk((bytes + Self.next).map { [$0] }) == wanted)
        }
    }

    @Test(arguments: ChunkedExample.valid)
    func `waits at every byte of a body that is not complete`(_ example: ChunkedExample) {
        let bytes = Array(example.text.utf8)
        for count in 0..<bytes.count {
            #expect(unchunk([Array(bytes[..<count])]).end == "more")
        }
    }

    @Test func `stays with its verdict when it is asked again`() {
        var decoder = HTTPChunkedDecoder()
        let limits = HTTPLimits()
        let wrong = Array("x".utf8)
        let right = Array("0\r\n\r\n".utf8)
        let refused = decoder.decode(wrong.span.bytes, limits: limits)
        let again = decoder.decode(right.span.bytes, limits: limits)
        #expect(refused == .violation(.malformedChunkSize))
        #expect(again == .violation(.malformedChunkSize))
        decoder = HTTPChunkedDecoder()
        let ended = decoder.decode(right.span.bytes, limits: limits)
        let still = decoder.decode(right.span.bytes, limits: limits)
        #expect(ended == .end(consumed: 5))
        #expect(still == .end(consumed: 0))
    }

    @Test func `a body of exactly the largest size is taken and one byte more is refused`() {
        var limits = HTTPLimits()
        limits.bodyBytesMax = 10
        let body = Array("0123456789".utf8)
        #expect(unchunk([Array("a\r\n0123456789\r\n0\r\n\r\n".utf8)], limits).body == body)
        #expect(
            unchunk([Array("4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n".utf8)], limits).body == body)
        #expect(unchunk([Array("b\r\n".utf8)], limits).end == "413 bodyTooLarge")
        let over = unchunk([Array("4\r\n0123\r\n7\r\n".utf8)], limits)
        #expect(over.end == "413 bodyTooLarge")
        #expect(over.body == Array("0123".utf8))
    }

    @Test func `extensions are bounded over the whole body`() {
        var limits = HTTPLimits()
        limits.chunkExtensionBytesMax = 10
        let five = "1;abcde\r\nx\r\n"
        #expect(unchunk([Array((five + five + "0\r\n\r\n").utf8)], limits).end == "end")
        #expect(
            unchunk([Array((five + five + "0;a\r\n\r\n").utf8)], limits).end
                == "400 chunkExtensionsTooLarge")
    }

    @Test func `trailers are bounded`() {
        var limits = HTTPLimits()
        limits.trailerBytesMax = 13
        #expect(unchunk([Array("0\r\nA: bc\r\nD:\r\n\r\n".utf8)], limits).end == "end")
        #expect(
            unchunk([Array("0\r\nA: bcd\r\nD:\r\n\r\n".utf8)], limits).end
                == "431 trailersTooLarge")
        limits.trailerBytesMax = 10_000
        let hundred = "0\r\n" + String(repeating: "A:\r\n", count: 100)
        #expect(unchunk([Array((hundred + "\r\n").utf8)], limits).end == "end")
        #expect(unchunk([Array((hundred + "A").utf8)], limits).end == "431 trailersTooLarge")
    }

    @Test func `counts what the chunks announced`() {
        var decoder = HTTPChunkedDecoder()
        let bytes = Array("3\r\nabc\r\n10\r\n".utf8)
        let first = decoder.decode(bytes.span.bytes, limits: HTTPLimits())
        #expect(first == .data(start: 3, count: 3))
        let rest = Array(bytes[6...])
        let second = decoder.decode(rest.span.bytes, limits: HTTPLimits())
        #expect(second == .needMore)
        #expect(decoder.bodyBytes == 19)
    }
}
