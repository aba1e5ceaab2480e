/// The result for people.
extension Report {
    var table: String {
        var text = "\(command) \(target)\(label.isEmpty ? "" : "  [\(label)]")\n"
        text += conditions.joined(separator: ", ") + "\n\n"
        if !latencies.isEmpty {
            let names = ["count", "mean"] + Latency.shares.map(\.name) + ["max"]
            text += Cells.left("", 16) + names.map { Cells.right($0, 10) }.joined() + "\n"
            for latency in latencies {
                text += Cells.left(latency.name, 16) + Cells.right(String(latency.count), 10)
                let times = [UInt64(latency.mean)] + latency.percentiles + [latency.maximum]
                text += times.map { Cells.right(Cells.time(Double($0)), 10) }.joined() + "\n"
            }
            text += "\n"
        }
        for figure in figures {
            text += Cells.left(figure.name, 26)
            text += Cells.right(Cells.value(figure.value, figure.unit), 14)
            text += figure.says.isEmpty ? "\n" : "  \(figure.says)\n"
        }
        for caution in cautions { text += "\ncaution: \(caution)" }
        return cautions.isEmpty ? text : text + "\n"
    }
}

/// Text in columns, and numbers with as many digits as they have meaning.
enum Cells {
    static func left(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(width - text.count, 1))
    }

    static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(width - text.count, 1)) + text
    }

    static func time(_ ns: Double) -> String {
        switch ns {
        case ..<10_000: decimals(ns / 1000, 2) + "us"
        case ..<1_000_000: decimals(ns / 1000, 0) + "us"
        case ..<10_000_000: decimals(ns / 1_000_000, 2) + "ms"
        case ..<1_000_000_000: decimals(ns / 1_000_000, 0) + "ms"
        default: decimals(ns / 1_000_000_000, 2) + "s"
        }
    }

    static func value(_ value: Double, _ unit: Report.Figure.Unit) -> String {
        switch unit {
        case .count: grouped(value)
        case .perSecond: grouped(value) + "/s"
        case .percent: decimals(value, 1) + "%"
        case .us: decimals(value, 2) + "us"
        case .ms: decimals(value, value < 10 ? 2 : 0) + "ms"
        case .seconds: decimals(value, 1) + "s"
        case .bytes: bytes(value)
        }
    }

    static func decimals(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite else { return "-" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let rounded = (abs(value) * scale).rounded()
        guard rounded < 1e15 else { return String(value) }
        let whole = Int(rounded) / Int(scale)
        let sign = value < 0 && rounded > 0 ? "-" : ""
        guard digits > 0 else { return sign + String(whole) }
        let fraction = String(Int(rounded) % Int(scale))
        return sign + "\(whole)." + String(repeating: "0", count: digits - fraction.count)
            + fraction
    }

    private static func grouped(_ value: Double) -> String {
        let digits = Array(decimals(value, value < 100 && value != value.rounded() ? 2 : 0))
        guard !digits.contains(".") else { return String(digits) }
        var text = ""
        for (place, digit) in digits.enumerated() {
            if place > 0, (digits.count - place) % 3 == 0, digits[place - 1] != "-" { text += "," }
            text.append(digit)
        }
        return text
    }

    private static func bytes(_ value: Double) -> String {
        for (name, scale) in [("GiB", 1073741824.0), ("MiB", 1048576.0), ("KiB", 1024.0)]
        where abs(value) >= scale { return decimals(value / scale, 1) + name }
        return decimals(value, 0) + "B"
    }
}
