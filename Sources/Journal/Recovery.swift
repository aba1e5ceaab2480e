/// What a directory holds, and the way from there to a running node.
///
/// ```swift
/// let recovery = try Recovery.open(disk)
/// let verdicts = try recovery.examine(disk)        // or each log on a thread of its own
/// try recovery.settle(disk, verdicts)              // cuts what was torn, removes leftovers
/// let undone = recovery.undone(verdicts)
/// try recovery.read(disk, for: shard, of: count, …) { … } // each shard's thread
/// let epoch = …                                    // number: recovery.nextEpoch
/// …                                                // first segments of all shards, synced
/// try recovery.manifest(verdicts, beginning: epoch, …).write(disk)
/// ```
///
/// Nothing of the new run may be acknowledged before that manifest is written. A crash anywhere
/// in between leaves a directory that is recovered to the same state.
public struct Recovery: Sendable {
    /// Nil where no node has ever been.
    public let manifest: Manifest?
    public let snapshot: SnapshotSource?
    /// The logs of each epoch that count, oldest first; in each by shard.
    public let epochs: [[LogSource]]
    /// Files nothing refers to.
    public let leftovers: [String]

    /// That of an empty directory.
    public static let none = Recovery(leftovers: [])

    public var node: NodeID? { manifest?.node }
    public var isEmpty: Bool { manifest == nil }
    /// The number of the run about to begin.
    public var nextEpoch: UInt64 { (manifest?.runs.last?.number ?? 0) + 1 }

    /// Reads what names the rest. Touches nothing.
    public static func open(_ disk: any Disk) throws(JournalFailure) -> Recovery {
        let contents = try Contents.read(disk)
        guard let manifest = contents.manifest else {
            return try empty(disk, contents)
        }
        let snapshot = try snapshot(disk, contents, manifest)
        return try Recovery(manifest, snapshot, contents)
    }

    /// Puts together which logs count.
    init(
        _ manifest: Manifest, _ snapshot: SnapshotSource?, _ contents: Contents
    ) throws(JournalFailure) {
        var epochs: [[LogSource]] = []
        var named: Set<String> = []
        for run in manifest.runs {
            let epoch = manifest.epoch(run)
            // The snapshot holds all that earlier runs wrote.
            if let snapshot, run.number < snapshot.header.epoch.number { continue }
            let covered = snapshot?.header.epoch.number == run.number ? snapshot : nil
            if let covered, covered.header.epoch != epoch {
                throw .damage(
                    Damage(FileNames.snapshot, 0, "it is of another run than the manifest's"))
            }
            var logs: [LogSource] = []
            for (shard, log) in run.logs.enumerated() {
                let sequences = contents.segments
                    .filter { $0.epoch == run.number && $0.shard == shard }
                    .map(\.sequence).filter { log.firstSegment > 0 && $0 >= log.firstSegment }
                    .sorted()
                logs.append(
                    LogSource(
                        epoch: epoch, shard: shard,
                        start: max(log.start, covered?.header.starts[shard] ?? 0),
                        end: log.end, reached: covered?.footer.ends[shard] ?? 0,
                        firstSegment: log.firstSegment, sequences: sequences))
                for sequence in sequences {
                    named.insert(Segment(epoch, shard: shard, sequence: sequence).path)
                }
            }
            epochs.append(logs)
        }
        self.manifest = manifest
        self.snapshot = snapshot
        self.epochs = epochs
        leftovers = contents.files.filter { !named.contains($0) }
    }

    private init(leftovers: [String]) {
        manifest = nil
        snapshot = nil
        epochs = []
        self.leftovers = leftovers
    }

    /// Follows every log to its end, one after the other.
    public func examine(_ disk: any Disk) throws(JournalFailure) -> [[LogSource.Verdict]] {
        var verdicts: [[LogSource.Verdict]] = []
        for logs in epochs {
            var each: [LogSource.Verdict] = []
            for log in logs { each.append(try log.examine(disk)) }
            verdicts.append(each)
        }
        return verdicts
    }

    /// Makes what was found the truth: cuts what was torn, and removes what nothing refers to.
    public func settle(
        _ disk: any Disk, _ verdicts: [[LogSource.Verdict]]
    ) throws(JournalFailure) {
        do throws(DiskFailure) {
            // After a kill what was read may be in memory only: a manifest just put in its place.
            try disk.syncDirectory("")
            for (logs, each) in zip(epochs, verdicts) {
                for (log, verdict) in zip(logs, each) { try log.settle(disk, verdict) }
            }
            for path in leftovers { try disk.remove(path) }
            if leftovers.contains(where: { $0.hasPrefix(FileNames.logs) }) {
                try disk.syncDirectory(FileNames.logs)
            }
        } catch {
            throw .disk(error)
        }
    }

    /// Hands everything that counts and belongs to one shard of `count` to `body`: the snapshot,
    /// then the logs, oldest first. A record may come more than once, and an older one after a
    /// newer: the highest stamp wins, in whatever takes them. What became of a key's record last
    /// comes last, so an evicted one doesn't come back.
    ///
    /// The slots of records of the snapshot are left out unless `withSlots`.
    ///
    /// What transactions that never came to their end have written doesn't count, and goes to
    /// `passedOver`; `undone` says which those are, where that was asked for before.
    ///
    /// Every shard of the new run calls this on its own thread.
    public func read(
        _ disk: any Disk, for shard: Int, of count: Int, verdicts: [[LogSource.Verdict]],
        undone: [Set<UInt64>]? = nil, withSlots: Bool = true,
        passedOver: (borrowing LogRecord) -> Void = { _ in },
        _ body: (borrowing LogRecord) -> Void
    ) throws(JournalFailure) {
        let undone = undone ?? self.undone(verdicts)
        if let snapshot {
            try snapshot.read(disk, for: shard, of: count, withSlots: withSlots, body)
        }
        for (number, logs) in epochs.enumerated() {
            for log in logs where log.hasRecords(for: shard, of: count) {
                try log.read(
                    disk, for: shard, of: count, verdicts: verdicts[number],
                    undone: undone[number], passedOver: passedOver, body)
            }
        }
    }

    /// About how many records `read` will bring to a shard: those of the snapshot.
    public func recordsExpected(for shard: Int, of count: Int) -> Int {
        guard let snapshot else { return 0 }
        let blocks = snapshot.footer.blocks
        if snapshot.header.epoch.shards != count {
            return blocks.reduce(0) { $0 + Int($1.records) } / count
        }
        return blocks.reduce(0) { $0 + (Int($1.shard) == shard ? Int($1.records) : 0) }
    }

    /// The transactions of each epoch that are not whole.
    public func undone(_ verdicts: [[LogSource.Verdict]]) -> [Set<UInt64>] {
        verdicts.map { TransactionsSeen.undone($0) }
    }

    /// The manifest of a run that begins on top of what was recovered, each of its logs with
    /// segment 1, after position 0.
    public func manifest(
        _ verdicts: [[LogSource.Verdict]], beginning epoch: Epoch
    ) -> Manifest {
        var runs: [Manifest.Run] = []
        for (logs, each) in zip(epochs, verdicts) {
            let isEmpty = zip(logs, each).allSatisfy { $0.start >= $1.last }
            // A run that changed nothing leaves nothing to remember.
            if isEmpty { continue }
            var run = Manifest.Run(number: logs[0].epoch.number, salt: logs[0].epoch.salt, logs: [])
            for (log, verdict) in zip(logs, each) {
                let isNeeded = verdict.last > log.start
                run.logs.append(
                    Manifest.Log(
                        start: log.start, end: verdict.last,
                        firstSegment: isNeeded ? log.firstSegment : 0))
            }
            runs.append(run)
        }
        runs.append(
            Manifest.Run(
                number: epoch.number, salt: epoch.salt,
                logs: Array(
                    repeating: Manifest.Log(start: 0, end: nil, firstSegment: 1),
                    count: epoch.shards)))
        return Manifest(
            node: epoch.node, snapshot: snapshot?.header.number ?? 0, runs: runs)
    }

    // MARK: Parts

    private static func snapshot(
        _ disk: any Disk, _ contents: Contents, _ manifest: Manifest
    ) throws(JournalFailure) -> SnapshotSource? {
        guard contents.hasSnapshot else {
            guard manifest.snapshot == 0 else {
                throw .damage(Damage(FileNames.snapshot, 0, "the file is missing"))
            }
            return nil
        }
        let snapshot = try SnapshotSource.open(disk)
        guard snapshot.header.epoch.node == manifest.node,
            snapshot.header.number >= manifest.snapshot
        else {
            throw .damage(
                Damage(FileNames.snapshot, 0, "it is not the snapshot that the manifest names"))
        }
        return snapshot
    }

    /// A directory without a manifest: new, or not ours to start in.
    private static func empty(
        _ disk: any Disk, _ contents: Contents
    ) throws(JournalFailure) -> Recovery {
        if contents.hasSnapshot {
            throw .damage(
                Damage(FileNames.manifest, 0, "it is missing, but there is a snapshot"))
        }
        // A first start that didn't get as far as its manifest leaves segments without frames.
        for segment in contents.segments {
            let path = FileNames.segment(
                epoch: segment.epoch, shard: segment.shard, sequence: segment.sequence)
            let window = try Window.open(disk, path)
            let hasFrames = try hasMoreThanHeader(window)
            if segment.epoch != 1 || segment.sequence != 1 || hasFrames {
                throw .damage(Damage(FileNames.manifest, 0, "it is missing, but there are logs"))
            }
        }
        return Recovery(leftovers: contents.files)
    }

    private static func hasMoreThanHeader(
        _ window: consuming Window
    ) throws(JournalFailure) -> Bool {
        var window = window
        var offset = Segment.headerBytes
        while offset + 8 <= window.size {
            guard let base = unsafe try window.bytes(offset, 8) else { break }
            if unsafe base.get(0, UInt64.self) != 0 { return true }
            offset += 8
        }
        return false
    }
}

/// The files of a directory, by what they are.
struct Contents {
    var manifest: Manifest?
    var hasManifest = false
    var hasSnapshot = false
    var segments: [(epoch: UInt64, shard: Int, sequence: UInt32)] = []
    /// All segments, and what was never finished. Other files are none of ours.
    var files: [String] = []

    static func read(_ disk: any Disk) throws(JournalFailure) -> Contents {
        var contents = try list(disk)
        if contents.hasManifest { contents.manifest = try readManifest(disk) }
        return contents
    }

    /// The files, without a look into any.
    static func list(_ disk: any Disk) throws(JournalFailure) -> Contents {
        var contents = Contents()
        do throws(DiskFailure) {
            let names = try disk.list("")
            contents.hasSnapshot = names.contains(FileNames.snapshot)
            for name in [FileNames.manifest, FileNames.snapshot] {
                let beside = name + FileNames.besideSuffix
                if names.contains(beside) { contents.files.append(beside) }
            }
            for name in try disk.list(FileNames.logs) {
                guard let segment = FileNames.parse(name) else { continue }
                contents.segments.append(segment)
                contents.files.append("\(FileNames.logs)/\(name)")
            }
            contents.hasManifest = names.contains(FileNames.manifest)
        } catch { throw .disk(error) }
        return contents
    }

    static func readManifest(_ disk: any Disk) throws(JournalFailure) -> Manifest {
        let bytes = try asking { () throws(DiskFailure) in
            try disk.contents(FileNames.manifest, bytesMax: Manifest.bytesMax)
        }
        return try judging { () throws(Damage) in
            guard let bytes else { throw Damage(FileNames.manifest, 0, "it is far too long") }
            return try Manifest.read(bytes)
        }
    }
}
