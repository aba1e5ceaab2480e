import Keyspace
import Testing

@testable import Node

private let stamp = Stamp(rawValue: 0x19A_BCDE_F012_3401)
private let tag = "\"3-019abcdef0123401\""

@Suite("Entity tags") struct TablesEntityTagTests {
    private func matches(_ field: String, weak: Bool = true) -> Bool? {
        withExact(bytes(field)) {
            EntityTag.matches($0.bytes, version: 3, stamp: stamp, allowsWeak: weak)
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
            let isIts = withExact(bytes(written)) {
                EntityTag.matches($0.bytes, version: version, stamp: stamp)
            }
            #expect(isIts == true)
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
                true, true, true, true, true, false, false, false, false, false, false, false, true,
                true, false, false,
            ]))
    func `a tag is the record's only as we write it, or as the bare version`(
        _ field: String, _ isIts: Bool
    ) {
        #expect(matches(field) == isIts)
    }

    @Test(arguments: [
        "", " ", ",", "3", "\"3", "3\"", "\"3\"\"4\"", "\"3\" \"4\"", "\"a b\"", "\"a\tb\"",
        "\"a\u{7F}\"", "w/\"3\"", "W\"3\"", "W/", "W/3", "W /\"3\"", "*, \"3\"", "\"3\", *", "**",
        "* *", "*,", "\"3\";", "\"3\", x",
    ])
    func `a malformed field is malformed, for either reader`(_ field: String) {
        #expect(matches(field) == nil)
        #expect(matches(field, weak: false) == nil)
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

    @Test func `no bytes make the readers disagree about what is malformed`() {
        var random = SplitMix(state: 4)
        var kinds = 0
        for _ in 0..<20_000 {
            let field = random.bytes(upTo: 14, from: Array("W/\"\"\"**,, 3-a\u{7F}\u{0}".utf8))
            let (match, strong) = withExact(field) {
                (
                    EntityTag.matches($0.bytes, version: 3, stamp: stamp),
                    EntityTag.matches($0.bytes, version: 3, stamp: stamp, allowsWeak: false)
                )
            }
            #expect((match == nil) == (strong == nil), "\(field)")
            if strong == true { #expect(match == true) }
            if match != nil { kinds += 1 }
        }
        #expect(kinds > 100)
    }
}
