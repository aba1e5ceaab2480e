import Glibc
import Journal
import Keyspace
import Simulation
import Testing

/// Directories as released versions left them, read by every later one. They are in
/// `Tests/Fixtures`, and are never written again: a new format gets a new directory.
@Suite("Directories of earlier versions") struct FixtureTests {
    private static let root = "Tests/Fixtures/journal-1"
    private static let files = [
        "manifest", "storage.db", "journal/1-0-1.log", "journal/1-1-1.log", "journal/2-0-1.log",
    ]

    /// Everything format 1 can say: all parts of records, tombstones, an eviction, a transaction
    /// over two shards, a snapshot, a second run with another number of shards.
    static let samples: [Sample] = LogTests.kinds.filter { $0.value.utf8.count < 4096 }
        .filter { $0.contentType.utf8.count < 4096 }
        .enumerated().map { place, sample in
            var sample = sample
            sample.key = "key\(place)"
            sample.stamp = UInt64(place + 1) << 20
            return sample
        }

    private static func written() throws -> SimulatedDisk {
        let disk = SimulatedDisk(seed: 1)
        let first = try Scribe(disk, shards: 2)
        let early = samples.filter { $0.kind != .evicted }
        try SnapshotTests.take(first, Array(early.prefix(4)))
        var parts: [[Sample]] = [[], []]
        for sample in samples.dropFirst(4) {
            parts[Slot.shard(ofGroup: Slot.group(sample.slot), shards: 2)].append(sample)
        }
        let part = TransactionPart(
            id: 9,
            participants: [.init(shard: 0, begins: 1), .init(shard: 1, begins: 1)])
        for shard in 0..<2 {
            first.logs[shard].writer.beginPart(part, bytes: 1000)
            for sample in parts[shard] { try first.append(sample, shard: shard) }
            first.logs[shard].writer.endPart()
            try first.flush(shard)
            try first.sync(shard)
        }
        let second = try Scribe(disk)
        try second.write([Sample(100), Sample(101)])
        try second.sync()
        second.logs[0].writer.appendWatermark()
        try second.flush()
        for log in second.logs {
            let trim = log.writer.lastTrim
            try disk.truncate(trim.file, bytes: trim.bytes)
        }
        return disk
    }

    private static func load() -> SimulatedDisk {
        let disk = SimulatedDisk(seed: 1)
        for path in files {
            guard let file = fopen("\(root)/\(path)", "r") else { continue }
            defer { fclose(file) }
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            bytes.removeLast(bytes.count - fread(&bytes, 1, bytes.count, file))
            disk.place(path, bytes)
        }
        return disk
    }

    @Test func `format 1 is read, whatever the number of shards`() throws {
        if getenv("NEEDLETAIL_FIXTURES") != nil {
            let disk = try Self.written()
            for path in Self.files {
                let file = try #require(fopen("\(Self.root)/\(path)", "w"))
                let bytes = disk.contents(of: path)
                fwrite(bytes, 1, bytes.count, file)
                fclose(file)
            }
        }
        let disk = Self.load()
        try #require(disk.paths.count == Self.files.count, "a file is missing in \(Self.root)")
        let expected = Set(Self.samples + [Sample(100), Sample(101)])
        for shards in [1, 2, 3] {
            #expect(try Set(recovered(disk, shards: shards).joined()) == expected)
        }
        #expect(try Salvage(disk).report.isSound)
    }
}
