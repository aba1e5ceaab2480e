import Testing

@testable import Identity

private func parsed(_ value: String) -> AuthorizationHeader {
    AuthorizationHeader.parse(Array(value.utf8).span.bytes)
}

private func digest(_ key: [UInt8]) -> Digest? { APIKey.digest(of: key.span.bytes) }

@Suite("Credentials") struct CredentialTests {
    @Test(arguments: [
        ("Bearer abc", 7..<10), ("bearer abc", 7..<10), ("BEARER   abc  ", 9..<12),
        (" Bearer a.b-c_d~e+f/g== ", 8..<23),
    ])
    func `finds a bearer token`(_ example: (String, Range<Int>)) {
        #expect(parsed(example.0) == .bearer(example.1))
    }

    @Test(arguments: [
        "Basic dXNlcjpwdw==", "Bearer", "Bearer ", "Bearer\tabc", "Bearerabc", "Digest x", "x",
        "bearer: abc", "Beare abc", "Bearers abc", "Négociate abc",
    ])
    func `anything else is another scheme`(_ value: String) {
        #expect(parsed(value) == .other)
    }

    @Test(arguments: ["", " ", " \t "])
    func `nothing is nothing`(_ value: String) {
        #expect(parsed(value) == .none)
    }

    @Test func `an API key is known again by its digest, and any other isn't`() {
        let random: [UInt8] = Array(100..<132)
        let key = APIKey.make(random: random.span.bytes)
        #expect(key.count == APIKey.textCount)
        #expect(String(decoding: key, as: UTF8.self).hasPrefix("ntl_"))
        let kept = digest(key)
        #expect(kept != nil)
        #expect(digest(key) == kept)
        for index in key.indices {
            var changed = key
            changed[index] =
                changed[index] == UInt8(ascii: "A") ? UInt8(ascii: "E") : UInt8(ascii: "A")
            #expect(digest(changed) != kept, "byte \(index)")
        }
        for count in 0..<key.count { #expect(digest(Array(key.prefix(count))) == nil) }
        #expect(digest(key + [65]) == nil)
        var bytes: [UInt8] = []
        kept!.append(to: &bytes)
        #expect(Digest(bytes.span.bytes) == kept)
    }

    @Test func `SHA-256 is the standard's`() {
        var output: [UInt8] = []
        Digest.sha256(Array("abc".utf8).span.bytes).append(to: &output)
        #expect(
            output == hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))
        output = []
        Digest.sha256([UInt8]().span.bytes).append(to: &output)
        #expect(
            output == hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))
    }

    @Test func `scopes have three names`() {
        let scopes = ["read", "write", "admin", "Read", "", "all"].map {
            Scopes(name: Array($0.utf8).span.bytes)
        }
        #expect(scopes == [.read, .write, .admin, nil, nil, nil])
    }

    @Test(arguments: [
        (0, 0, "00000000000000000000000000"), (0, 1, "00000000000000000000000001"),
        (UInt64.max, UInt64.max, "7zzzzzzzzzzzzzzzzzzzzzzzzz"),
        (0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, "014d2pf2dbsqqzxq5tk1v58cgg"),
    ])
    func `an identifier is written in 26 characters`(_ example: (UInt64, UInt64, String)) {
        let identifier = Identifier(high: example.0, low: example.1)
        #expect(identifier.text == example.2)
        #expect(Identifier(Array(example.2.utf8).span.bytes) == identifier)
    }

    @Test func `every bit of an identifier survives writing and reading`() {
        for bit in 0..<128 {
            let identifier = Identifier(
                high: bit >= 64 ? 1 << UInt64(bit - 64) : 0, low: bit < 64 ? 1 << UInt64(bit) : 0)
            #expect(Identifier(Array(identifier.text.utf8).span.bytes) == identifier)
        }
    }

    @Test(arguments: [
        "", "0", "80000000000000000000000000", "0000000000000000000000000i",
        "0000000000000000000000000l", "0000000000000000000000000u", "0000000000000000000000000A",
        "000000000000000000000000000", "0000000000000000000000000-",
    ])
    func `refuses what is no identifier`(_ text: String) {
        #expect(Identifier(Array(text.utf8).span.bytes) == nil)
    }

    @Test func `base64 has one spelling for each content`() {
        for count in 0...64 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 151 &+ count) }
            var text: [UInt8] = []
            Base64.url.append(bytes.span.bytes, to: &text)
            #expect(text.count == Base64.encodedCount(count))
            #expect(decoded(text) == bytes)
            #expect(decoded(text + [UInt8(ascii: "=")]) == nil)
            if count % 3 != 0 {
                text[text.count - 1] += 1
                #expect(decoded(text) == nil)
            }
        }
        for text in ["A", "AAAAA", "A+AA", "A/AA", "A AA", "AA==", "\0AAA", "AB", "AAB"] {
            #expect(decoded(Array(text.utf8)) == nil, "\(text)")
        }
    }

    private func decoded(_ text: [UInt8]) -> [UInt8]? {
        var output = [UInt8](repeating: 0, count: 64)
        var count: Int?
        do {
            var span = output.mutableSpan
            var raw = span.mutableBytes
            count = Base64.url.decode(text.span.bytes, 0..<text.count, into: &raw)
        }
        return count.map { Array(output.prefix($0)) }
    }
}
