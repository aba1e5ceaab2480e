/// What happens to a write when the memory limit is reached.
public enum Eviction: UInt8, Sendable {
    /// It is refused; reads go on.
    case none
    /// Records that were not used for long make room.
    case lru
}

/// The address space a shard asks for was refused; the remedy stands in the description.
public struct ReservationRefused: Error, CustomStringConvertible {
    public let bytes: Int
    public let errno: Int32

    public var description: String {
        "cannot reserve \(bytes >> 20) MiB of address space for a shard (errno \(errno)); "
            + "raise the limit on address space (ulimit -v)"
    }
}

/// One shard's records: every table's, found by key, listed in order, with owners, versions,
/// stamps and expiries, within a limit of memory.
///
/// It does no I/O, reads no clock and draws no randomness: time (milliseconds since 1970) and a
/// seed are arguments, so a test or a simulation can drive it through a year in a second. It is
/// owned by one thread and has no locks.
///
/// A call that changes something begins by letting go of what the call before left readable,
/// so every `Record` a caller holds is good until then and no longer. What a call changed stands
/// in `change(0..<changeCount)` afterwards. Work that could pile up (expired records, garbage,
/// tombstones) is done in bounded steps: a few with every write, the rest in `tend`, which the
/// shard's loop calls once a turn.
///
/// GET and overwriting PUT allocate nothing.
@safe
public struct Keyspace: ~Copyable {
    public struct Settings: Sendable {
        /// Secret and random, the same for all shards of a node: keys are hashed with it.
        public var seed: UInt64
        /// Distinguishes this node's stamps from others'.
        public var origin: UInt8 = 0
        /// What the shard may take of the machine, all included; 0 is no limit.
        public var memoryBytesMax = 0
        public var eviction = Eviction.none
        /// A power of two, at least 4 KiB. Small ones are for tests: they make the cleaner work.
        public var segmentBytes = 256 << 10
        /// Address space for records, a multiple of the segment; half as much again is taken for
        /// the index and listings. 32 GiB is what a `Ref` can name.
        public var addressBytes = 32 << 30
        /// How many deleted keys have their versions remembered: 16 Ki of them with short keys
        /// take about 1.3 MiB.
        public var tombstonesMax = 16_384
        /// How long: longer than a node may be away and still bring back old writes by itself.
        public var tombstoneLifeMs: Int64 = 24 * 3_600_000

        public init(seed: UInt64) { self.seed = seed }
    }

    /// A value's length is kept in 32 bits; Redis draws the same line for a string.
    public static let valueBytesMax = 512 << 20
    /// Records one call may evict or expire at most, about two milliseconds' work.
    public static let removalsPerCallMax = 2048
    /// What one call may move at most while cleaning, beyond what memory pressure forces.
    static let cleaningPerCallMax = 256 << 10
    /// What cleaning under memory pressure may move at most before a write is refused.
    static let forcedCleaningMax = 8 << 20
    /// Pages an insertion may need: a split of the index, and a block on each level of a listing.
    static let pagesPerInsertion = 4 + Listing.pagesForInsertion

    struct TableState {
        var listing = Listing()
        var count = 0
        /// Records with an expiry, and the sum of their ends in seconds since 1970.
        var expiring = 0
        var endsSum: Int64 = 0
    }

    let settings: Settings
    public let hashing: KeyHash
    let records: RecordSpace
    var pages: Pages
    var arena: Arena
    var index: Index
    var wheel = ExpiryWheel()
    var tombstones: Tombstones
    public internal(set) var clock: HybridClock
    /// The position of the last logged change.
    public internal(set) var position: CommitPosition = 0
    var tables: UnsafeMutablePointer<TableState>
    var tablesCapacity = 8
    private let changes: UnsafeMutablePointer<Change>
    public private(set) var changeCount = 0
    /// The last change of a part of a list. The bytes are good as long as those of the command.
    public internal(set) var spliced = SplicedChange.none
    /// Live records of all tables.
    public internal(set) var count = 0
    /// Bytes the cleaner owes for what was written and freed since it last ran.
    var cleaningDebt = 0
    /// The cleaner found no segment worth emptying, or none to move records to.
    var isCleanerStuck = false
    /// Records come all at once, and are not in the listings yet; see `beginLoading`.
    var isLoading = false
    /// What the listings will be made of then.
    var arrivals = Arrivals(most: 0)
    /// What they will take.
    var promisedBytes = 0
    /// The age of records is told in these; see `evictOne`.
    var recency: UInt8 = 0
    var bytesSinceRecency = 0
    let tracksRecency: Bool
    var random: UInt64
    private let region: Region

    /// Makes an empty shard, or says why the kernel won't have it.
    public static func make(_ settings: Settings) throws(ReservationRefused) -> Keyspace {
        let layout = Layout(settings)
        guard let base = unsafe Region.reserve(layout.total)
        else { throw ReservationRefused(bytes: layout.total, errno: currentErrno()) }
        let notes = unsafe base + layout.notes
        guard unsafe Region.open(notes, layout.total - layout.notes) else {
            let errno = currentErrno()
            _ = unsafe Region(owning: base, bytes: layout.total)
            throw ReservationRefused(bytes: layout.total, errno: errno)
        }
        return unsafe Keyspace(settings, layout, base)
    }

    /// Where the parts lie in the reserved address space.
    private struct Layout {
        let segments: Int
        let pages: Int
        let pagesMax: Int
        let notes: Int
        let table: Int
        let total: Int

        init(_ settings: Settings) {
            invariant(
                settings.segmentBytes >= 4096 && settings.segmentBytes.nonzeroBitCount == 1,
                "a segment's size is not a power of two from 4 KiB on")
            invariant(settings.addressBytes <= 32 << 30, "a Ref can't name so much memory")
            segments = settings.addressBytes / settings.segmentBytes
            pages = segments * settings.segmentBytes
            pagesMax = pages / 2 / Pages.pageBytes
            notes = pages + pagesMax * Pages.pageBytes
            table = notes + (pagesMax + 4095) & ~4095
            total = table + (Arena.tableBytes(segments) + 4095) & ~4095
        }
    }

    private init(_ settings: Settings, _ layout: Layout, _ base: UnsafeMutableRawPointer) {
        self.settings = settings
        unsafe region = Region(owning: base, bytes: layout.total)
        hashing = KeyHash(seed: settings.seed)
        records = unsafe RecordSpace(base)
        pages = unsafe Pages(
            base: base + layout.pages, pagesMax: layout.pagesMax, notes: base + layout.notes)
        arena = unsafe Arena(
            base: base, segmentBytes: settings.segmentBytes, segmentsMax: layout.segments,
            table: base + layout.table)
        index = Index(pages: &pages, records: records, hashing: hashing)
        tombstones = Tombstones(entriesMax: settings.tombstonesMax)
        clock = HybridClock(origin: settings.origin)
        unsafe tables = .allocate(capacity: tablesCapacity)
        unsafe tables.initialize(repeating: TableState(), count: tablesCapacity)
        unsafe changes = .allocate(capacity: Keyspace.removalsPerCallMax + 2)
        tracksRecency = settings.eviction == .lru
        random = settings.seed | 1
    }

    deinit {
        unsafe tables.deallocate()
        unsafe changes.deallocate()
    }

    // MARK: Reading

    /// The record of a key, if it is there now.
    ///
    /// Here and below what is only a question is `mutating` where requests ask it: a call that isn't
    /// copies the whole keyspace (docs/compiler-workarounds.md).
    public mutating func get(_ key: Key, at now: Int64) -> Record? {
        let ref = unsafe index.find(key.hash, key.table, key.bytes)
        guard ref != 0 else { return nil }
        let record = records[ref]
        guard isVisible(record, at: now) else { return nil }
        if tracksRecency { record.touch(recency) }
        return record
    }

    /// A number that changes with every change of a key, its deletion and its end included, as long as
    /// the deletion is remembered. 0: nothing is known of the key.
    public mutating func trace(of key: Key, at now: Int64) -> UInt64 {
        let ref = unsafe index.find(key.hash, key.table, key.bytes)
        guard ref != 0 else { return 0 }
        let stamp = records[ref].stamp.rawValue
        return isVisible(records[ref], at: now) ? stamp : ~stamp
    }

    /// The same for who has called `fetch` since the last change: `near` is what it answered.
    public mutating func get(_ key: Key, near: FetchedRecord, at now: Int64) -> Record? {
        let ref = near.ref
        guard ref != 0, unsafe records[ref].isNamed(key.table, key.bytes) else {
            return get(key, at: now)
        }
        let record = records[ref]
        guard isVisible(record, at: now) else { return nil }
        if tracksRecency { record.touch(recency) }
        return record
    }

    /// Has the processor fetch what a lookup of this hash begins with, without waiting for it.
    ///
    /// Called for all hashes of a pipeline, then `fetch` for all of them, then the commands are carried
    /// out: so the processor waits for the memory of many records at once, and not for one after
    /// another.
    public mutating func prepare(_ hash: UInt64) { index.fetchBucket(hash) }

    /// Has the processor fetch the record that this hash most likely belongs to.
    @discardableResult
    public mutating func fetch(_ hash: UInt64) -> FetchedRecord {
        FetchedRecord(ref: index.fetchRecord(hash))
    }

    /// How many live records a table has; expired ones count until they are taken out.
    public mutating func count(of table: TableNumber) -> Int {
        Int(table) < tablesCapacity ? unsafe tables[Int(table)].count : 0
    }

    /// How many of a table's records have an expiry, and the sum of their ends in seconds since
    /// 1970. An end beyond the year 36,000 counts as that.
    public func ends(of table: TableNumber) -> (count: Int, secondsSum: Int64) {
        guard Int(table) < tablesCapacity else { return (0, 0) }
        return unsafe (tables[Int(table)].expiring, tables[Int(table)].endsSum)
    }

    static let endsSecondsMax: Int64 = 1 << 40

    /// What the shard takes of the machine: segments, pages and all other parts, whether in use,
    /// garbage or kept for the next taker.
    public var memoryBytes: Int { arena.residentBytes + otherBytes }

    /// Bytes of live records, headers included.
    public var liveBytes: Int { arena.live }

    /// Whether records make room for others.
    public var evicts: Bool { settings.eviction == .lru }

    /// How many deletions are remembered, those of keys that came back since included.
    public var tombstoneEntries: Int { tombstones.count }

    var otherBytes: Int {
        pages.residentBytes + index.directoryBytes + ExpiryWheel.bytes + tombstones.bytes
            + tablesCapacity * MemoryLayout<TableState>.stride + promisedBytes
    }

    /// What the last changing call did, in order; good until the next.
    public mutating func change(_ number: Int) -> Change {
        invariant(number < changeCount, "a change that didn't happen was asked for")
        return unsafe changes[number]
    }

    // MARK: The one door for protocols

    /// Carries out a command now.
    public mutating func run(_ command: borrowing Command, at now: Int64) -> Reply {
        switch command.kind {
        case .get:
            guard let record = get(command.key, at: now) else { return Reply(.missing) }
            return Reply(.found, record)
        case .put: return put(command, at: now)
        case .delete: return delete(command, at: now)
        case .expire: return expire(command, at: now)
        case .splice: return splice(command, at: now)
        case .touch:
            guard let record = get(command.key, at: now) else { return Reply(.missing) }
            return Reply(.found, record)
        case .count: return Reply(.found, number: count(of: command.key.table))
        }
    }

    // MARK: For the other parts

    @inline(__always)
    func isVisible(_ record: Record, at now: Int64) -> Bool {
        let flags = record.read(4, UInt16.self)
        if flags & (Record.Flag.tombstone | Record.Flag.expires) == 0 { return true }
        if flags & Record.Flag.tombstone != 0 { return false }
        return record.expiresAt > now
    }

    /// A live record's end is waited for from here on.
    mutating func awaitEnd(of ref: Ref) {
        wheel.link(ref, records)
        let state = unsafe tables + Int(records[ref].table)
        unsafe state.pointee.expiring += 1
        unsafe state.pointee.endsSum &+= min(
            records[ref].expiresAt / 1000, Keyspace.endsSecondsMax)
    }

    /// Undoes `awaitEnd`, as long as the record is what it was.
    mutating func dropEnd(of ref: Ref) {
        wheel.unlink(ref, records)
        let state = unsafe tables + Int(records[ref].table)
        unsafe state.pointee.expiring -= 1
        unsafe state.pointee.endsSum &-= min(
            records[ref].expiresAt / 1000, Keyspace.endsSecondsMax)
    }

    mutating func forgetChanges() { changeCount = 0 }

    /// Leaves out a position, for something in the log that is no change of a record.
    public mutating func passPosition() -> CommitPosition {
        position += 1
        return position
    }

    /// Writes a change down; logged ones get the next position.
    @discardableResult
    mutating func note(
        _ kind: Change.Kind, _ record: Record, version: UInt64, stamp: Stamp, logged: Bool = true
    ) -> CommitPosition {
        invariant(
            changeCount < Keyspace.removalsPerCallMax + 2, "one call made more changes than may be")
        if logged { position += 1 }
        let change = Change(
            kind: kind, table: record.table, version: version, stamp: stamp,
            position: logged ? position : 0, record: record)
        unsafe (changes + changeCount).initialize(to: change)
        changeCount += 1
        return position
    }

    /// Makes sure that a table has its place.
    mutating func open(_ table: TableNumber) {
        guard Int(table) >= tablesCapacity else { return }
        invariant(Int(table) < Tables.tablesMax, "a table number nobody gave out")
        var capacity = tablesCapacity
        while capacity <= Int(table) { capacity *= 2 }
        let larger = UnsafeMutablePointer<TableState>.allocate(capacity: capacity)
        unsafe larger.initialize(repeating: TableState(), count: capacity)
        unsafe larger.update(from: tables, count: tablesCapacity)
        unsafe tables.deallocate()
        unsafe tables = unsafe larger
        tablesCapacity = capacity
    }
}

/// A record that was asked for ahead of its command; good until the next change.
public struct FetchedRecord: BitwiseCopyable, Sendable {
    let ref: Ref

    public static let none = FetchedRecord(ref: 0)
}
