public import Keyspace

/// One shard's log as it is written: gathers the records of a turn into a frame, and says which
/// file work is to be done. It does none of it.
///
/// A turn of the shard:
///
/// ```swift
/// guard case .ready = log.room(for: bytes) else { … }   // before the write is applied
/// log.append(record)                                    // for every change
/// while let write = log.pendingWrite { …; log.wrote() } // at the end: one pwrite, rarely two
/// if let sync = log.beginSync() { … }                   // by policy; then log.synced(sync)
/// ```
///
/// What is appended goes into the open segment. A spare is asked for ahead of need
/// (`wantsSegment`) and taken when the open one is full. Where a record fits neither (a large
/// value, or the spare isn't there yet), the open segment is made longer first: `room` says so.
/// So whatever was applied in memory always has its place, and a full disk refuses a write
/// before it is carried out.
///
/// Appending allocates nothing: one buffer, which grows to what a turn needs and is given back
/// after an unusually large one.
///
/// What it is asked is mutating, so that it is handed over by its address: see
/// docs/compiler-workarounds.md.
@safe
public struct LogWriter: ~Copyable {
    public enum State: UInt8, Sendable {
        case healthy
        /// There is no space to be had, or no new file. What fits into the space there is is still
        /// taken. `wantsSegment` and `wantsGrowth` ask again, which the node tries about once a
        /// second, and with the first that succeeds all is well.
        case short
        /// A file system gave none of the space it had promised. The pending write is tried
        /// about once a second: the same bytes, to a place no sync has said anything about.
        case writesShort
        /// A write or a sync failed. What the disk holds is not known, so nothing is tried again.
        case failed
    }

    /// What was being done when the disk refused.
    public enum Work: UInt8, Sendable { case segment, growth, write, sync }

    public enum Room: Equatable, Sendable {
        case ready
        /// `allocate` the file to so many bytes, then `grown`; or `failed`.
        case afterGrowing(Growth)
        /// The write has to be refused.
        case refused
    }

    public struct Growth: Equatable, Sendable {
        public var file: DiskFile
        public var bytes: Int
    }

    @safe
    public struct Write {
        public var file: DiskFile
        public var offset: Int
        /// Good until `wrote`.
        public var bytes: UnsafeRawBufferPointer
    }

    /// A segment to be made: created, allocated, its header written; it and its directory synced.
    public struct SegmentWish: Equatable, Sendable {
        public var segment: Segment
        public var bytes: Int

        /// Makes it. Afterwards nothing about it can be lost, whatever was or wasn't there of an
        /// earlier attempt. For a thread that may wait.
        ///
        /// Into `zeroed` space the log is synced faster: space that is only set aside is a change of
        /// the file system's own books at each sync that comes to a new block of it.
        public func make(
            _ disk: any Disk, zeroed isZeroed: Bool = false
        ) throws(DiskFailure) -> DiskFile {
            try? disk.remove(segment.path)
            let file = try disk.create(segment.path)
            do throws(DiskFailure) {
                try disk.allocate(file, bytes: bytes)
                if isZeroed { try writeZeros(disk, file) }
                try disk.write(file, segment.header)
                try disk.sync(file)
                try disk.syncDirectory(FileNames.logs)
            } catch {
                disk.close(file)
                try? disk.remove(segment.path)
                throw error
            }
            return file
        }

        /// Piece by piece, each synced: who waits for another sync meanwhile waits for a piece at
        /// most.
        private func writeZeros(_ disk: any Disk, _ file: DiskFile) throws(DiskFailure) {
            let zeros = [UInt8](repeating: 0, count: min(bytes, 256 << 10))
            var at = 0
            while at < bytes {
                let isLast = at + zeros.count > bytes
                try disk.write(file, isLast ? Array(zeros.prefix(bytes - at)) : zeros, at: at)
                try disk.sync(file)
                at += zeros.count
            }
        }
    }

    /// Files to be synced, all of them; and what has become safe then.
    public struct Sync: Equatable, Sendable {
        public var position: CommitPosition
        /// The files are `syncFile(0..<files)`; usually one, two after a rotation.
        public var files: Int
        /// All bytes the writer had written.
        var bytes: UInt64
        var last: UInt32
    }

    /// A segment that is full and safe: cut to the bytes in use and closed. Should the power go
    /// before the cut is on disk, zeros remain, which harm nothing.
    public struct Trim: Equatable, Sendable {
        public var file: DiskFile
        public var sequence: UInt32
        public var bytes: Int
    }

    /// How large segments are.
    public struct Sizes: Sendable {
        /// The first is small, so that an idle node takes little; each next is twice the one
        /// before.
        public var firstBytes = 1 << 20
        public var bytesMax = 16 << 20
        /// One that has to be longer gets a multiple of this.
        public var growthBytes = 256 << 10

        public init() {}

        public init(firstBytes: Int, bytesMax: Int, growthBytes: Int) {
            self.firstBytes = firstBytes
            self.bytesMax = bytesMax
            self.growthBytes = growthBytes
        }
    }

    /// Segments that may be unsynced at once. Beyond, the open one grows.
    static let unsyncedMax = 64
    /// A frame is closed at this size.
    static let frameBytesTarget = 256 << 10
    /// A buffer beyond this is given back when it is empty.
    static let bufferBytesKept = 4 << 20

    private struct Open {
        var file: DiskFile
        var sequence: UInt32
        var allocated: Int
        /// Bytes with a place in the file, pending ones included.
        var used: Int
        var written: Int
        var key: UInt32
        /// Where its pending bytes begin in the buffer.
        var pendingAt: Int
        /// The position of its last change that was written.
        var lastWritten: CommitPosition
        /// Of its last frame that is closed.
        var lastClosed: CommitPosition
    }

    public let epoch: Epoch
    public let shard: Int
    private let sizes: Sizes
    public private(set) var state = State.healthy
    /// Why the state is not healthy.
    public private(set) var failure: DiskFailure?
    /// The position of the last record that was appended.
    public private(set) var appended: CommitPosition
    /// What survives a kill.
    public private(set) var written: CommitPosition
    /// What survives a power cut.
    public private(set) var synced: CommitPosition
    /// Bytes of all frames written so far: what a policy of snapshots looks at.
    public private(set) var bytesWritten: UInt64 = 0
    private var bytesSynced: UInt64 = 0
    /// What the last written frame said was synced.
    private var stated: CommitPosition

    private var buffer: UnsafeMutableRawPointer
    private var capacity = 64 << 10
    private var fill = 0
    /// Where the open frame begins in the buffer; -1 when there is none.
    private var frameAt = -1
    private var frameFirst: CommitPosition = 0
    private var frameWatermark: CommitPosition = 0

    /// Segments with bytes that are not synced, oldest first, and last the open one.
    private let ring: UnsafeMutablePointer<Open>
    private var ringFirst = 0
    private var ringCount = 1
    /// Before this one of the ring everything is written.
    private var writing = 0
    /// Before this one of the ring everything is synced; they wait to be trimmed.
    private var trimmable = 0
    private var spare: Open?
    private var spareAsked: UInt32 = 0
    private var isSyncing = false
    private var isRotationWanted = false

    /// The log of a shard in a new epoch, with its `firstSegment` made. Its first change gets
    /// position 1, as a new keyspace gives it.
    public init(_ first: SegmentWish, file: DiskFile, sizes: Sizes = Sizes()) {
        epoch = first.segment.epoch
        shard = first.segment.shard
        self.sizes = sizes
        let position: CommitPosition = 0
        appended = position
        written = position
        synced = position
        stated = position
        unsafe buffer = .allocate(byteCount: capacity, alignment: 16)
        unsafe ring = .allocate(capacity: LogWriter.unsyncedMax)
        unsafe ring.initialize(
            to: LogWriter.begin(
                first.segment, file, first.bytes, position))
    }

    deinit {
        unsafe buffer.deallocate()
        unsafe ring.deallocate()
    }

    /// What has to be made before there can be a writer.
    public static func firstSegment(
        _ epoch: Epoch, shard: Int, sizes: Sizes = Sizes()
    ) -> SegmentWish {
        SegmentWish(
            segment: Segment(epoch, shard: shard, sequence: 1), bytes: sizes.firstBytes)
    }

    private static func begin(
        _ segment: Segment, _ file: DiskFile, _ allocated: Int, _ position: CommitPosition
    ) -> Open {
        Open(
            file: file, sequence: segment.sequence, allocated: allocated,
            used: Segment.headerBytes, written: Segment.headerBytes, key: segment.key,
            pendingAt: 0, lastWritten: position, lastClosed: position)
    }

    // MARK: Room

    /// Whether records of so many `encodedBytes` in all have their place. Asked before the write
    /// they come from is carried out.
    public mutating func room(for bytes: Int) -> Room {
        if state.rawValue >= State.writesShort.rawValue { return .refused }
        let need = aligned(bytes) + 2 * Frame.headBytes
        let open = unsafe current.pointee
        if aligned(open.used) + need <= open.allocated { return .ready }
        if let spare, Segment.headerBytes + need <= spare.allocated,
            ringCount < LogWriter.unsyncedMax
        {
            return .ready
        }
        if state == .short { return .refused }
        guard need < Frame.bytesMax else { return .refused }
        return .afterGrowing(growth(open, need))
    }

    /// Set when more was appended than there was room for (a write that evicted many records).
    /// Until the segment is longer nothing more is written. Also set while `short` with nothing else
    /// left to find out with whether there is space again.
    public var wantsGrowth: Growth? {
        mutating get {
            if state == .failed { return nil }
            // One that was left with more than its room comes before the open one.
            for number in writing..<ringCount {
                let open = unsafe place(number)
                if unsafe open.pointee.used > open.pointee.allocated {
                    return unsafe growth(open.pointee, 0)
                }
            }
            return state == .short && spare != nil ? unsafe growth(current.pointee, 0) : nil
        }
    }

    private mutating func growth(_ open: Open, _ need: Int) -> Growth {
        let bytes = aligned(open.used) + need + sizes.growthBytes
        return Growth(file: open.file, bytes: bytes / sizes.growthBytes * sizes.growthBytes)
    }

    /// The open segment was made longer.
    public mutating func grown(_ growth: Growth) {
        for number in writing..<ringCount {
            let open = unsafe place(number)
            guard unsafe open.pointee.file == growth.file else { continue }
            unsafe open.pointee.allocated = max(open.pointee.allocated, growth.bytes)
            recover(from: .short)
        }
    }

    /// The spare to be made, as soon as the open segment is half full; nil while one is there or
    /// being made. After `failed` it is asked for again.
    public mutating func wantsSegment() -> SegmentWish? {
        if state == .failed { return nil }
        let open = unsafe current.pointee
        guard spare == nil, spareAsked <= open.sequence,
            open.used > open.allocated / 2 || state == .short || isRotationWanted
        else { return nil }
        spareAsked = open.sequence + 1
        let bytes = min(sizes.bytesMax, sizes.firstBytes << min(30, Int(open.sequence)))
        return SegmentWish(
            segment: Segment(epoch, shard: shard, sequence: open.sequence + 1), bytes: bytes)
    }

    /// Asks for another segment before the open one is full, so that a snapshot that begins there
    /// leaves nothing of this one to be kept. True once that is so.
    public mutating func rotate() -> Bool {
        if unsafe current.pointee.used == Segment.headerBytes { return true }
        isRotationWanted = true
        guard spare != nil, ringCount < LogWriter.unsyncedMax else { return false }
        closeFrame()
        openNext()
        return true
    }

    /// The spare is there, with its header, and both it and its directory are synced.
    public mutating func segmentReady(_ wish: SegmentWish, _ file: DiskFile) {
        invariant(
            spare == nil && wish.segment.sequence == openSequence + 1,
            "a segment came that was not asked for")
        spare = LogWriter.begin(wish.segment, file, wish.bytes, appended)
        recover(from: .short)
    }

    private mutating func recover(from short: State) {
        guard state == short else { return }
        state = .healthy
        failure = nil
    }

    // MARK: Appending

    /// Takes a change in and answers its position, which is also what `Keyspace` gave it.
    @inline(__always)
    @discardableResult
    public mutating func append(_ record: borrowing LogRecord) -> CommitPosition {
        let bytes = record.encodedBytes
        let at = makePlace(bytes)
        unsafe record.encode(bytes, at: buffer + at)
        if record.takesPosition { appended += 1 }
        return appended
    }

    /// Takes the end of a transaction in, which has a position of its own.
    @discardableResult
    public mutating func append(_ end: TransactionEnd) -> CommitPosition {
        invariant(
            end.others.count <= Slot.shardsMax,
            "a transaction has more participants than there can be shards")
        let at = makePlace(end.encodedBytes)
        unsafe end.encode(at: buffer + at)
        appended += 1
        return appended
    }

    /// Whether the last thing that was synced is not yet said in the log, and nothing is under
    /// way that will say it. A log that falls silent is closed with `appendWatermark`, a write and
    /// a sync, or damage to its last frames would look like the end that a power cut tears.
    public var wantsWatermark: Bool {
        mutating get {
            if state == .failed { return false }
            guard synced > stated, frameAt < 0, fill == 0, synced == appended else { return false }
            return state == .healthy || hasRoomForHead
        }
    }

    private var hasRoomForHead: Bool {
        mutating get {
            let open = unsafe current.pointee
            return aligned(open.used) + 2 * Frame.headBytes <= open.allocated
        }
    }

    /// Appends a frame that only says how far the log is synced. As after any other turn,
    /// `wantsGrowth` and `pendingWrite` say what is to be done.
    public mutating func appendWatermark() {
        beginFrame(0)
    }

    /// Reserves `bytes` in the open frame, opening one, or another segment, where needed.
    @inline(__always)
    private mutating func makePlace(_ bytes: Int) -> Int {
        if frameAt < 0 || fill - frameAt + bytes > LogWriter.frameBytesTarget {
            beginFrame(bytes)
        } else {
            let open = unsafe current.pointee
            if aligned(open.used + bytes) > open.allocated - Frame.headBytes {
                beginFrame(bytes)
            }
        }
        let at = fill
        fill += bytes
        unsafe current.pointee.used += bytes
        if fill > capacity { grow() }
        return at
    }

    @inline(never)
    private mutating func beginFrame(_ bytes: Int) {
        closeFrame()
        let open = unsafe current.pointee
        // Room for one more head is left at the end of each segment.
        let end = aligned(open.used + Frame.headBytes + bytes) + Frame.headBytes
        if spare != nil, ringCount < LogWriter.unsyncedMax,
            end > open.allocated || open.used >= sizes.bytesMax
        {
            openNext()
        }
        openFrame()
    }

    /// Leaves the open segment, whose last frame says so, for the spare.
    private mutating func openNext() {
        guard var next = spare else { return }
        // Where its head has no room, for more was appended than was asked for, the segment is made
        // longer before it is written: a log that didn't say that it goes on would not miss what
        // follows.
        openFrame()
        closeFrame(isLast: true)
        let open = unsafe current.pointee
        next.pendingAt = fill
        next.lastWritten = open.lastWritten
        next.lastClosed = open.lastClosed
        ringCount += 1
        unsafe current.initialize(to: next)
        spare = nil
        isRotationWanted = false
        passWritten()
    }

    /// Leaves segments behind that have nothing left to be written.
    private mutating func passWritten() {
        while writing < ringCount - 1 {
            let open = unsafe place(writing)
            if unsafe open.pointee.used > open.pointee.written { break }
            writing += 1
        }
    }

    private mutating func openFrame() {
        frameAt = fill
        frameFirst = appended + 1
        frameWatermark = synced
        fill += Frame.headBytes
        unsafe current.pointee.used += Frame.headBytes
        if fill > capacity { grow() }
    }

    /// Pads the open frame, and writes its head.
    private mutating func closeFrame(isLast: Bool = false) {
        guard frameAt >= 0 else { return }
        let bytes = fill - frameAt
        let end = frameAt + aligned(bytes)
        while end > capacity { grow() }
        let open = unsafe current
        unsafe (buffer + fill).initializeMemory(as: UInt8.self, repeating: 0, count: end - fill)
        unsafe open.pointee.used += end - fill
        unsafe open.pointee.lastClosed = appended
        fill = end
        unsafe Frame.write(
            bytes, first: frameFirst, watermark: frameWatermark, isLast: isLast,
            key: open.pointee.key, at: buffer + frameAt)
        frameAt = -1
    }

    @inline(never)
    private mutating func grow() {
        var larger = capacity
        while larger < fill + 8 { larger *= 2 }
        if larger == capacity { larger *= 2 }
        let old = unsafe buffer
        unsafe buffer = .allocate(byteCount: larger, alignment: 16)
        unsafe buffer.copyMemory(from: old, byteCount: capacity)
        unsafe old.deallocate()
        capacity = larger
    }

    private var current: UnsafeMutablePointer<Open> {
        mutating get { unsafe ring + (ringFirst + ringCount - 1) % LogWriter.unsyncedMax }
    }

    private mutating func place(_ number: Int) -> UnsafeMutablePointer<Open> {
        unsafe ring + (ringFirst + number) % LogWriter.unsyncedMax
    }

    // MARK: Writing

    /// The bytes to be written next: all of a turn, unless a segment ended in it. Nil when there
    /// are none, or no place for them yet.
    public mutating func pendingWrite() -> Write? {
        guard fill > 0 else { return nil }
        if state == .failed { return nil }
        closeFrame()
        while true {
            let open = unsafe place(writing)
            // Written or not, what has no allocated place waits until it has.
            let count = unsafe open.pointee.used - open.pointee.written
            if count > 0 {
                guard unsafe open.pointee.used <= open.pointee.allocated else { return nil }
                return unsafe Write(
                    file: open.pointee.file, offset: open.pointee.written,
                    bytes: UnsafeRawBufferPointer(
                        start: buffer + open.pointee.pendingAt, count: count))
            }
            if writing == ringCount - 1 { return nil }
            writing += 1
        }
    }

    /// The pending write is done, all of it.
    public mutating func wrote() {
        let open = unsafe place(writing)
        unsafe bytesWritten += UInt64(open.pointee.used - open.pointee.written)
        unsafe open.pointee.written = open.pointee.used
        unsafe open.pointee.lastWritten = open.pointee.lastClosed
        unsafe written = open.pointee.lastWritten
        stated = frameWatermark
        recover(from: .writesShort)
        // A segment that was just begun may have nothing yet.
        passWritten()
        let last = unsafe current
        guard writing == ringCount - 1, unsafe last.pointee.used == last.pointee.written
        else { return }
        fill = 0
        unsafe last.pointee.pendingAt = 0
        if capacity > LogWriter.bufferBytesKept {
            unsafe buffer.deallocate()
            capacity = 64 << 10
            unsafe buffer = .allocate(byteCount: capacity, alignment: 16)
        }
    }

    // MARK: Syncing

    /// Whether something was written that is not synced, or a full segment has not been said to be,
    /// and no sync is under way.
    public var wantsSync: Bool {
        mutating get {
            if state == .failed { return false }
            return !isSyncing && (bytesWritten > bytesSynced || trimmable < writing)
        }
    }

    /// Begins a sync of all that was written; nil when there is nothing to sync, or one is under
    /// way.
    public mutating func beginSync() -> Sync? {
        guard wantsSync else { return nil }
        isSyncing = true
        let last = unsafe place(writing).pointee.sequence
        return Sync(
            position: written, files: writing - trimmable + 1, bytes: bytesWritten, last: last)
    }

    /// A file of the sync that was begun; nothing else may happen in between.
    public mutating func syncFile(_ number: Int) -> DiskFile {
        unsafe place(trimmable + number).pointee.file
    }

    /// All files of the sync are synced.
    public mutating func synced(_ sync: Sync) {
        invariant(isSyncing, "a sync ended that never began")
        isSyncing = false
        synced = max(synced, sync.position)
        bytesSynced = sync.bytes
        while trimmable < ringCount - 1 {
            guard unsafe place(trimmable).pointee.sequence < sync.last else { break }
            trimmable += 1
        }
    }

    /// A full segment that is safe, to be cut to its length and closed; each once.
    public mutating func nextTrim() -> Trim? {
        guard trimmable > 0 else { return nil }
        let open = unsafe place(0).pointee
        ringFirst = (ringFirst + 1) % LogWriter.unsyncedMax
        ringCount -= 1
        trimmable -= 1
        writing -= 1
        return Trim(file: open.file, sequence: open.sequence, bytes: open.used)
    }

    /// The open segment as it has to be cut when the run ends, after the last write and sync.
    public var lastTrim: Trim {
        mutating get {
            let open = unsafe current.pointee
            return Trim(file: open.file, sequence: open.sequence, bytes: open.written)
        }
    }

    /// The spare that was never used, to be closed and removed when the run ends.
    public mutating func takeSpare() -> (file: DiskFile, sequence: UInt32)? {
        guard let spare else { return nil }
        self.spare = nil
        return (spare.file, spare.sequence)
    }

    /// The segment now written to: the first that a snapshot begun now has to keep.
    public var openSequence: UInt32 { mutating get { unsafe current.pointee.sequence } }

    /// The oldest segment that a sync under way, or a later one, may still name. Those before it may
    /// be removed once a snapshot covers them: a removed file can't be synced.
    private var unsyncedSequence: UInt32 {
        mutating get { unsafe place(trimmable).pointee.sequence }
    }

    /// Whether a snapshot that began with `segment` and ended at `end` needs nothing of this log that
    /// a power cut could take, and nothing before `segment` is worked on.
    public mutating func covers(_ end: CommitPosition, from segment: UInt32) -> Bool {
        synced >= end && unsyncedSequence >= segment
    }

    // MARK: Failure

    /// The disk refused. Nothing of what was asked for counts as done.
    public mutating func failed(_ failure: DiskFailure, during work: Work) {
        guard state != .failed else { return }
        self.failure = failure
        switch work {
        case .segment:
            spareAsked = 0
            if state == .healthy { state = .short }
        case .growth:
            if state == .healthy { state = .short }
        case .write: state = Shortage.isMeant(by: failure.errno) ? .writesShort : .failed
        case .sync: state = .failed
        }
    }
}

/// The two numbers that mean: no space now, perhaps later.
enum Shortage {
    static let noSpace: Int32 = 28
    static let quota: Int32 = 122

    static func isMeant(by errno: Int32) -> Bool { errno == noSpace || errno == quota }
}
