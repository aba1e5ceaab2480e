/// A snapshot in the text format of Prometheus 0.0.4 or of OpenMetrics 1.0.
///
/// The two differ in little: OpenMetrics names a counter's family without `_total`, has a line for
/// the unit, a type for information, and an end.
struct MetricsText {
    private(set) var text = ""
    private let isOpenMetrics: Bool

    static func render(_ snapshot: NodeSnapshot, openMetrics: Bool) -> String {
        var form = MetricsText(isOpenMetrics: openMetrics)
        form.text.reserveCapacity(24 << 10)
        form.add(snapshot)
        return form.text
    }

    private init(isOpenMetrics: Bool) { self.isOpenMetrics = isOpenMetrics }

    private mutating func add(_ snapshot: NodeSnapshot) {
        addFacts(snapshot)
        addRows(snapshot)
        gauge("needletail_tables", "Tables that have a name.", UInt64(snapshot.tables))
        gauge(
            "needletail_block_pool_used_bytes", "Memory for replies and split requests in use.",
            snapshot.sum(\.blocksInUse) &* UInt64(snapshot.blockBytes))
        gauge(
            "needletail_block_pool_limit_bytes", "Memory for replies and split requests at most.",
            UInt64(snapshot.blockPoolBytes * snapshot.shards.count))
        gauge(
            "needletail_body_budget_used_bytes", "Memory for arriving bodies in use.",
            UInt64(clamping: snapshot.bodyBytes))
        gauge(
            "needletail_body_budget_limit_bytes", "Memory for arriving bodies at most.",
            UInt64(clamping: snapshot.bodyBytesMax))
        gauge(
            "needletail_connections_limit", "Connections held at once at most.",
            UInt64(clamping: snapshot.connectionsMax))
        gauge(
            "needletail_log_uncovered_bytes", "Log that the last snapshot does not cover.",
            snapshot.logBytes)
        gauge(
            "needletail_snapshot_bytes", "Size of the last snapshot.",
            UInt64(clamping: snapshot.snapshots.bytes))
        gauge(
            "needletail_snapshot_duration_ms", "How long the last snapshot took.",
            snapshot.snapshots.durationMs)
        gauge(
            "needletail_snapshots_taken", "Snapshots taken by this run.", snapshot.snapshots.taken)
        gauge(
            "needletail_snapshots_failed", "Snapshots that failed.", snapshot.snapshots.failed)
        histogram(
            "needletail_snapshot_slice_seconds", "A turn's share of a snapshot.", snapshot.slices,
            sumNs: 0)
        histogram(
            "needletail_turn_duration_seconds",
            "From a shard's waking to having handed over what it made.", snapshot.turns,
            sumNs: snapshot.sum(\.turnNs))
        histogram(
            "needletail_request_duration_seconds",
            "Duration of the turn that answered a request.", snapshot.requests,
            sumNs: snapshot.sum(\.serviceNs))
        histogram(
            "needletail_push_duration_seconds",
            "From a change to a shard's last listener of it being told.", snapshot.pushes,
            sumNs: snapshot.sum(\.pushNs))
        if isOpenMetrics { text += "# EOF\n" }
    }

    private mutating func addFacts(_ snapshot: NodeSnapshot) {
        let facts = snapshot.facts
        if isOpenMetrics {
            begin("needletail_build", "info", "The running program.")
        } else {
            begin("needletail_build_info", "gauge", "The running program.")
        }
        text += "needletail_build_info{version=\"\(escaped(facts.version))\","
        text += "io_driver=\"\(facts.driver)\",node_id=\"\(escaped(facts.nodeID))\"} 1\n"
        begin("needletail_io_driver", "gauge", "1 for the way to the kernel that is taken.")
        for driver in ["uring", "epoll"] {
            let value = driver == facts.driver ? 1 : 0
            text += "needletail_io_driver{driver=\"\(driver)\"} \(value)\n"
        }
        begin(
            "needletail_start_time_seconds", "gauge", "When the node started, since 1970.",
            unit: "seconds")
        text += "needletail_start_time_seconds "
        text += "\(Decimals.text(UInt64(clamping: facts.startedMs), places: 3))\n"
        gauge("needletail_shards", "Shards: one thread each.", UInt64(snapshot.shards.count))
    }

    private mutating func addRows(_ snapshot: NodeSnapshot) {
        var family = ""
        for row in MetricRow.all {
            let name = "\(row.name)"
            let isCounter = row.kind == .counter
            if name != family {
                family = name
                begin(
                    isOpenMetrics || !isCounter ? name : name + "_total", row.kind.rawValue,
                    "\(row.help)", unit: name.hasSuffix("_bytes") ? "bytes" : nil)
            }
            let sample = isCounter ? name + "_total" : name
            let label = row.label.map { "\($0.name)=\"\($0.value)\"" }
            if row.isPerShard {
                for (number, tally) in snapshot.shards.enumerated() {
                    text += "\(sample){shard=\"\(number)\""
                    if let label { text += ",\(label)" }
                    text += "} \(row.value(tally))\n"
                }
            } else {
                text += label.map { "\(sample){\($0)}" } ?? sample
                text += " \(snapshot.sum(row.value))\n"
            }
        }
    }

    // MARK: The format

    private mutating func begin(
        _ family: String, _ type: String, _ help: String, unit: String? = nil
    ) {
        text += "# HELP \(family) \(help)\n# TYPE \(family) \(type)\n"
        if isOpenMetrics, let unit { text += "# UNIT \(family) \(unit)\n" }
    }

    private mutating func gauge(_ name: String, _ help: String, _ value: UInt64) {
        begin(name, "gauge", help, unit: name.hasSuffix("_bytes") ? "bytes" : nil)
        text += "\(name) \(value)\n"
    }

    private mutating func histogram(
        _ name: String, _ help: String, _ counts: [UInt64], sumNs: UInt64
    ) {
        begin(name, "histogram", help, unit: "seconds")
        var total: UInt64 = 0
        for (bucket, count) in counts.enumerated() {
            total &+= count
            let bound = DurationBuckets.boundNs(bucket).map { Decimals.seconds(ns: $0) } ?? "+Inf"
            text += "\(name)_bucket{le=\"\(bound)\"} \(total)\n"
        }
        text += "\(name)_sum \(Decimals.seconds(ns: sumNs))\n\(name)_count \(total)\n"
    }

    private func escaped(_ value: String) -> String {
        var text = ""
        for character in value.unicodeScalars {
            switch character {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(character)
            }
        }
        return text
    }
}

/// Whole numbers of a small unit as decimals of a larger: exact, where a `Double` would round.
enum Decimals {
    static func seconds(ns: UInt64) -> String { text(ns, places: 9) }
    static func milliseconds(ns: UInt64) -> String { text(ns, places: 6) }

    static func text(_ value: UInt64, places: Int) -> String {
        var digits = String(value)
        if digits.utf8.count <= places {
            digits = String(repeating: "0", count: places + 1 - digits.utf8.count) + digits
        }
        let point = digits.index(digits.endIndex, offsetBy: -places)
        var fraction = digits[point...]
        while fraction.utf8.count > 1, fraction.last == "0" { fraction = fraction.dropLast() }
        return "\(digits[..<point]).\(fraction)"
    }
}
