import Glibc

/// The terminal as the system has it: its modes, its width, its bytes.
struct Terminal {
    private var original = termios()

    /// nil where standard input is no terminal.
    init?() {
        guard isatty(0) == 1, unsafe tcgetattr(0, &original) == 0 else { return nil }
    }

    static var isOutput: Bool { isatty(1) == 1 }

    /// Keys come one by one, unseen, and Ctrl-C is one of them. Bytes that were typed ahead stay.
    func enterEditing() {
        var raw = original
        raw.c_lflag &= ~tcflag_t(ECHO | ICANON | IEXTEN | ISIG)
        raw.c_iflag &= ~tcflag_t(BRKINT | ICRNL | INPCK | ISTRIP | IXON)
        _ = unsafe tcsetattr(0, TCSADRAIN, &raw)
        // Pasted text is told from typed text.
        Files.write(1, Array("\u{1B}[?2004h".utf8))
    }

    func leaveEditing() {
        Files.write(1, Array("\u{1B}[?2004l".utf8))
        var before = original
        _ = unsafe tcsetattr(0, TCSADRAIN, &before)
    }

    /// While a command runs, Ctrl-C is a signal and keys are not shown in between.
    func enterWaiting() {
        var waiting = original
        waiting.c_lflag &= ~tcflag_t(ECHO | ICANON)
        _ = unsafe tcsetattr(0, TCSADRAIN, &waiting)
    }

    /// What is typed is not shown; for a password.
    func enterSecret() {
        var secret = original
        secret.c_lflag &= ~tcflag_t(ECHO)
        _ = unsafe tcsetattr(0, TCSADRAIN, &secret)
    }

    func restore() {
        var before = original
        _ = unsafe tcsetattr(0, TCSADRAIN, &before)
    }

    var columns: Int {
        var size = winsize()
        guard unsafe ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    enum Typed { case bytes([UInt8]), nothing, ended }

    /// What was typed; waits for it at most so long (negative: for ever).
    func read(withinMs limit: Int32) -> Typed {
        var wanted = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
        let ready = unsafe poll(&wanted, 1, limit)
        guard ready > 0 else { return .nothing }
        var piece = [UInt8](repeating: 0, count: 4096)
        let count = unsafe Glibc.read(0, &piece, piece.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return .nothing }
        return count > 0 ? .bytes(Array(piece[..<count])) : .ended
    }
}

/// Ctrl-C while a command runs: seen as bytes in a pipe, so that a wait can be ended by it.
enum Interrupt {
    private nonisolated(unsafe) static var ends: (read: Int32, write: Int32) = (-1, -1)

    /// The descriptor that can be read once there was an interrupt; -1 before `listen`.
    static var descriptor: Int32 { unsafe ends.read }

    static func listen() {
        var pair: [Int32] = [-1, -1]
        guard unsafe pipe(&pair) == 0 else { return }
        for end in pair {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        unsafe ends = (pair[0], pair[1])
        signal(SIGINT) { _ in
            var byte: UInt8 = 1
            let before = errno
            _ = unsafe write(Interrupt.ends.write, &byte, 1)
            errno = before
        }
    }

    static func forget() {
        guard descriptor >= 0 else { return }
        var piece = [UInt8](repeating: 0, count: 64)
        while unsafe read(descriptor, &piece, piece.count) > 0 {}
    }
}
