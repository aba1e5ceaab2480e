import CMachine
import Glibc
import Machine

/// A node that this program starts itself, with a directory and a port of its own, and ends.
struct NodeProcess {
    private(set) var pid: pid_t = 0
    let peer: Peer
    let host: String
    let port: UInt16
    let directory: String
    private let command: [String]
    private let environment: [String]
    private let logPath: String

    private static let readySecondsMax: UInt64 = 60
    private static let pollUs: UInt32 = 500
    /// The node promises to be gone within 10 s of SIGTERM.
    private static let endSecondsMax: UInt64 = 15

    /// `launcher` is given the node's command line and becomes the node, within limits or pinned.
    init(needletail: String, launcher: String?, directory: String, adminSecret: String)
        throws(RunError)
    {
        port = try Self.freePort()
        host = "127.0.0.1:\(port)"
        do throws(SystemError) {
            peer = try Peer.resolve(host: "127.0.0.1", port: port, sources: 1)
        } catch {
            throw RunError("\(error)")
        }
        self.directory = directory
        logPath = directory + "/node.log"
        command =
            (launcher.map { [$0] } ?? []) + [
                needletail, host, "--dir", directory + "/data", "--log-level", "warn",
            ]
        var inherited: [String] = []
        var place = unsafe environ
        while let entry = unsafe place.pointee {
            let text = unsafe String(cString: entry)
            if !text.hasPrefix("NEEDLETAIL_"), !text.hasPrefix("ADMIN_PASSWORD=") {
                inherited.append(text)
            }
            unsafe place += 1
        }
        environment = inherited + ["ADMIN_PASSWORD=\(adminSecret)"]
    }

    /// A port that is free now: it is bound, looked at and let go.
    private static func freePort() throws(RunError) -> UInt16 {
        do throws(SystemError) {
            let address = try SocketAddress.resolve(host: "127.0.0.1", port: 0)
            let listener = try Listener.listen(on: address)
            return listener.address.port
        } catch {
            throw RunError("\(error)")
        }
    }

    /// Starts it and returns how long it took until it was ready, in milliseconds.
    mutating func start() throws(RunError) -> Double {
        let beganNs = Clock.monotonicNs()
        try spawn()
        while true {
            if let reply = try? Exchange.run(
                "GET", "/ready", peer: peer, host: host, timeoutSeconds: 5), reply.status == 200
            {
                return Double(Clock.monotonicNs() - beganNs) / 1e6
            }
            var status: Int32 = 0
            if unsafe waitpid(pid, &status, WNOHANG) == pid {
                pid = 0
                throw RunError("the node ended before it was ready: \(lastWords)")
            }
            guard Clock.monotonicNs() < beganNs + Self.readySecondsMax * 1_000_000_000 else {
                stop()
                throw RunError("the node is not ready after a minute: \(lastWords)")
            }
            usleep(Self.pollUs)
        }
    }

    private mutating func spawn() throws(RunError) {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        for fd: Int32 in [1, 2] {
            unsafe posix_spawn_file_actions_addopen(
                &actions, fd, logPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        }
        var arguments = unsafe command.map { unsafe strdup($0) } + [nil]
        var variables = unsafe environment.map { unsafe strdup($0) } + [nil]
        defer {
            unsafe arguments.forEach { unsafe free($0) }
            unsafe variables.forEach { unsafe free($0) }
        }
        let code = unsafe posix_spawn(
            &pid, command[0], &actions, nil, &arguments, &variables)
        guard code == 0 else {
            pid = 0
            throw RunError(
                "\(SystemError("start \(command[0])", code, hint: "say where it is: --needletail"))"
            )
        }
    }

    /// Ends it as an operator does, and waits for that.
    mutating func stop() {
        guard pid > 0 else { return }
        kill(pid, SIGTERM)
        let deadlineNs = Clock.monotonicNs() + Self.endSecondsMax * 1_000_000_000
        var status: Int32 = 0
        while unsafe waitpid(pid, &status, WNOHANG) == 0 {
            if Clock.monotonicNs() >= deadlineNs {
                kill(pid, SIGKILL)
                _ = unsafe waitpid(pid, &status, 0)
                break
            }
            usleep(10_000)
        }
        pid = 0
    }

    private var lastWords: String {
        let lines = (SmallFile.text(logPath) ?? "").split(separator: "\n")
        return lines.last.map(String.init) ?? "it said nothing"
    }

    /// What its files hold of the disk: their lengths or what is allocated, whichever is more.
    var diskBytes: Double {
        max(
            Self.size(directory + "/data", allocated: false),
            Self.size(directory + "/data", allocated: true))
    }

    // MARK: Folders

    private static func size(_ path: String, allocated: Bool) -> Double {
        var sum = 0.0
        for name in names(in: path) ?? [] {
            var info = stat()
            guard unsafe lstat("\(path)/\(name)", &info) == 0 else { continue }
            if info.st_mode & S_IFMT == S_IFDIR {
                sum += size("\(path)/\(name)", allocated: allocated)
            } else {
                sum += allocated ? Double(info.st_blocks) * 512 : Double(info.st_size)
            }
        }
        return sum
    }

    /// Removes a folder with what is in it. Only one that this program made is ever given here.
    static func remove(_ path: String) {
        guard let names = names(in: path) else {
            _ = unsafe unlink(path)
            return
        }
        for name in names { remove("\(path)/\(name)") }
        _ = unsafe rmdir(path)
    }

    /// nil: it is no folder, or a link to one.
    private static func names(in path: String) -> [String]? {
        let fd = unsafe open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard fd >= 0, let folder = unsafe fdopendir(fd) else { return nil }
        defer { unsafe closedir(folder) }
        var names: [String] = []
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { name in
                unsafe String(cString: UnsafeRawPointer(name).assumingMemoryBound(to: CChar.self))
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}
