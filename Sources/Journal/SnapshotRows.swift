/// Records of one shard on their way into a snapshot: as many as make a block.
///
/// The shard only copies them here, some hundreds a turn. Whatever takes time (columns,
/// compression, the file) is done by the worker that is handed the rows; then they are empty
/// again and go back. Two per shard keep both busy.
@safe
public final class SnapshotRows: @unchecked Sendable {
    /// What a block takes before it is compressed. A walk's step may add more than that, and so
    /// does a single large record.
    public static let bytesTarget = 256 << 10
    static let recordsTarget = 16_384

    public let shard: Int
    public private(set) var records = 0
    public private(set) var tombstones = 0
    private(set) var fill = 0
    private(set) var bytes: UnsafeMutableRawPointer
    private var capacity = SnapshotRows.bytesTarget + (128 << 10)

    public init(shard: Int) {
        self.shard = shard
        unsafe bytes = .allocate(byteCount: capacity, alignment: 16)
    }

    deinit { unsafe bytes.deallocate() }

    public var isEmpty: Bool { records == 0 }

    /// Whether the next record should go into other rows.
    public var isFull: Bool {
        fill >= SnapshotRows.bytesTarget || records >= SnapshotRows.recordsTarget
    }

    /// Takes a record in.
    public func add(_ record: borrowing LogRecord) {
        invariant(records < SnapshotBlock.recordsMax, "rows were added to a block beyond its end")
        let count = record.encodedBytes
        if fill + count > capacity { grow(fill + count) }
        unsafe record.encode(count, at: bytes + fill)
        fill += count
        records += 1
        if record.kind != .updated { tombstones += 1 }
    }

    public func clear() {
        records = 0
        tombstones = 0
        fill = 0
        guard capacity > 4 * SnapshotRows.bytesTarget else { return }
        // A large value was here, and the next may never come.
        unsafe bytes.deallocate()
        capacity = SnapshotRows.bytesTarget + (128 << 10)
        unsafe bytes = .allocate(byteCount: capacity, alignment: 16)
    }

    private func grow(_ need: Int) {
        let larger = max(need, capacity * 2)
        let old = unsafe bytes
        unsafe bytes = .allocate(byteCount: larger, alignment: 16)
        unsafe bytes.copyMemory(from: old, byteCount: fill)
        unsafe old.deallocate()
        capacity = larger
    }

    /// The rows one after the other.
    func each(_ body: (borrowing LogRecord) -> Void) {
        var steps = unsafe RecordSteps(UnsafeRawBufferPointer(start: bytes, count: fill))
        while case .record(let record) = steps.next() { body(record) }
    }
}
