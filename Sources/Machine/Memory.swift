import CMachine

/// How much memory this process may really use.
public enum Memory {
    /// Bytes: the machine's memory or the cgroup's limit, whichever is less; nil where neither can be
    /// found out.
    public static func available() -> Int? { available(read: ControlGroup.read(path:)) }

    /// What was freed since in small pieces goes back to the kernel, as far as whole pages are free.
    public static func giveBackFreed() { machine_trim_heap() }

    static func available(read: (String) -> String?) -> Int? {
        let machine = read("/proc/meminfo").flatMap(parseTotal)
        let group = ControlGroup.tightest(
            of: "memory", read: read,
            version2: { read("\($0)/memory.max").flatMap(parseLimit) },
            version1: { read("\($0)/memory.limit_in_bytes").flatMap(parseLimit) })
        guard let machine, let group else { return machine ?? group }
        return min(machine, group)
    }

    /// `MemTotal:       2097152 kB`, the first line of /proc/meminfo.
    static func parseTotal(_ text: String) -> Int? {
        for line in text.split(separator: "\n") where line.hasPrefix("MemTotal:") {
            let fields = line.split(separator: " ")
            guard fields.count == 3, fields[2] == "kB", let number = Int(fields[1]) else {
                return nil
            }
            return number << 10
        }
        return nil
    }

    /// A number of bytes. Version 2 writes `max` for no limit, version 1 a number near 2^63.
    static func parseLimit(_ text: String) -> Int? {
        guard let bytes = Int(text.filter { $0 != "\n" }), bytes > 0, bytes < unlimited else {
            return nil
        }
        return bytes
    }

    /// More than any machine has.
    private static let unlimited = 1 << 60
}
