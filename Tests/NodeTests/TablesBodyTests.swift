import Keyspace
import Testing
import Wire

@testable import Node

@Suite("Bodies of the table API") struct TablesBodyTests {
    private func value(_ body: String) -> String {
        withExact(bytes(body)) { body in
            let found = PutBody.value(in: body)
            if case .value(let value) = found { return text(value) }
            return "\(found.sentence)"
        }
    }

    enum Form: CaseIterable { case store, keys }

    /// The keys and values a walk yields, then how it ended.
    private func walk(_ form: Form, _ body: [UInt8]) -> [String] {
        withExact(body) { body in
            withScratch(ManyBody.scratchBytesMin) { scratch in
                let size = ManyBody.scratchBytesMin
                var walk =
                    form == .store
                    ? ManyBody.store(body, scratch: scratch, scratchBytes: size)
                    : ManyBody.keys(body, scratch: scratch, scratchBytes: size)
                let checked = walk.check()
                var steps: [String] = []
                while true {
                    switch walk.next() {
                    case .item(let key, let value):
                        steps.append(text(key) + (value.isEmpty ? "" : "=" + text(value)))
                        continue
                    case .end:
                        if checked != .success(steps.count) { steps.append("check disagrees") }
                        if case .end = walk.next() { return steps }
                        return steps + ["goes on"]
                    case .refused(let refusal):
                        if checked != .failure(refusal) { steps.append("check disagrees") }
                        steps.append("! \(refusal.sentence)")
                        if case .refused(refusal) = walk.next() { return steps }
                        return steps + ["goes on"]
                    }
                }
            }
        }
    }

    private func walk(_ form: Form, _ body: String) -> [String] { walk(form, bytes(body)) }

    @Test func `the value of a write is found, as it was sent`() {
        #expect(value("{\"value\":1}") == "1")
        #expect(value(" { \"value\" : {\"a\" : [1, 2]} } ") == "{\"a\" : [1, 2]}")
        #expect(value("{\"owner\":\"x\",\"value\":null,\"version\":3}") == "null")
        #expect(value("{\"\\u0076alue\":\"v\"}") == "\"v\"")
        #expect(value("{\"a\":{\"value\":1},\"value\":2}") == "2")
    }

    @Test func `a body without one value is refused with a sentence`() {
        #expect(value("{}") == "The body has no member value")
        #expect(value("{\"Value\":1}") == "The body has no member value")
        #expect(value("{\"value\":1,\"value\":1}") == "The body has more than one member value")
        #expect(value("{\"value\":1,\"v\\u0061lue\":1}").contains("more than one"))
        #expect(value("") == "JSON ends too early")
        #expect(value("[1]") == "a JSON object is wanted here")
        #expect(value("1") == "a JSON object is wanted here")
        #expect(value("{\"value\":tru}") == "only true, false and null may stand without quotes")
        #expect(value("{\"value\":1} x") == "something follows the JSON value")
    }

    @Test func `every truncation of a body is refused`() {
        let whole = "{\"a\":[\"\\u00e4\"],\"value\":{\"b\":1.5e3}}"
        for count in 0..<whole.utf8.count {
            let found = withExact(Array(bytes(whole)[..<count])) { body in
                if case .invalid = PutBody.value(in: body) { return true }
                return false
            }
            #expect(found, "\(count)")
        }
        #expect(value(whole) == "{\"b\":1.5e3}")
    }

    @Test func `many keys are stored from one object`() {
        #expect(walk(.store, "{}") == [])
        #expect(walk(.store, "{\"a\":1, \"b\" : [2] }") == ["a=1", "b=[2]"])
        #expect(walk(.store, "{\"a\\/b\":1,\"\\u00e4\\u0000\":\"x\"}") == ["a/b=1", "ä\0=\"x\""])
        #expect(walk(.store, "{\"a\":1,\"a\":2}") == ["a=1", "a=2"])
    }

    @Test func `of a key that is there more than once the last is the one that counts`() {
        func overridden(_ form: Form, _ body: String) -> [Int] {
            withExact(bytes(body)) { body in
                withScratch(ManyBody.scratchBytesMin) { scratch in
                    let size = ManyBody.scratchBytesMin
                    let walk =
                        form == .store
                        ? ManyBody.store(body, scratch: scratch, scratchBytes: size)
                        : ManyBody.keys(body, scratch: scratch, scratchBytes: size)
                    guard case .success(let count) = walk.check() else { return [-1] }
                    return walk.overridden(count: count, hashing: KeyHash(seed: 7))
                }
            }
        }
        #expect(overridden(.store, "{}") == [])
        #expect(overridden(.store, "{\"a\":1}") == [])
        #expect(overridden(.store, "{\"a\":1,\"b\":2,\"aa\":3}") == [])
        #expect(overridden(.store, "{\"a\":1,\"b\":2,\"a\":3}") == [0])
        #expect(overridden(.store, "{\"b\":0,\"a\":1,\"a\":2,\"a\":3}") == [1, 2])
        // However it is spelled.
        #expect(overridden(.store, "{\"a\":1,\"\\u0061\":2,\"c\":3}") == [0])
        #expect(overridden(.store, "{\"\\u0061\":1,\"a\":2,\"\\u0061\":3}") == [0, 1])
        #expect(overridden(.keys, "[\"a\",\"b\",\"\\u0061\",\"b\"]") == [0, 1])
        let same = Array(repeating: "\"k\"", count: 1000).joined(separator: ",")
        #expect(overridden(.keys, "[\(same)]") == Array(0..<999))
        let longest = String(repeating: "k", count: 1024)
        #expect(overridden(.keys, "[\"\(longest)\",\"\(longest)\"]") == [0])
    }

    @Test func `many keys are read from a list or from an object with one`() {
        #expect(walk(.keys, "[]") == [])
        #expect(walk(.keys, " [\"a\", \"b\\n\"] ") == ["a", "b\n"])
        #expect(walk(.keys, "{\"keys\":[\"a\",\"b\"]}") == ["a", "b"])
        #expect(walk(.keys, "{\"x\":1,\"keys\":[],\"y\":2}") == [])
    }

    @Test func `a body about many keys that is wrong is refused where it is`() {
        #expect(walk(.store, "[]") == ["! a JSON object is wanted here"])
        #expect(walk(.store, "{\"a\":1,\"\":2}") == ["a=1", "! A key has 1 to 1024 bytes"])
        #expect(walk(.store, "{\"a\":1,}").first == "a=1")
        #expect(walk(.store, "{\"a\":1,}").last?.hasPrefix("!") == true)
        #expect(walk(.store, "{\"\\ud800\":1}") == ["! a \\u surrogate lacks its other half"])
        #expect(walk(.keys, "[\"\"]") == ["! A key has 1 to 1024 bytes"])
        #expect(walk(.keys, "[\"a\",1]") == ["a", "! Keys are strings"])
        #expect(walk(.keys, "[[\"a\"]]") == ["! Keys are strings"])
        #expect(walk(.keys, "{}").last?.contains("a list of keys") == true)
        #expect(walk(.keys, "{\"keys\":[],\"keys\":[]}").last?.contains("more than one") == true)
        #expect(walk(.keys, "{\"keys\":{}}") == ["! a JSON array is wanted here"])
        #expect(walk(.keys, "\"a\"") == ["! a JSON array is wanted here"])
        #expect(walk(.keys, "") == ["! JSON ends too early"])
    }

    @Test func `a key of a body has at most 1024 bytes, counted decoded`() {
        let longest = String(repeating: "k", count: 1024)
        let escaped = String(repeating: "\\u006b", count: 1024)
        #expect(walk(.store, "{\"\(longest)\":1}") == [longest + "=1"])
        #expect(walk(.store, "{\"\(escaped)\":1}") == [longest + "=1"])
        #expect(walk(.keys, "[\"\(longest)\"]") == [longest])
        #expect(walk(.keys, "[\"\(escaped)\"]") == [longest])
        for form in Form.allCases {
            for long in [longest + "k", escaped + "k", longest + "\\n"] {
                let body = form == .store ? "{\"\(long)\":1}" : "[\"\(long)\"]"
                #expect(walk(form, body) == ["! A key has 1 to 1024 bytes"])
            }
        }
    }

    @Test func `one request has at most 100000 keys`() {
        let most = Array(repeating: "\"k\"", count: ManyBody.keysMax).joined(separator: ",")
        #expect(walk(.keys, "[\(most)]").count == 100_000)
        let tooMany = walk(.keys, "[\(most),\"k\"]")
        #expect(tooMany.count == 100_001)
        #expect(tooMany.last == "! At most 100000 keys can be in one request")
    }

    @Test func `every truncation and any bytes are walked to an answer`() {
        let whole = bytes("{\"keys\":[\"a\\u00e4\",\"b\"],\"c\":{\"d\":[1]}}")
        for count in 0..<whole.count {
            for form in Form.allCases {
                #expect(walk(form, Array(whole[..<count])).last?.hasPrefix("!") == true)
            }
        }
        var random = SplitMix(state: 7)
        var good = 0
        for _ in 0..<20_000 {
            let body = random.bytes(upTo: 12, from: Array("[[]\"\"\"a\\,,:{}1 ".utf8) + [0xFF])
            for form in Form.allCases {
                let steps = walk(form, body)
                #expect(!steps.contains("check disagrees") && !steps.contains("goes on"))
                if steps.last?.hasPrefix("!") != true { good += 1 }
            }
        }
        #expect(good > 10)
    }

    // MARK: Settings of a table

    private func settings(_ body: String) -> TableSettingsBody.Parsed {
        withExact(bytes(body)) { TableSettingsBody.parse($0) }
    }

    @Test func `a table's settings are read, and what is left out stays`() {
        #expect(settings("{}") == .settings(.init()))
        #expect(settings("{\"read\":\"public\"}") == .settings(.init(read: .open)))
        #expect(
            settings("{\"read\":\"owner\",\"consistency\":\"strong\"}")
                == .settings(.init(read: .owner, consistency: .strong)))
        #expect(
            settings("{\"consistency\":\"eventual\",\"read\":\"authentic\\u0061ted\"}")
                == .settings(.init(read: .authenticated, consistency: .eventual)))
    }

    @Test func `settings that are not ours are refused`() {
        for body in ["{\"read\":\"Public\"}", "{\"read\":null}", "{\"read\":[\"public\"]}"] {
            #expect(settings(body) == .refused(.badRead))
        }
        for body in ["{\"consistency\":\"inherited\"}", "{\"consistency\":1}"] {
            #expect(settings(body) == .refused(.badConsistency))
        }
        #expect(settings("{\"raed\":\"owner\"}") == .refused(.unknownMember))
        #expect(
            settings("{\"read\":\"owner\",\"read\":\"public\"}") == .refused(.repeatedMember))
        #expect(settings("[]") == .refused(.invalid(.notAnObject)))
        #expect(settings("{\"read\":\"owner\"") == .refused(.invalid(.unexpectedEnd)))
    }

    @Test func `what is shown of a table can be sent back`() {
        for read in [ReadRule.open, .owner, .authenticated] {
            for consistency in [TableConsistency.eventual, .strong] {
                let shown = withExact(bytes("t.-1")) { name in
                    written(TableSettingsBody.byteCountMax(name)) {
                        TableSettingsBody.write(
                            name, read: read, consistency: consistency, into: &$0)
                    }
                }
                #expect(
                    settings(shown) == .settings(.init(read: read, consistency: consistency)))
            }
        }
        let shown = withExact(bytes("t")) { name in
            written {
                TableSettingsBody.write(
                    name, read: .open, consistency: .inherited, inherited: .strong, into: &$0)
            }
        }
        #expect(shown == "{\"table\":\"t\",\"read\":\"public\",\"consistency\":\"strong\"}")
    }
}
