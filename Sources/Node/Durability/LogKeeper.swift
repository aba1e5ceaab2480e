import Glibc
import Journal
import Keyspace
import Machine
import Options

/// One shard's log with the file work around it: writes at the end of each turn, syncs by policy,
/// segments made ahead of need, and what to do when the disk refuses.
///
/// Writing is done by the shard itself: a buffered write into allocated space takes microseconds.
/// Everything that waits for the disk is done by workers, which wake the shard when they are done.
@safe struct LogKeeper: ~Copyable {
    private(set) var writer: LogWriter
    private let disk: FileDisk
    private let policy: FsyncPolicy
    private let workers: WorkerPool
    private let inbox: CompletionInbox
    private var jobsOut = 0
    private var isSyncing = false
    private var isMakingSegment = false
    /// When the policy wants the next sync, if anything was written since the last.
    private var nextSyncMs: UInt64 = 0
    /// While the disk refuses: when it is asked again.
    private var retryMs: UInt64 = 0
    /// Whether this turn asks again.
    private var isRetrying = false
    /// Syncs that ended, and how long they took.
    private(set) var syncs: UInt64 = 0
    private(set) var syncNs: UInt64 = 0

    /// Kept free for the ends of transactions that are under way.
    private var reservedBytes = 0

    /// Somebody waits for the log to be synced up to here, and for all segments before this one.
    private var wantedSync: CommitPosition = 0
    private var wantedSegment: UInt32 = 0

    private static let syncEveryMs: UInt64 = 1_000
    private static let retryEveryMs: UInt64 = 1_000

    init(
        _ writer: consuming LogWriter, disk: FileDisk, policy: FsyncPolicy, workers: WorkerPool,
        waker: Waker
    ) {
        self.writer = writer
        self.disk = disk
        self.policy = policy
        self.workers = workers
        inbox = CompletionInbox(argument: UInt(waker.descriptor)) {
            Waker(descriptor: Int32($0)).wake()
        }
    }

    deinit { inbox.destroy() }

    // MARK: Room

    /// Whether a write whose records take so many bytes has its place in the log. Asked before it is
    /// carried out, so that a full disk refuses a write instead of losing it.
    @inline(__always)
    mutating func hasRoom(_ bytes: Int) -> Bool {
        let bytes = bytes + reservedBytes
        if writer.room(for: bytes) == .ready { return true }
        return makeRoom(bytes)
    }

    /// Keeps so many bytes free from now on; false where there is no room for them.
    mutating func reserve(_ bytes: Int) -> Bool {
        guard hasRoom(bytes) else { return false }
        reservedBytes += bytes
        return true
    }

    mutating func reserveNoMore(_ bytes: Int) {
        reservedBytes -= bytes
        invariant(reservedBytes >= 0, "more room in the log was given back than kept")
    }

    @inline(never)
    private mutating func makeRoom(_ bytes: Int) -> Bool {
        guard case .afterGrowing(let growth) = writer.room(for: bytes) else { return false }
        grow(growth)
        return writer.room(for: bytes) == .ready
    }

    private mutating func grow(_ growth: LogWriter.Growth) {
        do throws(DiskFailure) {
            try disk.allocate(growth.file, bytes: growth.bytes)
            writer.grown(growth)
        } catch {
            writer.failed(error, during: .growth)
        }
    }

    /// See `LogWriter.rotate`.
    mutating func rotate() -> Bool { writer.rotate() }

    /// Syncs up to a position, and all that is before a segment, soon, whatever the policy says.
    mutating func wantSync(upTo position: CommitPosition, from segment: UInt32) {
        wantedSync = max(wantedSync, position)
        wantedSegment = max(wantedSegment, segment)
    }

    mutating func append(_ record: borrowing LogRecord) { writer.append(record) }

    mutating func append(_ end: TransactionEnd) -> CommitPosition { writer.append(end) }

    /// Why writes are refused, or nil.
    var trouble: DiskTrouble? {
        mutating get {
            switch writer.state {
            case .healthy: nil
            case .short, .writesShort: isOutOfSpace ? .full : .stuck
            case .failed: .failed
            }
        }
    }

    /// See `LogWriter.openSequence`.
    var openSequence: UInt32 { mutating get { writer.openSequence } }

    /// See `LogWriter.covers`.
    mutating func covers(_ end: CommitPosition, from segment: UInt32) -> Bool {
        writer.covers(end, from: segment)
    }

    /// Of a log that is written to no more.
    var logFailure: DiskFailure? {
        mutating get { writer.state == .failed ? writer.failure : nil }
    }

    private var isOutOfSpace: Bool {
        mutating get {
            let code = writer.failure?.errno
            return code == ENOSPC || code == EDQUOT
        }
    }

    // MARK: A turn

    /// Writes what the turn appended. False: the disk refused, and nothing of the turn may be told.
    mutating func write(at nowMs: UInt64) -> Bool {
        isRetrying = writer.state != .healthy && nowMs >= retryMs
        if isRetrying { retryMs = nowMs + Self.retryEveryMs }
        let asks = writer.state == .healthy || isRetrying
        // What was let in while space is short has its place and is written as ever. Only asking
        // for more, and what the disk has refused, waits for its time.
        if writer.state == .writesShort, !isRetrying { return writer.written == writer.appended }
        if asks, let growth = writer.wantsGrowth { grow(growth) }
        while let write = writer.pendingWrite() {
            do throws(DiskFailure) {
                unsafe try disk.write(write.file, at: write.offset, write.bytes)
                writer.wrote()
            } catch {
                writer.failed(error, during: .write)
                retryMs = nowMs + Self.retryEveryMs
                return false
            }
        }
        return writer.written == writer.appended
    }

    /// Starts what waits for the disk: a sync where it is due (or `wanted` by somebody who waits for
    /// it), the next segment, the cutting of full ones. `stamp` is the last one given.
    mutating func startWork(at nowMs: UInt64, isSyncWanted: Bool, stamp: Stamp) {
        let isWanted = isSyncWanted || !writer.covers(wantedSync, from: wantedSegment)
        if writer.wantsSync, !isSyncing, isWanted || isSyncDue(at: nowMs) {
            startSync(at: nowMs, stamp)
        } else if writer.wantsWatermark, nowMs >= nextSyncMs {
            // A log that falls silent says once more how far it is safe.
            writer.appendWatermark()
            _ = write(at: nowMs)
            startSync(at: nowMs, stamp)
        }
        if !isMakingSegment, writer.state == .healthy || isRetrying,
            let wish = writer.wantsSegment()
        {
            isMakingSegment = submit(.segment(wish, zeroed: policy.zeroesSegments))
        }
        while let trim = writer.nextTrim() {
            if !submit(.trim(trim)) { disk.close(trim.file) }
        }
    }

    /// Starts the next sync of what was written, in the middle of a turn: with `always` somebody waits
    /// for it. `stamp` is the last one that is written.
    mutating func syncNext(at nowMs: UInt64, stamp: Stamp) {
        if policy == .always, writer.wantsSync, !isSyncing { startSync(at: nowMs, stamp) }
    }

    /// A sync is under way that all writers wait for.
    var isAwaited: Bool { isSyncing && policy == .always }

    private mutating func isSyncDue(at nowMs: UInt64) -> Bool {
        switch policy {
        case .always: true
        case .everysec: nowMs >= nextSyncMs
        case .no: false
        }
    }

    private mutating func startSync(at nowMs: UInt64, _ stamp: Stamp) {
        guard let sync = writer.beginSync() else { return }
        var files: [DiskFile] = []
        for number in 0..<sync.files { files.append(writer.syncFile(number)) }
        // The queue is longer than everything that can be under way.
        let isSubmitted = submit(.sync(DiskJob.Sync(sync: sync, files: files, stamp: stamp)))
        invariant(isSubmitted, "no room for a sync among the disk's jobs")
        isSyncing = true
        nextSyncMs = nowMs + Self.syncEveryMs
    }

    /// Whether something waits for the end of a turn to be written. While the disk refuses, it waits
    /// for the next try.
    var hasUnwritten: Bool {
        mutating get { writer.state == .healthy && writer.written < writer.appended }
    }

    /// When the shard has to look here again if nothing else happens.
    var nextDueMs: UInt64? {
        mutating get {
            if writer.state == .failed { return nil }
            if writer.state != .healthy { return retryMs }
            if isSyncing { return nil }
            if writer.wantsSync { return policy == .everysec ? nextSyncMs : nil }
            return writer.wantsWatermark ? nextSyncMs : nil
        }
    }

    private mutating func submit(_ work: DiskJob.Work) -> Bool {
        let place = unsafe DiskJob.make(work, disk, inbox)
        if unsafe workers.submit(DiskJob.asJob(place)) {
            jobsOut += 1
            return true
        }
        unsafe DiskJob.free(place)
        return false
    }

    /// Whether `nextSynced` has something to do.
    var hasFinishedWork: Bool { !inbox.isEmpty }

    /// Takes in what workers have done. The position and stamp that are safe now, if that changed.
    mutating func takeFinished() -> (CommitPosition, Stamp)? {
        var safe: (CommitPosition, Stamp)?
        var next = unsafe inbox.drain()
        while let job = unsafe next {
            unsafe next = unsafe job.pointee.next
            let place = unsafe DiskJob.of(job)
            jobsOut -= 1
            switch unsafe place.pointee.work {
            case .sync(let work):
                isSyncing = false
                syncs += 1
                unsafe syncNs += place.pointee.ns
                if let failure = unsafe place.pointee.failure {
                    writer.failed(failure, during: .sync)
                } else {
                    writer.synced(work.sync)
                    safe = (writer.synced, work.stamp)
                }
            case .segment(let wish, _):
                isMakingSegment = false
                if let file = unsafe place.pointee.file {
                    writer.segmentReady(wish, file)
                } else if let failure = unsafe place.pointee.failure {
                    writer.failed(failure, during: .segment)
                }
            // A segment that could not be cut has zeros at its end, which harm nothing.
            case .trim: break
            }
            unsafe DiskJob.free(place)
        }
        return safe
    }

    // MARK: The end

    /// Writes and syncs what there is, cuts the open segment to its length and closes everything:
    /// the last thing a shard does. On the shard's own thread: nobody waits for it any more.
    mutating func finish(at nowMs: UInt64) {
        while jobsOut > 0 {
            if inbox.isEmpty {
                usleep(100)
            } else {
                _ = takeFinished()
            }
        }
        guard writer.state == .healthy, write(at: nowMs) else { return }
        syncHere()
        if writer.wantsWatermark {
            writer.appendWatermark()
            if write(at: nowMs) { syncHere() }
        }
        guard writer.state == .healthy else { return }
        while let trim = writer.nextTrim() { cut(trim) }
        cut(writer.lastTrim)
        if let (file, sequence) = writer.takeSpare() {
            disk.close(file)
            try? disk.remove(
                FileNames.segment(
                    epoch: writer.epoch.number, shard: writer.shard, sequence: sequence))
        }
    }

    private mutating func syncHere() {
        guard let sync = writer.beginSync() else { return }
        do throws(DiskFailure) {
            for number in 0..<sync.files { try disk.sync(writer.syncFile(number)) }
            writer.synced(sync)
        } catch {
            writer.failed(error, during: .sync)
        }
    }

    private func cut(_ trim: LogWriter.Trim) {
        try? disk.truncate(trim.file, bytes: trim.bytes)
        disk.close(trim.file)
    }
}

/// Why a node takes no writes.
enum DiskTrouble: UInt64 {
    /// There is no space; writes go on by themselves once there is.
    case full = 1
    /// The log can't be made longer, for another reason; writes go on by themselves once it can.
    case stuck = 2
    /// A write or a sync failed: what the disk holds is not known.
    case failed = 3

    var sentence: StaticString {
        switch self {
        case .full: "The disk is full: no writes are taken until there is space"
        case .stuck: "The log can't be made longer: no writes are taken until it can"
        case .failed: "The disk failed: no writes are taken until the node is started again"
        }
    }
}

extension FsyncPolicy {
    /// Whether so much is synced that it pays to write each segment twice.
    var zeroesSegments: Bool { self == .always }
}
