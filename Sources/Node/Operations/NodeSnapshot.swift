/// The node's figures at one moment, as far as one moment can be had without stopping anybody.
struct NodeSnapshot {
    var facts: NodeFacts
    var nowMs: Int64
    var isDraining: Bool
    var shards: [ShardTally]
    var tables: Int
    var bodyBytes: Int
    var bodyBytesMax: Int
    var blockBytes: Int
    var blockPoolBytes: Int
    var connectionsMax: Int
    /// Bytes of log that no snapshot covers, and what snapshots came to.
    var logBytes: UInt64
    var snapshots: Snapshotter.Figures
    /// By `DurationBuckets`, of all shards together.
    var turns: [UInt64]
    var requests: [UInt64]
    /// The turns' shares of snapshots.
    var slices: [UInt64]
    /// From a change to the last listener of a shard.
    var pushes: [UInt64]

    func sum(_ value: (ShardTally) -> UInt64) -> UInt64 {
        shards.reduce(0) { $0 &+ value($1) }
    }

    /// Why no writes are taken, the worst of all shards.
    var diskTrouble: DiskTrouble? {
        DiskTrouble(rawValue: shards.map(\.diskTrouble).max() ?? 0)
    }

    /// Requests whose turn is over: their durations are known.
    var timedRequests: UInt64 { requests.reduce(0, &+) }

    var averagePushNs: UInt64 {
        let count = pushes.reduce(0, &+)
        return count == 0 ? 0 : sum(\.pushNs) / count
    }

    var averageServiceNs: UInt64 {
        let count = timedRequests
        return count == 0 ? 0 : sum(\.serviceNs) / count
    }
}
