import Testing
@testable import Wire

/// A request as it is sent and what the parser has to make of it, in words: a head as
/// `GET /path?query 1.1 stay none`, a violation as its status and name.
struct HTTPExample: CustomTestStringConvertible, Sendable {
    var text: String
    var verdict: String

    init(_ text: String, _ verdict: String) {
        self.text = text
        self.verdict = verdict
    }

    var bytes: [UInt8] { Array(text.utf8) }
    var testDescription: String { String(text.debugDescription.prefix(80)) }
}

func word(_ method: HTTPMethod) -> String { "\(method)".uppercased() }

func text(_ range: ByteRange, _ bytes: [UInt8]) -> String {
    String(decoding: bytes[Int(range.start)..<Int(range.end)], as: UTF8.self)
}

func words(_ head: HTTPRequestHead, _ bytes: [UInt8]) -> String {
    var words = "\(word(head.method)) \(text(head.path, bytes))"
    if head.hasQuery { words += "?\(text(head.query, bytes))" }
    words += " 1.\(head.minorVersion) \(head.keepAlive ? "stay" : "close")"
    switch head.body {
    case .none: words += " none"
    case .length(let count): words += " \(count)"
    case .chunked: words += " chunked"
    }
    if head.expectsContinue { words += " continue" }
    if head.isUpgrade { words += " upgrade" }
    if head.target != .origin { words += " \(head.target)" }
    return words
}

func words(_ parsed: HTTPHeadParsed, _ bytes: [UInt8]) -> String {
    switch parsed {
    case .needMore: "more"
    case .head(let head): words(head, bytes)
    case .violation(let violation): "\(violation.status.rawValue) \(violation)"
    }
}

/// Parses bytes that end where their memory ends, so that a read past them does not go unseen
/// under AddressSanitizer.
func parse(_ bytes: some Collection<UInt8>, _ limits: HTTPLimits = HTTPLimits()) -> HTTPHeadParsed {
    let exact = Array(bytes)
    return HTTPRequestParser.parse(exact.span.bytes, limits: limits)
}

func parsedHead(_ bytes: [UInt8]) -> HTTPRequestHead? {
    if case .head(let head) = parse(bytes) { head } else { nil }
}

extension HTTPExample {
    static let valid: [HTTPExample] = [
        .init("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / 1.1 stay none"),
        .init(
            "GET /health HTTP/1.1\r\nHost: 127.0.0.1:6660\r\n\r\n", "GET /health 1.1 stay none"),
        .init("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD /x 1.1 stay none"),
        .init("POST /x HTTP/1.1\r\nHost: a\r\n\r\n", "POST /x 1.1 stay none"),
        .init("PUT /x HTTP/1.1\r\nHost: a\r\n\r\n", "PUT /x 1.1 stay none"),
        .init("PATCH /x HTTP/1.1\r\nHost: a\r\n\r\n", "PATCH /x 1.1 stay none"),
        .init("DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n", "DELETE /x 1.1 stay none"),
        .init("OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS /x 1.1 stay none"),
        .init("TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n", "TRACE /x 1.1 stay none"),
        .init("BREW /x HTTP/1.1\r\nHost: a\r\n\r\n", "OTHER /x 1.1 stay none"),
        .init("get /x HTTP/1.1\r\nHost: a\r\n\r\n", "OTHER /x 1.1 stay none"),
        .init("GETT /x HTTP/1.1\r\nHost: a\r\n\r\n", "OTHER /x 1.1 stay none"),
        .init("OPTIONSX /x HTTP/1.1\r\nHost: a\r\n\r\n", "OTHER /x 1.1 stay none"),
        .init("VERSION-CONTROL /x HTTP/1.1\r\nHost: a\r\n\r\n", "OTHER /x 1.1 stay none"),
        .init("!#$%&'*+-.^_`|~9 / HTTP/1.1\r\nHost: a\r\n\r\n", "OTHER / 1.1 stay none"),
        .init("M / HTTP/1.1\r\nHost: a\r\n\r\n", "OTHER / 1.1 stay none"),
        // Targets.
        .init("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * 1.1 stay none asterisk"),
        .init(
            "GET http://b.example/p?q=1 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /p?q=1 1.1 stay none absolute"),
        .init("GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", "GET / 1.1 stay none absolute"),
        .init("GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n", "GET /?q 1.1 stay none absolute"),
        .init("GET HTTPS://b:8/x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x 1.1 stay none absolute"),
        .init("GET http://[::1]:80/x HTTP/1.0\r\n\r\n", "GET /x 1.0 close none absolute"),
        .init(
            "CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT a.example:443 1.1 stay none authority"),
        .init("GET /a?b?c?d HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a?b?c?d 1.1 stay none"),
        .init("GET /? HTTP/1.1\r\nHost: a\r\n\r\n", "GET /? 1.1 stay none"),
        .init("GET /?? HTTP/1.1\r\nHost: a\r\n\r\n", "GET /?? 1.1 stay none"),
        .init("GET //a//b/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET //a//b/ 1.1 stay none"),
        .init("GET /t/key/a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n", "GET /t/key/a%2Fb 1.1 stay none"),
        .init("GET /{a}|\"<>\\^` HTTP/1.1\r\nHost: a\r\n\r\n", "GET /{a}|\"<>\\^` 1.1 stay none"),
        .init(
            "GET /a/path/longer/than/sixteen?and=a&query=that+is+longer HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a/path/longer/than/sixteen?and=a&query=that+is+longer 1.1 stay none"),
        // Versions.
        .init("GET / HTTP/1.0\r\n\r\n", "GET / 1.0 close none"),
        .init("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / 1.0 close none"),
        .init("GET / HTTP/1.9\r\nHost: a\r\n\r\n", "GET / 1.1 stay none"),
        // Empty lines before.
        .init("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / 1.1 stay none"),
        .init("\r\n\r\n\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x 1.1 stay none"),
        // Persistence.
        .init("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / 1.1 close none"),
        .init("GET / HTTP/1.1\r\nHost: a\r\nCONNECTION: CLOSE\r\n\r\n", "GET / 1.1 close none"),
        .init(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", "GET / 1.1 stay none"),
        .init(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, ,close\t\r\n\r\n",
            "GET / 1.1 close none"),
        .init(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
            "GET / 1.1 close none"),
        .init("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / 1.0 stay none"),
        .init(
            "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "GET / 1.0 close none"),
        // Upgrades.
        .init(
            "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
                + "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
            "GET /ws 1.1 stay none upgrade"),
        .init("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n", "GET / 1.1 stay none"),
        .init(
            "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
            "GET / 1.0 close none"),
        // Bodies.
        .init(
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "PUT / 1.1 stay 0"),
        .init(
            "PUT / HTTP/1.1\r\nHost: a\r\ncontent-length:5 \t\r\n\r\n", "PUT / 1.1 stay 5"),
        .init(
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000000000000000000042\r\n\r\n",
            "PUT / 1.1 stay 42"),
        .init(
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "PUT / 1.1 stay chunked"),
        .init(
            "PUT / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:CHUNKED\r\n\r\n",
            "PUT / 1.1 stay chunked"),
        .init(
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", "GET / 1.1 stay 3"),
        .init("PUT / HTTP/1.0\r\nContent-Length: 3\r\n\r\n", "PUT / 1.0 close 3"),
        .init(
            "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
            "PUT / 1.1 stay 3 continue"),
        .init(
            "PUT / HTTP/1.1\r\nHost: a\r\nexpect:100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n",
            "PUT / 1.1 stay chunked continue"),
        .init(
            "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
            "PUT / 1.1 stay 0"),
        .init("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "GET / 1.1 stay none"),
        .init(
            "PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
            "PUT / 1.0 close 3"),
        // Hosts.
        .init("GET / HTTP/1.1\r\nhost:a.example\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nHost: \t a-b.example:80 \t\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nHost: [2001:db8::7.8.9.10]:6660\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nHost: a_b~c!d\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nHost: gr%C3%BCn:80\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "GET / 1.1 stay none"),
        // Fields.
        .init("GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nHost: a\r\nX: \r\nY:\t\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nHost: a\r\nX: a\tb  c\t\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nHost: a\r\nX: \u{FC}\u{20AC}\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~9aZ: x\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nHost: a\r\nX: a:b::c\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nHost: a\r\nContent-Lengt: x\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nHost: a\r\nContent_Length: x\r\n\r\n", "GET / 1.1 stay none"),
        .init("GET / HTTP/1.1\r\nX-Host: b\r\nHost: a\r\n\r\n", "GET / 1.1 stay none"),
        .init(
            "GET / HTTP/1.1\r\nHost: a\r\nAccept: a\r\nAccept: b\r\n\r\n", "GET / 1.1 stay none"),
    ]

    /// Each is preceded by nothing wrong, so its verdict is about the one thing it shows.
    static let violations: [HTTPExample] = [
        // Request line.
        .init(" GET / HTTP/1.1\r\n", "400 malformedMethod"),
        .init("G\u{1}T / HTTP/1.1\r\n", "400 malformedMethod"),
        .init("G(T / HTTP/1.1\r\n", "400 malformedMethod"),
        .init("GET\r\n", "400 malformedMethod"),
        .init("GET\t/ HTTP/1.1\r\n", "400 malformedMethod"),
        .init("\u{0}", "400 malformedMethod"),
        .init("PUT\u{0} / HTTP/1.1\r\n", "400 malformedMethod"),
        .init("POST\u{0}\u{0}\u{0} / HTTP/1.1\r\n", "400 malformedMethod"),
        .init("\u{16}\u{3}\u{1}", "400 malformedMethod"),
        .init("{\"a\":1}", "400 malformedMethod"),
        .init("grün / HTTP/1.1\r\n", "400 malformedMethod"),
        .init("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG", "501 unknownLongMethod"),
        .init("\nGET / HTTP/1.1\r\n", "400 bareLineFeed"),
        .init("\rGET / HTTP/1.1\r\n", "400 bareCarriageReturn"),
        .init("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n", "400 tooManyEmptyLines"),
        .init("GET  / HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET /a\tb HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET /\u{0} HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET /\u{7F} HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET /a#b HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET /grün HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET /a-path-of-sixteen?q=ü HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET http://grün/ HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET /a?b#c HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET /\r\n", "400 malformedTarget"),
        .init("GET /a?b\r\n", "400 malformedTarget"),
        .init("GET /\n", "400 malformedTarget"),
        .init("GET x HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET ?q HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET ftp://a/ HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET http:/a HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET http:///a HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET httpx://a/ HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET http://u@a/ HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET http://a:8x/ HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET http://a#b HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET *a HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET * HTTP/1.1\r\n", "400 asteriskWithoutOptions"),
        .init("CONNECT / HTTP/1.1\r\n", "400 malformedTarget"),
        .init("CONNECT a/b HTTP/1.1\r\n", "400 malformedTarget"),
        .init("CONNECT http://a/ HTTP/1.1\r\n", "400 malformedTarget"),
        .init("GET / http/1.1\r\n", "400 malformedVersion"),
        .init("GET / HTTP/1.1 \r\n", "400 malformedVersion"),
        .init("GET / HTTP/1.1x\r\n", "400 malformedVersion"),
        .init("GET /  HTTP/1.1\r\n", "400 malformedVersion"),
        .init("GET / \r\n", "400 malformedVersion"),
        .init("GET / HTTP/1\r\n", "400 malformedVersion"),
        .init("GET / HTTP/1.\r\n", "400 malformedVersion"),
        .init("GET / HTTP/11.1\r\n", "400 malformedVersion"),
        .init("GET / HTTP/1.10\r\n", "400 malformedVersion"),
        .init("GET / HTTP/x.1\r\n", "400 malformedVersion"),
        .init("GET / HTTP 1.1\r\n", "400 malformedVersion"),
        .init("GET /a b HTTP/1.1\r\n", "400 malformedVersion"),
        .init("GET / HTTP/1.1\n", "400 bareLineFeed"),
        .init("GET / HTTP/1.1\rX", "400 bareCarriageReturn"),
        .init("GET / HTTP/1.0\r\r\n", "400 bareCarriageReturn"),
        .init("GET / HTTP/2.0\r\n", "505 unsupportedVersion"),
        .init("GET / HTTP/0.9\r\n", "505 unsupportedVersion"),
        .init("GET / HTTP/3\r\n", "505 unsupportedVersion"),
        .init("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 unsupportedVersion"),
        // Field lines.
        field(" Host: a\r\n", "400 foldedField"),
        field("\tHost: a\r\n", "400 foldedField"),
        field("Host: a\r\n b\r\n", "400 foldedField"),
        field("Host : a\r\n", "400 blankBeforeColon"),
        field("Host\t: a\r\n", "400 blankBeforeColon"),
        field("X-Longer-Than-Sixteen : a\r\n", "400 blankBeforeColon"),
        field("Transfer-Encoding : chunked\r\n", "400 blankBeforeColon"),
        field(": a\r\n", "400 malformedFieldName"),
        field("Ho(st: a\r\n", "400 malformedFieldName"),
        field("Ho\u{0}st: a\r\n", "400 malformedFieldName"),
        field("Höst: a\r\n", "400 malformedFieldName"),
        field("\"Host\": a\r\n", "400 malformedFieldName"),
        field("Content-Length\u{B}: 1\r\n", "400 malformedFieldName"),
        field("Host\r\n", "400 fieldWithoutColon"),
        field("Host\n", "400 bareLineFeed"),
        field("Host: a\n", "400 bareLineFeed"),
        field("Host: a\r\n\n", "400 bareLineFeed"),
        field("Host: a\rX: b\r\n", "400 bareCarriageReturn"),
        field("Host: a\r\r\n", "400 bareCarriageReturn"),
        field("Host: a\r\n\rX", "400 bareCarriageReturn"),
        field("X: a\u{0}b\r\n", "400 malformedFieldValue"),
        field("X: \u{7F}\r\n", "400 malformedFieldValue"),
        field("X: a\u{1B}[31m\r\n", "400 malformedFieldValue"),
        field("X: more than sixteen bytes \u{C} then\r\n", "400 malformedFieldValue"),
        // Hosts.
        field("\r\n", "400 hostMissing"),
        field("X: a\r\n\r\n", "400 hostMissing"),
        field("Host: a\r\nHost: a\r\n", "400 hostRepeated"),
        field("Host: a\r\nhOST: b\r\n", "400 hostRepeated"),
        field("Host:\r\n", "400 malformedHost"),
        field("Host: :80\r\n", "400 malformedHost"),
        field("Host: a b\r\n", "400 malformedHost"),
        field("Host: a/b\r\n", "400 malformedHost"),
        field("Host: a@b\r\n", "400 malformedHost"),
        field("Host: a:b\r\n", "400 malformedHost"),
        field("Host: a:80:80\r\n", "400 malformedHost"),
        field("Host: a?b\r\n", "400 malformedHost"),
        field("Host: a%2\r\n", "400 malformedHost"),
        field("Host: a%zz\r\n", "400 malformedHost"),
        field("Host: [::1\r\n", "400 malformedHost"),
        field("Host: []\r\n", "400 malformedHost"),
        field("Host: [::g]\r\n", "400 malformedHost"),
        field("Host: [::1]x\r\n", "400 malformedHost"),
        field("Host: grün\r\n", "400 malformedHost"),
        // Content-Length.
        host("Content-Length: 1\r\nContent-Length: 2\r\n", "400 contentLengthRepeated"),
        host("Content-Length: 1\r\nContent-Length: 1\r\n", "400 contentLengthRepeated"),
        host("Content-Length: 1, 1\r\n", "400 malformedContentLength"),
        host("Content-Length: +1\r\n", "400 malformedContentLength"),
        host("Content-Length: -1\r\n", "400 malformedContentLength"),
        host("Content-Length: 0x1\r\n", "400 malformedContentLength"),
        host("Content-Length: 1 2\r\n", "400 malformedContentLength"),
        host("Content-Length: 1.0\r\n", "400 malformedContentLength"),
        host("Content-Length: \"1\"\r\n", "400 malformedContentLength"),
        host("Content-Length:\r\n", "400 malformedContentLength"),
        host("Content-Length: 18446744073709551616\r\n", "400 malformedContentLength"),
        host("Content-Length: 99999999999999999999999\r\n", "400 malformedContentLength"),
        host("Content-Length: 18446744073709551615\r\n\r\n", "413 bodyTooLarge"),
        host("Content-Length: 8454145\r\n\r\n", "413 bodyTooLarge"),
        // Transfer-Encoding.
        host("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "400 lengthAndCoding"),
        host("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400 lengthAndCoding"),
        host("Content-Length: 1\r\nTransfer-Encoding: gzip\r\n\r\n", "400 lengthAndCoding"),
        host("Transfer-Encoding: chunked, chunked\r\n", "400 chunkedNotLast"),
        host("Transfer-Encoding: chunked, gzip\r\n", "400 chunkedNotLast"),
        host(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "400 chunkedNotLast"),
        host(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "400 chunkedNotLast"),
        host("Transfer-Encoding: gzip\r\n\r\n", "400 chunkedNotLast"),
        host("Transfer-Encoding: identity\r\n\r\n", "400 chunkedNotLast"),
        host("Transfer-Encoding: xchunked\r\n\r\n", "400 chunkedNotLast"),
        host("Transfer-Encoding: chunked;q=1\r\n", "400 malformedTransferCoding"),
        host("Transfer-Encoding: chunked;\r\n", "400 malformedTransferCoding"),
        host("Transfer-Encoding: chunked x\r\n", "400 malformedTransferCoding"),
        host("Transfer-Encoding: \"chunked\"\r\n", "400 malformedTransferCoding"),
        host("Transfer-Encoding: ,chunked\r\n", "400 malformedTransferCoding"),
        host("Transfer-Encoding: chunked,\r\n", "400 malformedTransferCoding"),
        host("Transfer-Encoding:\r\n", "400 malformedTransferCoding"),
        host("Transfer-Encoding: \u{B}chunked\r\n", "400 malformedFieldValue"),
        host("Transfer-Encoding: gzip, chunked\r\n\r\n", "501 unknownTransferCoding"),
        host("Transfer-Encoding: gzip;a=b, chunked\r\n\r\n", "501 unknownTransferCoding"),
        host(
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
            "501 unknownTransferCoding"),
        .init(
            "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", "400 codingInOldVersion"),
        // The rest.
        host("Expect: 200-ok\r\n", "417 unknownExpectation"),
        host("Expect:\r\n", "417 unknownExpectation"),
        host("Expect: 100-continue, x\r\n", "417 unknownExpectation"),
        host("Authorization: a\r\nAuthorization: b\r\n", "400 fieldRepeated"),
        host("X-API-Key: a\r\nx-api-key: a\r\n", "400 fieldRepeated"),
        host("Content-Type: a\r\nContent-Type: b\r\n", "400 fieldRepeated"),
        host(
            "Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: a\r\n", "400 fieldRepeated"),
    ]

    private static func field(_ lines: String, _ verdict: String) -> HTTPExample {
        HTTPExample("GET / HTTP/1.1\r\n" + lines, verdict)
    }

    private static func host(_ lines: String, _ verdict: String) -> HTTPExample {
        HTTPExample("PUT / HTTP/1.1\r\nHost: a\r\n" + lines, verdict)
    }
}
