import Testing

@testable import Wire

func decoded(_ text: String, _ part: Percent.Part) -> [UInt8]? {
    let bytes = Array(text.utf8)
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
    defer { memory.deallocate() }
    var writer = ByteWriter(memory, capacity: bytes.count)
    guard let count = Percent.decode(bytes.span.bytes, as: part, into: &writer) else {
        #expect(writer.count == 0)
        return nil
    }
    #expect(count == writer.count)
    return Array(writer.written)
}

func encoded(_ bytes: [UInt8]) -> String {
    written(bytes.count * 3) { Percent.encode(bytes.span.bytes, into: &$0) }
}

@Suite("Percent-encoding") struct PercentTests {
    @Test(arguments: [
        ("", ""), ("abc", "abc"), ("a%2Fb", "a/b"), ("a%2fb", "a/b"), ("%41%42%43", "ABC"),
        ("a+b", "a+b"), ("%2B", "+"), ("%25", "%"), ("%2525", "%25"), ("%00", "\u{0}"),
        ("a plain text of more than sixteen bytes", "a plain text of more than sixteen bytes"),
        ("seventeen bytes..%20then", "seventeen bytes.. then"), ("gr%C3%BCn", "grün"),
        ("grün", "grün"), ("%7e~", "~~"),
    ])
    func `decodes a path, where a plus is a plus`(_ text: String, _ wanted: String) {
        #expect(decoded(text, .path) == Array(wanted.utf8))
    }

    @Test(arguments: [
        ("a+b", "a b"), ("+", " "), ("a%2Bb", "a+b"), ("%2b+%20", "+  "), ("++++", "    "),
        ("a text of sixteen+bytes", "a text of sixteen bytes"),
    ])
    func `decodes a query, where a plus is a space`(_ text: String, _ wanted: String) {
        #expect(decoded(text, .query) == Array(wanted.utf8))
    }

    @Test(arguments: [
        "%", "%2", "a%", "a%4", "%zz", "%4z", "%z4", "%%41", "% 41", "%+1", "%-1", "%0x41",
        "%g0", "%0g", "%\u{0}0", "%:0", "%/0", "%@0", "%`0", "sixteen bytes and a %",
    ])
    func `refuses a percent sign without two hexadecimal digits`(_ text: String) {
        #expect(decoded(text, .path) == nil)
        #expect(decoded(text, .query) == nil)
    }

    @Test func `decodes bytes that are no text`() {
        #expect(decoded("%ff%FE%80", .path) == [0xFF, 0xFE, 0x80])
    }

    @Test func `encodes all but letters, digits and four marks`() {
        #expect(encoded(Array("aZ09-._~".utf8)) == "aZ09-._~")
        #expect(encoded(Array("a/b c+d%".utf8)) == "a%2Fb%20c%2Bd%25")
        #expect(encoded([0, 0x7F, 0xFF]) == "%00%7F%FF")
    }

    @Test func `decoding undoes encoding for every byte`() {
        let all = Array(UInt8.min...UInt8.max)
        #expect(decoded(encoded(all), .path) == all)
        #expect(decoded(encoded(all), .query) == all)
        for byte in all {
            let letters = [byte, byte]
            #expect(decoded(encoded(letters), .path) == letters)
        }
    }

    @Test func `can decode where the bytes lie`() {
        let text = Array("a%20b%2Fc and more than sixteen bytes%21".utf8)
        let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.count)
        defer { memory.deallocate() }
        _ = memory.update(fromContentsOf: text)
        var writer = ByteWriter(memory.baseAddress!, capacity: text.count)
        let bytes = UnsafeRawBufferPointer(memory).bytes
        let count = Percent.decode(bytes, as: .path, into: &writer)
        #expect(count == writer.count)
        #expect(
            String(decoding: writer.written, as: UTF8.self)
                == "a b/c and more than sixteen bytes!")
    }

    @Test func `knows when there is nothing to decode`() {
        func isPlain(_ text: String, _ part: Percent.Part) -> Bool {
            Percent.isPlain(Array(text.utf8).span.bytes, as: part)
        }
        #expect(isPlain("abc", .path))
        #expect(isPlain("a+b", .path))
        #expect(!isPlain("a+b", .query))
        #expect(!isPlain("a text of sixteen bytes%20", .path))
    }
}

@Suite("Parts of a request target") struct HTTPTargetPartsTests {
    private func items(_ query: String) -> [String] {
        let bytes = Array("?\(query)&after=1".utf8)
        let range = ByteRange(start: 1, count: UInt32(query.utf8.count))
        var items = QueryItems(range)
        var found: [String] = []
        while let item = items.next(in: bytes.span.bytes) {
            let value = item.hasValue ? "=\(text(item.value, bytes))" : ""
            found.append(text(item.name, bytes) + value)
            #expect(item.hasValue || item.value.isEmpty)
        }
        return found
    }

    private func segments(_ path: String) -> [String] {
        let bytes = Array("\(path)/after".utf8)
        var segments = PathSegments(ByteRange(start: 0, count: UInt32(path.utf8.count)))
        var found: [String] = []
        while let segment = segments.next(in: bytes.span.bytes) {
            found.append(text(segment, bytes))
        }
        return found
    }

    @Test func `walks the items of a query in order`() {
        #expect(items("") == [])
        #expect(items("a=1") == ["a=1"])
        #expect(items("key=a&key=b&prefix=p") == ["key=a", "key=b", "prefix=p"])
        #expect(items("a&b=&=c&=") == ["a", "b=", "=c", "="])
        #expect(items("&&a=1&&&b&") == ["a=1", "b"])
        #expect(items("a=b=c") == ["a=b=c"])
        #expect(items("a%26b=c%3Dd") == ["a%26b=c%3Dd"])
        #expect(
            items("a-name-that-is-longer-than-lanes=and-a-value-too&x") == [
                "a-name-that-is-longer-than-lanes=and-a-value-too", "x",
            ])
    }

    @Test func `walks the segments of a path`() {
        #expect(segments("/") == [""])
        #expect(segments("/a") == ["a"])
        #expect(segments("/t/key/k") == ["t", "key", "k"])
        #expect(segments("/t/key/a%2Fb") == ["t", "key", "a%2Fb"])
        #expect(segments("/a/") == ["a", ""])
        #expect(segments("//a") == ["", "a"])
        #expect(segments("/../.") == ["..", "."])
        #expect(
            segments("/a-segment-longer-than-sixteen/b") == [
                "a-segment-longer-than-sixteen", "b",
            ])
    }

    @Test func `tells what of a path has not been walked`() {
        let bytes = Array("/v1/kv/a/b".utf8)
        var segments = PathSegments(ByteRange(start: 0, count: UInt32(bytes.count)))
        _ = segments.next(in: bytes.span.bytes)
        _ = segments.next(in: bytes.span.bytes)
        #expect(text(segments.rest, bytes) == "a/b")
        _ = segments.next(in: bytes.span.bytes)
        _ = segments.next(in: bytes.span.bytes)
        #expect(segments.rest.isEmpty)
        let next = segments.next(in: bytes.span.bytes)
        #expect(next == nil)
    }

    @Test func `compares bytes with words, with and without regard to case`() {
        let bytes = Array("GET Bearer x".utf8)
        let whole = bytes.span.bytes
        let word = ByteRange(start: 4, count: 6)
        let isBearer = whole.slice(word).equals("Bearer")
        let isLower = whole.slice(word).equals("bearer")
        let isAnyCase = whole.slice(word).equalsIgnoringCase("bearer")
        let isLonger = whole.slice(word).equalsIgnoringCase("bearers")
        #expect(isBearer && !isLower && isAnyCase && !isLonger)
        let beginsGet = whole.begins(with: "GET ")
        let beginsLower = whole.begins(with: "get ")
        let beginsBeyond = whole.slice(word).begins(with: "Bearer x")
        #expect(beginsGet && !beginsLower && !beginsBeyond)
        // Bytes that only a careless fold makes equal.
        let dash = Array("\u{0D}".utf8)
        let isDash = dash.span.bytes.equalsIgnoringCase("-")
        let tick = Array("@".utf8)
        let isTick = tick.span.bytes.equalsIgnoringCase("`")
        #expect(!isDash && !isTick)
        #expect(ByteRange(start: 3, count: 4).moved(by: 5) == ByteRange(start: 8, count: 4))
    }
}
