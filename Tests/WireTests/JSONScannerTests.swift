import Testing

@testable import Wire

@Suite("JSON scanner") struct JSONScannerTests {
    @Test(arguments: [
        ("{\"value\":1}", "1"), ("{\"value\":\"x\"}", "\"x\""),
        (" { \"value\" :\t[1, 2] } ", "[1, 2]"),
        ("{\"value\":  {\"a\" : 1}  }", "{\"a\" : 1}"), ("{\"value\":null}", "null"),
        ("{\"a\":{\"value\":2},\"value\":3}", "3"), ("{\"value\":4,\"b\":{\"value\":5}}", "4"),
        ("{\"\\u0076alue\":6}", "6"), ("{\"valu\\u0065\":7,\"Value\":8}", "7"),
        ("{\"x\":1,\"x\":2,\"value\":1.50}", "1.50"), ("{\"value\":\"\\u0041\"}", "\"\\u0041\""),
    ])
    func `finds the value as it was sent`(_ body: String, _ value: String) {
        let bytes = Array(body.utf8)
        guard case .found(let range) = found("value", bytes) else {
            Issue.record("no value found in \(body)")
            return
        }
        #expect(String(decoding: bytes[range], as: UTF8.self) == value)
    }

    @Test(arguments: [
        ("{}", JSONFound.absent), ("{\"Value\":1}", .absent), ("{\"values\":1}", .absent),
        ("{\"valu\":1}", .absent), ("{\"\":1}", .absent), ("{\"x\":\"value\"}", .absent),
        ("{\"x\":{\"value\":1}}", .absent), ("{\"value\\u0000\":1}", .absent),
        ("{\"value\":1,\"value\":1}", .repeated), ("{\"value\":1,\"val\\u0075e\":2}", .repeated),
        ("[\"value\",1]", .invalid(offset: 0, reason: .notAnObject)),
        ("\"value\"", .invalid(offset: 0, reason: .notAnObject)),
        ("", .invalid(offset: 0, reason: .unexpectedEnd)),
        ("{\"value\":1", .invalid(offset: 10, reason: .unexpectedEnd)),
        ("{\"value\":1,}", .invalid(offset: 11, reason: .missingName)),
        ("{\"value\":1} x", .invalid(offset: 12, reason: .trailingBytes)),
        ("{\"value\":1,\"b\":tru}", .invalid(offset: 18, reason: .badLiteral)),
        ("{\"value\":1,\"value\":2,\"b\":tru}", .invalid(offset: 28, reason: .badLiteral)),
        ("{\"value\":[1 2]}", .invalid(offset: 12, reason: .missingComma)),
        ("{,}", .invalid(offset: 1, reason: .missingName)),
    ])
    func `says why there is no one value`(_ body: String, _ answer: JSONFound) {
        #expect(found("value", Array(body.utf8)) == answer)
    }

    @Test func `lets a value be as deep in an envelope as it may be alone`() {
        let fits = Array("{\"value\":\(JSONExamples.depth128)}".utf8)
        #expect(found("value", fits) == .found(9..<(9 + 256)))
        let tooDeep = Array("{\"value\":\(JSONExamples.depth129)}".utf8)
        #expect(found("value", tooDeep) == .invalid(offset: 9 + 128, reason: .tooDeep))
    }

    @Test func `lists members in the order they were sent, repeated ones too`() {
        let text = Array(" {\"b\":1 , \"\\u0061\" : [2] ,\"b\":{\"c\":3}} ".utf8)
        var seen: [String] = []
        text.withUnsafeBytes {
            var members = JSONMembers($0)
            while case .member(let member) = members.next() {
                seen.append(String(decoding: text[member.name], as: UTF8.self))
                seen.append(String(decoding: text[member.value], as: UTF8.self))
            }
            #expect(members.next() == .end)
        }
        #expect(seen == ["\"b\"", "1", "\"\\u0061\"", "[2]", "\"b\"", "{\"c\":3}"])
    }

    @Test(arguments: [
        ("[]", []), (" [ ] ", []), ("[\"a\",\"b\"]", ["\"a\"", "\"b\""]),
        ("[ 1 ,\n[2,[3]] , {} ]", ["1", "[2,[3]]", "{}"]),
    ])
    func `lists elements in order`(_ text: String, _ wanted: [String]) {
        let bytes = Array(text.utf8)
        var seen: [String] = []
        bytes.withUnsafeBytes {
            var elements = JSONElements($0)
            while case .element(let range) = elements.next() {
                seen.append(String(decoding: bytes[range], as: UTF8.self))
            }
            #expect(elements.next() == .end)
        }
        #expect(seen == wanted)
    }

    @Test func `a walk to the end accepts what the validator accepts, and nothing else`() {
        var random = JSONRandom(seed: 3)
        for _ in 0..<20_000 {
            var bytes = Array(random.document(depth: 3).utf8)
            if random.below(4) > 0 { bytes = random.damaged(bytes) }
            bytes.withUnsafeBytes {
                let isValid = JSONValidator.validate($0) == .valid
                let kind = JSONKind(of: $0)
                if walksMembers($0) != (isValid && kind == .object)
                    || walksElements($0) != (isValid && kind == .array)
                {
                    Issue.record("judged differently: \(bytes)")
                }
            }
        }
    }

    @Test(arguments: [
        (" {}", JSONKind.object), ("\n[1]", .array), ("\"\"", .string), ("-1", .number),
        ("9", .number),
        ("true", .boolean), ("false", .boolean), ("null", .null),
    ])
    func `tells what a value is by its first byte`(_ text: String, _ kind: JSONKind) {
        Array(text.utf8).withUnsafeBytes { #expect(JSONKind(of: $0) == kind) }
    }

    @Test(arguments: ["", "  ", "}", "x", "+1"])
    func `no value starts like this`(_ text: String) {
        Array(text.utf8).withUnsafeBytes { #expect(JSONKind(of: $0) == nil) }
    }

    private func found(_ name: StaticString, _ bytes: [UInt8]) -> JSONFound {
        bytes.withUnsafeBytes { JSONScanner.find(name, in: $0) }
    }

    private func walksMembers(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var members = JSONMembers(bytes)
        while case .member = members.next() {}
        return members.next() == .end
    }

    private func walksElements(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var elements = JSONElements(bytes)
        while case .element = elements.next() {}
        return elements.next() == .end
    }
}
