import Keyspace
import Machine

/// Records of one database on their way from a shard to the dump's file.
///
/// The shard only copies them here, some hundreds a turn. What takes time (finding what can be
/// compressed, writing) is the worker's; then the rows are empty again and go back.
///
/// ```
/// kind u8 · key length u16 · value length u32 · expiry i64 · key · value
/// ```
@safe final class DumpRows: @unchecked Sendable {
    /// A single large record may take more.
    private static let bytesTarget = 256 << 10
    private static let headBytes = 15

    var database: UInt64 = 0
    private var bytes: UnsafeMutableRawPointer
    private var capacity = DumpRows.bytesTarget
    private var fill = 0

    init() { unsafe bytes = .allocate(byteCount: capacity, alignment: 16) }

    deinit { unsafe bytes.deallocate() }

    var isEmpty: Bool { fill == 0 }

    /// Whether the next record should go into other rows.
    var isFull: Bool { fill >= Self.bytesTarget }

    func add(_ record: Record) {
        let key = unsafe record.key
        let value = unsafe record.value
        let count = Self.headBytes + key.count + value.count
        if fill + count > capacity { grow(to: max(fill + count, 2 * capacity)) }
        let place = unsafe bytes + fill
        unsafe place.storeBytes(of: record.kind.rawValue, as: UInt8.self)
        unsafe place.storeBytes(of: UInt16(key.count), toByteOffset: 1, as: UInt16.self)
        unsafe place.storeBytes(of: UInt32(value.count), toByteOffset: 3, as: UInt32.self)
        unsafe place.storeBytes(of: record.expiresAt, toByteOffset: 7, as: Int64.self)
        unsafe copy(key, to: place + Self.headBytes)
        unsafe copy(value, to: place + Self.headBytes + key.count)
        fill += count
    }

    func clear() {
        fill = 0
        guard capacity > 4 * Self.bytesTarget else { return }
        // A large value was here, and the next may never come.
        unsafe bytes.deallocate()
        capacity = Self.bytesTarget
        unsafe bytes = .allocate(byteCount: capacity, alignment: 16)
    }

    /// The rows one after the other.
    func each(_ body: (DumpRow) throws(SystemError) -> Void) throws(SystemError) {
        var at = 0
        while at < fill {
            let place = unsafe bytes + at
            let kind = unsafe place.load(as: UInt8.self)
            let keyCount = unsafe Int(place.loadUnaligned(fromByteOffset: 1, as: UInt16.self))
            let valueCount = unsafe Int(place.loadUnaligned(fromByteOffset: 3, as: UInt32.self))
            let key = unsafe UnsafeRawBufferPointer(
                start: place + Self.headBytes, count: keyCount)
            let value = unsafe UnsafeRawBufferPointer(
                start: place + Self.headBytes + keyCount, count: valueCount)
            try body(
                unsafe DumpRow(
                    key: key, kind: ValueKind(rawValue: kind) ?? .bytes, value: value,
                    expiresAtMs: place.loadUnaligned(fromByteOffset: 7, as: Int64.self)))
            at += Self.headBytes + keyCount + valueCount
        }
    }

    private func copy(_ from: UnsafeRawBufferPointer, to place: UnsafeMutableRawPointer) {
        guard let start = from.baseAddress else { return }
        unsafe place.copyMemory(from: start, byteCount: from.count)
    }

    private func grow(to larger: Int) {
        let old = unsafe bytes
        unsafe bytes = .allocate(byteCount: larger, alignment: 16)
        unsafe bytes.copyMemory(from: old, byteCount: fill)
        unsafe old.deallocate()
        capacity = larger
    }
}

/// What a dump says of a record; good as long as the memory it lies in.
@safe struct DumpRow {
    let key: UnsafeRawBufferPointer
    let kind: ValueKind
    let value: UnsafeRawBufferPointer
    /// 0: never.
    let expiresAtMs: Int64

    init(
        key: UnsafeRawBufferPointer, kind: ValueKind, value: UnsafeRawBufferPointer,
        expiresAtMs: Int64
    ) {
        unsafe self.key = unsafe key
        self.kind = kind
        unsafe self.value = unsafe value
        self.expiresAtMs = expiresAtMs
    }

    init(_ record: Record) {
        unsafe self.init(
            key: record.key, kind: record.kind, value: record.value,
            expiresAtMs: record.expiresAt)
    }
}

/// Rows of a shard on their way to the worker and back.
@safe struct DumpRowsJob {
    var job: Job
    let rows: DumpRows
    private var dumper: Unmanaged<Dumper>?

    typealias Place = UnsafeMutablePointer<DumpRowsJob>

    static func make(_ inbox: CompletionInbox) -> Place {
        let place = Place.allocate(capacity: 1)
        unsafe place.initialize(
            to: DumpRowsJob(
                job: Job(inbox: inbox) { memory in
                    let place = unsafe memory.assumingMemoryBound(to: DumpRowsJob.self)
                    let rows = unsafe place.pointee.rows
                    unsafe place.pointee.dumper?._withUnsafeGuaranteedRef { $0.write(rows) }
                }, rows: DumpRows(), dumper: nil))
        return unsafe place
    }

    /// Hands the rows to the worker; false when it has too much to do.
    static func submit(_ place: Place, to worker: WorkerPool, for dumper: Dumper) -> Bool {
        unsafe place.pointee.dumper = Unmanaged.passUnretained(dumper)
        return unsafe worker.submit(
            UnsafeMutableRawPointer(place).assumingMemoryBound(to: Job.self))
    }

    static func free(_ place: Place) {
        unsafe place.deinitialize(count: 1)
        unsafe place.deallocate()
    }

    static func of(_ job: UnsafeMutablePointer<Job>) -> Place {
        unsafe UnsafeMutableRawPointer(job).assumingMemoryBound(to: DumpRowsJob.self)
    }
}
