/// Everything a node was told at start, typed and within range.
///
/// Made once, handed to the node and never read from the environment again. Units come last in a
/// name. A nil number is one the node works out from the machine it runs on.
public struct Configuration: Sendable {
    // The node.
    public var listen = Address(host: "", port: 0)
    public var dir = ""
    public var shards: Int?
    public var io = IOChoice.auto
    public var connectionsMax: Int?
    /// nil: others are told the listen address.
    public var advertise: Address?
    /// A further listener on which only RESP is spoken.
    public var respListen: Address?
    /// nil: a random id, kept in `dir`.
    public var nodeID: String?
    /// nil: a share of what the machine or the cgroup has.
    public var memoryBytesMax: Int?
    public var eviction = EvictionChoice.none
    public var valueBytesMax = 0
    public var fsync = FsyncPolicy.everysec
    public var snapshotAfterBytes = 0
    public var snapshotEveryMs = 0
    /// The RDB file in `dir` that a first start takes in.
    public var dumpName = ""
    /// `*`, or one origin as browsers send it.
    public var corsOrigin = ""
    /// Addresses and blocks of them, each well-formed; empty: nobody's word is taken.
    public var trustedProxies: [String] = []
    /// nil: requests are not counted.
    public var rate: Rate?
    public var drainTimeoutMs = 0
    public var heartbeatMs = 0
    public var streamBufferBytes = 0

    // HTTP bounds.
    public var headerBytesMax = 0
    public var headerCountMax = 0
    public var idleTimeoutMs = 0
    public var headerTimeoutMs = 0
    public var bodyTimeoutMs = 0
    public var pipelineDepthMax = 0
    public var turnBytesMax = 0
    public var turnRequestsMax = 0
    public var bodyBudgetBytes = 0

    // Log.
    public var logLevel = LogLevel.info
    public var logFormat = LogFormat.text

    // Secrets.
    /// nil: a random signing key is made once and kept in `dir`.
    public var jwtSecret: Secret?
    public var jwtExpirationMs = 0
    /// nil: there is no admin over the network.
    public var adminPassword: Secret?

    // Experts and tests.
    /// What the drivers are to treat as missing in the kernel.
    public var ioMask: [IOFeatureName] = []
    public var testRoutes = false

    /// Under this a shard's own tables would leave hardly any room for records.
    public static let memoryBytesOfShardMin = 4 << 20

    /// The defaults of the option table.
    public init() {
        for option in Option.table {
            guard case .value(let text) = option.default, option.isCarriedOut else { continue }
            guard option.meaning.read(text, &self) else {
                fatalError("the default of \(option.spelling), \(text), is out of its own range")
            }
        }
    }

    /// What is wrong between two options that are each good alone.
    func contradiction() -> String? {
        if bodyBudgetBytes < valueBytesMax {
            return "--body-budget: \(ValueText.size(bodyBudgetBytes)) is less than --max-value, "
                + "\(ValueText.size(valueBytesMax)), so the largest value could never arrive; "
                + "raise the one or lower the other"
        }
        if let memoryBytesMax, let shards,
            memoryBytesMax / shards < Configuration.memoryBytesOfShardMin
        {
            return "--max-memory: \(ValueText.size(memoryBytesMax)) is less than "
                + "\(ValueText.size(Configuration.memoryBytesOfShardMin)) for each of "
                + "\(shards) shards; raise it or lower --shards"
        }
        return nil
    }
}

/// Which way a shard talks to the kernel.
public enum IOChoice: String, Sendable, CaseIterable {
    /// io_uring where a probe succeeds, else epoll.
    case auto
    case uring, epoll
}

/// What happens to records when there is no room for another.
public enum EvictionChoice: String, Sendable, CaseIterable { case none, lru }

/// When what was written to the log is synced to the disk.
public enum FsyncPolicy: String, Sendable, CaseIterable {
    /// Before it is acknowledged; many writes to one sync.
    case always
    /// Each second.
    case everysec
    /// When the kernel sees fit.
    case no
}

public enum LogLevel: String, Sendable, CaseIterable, Comparable {
    case debug, info, warn, error

    private var rank: Int {
        switch self {
        case .debug: 0
        case .info: 1
        case .warn: 2
        case .error: 3
        }
    }

    public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rank < b.rank }
}

public enum LogFormat: String, Sendable, CaseIterable { case text, json }

/// Features of io_uring that came one kernel after another, by the names `--io-mask` takes.
///
/// Hiding them on a new kernel is how the behaviour on an old one is tested.
public enum IOFeatureName: String, Sendable, CaseIterable {
    case deferTaskrun = "defer-taskrun"
    case singleIssuer = "single-issuer"
    case coopTaskrun = "coop-taskrun"
    case multishotAccept = "multishot-accept"
    case multishotReceive = "multishot-recv"
    case registeredRing = "registered-ring"
}

/// Text that must not reach a log, a message or a dump by accident.
///
/// Every way Swift prints a value shows a placeholder; only `exposed` gives the text.
public struct Secret: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    public let exposed: String
    public init(_ text: String) { exposed = text }

    public var description: String { "(secret)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
