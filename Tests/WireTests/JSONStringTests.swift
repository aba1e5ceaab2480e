import Testing

@testable import Wire

@Suite("JSON strings and numbers") struct JSONStringTests {
    @Test(arguments: [
        ("\"\"", ""), ("\"plain\"", "plain"), ("\"\\\"\\\\\\/\"", "\"\\/"),
        ("\"\\b\\f\\n\\r\\t\"", "\u{8}\u{C}\n\r\t"),
        ("\"\\u0041\\u00e9\\u20AC\"", "Aé€"), ("\"\\ud83d\\ude00\"", "😀"),
        ("\"\\uDBFF\\uDFFF\"", "\u{10FFFF}"),
        ("\"\\ud800\\udc00\"", "\u{10000}"), ("\"\\u0000x\"", "\u{0}x"),
        ("\"\\u007f\\u0080\"", "\u{7F}\u{80}"),
        ("\"\\u07ff\\u0800\"", "\u{7FF}\u{800}"), ("\"\\uffff\"", "\u{FFFF}"), ("\"é😀\"", "é😀"),
        (
            "\"a run longer than sixteen bytes\\nand another one\"",
            "a run longer than sixteen bytes\nand another one"
        ),
    ])
    func `decodes to what it stands for`(_ raw: String, _ text: String) {
        #expect(decoded(Array(raw.utf8)) == Array(text.utf8))
        let wanted = Array(text.utf8)
        #expect(decodes(raw, wanted))
        #expect(!decodes(raw, wanted + [0x61]))
        #expect(wanted.isEmpty || !decodes(raw, Array(wanted.dropLast())))
    }

    @Test(arguments: [
        "", "\"", "a", "\"a", "a\"", "\"a\"b", "\"a\" ", " \"a\"", "\"\"\"", "\"\\\"", "\"\\x\"",
        "\"\\u12\"", "\"\\ud800\"",
        "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"a\nb\"", "\"\\ud83d\\ude0\"", "'a'",
    ])
    func `does not decode what is no JSON string`(_ raw: String) {
        #expect(decoded(Array(raw.utf8)) == nil)
        #expect(!decodes(raw, Array("a".utf8)))
    }

    @Test func `decodes only into room enough`() {
        for raw in ["\"abc\"", "\"a\\u20AC\"", "\"\\ud83d\\ude00\"", "\"\\n\""] {
            let bytes = Array(raw.utf8)
            let whole = decoded(bytes)!
            for room in 0..<whole.count { #expect(decoded(bytes, room: room) == nil) }
            #expect(decoded(bytes, room: whole.count) == whole)
            bytes.withUnsafeBytes { #expect(JSONString.decodedCountMax($0) >= whole.count) }
        }
    }

    @Test(arguments: [
        ("", "\"\""), ("a", "\"a\""), ("\"\\", "\"\\\"\\\\\""), ("/", "\"/\""),
        ("\u{8}\t\n\u{C}\r", "\"\\b\\t\\n\\f\\r\""),
        ("\u{0}\u{1}\u{B}\u{1F}", "\"\\u0000\\u0001\\u000b\\u001f\""),
        ("\u{7F}é€😀", "\"\u{7F}é€😀\""),
        ("</script>\u{2028}", "\"</script>\u{2028}\""),
        (
            "sixteen bytes or more before a \" and after it",
            "\"sixteen bytes or more before a \\\" and after it\""
        ),
    ])
    func `escapes no more than it must`(_ text: String, _ raw: String) {
        #expect(encoded(Array(text.utf8)) == Array(raw.utf8))
    }

    @Test func `what is encoded is valid JSON and decodes to the same, in exactly its room`() {
        var random = JSONRandom(seed: 4)
        let parts = [
            "a", "\"", "\\", "\n", "\u{0}", "\u{1F}", "é", "😀", "a longer run of plain characters",
        ]
        for _ in 0..<5_000 {
            let text = Array((0..<random.below(12)).map { _ in random.pick(parts) }.joined().utf8)
            let raw = encoded(text)!
            #expect(verdict(raw) == .valid)
            #expect(decoded(raw) == text)
            let short = text.withUnsafeBytes { bytes in
                withUnsafeTemporaryAllocation(byteCount: raw.count - 1, alignment: 1) {
                    JSONString.encode(bytes, into: $0)
                }
            }
            #expect(short == nil)
        }
    }

    @Test(arguments: [
        ("0", JSONNumber.Integer.exact(0)), ("-0", .exact(0)), ("7", .exact(7)),
        ("-12", .exact(-12)),
        ("9007199254740993", .exact(9_007_199_254_740_993)),
        ("9223372036854775807", .exact(.max)), ("-9223372036854775808", .exact(.min)),
        ("9223372036854775808", .overflow), ("-9223372036854775809", .overflow),
        ("18446744073709551616", .overflow), ("100000000000000000000000000", .overflow),
        ("92233720368547758070", .overflow), ("1.0", .notInteger), ("1e3", .notInteger),
        ("99999999999999999999.5", .notInteger), ("", .notInteger), ("-", .notInteger),
        ("+1", .notInteger),
        ("01", .notInteger), ("-01", .notInteger), ("00", .notInteger), (" 1", .notInteger),
        ("1 ", .notInteger), ("1a", .notInteger), ("\"1\"", .notInteger), ("--1", .notInteger),
    ])
    func `reads integers exactly or not at all`(_ text: String, _ value: JSONNumber.Integer) {
        Array(text.utf8).withUnsafeBytes { #expect(JSONNumber.integer($0) == value) }
    }

    private func decoded(_ raw: [UInt8], room: Int? = nil) -> [UInt8]? {
        raw.withUnsafeBytes { raw in
            withUnsafeTemporaryAllocation(byteCount: room ?? raw.count, alignment: 1) { output in
                JSONString.decode(raw, into: output).map { Array(output[..<$0]) }
            }
        }
    }

    private func decodes(_ raw: String, _ text: [UInt8]) -> Bool {
        Array(raw.utf8).withUnsafeBytes { raw in
            text.withUnsafeBytes { JSONString.decodes(raw, to: $0) }
        }
    }

    private func encoded(_ text: [UInt8]) -> [UInt8]? {
        text.withUnsafeBytes { text in
            let count = JSONString.encodedCount(text)
            return withUnsafeTemporaryAllocation(byteCount: count, alignment: 1) { output in
                JSONString.encode(text, into: output) == count ? Array(output[..<count]) : nil
            }
        }
    }
}
