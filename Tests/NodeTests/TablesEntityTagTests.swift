import Keyspace
import Testing

@testable import Node

private let stamp = Stamp(rawValue: 0x19A_BCDE_F012_3401)
private let tag = "\"3-019abcdef0123401\""

@Suite("Entity tags") struct TablesEntityTagTests {
    private func parse(_ field: String) -> EntityTag.Parsed {
        withExact(bytes(field)) { EntityTag.parseOne($0.bytes) }
    }

    private func matches(_ field: String, weak: Bool = true) -> Bool? {
        withExact(bytes(field)) {
            EntityTag.matches($0.bytes, version: 3, stamp: stamp, allowsWeak: weak)
        }
    }

    private func asked(_ ifMatch: String?, _ ifNoneMatch: String?) -> Preconditions.Asked {
        withExact(bytes(ifMatch ?? "")) { match in
            withExact(bytes(ifNoneMatch ?? "")) { noneMatch in
                Preconditions.condition(
                    ifMatch: ifMatch == nil ? nil : match.bytes,
                    ifNoneMatch: ifNoneMatch == nil ? nil : noneMatch.bytes)
            }
        }
    }

    private func hold(_ ifMatch: String?, _ ifNoneMatch: String?, _ record: Record?) -> Bool {
        withExact(bytes(ifMatch ?? "")) { match in
            withExact(bytes(ifNoneMatch ?? "")) { noneMatch in
                Preconditions.hold(
                    ifMatch: ifMatch == nil ? nil : match.bytes,
                    ifNoneMatch: ifNoneMatch == nil ? nil : noneMatch.bytes, record: record)
            }
        }
    }

    @Test func `a tag reads back as the version and stamp it was written for`() {
        var random = SplitMix(state: 3)
        for _ in 0..<2000 {
            let version = UInt64.random(in: 1...Record.versionMax, using: &random)
            let stamp = Stamp(rawValue: random.next())
            let written = written(EntityTag.byteCount(version: version)) {
                EntityTag.write(version: version, stamp: stamp, into: &$0)
            }
            #expect(written.utf8.count == EntityTag.byteCount(version: version))
            #expect(written.utf8.count <= EntityTag.bytesMax)
            #expect(parse(written) == .exactly(version, stamp))
        }
        #expect(written { EntityTag.write(version: 3, stamp: stamp, into: &$0) } == tag)
    }

    @Test(
        arguments: zip(
            [
                "*", " * ", "\"3\"", tag, "W/" + tag, "\"abc\"", "\"\"", "\"03\"", "\"3-\"",
                "\"3-019ABCDEF0123401\"", "\"3-19abcdef0123401\"", "\"\(UInt64.max)\"",
                "\"3\", \"4\"", ",, \"3\" ,,", "\"é\"", "\"*\"",
            ],
            [
                .any, .any, .version(3), .exactly(3, stamp), .foreign, .foreign, .foreign,
                .foreign, .foreign, .foreign, .foreign, .foreign, .list, .version(3), .foreign,
                .foreign,
            ] as [EntityTag.Parsed]))
    func `a field is understood`(_ field: String, _ parsed: EntityTag.Parsed) {
        #expect(parse(field) == parsed)
    }

    @Test(arguments: [
        "", " ", ",", "3", "\"3", "3\"", "\"3\"\"4\"", "\"3\" \"4\"", "\"a b\"", "\"a\tb\"",
        "\"a\u{7F}\"", "w/\"3\"", "W\"3\"", "W/", "W/3", "W /\"3\"", "*, \"3\"", "\"3\", *", "**",
        "* *", "*,", "\"3\";", "\"3\", x",
    ])
    func `a malformed field is malformed for every reader`(_ field: String) {
        #expect(parse(field) == .malformed)
        #expect(matches(field) == nil)
        #expect(asked(field, nil) == .malformed)
        #expect(asked(nil, field) == .malformed)
        #expect(asked("\"3\"", field) == .malformed)
    }

    @Test func `one tag of a list is enough, and a weak one for If-None-Match only`() {
        #expect(matches("*") == true)
        #expect(matches(tag) == true)
        #expect(matches("\"3\"") == true)
        #expect(matches("\"2\"") == false)
        #expect(matches("\"x\", \"2\",\(tag)") == true)
        #expect(matches("\(tag), \"x\"") == true)
        #expect(matches("\"x\" , \"y\"") == false)
        #expect(matches("W/\(tag)") == true)
        #expect(matches("W/\"3\"") == true)
        #expect(matches("W/\(tag)", weak: false) == false)
        #expect(matches("W/\(tag), \"3\"", weak: false) == true)
        #expect(matches("\"3-019abcdef0123402\"") == false)
        #expect(matches("\"4-019abcdef0123401\"") == false)
        #expect(matches("\(tag), \"") == nil)
    }

    @Test func `every truncation of a list is decided without reading past it`() {
        let field = bytes("W/\"x\", \(tag) ,\"3\"")
        for count in 0...field.count {
            let part = Array(field[..<count])
            let answer = withExact(part) {
                EntityTag.matches($0.bytes, version: 3, stamp: stamp)
            }
            #expect(answer != true || count >= bytes("W/\"x\", \(tag)").count)
        }
    }

    @Test func `a write asks the keyspace where one condition says it all`() {
        #expect(asked(nil, nil) == .condition(.none))
        #expect(asked("*", nil) == .condition(.present))
        #expect(asked("\"3\"", nil) == .condition(.version(3)))
        #expect(asked(tag, nil) == .condition(.exactly(3, stamp)))
        #expect(asked(nil, "*") == .condition(.absent))
        #expect(asked("\"x\"", nil) == .condition(.version(0)))
        #expect(asked("W/\(tag)", nil) == .condition(.version(0)))
        #expect(asked("\"2\", \"3\"", nil) == .list)
        #expect(asked(nil, tag) == .list)
        #expect(asked(nil, "\"2\", \"3\"") == .list)
        #expect(asked("*", "*") == .list)
        #expect(asked(tag, "\"9\"") == .list)
    }

    @Test func `lists of tags are held against the record that is there`() {
        #expect(hold(nil, nil, nil))
        #expect(!hold("*", nil, nil))
        #expect(!hold("\"1\", \"2\"", nil, nil))
        #expect(hold(nil, "*", nil))
        #expect(hold(nil, "\"1\", \"2\"", nil))
        let store = RecordStore()
        let record = store.put("k", json: "1")
        let own = written {
            EntityTag.write(version: record.version, stamp: record.stamp, into: &$0)
        }
        #expect(hold("\"7\", \(own)", nil, record))
        #expect(hold("\"7\", \"1\"", nil, record))
        #expect(!hold("\"7\", W/\(own)", nil, record))
        #expect(!hold("\"7\", \"8\"", nil, record))
        #expect(!hold(nil, "*", record))
        #expect(!hold(nil, "\"7\", W/\(own)", record))
        #expect(hold(nil, "\"7\", \"8\"", record))
        #expect(hold(own, "\"7\"", record))
        #expect(!hold(own, own, record))
        #expect(!hold("*", "*", record))
    }

    @Test func `no bytes make the readers disagree about what is malformed`() {
        var random = SplitMix(state: 4)
        var kinds = 0
        for _ in 0..<20_000 {
            let field = random.bytes(upTo: 14, from: Array("W/\"\"\"**,, 3-a\u{7F}\u{0}".utf8))
            let one = withExact(field) { EntityTag.parseOne($0.bytes) }
            let match = withExact(field) {
                EntityTag.matches($0.bytes, version: 3, stamp: stamp)
            }
            #expect((one == .malformed) == (match == nil), "\(field)")
            if one == .version(3) { #expect(match == true) }
            if one != .malformed { kinds += 1 }
        }
        #expect(kinds > 100)
    }
}
