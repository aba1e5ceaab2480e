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
    /// nil: a random id, kept in `dir`.
    public var nodeID: String?
    public var valueBytesMax = 0
    /// `*`, or one origin as browsers send it.
    public var corsOrigin = ""
    public var drainTimeoutMs = 0

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
    public var ioMask: IOFeatures = []
    public var testRoutes = false

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
        return nil
    }
}

/// Which way a shard talks to the kernel.
public enum IOChoice: String, Sendable, CaseIterable {
    /// io_uring where a probe succeeds, else epoll.
    case auto
    case uring, epoll
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

/// Kernel features newer than, or beside, the least we need, by the names `--io-mask` takes.
///
/// Hiding them on a new kernel is how the behaviour on an old one is tested.
public struct IOFeatures: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let deferTaskrun = IOFeatures(rawValue: 1 << 0)
    public static let singleIssuer = IOFeatures(rawValue: 1 << 1)
    public static let coopTaskrun = IOFeatures(rawValue: 1 << 2)
    public static let multishotAccept = IOFeatures(rawValue: 1 << 3)
    public static let multishotRecv = IOFeatures(rawValue: 1 << 4)
    public static let msgRing = IOFeatures(rawValue: 1 << 5)
    public static let sendZC = IOFeatures(rawValue: 1 << 6)
    public static let bundle = IOFeatures(rawValue: 1 << 7)

    public static let names: [(name: String, feature: IOFeatures)] = [
        ("defer-taskrun", .deferTaskrun), ("single-issuer", .singleIssuer),
        ("coop-taskrun", .coopTaskrun), ("multishot-accept", .multishotAccept),
        ("multishot-recv", .multishotRecv), ("msg-ring", .msgRing), ("send-zc", .sendZC),
        ("bundle", .bundle),
    ]

    init?(names text: String) {
        self = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let known = IOFeatures.names.first(where: { $0.name == word }) else { return nil }
            insert(known.feature)
        }
    }
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
