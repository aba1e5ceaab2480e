import Glibc

/// Two results side by side: `--compare A.json B.json`.
struct Comparison {
    private let first: JSONValue
    private let second: JSONValue

    /// Results hold a histogram's buckets and little else.
    private static let fileBytesMax = 16 << 20

    static func read(_ first: String, _ second: String) throws(UsageError) -> Comparison {
        Comparison(first: try result(first), second: try result(second))
    }

    init(first: JSONValue, second: JSONValue) {
        self.first = first
        self.second = second
    }

    private static func result(_ path: String) throws(UsageError) -> JSONValue {
        let quoted = Values.quoted(path)
        guard let bytes = SmallFile.read(path, bytesMax: fileBytesMax) else {
            throw UsageError("--compare: \(quoted) cannot be read")
        }
        guard let value = JSONValue.parse(bytes),
            value["tool"]?.string == "needletail-bench"
        else {
            throw UsageError("--compare: \(quoted) is no result; make one with --json > FILE")
        }
        return value
    }

    var table: String {
        var text = ""
        for (name, side) in [("A", first), ("B", second)] {
            let words = ["command", "target", "label"].compactMap { side[$0]?.string }
            text += "\(name)  \(words.filter { !$0.isEmpty }.joined(separator: " "))\n"
        }
        text += "\n" + Cells.left("", 34) + Cells.right("A", 14) + Cells.right("B", 14)
        text += Cells.right("B/A", 9) + "\n"
        for (name, value) in rows(first) {
            guard let other = rows(second).first(where: { $0.0 == name })?.1 else { continue }
            if value == 0, other == 0 { continue }
            let ratio = value == 0 ? "-" : Cells.decimals(other / value, 2)
            text += Cells.left(name, 34) + Cells.right(Self.number(name, value), 14)
            text += Cells.right(Self.number(name, other), 14) + Cells.right(ratio, 9) + "\n"
        }
        return text
    }

    private func rows(_ side: JSONValue) -> [(String, Double)] {
        var rows: [(String, Double)] = []
        for (name, value) in side["figures"]?.members ?? [] {
            if let number = value.number { rows.append((name, number)) }
        }
        for (latency, members) in side["latencies_ns"]?.members ?? [] {
            for (name, value) in members.members {
                if let number = value.number { rows.append(("\(latency) \(name)", number)) }
            }
        }
        return rows
    }

    private static func number(_ name: String, _ value: Double) -> String {
        let isLatency = name.contains(" ") && !name.hasSuffix(" count")
        return isLatency ? Cells.time(value) : Cells.value(value, .count)
    }
}

/// Files of the kernel and results: small, read whole.
enum SmallFile {
    static func read(_ path: String, bytesMax: Int = 64 * 1024) -> [UInt8]? {
        let fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return nil }
        defer { close(fd) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 64 * 1024)
        while bytes.count < bytesMax {
            let count = unsafe block.withUnsafeMutableBytes { buffer in
                unsafe Glibc.read(fd, buffer.baseAddress!, buffer.count)
            }
            if count < 0 { return nil }
            if count == 0 { break }
            bytes += block[..<count]
        }
        return bytes
    }

    static func text(_ path: String) -> String? {
        read(path).map { String(decoding: $0, as: UTF8.self) }
    }
}
