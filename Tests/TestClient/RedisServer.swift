import Glibc

/// One answer of a RESP2 server.
public indirect enum RedisReply: Equatable, Sendable {
    case text([UInt8])
    case number(Int64)
    case error(String)
    case none
    case list([RedisReply])

    public var bytes: [UInt8]? { if case .text(let bytes) = self { bytes } else { nil } }
    public var int: Int64? { if case .number(let value) = self { value } else { nil } }
    public var items: [RedisReply]? { if case .list(let items) = self { items } else { nil } }
    public var string: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }
}

/// The real redis-server as a child process, to compare with.
///
/// It listens on a socket in a directory of its own, and on a port only where one is asked for;
/// it saves only when told to, and is gone with this object.
public final class RedisServer {
    /// Where it is, if it is installed; tests that need it are skipped where it is not.
    public static let binary: String? = ["/usr/bin/redis-server", "/usr/local/bin/redis-server"]
        .first { access($0, X_OK) == 0 }

    public let directory: String
    /// 0 where it has none.
    public let port: UInt16
    private let pid: pid_t
    private var fd: Int32 = -1
    private var unread: [UInt8] = []
    private var start = 0

    public var dumpFile: String { directory + "/dump.rdb" }
    public var log: String { contents(directory + "/log") ?? "" }

    /// Starts a server, over `dump` where one is given, and waits until it has loaded it.
    public static func start(
        _ options: [String] = [], dump: [UInt8]? = nil, onPort: Bool = false
    ) throws -> RedisServer {
        let server = try RedisServer(options, dump, port: onPort ? freePort() : 0)
        var loaded = false
        var ended = false
        _ = becomes(withinMs: 20_000) {
            if server.fd < 0 { server.fd = (try? server.dial()) ?? -1 }
            if server.fd >= 0 { loaded = (try? server.ask("PING"))?.bytes == Array("PONG".utf8) }
            if !loaded { ended = kill(server.pid, 0) != 0 || server.hasEnded }
            return loaded || ended
        }
        guard loaded else {
            throw StartError(description: "redis-server did not start: \(server.log)")
        }
        return server
    }

    private init(_ options: [String], _ dump: [UInt8]?, port: UInt16) throws {
        self.port = port
        guard let binary = Self.binary else {
            throw StartError(description: "redis-server is not installed")
        }
        directory = try Server.temporaryDirectory()
        if let dump { try write(dump, to: directory + "/dump.rdb") }
        pid = try Spawner.shared.spawn(
            [
                Server.beside("leash"), binary, "--port", "\(port)", "--bind", "127.0.0.1",
                "--unixsocket",
                directory + "/socket",
                "--dir", directory, "--save", "", "--daemonize", "no",
            ] + options,
            environment: ["PATH=/usr/bin:/bin", "LANG=C"],
            outputFile: directory + "/log", errorFile: directory + "/log")
    }

    deinit {
        if fd >= 0 { close(fd) }
        if !hasEnded {
            kill(pid, SIGKILL)
            var status: Int32 = 0
            waitpid(pid, &status, 0)
        }
        Server.removeTree(directory)
    }

    private var isReaped = false
    private var hasEnded: Bool {
        if isReaped { return true }
        var status: Int32 = 0
        isReaped = waitpid(pid, &status, WNOHANG) == pid
        return isReaped
    }

    /// A port that nobody has at the moment.
    private static func freePort() -> UInt16 {
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(fd) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        return withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                guard bind(fd, $0, length) == 0, getsockname(fd, $0, &length) == 0 else { return }
            }
            return UInt16(bigEndian: $0.pointee.sin_port)
        }
    }

    // MARK: Asking

    @discardableResult
    public func ask(_ words: String...) throws(ClientError) -> RedisReply {
        try ask(words.map { Array($0.utf8) })
    }

    @discardableResult
    public func ask(_ words: [[UInt8]]) throws(ClientError) -> RedisReply {
        try ask(all: [words])[0]
    }

    /// Says all of it at once and then reads the answers: a round trip each would take most of a
    /// busy machine's minute.
    @discardableResult
    public func ask(all commands: [[[UInt8]]]) throws(ClientError) -> [RedisReply] {
        var request: [UInt8] = []
        for words in commands {
            request += Array("*\(words.count)\r\n".utf8)
            for word in words {
                request += Array("$\(word.count)\r\n".utf8)
                request += word
                request += [13, 10]
            }
        }
        let deadline = Deadline.after(ms: 60_000)
        var sent = 0
        while sent < request.count {
            let count = request[sent...].withUnsafeBytes {
                send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw .system("send", errno) }
            sent += count
        }
        var replies: [RedisReply] = []
        for _ in commands { replies.append(try reply(deadline)) }
        return replies
    }

    private func dial() throws(ClientError) -> Int32 {
        let fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { throw .system("socket", errno) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array((directory + "/socket").utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let outcome = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard outcome == 0 else {
            let code = errno
            close(fd)
            throw .system("connect", code)
        }
        return fd
    }

    private func reply(_ deadline: Deadline) throws(ClientError) -> RedisReply {
        let line = try line(deadline)
        let rest = String(decoding: line.dropFirst(), as: UTF8.self)
        switch line.first {
        case UInt8(ascii: "+"): return .text(Array(line.dropFirst()))
        case UInt8(ascii: "-"): return .error(rest)
        case UInt8(ascii: ":"): return .number(Int64(rest) ?? 0)
        case UInt8(ascii: "$"):
            guard let count = Int(rest), count >= 0 else { return .none }
            let bytes = try take(count + 2, deadline)
            return .text(Array(bytes.dropLast(2)))
        case UInt8(ascii: "*"):
            guard let count = Int(rest), count >= 0 else { return .none }
            var items: [RedisReply] = []
            for _ in 0..<count { items.append(try reply(deadline)) }
            return .list(items)
        default: throw .malformed("no RESP2: \(rest)")
        }
    }

    private func line(_ deadline: Deadline) throws(ClientError) -> [UInt8] {
        var looked = start
        while true {
            if let end = unread[looked...].firstIndex(of: 10) {
                defer { start = end + 1 }
                return Array(unread[start..<end - 1])
            }
            looked = unread.count
            let dropped = start
            try receive(deadline)
            looked -= dropped
        }
    }

    private func take(_ count: Int, _ deadline: Deadline) throws(ClientError) -> [UInt8] {
        while unread.count - start < count { try receive(deadline) }
        defer { start += count }
        return Array(unread[start..<start + count])
    }

    private func receive(_ deadline: Deadline) throws(ClientError) {
        if start > 0 {
            unread.removeFirst(start)
            start = 0
        }
        var wanted = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        guard poll(&wanted, 1, deadline.leftMs) > 0 else { throw .timedOut("redis-server") }
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        let count = recv(fd, &piece, piece.count, 0)
        guard count > 0 else { throw .reset }
        unread.append(contentsOf: piece[..<count])
    }
}

/// A file's bytes; nil where there is none.
public func fileBytes(_ path: String) -> [UInt8]? {
    let fd = open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = read(fd, &piece, piece.count)
        guard count > 0 else { return bytes }
        bytes.append(contentsOf: piece[..<count])
    }
}

/// Makes a file of these bytes.
public func write(_ bytes: [UInt8], to path: String) throws(ClientError) {
    let fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard fd >= 0 else { throw .system("open \(path)", errno) }
    defer { close(fd) }
    var written = 0
    while written < bytes.count {
        let count = bytes[written...].withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) }
        guard count > 0 else { throw .system("write \(path)", errno) }
        written += count
    }
}
