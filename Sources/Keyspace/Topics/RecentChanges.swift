/// What changed lately on this shard, as text: told to listeners once it is safe, and kept for
/// those who come back and ask for what they missed.
///
/// A chain of segments. Each change is written once, at the end; the oldest segment goes when all
/// of them hold more than `bytesMax` and everything in it has been told. So nothing untold is ever
/// lost, however much one turn changes, and an event larger than the whole bound has a segment of
/// its own that goes as soon as it was told, and with it what came before.
///
/// Changes are numbered 1, 2, 3… by themselves: an expiry has no position in the log.
@safe
public struct RecentChanges: ~Copyable {
    /// What one change is known by; key and text follow it.
    public struct Entry: BitwiseCopyable {
        public internal(set) var seq: UInt64 = 0
        public var stamp: Stamp
        /// Told when this is safe; 0 is safe with whatever came before it.
        public var position: CommitPosition
        public var hash: UInt64
        public var table: TableNumber
        public var owner: Principal
        /// The shards that had listeners when it happened.
        public var interest: ShardSet
        /// When it happened, for the measure of how long telling takes.
        public var atNs: UInt64
        public var textCount: UInt32
        public var keyCount: UInt16
        public var kind: Change.Kind

        public init(
            _ kind: Change.Kind, stamp: Stamp, position: CommitPosition, hash: UInt64,
            table: TableNumber, owner: Principal, interest: ShardSet, atNs: UInt64, keyCount: Int,
            textCount: Int
        ) {
            self.kind = kind
            self.stamp = stamp
            self.position = position
            self.hash = hash
            self.table = table
            self.owner = owner
            self.interest = interest
            self.atNs = atNs
            self.keyCount = UInt16(keyCount)
            self.textCount = UInt32(textCount)
        }

        var size: Int {
            (MemoryLayout<Entry>.size + Int(keyCount) + Int(textCount) + 7) & ~7
        }
    }

    /// A change where it lies; good until the next `trim`.
    @safe
    public struct Look {
        public let entry: Entry
        public let key: UnsafeRawBufferPointer
        public let text: UnsafeRawBufferPointer
    }

    /// A place between two changes.
    public struct Cursor: BitwiseCopyable {
        var segment: Int
        var offset: Int
    }

    @safe
    private struct Segment: BitwiseCopyable {
        let base: UnsafeMutableRawPointer
        let capacity: Int
        var used = 0
        var lastSeq: UInt64 = 0
    }

    public static let bytesDefault = 1 << 20
    private static let segmentBytes = 64 << 10

    private let bytesMax: Int
    private var segments: [Segment] = []
    /// The number of the first segment there is.
    private var firstSegment = 0
    private var spare: UnsafeMutableRawPointer? = nil
    private var heldBytes = 0
    public private(set) var lastSeq: UInt64 = 0
    /// All changes after this one are here.
    public private(set) var forgottenSeq: UInt64 = 0

    public init(bytesMax: Int = bytesDefault) { self.bytesMax = bytesMax }

    deinit {
        for segment in segments { unsafe segment.base.deallocate() }
        unsafe spare?.deallocate()
    }

    /// What it takes of the machine.
    public var bytes: Int { heldBytes + (unsafe spare == nil ? 0 : Self.segmentBytes) }

    /// Adds a change, which gets the next number. The answer is where its key and, behind it, its
    /// text are to be written.
    public mutating func append(_ entry: Entry) -> UnsafeMutableRawPointer {
        var entry = entry
        lastSeq += 1
        entry.seq = lastSeq
        let size = entry.size
        if segments.isEmpty
            || segments[segments.count - 1].capacity
                - segments[segments.count - 1].used < size
        {
            addSegment(size)
        }
        let last = segments.count - 1
        let place = unsafe segments[last].base + segments[last].used
        segments[last].used += size
        segments[last].lastSeq = lastSeq
        unsafe place.storeBytes(of: entry, as: Entry.self)
        return unsafe place + MemoryLayout<Entry>.size
    }

    private mutating func addSegment(_ size: Int) {
        let capacity = max(size, Self.segmentBytes)
        let base: UnsafeMutableRawPointer
        if capacity == Self.segmentBytes, let kept = unsafe spare {
            unsafe base = unsafe kept
            unsafe spare = nil
        } else {
            unsafe base = .allocate(byteCount: capacity, alignment: 8)
        }
        heldBytes += capacity
        unsafe segments.append(Segment(base: base, capacity: capacity))
    }

    /// Lets the oldest go that are over the bound and have been told.
    public mutating func trim(told seq: UInt64) {
        while heldBytes > bytesMax, let first = segments.first, first.lastSeq <= seq {
            forgottenSeq = first.lastSeq
            heldBytes -= first.capacity
            if first.capacity == Self.segmentBytes, unsafe spare == nil {
                unsafe spare = unsafe first.base
            } else {
                unsafe first.base.deallocate()
            }
            segments.removeFirst()
            firstSegment += 1
        }
    }

    // MARK: Reading

    /// Before the first change that is still here.
    public var start: Cursor { Cursor(segment: firstSegment, offset: 0) }

    /// Behind the last change.
    public var end: Cursor {
        guard let last = segments.last else { return Cursor(segment: firstSegment, offset: 0) }
        return Cursor(segment: firstSegment + segments.count - 1, offset: last.used)
    }

    /// The place behind a change; nil when some of what came after it is not here any more, or it
    /// has not happened yet.
    public func cursor(after seq: UInt64) -> Cursor? {
        guard seq >= forgottenSeq, seq <= lastSeq else { return nil }
        guard let place = segments.firstIndex(where: { $0.lastSeq > seq }) else { return end }
        var cursor = Cursor(segment: firstSegment + place, offset: 0)
        while let look = look(&cursor) {
            if look.entry.seq > seq { break }
            advance(&cursor, over: look)
        }
        return cursor
    }

    /// Whether what the cursor points at is still here.
    public func holds(_ cursor: Cursor) -> Bool { cursor.segment >= firstSegment }

    /// The change at a cursor, or nil behind the last. Moves on to the next segment at one's end.
    public func look(_ cursor: inout Cursor) -> Look? {
        var place = cursor.segment - firstSegment
        invariant(place >= 0, "a change is looked for that is not here any more")
        while place < segments.count, cursor.offset == segments[place].used {
            guard place + 1 < segments.count else { return nil }
            place += 1
            cursor.segment += 1
            cursor.offset = 0
        }
        guard place < segments.count else { return nil }
        let start = unsafe segments[place].base + cursor.offset
        let entry = unsafe start.load(as: Entry.self)
        let key = unsafe start + MemoryLayout<Entry>.size
        return unsafe Look(
            entry: entry,
            key: UnsafeRawBufferPointer(start: key, count: Int(entry.keyCount)),
            text: UnsafeRawBufferPointer(
                start: key + Int(entry.keyCount), count: Int(entry.textCount)))
    }

    public func advance(_ cursor: inout Cursor, over look: Look) {
        cursor.offset += look.entry.size
    }
}
