import Glibc

/// The two ways to the kernel. Every test of the server's runs on both.
public enum IODriver: String, CaseIterable, Sendable { case uring, epoll }

/// How a process ended.
public enum Exit: Equatable, Sendable {
    case code(Int32)
    case signal(Int32)
    case stillRunning
}

/// What a container runtime's seccomp profile answers to io_uring.
public enum Refusal: Int32, CaseIterable, Sendable {
    /// Docker's and containerd's default profile.
    case notPermitted = 1
    /// Profiles that treat unknown calls as an old kernel would.
    case notImplemented = 38
}

public struct StartError: Error, CustomStringConvertible {
    public var description: String

    public init(description: String) { self.description = description }
}

/// The real binary as a child process.
///
/// It gets an address of its own (port 0) and a directory of its own, and is gone when this
/// object is: killed in `deinit`, and by the kernel should the tests die first.
public final class Server {
    public static let startMs = 10_000

    public let pid: pid_t
    public let directory: String
    public private(set) var port: UInt16 = 0
    private let logFile: String
    private let home: String
    private var exit: Exit = .stillRunning

    /// Starts a server and waits until it listens.
    public static func start(
        io: IODriver? = nil, _ options: [String] = [], directory: String? = nil,
        refusingURing: Refusal? = nil, softFiles: Int? = nil, environment: [String] = []
    ) throws -> Server {
        var arguments = ["127.0.0.1:0"]
        if !options.contains("--shards") { arguments += ["--shards", "1"] }
        if let io { arguments += ["--io", io.rawValue] }
        let server = try Server(
            arguments + options,
            directory: directory, refusingURing: refusingURing, softFiles: softFiles,
            environment: environment)
        let listens = becomes(withinMs: startMs) {
            server.port = server.announcedPort ?? 0
            return server.port != 0 || server.exitNow() != .stillRunning
        }
        guard listens, server.port != 0 else {
            throw StartError(
                description: "needletail did not start (\(server.exitNow())): \(server.log)")
        }
        return server
    }

    /// Runs the binary where it is expected to end by itself; how it did, and what it said.
    public static func run(
        _ arguments: [String], directory: String? = nil, refusingURing: Refusal? = nil
    ) throws -> (exit: Exit, output: String, logLines: [String]) {
        let server = try Server(
            arguments, directory: directory, refusingURing: refusingURing, softFiles: nil)
        let exit = server.waitForExit(withinMs: startMs)
        return (exit, contents(server.home + "/stdout") ?? "", server.logLines)
    }

    private init(
        _ arguments: [String], directory: String?, refusingURing: Refusal?, softFiles: Int?,
        environment: [String] = []
    ) throws {
        home = try Self.temporaryDirectory()
        self.directory = directory ?? home + "/data"
        logFile = home + "/stderr"
        var command = [Self.beside("leash")]
        if let refusingURing { command += ["--refuse-uring", "\(refusingURing.rawValue)"] }
        if let softFiles { command += ["--soft-files", "\(softFiles)"] }
        command += [Self.binary] + arguments
        // A subcommand says by itself what it is about.
        let serves = arguments.first != "check"
        if serves, !arguments.contains("--dir") { command += ["--dir", self.directory] }
        pid = try Spawner.shared.spawn(
            command,
            environment: ["PATH=/usr/bin:/bin", "LANG=C"] + Self.sanitizerOptions + environment,
            outputFile: home + "/stdout", errorFile: logFile)
    }

    deinit {
        if exitNow() == .stillRunning {
            kill(pid, SIGKILL)
            _ = waitForExit(withinMs: 5000)
        }
        Self.removeTree(home)
    }

    // MARK: Talking to it

    public func connect(receiveBuffer: Int32? = nil) throws(ClientError) -> Client {
        try Client(port: port, receiveBuffer: receiveBuffer)
    }

    /// One request on a connection of its own.
    public func ask(_ method: String = "GET", _ target: String) throws(ClientError) -> Reply {
        try connect().ask(method, target)
    }

    public var answers: Bool { (try? ask("GET", "/health"))?.status == 200 }

    // MARK: Looking at it

    public var figures: ProcessFigures { ProcessFigures(pid: pid) }

    /// Everything it wrote to stderr so far.
    public var log: String { contents(logFile) ?? "" }
    public var logLines: [String] { log.split(separator: "\n").map(String.init) }

    /// How its directory is protected, as `stat` has it.
    public var directoryMode: mode_t? { permissions(directory) }

    // MARK: Ending it

    public func signal(_ number: Int32) { kill(pid, number) }

    public func waitForExit(withinMs: Int = 12_000) -> Exit {
        _ = becomes(withinMs: withinMs) { exitNow() != .stillRunning }
        return exit
    }

    /// How it ended, if it has.
    @discardableResult
    public func exitNow() -> Exit {
        guard exit == .stillRunning else { return exit }
        var status: Int32 = 0
        if waitpid(pid, &status, WNOHANG) == pid {
            exit = status & 0x7F == 0 ? .code((status >> 8) & 0xFF) : .signal(status & 0x7F)
        }
        return exit
    }

    // MARK: Private parts

    /// Reads `listening addr=127.0.0.1:PORT` from the start-up log.
    private var announcedPort: UInt16? {
        for line in logLines where line.contains("listening") {
            let rest = line.split(separator: "127.0.0.1:", omittingEmptySubsequences: false)
            guard rest.count > 1 else { continue }
            if let port = UInt16(rest[1].prefix(while: { $0.isNumber })), port != 0 { return port }
        }
        return nil
    }

    /// The binary under test: `NEEDLETAIL_BINARY`, or the one that was built with the tests.
    public static let binary: String = environment("NEEDLETAIL_BINARY") ?? beside("needletail")

    public static func beside(_ name: String) -> String {
        var path = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &path, path.count - 1)
        var bundle = String(
            decoding: path[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // `swift test` may run the bundle through a runner elsewhere; the bundle is in argv then.
        if access(parent(bundle) + "/" + name, X_OK) != 0 {
            for argument in CommandLine.arguments
            where argument.hasSuffix(".xctest")
                && access(parent(argument) + "/" + name, X_OK) == 0
            {
                bundle = argument
            }
        }
        return parent(bundle) + "/" + name
    }

    private static func parent(_ path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    }

    private static var sanitizerOptions: [String] {
        ["ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"].compactMap { name in
            environment(name).map { "\(name)=\($0)" }
        }
    }

    public static func temporaryDirectory() throws(ClientError) -> String {
        let base = environment("TMPDIR") ?? "/tmp"
        var template = Array(
            "\(base)/needletail-test-\(String(repeating: "X", count: 6))".utf8CString)
        guard mkdtemp(&template) != nil else { throw .system("mkdtemp", errno) }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    public static func removeTree(_ path: String) {
        for name in entries(of: path) {
            let child = path + "/" + name
            if unlink(child) != 0 { removeTree(child) }
        }
        rmdir(path)
    }
}

/// A variable of the environment; nil when it is unset or empty.
public func environment(_ name: String) -> String? {
    guard let value = getenv(name) else { return nil }
    let text = String(cString: value)
    return text.isEmpty ? nil : text
}
