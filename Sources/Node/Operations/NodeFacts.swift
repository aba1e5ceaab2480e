import Machine

/// What a node knows of itself from its start on.
struct NodeFacts: Sendable {
    var version: String
    var nodeID: String
    /// `uring` or `epoll`.
    var driver: String
    /// `host:port` as others are told it.
    var address: String
    var startedMs: Int64
    /// The path of `--dir` from the root on.
    var directory: String
}

extension IOProbe.Choice {
    var name: String {
        switch self {
        case .uring: "uring"
        case .epoll: "epoll"
        }
    }
}
