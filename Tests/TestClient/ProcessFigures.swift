import Glibc

/// What /proc tells about a child.
public struct ProcessFigures: Sendable {
    public let pid: pid_t

    /// Resident memory in KiB.
    public var residentKiB: Int { number("VmRSS:", in: "/proc/\(pid)/status") ?? 0 }

    /// The most that was ever resident, in KiB.
    public var residentPeakKiB: Int { number("VmHWM:", in: "/proc/\(pid)/status") ?? 0 }

    /// Whether it carries a sanitizer, which reserves terabytes of address space and keeps freed
    /// memory: what is resident then says nothing about the server.
    public var isSanitized: Bool {
        (number("VmSize:", in: "/proc/\(pid)/status") ?? 0) > 1 << 30
    }

    public var threads: Int { entries(of: "/proc/\(pid)/task").count }

    public var descriptors: Int { entries(of: "/proc/\(pid)/fd").count }

    /// What its descriptors lead to.
    public var openFiles: [String] {
        entries(of: "/proc/\(pid)/fd").map { name in
            var path = [CChar](repeating: 0, count: 512)
            let count = readlink("/proc/\(pid)/fd/\(name)", &path, path.count)
            return String(
                decoding: path[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    /// How often any thread gave up the processor to wait: on an idle server, its wake-ups.
    public var waits: Int {
        entries(of: "/proc/\(pid)/task").reduce(0) {
            $0 + (number("voluntary_ctxt_switches:", in: "/proc/\(pid)/task/\($1)/status") ?? 0)
        }
    }

    /// User and system time in clock ticks.
    public var ticks: Int {
        guard let text = contents("/proc/\(pid)/stat"), let name = text.lastIndex(of: ")")
        else { return 0 }
        // Counted behind the name, which may hold spaces: utime is the 14th field, stime the 15th.
        let fields = text[text.index(after: name)...].split(separator: " ")
        return fields.count > 12 ? (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0) : 0
    }

    /// The soft and hard limit of a row of /proc/PID/limits.
    public func limit(_ name: String) -> (soft: String, hard: String)? {
        guard
            let row = contents("/proc/\(pid)/limits")?.split(separator: "\n")
                .first(where: { $0.hasPrefix(name) })
        else { return nil }
        let fields = row.dropFirst(name.count).split(separator: " ")
        return fields.count >= 2 ? (String(fields[0]), String(fields[1])) : nil
    }

    private func number(_ label: String, in path: String) -> Int? {
        guard let row = contents(path)?.split(separator: "\n").first(where: { $0.hasPrefix(label) })
        else { return nil }
        return row.dropFirst(label.count).split(whereSeparator: { $0 == " " || $0 == "\t" })
            .first.flatMap { Int($0) }
    }
}

/// A small file as text; nil when it can't be read.
public func contents(_ path: String) -> String? {
    let fd = open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 16384)
    while true {
        let count = read(fd, &piece, piece.count)
        if count <= 0 { break }
        bytes += piece[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// The names in a directory, without the two dots.
public func entries(of path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) {
            String(decoding: $0.prefix(while: { $0 != 0 }), as: UTF8.self)
        }
        if name != "." && name != ".." { names.append(name) }
    }
    return names
}

/// How a file is protected, as `stat` has it; nil where there is none.
public func permissions(_ path: String) -> mode_t? {
    var about = stat()
    return stat(path, &about) == 0 ? about.st_mode & 0o7777 : nil
}
