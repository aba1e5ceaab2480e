import Glibc

/// What the server under measurement uses, by its process and its control group, at one moment.
struct ServerFigures: Equatable {
    /// Resident memory of the process, and the most there ever was.
    var rss: UInt64?
    var rssMax: UInt64?
    /// Of the resident memory what is the process's own: not its code and what else it shares with its
    /// file, which is read in when it is first needed, whoever needs it.
    var ownMemory: UInt64?
    /// Processor time of the process, or of the group.
    var userNs: UInt64?
    var systemNs: UInt64?
    /// What the group is charged for, the kernel's memory for it included; and that alone.
    var groupMemory: UInt64?
    var groupKernelMemory: UInt64?
    /// Everything that a limit on the group counts. The second version's figure has the sockets'
    /// buffers in it; the first keeps them apart.
    var groupCharge: UInt64? { groupMemory.map { $0 + (groupSocketMemory ?? 0) } }
    private(set) var groupSocketMemory: UInt64?
    /// The kernel's tables and TCP's buffers on the whole machine, for servers without a group.
    var machineKernelMemory: UInt64?
    var threads: Int?

    private static let pageBytes: UInt64 = 4096

    static func read(pid: Int?, cgroup: String?) -> ServerFigures {
        var figures = ServerFigures()
        if let pid { figures.readProcess(pid) }
        if let group = cgroup ?? pid.flatMap({ memoryGroup(ofProcess: $0) }) {
            figures.readGroup(group, withTime: pid == nil)
        }
        figures.machineKernelMemory = kernelMemory(
            meminfo: SmallFile.text("/proc/meminfo") ?? "",
            sockstat: SmallFile.text("/proc/net/sockstat") ?? "")
        return figures
    }

    private mutating func readProcess(_ pid: Int) {
        if let status = SmallFile.text("/proc/\(pid)/status") {
            rss = Self.kilobytes("VmRSS:", status)
            rssMax = Self.kilobytes("VmHWM:", status)
            if let own = Self.kilobytes("RssAnon:", status) {
                ownMemory = own + (Self.kilobytes("RssShmem:", status) ?? 0)
            }
            threads = Self.field("Threads:", status).flatMap { Int($0) }
        }
        // The name in parentheses may hold anything, so what counts begins after its end.
        guard let stat = SmallFile.text("/proc/\(pid)/stat"), let end = stat.lastIndex(of: ")")
        else { return }
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        let perTick = 1_000_000_000 / UInt64(max(sysconf(Int32(_SC_CLK_TCK)), 1))
        guard fields.count > 12, let user = UInt64(fields[11]), let system = UInt64(fields[12])
        else { return }
        userNs = user * perTick
        systemNs = system * perTick
    }

    private mutating func readGroup(_ group: String, withTime: Bool) {
        let path = group.hasPrefix("/") ? group : "/" + group
        func number(_ file: String) -> UInt64? {
            SmallFile.text(file).flatMap { text in UInt64(text.prefix { $0.isNumber }) }
        }
        let second = "/sys/fs/cgroup\(path)"
        if let current = number("\(second)/memory.current") {
            groupMemory = current
            if let stat = SmallFile.text("\(second)/memory.stat") {
                let parts = ["kernel ", "sock "].compactMap { Self.field($0, stat) }
                groupKernelMemory = parts.compactMap { UInt64($0) }.reduce(0, +)
            }
            if withTime, let stat = SmallFile.text("\(second)/cpu.stat") {
                userNs = Self.field("user_usec", stat).flatMap { UInt64($0) }.map { $0 * 1000 }
                systemNs = Self.field("system_usec", stat).flatMap { UInt64($0) }.map { $0 * 1000 }
            }
            return
        }
        let first = "/sys/fs/cgroup/memory\(path)"
        groupMemory = number("\(first)/memory.usage_in_bytes")
        if let kernel = number("\(first)/memory.kmem.usage_in_bytes") {
            groupSocketMemory = number("\(first)/memory.kmem.tcp.usage_in_bytes")
            groupKernelMemory = kernel + (groupSocketMemory ?? 0)
        }
        if withTime {
            let time = "/sys/fs/cgroup/cpuacct\(path)"
            userNs = number("\(time)/cpuacct.usage_user")
            systemNs = number("\(time)/cpuacct.usage_sys")
        }
    }

    /// The process's group, unless it is the root, which says nothing about one server.
    private static func memoryGroup(ofProcess pid: Int) -> String? {
        guard let groups = SmallFile.text("/proc/\(pid)/cgroup") else { return nil }
        for line in groups.split(separator: "\n") {
            let fields = line.split(
                separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3, fields[2] != "/" else { continue }
            let controllers = fields[1].split(separator: ",")
            if fields[0] == "0" || controllers.contains("memory") { return String(fields[2]) }
        }
        return nil
    }

    static func kernelMemory(meminfo: String, sockstat: String) -> UInt64? {
        guard let slab = kilobytes("Slab:", meminfo) else { return nil }
        // "TCP: inuse 5 orphan 0 tw 0 alloc 6 mem 2", in pages.
        var pages: UInt64 = 0
        for line in sockstat.split(separator: "\n") where line.hasPrefix("TCP:") {
            let words = line.split(separator: " ")
            if let place = words.firstIndex(of: "mem"), place + 1 < words.count {
                pages = UInt64(words[place + 1]) ?? 0
            }
        }
        return slab + pages * pageBytes
    }

    private static func kilobytes(_ name: String, _ text: String) -> UInt64? {
        field(name, text).flatMap { UInt64($0) }.map { $0 * 1024 }
    }

    private static func field(_ name: String, _ text: String) -> Substring? {
        for line in text.split(separator: "\n") where line.hasPrefix(name) {
            return line.dropFirst(name.count).split { $0 == " " || $0 == "\t" }.first
        }
        return nil
    }
}
