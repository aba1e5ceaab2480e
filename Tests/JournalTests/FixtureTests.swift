import Glibc
import Journal
import Keyspace
import Simulation
import Testing

/// Directories as released versions left them, read by every later one. They are in
/// `Tests/Fixtures`, and are never written again: a new format gets a new directory.
@Suite("Directories of earlier versions") struct FixtureTests {
    /// Everything the first form of format 1 can say: all parts of records, tombstones, an eviction,
    /// a transaction over two shards told by heads of parts, a snapshot, a second run with another
    /// number of shards.
    private static let first = "Tests/Fixtures/journal-1"
    /// What came later: changes of lists, records of transactions and their ends.
    private static let second = "Tests/Fixtures/journal-1-lists"

    static let samples: [Sample] = numbered(
        LogTests.kinds.filter { $0.value.utf8.count < 4096 }
            .filter { $0.contentType.utf8.count < 4096 })

    private static func numbered(_ samples: [Sample]) -> [Sample] {
        samples.enumerated().map { place, sample in
            var sample = sample
            sample.key = "key\(place)"
            sample.stamp = UInt64(place + 1) << 20
            return sample
        }
    }

    private static func home(_ sample: Sample) -> Int {
        Slot.shard(ofGroup: Slot.group(sample.slot), shards: 2)
    }

    /// Those alone, those of a transaction that ended, and of one that did not.
    private static var laterSamples: [[Sample]] {
        let kinds = numbered(LogTests.laterKinds + LogTests.kinds.prefix(3))
        return ([0, 5, 6] as [UInt64]).map { transaction in
            kinds.map { sample in
                var sample = sample
                sample.key += " of \(transaction)"
                sample.transaction = transaction
                return sample
            }
        }
    }

    private static func written() throws -> SimulatedDisk {
        let disk = SimulatedDisk(seed: 1)
        let scribe = try Scribe(disk, shards: 2)
        var lasts: [CommitPosition] = [0, 0]
        for samples in laterSamples {
            for sample in samples {
                let shard = home(sample)
                try scribe.append(sample, shard: shard)
                if sample.transaction == 5 { lasts[shard] = scribe.logs[shard].writer.appended }
            }
        }
        scribe.logs[0].writer.append(
            TransactionEnd(id: 5, others: [.init(shard: 1, last: lasts[1])]))
        for shard in 0..<2 {
            try scribe.flush(shard)
            try scribe.sync(shard)
            let trim = scribe.logs[shard].writer.lastTrim
            try disk.truncate(trim.file, bytes: trim.bytes)
        }
        return disk
    }

    private static func load(_ root: String, _ files: [String]) -> SimulatedDisk {
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
        let files = [
            "manifest", "storage.db", "journal/1-0-1.log", "journal/1-1-1.log",
            "journal/2-0-1.log",
        ]
        let disk = Self.load(Self.first, files)
        try #require(disk.paths.count == files.count, "a file is missing in \(Self.first)")
        let expected = Set(Self.samples + [Sample(100), Sample(101)])
        for shards in [1, 2, 3] {
            #expect(try Set(recovered(disk, shards: shards).joined()) == expected)
        }
        #expect(try Salvage(disk).report.isSound)
    }

    @Test func `changes of lists and ends of transactions are read, whatever the number of shards`()
        throws
    {
        let files = ["manifest", "journal/1-0-1.log", "journal/1-1-1.log"]
        if getenv("NEEDLETAIL_FIXTURES") != nil {
            let disk = try Self.written()
            for path in files {
                let file = try #require(fopen("\(Self.second)/\(path)", "w"))
                let bytes = disk.contents(of: path)
                fwrite(bytes, 1, bytes.count, file)
                fclose(file)
            }
        }
        let disk = Self.load(Self.second, files)
        try #require(disk.paths.count == files.count, "a file is missing in \(Self.second)")
        let expected = Set(Self.laterSamples[0] + Self.laterSamples[1])
        for shards in [1, 2, 3] {
            #expect(try Set(recovered(disk, shards: shards).joined()) == expected)
        }
        #expect(try Salvage(disk).report.isSound)
    }
}
