import Journal
import Keyspace
import Machine

/// File work that may take long, on its way to a worker and back to the shard that wants it.
@safe struct DiskJob {
    enum Work {
        case sync(Sync)
        case segment(LogWriter.SegmentWish, zeroed: Bool)
        /// A segment that is full and safe: cut to its length, closed.
        case trim(LogWriter.Trim)
    }

    struct Sync {
        let sync: LogWriter.Sync
        let files: [DiskFile]
        /// The last one given when the sync began: all records up to it are safe after it.
        let stamp: Stamp
    }

    /// First, so that a pointer to the one is a pointer to the other.
    var job: Job
    let disk: FileDisk
    let work: Work
    /// Of a segment: the open file.
    var file: DiskFile?
    var failure: DiskFailure?
    /// How long it took.
    var ns: UInt64 = 0

    typealias Place = UnsafeMutablePointer<DiskJob>

    static func make(_ work: Work, _ disk: FileDisk, _ inbox: CompletionInbox) -> Place {
        let place = Place.allocate(capacity: 1)
        unsafe place.initialize(
            to: DiskJob(
                job: Job(inbox: inbox) { unsafe DiskJob.run($0) }, disk: disk, work: work))
        return unsafe place
    }

    static func free(_ place: Place) {
        unsafe place.deinitialize(count: 1)
        unsafe place.deallocate()
    }

    static func asJob(_ place: Place) -> UnsafeMutablePointer<Job> {
        unsafe UnsafeMutableRawPointer(place).assumingMemoryBound(to: Job.self)
    }

    static func of(_ job: UnsafeMutablePointer<Job>) -> Place {
        unsafe UnsafeMutableRawPointer(job).assumingMemoryBound(to: DiskJob.self)
    }

    /// On a worker.
    private static func run(_ memory: UnsafeMutableRawPointer) {
        let place = unsafe memory.assumingMemoryBound(to: DiskJob.self)
        let disk = unsafe place.pointee.disk
        let start = Clock.monotonicNs()
        do throws(DiskFailure) {
            switch unsafe place.pointee.work {
            case .sync(let work): for file in work.files { try disk.sync(file) }
            case .segment(let wish, let zeroed):
                unsafe place.pointee.file = try wish.make(disk, zeroed: zeroed)
            case .trim(let trim):
                defer { disk.close(trim.file) }
                try disk.truncate(trim.file, bytes: trim.bytes)
            }
        } catch {
            unsafe place.pointee.failure = error
        }
        unsafe place.pointee.ns = Clock.monotonicNs() &- start
    }
}
