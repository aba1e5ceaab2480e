import Glibc
import Machine

/// The directory that holds everything a node keeps: made for us alone, and locked, so that two
/// processes never write to the same files.
@safe struct DataDirectory: ~Copyable {
    static let idName = "node-id"

    let path: String
    let nodeID: String
    /// The directory itself, open as long as this lives: what the journal's files are named from.
    let fd: Int32
    private let lockFD: Int32

    /// Makes the directory if it is missing, locks it, and reads or makes the node's id.
    static func open(_ path: String, nodeID wanted: String?) throws(SystemError) -> DataDirectory {
        try makeDirectories(path)
        let lockPath = path + "/lock"
        let lockFD = unsafe Glibc.open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lockFD >= 0 else {
            throw SystemError(
                "open \(lockPath)", errno,
                hint: "give --dir a directory that this user may write to")
        }
        guard flock(lockFD, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            close(lockFD)
            throw SystemError(
                "lock \(lockPath)", code,
                hint: "another node runs in this directory: stop it, or give this one its own --dir"
            )
        }
        do throws(SystemError) {
            let id: String
            if let wanted { id = wanted } else { id = try keptID(path + "/" + idName) }
            let fd = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard fd >= 0 else { throw SystemError("open \(path)", errno) }
            return DataDirectory(path: path, nodeID: id, fd: fd, lockFD: lockFD)
        } catch {
            close(lockFD)
            throw error
        }
    }

    private init(path: String, nodeID: String, fd: Int32, lockFD: Int32) {
        self.path = path
        self.nodeID = nodeID
        self.fd = fd
        self.lockFD = lockFD
    }

    /// From the root on, whatever the process was started with.
    var fullPath: String {
        guard let real = unsafe realpath(path, nil) else { return path }
        defer { unsafe free(real) }
        return unsafe String(cString: real)
    }

    deinit {
        close(fd)
        close(lockFD)
    }

    private static func makeDirectories(_ path: String) throws(SystemError) {
        if unsafe mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        if errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try makeDirectories(String(path[..<slash]))
            if unsafe mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        }
        throw SystemError(
            "make directory \(path)", errno,
            hint: "give --dir a directory that this user may write to")
    }

    /// The id made at the first start, so that a node is the same one after a restart.
    private static func keptID(_ path: String) throws(SystemError) -> String {
        let idDigits = 16
        let fd = unsafe Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard fd >= 0 else {
            throw SystemError("open \(path)", errno, hint: "give the file back to this user")
        }
        defer { close(fd) }
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = unsafe buffer.withUnsafeMutableBytes {
            unsafe read(fd, $0.baseAddress, $0.count)
        }
        let kept = buffer.prefix(max(0, count)).prefix { $0 > 0x20 && $0 < 0x7f }
        if !kept.isEmpty { return String(decoding: kept, as: UTF8.self) }

        let digits = String(UInt64.random(in: .min ... .max), radix: 16)
        let id = String(repeating: "0", count: idDigits - digits.utf8.count) + digits
        let line = Array((id + "\n").utf8)
        let written = unsafe line.withUnsafeBytes { unsafe pwrite(fd, $0.baseAddress, $0.count, 0) }
        guard written == line.count else {
            throw SystemError("write \(path)", errno, hint: "free space on the disk")
        }
        return id
    }
}
