import Glibc
import TestClient
import Testing

@testable import CLI

/// The real program on a pseudo-terminal, with a person in front of it who looks at the screen.
private final class Person {
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
private final class Child {
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

@Suite("needletail-cli on a terminal", .enabled(if: RedisServer.binary != nil))
struct TerminalTests {
    private let redis: RedisServer
    private let history: String

    init() throws {
        redis = try RedisServer.start(["--enable-debug-command", "yes"], onPort: true)
        history = redis.directory + "/history"
    }

    private func sit(_ more: [String] = [], columns: Int = 80) throws -> Person {
        try Person(
            ["-p", "\(redis.port)"] + more,
            environment: ["NEEDLETAILCLI_HISTFILE=\(history)"], columns: columns)
    }

    @Test func `a session with quotes, an error, completion, hints, history and a paste`() throws {
        let person = try sit()
        let prompt = "127.0.0.1:\(redis.port)> "
        #expect(person.sees(prompt))
        person.type("set greeting \"hello world\"\r")
        #expect(person.sees("\nOK\n" + prompt.dropLast()))
        person.type("get greeting\r")
        #expect(person.sees("\"hello world\""))
        person.type("RPUSH l a 'b c' \"d\\\"e\"\rlrange l 0 -1\r")
        #expect(person.sees("1) \"a\"\n2) \"b c\"\n3) \"d\\\"e\"\n"))
        person.type("incr l\r")
        #expect(person.sees("(error) WRONGTYPE Operation against a key"))
        // Completion, and the hint of what is still to come.
        person.type("expi\t greeting 100 ")
        #expect(person.sees("expire greeting 100 [NX|XX|GT|LT]"))
        person.type("\r")
        #expect(person.sees("(integer) 1"))
        // The past, by arrow and by search.
        person.type("\u{1B}[A\u{1B}[A")
        #expect(person.sees(prompt + "incr l"))
        person.type("\u{03}\u{12}gree")
        #expect(person.sees("(reverse-i-search)`gree': expire greeting 100"))
        person.type("\u{12}")
        #expect(person.sees("(reverse-i-search)`gree': get greeting"))
        person.type("\u{05}x\u{7F}\r")
        // Several lines at once, one of them with a line break of its own.
        person.type("\u{1B}[200~set p1 \"one\ntwo\"\nget p1\nset p2 日本\u{1B}[201~")
        #expect(person.sees("get p1\nset p2 日本"))
        person.type("\r")
        #expect(person.sees(prompt + "get p1\n\"one\\ntwo\"\n"))
        #expect(person.sees(prompt + "set p2 日本\nOK\n"))
        person.type("select 3\r")
        #expect(person.sees("127.0.0.1:\(redis.port)[3]>"))
        person.type("quit\r")
        #expect(person.end() == 0)
        #expect(try redis.ask("GET", "p2").string == "日本")

        // The next one remembers; and Ctrl-D ends it.
        let next = try sit()
        #expect(next.sees(prompt))
        next.type("\u{1B}[A\u{1B}[A\u{1B}[A")
        #expect(next.sees(prompt + "set p2 日本"))
        next.type("\u{03}\u{04}")
        #expect(next.end() == 0)
        #expect(permissions(history) == 0o600)
    }

    @Test func `Ctrl-C ends a subscription and a command that blocks, not the program`() throws {
        let person = try sit()
        person.type("subscribe news\r")
        #expect(person.sees("3) (integer) 1"))
        #expect(try redis.ask("PUBLISH", "news", "hello").int == 1)
        #expect(person.sees("3) \"hello\""))
        person.type("\u{03}")
        person.type("blpop nothing 0\r")
        let isBlocked = try becomes {
            try redis.ask("INFO", "clients").string?.contains("blocked_clients:1") == true
        }
        #expect(isBlocked)
        person.type("\u{03}ping\r")
        #expect(person.sees("PONG"))
    }

    @Test func `a server that closes the connection is connected to again`() throws {
        let person = try sit()
        person.type("select 2\r")
        #expect(person.sees("[2]>"))
        try redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        person.type("set k v\r")
        #expect(person.sees("connecting again\nOK"))
        try redis.ask("SELECT", "2")
        #expect(try redis.ask("GET", "k").string == "v")
    }

    @Test func `without a server the prompt says so`() throws {
        let person = try Person(["-p", "1"], environment: ["NEEDLETAILCLI_HISTFILE=/dev/null"])
        #expect(person.sees("Could not connect to 127.0.0.1:1: Connection refused\nnot connected>"))
        person.type("ping\rexit\r")
        #expect(person.end() == 0)
    }

    // MARK: In pipes

    private func run(
        _ arguments: [String], input: String = "", environment: [String] = []
    ) throws -> (status: Int32?, output: String, errors: String) {
        let directory = try Server.temporaryDirectory()
        defer { Server.removeTree(directory) }
        try TestClient.write(Array(input.utf8), to: directory + "/in")
        let child = try Child(
            ["-p", "\(redis.port)"] + arguments, environment: environment,
            input: directory + "/in", output: directory + "/out", errors: directory + "/err")
        let status = child.status(withinMs: 20_000)
        return (status, contents(directory + "/out") ?? "", contents(directory + "/err") ?? "")
    }

    @Test func `commands come from the command line or from standard input`() throws {
        #expect(try run(["set", "a", "x y"]) == (0, "OK\n", ""))
        #expect(try run(["get", "a"]) == (0, "x y\n", ""))
        #expect(try run(["--no-raw", "get", "a"]) == (0, "\"x y\"\n", ""))
        #expect(try run(["-x", "set", "b"], input: "from\ninput") == (0, "OK\n", ""))
        #expect(try run([], input: "get b\n\nincr n\nget nothing") == (0, "from\ninput\n1\n\n", ""))
        #expect(try run(["-r", "3", "-i", "0.01", "incr", "n"]) == (0, "2\n3\n4\n", ""))
        #expect(try run(["--csv", "mget", "a", "nothing"]) == (0, "\"x y\",NULL\n", ""))
        #expect(
            try run(["--json", "-3", "config", "get", "maxclients"]).output.hasPrefix(
                "{\"maxclients\":"))
    }

    @Test func `errors go to standard error and make the exit status`() throws {
        let wrong = try run(["incr"])
        #expect(wrong.status == 1 && wrong.output.isEmpty)
        #expect(wrong.errors == "ERR wrong number of arguments for 'incr' command\n")
        let some = try run([], input: "set a b\nincr a\n\"open\nget a\n")
        #expect(some.status == 1 && some.output == "OK\nb\n")
        #expect(some.errors == "ERR value is not an integer or out of range\nInvalid argument(s)\n")
        #expect(try run(["-e"], input: "incr a\nget a\n").output.isEmpty)
        #expect(try run(["-p", "1", "ping"]).status == 1)
        #expect(try run(["--wrong"]).status == 64)
        #expect(try run(["--version"]).output.hasPrefix("needletail-cli "))
    }

    @Test func `passwords come from the environment, options or the URL`() throws {
        try redis.ask("ACL", "SETUSER", "alice", "on", ">p:w", "~*", "+@all")
        let name = ["ACL", "WHOAMI"]
        #expect(
            try run(["--user", "alice", "--pass", "p:w", "--no-auth-warning"] + name).output
                == "alice\n")
        #expect(
            try run(["--user", "alice"] + name, environment: ["REDISCLI_AUTH=p:w"]) == (
                0, "alice\n", ""
            ))
        let url = try run(["-u", "redis://alice:p%3Aw@127.0.0.1:\(redis.port)/4"] + name)
        #expect(url.output == "alice\n" && url.errors.hasPrefix("Warning: a password"))
        #expect(try run(["--user", "alice", "-a", "no"] + name).errors.contains("WRONGPASS"))
    }

    @Test func `replies are redis-cli's to the byte`() throws {
        let redisCLI = "/usr/bin/redis-cli"
        guard access(redisCLI, X_OK) == 0 else { return }
        let script = """
            SET a "hello\\nworld\\x01\\xff"
            GET a
            GET nothing
            INCR n
            RPUSH l a b c 1 2 3 4 5 6 7 8 9
            LRANGE l 0 -1
            LRANGE nothing 0 -1
            MULTI
            SET x 1
            GET x
            EXEC
            DEBUG PROTOCOL double
            DEBUG PROTOCOL set
            DEBUG PROTOCOL map
            DEBUG PROTOCOL verbatim
            DEBUG PROTOCOL true
            COMMAND INFO GET SET
            COMMAND DOCS GET HELLO
            OBJECT HELP
            XADD st 1-1 a b c d
            XRANGE st - +
            XINFO STREAM st
            INFO keyspace

            """
        let directory = try Server.temporaryDirectory()
        defer { Server.removeTree(directory) }
        try TestClient.write(Array(script.utf8), to: directory + "/in")
        for options in [[], ["--no-raw"], ["--csv"], ["-3"], ["-3", "--no-raw"], ["-3", "--csv"]] {
            var outputs: [String] = []
            for program in [redisCLI, Server.beside("needletail-cli")] {
                try redis.ask("FLUSHALL")
                let output = directory + "/out"
                let child = try Child(
                    ["-p", "\(redis.port)"] + options, input: directory + "/in", output: output,
                    program: program)
                #expect(child.status(withinMs: 20_000) == 0)
                outputs.append(contents(output) ?? "")
            }
            #expect(!outputs[0].isEmpty)
            #expect(outputs[0] == outputs[1])
        }
    }
}
