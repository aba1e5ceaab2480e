/// What is promised of a node, one figure each: what the systems it replaces promised, and what
/// this one does.
struct Promise: Sendable {
    enum Unit: Sendable { case bytes, ms }

    let name: String
    let says: String
    /// In the unit; nil where nobody promised it before.
    let promised: Double?
    let ours: Double
    let unit: Unit

    /// The records of the canonical workload, in thousands, that memory and disk are promised for.
    static let records = 100_000

    static let table: [Promise] = [
        Promise(
            name: "memory", says: "resident with 100,000 records of 50 words",
            promised: 350e6, ours: 60e6, unit: .bytes),
        Promise(
            name: "disk", says: "of them, after a snapshot and a drain", promised: 30e6,
            ours: 12e6, unit: .bytes),
        Promise(
            name: "restart", says: "start to ready with them, median of three", promised: 1000,
            ours: 400, unit: .ms),
        Promise(
            name: "get", says: "GET p99 at 500 requests/s, open loop", promised: 20, ours: 1,
            unit: .ms),
        Promise(
            name: "push-one", says: "push p99, 1 listener, 300 inserts/s", promised: 5, ours: 1,
            unit: .ms),
        Promise(
            name: "push", says: "push p99, 5,000 listeners on their keys, 300 inserts/s",
            promised: 5, ours: 1, unit: .ms),
        Promise(
            name: "broadcast", says: "one write to 5,000 listeners of its key, the last one",
            promised: nil, ours: 200, unit: .ms),
    ]
}

/// What was found, promise by promise.
struct Verdicts {
    struct Line {
        let promise: Promise
        /// nil when it could not be measured; then `remark` says why.
        let measured: Double?
        let remark: String

        /// A figure that was reached by leaving something out was not reached.
        let isWhole: Bool

        var holds: Bool {
            guard let measured else { return false }
            return isWhole && measured <= promise.ours
        }
    }

    var conditions: [String] = []
    var lines: [Line] = []

    var hold: Bool { !lines.isEmpty && lines.allSatisfy(\.holds) }

    // MARK: Printing

    var table: String {
        var text = conditions.joined(separator: ", ") + "\n\n"
        text += Cells.left("target", 70) + Cells.right("promised", 10) + Cells.right("ours", 10)
        text += Cells.right("measured", 12) + "\n"
        for line in lines {
            let promise = line.promise
            text += Cells.left(Cells.left(promise.name, 11) + promise.says, 70)
            text += Cells.right(promise.promised.map { Self.value($0, promise.unit) } ?? "-", 10)
            text += Cells.right(Self.value(promise.ours, promise.unit), 10)
            text += Cells.right(line.measured.map { Self.value($0, promise.unit) } ?? "-", 12)
            text += line.holds ? "  PASS" : "  FAIL"
            text += line.remark.isEmpty ? "\n" : "  \(line.remark)\n"
        }
        let failed = lines.count { !$0.holds }
        return text + "\n\(lines.count - failed) PASS, \(failed) FAIL\n"
    }

    private static func value(_ value: Double, _ unit: Promise.Unit) -> String {
        switch unit {
        case .bytes: Cells.decimals(value / 1e6, value < 100e6 ? 1 : 0) + " MB"
        case .ms: Cells.decimals(value, value < 10 ? 2 : 0) + " ms"
        }
    }

    var json: JSONValue {
        let lines = lines.map { line in
            JSONValue.object([
                ("target", .string(line.promise.name)), ("says", .string(line.promise.says)),
                ("unit", .string(line.promise.unit == .ms ? "ms" : "bytes")),
                ("promised", line.promise.promised.map { .number($0) } ?? .null),
                ("ours", .number(line.promise.ours)),
                ("measured", line.measured.map { .number($0) } ?? .null),
                ("holds", .bool(line.holds)), ("remark", .string(line.remark)),
            ])
        }
        return .object([
            ("tool", .string("needletail-bench")), ("format", .number(1)),
            ("command", .string("verify")),
            ("conditions", .array(conditions.map { .string($0) })), ("lines", .array(lines)),
            ("holds", .bool(hold)),
        ])
    }
}
