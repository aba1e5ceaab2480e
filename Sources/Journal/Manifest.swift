public import Keyspace

/// Which files of a directory count. It is replaced in one step, and what it doesn't name is
/// left over from something that was never finished.
///
/// ```
///  0  "ntl-man\n"
///  8  u32  format version
/// 12  u64 × 2  node
/// 28  u64  snapshot; 0 is none
/// 36  u32  epochs
///     of each: u64 number, u64 salt, u32 shards, and of each shard
///         u64  position that the snapshot covers
///         u64  position of the last change; all ones while the epoch runs
///         u32  first segment; 0 when none is needed
///     u32  CRC-32C of all before
/// ```
public struct Manifest: Hashable, Sendable {
    public struct Log: Hashable, Sendable {
        /// The snapshot has everything up to here.
        public var start: CommitPosition
        /// The last change there is, decided when the next epoch began; nil while this one runs.
        public var end: CommitPosition?
        /// The segment that has the change after `start`; 0 when none is needed.
        public var firstSegment: UInt32

        public init(start: CommitPosition, end: CommitPosition?, firstSegment: UInt32) {
            self.start = start
            self.end = end
            self.firstSegment = firstSegment
        }
    }

    public struct Run: Hashable, Sendable {
        public var number: UInt64
        public var salt: UInt64
        public var logs: [Log]

        public init(number: UInt64, salt: UInt64, logs: [Log]) {
            self.number = number
            self.salt = salt
            self.logs = logs
        }
    }

    public var node: NodeID
    /// Snapshots are numbered; a newer one than this is as good.
    public var snapshot: UInt64
    /// Oldest first; the last is the running one.
    public var runs: [Run]

    public static let version: UInt32 = 1
    static let bytesMax = 64 << 20
    private static let magic: StaticString = "ntl-man\n"
    private static let running = UInt64.max

    public init(node: NodeID, snapshot: UInt64, runs: [Run]) {
        self.node = node
        self.snapshot = snapshot
        self.runs = runs
    }

    func epoch(_ run: Run) -> Epoch {
        Epoch(node: node, number: run.number, salt: run.salt, shards: run.logs.count)
    }

    public var bytes: [UInt8] {
        var maker = ByteMaker()
        maker.put(Manifest.magic)
        maker.put(Manifest.version)
        maker.put(node.high)
        maker.put(node.low)
        maker.put(snapshot)
        maker.put(UInt32(runs.count))
        for run in runs {
            maker.put(run.number)
            maker.put(run.salt)
            maker.put(UInt32(run.logs.count))
            for log in run.logs {
                maker.put(log.start)
                maker.put(log.end ?? Manifest.running)
                maker.put(log.firstSegment)
            }
        }
        maker.seal()
        return maker.bytes
    }

    public static func read(_ bytes: [UInt8]) throws(Damage) -> Manifest {
        var taker = ByteTaker(bytes)
        guard taker.take(magic), let version = taker.take(UInt32.self) else {
            throw Damage(FileNames.manifest, 0, "this is no manifest")
        }
        guard version <= Manifest.version else {
            throw Damage(
                FileNames.manifest, 8, "it was made by a newer version (format \(version))",
                remedy: Damage.newer)
        }
        guard version > 0, let manifest = body(&taker), taker.takeSeal(), taker.left == 0 else {
            throw Damage(FileNames.manifest, taker.offset, "its contents do not fit its checksum")
        }
        return manifest
    }

    private static func body(_ taker: inout ByteTaker) -> Manifest? {
        guard let high = taker.take(UInt64.self), let low = taker.take(UInt64.self),
            let snapshot = taker.take(UInt64.self), let count = taker.take(UInt32.self)
        else { return nil }
        var manifest = Manifest(
            node: NodeID(high: high, low: low), snapshot: snapshot, runs: [])
        for _ in 0..<count {
            guard let number = taker.take(UInt64.self), let salt = taker.take(UInt64.self),
                let shards = taker.take(UInt32.self), shards > 0, shards <= Slot.shardsMax,
                number > manifest.runs.last?.number ?? 0
            else { return nil }
            var run = Run(number: number, salt: salt, logs: [])
            for _ in 0..<shards {
                guard let start = taker.take(UInt64.self), let end = taker.take(UInt64.self),
                    let first = taker.take(UInt32.self)
                else { return nil }
                run.logs.append(
                    Log(start: start, end: end == running ? nil : end, firstSegment: first))
            }
            manifest.runs.append(run)
        }
        return manifest
    }

    /// The manifest at the end of a run that wrote and synced all it had, up to these positions:
    /// whatever the next start finds less is damage.
    public func closed(at ends: [CommitPosition]) -> Manifest {
        var closed = self
        guard var run = closed.runs.popLast() else { return self }
        for (shard, end) in zip(run.logs.indices, ends) { run.logs[shard].end = end }
        closed.runs.append(run)
        return closed
    }

    /// Puts this manifest in the place of the one there is.
    public func write(_ disk: any Disk) throws(DiskFailure) {
        try disk.replace(FileNames.manifest, with: bytes)
    }
}
