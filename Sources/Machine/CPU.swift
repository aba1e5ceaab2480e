import CMachine

/// How many processors this process may really use.
///
/// In a container `nproc` shows the whole machine while a quota throttles us: a shard a machine
/// core would then be stopped for most of every period, all of them at the same time.
public enum CPU {
    /// The smaller of the affinity mask and the cgroup's quota rounded up; at least one.
    public static func available() -> Int {
        // cpusets narrow the affinity mask too.
        let allowed = max(1, Int(machine_allowed_cpus()))
        return min(allowed, quota(read: ControlGroup.read(path:)) ?? allowed)
    }

    /// The cgroup's limit in whole processors, or nil where there is none: the tightest of those on
    /// any group from ours up to the root.
    static func quota(read: (String) -> String?) -> Int? {
        ControlGroup.tightest(
            of: "cpu", read: read,
            version2: { read("\($0)/cpu.max").flatMap(parseMax) },
            version1: { folder in
                guard let quota = read("\(folder)/cpu.cfs_quota_us"),
                    let period = read("\(folder)/cpu.cfs_period_us")
                else { return nil }
                return parseQuota(quota, period: period)
            })
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
}
