import Keyspace
import Testing

@testable import Node

/// A keyspace that a test puts records into, kept while the test reads them.
final class RecordStore {
    private var keyspace: Keyspace
    private let now: Int64 = 1_700_000_000_000

    init() {
        var settings = Keyspace.Settings(seed: 1)
        settings.addressBytes = 64 << 20
        do {
            keyspace = try Keyspace.make(settings)
        } catch {
            fatalError("\(error)")
        }
    }

    func put(
        _ key: String, _ kind: ValueKind = .json, _ value: [UInt8], expiry: Expiry = .never
    ) -> Record {
        let key = bytes(key)
        return key.withUnsafeBytes { key in
            value.withUnsafeBytes { value in
                let command = Command(
                    .put, Key(0, key, keyspace.hashing), value: Value(kind, value),
                    expiry: expiry)
                let reply = keyspace.run(command, at: now)
                guard let record = reply.record else { fatalError("not stored") }
                return record
            }
        }
    }

    func put(_ key: String, json: String, expiry: Expiry = .never) -> Record {
        put(key, .json, bytes(json), expiry: expiry)
    }
}

@Suite("Record texts") struct TablesRecordTextTests {
    /// What is written, into exactly as much room as was announced.
    private func shown(_ record: Record, owner: [UInt8] = []) -> String {
        withExact(owner) { owner in
            let count = RecordText.byteCount(record, owner: owner)
            let text = written(count) { RecordText.write(record, owner: owner, into: &$0) }
            return text.utf8.count == count ? text : "not \(count) bytes: \(text)"
        }
    }

    private func loose(_ text: [UInt8]) -> String {
        withExact(text) { text in
            let count = LooseText.byteCount(text)
            let shown = written(count) { LooseText.write(text, into: &$0) }
            return shown.utf8.count == count ? shown : "not \(count) bytes: \(shown)"
        }
    }

    @Test(arguments: [
        "1", "null", "\"\"", "\"ä\\n\"", "{\"a\":[1, 2]}", "[]", "-1.50e3",
    ])
    func `a JSON value is shown as it was sent`(_ value: String) {
        let store = RecordStore()
        #expect(
            shown(store.put("k", json: value), owner: bytes("alice"))
                == "{\"value\":\(value),\"version\":1,\"timestamp\":1700000000000,"
                + "\"owner\":\"alice\"}")
    }

    @Test func `nobody is null, and an expiry is told`() {
        let store = RecordStore()
        let record = store.put("k", json: "1", expiry: .at(1_700_000_030_000))
        #expect(
            shown(record)
                == "{\"value\":1,\"version\":1,\"timestamp\":1700000000000,\"owner\":null,"
                + "\"expires_at\":1700000030000}")
    }

    @Test func `versions count up, into more digits`() {
        let store = RecordStore()
        for version in 1...120 {
            #expect(shown(store.put("k", json: "1")).contains("\"version\":\(version),"))
        }
    }

    @Test(
        arguments: zip(
            [
                bytes(""), bytes("hi"), bytes("a\"b\\c\n\u{1}"), bytes("ä€😀"), [0xFF],
                [0, 1, 2, 0xFF], [0xC3, 0x28], [0xED, 0xA0, 0x80], [0x61, 0xC3],
            ],
            [
                "\"\"", "\"hi\"", "\"a\\\"b\\\\c\\n\\u0001\"", "\"ä€😀\"", "\"/w==\"",
                "\"AAEC/w==\"", "\"wyg=\"", "\"7aCA\"", "\"YcM=\"",
            ]))
    func `bytes are a string where they are UTF-8, else base64`(_ value: [UInt8], _ text: String) {
        let store = RecordStore()
        let isUTF8 = String(validating: value, as: UTF8.self) != nil
        #expect(
            shown(store.put("k", .bytes, value))
                == "{\"value\":\(text),\"version\":1,\"timestamp\":1700000000000,\"owner\":null"
                + (isUTF8 ? "}" : ",\"encoding\":\"base64\"}"))
    }

    @Test func `random bytes are shown in as much room as was announced`() {
        let store = RecordStore()
        var random = SplitMix(state: 5)
        for _ in 0..<500 {
            let value = random.bytes(upTo: 80, from: Array("aé\"\\\n".utf8) + [0, 0x7F])
            let shown = shown(store.put("k", .bytes, value), owner: value)
            #expect(shown.hasPrefix("{\"value\":"))
        }
    }

    @Test func `a list is shown as an array`() {
        let store = RecordStore()
        #expect(shown(store.put("k", .list, [])).hasPrefix("{\"value\":[],"))
    }

    @Test(
        arguments: zip(
            [
                bytes("k"), bytes("a/b\"\0"), [], [0xFF], [0x61, 0xFF, 0x62], [0xC3],
                [0xE2, 0x82], [0xC3, 0xA4, 0xC3], [0x22, 0xFE, 0x0A, 0x1F],
                [0xF0, 0x9F, 0x98, 0x80, 0x80],
            ],
            [
                "\"k\"", "\"a/b\\\"\\u0000\"", "\"\"", "\"\u{FFFD}\"", "\"a\u{FFFD}b\"",
                "\"\u{FFFD}\"", "\"\u{FFFD}\u{FFFD}\"", "\"ä\u{FFFD}\"",
                "\"\\\"\u{FFFD}\\n\\u001f\"", "\"😀\u{FFFD}\"",
            ]))
    func `a key of any bytes is shown as a JSON string`(_ key: [UInt8], _ text: String) {
        #expect(loose(key) == text)
    }

    @Test func `random keys are always shown as UTF-8`() {
        var random = SplitMix(state: 6)
        for _ in 0..<2000 {
            let key = random.bytes(upTo: 20, from: Array("a€\"".utf8) + [0xFF, 0xF0, 0x80, 0])
            let shown = loose(key)
            #expect(shown.hasPrefix("\"") && shown.hasSuffix("\""))
        }
    }
}
