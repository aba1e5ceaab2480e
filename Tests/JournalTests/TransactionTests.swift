import Journal
import Keyspace
import Simulation
import Testing

/// Which records of transactions a recovery believes.
@Suite("Transactions in a log") struct TransactionTests {
    private static func part(_ number: Int, of transaction: UInt64) -> Sample {
        var sample = Sample(number)
        sample.transaction = transaction
        return sample
    }

    @Test func `one without an end never was, and what others wrote meanwhile is there`() throws {
        let disk = SimulatedDisk(seed: 1)
        let scribe = try Scribe(disk)
        try scribe.write([Sample(1), Self.part(2, of: 9), Sample(3), Self.part(4, of: 9)])
        #expect(try recovered(disk) == [[Sample(1), Sample(3)]])
        #expect(try Salvage(disk).report.isSound)
    }

    @Test func `one with its end is there, wherever other records lie between`() throws {
        let disk = SimulatedDisk(seed: 1)
        let scribe = try Scribe(disk)
        let all = [Sample(1), Self.part(2, of: 9), Sample(3), Self.part(4, of: 9)]
        try scribe.write(all)
        let before = scribe.logs[0].writer.appended
        #expect(scribe.logs[0].writer.append(TransactionEnd(id: 9)) == before + 1)
        try scribe.write([Sample(5)])
        #expect(scribe.logs[0].writer.appended == before + 2)
        #expect(try recovered(disk) == [all + [Sample(5)]])
    }

    /// Slots decide which shard a key is on; these tests put a sample wherever they like and ask for
    /// what a log of two shards says.
    private static func twoShards(
        _ body: (Scribe, _ first: Sample, _ second: Sample) throws -> Void
    ) throws {
        let disk = SimulatedDisk(seed: 1)
        let scribe = try Scribe(disk, shards: 2)
        let home = { (sample: Sample) in Slot.shard(ofGroup: Slot.group(sample.slot), shards: 2) }
        let first = try #require((0..<100).first { home(Sample($0)) == 0 })
        let second = try #require((0..<100).first { home(Sample($0)) == 1 })
        try body(scribe, Self.part(first, of: 9), Self.part(second, of: 9))
    }

    @Test func `its end on one shard speaks for the others`() throws {
        try Self.twoShards { scribe, first, second in
            try scribe.write([first], shard: 0)
            try scribe.write([second], shard: 1)
            #expect(try recovered(scribe.disk, shards: 2) == [[], []])
            scribe.logs[1].writer.append(
                TransactionEnd(id: 9, others: [.init(shard: 0, last: 1)]))
            try scribe.flush(1)
            #expect(try recovered(scribe.disk, shards: 2) == [[first], [second]])
        }
    }

    @Test func `a power cut that takes one part takes all`() throws {
        try Self.twoShards { scribe, first, second in
            try scribe.write([first], shard: 0)
            try scribe.write([second], shard: 1)
            scribe.logs[1].writer.append(
                TransactionEnd(id: 9, others: [.init(shard: 0, last: 1)]))
            try scribe.flush(1)
            try scribe.sync(1)
            scribe.disk.cutPower()
            // Unless the disk happened to have it.
            let found = try recovered(scribe.disk, shards: 2)
            #expect(found == [[], []] || found == [[first], [second]])
            // Whatever was decided stays so.
            let later = try Scribe(scribe.disk, shards: 2)
            try later.write([Sample(100)], shard: 0)
            let again = try recovered(scribe.disk, shards: 2).joined().filter {
                $0.transaction == 9
            }
            #expect(again == Array(found.joined()))
        }
    }
}
