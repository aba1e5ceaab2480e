import Keyspace

/// Everything a directory says when each of its bytes is looked at, good or bad.
public struct CheckReport: Sendable {
    public var node: NodeID?
    /// What stands in the way of a start, and where.
    public var damage: [Damage] = []
    /// What a start would cut off, and say so.
    public var cuts: [Cut] = []
    /// Files nothing refers to; a start removes them.
    public var leftovers: [String] = []
    public var snapshotRecords: UInt64 = 0
    public var snapshotTombstones: UInt64 = 0
    public var logs = 0
    /// Changes in the logs that are not in the snapshot.
    public var changes: UInt64 = 0

    public var isSound: Bool { damage.isEmpty }
}

/// A directory read as far as it can be, for `needletail check`. Nothing in it is changed.
public struct Salvage: Sendable {
    public private(set) var report = CheckReport()
    private let recovery: Recovery
    private var verdicts: [[LogSource.Verdict]] = []
    /// Blocks of the snapshot that are what was written.
    private var blocks: [SnapshotFooter.Block] = []

    /// Looks at everything. Throws only where the disk itself refuses.
    public init(_ disk: any Disk) throws(DiskFailure) {
        var damage: [Damage] = []
        var contents = Contents()
        var found: Recovery?
        do throws(JournalFailure) {
            contents = try Contents.list(disk)
            // What a start would say comes first.
            found = try Recovery.open(disk)
        } catch { try Salvage.note(error, &damage) }
        var snapshot = found?.snapshot
        if found == nil {
            var manifest: Manifest?
            if contents.hasManifest {
                do throws(JournalFailure) { manifest = try Contents.readManifest(disk) } catch {
                    try Salvage.note(error, &damage)
                }
            }
            if contents.hasSnapshot {
                do throws(JournalFailure) { snapshot = try SnapshotSource.open(disk) } catch {
                    try Salvage.note(error, &damage)
                    snapshot = try Salvage.scan(disk)
                }
            }
            let likely: Manifest
            if let manifest {
                likely = manifest
            } else {
                likely = try Salvage.manifest(disk, contents, snapshot)
            }
            do throws(JournalFailure) {
                found = try Recovery(likely, snapshot, contents)
            } catch {
                // The snapshot and the manifest don't belong together: the logs are believed.
                snapshot = nil
                found = try? Recovery(likely, nil, contents)
            }
        }
        recovery = found ?? .none
        report.node = recovery.node
        report.leftovers = recovery.leftovers
        for logs in recovery.epochs {
            var each: [LogSource.Verdict] = []
            for log in logs {
                var verdict = LogSource.Verdict(last: log.start)
                do throws(JournalFailure) { try log.follow(disk, &verdict) } catch {
                    try Salvage.note(error, &damage)
                }
                report.logs += 1
                report.changes += verdict.last - min(verdict.last, log.start)
                report.cuts += verdict.cuts
                each.append(verdict)
            }
            verdicts.append(each)
        }
        if let snapshot { try check(disk, snapshot, &damage) }
        var seen: Set<Damage> = []
        report.damage = damage.filter { seen.insert($0).inserted }
    }

    private static func note(
        _ failure: JournalFailure, _ damage: inout [Damage]
    ) throws(DiskFailure) {
        switch failure {
        case .damage(let found): damage.append(found)
        case .disk(let failure): throw failure
        }
    }

    /// Unpacks every block of the snapshot.
    private mutating func check(
        _ disk: any Disk, _ snapshot: SnapshotSource, _ damage: inout [Damage]
    ) throws(DiskFailure) {
        let file = try disk.open(FileNames.snapshot, forWriting: false)
        defer { disk.close(file) }
        var reader = SnapshotBlockReader()
        let key = snapshot.header.key
        for block in snapshot.footer.blocks {
            var records: UInt64 = 0
            var tombstones: UInt64 = 0
            do throws(JournalFailure) { try snapshot.load(disk, file, block, &reader) } catch {
                try Salvage.note(error, &damage)
                continue
            }
            let isSound = reader.read(block, key: key) { record in
                if record.kind == .updated { records += 1 } else { tombstones += 1 }
            }
            guard isSound else {
                damage.append(SnapshotSource.damage(block))
                continue
            }
            report.snapshotRecords += records
            report.snapshotTombstones += tombstones
            blocks.append(block)
            reader.shrink()
        }
    }

    // MARK: Where heads or feet are missing

    /// A snapshot without its footer: the blocks that follow each other from its beginning.
    private static func scan(_ disk: any Disk) throws(DiskFailure) -> SnapshotSource? {
        let file = try disk.open(FileNames.snapshot, forWriting: false)
        defer { disk.close(file) }
        let size = try disk.size(file)
        guard let header = try? SnapshotSource.header(disk, file) else { return nil }
        var footer = SnapshotFooter()
        footer.ends = header.starts
        var offset = header.bytes.count
        while offset + SnapshotBlock.headBytes <= size {
            let head = try disk.bytes(file, at: offset, count: SnapshotBlock.headBytes)
            guard let block = SnapshotFooter.Block(head, at: offset),
                block.shard < header.starts.count, offset + Int(block.bytes) <= size
            else { break }
            footer.blocks.append(block)
            offset += Int(block.bytes)
        }
        return SnapshotSource(header: header, footer: footer, bytes: size)
    }

    /// What a lost manifest must have said, from the segments that are there.
    private static func manifest(
        _ disk: any Disk, _ contents: Contents, _ snapshot: SnapshotSource?
    ) throws(DiskFailure) -> Manifest {
        var manifest = Manifest(
            node: snapshot?.header.epoch.node ?? NodeID(high: 0, low: 0),
            snapshot: snapshot?.header.number ?? 0, runs: [])
        for number in Set(contents.segments.map(\.epoch)).sorted() where number > 0 {
            let segments = contents.segments.filter { $0.epoch == number }
            var epoch: Epoch?
            for segment in segments where epoch == nil {
                let path = FileNames.segment(
                    epoch: number, shard: segment.shard, sequence: segment.sequence)
                let file = try disk.open(path, forWriting: false)
                defer { disk.close(file) }
                let header = try disk.bytes(file, at: 0, count: Segment.headerBytes)
                epoch = Segment(reading: header)?.epoch
            }
            guard let epoch, epoch.number == number else { continue }
            manifest.node = epoch.node
            let logs = (0..<epoch.shards).map { shard in
                let first = segments.filter { $0.shard == shard }.map(\.sequence).min()
                return Manifest.Log(start: 0, end: nil, firstSegment: first ?? 0)
            }
            manifest.runs.append(Manifest.Run(number: number, salt: epoch.salt, logs: logs))
        }
        return manifest
    }

    // MARK: Repair

    /// Writes what can be read into an empty directory: the sound blocks of the snapshot, and
    /// each log up to the first damage in it. A node starts there without complaint; what it
    /// lacks is what `report` names.
    public func write(from disk: any Disk, into other: any Disk) throws(DiskFailure) {
        guard let manifest = recovery.manifest else { return }
        try other.makeDirectory(FileNames.logs)
        var runs: [Manifest.Run] = []
        for (logs, each) in zip(recovery.epochs, verdicts) {
            var run = Manifest.Run(number: logs[0].epoch.number, salt: logs[0].epoch.salt, logs: [])
            for (log, verdict) in zip(logs, each) {
                let isNeeded = verdict.last > log.start
                run.logs.append(
                    Manifest.Log(
                        start: log.start, end: verdict.last,
                        firstSegment: isNeeded ? log.firstSegment : 0))
                guard isNeeded else { continue }
                for (sequence, bytes) in zip(log.sequences, verdict.segmentBytes) {
                    try Salvage.copy(disk, log.segment(sequence).path, bytes, into: other)
                }
            }
            runs.append(run)
        }
        try other.syncDirectory(FileNames.logs)
        var number: UInt64 = 0
        if let snapshot = recovery.snapshot {
            try rewrite(disk, snapshot, into: other)
            number = snapshot.header.number
        }
        try Manifest(node: manifest.node, snapshot: number, runs: runs).write(other)
    }

    private static func copy(
        _ disk: any Disk, _ path: String, _ bytes: Int, into other: any Disk
    ) throws(DiskFailure) {
        let source = try disk.open(path, forWriting: false)
        defer { disk.close(source) }
        let target = try other.create(path)
        defer { other.close(target) }
        try copy(disk, source, 0, bytes, to: other, target, 0)
        try other.sync(target)
    }

    private static func copy(
        _ disk: any Disk, _ source: DiskFile, _ from: Int, _ bytes: Int, to other: any Disk,
        _ target: DiskFile, _ at: Int
    ) throws(DiskFailure) {
        var done = 0
        while done < bytes {
            let piece = try disk.bytes(
                source, at: from + done, count: min(Window.bytes, bytes - done))
            if piece.isEmpty { return }
            try other.write(target, piece, at: at + done)
            done += piece.count
        }
    }

    /// The snapshot with only its sound blocks, and a footer that asks for no more than is there.
    private func rewrite(
        _ disk: any Disk, _ snapshot: SnapshotSource, into other: any Disk
    ) throws(DiskFailure) {
        let source = try disk.open(FileNames.snapshot, forWriting: false)
        defer { disk.close(source) }
        let target = try other.create(FileNames.snapshot)
        defer { other.close(target) }
        let opening = snapshot.header.bytes
        try other.write(target, opening)
        var footer = SnapshotFooter()
        footer.ends = snapshot.header.starts
        footer.records = report.snapshotRecords
        footer.tombstones = report.snapshotTombstones
        var at = opening.count
        for block in blocks {
            try Salvage.copy(
                disk, source, Int(block.offset), Int(block.bytes), to: other, target, at)
            var moved = block
            moved.offset = UInt64(at)
            footer.blocks.append(moved)
            at += Int(block.bytes)
        }
        try other.write(target, footer.bytes(at: at, key: snapshot.header.key), at: at)
        try other.sync(target)
        try other.syncDirectory("")
    }
}

extension SnapshotFooter.Block {
    /// What a block's own head says of it; nil when it is none.
    init?(_ head: [UInt8], at offset: Int) {
        var taker = ByteTaker(head)
        guard taker.take(UInt32.self) == SnapshotBlock.magic,
            let bytes = taker.take(UInt32.self), bytes >= SnapshotBlock.headBytes,
            let rawBytes = taker.take(UInt32.self), rawBytes <= SnapshotBlock.rawBytesMax,
            let records = taker.take(UInt32.self), records <= SnapshotBlock.recordsMax,
            let shard = taker.take(UInt16.self), taker.take(UInt16.self) == 0
        else { return nil }
        self.init(
            offset: UInt64(offset), bytes: bytes, rawBytes: rawBytes, records: records,
            shard: shard)
    }
}
