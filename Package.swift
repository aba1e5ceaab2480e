// swift-tools-version: 6.2

import PackageDescription

/// What every module of ours is compiled with. The arrows between modules are listed in
/// docs/ARCHITECTURE.md; `Tests/TidyTests` reads the `import` lines and fails on another.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
]

/// Tests talk to the kernel in plain words: no `unsafe` on every line.
let testing: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
]

/// For modules that run at start, or do work that takes far longer than its own code: small is better.
let small = strict + [.unsafeFlags(["-Osize"], .when(configuration: .release))]

let package = Package(
    name: "needletail",
    products: [
        .executable(name: "needletail", targets: ["needletail"]),
        .executable(name: "needletail-cli", targets: ["needletail-cli"]),
        .executable(name: "needletail-bench", targets: ["needletail-bench"]),
    ],
    targets: [
        .systemLibrary(name: "CLiburing", providers: [.apt(["liburing-dev"])]),
        .systemLibrary(name: "COpenSSL", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "CMachine"),
        .target(
            name: "Machine", dependencies: ["CLiburing", "CMachine"], exclude: ["README.md"],
            swiftSettings: strict,
            linkerSettings: [.linkedLibrary(":liburing.a")]),
        .target(
            name: "Wire",
            exclude: [
                "HTTP/README.md", "JSON/README.md", "RESP/README.md", "WebSocket/README.md",
            ],
            swiftSettings: strict),
        .target(name: "CKeyspace"),
        .target(
            name: "Keyspace", dependencies: ["CKeyspace"], exclude: ["README.md"],
            swiftSettings: strict),
        .target(name: "CJournal"),
        .target(
            name: "Journal", dependencies: ["Keyspace", "CJournal", "CZstd"],
            exclude: ["README.md"], swiftSettings: small,
            linkerSettings: [.linkedLibrary(":libzstd.a")]),
        .target(
            name: "Simulation", dependencies: ["Journal", "Keyspace"], swiftSettings: strict),
        .target(
            name: "Identity", dependencies: ["COpenSSL"], exclude: ["README.md"],
            swiftSettings: small, linkerSettings: [.linkedLibrary(":libcrypto.a")]),
        .target(name: "Options", exclude: ["README.md"], swiftSettings: small),
        .target(
            name: "Node",
            dependencies: ["Machine", "Wire", "Keyspace", "Journal", "Identity", "Options"],
            exclude: [
                "README.md", "Accounts/README.md", "Shard/README.md", "Durability/README.md",
                "Events/README.md",
                "Operations/README.md", "RDB/README.md", "RESP/README.md", "Tables/README.md",
                "WebSocket/README.md",
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "needletail", dependencies: ["Node", "Options"], swiftSettings: strict,
            linkerSettings: [
                // See Sources/CMachine/scalar_names.c.
                .unsafeFlags(
                    ["-Xlinker", "--wrap=_swift_stdlib_getScalarName"],
                    .when(configuration: .release))
            ]),
        .target(name: "CLI", dependencies: ["Wire"], exclude: ["README.md"], swiftSettings: strict),
        .executableTarget(
            name: "needletail-cli", dependencies: ["CLI"], swiftSettings: strict),
        .target(
            name: "Bench", dependencies: ["Machine", "CMachine"], exclude: ["Load/README.md"],
            swiftSettings: strict),
        .executableTarget(
            name: "needletail-bench", dependencies: ["Bench"], swiftSettings: strict),
        .executableTarget(
            name: "keyspace-bench", dependencies: ["Keyspace"], path: "Benchmarks/Keyspace",
            swiftSettings: strict),
        .executableTarget(
            name: "journal-bench", dependencies: ["Journal", "Keyspace", "Simulation"],
            path: "Benchmarks/Journal", swiftSettings: testing),
        .executableTarget(
            name: "function-counts", dependencies: ["Wire", "Keyspace", "Journal", "Simulation"],
            path: "Benchmarks/Functions", exclude: ["run", "thresholds"], swiftSettings: testing),
        .executableTarget(
            name: "journal-soak", dependencies: ["Simulation"], path: "Tests/JournalSoak",
            swiftSettings: testing),
        .executableTarget(
            name: "crash-probe", dependencies: ["CMachine", "Machine"], path: "Tests/CrashProbe",
            swiftSettings: strict),
        .executableTarget(name: "leash", path: "Tests/Support/leash"),
        .target(
            name: "TestClient", path: "Tests/TestClient", exclude: ["README.md"],
            swiftSettings: testing),
        .target(
            name: "FaultyServer", dependencies: ["Machine", "CMachine"],
            path: "Tests/FaultyServer", swiftSettings: testing),
        .testTarget(
            name: "BenchTests", dependencies: ["Bench", "FaultyServer"], swiftSettings: testing),
        .testTarget(
            name: "MachineTests", dependencies: ["Machine", "crash-probe"], swiftSettings: testing),
        .testTarget(name: "WireTests", dependencies: ["Wire"], swiftSettings: testing),
        .testTarget(name: "KeyspaceTests", dependencies: ["Keyspace"], swiftSettings: testing),
        .testTarget(
            name: "JournalTests",
            dependencies: ["Journal", "Keyspace", "Simulation", "TestClient", "leash"],
            swiftSettings: testing),
        .testTarget(name: "IdentityTests", dependencies: ["Identity"], swiftSettings: testing),
        .testTarget(
            name: "NodeTests", dependencies: ["Node", "Wire", "Keyspace", "Identity", "Machine"],
            swiftSettings: testing),
        .testTarget(name: "OptionsTests", dependencies: ["Options"], swiftSettings: testing),
        .testTarget(
            name: "CLITests",
            dependencies: ["CLI", "Wire", "TestClient", "leash", "needletail", "needletail-cli"],
            swiftSettings: testing),
        .testTarget(name: "TidyTests", dependencies: ["Options", "Wire"], swiftSettings: testing),
        .testTarget(
            name: "ServerTests", dependencies: ["TestClient", "Wire", "needletail", "leash"],
            exclude: ["README.md"],
            swiftSettings: testing),
    ]
)
