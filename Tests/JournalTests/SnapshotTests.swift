import Journal
import Keyspace
import Simulation
import Testing

@Suite("A snapshot") struct SnapshotTests {
    /// Takes a snapshot of these samples, dealt to shards by slot, and makes it count.
    static func take(
        _ scribe: Scribe, _ samples: [Sample], number: UInt64 = 1, rowsMax: Int = 1000
    ) throws {
        let shards = scribe.epoch.shards
        let starts = scribe.logs.map { $0.writer.appended }
        let first = scribe.logs.map { $0.writer.openSequence }
        let file = try SnapshotFile(
            scribe.disk, SnapshotHeader(epoch: scribe.epoch, number: number, starts: starts))
        for shard in 0..<shards {
            let rows = SnapshotRows(shard: shard)
            for sample in samples
            where Slot.shard(ofGroup: Slot.group(sample.slot), shards: shards) == shard {
                sample.withRecord { rows.add($0) }
                if rows.isFull || rows.records >= rowsMax { try file.add(rows) }
            }
            try file.add(rows)
        }
        try file.finish(ends: scribe.logs.map { $0.writer.appended })
        for shard in 0..<shards { try scribe.sync(shard) }
        try file.publish()
        let before = try Recovery.open(scribe.disk).manifest!
        let manifest = before.covered(by: file.header, firstSegments: first)
        try manifest.write(scribe.disk)
        for path in try manifest.unneeded(scribe.disk) { try scribe.disk.remove(path) }
    }

    @Test(arguments: [1, 3, 1000], [1, 2, 5]) func `gives back every part of every record`(
        _ rowsMax: Int, _ shards: Int
    ) throws {
        var samples = LogTests.kinds.filter { $0.kind != .evicted }
        for place in samples.indices { samples[place].key += "\(place)" }
        samples = samples.filter { $0.key.utf8.count <= Key.bytesMax }
        samples += (0..<300).map { Sample($0) }
        let disk = SimulatedDisk(seed: 1)
        let scribe = try Scribe(disk, shards: shards)
        try Self.take(scribe, samples, rowsMax: rowsMax)
        disk.cutPower()
        #expect(try Set(recovered(disk, shards: shards).joined()) == Set(samples))
        #expect(try recovered(disk, shards: 3).joined().count == samples.count)
        for (shard, found) in try recovered(disk, shards: 3).enumerated() {
            #expect(
                found.allSatisfy {
                    Slot.shard(ofGroup: Slot.group($0.slot), shards: 3) == shard
                })
        }
    }

    @Test func `takes the place of the log before it, and the log goes on behind it`() throws {
        let disk = SimulatedDisk(seed: 2)
        let scribe = try Scribe(disk)
        for number in 0..<300 { try scribe.write([Sample(number)]) }
        let segments = disk.paths.count
        try Self.take(scribe, (0..<300).map { Sample($0) })
        #expect(disk.paths.count < segments)
        try scribe.write([Sample(300)])
        try scribe.sync()
        disk.cutPower()
        #expect(try recovered(disk) == [(0...300).map { Sample($0) }])
        let second = try Scribe(disk, shards: 2)
        try second.write([Sample(301)], shard: 1)
        #expect(try recovered(disk).joined().count == 302)
        try Self.take(second, (0...301).map { Sample($0) }, number: 2)
        #expect(try recovered(disk).joined().count == 302)
        #expect(disk.paths.count == 4)
    }

    @Test func `an empty one is one`() throws {
        let disk = SimulatedDisk(seed: 3)
        try Self.take(try Scribe(disk, shards: 2), [])
        #expect(try recovered(disk) == [[]])
    }

    @Test func `keeps text of any letters, and bytes that look like words it would have packed`()
        throws
    {
        let vocabulary = (0..<700).map {
            "word\($0 % 26)" + String(repeating: "ab", count: $0 % 17)
        }
        var samples: [Sample] = []
        for number in 0..<900 {
            var sample = Sample(number)
            var value = number % 7 == 0 ? "\u{80}\u{7FF} naïve " : ""
            for place in 0..<number % 60 {
                value += vocabulary[(number * 31 + place * place) % vocabulary.count]
                value += place % 3 == 0 ? " " : place % 5 == 0 ? "\u{FFFD}" : ", "
            }
            sample.value = number % 11 == 0 ? String(repeating: "z", count: number) : value
            samples.append(sample)
        }
        for rowsMax in [1, 40, 1000] {
            let disk = SimulatedDisk(seed: 4)
            try Self.take(try Scribe(disk), samples, rowsMax: rowsMax)
            #expect(try Set(recovered(disk)[0]) == Set(samples))
            #expect(try Salvage(disk).report.snapshotRecords == 900)
        }
    }

    @Test func `of words takes a third of what they take`() throws {
        let disk = SimulatedDisk(seed: 5)
        let words = [
            "the", "north", "wind", "and", "sun", "were", "disputing", "which", "stronger",
        ]
        let samples = (0..<2000).map { number in
            var sample = Sample(number)
            var random = Random(seed: UInt64(number))
            sample.value = (0..<60).map { _ in words[random.below(9)] }.joined(separator: " ")
            return sample
        }
        try Self.take(try Scribe(disk), samples)
        let bytes = samples.reduce(0) { $0 + $1.value.utf8.count }
        #expect(disk.contents(of: FileNames.snapshot).count < bytes / 3)
    }
}
