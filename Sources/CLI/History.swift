import Glibc

/// The lines of the past, and their file.
struct History {
    /// As redis-cli has it; older ones fall out.
    static let linesMax = 1000

    private(set) var lines: [String] = []
    private let path: String?

    /// `path` nil or `/dev/null`: nothing is kept.
    init(path: String?) {
        self.path = path == "/dev/null" ? nil : path
        guard let path = self.path, let text = Files.read(path) else { return }
        lines = String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
        guard lines.count > Self.linesMax else { return }
        lines.removeFirst(lines.count - Self.linesMax)
        Files.replace(path, with: Array((lines.joined(separator: "\n") + "\n").utf8))
    }

    /// Each line is written at once: what several prompts were told ends up in the file together.
    mutating func add(_ line: String) {
        let line = line.split(separator: "\n").joined(separator: "\\n")
        guard !line.isEmpty, line != lines.last, !Self.isSecret(line) else { return }
        lines.append(line)
        if lines.count > Self.linesMax { lines.removeFirst() }
        if let path { Files.append(path, Array((line + "\n").utf8)) }
    }

    /// Passwords are not kept.
    static func isSecret(_ line: String) -> Bool {
        let words = line.lowercased().split(separator: " ")
        switch words.first {
        case "auth": return true
        case "hello", "migrate": return words.contains("auth") || words.contains("auth2")
        case "config":
            return words.count > 2 && words[1] == "set"
                && ["requirepass", "masterauth", "masteruser"].contains(words[2])
        case "acl": return words.count > 1 && words[1] == "setuser"
        default: return false
        }
    }
}

/// The few things that are done with files. A failure here costs a history, and no more.
enum Files {
    static func read(_ path: String) -> [UInt8]? {
        let fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return nil }
        defer { close(fd) }
        return readAll(fd)
    }

    static func readAll(_ fd: Int32) -> [UInt8] {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe Glibc.read(fd, &piece, piece.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return bytes }
            bytes += piece[..<count]
        }
    }

    static func append(_ path: String, _ bytes: [UInt8]) {
        write(path, O_APPEND, bytes)
    }

    static func replace(_ path: String, with bytes: [UInt8]) {
        write(path, O_TRUNC, bytes)
    }

    private static func write(_ path: String, _ how: Int32, _ bytes: [UInt8]) {
        let fd = unsafe open(path, O_WRONLY | O_CREAT | O_CLOEXEC | how, 0o600)
        guard fd >= 0 else { return }
        write(fd, bytes)
        close(fd)
    }

    /// All of it; false when the other end is gone.
    @discardableResult
    static func write(_ fd: Int32, _ bytes: [UInt8]) -> Bool {
        var written = 0
        while written < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { all in
                unsafe Glibc.write(
                    fd, all.baseAddress.unsafelyUnwrapped + written, bytes.count - written)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            written += count
        }
        return true
    }
}
