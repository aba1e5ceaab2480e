/// The features of io_uring that came one kernel after another. A start-up mask hides them one by
/// one, so that what an older kernel gives is tested on a newer one.
public struct IOFeatures: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Completions are posted only when this thread asks (6.1).
    public static let deferTaskrun = IOFeatures(rawValue: 1 << 0)
    /// The kernel may leave out the locks between submitters (6.0).
    public static let singleIssuer = IOFeatures(rawValue: 1 << 1)
    /// No inter-processor interrupt for a completion (5.19).
    public static let coopTaskrun = IOFeatures(rawValue: 1 << 2)
    /// One request accepts many connections (5.19).
    public static let multishotAccept = IOFeatures(rawValue: 1 << 3)
    /// One request receives many times (6.0).
    public static let multishotReceive = IOFeatures(rawValue: 1 << 4)
    /// The ring's own descriptor is looked up once (5.18).
    public static let registeredRing = IOFeatures(rawValue: 1 << 5)

    public static let all: IOFeatures = [
        .deferTaskrun, .singleIssuer, .coopTaskrun, .multishotAccept, .multishotReceive,
        .registeredRing,
    ]

    /// The names by which `--io-mask` hides them.
    public static let names: [(name: String, feature: IOFeatures)] = [
        ("defer-taskrun", .deferTaskrun), ("single-issuer", .singleIssuer),
        ("coop-taskrun", .coopTaskrun), ("multishot-accept", .multishotAccept),
        ("multishot-recv", .multishotReceive), ("registered-ring", .registeredRing),
    ]
}
