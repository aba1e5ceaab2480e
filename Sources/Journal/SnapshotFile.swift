public import Keyspace

/// A snapshot as it is written, by one worker at a time.
///
/// ```swift
/// let file = try SnapshotFile(disk, header)      // storage.db.new; starts: each log's position
/// try file.add(rows)                             // until every shard has walked to its end
/// try file.finish(ends: …)                       // each log's position now, after all walks
/// …                                              // every log is synced up to its end
/// try file.publish()                             // storage.db
/// try manifest.covered(by: file, …).write(disk)  // then older segments may go
/// ```
///
/// `starts` and `ends` are taken while no transaction over shards is under way, so that none
/// is in the snapshot by half. If anything throws, `abandon`: the snapshot there was still counts,
/// with the logs there were.
public final class SnapshotFile: @unchecked Sendable {
    public let header: SnapshotHeader
    public private(set) var footer = SnapshotFooter()
    /// Bytes written so far.
    public private(set) var bytes: Int
    private let disk: any Disk
    private let file: DiskFile
    private let key: UInt32
    private var maker = SnapshotBlockMaker()
    private var isOpen = true

    public init(_ disk: any Disk, _ header: SnapshotHeader) throws(DiskFailure) {
        invariant(
            header.starts.count == header.epoch.shards, "a snapshot's starts are not its shards'")
        try? disk.remove(FileNames.snapshotBeside)
        self.disk = disk
        self.header = header
        key = header.key
        let opening = header.bytes
        bytes = opening.count
        file = try disk.create(FileNames.snapshotBeside)
        do throws(DiskFailure) { try disk.write(file, opening) } catch {
            disk.close(file)
            throw error
        }
    }

    deinit { if isOpen { disk.close(file) } }

    /// Packs rows into a block and writes it. The rows are empty afterwards.
    public func add(_ rows: SnapshotRows) throws(DiskFailure) {
        defer { rows.clear() }
        if rows.isEmpty { return }
        let block = unsafe maker.make(rows, key: key, at: UInt64(bytes))
        unsafe try disk.write(file, at: bytes, block.bytes)
        bytes += unsafe block.bytes.count
        unsafe footer.blocks.append(block.entry)
        footer.records += UInt64(rows.records - rows.tombstones)
        footer.tombstones += UInt64(rows.tombstones)
        maker.shrink()
    }

    /// Completes the file and makes it safe. It doesn't count yet.
    public func finish(ends: [CommitPosition]) throws(DiskFailure) {
        invariant(
            zip(header.starts, ends).allSatisfy { $0 <= $1 } && ends.count == header.starts.count,
            "a snapshot ends before it begins")
        footer.ends = ends
        let closing = footer.bytes(at: bytes, key: key)
        try disk.write(file, closing, at: bytes)
        bytes += closing.count
        try disk.sync(file)
        disk.close(file)
        isOpen = false
    }

    /// Puts it in the place of the snapshot there was. Every log was synced up to its `ends`.
    public func publish() throws(DiskFailure) {
        invariant(!isOpen, "a snapshot was published before it was finished")
        try disk.rename(FileNames.snapshotBeside, to: FileNames.snapshot)
        try disk.syncDirectory("")
    }

    public func abandon() {
        if isOpen { disk.close(file) }
        isOpen = false
        try? disk.remove(FileNames.snapshotBeside)
    }
}

extension Manifest {
    /// The manifest once a snapshot of the running epoch counts: earlier runs are in it, and of
    /// this one the segments before `firstSegments` (by shard, those open when `starts` were
    /// taken) are no longer needed.
    public func covered(by header: SnapshotHeader, firstSegments: [UInt32]) -> Manifest {
        let logs = zip(header.starts, firstSegments).map {
            Log(start: $0, end: nil, firstSegment: $1)
        }
        return Manifest(
            node: node, snapshot: header.number,
            runs: [Run(number: header.epoch.number, salt: header.epoch.salt, logs: logs)])
    }

    /// The logs in the directory that nothing needs any more, once this manifest is written. Those
    /// who remove them need not succeed, nor sync: what remains is removed at the next start.
    public func unneeded(_ disk: any Disk) throws(DiskFailure) -> [String] {
        try disk.list(FileNames.logs).filter { name in
            guard let segment = FileNames.parse(name) else { return false }
            guard let run = runs.first(where: { $0.number == segment.epoch }),
                segment.shard < run.logs.count
            else { return segment.epoch < runs.last?.number ?? 0 }
            return segment.sequence < run.logs[segment.shard].firstSegment
        }.map { "\(FileNames.logs)/\($0)" }
    }
}
