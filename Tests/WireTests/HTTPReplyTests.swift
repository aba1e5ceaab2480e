import Testing

@testable import Wire

/// What `body` writes, in memory of exactly `capacity` bytes.
func written(_ capacity: Int = 512, _ body: (inout ByteWriter) -> Void) -> String {
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    defer { memory.deallocate() }
    var writer = ByteWriter(memory, capacity: capacity)
    body(&writer)
    return String(decoding: writer.written, as: UTF8.self)
}

@Suite("HTTP replies") struct HTTPReplyTests {
    static let date = HTTPDate(epochSeconds: 784_111_777)

    @Test func `a reply's head is what curl shows`() {
        let text = written {
            HTTPReplyHead.write(
                .ok, contentType: "application/json", contentLength: 20, keepAlive: true,
                date: Self.date, into: &$0)
        }
        #expect(
            text == """
                HTTP/1.1 200 OK\r
                Date: Sun, 06 Nov 1994 08:49:37 GMT\r
                Content-Type: application/json\r
                Content-Length: 20\r
                \r\n
                """)
    }

    @Test func `says how the connection goes on where the client could not know`() {
        func connection(_ keepAlive: Bool, _ minorVersion: UInt8) -> String {
            let text = written {
                HTTPReplyHead.write(
                    .notFound, contentType: "text/plain", contentLength: 0, keepAlive: keepAlive,
                    minorVersion: minorVersion, date: Self.date, into: &$0)
            }
            #expect(text.hasPrefix("HTTP/1.1 404 Not Found\r\n"))
            let line = text.split(separator: "\r\n").first { $0.hasPrefix("Connection") }
            return line.map(String.init) ?? ""
        }
        #expect(connection(true, 1) == "")
        #expect(connection(false, 1) == "Connection: close")
        #expect(connection(true, 0) == "Connection: keep-alive")
        #expect(connection(false, 0) == "Connection: close")
    }

    @Test func `adds fields of any kind to a head`() {
        let text = written { writer in
            HTTPReplyHead.start(.created, keepAlive: true, date: Self.date, into: &writer)
            HTTPReplyHead.field("ETag", "\"1\"", into: &writer)
            HTTPReplyHead.field("Retry-After", decimal: 60, into: &writer)
            let bytes = Array("abc".utf8)
            HTTPReplyHead.field("X-Name", bytes.span.bytes, into: &writer)
            HTTPReplyHead.framing(.chunked, into: &writer)
            HTTPReplyHead.framing(.none, into: &writer)
            HTTPReplyHead.finish(into: &writer)
        }
        #expect(
            text == """
                HTTP/1.1 201 Created\r
                Date: Sun, 06 Nov 1994 08:49:37 GMT\r
                ETag: "1"\r
                Retry-After: 60\r
                X-Name: abc\r
                Transfer-Encoding: chunked\r
                \r\n
                """)
        let length = written { HTTPReplyHead.framing(.length(.max), into: &$0) }
        #expect(length == "\r\nContent-Length: 18446744073709551615")
    }

    @Test func `the largest head fits the room it asks for`() {
        for status in HTTPStatus.allCases {
            for (keepAlive, minorVersion) in [(false, UInt8(1)), (true, 0)] {
                let text = written(HTTPReplyHead.bytesMax) {
                    HTTPReplyHead.write(
                        status, contentType: "", contentLength: .max, keepAlive: keepAlive,
                        minorVersion: minorVersion, date: Self.date, into: &$0)
                }
                #expect(text.hasPrefix("HTTP/1.1 \(status.rawValue) "))
                #expect(text.hasSuffix("\r\n\r\n"))
            }
        }
    }

    @Test func `knows the reason of every status`() {
        for status in HTTPStatus.allCases {
            let reason = String(decoding: status.reason, as: UTF8.self)
            #expect("HTTP/1.1 \(status.rawValue) \(reason)\r\n" == "\(status.line)")
            #expect(!reason.isEmpty)
        }
        #expect(HTTPStatus.ok.allowsBody)
        #expect(!HTTPStatus.noContent.allowsBody)
        #expect(!HTTPStatus.notModified.allowsBody)
        #expect(!HTTPStatus.continue.allowsBody)
    }

    @Test func `a field's value from outside must hold no control characters`() {
        func isSafe(_ text: String) -> Bool { HTTPReplyHead.isSafe(Array(text.utf8).span.bytes) }
        #expect(isSafe("text/html; charset=utf-8"))
        #expect(isSafe(""))
        #expect(!isSafe("a\r\nSet-Cookie: x"))
        #expect(!isSafe("a value that is long enough for lanes\n"))
        #expect(!isSafe("\u{7F}"))
    }

    @Test func `frames a streamed body so that the decoder gives it back`() {
        let parts = ["hello", " ", String(repeating: "x", count: 300)]
        let text = written(1024) { writer in
            for part in parts {
                HTTPChunkWriter.head(part.utf8.count, into: &writer)
                writer.write(Array(part.utf8).span.bytes)
                HTTPChunkWriter.tail(into: &writer)
            }
            HTTPChunkWriter.last(into: &writer)
        }
        #expect(text.hasPrefix("5\r\nhello\r\n1\r\n \r\n12c\r\nxxx"))
        let decoded = unchunk([Array(text.utf8)])
        #expect(decoded == Unchunked(body: Array(parts.joined().utf8), end: "end"))
    }

    // MARK: Dates

    @Test(arguments: [
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
        (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
        (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 GMT"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (Int64.max, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (-62_135_596_800, "Mon, 01 Jan 0001 00:00:00 GMT"),
        (Int64.min, "Mon, 01 Jan 0001 00:00:00 GMT"),
    ])
    func `writes a date as HTTP does`(_ seconds: Int64, _ text: String) {
        #expect(written { $0.write(HTTPDate(epochSeconds: seconds)) } == text)
    }

    @Test func `every day of four hundred years follows the one before`() {
        let names = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
        let months = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ]
        var (year, month, day) = (1970, 0, 1)
        for count in 0..<146_097 {
            let text = written(29) { $0.write(HTTPDate(epochSeconds: Int64(count) * 86_400)) }
            let pad = day < 10 ? "0" : ""
            let wanted = "\(names[count % 7]), \(pad)\(day) \(months[month]) \(year) 00:00:00 GMT"
            if text != wanted {
                #expect(text == wanted)
                return
            }
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            let days = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
            day += 1
            if day > days[month] { (month, day) = (month + 1, 1) }
            if month == 12 { (year, month) = (year + 1, 0) }
        }
        #expect(year == 2370)
    }
}

@Suite("Byte writer") struct ByteWriterTests {
    @Test(arguments: [
        (UInt64(0), "0"), (7, "7"), (10, "10"), (99, "99"), (100, "100"), (999, "999"),
        (1000, "1000"), (9999, "9999"), (10_000, "10000"), (99_999, "99999"),
        (100_000, "100000"), (8_388_608, "8388608"), (UInt64.max, "18446744073709551615"),
    ])
    func `writes numbers in decimal`(_ number: UInt64, _ text: String) {
        #expect(written { $0.write(decimal: number) } == text)
        #expect(ByteWriter.decimalDigits(of: number) == text.utf8.count)
    }

    @Test func `writes any number as Swift does, with room to spare and without`() {
        var number: UInt64 = 1
        for step in 0..<2000 {
            number = number &* 6_364_136_223_846_793_005 &+ UInt64(step)
            for value in [number, number >> UInt64(step % 64), UInt64(step), UInt64(step) * 10_007]
            {
                let text = "\(value)"
                #expect(written(text.utf8.count) { $0.write(decimal: value) } == text)
                #expect(written { $0.write(decimal: value) } == text)
                #expect(ByteWriter.decimalDigits(of: value) == text.utf8.count)
                let hex = String(value, radix: 16)
                #expect(
                    written { $0.writeHex16(value) }
                        == String(repeating: "0", count: 16 - hex.count) + hex)
            }
        }
    }

    @Test(arguments: [1_000_000_000_000, 1_764_115_200_123, 9_999_999_999_999] as [UInt64])
    func `writes a time`(_ time: UInt64) {
        #expect(DigitText.isTime(time))
        #expect(!DigitText.isTime(time % 1_000_000_000_000))
        #expect(!DigitText.isTime(time * 10))
        let text = written { DigitText.writeTime(time, to: $0.reserve(13)) }
        #expect(text == "\(time)")
    }

    @Test func `writes negative numbers`() {
        #expect(written { $0.write(decimal: -42) } == "-42")
        #expect(written { $0.write(decimal: Int.min) } == "-9223372036854775808")
    }

    @Test(arguments: [
        (UInt64(0), "0"), (1, "1"), (15, "f"), (16, "10"), (255, "ff"), (256, "100"),
        (0xDEAD_BEEF, "deadbeef"), (UInt64.max, "ffffffffffffffff"),
    ])
    func `writes numbers in hexadecimal`(_ number: UInt64, _ text: String) {
        #expect(written { $0.write(hex: number) } == text)
    }

    @Test func `writes hexadecimal digits of a fixed number`() {
        #expect(written { $0.writeHex(0xABC, digits: 8) } == "00000abc")
        #expect(written { $0.writeHex(0xABC, digits: 2) } == "bc")
    }

    @Test func `knows how much room is left, and goes back`() {
        let text = written(10) { writer in
            writer.write("hello")
            #expect(writer.remaining == 5)
            #expect(writer.hasRoom(5))
            #expect(!writer.hasRoom(6))
            writer.rewind(to: 1)
            writer.write(byte: 0x69)
            writer.writeLineEnd()
        }
        #expect(text == "hi\r\n")
    }

    @Test func `stops the process rather than write past its room`() async {
        await #expect(processExitsWith: .signal(6)) {
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 4)
            var writer = ByteWriter(memory, capacity: 4)
            writer.write("hello")
        }
    }
}
