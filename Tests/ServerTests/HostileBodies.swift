/// Rows about where a message ends: lengths, codings, chunks, trailers, what follows on the same
/// connection, and what is no HTTP at all. RFC 9112 6-9. The server under test takes bodies of up
/// to 131,072 bytes.
extension Hostile {
    static let lengths: [Hostile] = [
        .serves(200, "a body", post("Content-Length: 5", body: "hello")),
        .serves(200, "an empty body", post("Content-Length: 0", body: "")),
        .serves(200, "zeros in front of a length", post("Content-Length: 00005", body: "hello")),
        .serves(200, "spaces around a length", post("Content-Length:  5\t", body: "hello")),
        .serves(200, "a body behind GET", get("Content-Length: 5") + "hello"),
        .serves(200, "a body of any bytes", post("Content-Length: 6", body: "\0\r\n\u{ff}\r\n")),
        .serves(
            200, "a body that looks like a request",
            post("Content-Length: \(get().utf8.count)", body: get())),
        .serves(
            405, "a body nobody wants",
            "POST /health HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"),
        .serves(
            404, "a body for nothing",
            "POST /nothing/here HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"),
        .serves(200, "a name that only looks like a length", get("Content_Length: 5")),
        .serves(
            200, "a body as large as allowed", post("Content-Length: 131072", body: long(131072))),
        .refuses([413], "a length above the limit", post("Content-Length: 131073", body: "")),
        .refuses(
            [413], "a body above the limit", post("Content-Length: 131073", body: long(131073))),
        .refuses([413], "a gigabyte", post("Content-Length: 1073741824", body: "")),
        .either([200, 411], "POST without any length", post(body: "")),
        .refuses([400], "no digits", post("Content-Length:", body: "")),
        .refuses([400], "only spaces for a length", post("Content-Length:   ", body: "")),
        .refuses([400], "a plus", post("Content-Length: +5", body: "hello")),
        .refuses([400], "a minus", post("Content-Length: -5", body: "hello")),
        .refuses([400], "minus zero", post("Content-Length: -0", body: "")),
        .refuses([400], "letters behind a length", post("Content-Length: 5a", body: "hello")),
        .refuses([400], "letters for a length", post("Content-Length: five", body: "hello")),
        .refuses([400], "a hexadecimal length", post("Content-Length: 0x5", body: "hello")),
        .refuses([400], "a length with a fraction", post("Content-Length: 5.0", body: "hello")),
        .refuses([400], "a length with an exponent", post("Content-Length: 5e0", body: "hello")),
        .refuses([400], "a length with a separator", post("Content-Length: 1_0", body: "hello")),
        .refuses([400], "a space within a length", post("Content-Length: 5 5", body: "hello")),
        .refuses([400], "a semicolon behind a length", post("Content-Length: 5;", body: "hello")),
        .refuses([400], "a quoted length", post("Content-Length: \"5\"", body: "hello")),
        .refuses(
            [400], "a vertical tab before a length", post("Content-Length: \u{b}5", body: "hello")),
        .refuses([400], "a NUL behind a length", post("Content-Length: 5\0", body: "hello")),
        .refuses([400], "a list of one length twice", post("Content-Length: 5, 5", body: "hello")),
        .refuses([400], "a list of two lengths", post("Content-Length: 5, 6", body: "hello")),
        .refuses([400], "a list with a gap", post("Content-Length: 5,", body: "hello")),
        .refuses(
            [400], "one length twice", post("Content-Length: 5", "Content-Length: 5", body: "hello")
        ),
        .refuses(
            [400], "two lengths", post("Content-Length: 5", "Content-Length: 6", body: "hello!")),
        .refuses(
            [400], "two lengths, the smaller last",
            post("Content-Length: 6", "Content-Length: 5", body: "hello!")),
        .refuses(
            [400], "two lengths in other letters",
            post("Content-Length: 5", "content-length: 6", body: "hello!")),
        .refuses(
            [400], "two lengths apart",
            post("Content-Length: 0", "X-A: 1", "Content-Length: 5", body: "hello")),
        .refuses(
            [400], "a space before the length's colon", post("Content-Length : 5", body: "hello")),
        .refuses([400], "a folded length", post("Content-Length:", " 5", body: "hello")),
        .refuses([400, 413], "2^31", post("Content-Length: 2147483648", body: "hello")),
        .refuses([400, 413], "2^32 + 5", post("Content-Length: 4294967301", body: "hello")),
        .refuses(
            [400, 413], "2^63 - 1", post("Content-Length: 9223372036854775807", body: "hello")),
        .refuses([400, 413], "2^63", post("Content-Length: 9223372036854775808", body: "hello")),
        .refuses([400, 413], "2^64", post("Content-Length: 18446744073709551616", body: "hello")),
        .refuses(
            [400, 413], "2^64 + 5", post("Content-Length: 18446744073709551621", body: "hello")),
        .refuses(
            [400, 413], "a length of 300 digits",
            post("Content-Length: " + long(300, of: "9"), body: "")),
        .refuses([400], "a bad length behind GET", get("Content-Length: x")),
    ]

    static let codings: [Hostile] = [
        .serves(200, "chunked", chunks("5\r\nhello\r\n0\r\n\r\n")),
        .serves(
            200, "chunked in capitals",
            post("Transfer-Encoding: CHUNKED", body: "5\r\nhello\r\n0\r\n\r\n")),
        .serves(
            200, "chunked without a space", post("Transfer-Encoding:chunked", body: "0\r\n\r\n")),
        .serves(
            200, "chunked behind a tab", post("Transfer-Encoding: \tchunked", body: "0\r\n\r\n")),
        .serves(
            200, "chunked before spaces", post("Transfer-Encoding: chunked  ", body: "0\r\n\r\n")),
        .serves(
            200, "chunked behind GET", get("Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n"
        ),
        .serves(
            200, "a name that only looks like a coding",
            post("Transfer_Encoding: chunked", "Content-Length: 5", body: "hello")),
        .refuses(
            [400], "a length and chunked (CL.TE)",
            post("Content-Length: 6", "Transfer-Encoding: chunked", body: "0\r\n\r\nG")),
        .refuses(
            [400], "chunked and a length (TE.CL)",
            post(
                "Transfer-Encoding: chunked", "Content-Length: 3",
                body: "8\r\nSMUGGLED\r\n0\r\n\r\n")),
        .refuses(
            [400], "chunked and a length of zero",
            post("Transfer-Encoding: chunked", "Content-Length: 0", body: "0\r\n\r\n")),
        .refuses(
            [400], "chunked and a true length",
            post(
                "Transfer-Encoding: chunked", "Content-Length: 15", body: "5\r\nhello\r\n0\r\n\r\n")
        ),
        .refuses(
            [400, 501], "a length and identity",
            post("Content-Length: 5", "Transfer-Encoding: identity", body: "hello")),
        .refuses([400, 501], "identity", post("Transfer-Encoding: identity", body: "hello")),
        .refuses([400, 501], "no coding", post("Transfer-Encoding:", body: "0\r\n\r\n")),
        .refuses([400, 501], "xchunked", post("Transfer-Encoding: xchunked", body: "0\r\n\r\n")),
        .refuses([400, 501], "chunkedx", post("Transfer-Encoding: chunkedx", body: "0\r\n\r\n")),
        .refuses([400, 501], "chunk", post("Transfer-Encoding: chunk", body: "0\r\n\r\n")),
        .refuses(
            [400, 501], "a coding nobody knows", post("Transfer-Encoding: cow", body: "0\r\n\r\n")),
        .refuses(
            [501], "gzip, chunked", post("Transfer-Encoding: gzip, chunked", body: "0\r\n\r\n")),
        .refuses([400, 501], "gzip", post("Transfer-Encoding: gzip", body: "")),
        .refuses(
            [400, 501], "chunked, gzip", post("Transfer-Encoding: chunked, gzip", body: "0\r\n\r\n")
        ),
        .refuses(
            [400, 501], "chunked, identity",
            post("Transfer-Encoding: chunked, identity", body: "0\r\n\r\n")),
        .refuses(
            [400, 501], "identity, chunked",
            post("Transfer-Encoding: identity, chunked", body: "0\r\n\r\n")),
        .refuses(
            [400, 501], "chunked, chunked",
            post("Transfer-Encoding: chunked, chunked", body: "0\r\n\r\n")),
        .refuses(
            [400, 501], "chunked twice",
            post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body: "0\r\n\r\n")),
        .refuses(
            [400, 501], "chunked, then identity",
            post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body: "0\r\n\r\n")),
        .refuses(
            [400, 501], "cow, then chunked",
            post("Transfer-Encoding: cow", "Transfer-Encoding: chunked", body: "0\r\n\r\n")),
        .refuses(
            [400, 501], "a gap before chunked",
            post("Transfer-Encoding: , chunked", body: "0\r\n\r\n")),
        .refuses(
            [400, 501], "a gap behind chunked",
            post("Transfer-Encoding: chunked,", body: "0\r\n\r\n")),
        .refuses(
            [400, 501], "a quoted coding", post("Transfer-Encoding: \"chunked\"", body: "0\r\n\r\n")
        ),
        .refuses(
            [400, 501], "a parameter behind chunked",
            post("Transfer-Encoding: chunked;a=1", body: "0\r\n\r\n")),
        .refuses(
            [400], "a vertical tab before chunked",
            post("Transfer-Encoding: \u{b}chunked", body: "0\r\n\r\n")),
        .refuses(
            [400], "a form feed behind chunked",
            post("Transfer-Encoding: chunked\u{c}", body: "0\r\n\r\n")),
        .refuses(
            [400], "a NUL behind chunked", post("Transfer-Encoding: chunked\0", body: "0\r\n\r\n")),
        .refuses(
            [400, 501], "a no-break space before chunked",
            post("Transfer-Encoding: \u{a0}chunked", body: "0\r\n\r\n")),
        .refuses(
            [400], "a space before the coding's colon",
            post("Transfer-Encoding : chunked", body: "0\r\n\r\n")),
        .refuses(
            [400], "a space before the coding's name",
            post(" Transfer-Encoding: chunked", body: "0\r\n\r\n")),
        .refuses(
            [400], "a folded coding", post("Transfer-Encoding:", " chunked", body: "0\r\n\r\n")),
        .refuses(
            [400], "a coding behind a bare LF",
            post("X-A: 1\nTransfer-Encoding: chunked", body: "0\r\n\r\n")),
        .refuses(
            [400], "a coding behind a bare CR",
            post("X-A: 1\rTransfer-Encoding: chunked", body: "0\r\n\r\n")),
        .refuses(
            [400], "a coding in HTTP/1.0",
            request("POST /_test/echo HTTP/1.0", ["Host: test", "Transfer-Encoding: chunked"])
                + "0\r\n\r\n"),
        .refuses([400, 501], "a bad coding behind GET", get("Transfer-Encoding: cow")),
    ]

    static let chunkings: [Hostile] = [
        .serves(200, "no chunk but the last", chunks("0\r\n\r\n")),
        .serves(200, "three chunks", chunks("1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n")),
        .serves(200, "a size in capitals", chunks("A\r\n0123456789\r\n0\r\n\r\n")),
        .serves(200, "a size in small letters", chunks("a\r\n0123456789\r\n0\r\n\r\n")),
        .serves(200, "zeros in front of a size", chunks("0005\r\nhello\r\n000\r\n\r\n")),
        .either(
            [200, 400], "thirty zeros in front of a size",
            chunks(long(30, of: "0") + "5\r\nhello\r\n0\r\n\r\n")),
        .serves(200, "line ends as data", chunks("4\r\n\r\n\r\n\r\n0\r\n\r\n")),
        .serves(200, "an extension", chunks("5;a\r\nhello\r\n0\r\n\r\n")),
        .serves(200, "an extension with a value", chunks("5;a=b;c=d\r\nhello\r\n0;e\r\n\r\n")),
        .serves(200, "an extension in quotes", chunks("5;a=\"b;\\\"c\"\r\nhello\r\n0\r\n\r\n")),
        .either(
            [200, 400], "spaces around an extension", chunks("5 ; a = b\r\nhello\r\n0\r\n\r\n")),
        .either([200, 400], "an extension without a name", chunks("5;\r\nhello\r\n0\r\n\r\n")),
        .serves(
            200, "chunks up to the limit",
            chunks("10000\r\n" + long(65536) + "\r\n10000\r\n" + long(65536) + "\r\n0\r\n\r\n")),
        .refuses(
            [413], "chunks above the limit",
            chunks("10000\r\n" + long(65536) + "\r\n10001\r\n" + long(65537) + "\r\n0\r\n\r\n")),
        .refuses([413], "a chunk above the limit", chunks("20001\r\n")),
        .refuses([400], "no size", chunks("\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "only an extension", chunks(";a\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a size that is no number", chunks("g\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a size with a prefix", chunks("0x5\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a size with a plus", chunks("+5\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a size with a minus", chunks("-5\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a last chunk with a minus", chunks("-0\r\n\r\n")),
        .refuses([400], "a size with a fraction", chunks("5.0\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a size with a separator", chunks("0_5\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a space before a size", chunks(" 5\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a space behind a size", chunks("5 \r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a tab behind a size", chunks("5\t\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a word behind a size", chunks("5 a\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a comma behind a size", chunks("5,a\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a NUL behind a size", chunks("5\0\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a bare LF behind a size", chunks("5\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a bare CR behind a size", chunks("5\rhello\r\n0\r\n\r\n")),
        .refuses([400], "CR CR LF behind a size", chunks("5\r\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a bare LF behind an extension", chunks("5;a\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a bare CR in an extension", chunks("5;a\rb\r\nhello\r\n0\r\n\r\n")),
        .refuses(
            [400], "a bare LF in a quoted extension", chunks("5;a=\"\n\"\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a NUL in an extension", chunks("5;a=\0\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "data longer than its size", chunks("5\r\nhello!\r\n0\r\n\r\n")),
        .refuses([400], "data much longer than its size", chunks("5\r\nhello!!!\r\n0\r\n\r\n")),
        .refuses([400], "data shorter than its size", chunks("8\r\nhello\r\n0\r\n\r\n")),
        .refuses([400], "a bare LF behind data", chunks("5\r\nhello\n0\r\n\r\n")),
        .refuses([400], "a bare CR behind data", chunks("5\r\nhello\r0\r\n\r\n")),
        .refuses([400], "nothing behind data", chunks("5\r\nhello0\r\n\r\n")),
        .refuses([400], "a bare LF behind the last size", chunks("0\n\r\n")),
        .refuses([400], "a bare LF behind the last chunk", chunks("5\r\nhello\r\n0\r\n\n")),
        .refuses([400, 413], "a size of 2^32", chunks("100000000\r\nhello\r\n0\r\n\r\n")),
        .refuses(
            [400, 413], "a size of 2^63 - 1", chunks("7FFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n")),
        .refuses(
            [400, 413], "a size of 2^64 - 1", chunks("FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n")),
        .refuses(
            [400, 413], "a size of 2^64 + 5", chunks("10000000000000005\r\nhello\r\n0\r\n\r\n")),
        .refuses([400, 413], "a size of 100 digits", chunks(long(100, of: "F") + "\r\n")),
        .refuses(
            [400, 413], "sizes whose sum overflows", chunks("5\r\nhello\r\nFFFFFFFFFFFFFFFB\r\n")),
        .refuses(
            [400, 413, 431], "an extension of 20 KB",
            chunks("5;a=" + long(20480) + "\r\nhello\r\n0\r\n\r\n")),
        .refuses([400, 413, 431], "an extension without an end", chunks("5;" + long(40960))),
        .refuses([400, 413, 431], "zeros without an end", chunks(long(40960, of: "0"))),
    ]

    static let trailers: [Hostile] = [
        .serves(200, "a trailer", chunks("5\r\nhello\r\n0\r\nX-A: 1\r\n\r\n")),
        .serves(200, "two trailers", chunks("0\r\nX-A: 1\r\nX-B: 2\r\n\r\n")),
        .either([200, 400], "a length as a trailer", chunks("0\r\nContent-Length: 5\r\n\r\n")),
        .either(
            [200, 400], "a coding as a trailer", chunks("0\r\nTransfer-Encoding: chunked\r\n\r\n")),
        .either([200, 400], "a Host as a trailer", chunks("0\r\nHost: other\r\n\r\n")),
        .refuses([400], "a trailer without a colon", chunks("0\r\nX-A\r\n\r\n")),
        .refuses([400], "a trailer without a name", chunks("0\r\n: 1\r\n\r\n")),
        .refuses([400], "a space before a trailer's colon", chunks("0\r\nX-A : 1\r\n\r\n")),
        .refuses([400], "a folded trailer", chunks("0\r\nX-A: 1\r\n 2\r\n\r\n")),
        .refuses([400], "a bare LF behind a trailer", chunks("0\r\nX-A: 1\n\r\n")),
        .refuses([400], "a NUL in a trailer", chunks("0\r\nX-A: \0\r\n\r\n")),
        .refuses([400], "a request instead of an end", chunks("0\r\nGET /health HTTP/1.1\r\n\r\n")),
        .refuses(
            [400, 431], "a trailer of 20 KB", chunks("0\r\nX-A: " + long(20480) + "\r\n\r\n")),
        .either(
            [200, 400, 431], "a thousand trailers, 8 KB together",
            chunks("0\r\n" + long(1000, of: "X-A: 1\r\n") + "\r\n")),
        .refuses([400, 431], "a trailer without an end", chunks("0\r\nX-A: " + long(40960))),
    ]

    static let expectations: [Hostile] = [
        .serves(
            200, "100-continue", post("Expect: 100-continue", "Content-Length: 5", body: "hello")),
        .serves(
            200, "100-continue in capitals",
            post("Expect: 100-Continue", "Content-Length: 5", body: "hello")),
        .serves(
            200, "100-continue and chunks",
            post(
                "Expect: 100-continue", "Transfer-Encoding: chunked",
                body: "5\r\nhello\r\n0\r\n\r\n")),
        .serves(200, "100-continue without a body", get("Expect: 100-continue")),
        .inOrder(
            [200], .closes, "100-continue in HTTP/1.0",
            request(
                "POST /_test/echo HTTP/1.0",
                ["Host: test", "Expect: 100-continue", "Content-Length: 5"]) + "hello"),
        .either([417], "an expectation nobody knows", get("Expect: 200-ok")),
        .either([417], "an expectation besides 100-continue", get("Expect: 100-continue, x=1")),
        .either([417], "a word that begins like 100-continue", get("Expect: 100-continues")),
        .either([200, 417], "an empty expectation", get("Expect:")),
        .refuses(
            [413], "100-continue for too large a body",
            post("Expect: 100-continue", "Content-Length: 131073", body: "")),
        .refuses(
            [400], "100-continue for a bad length",
            post("Expect: 100-continue", "Content-Length: -1", body: "")),
    ]

    static let pipelines: [Hostile] = [
        .inOrder([200, 200], .serves, "two requests", get() + get()),
        .inOrder(
            [200, 404, 200], .serves, "an unknown path between two", get() + target("/x") + get()),
        .inOrder(
            [405, 200], .serves, "a wrong method before a request",
            line("DELETE /health HTTP/1.1") + get()),
        .inOrder(
            [200, 200], .serves, "a body before a request",
            post("Content-Length: 5", body: "hello") + get()),
        .inOrder(
            [200, 200], .serves, "chunks before a request",
            chunks("5\r\nhello\r\n0\r\n\r\n") + get()),
        .inOrder(
            [200, 200], .serves, "trailers before a request", chunks("0\r\nX-A: 1\r\n\r\n") + get()),
        .inOrder(
            [405, 200], .serves, "an unwanted body before a request",
            "POST /health HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello" + get()),
        .inOrder(
            [404, 200], .serves, "unwanted chunks before a request",
            "POST /x/y HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                + get()),
        .inOrder([200, 200], .serves, "an empty line between two", get() + "\r\n" + get()),
        .inOrder(
            [200, 200, 200], .serves, "a stream between two",
            get() + target("/_test/stream?n=100000") + get()),
        .inOrder(
            [Int](repeating: 200, count: 100), .serves, "a hundred requests", long(100, of: get())),
        .inOrder([200, 400], .closes, "a bad request behind a good one", get() + get("X : 1")),
        .inOrder([400], .closes, "a bad request before a good one", get("X : 1") + get()),
        .inOrder(
            [400], .closes, "a bad length before a good request",
            post("Content-Length: 5, 5", body: "hello") + get()),
        .inOrder([200], .closes, "close before a request", get("Connection: close") + get()),
        .inOrder([200], .closes, "HTTP/1.0 before a request", line("GET /health HTTP/1.0") + get()),
        .inOrder(
            [200, 400], .closes, "a length one too short",
            post("Content-Length: 4", body: "helloGET (") + get()),
        .inOrder(
            [200, 501], .either, "bytes glued before a request",
            post("Content-Length: 5", body: "hello!!") + get()),
        .inOrder(
            [413], .closes, "too large a body before a request",
            post("Content-Length: 131073", body: "") + get()),
        .inOrder(
            [200, 505], .closes, "another version behind a good request",
            get() + line("GET /health HTTP/2.0")),
        Hostile(
            name: "HEAD before GET", bytes: bytes(line("HEAD /health HTTP/1.1") + get()),
            answers: [Answer(statuses: [200], toHead: true), Answer(statuses: [200])],
            after: .serves),
        Hostile(
            name: "HEAD of a stream before GET",
            bytes: bytes(line("HEAD /_test/stream?n=1000 HTTP/1.1") + get()),
            answers: [Answer(statuses: [200], toHead: true), Answer(statuses: [200])],
            after: .serves),
        .toHead([404], "HEAD of nothing", line("HEAD /nothing HTTP/1.1")),
        .toHead([405], "HEAD where it is not allowed", line("HEAD /_test/echo HTTP/1.1")),
        .serves(
            200, "an upgrade to h2c is not taken",
            get(
                "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
                "HTTP2-Settings: AAMAAABkAAQAAP__")),
        .serves(200, "an upgrade to something", get("Connection: Upgrade", "Upgrade: foo/2")),
    ]

    static let protocols: [Hostile] = [
        .dropped(
            "a TLS hello",
            "\u{16}\u{3}\u{1}\0\u{2e}\u{1}\0\0\u{2a}\u{3}\u{3}" + long(32, of: "\u{5a}")
                + "\0\0\u{2}\u{13}\u{1}\u{1}\0"),
        .dropped("an SSL 2 hello", "\u{80}\u{2e}\u{1}\0\u{2}\0\u{15}\0\0\0\u{10}\r\n\r\n"),
        .dropped("a peer's greeting", "needletail/1 nobody\r\n\r\n"),
        .dropped("a preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        .dropped("SSH", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        .dropped("SMTP", "EHLO test\r\n\r\n"),
        .dropped("a proxy's greeting", "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + get()),
        .dropped(
            "a proxy's binary greeting",
            "\r\n\r\n\0\r\nQUIT\n\u{21}\u{11}\0\u{c}" + long(12, of: "\u{1}")),
        .dropped("NULs", long(64, of: "\0")),
        .dropped(
            "all high bytes",
            String(String.UnicodeScalarView((128...255).map { Unicode.Scalar(UInt8($0)) }))),
        .dropped(
            "all bytes from zero on",
            String(String.UnicodeScalarView((0...255).map { Unicode.Scalar(UInt8($0)) }))),
        .dropped("JSON", "{\"a\":1}\r\n\r\n"),
        .dropped("XML", "<?xml version=\"1.0\"?>\r\n\r\n"),
        .dropped("an answer instead of a request", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ]

    static let earlyEnds: [Hostile] = [
        .ends([400, 408], "nothing at all", ""),
        .ends([400, 408], "only an empty line", "\r\n"),
        .ends([400, 408], "half a method", "GE"),
        .ends([400, 408], "half a target", "GET /hea"),
        .ends([400, 408], "a CR at the end", "GET /health HTTP/1.1\r"),
        .ends([400, 408], "no header", "GET /health HTTP/1.1\r\n"),
        .ends([400, 408], "half a header", "GET /health HTTP/1.1\r\nHost: te"),
        .ends([400, 408], "no empty line", "GET /health HTTP/1.1\r\nHost: test\r\n"),
        .ends([400, 408], "half an empty line", "GET /health HTTP/1.1\r\nHost: test\r\n\r"),
        .ends([400, 408], "half a body", post("Content-Length: 10", body: "hello")),
        .ends([400, 408], "no body", post("Content-Length: 10", body: "")),
        .ends([400, 408], "half a chunk", chunks("A\r\nhello")),
        .ends([400, 408], "half a chunk size", chunks("A")),
        .ends([400, 408], "no last chunk", chunks("5\r\nhello\r\n")),
        .ends([400, 408], "no end behind the last chunk", chunks("5\r\nhello\r\n0\r\n")),
        .ends([400, 408], "half a trailer", chunks("0\r\nX-A: ")),
        .ends(
            [100, 400, 408], "no body behind an expectation",
            post("Expect: 100-continue", "Content-Length: 5", body: "")),
        Hostile(
            name: "a request, then the end", bytes: bytes(get()),
            answers: [Answer(statuses: [200])], after: .closes, ends: true),
        Hostile(
            name: "a request and half of one", bytes: bytes(get() + "GET /hea"),
            answers: [Answer(statuses: [200]), Answer(statuses: [400, 408])], after: .closes,
            ends: true),
    ]
}
