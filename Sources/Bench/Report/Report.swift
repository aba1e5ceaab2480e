/// What a run found, ready to be printed: for people as a table, for programs as JSON.
struct Report {
    /// A latency's distribution, all in nanoseconds.
    struct Latency {
        static let shares: [(name: String, share: Double)] = [
            ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999),
        ]

        let name: String
        let count: UInt64
        let mean: Double
        let minimum: UInt64
        let maximum: UInt64
        let percentiles: [UInt64]
        /// So that results of several runs can be merged without loss.
        let buckets: [(value: UInt64, count: UInt64)]

        init(_ name: String, _ histogram: borrowing Histogram) {
            self.name = name
            count = histogram.count
            mean = histogram.mean
            minimum = histogram.minimum
            maximum = histogram.maximum
            var percentiles: [UInt64] = []
            for (_, share) in Self.shares { percentiles.append(histogram.percentile(share)) }
            self.percentiles = percentiles
            buckets = histogram.occupied
        }

        subscript(_ name: String) -> UInt64? {
            Self.shares.firstIndex { $0.name == name }.map { percentiles[$0] }
        }
    }

    /// One number. A name with a dot belongs to a group: `server.cpu_percent`.
    struct Figure {
        enum Unit: String {
            case count = "", perSecond = "/s", bytes, percent = "%", us, ms, seconds = "s"
        }

        let name: String
        let value: Double
        let unit: Unit
        /// What it is, for the table.
        let says: String
    }

    var command: String
    var target: String
    var label: String
    /// How it was run: `closed loop`, `64 connections`.
    var conditions: [String] = []
    var figures: [Figure] = []
    var latencies: [Latency] = []
    /// What must be known before the figures are believed. Empty when nothing speaks against them.
    var cautions: [String] = []

    mutating func add(
        _ name: String, _ value: Double, _ unit: Figure.Unit = .count, _ says: String
    ) {
        figures.append(Figure(name: name, value: value, unit: unit, says: says))
    }

    mutating func add(_ name: String, _ value: UInt64, _ says: String) {
        add(name, Double(value), .count, says)
    }

    mutating func add(_ latency: Latency) {
        if latency.count > 0 { latencies.append(latency) }
    }

    func figure(_ name: String) -> Double? { figures.first { $0.name == name }?.value }

    func latency(_ name: String) -> Latency? { latencies.first { $0.name == name } }

    // MARK: JSON

    var json: JSONValue {
        .object([
            ("tool", .string("needletail-bench")), ("format", .number(1)),
            ("command", .string(command)), ("target", .string(target)), ("label", .string(label)),
            ("conditions", .array(conditions.map { .string($0) })),
            ("figures", .object(figures.map { ($0.name, .number($0.value)) })),
            ("latencies_ns", .object(latencies.map { ($0.name, Self.json($0)) })),
            ("cautions", .array(cautions.map { .string($0) })),
        ])
    }

    private static func json(_ latency: Latency) -> JSONValue {
        var members: [(String, JSONValue)] = [
            ("count", .count(latency.count)), ("mean", .number(latency.mean.rounded())),
            ("min", .count(latency.minimum)),
        ]
        for (place, share) in Latency.shares.enumerated() {
            members.append((share.name, .count(latency.percentiles[place])))
        }
        members.append(("max", .count(latency.maximum)))
        let buckets = latency.buckets.map { bucket in
            JSONValue.array([.count(bucket.value), .count(bucket.count)])
        }
        members.append(("buckets", .array(buckets)))
        return .object(members)
    }
}
