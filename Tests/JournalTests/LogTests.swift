import Journal
import Keyspace
import Simulation
import Testing

@Suite("A log") struct LogTests {
    @Test func `gives back what was written after a kill, and after a power cut what was synced`()
        throws
    {
        let disk = SimulatedDisk(seed: 1)
        let scribe = try Scribe(disk)
        let samples = (0..<10).map { Sample($0) }
        try scribe.write(samples)
        #expect(try recovered(disk.copy()) == [samples])
        try scribe.sync()
        disk.cutPower()
        #expect(try recovered(disk) == [samples])
    }

    @Test(arguments: Self.kinds) func `keeps every part of a record`(_ sample: Sample) throws {
        let disk = SimulatedDisk(seed: 2)
        let scribe = try Scribe(disk)
        try scribe.write([Sample(1), sample, Sample(2)])
        #expect(try recovered(disk) == [[Sample(1), sample, Sample(2)]])
    }

    static let kinds: [Sample] = {
        var plain = Sample()
        plain.version = 1 << 38 - 1
        var file = Sample()
        file.valueKind = .bytes
        file.contentType = "text/plain; charset=utf-8"
        file.value = ""
        var list = Sample()
        list.valueKind = .list
        list.expiresAt = 1_700_000_000_123
        list.created = 5
        var far = Sample()
        far.table = "t"
        far.space = .max
        far.owner = .anonymous
        far.key = String(repeating: "k", count: 1024)
        var gone = Sample()
        gone.kind = .deleted
        gone.value = ""
        gone.owner = .system
        var evicted = gone
        evicted.kind = .evicted
        var replicated = Sample()
        replicated.term = 3
        replicated.index = 4
        var named = Sample()
        named.table = String(repeating: "n", count: 128)
        var seven = Sample()
        seven.table = "defaulx"
        var large = Sample()
        large.value = String(repeating: "v", count: 3 << 20)
        var all = list
        all.valueKind = .bytes
        all.table = "files"
        all.space = 42
        all.contentType = String(repeating: "c", count: 65_535)
        all.term = 1
        return [plain, file, list, far, gone, evicted, replicated, named, seven, large, all]
    }()

    /// What came after the first version of the format.
    static let laterKinds: [Sample] = {
        var spliced = Sample()
        spliced.kind = .spliced
        spliced.valueKind = .list
        spliced.value = "\u{1}a\u{1}\u{2}bc\u{2}"
        spliced.base = 3 << 20
        spliced.splicePlace = 17
        spliced.spliceRemoved = 5
        spliced.spliceCountChange = -3
        var bare = spliced
        bare.value = ""
        bare.expiresAt = 1_700_000_000_123
        bare.table = "lists"
        var all = spliced
        all.created = 5
        all.expiresAt = 1_700_000_000_123
        all.space = 42
        all.term = 1
        all.contentType = "c"
        all.table = "files"
        return [spliced, bare, all]
    }()

    @Test(arguments: Self.laterKinds)
    func `keeps every part of a change of a list, in a transaction and alone`(
        _ sample: Sample
    ) throws {
        let disk = SimulatedDisk(seed: 2)
        let scribe = try Scribe(disk)
        var within = sample
        within.transaction = 1 << 60 + 7
        try scribe.write([Sample(1), sample, within])
        scribe.logs[0].writer.append(TransactionEnd(id: within.transaction))
        try scribe.write([Sample(2)])
        #expect(try recovered(disk) == [[Sample(1), sample, within, Sample(2)]])
    }

    @Test func `goes on over many segments, and forgets none in order`() throws {
        let disk = SimulatedDisk(seed: 3)
        let scribe = try Scribe(disk)
        var all: [Sample] = []
        for turn in 0..<200 {
            let samples = (0..<5).map { Sample(turn * 5 + $0, bytes: 30 + turn % 90) }
            try scribe.write(samples)
            if turn % 3 == 0 { try scribe.sync() }
            all += samples
        }
        try scribe.sync()
        #expect(disk.paths.count > 8)
        #expect(try recovered(disk) == [all])
        disk.cutPower()
        #expect(try recovered(disk) == [all])
    }

    @Test func `keeps the positions that a keyspace gave`() throws {
        let disk = SimulatedDisk(seed: 4)
        let scribe = try Scribe(disk)
        #expect(try scribe.write([Sample(1), Sample(2)]) == 2)
        #expect(try scribe.write([Sample(3)]) == 3)
        #expect(scribe.logs[0].writer.written == 3)
        #expect(scribe.logs[0].writer.synced == 0)
        try scribe.sync()
        #expect(scribe.logs[0].writer.synced == 3)
    }

    @Test func `of a run that was cut off is cut where it tore, and the next run goes on`() throws {
        for seed in 0..<50 as Range<UInt64> {
            let disk = SimulatedDisk(seed: seed)
            let scribe = try Scribe(disk)
            try scribe.write([Sample(1), Sample(2)])
            try scribe.sync()
            for number in 3..<12 { try scribe.write([Sample(number, bytes: 700)]) }
            disk.cutPower()
            let first = try recovered(disk)[0]
            #expect(first.count >= 2)
            #expect(
                first
                    == (1..<1 + first.count).map { number in
                        number < 3 ? Sample(number) : Sample(number, bytes: 700)
                    })
            let second = try Scribe(disk)
            try second.write([Sample(100)])
            try second.sync()
            disk.cutPower()
            #expect(try recovered(disk) == [first + [Sample(100)]])
        }
    }

    /// A shard that was idle: its log was synced to the end before the snapshot began, so that its last
    /// frame alone is not. The old segment went, and the sync that named it failed as if the disk had.
    @Test func `lets a segment go only when no sync can name it any more`() throws {
        let disk = SimulatedDisk(seed: 7)
        let scribe = try Scribe(disk)
        let log = scribe.logs[0]
        try scribe.write([Sample(1)])
        try scribe.sync()
        _ = log.writer.rotate()
        let asked = log.writer.wantsSegment()
        let wish = try #require(asked)
        log.writer.segmentReady(wish, try wish.make(disk))
        let isRotated = log.writer.rotate()
        let (end, segment) = (log.writer.appended, log.writer.openSequence)
        #expect(isRotated && segment == 2)
        func isCovered() -> Bool { log.writer.covers(end, from: segment) }
        #expect(!isCovered())
        try scribe.flush()
        #expect(!isCovered())
        let begun = log.writer.beginSync()
        let sync = try #require(begun)
        #expect(!isCovered())
        for number in 0..<sync.files { try disk.sync(log.writer.syncFile(number)) }
        log.writer.synced(sync)
        #expect(isCovered())
        try disk.remove(FileNames.segment(epoch: scribe.epoch.number, shard: 0, sequence: 1))
        try scribe.flush()
        try scribe.write([Sample(2)])
        try scribe.sync()
        #expect(log.writer.synced == 2)
    }

    @Test func `is read out of a segment of written zeros as out of one that was set aside`() throws
    {
        var files: [[UInt8]] = []
        for zeroed in [false, true] {
            let disk = SimulatedDisk(seed: 9)
            let scribe = try Scribe(disk)
            let log = scribe.logs[0]
            try scribe.append(Sample(1))
            _ = log.writer.rotate()
            let asked = log.writer.wantsSegment()
            let wish = try #require(asked)
            log.writer.segmentReady(wish, try wish.make(disk, zeroed: zeroed))
            _ = log.writer.rotate()
            try scribe.flush()
            try scribe.write([Sample(2), Sample(3)])
            try scribe.sync()
            let path = FileNames.segment(epoch: scribe.epoch.number, shard: 0, sequence: 2)
            files.append(disk.contents(of: path))
            disk.cutPower()
            #expect(try recovered(disk) == [(1...3).map { Sample($0) }])
        }
        #expect(files[0] == files[1])
    }

    @Test func `costs some 70 bytes beyond key and value alone, and some 45 in a full turn`() throws
    {
        let disk = SimulatedDisk(seed: 5)
        let scribe = try Scribe(disk, sizes: LogWriter.Sizes())
        let before = scribe.logs[0].writer.bytesWritten
        for number in 0..<100 { try scribe.write([Sample(number, bytes: 346)]) }
        let bytes = Int(scribe.logs[0].writer.bytesWritten - before)
        let own = (0..<100).reduce(0) { $0 + 348 + "key\($1)".utf8.count }
        #expect((bytes - own) / 100 <= 72)
        let turn = scribe.logs[0].writer.bytesWritten
        try scribe.write((0..<16).map { Sample($0, bytes: 346) })
        let together = Int(scribe.logs[0].writer.bytesWritten - turn)
        #expect((together - (0..<16).reduce(0) { $0 + 348 + "key\($1)".utf8.count }) / 16 <= 50)
    }

    @Test func `leaves several segments in one turn, the last of them empty`() throws {
        let disk = SimulatedDisk(seed: 6)
        let scribe = try Scribe(disk)
        let log = scribe.logs[0]
        for number in 0..<4 {
            try scribe.append(Sample(number))
            _ = log.writer.rotate()
            let asked = log.writer.wantsSegment()
            let wish = try #require(asked)
            log.writer.segmentReady(wish, try wish.make(disk))
            let isRotated = log.writer.rotate()
            #expect(isRotated)
        }
        try scribe.flush()
        try scribe.sync()
        let isSafe = log.writer.written == 4 && log.writer.synced == 4
        let wantsWatermark = log.writer.wantsWatermark
        #expect(isSafe && wantsWatermark)
        try scribe.write([Sample(4)])
        #expect(try recovered(disk.copy()) == [(0..<5).map { Sample($0) }])
        try scribe.sync()
        disk.cutPower()
        #expect(try recovered(disk) == [(0..<5).map { Sample($0) }])
    }

    /// A write that evicts many records appends more than there was room for. Such a segment was left
    /// without a word that the log goes on, and a start without the one that followed it succeeded.
    @Test func `misses the segment after one that was filled beyond its room`() throws {
        let disk = SimulatedDisk(seed: 8)
        let scribe = try Scribe(disk)
        let log = scribe.logs[0]
        Sample(1, bytes: 5000).withRecord { _ = log.writer.append($0) }
        let asked = log.writer.wantsSegment()
        let wish = try #require(asked)
        log.writer.segmentReady(wish, try wish.make(disk))
        let isRotated = log.writer.rotate()
        let wanted = log.writer.wantsGrowth
        let growth = try #require(wanted)
        #expect(isRotated)
        try disk.allocate(growth.file, bytes: growth.bytes)
        log.writer.grown(growth)
        try scribe.write([Sample(2)])
        try scribe.sync()
        #expect(try recovered(disk) == [[Sample(1, bytes: 5000), Sample(2)]])
        disk.erase(FileNames.segment(epoch: scribe.epoch.number, shard: 0, sequence: 2))
        #expect(throws: JournalFailure.self) { try recovered(disk) }
    }
}
