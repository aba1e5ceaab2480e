public import Keyspace

/// A whole snapshot, as it is read.
public struct SnapshotSource: Hashable, Sendable {
    public struct Header: Hashable, Sendable {
        public var epoch: Epoch
        /// Snapshots are numbered over all epochs.
        public var number: UInt64
        /// By shard: it has every change up to here.
        public var starts: [CommitPosition]
    }

    public struct Footer: Hashable, Sendable {
        /// By shard: it may have changes up to here, and they were synced before it counted.
        public var ends: [CommitPosition]
        public var records: UInt64
    }

    public let header: Header
    public let footer: Footer

    static func open(_ disk: any Disk) throws(JournalFailure) -> SnapshotSource {
        throw .damage(Damage(FileNames.snapshot, 0, "not yet"))
    }

    func read(
        _ disk: any Disk, for shard: Int, of count: Int, _ body: (borrowing LogRecord) -> Void
    ) throws(JournalFailure) {}
}
