import Journal
import Keyspace

/// A node's journal driven through a storm by a seed: writes, transactions, syncs, rotations,
/// snapshots, full and failing disks, kills and power cuts at any call, and recoveries that are
/// themselves cut short, with another number of shards each time.
///
/// After each recovery every record is compared with what the run before had written up to the
/// positions that the logs reach, and those positions with what was safe. The first difference ends
/// the trial.
public struct JournalTrial {
    /// What happened, added up over trials.
    public struct Counts: Sendable {
        public var changes = 0
        public var transactions = 0
        public var transactionsDropped = 0
        public var splices = 0
        public var powerCuts = 0
        public var kills = 0
        public var drains = 0
        public var cutsInRecovery = 0
        public var cutsInSnapshot = 0
        public var cutsInRotation = 0
        public var snapshots = 0
        public var tornTails = 0
        public var shortages = 0
        public var failures = 0
        public var bent = 0
        public var refused = 0

        public init() {}

        public mutating func add(_ other: Counts) {
            changes += other.changes
            transactions += other.transactions
            transactionsDropped += other.transactionsDropped
            splices += other.splices
            powerCuts += other.powerCuts
            kills += other.kills
            drains += other.drains
            cutsInRecovery += other.cutsInRecovery
            cutsInSnapshot += other.cutsInSnapshot
            cutsInRotation += other.cutsInRotation
            snapshots += other.snapshots
            tornTails += other.tornTails
            shortages += other.shortages
            failures += other.failures
            bent += other.bent
            refused += other.refused
        }
    }

    /// What was found wrong.
    public struct Finding: Error, CustomStringConvertible {
        public var seed: UInt64
        public var what: String
        public var description: String { "seed \(seed): \(what)" }
    }

    /// The run is over: the power went, the process was killed, or a disk call failed for good.
    struct Over: Error {}

    let seed: UInt64
    var random: Random
    let disk: SimulatedDisk
    var counts = Counts()
    let outage = Outage()
    /// The runs end after this many.
    let runsMax: Int

    /// What decides that the power goes: shared with the disk's fault.
    final class Outage {
        /// Calls that still succeed; -1 is no end.
        var callsLeft = -1
        var isOver = false
        /// Calls of one kind that fail once with a real errno.
        var refusing: DiskFailure.Call?
        var errno: Int32 = 0
    }

    static let sizes = LogWriter.Sizes(firstBytes: 4096, bytesMax: 8192, growthBytes: 4096)

    /// Runs one seed; throws what it finds.
    public static func run(seed: UInt64) throws(Finding) -> Counts {
        var trial = JournalTrial(seed: seed)
        try trial.run()
        return trial.counts
    }

    private init(seed: UInt64) {
        self.seed = seed
        var random = Random(seed: seed)
        disk = SimulatedDisk(seed: random.next())
        runsMax = 2 + random.below(4)
        self.random = random
        let outage = outage
        disk.fault = { call, _ in
            if outage.isOver { return 5 }
            if outage.callsLeft == 0 {
                outage.isOver = true
                return 5
            }
            if outage.callsLeft > 0 { outage.callsLeft -= 1 }
            if outage.refusing == call {
                outage.refusing = nil
                return outage.errno
            }
            return 0
        }
    }

    func finding(_ what: String) -> Finding { Finding(seed: seed, what: what) }

    private mutating func run() throws(Finding) {
        var stamp: UInt64 = 1_000_000
        var past: Past?
        for number in 0..<runsMax {
            let shards = 1 + random.below(4)
            let (state, next) = try restart(shards: shards, past: &past)
            guard var run = next else { continue }
            run.stamp = stamp
            run.model.base = state
            outage.callsLeft = random.once(in: 6) ? -1 : random.below(400)
            let ended = try run.storm(&self)
            stamp = run.stamp
            past = Past(
                run.model, written: run.written, synced: run.synced, appended: run.appended)
            counts.changes += run.appended.reduce(0) { $0 + Int($1) }
            try end(run, ended, &past, isLast: number == runsMax - 1)
        }
        outage.callsLeft = -1
        let (_, last) = try restart(shards: 1 + random.below(4), past: &past)
        if last == nil { throw finding("the last recovery did not come about") }
    }

    /// What is known of the last run when the next begins.
    struct Past {
        var model: JournalModel.Run
        /// By shard: where its log has to reach at least.
        var floor: [CommitPosition]
        let synced: [CommitPosition]
        let appended: [CommitPosition]
        /// Where it does reach, once that was decided.
        var decided: [CommitPosition]?

        init(
            _ model: JournalModel.Run, written: [CommitPosition], synced: [CommitPosition],
            appended: [CommitPosition]
        ) {
            self.model = model
            floor = written
            self.synced = synced
            self.appended = appended
        }
    }

    /// The end of a run: what was open is gone, and perhaps what was not synced.
    private mutating func end(
        _ run: JournalRun, _ ended: JournalRun.End, _ past: inout Past?, isLast: Bool
    ) throws(Finding) {
        if run.isInSnapshot { counts.cutsInSnapshot += 1 }
        if run.isRotating { counts.cutsInRotation += 1 }
        if ended == .drained {
            counts.drains += 1
            outage.isOver = false
            outage.callsLeft = -1
            disk.kill()
            past?.floor = run.appended
            try bend(run, closed: run.isClosed)
            return
        }
        fall(&past)
    }

    /// The process is killed, or the power goes.
    private mutating func fall(_ past: inout Past?) {
        outage.isOver = false
        outage.callsLeft = -1
        outage.refusing = nil
        disk.capacity = .max
        if random.once(in: 3) {
            counts.kills += 1
            disk.kill()
        } else {
            counts.powerCuts += 1
            disk.cutPower()
            if let known = past, known.decided == nil { past?.floor = known.synced }
        }
    }

    // MARK: Recovery

    /// Recovers, as often as it is cut short, and begins the next run; nil when even that was cut
    /// short after its manifest counted.
    private mutating func restart(
        shards: Int, past: inout Past?
    ) throws(Finding) -> ([Int: JournalModel.Item], JournalRun?) {
        while true {
            outage.callsLeft = random.once(in: 3) ? random.below(60) : -1
            do {
                let state = try recover(shards: shards, past: &past)
                let run = try begin(shards: shards, past: &past)
                outage.callsLeft = -1
                return (state, run)
            } catch let finding as Finding {
                throw finding
            } catch {
                guard outage.isOver else { throw finding("recovery failed: \(error)") }
                counts.cutsInRecovery += 1
                fall(&past)
            }
        }
    }

    private var recovered: (Recovery, [[LogSource.Verdict]])?

    private mutating func recover(
        shards: Int, past: inout Past?
    ) throws -> [Int: JournalModel.Item] {
        let recovery = try Recovery.open(disk)
        let verdicts = try recovery.examine(disk)
        for verdict in verdicts.joined() { counts.tornTails += verdict.cuts.count }
        let state = try Self.read(recovery, verdicts, disk, shards: shards, seed)
        if let known = past {
            try judge(known, recovery, verdicts, state)
        } else if !state.isEmpty {
            throw finding("records before there were any")
        }
        try recovery.settle(disk, verdicts)
        if let known = past {
            let last = reach(known, recovery, verdicts)
            past?.decided = last
        }
        recovered = (recovery, verdicts)
        return state
    }

    /// Everything a recovery hands on, put together.
    static func read(
        _ recovery: Recovery, _ verdicts: [[LogSource.Verdict]], _ disk: SimulatedDisk,
        shards: Int, _ seed: UInt64
    ) throws -> [Int: JournalModel.Item] {
        var state: [Int: JournalModel.Item] = [:]
        let undone = recovery.undone(verdicts)
        for shard in 0..<shards {
            let reader = try JournalModel.Reader()
            var isElsewhere = false
            try recovery.read(
                disk, for: shard, of: shards, verdicts: verdicts, undone: undone,
                passedOver: { reader.passOver($0) }
            ) { record in
                let home = Slot.shard(ofGroup: Slot.group(record.slot), shards: shards)
                if home != shard { isElsewhere = true }
                reader.take(record)
            }
            let items = reader.items()
            if let wrong = reader.wrong { throw Finding(seed: seed, what: wrong) }
            if isElsewhere {
                throw Finding(seed: seed, what: "a record came to another shard than its slot's")
            }
            state.merge(items) { one, _ in one }
        }
        return state
    }

    /// How far the logs of the last run reach, by what a recovery found.
    private func reach(
        _ past: Past, _ recovery: Recovery, _ verdicts: [[LogSource.Verdict]]
    ) -> [CommitPosition] {
        for (logs, each) in zip(recovery.epochs, verdicts)
        where logs[0].epoch.number == past.model.number {
            return each.map(\.last)
        }
        // A run that left nothing beyond the snapshot is not remembered.
        if let snapshot = recovery.snapshot, snapshot.header.epoch.number == past.model.number {
            return snapshot.header.starts
        }
        return past.model.changes.map { _ in 0 }
    }

    private mutating func judge(
        _ past: Past, _ recovery: Recovery, _ verdicts: [[LogSource.Verdict]],
        _ state: [Int: JournalModel.Item]
    ) throws(Finding) {
        let last = reach(past, recovery, verdicts)
        for shard in last.indices {
            guard last[shard] >= past.floor[shard] else {
                throw finding(
                    "shard \(shard) came back to \(last[shard]), and \(past.floor[shard]) was safe")
            }
            guard last[shard] <= past.appended[shard] else {
                throw finding("shard \(shard) came back with more than was written")
            }
            if let decided = past.decided, decided[shard] != last[shard] {
                throw finding(
                    "shard \(shard) came back to \(last[shard]), then to \(decided[shard])")
            }
        }
        for transaction in past.model.transactions {
            let isSeen = transaction.lasts.contains { last[$0.key] >= $0.value }
            if isSeen, !transaction.isWhole(last) { counts.transactionsDropped += 1 }
        }
        let expected = JournalModel.state(after: past.model, reaching: last)
        if let difference = Self.difference(state, expected) {
            throw finding("after a recovery to \(last): \(difference)")
        }
    }

    static func difference(
        _ found: [Int: JournalModel.Item], _ expected: [Int: JournalModel.Item]
    ) -> String? {
        for key in Set(found.keys).union(expected.keys).sorted() where found[key] != expected[key] {
            let one = found[key].map { "\($0)" } ?? "nothing"
            let other = expected[key].map { "\($0)" } ?? "nothing"
            return "key \(key) is \(one), and should be \(other)"
        }
        return nil
    }

    /// Begins the next run on what was recovered.
    private mutating func begin(shards: Int, past: inout Past?) throws -> JournalRun {
        guard let (recovery, verdicts) = recovered else { throw Over() }
        let epoch = Epoch(
            node: NodeID(high: 1, low: 2), number: recovery.nextEpoch, salt: random.next(),
            shards: shards)
        try disk.makeDirectory(FileNames.logs)
        var shells: [JournalRun.Shell] = []
        for shard in 0..<shards {
            let wish = LogWriter.firstSegment(epoch, shard: shard, sizes: Self.sizes)
            shells.append(
                JournalRun.Shell(LogWriter(wish, file: try wish.make(disk), sizes: Self.sizes)))
        }
        let manifest = recovery.manifest(verdicts, beginning: epoch)
        // From here on the new run may count already: what comes next is its recovery.
        let before = past
        var next = JournalRun(
            disk, epoch, manifest, shells, snapshots: recovery.snapshot?.header.number ?? 0)
        do { try manifest.write(disk) } catch {
            past = before
            throw error
        }
        next.model.number = epoch.number
        return next
    }

    // MARK: Damage

    /// Bends a copy of what a drained run left, and sees that this is noticed or does no harm.
    private mutating func bend(_ run: JournalRun, closed: Bool) throws(Finding) {
        let expected = JournalModel.state(after: run.model, reaching: run.appended)
        for _ in 0..<3 {
            let copy = disk.copy()
            let paths = copy.paths.filter { !copy.contents(of: $0).isEmpty }
            let path = paths[random.below(paths.count)]
            let bytes = copy.contents(of: path)
            let how: String
            switch random.below(closed ? 4 : 3) {
            case 0:
                copy.erase(path)
                how = "without \(path)"
            case 1:
                let from = random.below(bytes.count) / 512 * 512
                // The last frame of a log says how far it was safe. A sector that takes it along
                // with the frames before is what a power cut does, unless the run was closed.
                let end = (bytes.lastIndex { $0 != 0 } ?? 0) + 1
                if !closed, from + 512 > end - 24 { continue }
                var zeroed = bytes
                for place in from..<min(from + 512, bytes.count) { zeroed[place] = 0 }
                copy.place(path, zeroed)
                how = "with a sector of \(path) zeroed at \(from)"
            case 3:
                copy.place(path, Array(bytes[..<random.below(bytes.count)]))
                how = "with \(path) cut short"
            default:
                let bit = random.below(bytes.count * 8)
                copy.flip(path, bit: bit)
                how = "with bit \(bit) of \(path) turned"
            }
            counts.bent += 1
            do {
                let recovery = try Recovery.open(copy)
                let verdicts = try recovery.examine(copy)
                let state = try Self.read(recovery, verdicts, copy, shards: 2, seed)
                if let difference = Self.difference(state, expected) {
                    throw finding("\(how) it started: \(difference)")
                }
            } catch let failure as JournalFailure {
                if case .disk(let failure) = failure { throw finding("\(how): \(failure)") }
                counts.refused += 1
            } catch {
                throw (error as? Finding) ?? finding("\(error)")
            }
        }
    }
}
