/// What lies in a node's directory.
///
/// ```
/// manifest                                which of the files below count
/// storage.db                              the snapshot
/// journal/<epoch>-<shard>-<sequence>.log  the logs, a writer and its segments each
/// ```
///
/// A file that is being written has `.new` behind its name until it is whole.
public enum FileNames {
    public static let manifest = "manifest"
    public static let snapshot = "storage.db"
    public static let logs = "journal"
    public static let besideSuffix = ".new"
    public static let snapshotBeside = snapshot + besideSuffix

    public static func segment(epoch: UInt64, shard: Int, sequence: UInt32) -> String {
        "\(logs)/\(epoch)-\(shard)-\(sequence).log"
    }

    /// Reads a segment's name back, without its directory; nil for any other file.
    static func parse(_ name: String) -> (epoch: UInt64, shard: Int, sequence: UInt32)? {
        guard name.hasSuffix(".log") else { return nil }
        let parts = name.dropLast(4).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, let epoch = UInt64(parts[0]), let shard = Int(parts[1]),
            let sequence = UInt32(parts[2]),
            segment(epoch: epoch, shard: shard, sequence: sequence) == "\(logs)/\(name)"
        else { return nil }
        return (epoch, shard, sequence)
    }
}

/// Which run of which node wrote a file.
public struct Epoch: Hashable, Sendable {
    /// 16 random bytes that name the node for ever.
    public var node: NodeID
    /// 1, 2, 3… for each start.
    public var number: UInt64
    /// Random, and never shown outside: it goes into every checksum of the run's logs. Whoever
    /// stores values can't compose bytes that a recovery would take for a frame.
    public var salt: UInt64
    /// How many shards the run has: the number of logs.
    public var shards: Int

    public init(node: NodeID, number: UInt64, salt: UInt64, shards: Int) {
        self.node = node
        self.number = number
        self.salt = salt
        self.shards = shards
    }
}

public struct NodeID: Hashable, Sendable, BitwiseCopyable {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}
