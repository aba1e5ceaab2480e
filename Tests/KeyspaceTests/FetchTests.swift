import Keyspace
import Testing

@Suite("Records fetched ahead") struct FetchTests {
    private static func get(_ key: String, near: FetchedRecord?, of shard: Shard) -> Answer? {
        let bytes = Array(key.utf8)
        return bytes.withUnsafeBytes { bytes in
            let key = Key(0, bytes, shard.space.hashing)
            let record =
                if let near { shard.space.get(key, near: near, at: shard.now) } else {
                    shard.space.get(key, at: shard.now)
                }
            return record.map { record in
                Answer(status: .found, value: Array(record.value), version: record.version)
            }
        }
    }

    private static func fetched(_ key: String, of shard: Shard) -> FetchedRecord {
        let bytes = Array(key.utf8)
        return bytes.withUnsafeBytes { bytes in
            let hash = shard.space.hashing.hash(0, bytes)
            shard.space.prepare(hash)
            return shard.space.fetch(hash)
        }
    }

    @Test func `a get finds what it finds without, also what is gone or never was`() throws {
        let shard = try Shard()
        for key in 0..<20_000 {
            shard.put("k\(key)", "\(key)", expiry: key % 7 == 0 ? .at(shard.now + 10) : .never)
        }
        for key in stride(from: 0, to: 20_000, by: 5) { _ = shard.delete("k\(key)") }
        shard.now += 20
        var found = 0
        for key in 0..<21_000 {
            let near = Self.fetched("k\(key)", of: shard)
            let answer = Self.get("k\(key)", near: near, of: shard)
            #expect(answer == Self.get("k\(key)", near: nil, of: shard), "k\(key)")
            if answer != nil { found += 1 }
        }
        #expect(found == (0..<20_000).count { $0 % 5 != 0 && $0 % 7 != 0 })
    }

    @Test func `one that was fetched for another key is no answer`() throws {
        let shard = try Shard()
        for key in 0..<1_000 { shard.put("k\(key)", "\(key)") }
        for key in 0..<1_000 {
            let other = Self.fetched("k\(999 - key)", of: shard)
            #expect(Self.get("k\(key)", near: other, of: shard)?.value == Array("\(key)".utf8))
            #expect(Self.get("no\(key)", near: other, of: shard) == nil)
            #expect(Self.get("k\(key)", near: FetchedRecord.none, of: shard) != nil)
        }
    }
}
