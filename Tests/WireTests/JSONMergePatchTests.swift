import Testing

@testable import Wire

@Suite("JSON merge patch") struct JSONMergePatchTests {
    /// RFC 7396 appendix A, row by row, the results written as this writes them.
    @Test(arguments: [
        ("{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"),
        ("{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"),
        ("{\"a\":\"b\"}", "{\"a\":null}", "{}"),
        ("{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"),
        ("{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"),
        ("{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"),
        ("{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"),
        ("{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"),
        ("[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"),
        ("{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"),
        ("{\"a\":\"foo\"}", "null", "null"),
        ("{\"a\":\"foo\"}", "\"bar\"", "\"bar\""),
        ("{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"),
        ("[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"),
        ("{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"),
    ])
    func `does what the RFC's examples say`(_ target: String, _ patch: String, _ result: String) {
        #expect(merged(target, patch) == result)
    }

    @Test(arguments: [
        // Untouched members keep their bytes, and all keep their places.
        (
            "{ \"a\" : 1.50 ,\"b\":[ 1, 2 ], \"\\u0063\":{ \"x\" : 1 }}", "{\"b\":2}",
            "{\"a\" : 1.50,\"b\":2,\"\\u0063\":{ \"x\" : 1 }}"
        ),
        (
            "{\"z\":1,\"y\":2,\"x\":3}", "{\"x\":4,\"w\":5,\"z\":6,\"v\":7}",
            "{\"z\":6,\"y\":2,\"x\":4,\"w\":5,\"v\":7}"
        ),
        (
            "{\"a\":{\"b\":{\"c\":1,\"d\":2},\"e\":3},\"f\":4}",
            "{\"a\":{\"b\":{\"c\":null,\"g\":{}}}}",
            "{\"a\":{\"b\":{\"d\":2,\"g\":{}},\"e\":3},\"f\":4}"
        ),
        // A name is what it decodes to.
        ("{\"\\u0061\":1}", "{\"a\":2}", "{\"\\u0061\":2}"),
        ("{\"a\":1}", "{\"\\u0061\":2}", "{\"a\":2}"),
        ("{\"😀\":1}", "{\"\\ud83d\\ude00\":null}", "{}"),
        ("{\"\":1}", "{\"\":{\"\":2}}", "{\"\":{\"\":2}}"),
        // Of repeated names the last one counts, and what is not patched is left alone.
        ("{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":4}", "{\"b\":2,\"a\":4}"),
        ("{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":null}", "{\"b\":2}"),
        ("{\"a\":1,\"b\":2,\"a\":3}", "{\"b\":4}", "{\"a\":1,\"b\":4,\"a\":3}"),
        ("{\"a\":{\"x\":1},\"a\":{\"y\":2}}", "{\"a\":{\"z\":3}}", "{\"a\":{\"y\":2,\"z\":3}}"),
        ("{\"a\":{\"x\":1},\"a\":{\"y\":2}}", "{\"a\":{\"x\":3}}", "{\"a\":{\"y\":2,\"x\":3}}"),
        ("{\"a\":{\"x\":1},\"a\":5}", "{\"a\":{\"x\":3}}", "{\"a\":{\"x\":3}}"),
        ("{\"a\":5,\"a\":{\"x\":1}}", "{\"a\":{\"x\":3}}", "{\"a\":{\"x\":3}}"),
        ("{}", "{\"a\":1,\"b\":2,\"a\":3}", "{\"b\":2,\"a\":3}"),
        ("{\"a\":0}", "{\"a\":1,\"a\":null}", "{}"),
        ("{\"a\":0}", "{\"a\":null,\"a\":1}", "{\"a\":1}"),
        ("{}", "{\"a\":{\"b\":1},\"a\":{\"c\":2}}", "{\"a\":{\"c\":2}}"),
        // Objects in place of something else lose their nulls, arrays don't.
        ("{\"a\":1}", "{\"a\":{\"b\":null,\"c\":{\"d\":null}}}", "{\"a\":{\"c\":{}}}"),
        ("{}", "{\"a\":[null,{\"b\":null}]}", "{\"a\":[null,{\"b\":null}]}"),
        ("{\"a\":null}", "{\"a\":{}}", "{\"a\":{}}"),
        ("{\"a\":{\"b\":1}}", "{\"a\":{}}", "{\"a\":{\"b\":1}}"),
        (" {\"a\":1} ", " {} ", "{\"a\":1}"), ("{}", "  7  ", "7"), ("5", "{\"a\":1}", "{\"a\":1}"),
        ("{\"k\":\"}\"}", "{\"n\":\"{\"}", "{\"k\":\"}\",\"n\":\"{\"}"),
    ])
    func `keeps what is not patched as it was sent`(
        _ target: String, _ patch: String, _ result: String
    ) {
        #expect(merged(target, patch) == result)
    }

    @Test(arguments: [
        (
            "{\"a\":1}", "{\"a\":}",
            JSONMergePatch.Outcome.invalidPatch(offset: 5, reason: .unexpectedByte)
        ),
        ("{}", "{\"a\":1}}", .invalidPatch(offset: 7, reason: .trailingBytes)),
        ("{}", "1 2", .invalidPatch(offset: 2, reason: .trailingBytes)),
        ("{}", "", .invalidPatch(offset: 0, reason: .unexpectedEnd)),
        ("{}", "{\"a\":{\"b\":1}", .invalidPatch(offset: 12, reason: .unexpectedEnd)),
        ("{}", "{\"a\":{\"b\":1],\"c\":2}", .invalidPatch(offset: 11, reason: .missingComma)),
        ("{}", "{\"a\":1,}", .invalidPatch(offset: 7, reason: .missingName)),
        ("{}", "{,}", .invalidPatch(offset: 1, reason: .missingName)),
        ("{}", "{\"a\" 1}", .invalidPatch(offset: 5, reason: .missingColon)),
        ("{\"a\":1", "{\"b\":1}", .invalidTarget(offset: 6, reason: .unexpectedEnd)),
        ("{\"a\":1,}", "{}", .invalidTarget(offset: 7, reason: .missingName)),
        ("{\"a\":{\"b\":1,}}", "{\"a\":{}}", .invalidTarget(offset: 12, reason: .missingName)),
        ("{\"a\":1}x", "{}", .invalidTarget(offset: 7, reason: .trailingBytes)),
    ])
    func `says which of the two is not JSON`(
        _ target: String, _ patch: String, _ outcome: JSONMergePatch.Outcome
    ) {
        #expect(apply(Array(patch.utf8), Array(target.utf8)).outcome == outcome)
    }

    @Test func `merges as deep as values may be, and no deeper`() {
        #expect(merged(JSONExamples.objects128, JSONExamples.objects128) == JSONExamples.objects128)
        #expect(merged("{}", JSONExamples.objects128) == JSONExamples.objects128)
        let deeper = Array("{\"a\":\(JSONExamples.objects128)}".utf8)
        #expect(
            apply(deeper, Array("{}".utf8)).outcome
                == .invalidPatch(offset: 5 * 128, reason: .tooDeep))
        #expect(
            apply(Array("{\"a\":1}".utf8), deeper).outcome
                == .invalidTarget(offset: 5 * 128, reason: .tooDeep))
        let array = Array("{\"a\":\(JSONExamples.depth128)}".utf8)
        #expect(
            apply(array, Array("{}".utf8)).outcome == .invalidPatch(offset: 132, reason: .tooDeep))
    }

    @Test func `agrees with the RFC's pseudo code on random documents`() {
        var random = JSONRandom(seed: 6)
        for round in 0..<50_000 {
            let depth = round % 16 == 0 ? 4 : 2
            let target = Array(
                (round % 4 == 1 ? random.document(depth: depth) : random.object(depth: depth)).utf8)
            let patch = Array(
                (round % 8 == 2 ? random.document(depth: depth) : random.object(depth: depth)).utf8)
            let (outcome, result) = apply(patch, target)
            guard case .merged = outcome, let tree = JSONTree(result) else {
                Issue.record("\(outcome) for \(text(target)) patched with \(text(patch))")
                continue
            }
            if tree != JSONTree(target)!.merged(with: JSONTree(patch)!) {
                Issue.record("\(text(target)) patched with \(text(patch)) became \(text(result))")
            }
        }
    }

    @Test func `never writes past its output, and always fits the room it asks for`() {
        var random = JSONRandom(seed: 7)
        for _ in 0..<100 {
            let target = Array(random.object(depth: 2).utf8)
            let patch = Array(random.object(depth: 2).utf8)
            let whole = apply(patch, target).result
            for room in 0..<whole.count {
                if apply(patch, target, room: room).outcome != .tooLarge {
                    Issue.record("\(whole.count) bytes went into \(room)")
                }
            }
            #expect(apply(patch, target, room: whole.count).result == whole)
        }
    }

    @Test func `refuses or merges damaged documents, but does not believe them`() {
        var random = JSONRandom(seed: 8)
        for _ in 0..<20_000 {
            let target = random.damaged(Array(random.object(depth: 3).utf8))
            let patch = random.damaged(Array(random.object(depth: 3).utf8))
            let outcome = apply(patch, target).outcome
            let wanted: String
            switch outcome {
            case .merged, .invalidTarget: wanted = "valid"
            default: wanted = "invalid"
            }
            #expect((verdict(patch) == .valid ? "valid" : "invalid") == wanted)
            if case .invalidTarget = outcome { #expect(verdict(target) != .valid) }
        }
    }

    @Test func `merges a hundred thousand members with as many`() {
        let count = 100_000
        // Compared each with each this would take the better part of an hour.
        let target = "{" + (0..<count).map { "\"key\($0)\":\($0)" }.joined(separator: ",") + "}"
        let patch =
            "{"
            + (0..<count).reversed().map { "\"key\($0)\":\($0 % 2 == 0 ? "null" : "1")" }
            .joined(separator: ",") + "}"
        let wanted =
            "{" + (0..<count).filter { $0 % 2 == 1 }.map { "\"key\($0)\":1" }.joined(separator: ",")
            + "}"
        #expect(merged(target, patch) == wanted)
    }

    @Test func `still merges quickly when every name has the same hash`() {
        // This name brings the hash to 0, and there zero bytes keep it.
        let names = (0..<500).map { "!0IC=VloaY" + String(repeating: "\\u0000", count: $0) }
        let object = "{" + names.map { "\"\($0)\":1" }.joined(separator: ",") + "}"
        let removal = "{" + names.reversed().map { "\"\($0)\":null" }.joined(separator: ",") + "}"
        #expect(merged(object, removal) == "{}")
        let oneLeft = "{" + names.dropLast().map { "\"\($0)\":null" }.joined(separator: ",") + "}"
        #expect(merged(object, oneLeft) == "{\"\(names.last!)\":1}")
    }

    @Test func `refuses a patch of more members than it has a table for`() {
        let most = 131_072
        let members = [String](repeating: "\"a\":1", count: most).joined(separator: ",")
        #expect(merged("{}", "{\(members)}") == "{\"a\":1}")
        let patch = Array("{\(members),\"a\":1}".utf8)
        #expect(apply(patch, Array("{}".utf8)).outcome == .tooManyMembers)
    }

    private func apply(
        _ patch: [UInt8], _ target: [UInt8], room: Int? = nil
    ) -> (outcome: JSONMergePatch.Outcome, result: [UInt8]) {
        patch.withUnsafeBytes { patch in
            target.withUnsafeBytes { target in
                let countMax = JSONMergePatch.countMax(patch: patch, target: target)
                // A canary stands behind the output.
                var output = [UInt8](repeating: 0xAA, count: (room ?? countMax) + 1)
                let outcome = output.withUnsafeMutableBytes {
                    JSONMergePatch.apply(
                        patch, to: target,
                        into: UnsafeMutableRawBufferPointer(rebasing: $0.dropLast()))
                }
                if output.last != 0xAA { Issue.record("wrote past the output") }
                guard case .merged(let count) = outcome else { return (outcome, []) }
                return (outcome, Array(output[..<count]))
            }
        }
    }

    private func merged(_ target: String, _ patch: String) -> String? {
        let (outcome, result) = apply(Array(patch.utf8), Array(target.utf8))
        guard case .merged = outcome else { return nil }
        return text(result)
    }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
