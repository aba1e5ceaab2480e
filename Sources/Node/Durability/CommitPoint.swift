import Keyspace

/// How far a shard's writes are safe, and what waits for that.
///
/// Nothing that tells of a write leaves the shard before the write's position is safe. Where a
/// turn's writes are safe by the end of the turn (the log's file has them), replies are written as
/// they come and leave after `Shard.commit`. Where being safe takes longer (the disk has to
/// confirm), what tells of a write is *held*: kept as the message it would be between shards, and
/// let go, in the order of positions, when its position is safe.
@safe struct CommitPoint {
    /// A message that may not leave yet.
    @safe private struct Held {
        let position: CommitPosition
        let target: Int
        let bytes: UnsafeMutableRawBufferPointer
    }

    /// Writes up to this position may be told of: they are as safe as the node promises.
    private(set) var safe: CommitPosition = 0
    /// The disk has confirmed writes up to this position, and every record up to this stamp.
    private(set) var synced: CommitPosition = 0
    private(set) var syncedStamp = Stamp(rawValue: 0)
    /// The log's file has every record up to this stamp.
    private(set) var writtenStamp = Stamp(rawValue: 0)
    /// Whether a write may be told of only when the disk has it (`--fsync always`).
    var waitsForDisk = false

    private var held: [Held] = []
    /// Those before it have left.
    private var firstHeld = 0

    /// Whether what tells of this position may not leave at the end of this turn.
    @inline(__always)
    func mustHold(_ position: CommitPosition) -> Bool { waitsForDisk && position > synced }

    func mustHold(_ outcome: Outcome) -> Bool {
        (waitsForDisk || outcome.needsSync) && outcome.position > synced
    }

    /// The same for what tells of a record as it is now.
    @inline(__always)
    func mustHold(_ record: Record) -> Bool { waitsForDisk && record.stamp > syncedStamp }

    /// The log's file has the writes up to this position, and every record up to the stamp.
    mutating func wrote(_ position: CommitPosition, _ stamp: Stamp) {
        writtenStamp = stamp
        if !waitsForDisk { safe = max(safe, position) }
    }

    /// The disk has them, and every record up to the stamp.
    mutating func synced(_ position: CommitPosition, _ stamp: Stamp) {
        synced = max(synced, position)
        safe = max(safe, position)
        syncedStamp = max(syncedStamp, stamp)
    }

    var heldCount: Int { held.count - firstHeld }

    /// Keeps a message for a shard, and its memory, until the disk has the position. Messages are held
    /// in the order of what they tell of.
    mutating func hold(
        _ message: UnsafeMutableRawBufferPointer, until position: CommitPosition, for target: Int
    ) {
        unsafe held.append(Held(position: position, target: target, bytes: message))
    }

    /// The next message whose position the disk has; whoever takes it frees its memory.
    mutating func nextReleased() -> (target: Int, bytes: UnsafeMutableRawBufferPointer)? {
        guard firstHeld < held.count, held[firstHeld].position <= synced else { return nil }
        return unsafe nextHeld()
    }

    /// The next message whether the disk has its position or not.
    mutating func nextHeld() -> (target: Int, bytes: UnsafeMutableRawBufferPointer)? {
        guard firstHeld < held.count else { return nil }
        let next = held[firstHeld]
        firstHeld += 1
        if firstHeld == held.count {
            held.removeAll(keepingCapacity: true)
            firstHeld = 0
        }
        return unsafe (next.target, next.bytes)
    }
}
