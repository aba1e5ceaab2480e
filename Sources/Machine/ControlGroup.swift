import Glibc

/// The limits that a container or a service manager has set on our process, in either version of
/// the kernel's cgroups.
enum ControlGroup {
    /// The least of the limits on any group from ours up to the root; nil where there is none.
    ///
    /// Inside a container the path of /proc/self/cgroup is often the host's and absent here; walking
    /// up to the mount's root then finds the container's own files. The two closures read the limit
    /// of the group in a folder, as each version writes it.
    static func tightest(
        of controller: String, read: (String) -> String?, version2: (String) -> Int?,
        version1: (String) -> Int?
    ) -> Int? {
        guard let groups = read("/proc/self/cgroup") else { return nil }
        var tightest: Int?
        for line in groups.split(separator: "\n") {
            guard let group = parseGroup(line, controller: controller) else { continue }
            for folder in ancestors(of: group.path) {
                for mount in group.mounts {
                    let path = mount + folder
                    let limit = group.version == 2 ? version2(path) : version1(path)
                    guard let limit else { continue }
                    tightest = min(tightest ?? limit, limit)
                    break
                }
            }
        }
        return tightest
    }

    struct Group {
        var version: Int
        /// Where its hierarchy may be mounted.
        var mounts: [String]
        var path: String
    }

    /// One line of /proc/self/cgroup, `id:controllers:path`, if it is about the controller: `0::…`
    /// in version 2, its name among others in version 1. Version 1 is mounted by the controller's
    /// name, or by the names of all that share the hierarchy.
    static func parseGroup(_ line: Substring, controller: String) -> Group? {
        let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        guard fields.count == 3 else { return nil }
        let root = "/sys/fs/cgroup"
        if fields[0] == "0" && fields[1].isEmpty {
            return Group(version: 2, mounts: [root, "\(root)/unified"], path: String(fields[2]))
        }
        let names = fields[1].split(separator: ",")
        guard names.contains(controller[...]) else { return nil }
        let mounts = [controller[...], fields[1], names.reversed().joined(separator: ",")[...]]
        return Group(version: 1, mounts: mounts.map { "\(root)/\($0)" }, path: String(fields[2]))
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

    /// The files read here are a few dozen bytes, /proc/self/cgroup a few hundred, /proc/meminfo
    /// one and a half thousand.
    private static let fileBytesMax = 16 * 1024

    static func read(path: String) -> String? {
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
