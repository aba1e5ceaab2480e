import Glibc
import TestClient
import Testing

@testable import CLI

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
