import CMachine
import Glibc

/// How many processors this process may really use.
///
/// In a container `nproc` shows the whole machine while a quota throttles us: a shard a machine
/// core would then be stopped for most of every period, all of them at the same time.
public enum CPU {
    /// The smaller of the affinity mask and the cgroup's quota rounded up; at least one.
    public static func available() -> Int {
        // cpusets narrow the affinity mask too.
        let allowed = max(1, Int(machine_allowed_cpus()))
        return min(allowed, quota(read: read(path:)) ?? allowed)
    }

    /// The cgroup's limit in whole processors, or nil where there is none.
    ///
    /// A quota may be set on any group from ours up to the root, and the tightest one holds. Inside
    /// a container the path of /proc/self/cgroup is often the host's and absent here; walking up to
    /// the mount's root then finds the container's own files.
    static func quota(read: (String) -> String?) -> Int? {
        guard let groups = read("/proc/self/cgroup") else { return nil }
        var tightest: Int?
        func note(_ cores: Int?) {
            guard let cores else { return }
            tightest = min(tightest ?? cores, cores)
        }
        for line in groups.split(separator: "\n") {
            guard let group = parseGroup(line) else { continue }
            for folder in ancestors(of: group.path) {
                switch group.version {
                case 2:
                    for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
                        note(read("\(mount)\(folder)/cpu.max").flatMap(parseMax))
                    }
                default:
                    for mount in ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"] {
                        guard let quota = read("\(mount)\(folder)/cpu.cfs_quota_us"),
                            let period = read("\(mount)\(folder)/cpu.cfs_period_us")
                        else { continue }
                        note(parseQuota(quota, period: period))
                        break
                    }
                }
            }
        }
        return tightest
    }

    /// One line of /proc/self/cgroup, `id:controllers:path`, if it is about processor time: `0::…`
    /// in version 2, a `cpu` among the controllers in version 1.
    static func parseGroup(_ line: Substring) -> (version: Int, path: String)? {
        let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        guard fields.count == 3 else { return nil }
        if fields[0] == "0" && fields[1].isEmpty { return (2, String(fields[2])) }
        return fields[1].split(separator: ",").contains("cpu") ? (1, String(fields[2])) : nil
    }

    /// `cpu.max` of version 2: quota and period in microseconds, or the word `max`.
    static func parseMax(_ text: String) -> Int? {
        let fields = text.split { $0 == " " || $0 == "\n" }
        guard fields.count == 2 else { return nil }
        return parseQuota(String(fields[0]), period: String(fields[1]))
    }

    /// Quota over period, rounded up: half a processor still needs one thread. Version 1 writes -1
    /// for no limit.
    static func parseQuota(_ quota: String, period: String) -> Int? {
        guard let quota = Int(quota.filter { $0 != "\n" }), quota > 0,
            let period = Int(period.filter { $0 != "\n" }), period > 0
        else { return nil }
        return (quota - 1) / period + 1
    }

    /// The group itself and all above it, the mount's root last as an empty path.
    static func ancestors(of path: String) -> [String] {
        var names = path.split(separator: "/")
        var folders: [String] = []
        while !names.isEmpty {
            folders.append("/" + names.joined(separator: "/"))
            names.removeLast()
        }
        return folders + [""]
    }

    /// The files read here are a few dozen bytes, /proc/self/cgroup a few hundred.
    private static let fileBytesMax = 16 * 1024

    private static func read(path: String) -> String? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: fileBytesMax)
        let count = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe Glibc.read(descriptor, buffer.baseAddress!, buffer.count)
        }
        return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
    }
}
