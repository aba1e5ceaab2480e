import Glibc
import Journal
import Keyspace
import Machine

/// From an RDB file to a directory that a node starts from.
///
/// The entries become a snapshot, as if an earlier run had taken it, so they are as safe as all
/// other records before the node says that it is ready. The file is read twice: once to know that
/// all of it is good, because its checksum stands at its end. Until the manifest is written a mark
/// in the directory says that none of this counts; a start that finds the mark begins anew.
struct DumpImport {
    let disk: FileDisk
    let directory: String
    let file: DumpFile
    let log: Log

    static let mark = "import.new"

    /// Takes the file in if it is there and the directory has never had records.
    func runAtFirstStart() throws(LoadFailure) {
        guard unsafe access(file.path, F_OK) == 0 else { return try discardHalf() }
        _ = try run()
    }

    /// Takes the file in; false where the directory has had records before.
    func run() throws(LoadFailure) -> Bool {
        try discardHalf()
        guard try isNew() else { return false }
        let began = Clock.monotonicMs()
        try file.verify()
        do throws(DiskFailure) {
            let mark = try disk.create(Self.mark)
            disk.close(mark)
            try disk.syncDirectory("")
        } catch { throw LoadFailure(error, in: directory) }
        let (reader, expired) = try write()
        do throws(DiskFailure) {
            try disk.remove(Self.mark)
            try disk.syncDirectory("")
        } catch { throw LoadFailure(error, in: directory) }
        log.info(
            "imported", ("file", file.path), ("written_by", reader.writtenBy ?? "unknown"),
            ("strings", "\(reader.totals.strings)"), ("lists", "\(reader.totals.lists)"),
            ("expired", "\(expired)"), ("ms", "\(Clock.monotonicMs() - began)"))
        if let warning = reader.totals.warning {
            log.warn("not imported", ("file", file.path), ("what", warning))
        }
        return true
    }

    private func isNew() throws(LoadFailure) -> Bool {
        do throws(JournalFailure) {
            return try Recovery.open(disk).isEmpty
        } catch {
            throw LoadFailure(error, in: directory)
        }
    }

    /// Removes what an import that was broken off has left.
    private func discardHalf() throws(LoadFailure) {
        do throws(DiskFailure) {
            let names = try disk.list("")
            guard names.contains(Self.mark) else { return }
            for name in [FileNames.manifest, FileNames.snapshot] where names.contains(name) {
                try disk.remove(name)
            }
            try disk.syncDirectory("")
            try disk.remove(Self.mark)
            try disk.syncDirectory("")
        } catch {
            throw LoadFailure(error, in: directory)
        }
    }

    /// The snapshot, and the manifest of a run that did nothing else.
    private func write() throws(LoadFailure) -> (RDBReader, expired: Int) {
        let epoch = Epoch(
            node: NodeID(high: Randomness.word(), low: Randomness.word()), number: 1,
            salt: Randomness.word(), shards: 1)
        let header = SnapshotHeader(epoch: epoch, number: 1, starts: [0])
        let snapshot: SnapshotFile
        do throws(DiskFailure) { snapshot = try SnapshotFile(disk, header) } catch {
            throw LoadFailure(error, in: directory)
        }
        let rows = SnapshotRows(shard: 0)
        let nowMs = Int64(Clock.wallMs())
        var clock = HybridClock(origin: 0)
        var expired = 0
        let reader: RDBReader
        do throws(LoadFailure) {
            reader = try file.read { (entry) throws(LoadFailure) in
                if let end = entry.expiresAtMs, end <= nowMs {
                    expired += 1
                    return
                }
                add(entry, clock.next(at: nowMs), to: rows)
                guard rows.isFull else { return }
                do throws(DiskFailure) { try snapshot.add(rows) } catch {
                    throw LoadFailure(error, in: directory)
                }
            }
        } catch {
            snapshot.abandon()
            throw error
        }
        do throws(DiskFailure) {
            try snapshot.add(rows)
            try snapshot.finish(ends: [0])
            try snapshot.publish()
            let logs = [Manifest.Log(start: 0, end: 0, firstSegment: 0)]
            let manifest = Manifest(
                node: epoch.node, snapshot: header.number,
                runs: [Manifest.Run(number: epoch.number, salt: epoch.salt, logs: logs)])
            try manifest.write(disk)
        } catch {
            snapshot.abandon()
            throw LoadFailure(error, in: directory)
        }
        return (reader, expired)
    }

    private func add(_ entry: RDBEntry, _ stamp: Stamp, to rows: SnapshotRows) {
        var record = LogRecord()
        record.stamp = stamp
        record.created = stamp
        record.version = 1
        record.expiresAt = entry.expiresAtMs ?? 0
        let value: [UInt8]
        switch entry.value {
        case .string(let bytes):
            record.valueKind = .bytes
            value = bytes
        case .list(let elements):
            record.valueKind = .list
            value = Self.list(of: elements)
        }
        let table = DumpNames.table(of: entry.database)
        unsafe table.withUnsafeBytes { table in
            unsafe entry.key.withUnsafeBytes { key in
                unsafe value.withUnsafeBytes { value in
                    let offset = unsafe Slot.offset(.shared, table: table)
                    record.slot = unsafe Slot.of(key, offset: offset)
                    unsafe record.table = table
                    unsafe record.key = key
                    unsafe record.value = value
                    rows.add(record)
                }
            }
        }
    }

    /// A list as its record's value holds it.
    private static func list(of elements: [[UInt8]]) -> [UInt8] {
        let used = elements.reduce(0) { $0 + ListForm.elementBytes($1.count) }
        let count = ListForm.headBytes + used
        return unsafe [UInt8](unsafeUninitializedCapacity: count) { room, filled in
            let target = UnsafeMutableRawBufferPointer(room)
            unsafe ListForm.writeHead(
                count: elements.count, front: ListForm.headBytes, used: used,
                to: target.baseAddress.unsafelyUnwrapped)
            var place = ListForm.headBytes
            for element in elements {
                unsafe element.withUnsafeBytes {
                    unsafe place += ListForm.write($0, to: target, at: place)
                }
            }
            filled = count
        }
    }
}
