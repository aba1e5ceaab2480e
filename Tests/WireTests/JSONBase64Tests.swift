import Testing

@testable import Wire

@Suite("Base64") struct JSONBase64Tests {
    @Test(arguments: [
        ("", "", ""), ("f", "Zg==", "Zg"), ("fo", "Zm8=", "Zm8"), ("foo", "Zm9v", "Zm9v"),
        ("foob", "Zm9vYg==", "Zm9vYg"), ("fooba", "Zm9vYmE=", "Zm9vYmE"),
        ("foobar", "Zm9vYmFy", "Zm9vYmFy"),
    ])
    func `gives RFC 4648's test vectors`(_ text: String, _ standard: String, _ urlSafe: String) {
        #expect(encoded(Array(text.utf8), .standard) == standard)
        #expect(encoded(Array(text.utf8), .urlSafe) == urlSafe)
        #expect(decoded(standard, .standard) == Array(text.utf8))
        #expect(decoded(urlSafe, .urlSafe) == Array(text.utf8))
    }

    @Test func `tells the two alphabets apart`() {
        #expect(encoded([0xFB, 0xEF, 0xFF], .standard) == "++//")
        #expect(encoded([0xFB, 0xEF, 0xFF], .urlSafe) == "--__")
        #expect(decoded("++//", .urlSafe) == nil)
        #expect(decoded("--__", .standard) == nil)
    }

    @Test func `brings back every byte at every length`() {
        var random = JSONRandom(seed: 5)
        for count in 0..<300 {
            let bytes = random.bytes(count)
            for alphabet in [Base64.Alphabet.standard, .urlSafe] {
                let text = encoded(bytes, alphabet)!
                #expect(text.utf8.count == Base64.encodedCount(count, alphabet))
                #expect(decoded(text, alphabet) == bytes)
                #expect(Base64.decodedCountMax(text.utf8.count) >= count)
            }
        }
    }

    @Test(arguments: [
        "Z", "Zg", "Zg=", "Zg===", "Zg==Zg==", "=", "==", "====", "Zm8", "Zm9v=", "Zm9v====",
        "Zh==", "Zm9=",
        "Zm 9v", "Zm9v\n", "Zm=v", "Z===", "Zm9*", "Zm9\u{0}", "Zmé=", "A=A=", "=AAA", "Zg=g",
    ])
    func `refuses every other spelling of padded text`(_ text: String) {
        #expect(decoded(text, .standard) == nil)
    }

    @Test(arguments: [
        "Z", "Zg==", "Zm8=", "Zh", "Zm9", "Zm9vZ", "Zm9v=", "Zm+v", "Zm/v", "Zm.v", " Zg", "Zg\n",
    ])
    func `refuses every other spelling of unpadded text`(_ text: String) {
        #expect(decoded(text, .urlSafe) == nil)
    }

    @Test(arguments: [Base64.Alphabet.standard, .urlSafe])
    func `knows exactly 64 characters`(_ alphabet: Base64.Alphabet) {
        // The last place may hold padding.
        for place in 0..<11 {
            let known = (0...255).filter { byte in
                var text = [UInt8](repeating: 0x41, count: 12)
                text[place] = UInt8(byte)
                return text.withUnsafeBytes { text in
                    withUnsafeTemporaryAllocation(byteCount: 9, alignment: 1) {
                        Base64.decode(text, alphabet, into: $0) != nil
                    }
                }
            }
            #expect(known.count == 64)
        }
    }

    @Test func `writes only into room enough`() {
        #expect(encoded(Array("foob".utf8), .standard, room: 7) == nil)
        #expect(encoded(Array("foob".utf8), .urlSafe, room: 5) == nil)
        #expect(decoded("Zm9vYg==", .standard, room: 3) == nil)
        #expect(decoded("Zm9vYg==", .standard, room: 4) == Array("foob".utf8))
    }

    private func encoded(
        _ bytes: [UInt8], _ alphabet: Base64.Alphabet, room: Int? = nil
    ) -> String? {
        bytes.withUnsafeBytes { bytes in
            let room = room ?? Base64.encodedCount(bytes.count, alphabet)
            return withUnsafeTemporaryAllocation(byteCount: room, alignment: 1) { output in
                Base64.encode(bytes, alphabet, into: output)
                    .map { String(decoding: output[..<$0], as: UTF8.self) }
            }
        }
    }

    private func decoded(
        _ text: String, _ alphabet: Base64.Alphabet, room: Int? = nil
    ) -> [UInt8]? {
        Array(text.utf8).withUnsafeBytes { text in
            let room = room ?? Base64.decodedCountMax(text.count)
            return withUnsafeTemporaryAllocation(byteCount: room, alignment: 1) { output in
                Base64.decode(text, alphabet, into: output).map { Array(output[..<$0]) }
            }
        }
    }
}
