import Testing

@testable import Wire

@Suite("JSON validator") struct JSONValidatorTests {
    @Test func `accepts what RFC 8259 allows`() {
        for text in JSONExamples.valid { #expect(verdict(text) == .valid, "\(text)") }
    }

    @Test func `refuses what RFC 8259 does not allow`() {
        for text in JSONExamples.invalid { #expect(verdict(text) != .valid, "\(text)") }
    }

    @Test(arguments: JSONExamples.notUTF8)
    func `refuses a string that is not UTF-8 wherever it breaks`(_ bad: [UInt8]) {
        for (before, after) in [(0, 0), (0, 20), (1, 1), (15, 3), (16, 0), (17, 9), (40, 40)] {
            let text = Array("[\"".utf8) + [UInt8](repeating: 0x61, count: before)
            let bytes = text + bad + [UInt8](repeating: 0x62, count: after) + Array("\"]".utf8)
            #expect(verdict(bytes) == .invalid(offset: text.count, reason: .badUTF8))
            #expect(!isUTF8(bytes))
        }
    }

    @Test func `judges every beginning of a document as the reference does`() {
        let short = (JSONExamples.valid + JSONExamples.invalid).filter { $0.utf8.count < 1000 }
        for text in short {
            let bytes = Array(text.utf8)
            for count in 0...bytes.count {
                let prefix = Array(bytes[..<count])
                #expect(
                    (verdict(prefix) == .valid) == (JSONTree(prefix) != nil),
                    "\(text) cut to \(count) bytes")
            }
        }
    }

    @Test func `judges damaged documents as the reference does`() {
        var random = JSONRandom(seed: 1)
        var validCount = 0
        for round in 0..<30_000 {
            let document = Array(random.document(depth: 3).utf8)
            let bytes = round % 8 == 0 ? document : random.damaged(document)
            let isValid = JSONTree(bytes) != nil
            validCount += isValid ? 1 : 0
            if (verdict(bytes) == .valid) != isValid {
                Issue.record("judged differently: \(bytes)")
            }
        }
        // Both verdicts have to be common for this to say anything.
        #expect(validCount > 5_000 && validCount < 25_000)
    }

    @Test(arguments: [
        ("{\"a\":1,}", 7, JSONFault.missingName), ("[1,2", 4, .unexpectedEnd),
        ("[1 2]", 3, .missingComma), ("{\"a\" 1}", 5, .missingColon), ("truely", 4, .trailingBytes),
        ("[trux]", 4, .badLiteral), ("[01]", 2, .badNumber), ("[1.x]", 3, .badNumber),
        ("\"\\x\"", 2, .badEscape), ("\"\\u12g4\"", 5, .badEscape),
        ("\"ab\\udc00\"", 3, .loneSurrogate),
        ("\"a\tb\"", 2, .controlCharacter), (" ?", 1, .unexpectedByte), ("", 0, .unexpectedEnd),
        ("{} {}", 3, .trailingBytes), (JSONExamples.depth129, 128, .tooDeep),
        ("{a}", 1, .missingName),
    ])
    func `says where and what is wrong`(_ text: String, _ offset: Int, _ reason: JSONFault) {
        #expect(verdict(text) == .invalid(offset: offset, reason: reason))
    }

    @Test func `finds the control character, quote or backslash at every place of a block`() {
        for length in 0..<70 {
            for at in 0..<length {
                var body = [UInt8](repeating: 0x61, count: length)
                body[at] = 0x1F
                #expect(
                    verdict([0x22] + body + [0x22])
                        == .invalid(offset: at + 1, reason: .controlCharacter))
                body[at] = 0x22
                let isLast = at == length - 1
                #expect(
                    verdict([0x22] + body)
                        == (isLast ? .valid : .invalid(offset: at + 2, reason: .trailingBytes)))
                body[at] = 0x5C
                let isWhole = at < length - 1
                #expect(
                    verdict([0x22] + body + [0x22])
                        == .invalid(
                            offset: isWhole ? at + 2 : length + 2,
                            reason: isWhole ? .badEscape : .unexpectedEnd))
            }
        }
    }

    @Test func `agrees with the standard library on what UTF-8 is`() {
        var random = JSONRandom(seed: 2)
        let characters = ["a", "text of more than sixteen bytes", "é", "語", "😀", "\u{0}"]
        for _ in 0..<20_000 {
            var bytes = Array(
                (0..<random.below(8)).map { _ in random.pick(characters) }.joined().utf8)
            if random.below(2) == 0 { bytes = random.damaged(bytes) }
            #expect(isUTF8(bytes) == (String(validating: bytes, as: UTF8.self) != nil))
        }
    }

    @Test func `has a sentence for every fault`() {
        let faults = (0...).lazy.map { JSONFault(rawValue: UInt8($0)) }.prefix { $0 != nil }
        #expect(Set(faults.map { "\($0!.text)" }).count == 15)
    }
}

func verdict(_ bytes: [UInt8]) -> JSONVerdict {
    bytes.withUnsafeBytes { JSONValidator.validate($0) }
}

func verdict(_ text: String) -> JSONVerdict { verdict(Array(text.utf8)) }

func isUTF8(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { UTF8Text.isValid($0) } }
