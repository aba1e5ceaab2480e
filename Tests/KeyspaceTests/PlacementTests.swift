import Keyspace
import Testing

@Suite("Slots, tables, names")
struct PlacementTests {
    static func slot(_ key: String, offset: UInt16 = 0) -> UInt16 {
        Array(key.utf8).withUnsafeBytes { Slot.of($0, offset: offset) }
    }

    @Test func `slots are what Redis Cluster clients compute`() {
        Array("123456789".utf8).withUnsafeBytes { #expect(Slot.crc16($0) == 0x31C3) }
        #expect(PlacementTests.slot("foo") == 12182)
        #expect(PlacementTests.slot("somekey") == 11058)
        #expect(PlacementTests.slot("foo{hash_tag}") == PlacementTests.slot("hash_tag"))
        #expect(PlacementTests.slot("{user1000}.following") == PlacementTests.slot("user1000"))
        #expect(PlacementTests.slot("foo{}{bar}") != PlacementTests.slot("bar"))
        #expect(PlacementTests.slot("foo{{bar}}zap") == PlacementTests.slot("{bar"))
        #expect(PlacementTests.slot("foo{bar}{zap}") == PlacementTests.slot("bar"))
        #expect(
            PlacementTests.slot("foo{bar") == 16383
                & { Array("foo{bar".utf8).withUnsafeBytes(Slot.crc16) }())
        #expect(PlacementTests.slot("foo", offset: 16383) == 12181)
    }

    @Test
    func `keys of every length have the slot that bit by bit would give, tags wherever they stand`()
    {
        func bitByBit(_ bytes: [UInt8]) -> UInt16 {
            var crc: UInt16 = 0
            for byte in bytes {
                crc ^= UInt16(byte) << 8
                for _ in 0..<8 { crc = crc & 0x8000 != 0 ? crc << 1 ^ 0x1021 : crc << 1 }
            }
            return crc
        }
        for count in 0..<40 {
            let key = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ count) | 0x80 }
            let slot = bitByBit(key) & 16383
            #expect(key.withUnsafeBytes { Slot.of($0) } == slot, "\(count)")
            for place in 0...count {
                let tagged = key[..<place] + Array("{tag}".utf8) + key[place...]
                #expect(
                    Array(tagged).withUnsafeBytes { Slot.of($0) } == PlacementTests.slot("tag"),
                    "\(place) of \(count)")
            }
        }
    }

    @Test func `the shared default table has no offset, others have their own`() {
        func offset(_ space: UInt64, _ name: String) -> UInt16 {
            Array(name.utf8).withUnsafeBytes { Slot.offset(Space(rawValue: space), table: $0) }
        }
        #expect(offset(0, "default") == 0)
        #expect(offset(7, "default") != 0)
        // Fixed for ever: records are where these numbers put them.
        #expect(offset(0, "users") == 3868)
        let offsets = Set((0..<1000).map { offset(0, "table\($0)") })
        #expect(offsets.count > 950)
        #expect(offsets.allSatisfy { $0 < 16384 })
    }

    @Test func `each group has one shard and shards share the groups evenly`() {
        for shards in [1, 2, 3, 8, 128] {
            var groups = [Int](repeating: 0, count: shards)
            for group in 0..<Slot.groups { groups[Slot.shard(ofGroup: group, shards: shards)] += 1 }
            #expect(groups.max()! - groups.min()! <= 1)
        }
        #expect(Slot.group(0) == 0)
        #expect(Slot.group(16_383) == 127)
    }

    @Test func `tables have numbers by space and name, and none by being asked about`() throws {
        var tables = Tables(seed: 1)
        func number(_ name: String, _ space: UInt64 = 0, adding: Bool = true) -> TableNumber? {
            Array(name.utf8).withUnsafeBytes {
                adding
                    ? tables.number(adding: $0, in: Space(rawValue: space))
                    : tables.number(of: $0, in: Space(rawValue: space))
            }
        }
        #expect(number("default", adding: false) == nil)
        let first = try #require(number("default"))
        #expect(number("default") == first)
        let tenants = try #require(number("default", 5))
        #expect(tenants != first)
        for count in 0..<5000 { #expect(number("t\(count)") != nil) }
        #expect(number("default", 5, adding: false) == tenants)
        let name = tables.name(tenants).map { String(decoding: $0, as: UTF8.self) }
        #expect(name == "default")
        let info = tables[tenants]
        #expect(info.space == Space(rawValue: 5))
        tables[first].readRule = .owner
        let plain = tables[first]
        #expect(plain.slotOffset == 0)
        #expect(plain.readRule == .owner)
        #expect(number("") == nil)
        #expect(number(String(repeating: "x", count: 129)) == nil)
        let count = tables.count
        #expect(count == 5002)
    }

    @Test func `names are bounded and found again`() {
        var names = Names(namesMax: 1000, firstNumber: Principal.firstNamed, seed: 4)
        func add(_ name: String) -> UInt32? {
            Array(name.utf8).withUnsafeBytes { names.number(adding: $0) }
        }
        for number in 0..<1000 {
            let given = add("user\(number)")
            #expect(given == UInt32(number) + 2)
        }
        #expect(add("one more") == nil)
        #expect(add("user999") == 1001)
        func name(_ number: UInt32) -> String? {
            names.name(number).map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(name(2) == "user0")
        #expect(name(1) == nil)
        #expect(name(1002) == nil)
    }

    @Test func `hashes differ by table, by length and by seed`() {
        let one = KeyHash(seed: 1)
        var seen = Set<UInt64>()
        var made = 0
        for table in [TableNumber(0), 1, 2] {
            for count in 0..<100 {
                let key = [UInt8](repeating: 0, count: count)
                key.withUnsafeBytes { _ = seen.insert(one.hash(table, $0)) }
                made += 1
            }
        }
        #expect(seen.count == made)
        let key = Array("key".utf8)
        key.withUnsafeBytes { #expect(one.hash(0, $0) != KeyHash(seed: 2).hash(0, $0)) }
    }
}
