import Journal
import Keyspace

/// One run of a simulated node: its shards' logs, what they were told, and a snapshot now and
/// then. It does with the journal what a node does, in an order that a seed decides.
struct JournalRun {
    enum End { case cut, failed, drained }

    final class Shell {
        var log: LogWriter
        var sync: LogWriter.Sync?

        init(_ log: consuming LogWriter) { self.log = log }
    }

    /// A snapshot under way.
    private struct Snapshot {
        var file: SnapshotFile
        var firstSegments: [UInt32]
        var rows: [SnapshotRows]
        /// By shard: the next key to be visited.
        var next: [Int]
        var ends: [CommitPosition]?
    }

    private let disk: SimulatedDisk
    private let epoch: Epoch
    private let shells: [Shell]
    private var manifest: Manifest
    private var snapshots: UInt64
    private var snapshot: Snapshot?
    private var state: [Int: JournalModel.Item] = [:]
    /// Keys of the transaction that is under way.
    private var held: Set<Int> = []
    private(set) var isRotating = false
    private(set) var isClosed = false
    var model: JournalModel.Run
    var stamp: UInt64 = 0

    var isInSnapshot: Bool { snapshot != nil }
    var written: [CommitPosition] { shells.map { $0.log.written } }
    var synced: [CommitPosition] { shells.map { $0.log.synced } }
    var appended: [CommitPosition] { shells.map { $0.log.appended } }

    init(
        _ disk: SimulatedDisk, _ epoch: Epoch, _ manifest: Manifest, _ shells: [Shell],
        snapshots: UInt64
    ) {
        self.disk = disk
        self.epoch = epoch
        self.manifest = manifest
        self.shells = shells
        self.snapshots = snapshots
        model = JournalModel.Run(
            number: epoch.number, base: [:], changes: shells.map { _ in [] })
    }

    private func home(_ key: Int) -> Int {
        Slot.shard(ofGroup: Slot.group(JournalModel.slots[key]), shards: shells.count)
    }

    // MARK: The storm

    mutating func storm(_ trial: inout JournalTrial) throws(JournalTrial.Finding) -> End {
        state = model.base
        let steps = 20 + trial.random.below(300)
        do {
            for _ in 0..<steps { try step(&trial) }
            try drain(&trial)
            return .drained
        } catch let finding as JournalTrial.Finding {
            throw finding
        } catch {
            return trial.outage.isOver ? .cut : .failed
        }
    }

    private mutating func step(_ trial: inout JournalTrial) throws {
        let shard = trial.random.below(shells.count)
        switch trial.random.below(40) {
        case 0...19: change(trial.random.below(JournalModel.keysMax), &trial)
        case 20...21: try transaction(&trial)
        case 22...29: try flush(shard, &trial)
        case 30...32: try beginSync(shard, &trial)
        case 33...34: try endSync(shard)
        case 35...37: try snapshotStep(&trial)
        case 38:
            if shells[shard].log.wantsWatermark {
                shells[shard].log.appendWatermark()
                try flush(shard, &trial)
            }
        default: trouble(&trial)
        }
    }

    /// A disk that has no more room, or refuses one call.
    private mutating func trouble(_ trial: inout JournalTrial) {
        let outage = trial.outage
        switch trial.random.below(12) {
        case 0...2:
            disk.capacity = disk.bytesUsed + trial.random.below(4096)
            trial.counts.shortages += 1
        case 3:
            outage.refusing = .sync
            outage.errno = 5
        case 4:
            outage.refusing = .write
            outage.errno = trial.random.once(in: 2) ? 28 : 5
        case 5:
            outage.refusing = .create
            outage.errno = 30
        default: disk.capacity = .max
        }
    }

    // MARK: Writing

    private mutating func change(_ key: Int, _ trial: inout JournalTrial, transaction: Int = -1) {
        if transaction < 0, held.contains(key) { return }
        let shard = home(key)
        let log = shells[shard]
        let (kind, item, change, splice) = draw(key, transaction, &trial.random)
        let bytes = JournalModel.withRecord(key, kind, item, splice, transaction: transaction) {
            $0.encodedBytes
        }
        guard makeRoom(shard, bytes, &trial) else { return }
        let position = JournalModel.withRecord(
            key, kind, item, splice, transaction: transaction
        ) { log.log.append($0) }
        model.changes[shard].append(change)
        if transaction >= 0 { model.transactions[transaction].lasts[shard] = position }
        if splice != nil { trial.counts.splices += 1 }
        JournalModel.apply(change, to: &state)
        if position != CommitPosition(model.changes[shard].count) {
            fatalError("a change got another position than its own")
        }
    }

    private mutating func draw(
        _ key: Int, _ transaction: Int, _ random: inout Random
    ) -> (LogRecord.Kind, JournalModel.Item, JournalModel.Change, JournalModel.Splice?) {
        let there = state[key]
        if let there, !there.isTombstone, transaction < 0, random.once(in: 12) {
            return (
                .evicted, there,
                JournalModel.Change(key: key, kind: .evict(upTo: there.stamp)), nil
            )
        }
        stamp += 1 + UInt64(random.below(3))
        if let there, !there.isTombstone, let list = there.list, random.below(6) > 0 {
            return splice(key, there, list, transaction, &random)
        }
        let seed = random.next()
        let isDelete = there.map { !$0.isTombstone } ?? false && random.once(in: 8)
        var item = JournalModel.Item(
            stamp: stamp, version: (there?.version ?? 0) + 1, value: seed, isTombstone: isDelete,
            expiresAt: !isDelete && random.once(in: 4) ? Int64(seed >> 20) : 0, owner: seed)
        if isDelete {
            item.value = 0
            item.owner = 0
        } else if key % 2 == 0 {
            item.list = (0..<1 + random.below(8)).map { _ in random.next() }
        }
        return (
            isDelete ? .deleted : .updated, item,
            JournalModel.Change(key: key, kind: .put(item), transaction: transaction), nil
        )
    }

    /// A list with a few elements more or fewer, mostly at its ends.
    private func splice(
        _ key: Int, _ there: JournalModel.Item, _ list: [UInt64], _ transaction: Int,
        _ random: inout Random
    ) -> (LogRecord.Kind, JournalModel.Item, JournalModel.Change, JournalModel.Splice?) {
        let range =
            switch random.below(5) {
            case 0: 0..<0
            case 1: list.count..<list.count
            case 2: 0..<min(list.count - 1, random.below(3))
            case 3: max(1, list.count - random.below(3))..<list.count
            default: random.below(list.count)..<list.count
            }
        let inserted = (0..<(range.isEmpty ? 1 : 0) + random.below(3)).map { _ in random.next() }
        var item = there
        item.stamp = stamp
        item.version += 1
        item.list?.replaceSubrange(range, with: inserted)
        let splice = JournalModel.Splice(
            base: there.stamp, range: range, before: list, inserted: inserted)
        if item.list?.isEmpty ?? true {
            item.list = nil
            item.isTombstone = true
            item.value = 0
            item.owner = 0
            item.expiresAt = 0
        }
        return (
            item.isTombstone ? .deleted : .spliced, item,
            JournalModel.Change(key: key, kind: .put(item), transaction: transaction),
            item.isTombstone ? nil : splice
        )
    }

    /// Asks for room as a node does before it carries a write out.
    private func makeRoom(_ shard: Int, _ bytes: Int, _ trial: inout JournalTrial) -> Bool {
        let shell = shells[shard]
        switch shell.log.room(for: bytes) {
        case .ready: return true
        case .refused: return false
        case .afterGrowing(let growth):
            do {
                try disk.allocate(growth.file, bytes: growth.bytes)
                shell.log.grown(growth)
                return true
            } catch {
                shell.log.failed(error, during: .growth)
                return false
            }
        }
    }

    /// Writes that belong together, on one shard or several, with other things done in between.
    private mutating func transaction(_ trial: inout JournalTrial) throws {
        let keys = (0..<2 + trial.random.below(6)).map { _ in
            trial.random.below(JournalModel.keysMax)
        }
        let number = model.transactions.count
        model.transactions.append(JournalModel.Transaction())
        trial.counts.transactions += 1
        held = Set(keys)
        for key in keys {
            change(key, &trial, transaction: number)
            for _ in 0..<trial.random.below(4) {
                switch trial.random.below(4) {
                case 0: change(trial.random.below(JournalModel.keysMax), &trial)
                case 1: try flush(trial.random.below(shells.count), &trial)
                case 2: try beginSync(trial.random.below(shells.count), &trial)
                // A snapshot may begin now, and walk, but not end.
                default: if mayWalk { try snapshotStep(&trial) }
                }
            }
        }
        held = []
        let lasts = model.transactions[number].lasts
        guard !lasts.isEmpty else { return }
        let shard = trial.random.below(shells.count)
        let others = lasts.filter { $0.key != shard }.sorted { $0.key < $1.key }
            .map { TransactionEnd.Participant(shard: $0.key, last: $0.value) }
        let position = shells[shard].log.append(
            TransactionEnd(id: UInt64(number + 1), others: others))
        model.changes[shard].append(JournalModel.Change(key: 0, kind: .end))
        model.transactions[number].end = (shard, position)
    }

    private var mayWalk: Bool {
        guard let snapshot else { return true }
        return snapshot.ends == nil && snapshot.next.contains { $0 < JournalModel.keysMax }
    }

    /// The end of a shard's turn.
    private mutating func flush(_ shard: Int, _ trial: inout JournalTrial) throws {
        let log = shells[shard]
        if let growth = log.log.wantsGrowth {
            do {
                try disk.allocate(growth.file, bytes: growth.bytes)
                log.log.grown(growth)
            } catch {
                log.log.failed(error, during: .growth)
            }
        }
        while let write = log.log.pendingWrite() {
            do {
                unsafe try disk.write(write.file, at: write.offset, write.bytes)
                log.log.wrote()
            } catch {
                log.log.failed(error, during: .write)
                break
            }
        }
        isRotating = true
        if trial.random.below(4) > 0, let wish = log.log.wantsSegment() {
            let isZeroed = trial.random.below(2) == 0
            do { log.log.segmentReady(wish, try wish.make(disk, zeroed: isZeroed)) } catch {
                log.log.failed(error, during: .segment)
            }
        }
        while let trim = log.log.nextTrim() {
            try? disk.truncate(trim.file, bytes: trim.bytes)
            disk.close(trim.file)
        }
        if trial.outage.isOver { throw JournalTrial.Over() }
        isRotating = false
        if log.log.state == .failed {
            trial.counts.failures += 1
            throw JournalTrial.Over()
        }
    }

    private mutating func beginSync(_ shard: Int, _ trial: inout JournalTrial) throws {
        let log = shells[shard]
        if log.sync != nil { return }
        guard let sync = log.log.beginSync() else { return }
        do {
            for number in 0..<sync.files { try disk.sync(log.log.syncFile(number)) }
        } catch {
            if error.errno == SimulatedDisk.noEntry {
                throw trial.finding("shard \(shard) synced a segment that was removed")
            }
            log.log.failed(error, during: .sync)
            if !trial.outage.isOver { trial.counts.failures += 1 }
            throw JournalTrial.Over()
        }
        log.sync = sync
        if trial.random.once(in: 2) { try endSync(shard) }
    }

    private mutating func endSync(_ shard: Int) throws {
        guard let sync = shells[shard].sync else { return }
        shells[shard].sync = nil
        shells[shard].log.synced(sync)
    }

    private mutating func syncAll(_ trial: inout JournalTrial) throws {
        for shard in shells.indices {
            try flush(shard, &trial)
            try endSync(shard)
            while let sync = shells[shard].log.beginSync() {
                for number in 0..<sync.files { try disk.sync(shells[shard].log.syncFile(number)) }
                shells[shard].log.synced(sync)
            }
        }
    }

    /// Everything is written and safe, and says so.
    private mutating func drain(_ trial: inout JournalTrial) throws {
        disk.capacity = .max
        trial.outage.refusing = nil
        while snapshot != nil { try snapshotStep(&trial) }
        for _ in 0..<3 { try syncAll(&trial) }
        // As long as a log takes the disk to be full it does not ask for room to say what is safe.
        while shells.contains(where: { $0.log.state != .healthy }) { try syncAll(&trial) }
        for shell in shells where shell.log.wantsWatermark { shell.log.appendWatermark() }
        try syncAll(&trial)
        guard written == appended, synced == appended else {
            throw trial.finding("a drain left something unwritten")
        }
        for shell in shells {
            let trim = shell.log.lastTrim
            try disk.truncate(trim.file, bytes: trim.bytes)
            if let spare = shell.log.takeSpare() {
                disk.close(spare.file)
                try disk.remove(
                    FileNames.segment(
                        epoch: epoch.number, shard: shell.log.shard, sequence: spare.sequence))
            }
        }
        isClosed = trial.random.once(in: 2)
        if isClosed { try manifest.closed(at: appended).write(disk) }
    }

    // MARK: Snapshots

    private mutating func snapshotStep(_ trial: inout JournalTrial) throws {
        do {
            guard var under = snapshot else { return try beginSnapshot(&trial) }
            if let ends = under.ends { return try publish(under, ends, &trial) }
            if let shard = under.next.firstIndex(where: { $0 < JournalModel.keysMax }) {
                let key = under.next[shard]
                under.next[shard] += 1
                if home(key) == shard, let item = state[key] {
                    let kind: LogRecord.Kind = item.isTombstone ? .deleted : .updated
                    JournalModel.withRecord(key, kind, item) { under.rows[shard].add($0) }
                }
                snapshot = under
                // Most steps are quick; some write a block.
                if under.rows[shard].records >= 9 || under.next[shard] == JournalModel.keysMax {
                    try under.file.add(under.rows[shard])
                }
                if trial.random.below(10) > 0, under.next[shard] < JournalModel.keysMax {
                    try snapshotStep(&trial)
                }
                return
            }
            under.ends = appended
            try under.file.finish(ends: appended)
            snapshot = under
        } catch let failure as DiskFailure {
            if trial.outage.isOver { throw failure }
            // No room for it: the one before still counts.
            snapshot?.file.abandon()
            snapshot = nil
            trial.counts.shortages += 1
        }
    }

    private mutating func beginSnapshot(_ trial: inout JournalTrial) throws {
        guard trial.random.once(in: 3) else { return }
        // Usually on segments of its own, as a node does it.
        if trial.random.below(4) > 0 {
            var isReady = true
            for shell in shells where !shell.log.rotate() { isReady = false }
            if !isReady { return try flush(trial.random.below(shells.count), &trial) }
        }
        let header = SnapshotHeader(epoch: epoch, number: snapshots + 1, starts: appended)
        let first = shells.map { $0.log.openSequence }
        let file = try SnapshotFile(disk, header)
        snapshots += 1
        snapshot = Snapshot(
            file: file, firstSegments: first, rows: shells.indices.map { SnapshotRows(shard: $0) },
            next: shells.map { _ in 0 })
    }

    private mutating func publish(
        _ under: Snapshot, _ ends: [CommitPosition], _ trial: inout JournalTrial
    ) throws {
        let behind = shells.indices.first {
            !shells[$0].log.covers(ends[$0], from: under.firstSegments[$0])
        }
        if let behind {
            try flush(behind, &trial)
            try endSync(behind)
            return try beginSync(behind, &trial)
        }
        try under.file.publish()
        let next = manifest.covered(by: under.file.header, firstSegments: under.firstSegments)
        try next.write(disk)
        manifest = next
        for path in try manifest.unneeded(disk) { try disk.remove(path) }
        snapshot = nil
        trial.counts.snapshots += 1
    }
}
