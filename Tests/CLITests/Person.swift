import Glibc
import TestClient
import Testing

/// The real program on a pseudo-terminal, with a person in front of it who looks at the screen.
final class Person {
    let grid: Grid
    private let fd: Int32
    private let child: Child

    init(_ arguments: [String], environment: [String] = [], columns: Int = 80) throws {
        grid = Grid(columns: columns, rows: 40)
        fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        // TIOCSPTLCK and TIOCGPTN: Glibc's overlay leaves out unlockpt and ptsname.
        var locked: Int32 = 0
        var number: Int32 = 0
        guard fd >= 0, ioctl(fd, 0x4004_5431, &locked) == 0, ioctl(fd, 0x8004_5430, &number) == 0
        else {
            throw StartError(description: "no pseudo-terminal: errno \(errno)")
        }
        var size = winsize(ws_row: 40, ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(fd, UInt(TIOCSWINSZ), &size)
        child = try Child(arguments, environment: environment, terminal: "/dev/pts/\(number)")
    }

    deinit { close(fd) }

    func type(_ text: String) {
        let bytes = Array(text.utf8)
        #expect(write(fd, bytes, bytes.count) == bytes.count)
    }

    /// Looks until the screen shows a text; blanks at its end can't be seen.
    func sees(_ text: String, withinMs: Int = 20_000) -> Bool {
        let text = text.hasSuffix(" ") ? String(text.dropLast()) : text
        let deadline = Deadline.after(ms: withinMs)
        while !grid.text.contains(text) {
            guard look(deadline) else { return grid.text.contains(text) }
        }
        return true
    }

    /// Waits for the program to end; its exit status.
    func end() -> Int32? {
        let deadline = Deadline.after(ms: 20_000)
        while look(deadline) {}
        return child.status(withinMs: 20_000)
    }

    private func look(_ deadline: Deadline) -> Bool {
        var wanted = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        guard poll(&wanted, 1, deadline.leftMs) > 0 else { return false }
        var piece = [UInt8](repeating: 0, count: 4096)
        let count = read(fd, &piece, piece.count)
        guard count > 0 else { return false }
        grid.feed(Array(piece[..<count]))
        return true
    }
}

/// A needletail-cli that is killed with this object at the latest.
final class Child {
    private let pid: pid_t
    private var ended: Int32?

    init(
        _ arguments: [String], environment: [String] = [], terminal: String? = nil,
        input: String = "/dev/null", output: String = "/dev/null", errors: String = "/dev/null",
        program: String = Server.beside("needletail-cli")
    ) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, terminal ?? input, O_RDWR, 0)
        if terminal != nil {
            posix_spawn_file_actions_adddup2(&actions, 0, 1)
            posix_spawn_file_actions_adddup2(&actions, 0, 2)
        } else {
            let made = O_WRONLY | O_CREAT | O_TRUNC
            posix_spawn_file_actions_addopen(&actions, 1, output, made, 0o600)
            posix_spawn_file_actions_addopen(&actions, 2, errors, made, 0o600)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        // A session of its own, whose terminal becomes the one it opens first (0x80 is
        // POSIX_SPAWN_SETSID, which the overlay leaves out), and no signal blocked, as threads of
        // the test runner have them.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, 0x80 | Int16(POSIX_SPAWN_SETSIGMASK))
        let words = [program] + arguments
        let argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        let variables = ["PATH=/usr/bin:/bin", "TERM=xterm", "LANG=C.UTF-8"] + environment
        let envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup($0) } + [nil]
        defer { for text in argv + envp { free(text) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, words[0], &actions, &attributes, argv, envp)
        guard code == 0 else { throw StartError(description: "\(words[0]): errno \(code)") }
        self.pid = pid
    }

    deinit {
        guard status(withinMs: 0) == nil else { return }
        kill(pid, SIGKILL)
        _ = status(withinMs: 5000)
    }

    func status(withinMs: Int) -> Int32? {
        _ = becomes(withinMs: withinMs) {
            var status: Int32 = 0
            if ended == nil, waitpid(pid, &status, WNOHANG) == pid { ended = status >> 8 & 0xFF }
            return ended != nil
        }
        return ended
    }
}
