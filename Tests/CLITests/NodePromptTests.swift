import Glibc
import TestClient
import Testing

@testable import CLI

/// The prompt in front of the server it is made for.
@Suite("needletail-cli and a node") struct NodePromptTests {
    private let server: Server
    private let history: String

    init() throws {
        server = try Server.start(["--shards", "2"])
        history = server.directory + "/history"
    }

    private func run(
        _ arguments: [String], input: String = "", program: String? = nil
    ) throws -> (status: Int32?, output: String, errors: String) {
        let directory = try Server.temporaryDirectory()
        defer { Server.removeTree(directory) }
        try TestClient.write(Array(input.utf8), to: directory + "/in")
        let child = try Child(
            ["-p", "\(server.port)"] + arguments, input: directory + "/in",
            output: directory + "/out", errors: directory + "/err",
            program: program ?? Server.beside("needletail-cli"))
        let status = child.status(withinMs: 20_000)
        return (status, contents(directory + "/out") ?? "", contents(directory + "/err") ?? "")
    }

    @Test func `a session with quotes, an error, completion, hints, history and a paste`() throws {
        let person = try Person(
            ["-p", "\(server.port)"], environment: ["NEEDLETAILCLI_HISTFILE=\(history)"])
        let prompt = "127.0.0.1:\(server.port)> "
        #expect(person.sees(prompt))
        person.type("set greeting \"hello world\"\r")
        #expect(person.sees("\nOK\n" + prompt.dropLast()))
        person.type("get greeting\r")
        #expect(person.sees("\"hello world\""))
        person.type("RPUSH l a 'b c' \"d\\\"e\"\rlrange l 0 -1\r")
        #expect(person.sees("1) \"a\"\n2) \"b c\"\n3) \"d\\\"e\"\n"))
        person.type("incr l\r")
        #expect(person.sees("(error) WRONGTYPE Operation against a key"))
        person.type("expi\t greeting 100 ")
        #expect(person.sees("expire greeting 100 [NX|XX|GT|LT]"))
        person.type("\r")
        #expect(person.sees("(integer) 1"))
        person.type("\u{12}gree")
        #expect(person.sees("(reverse-i-search)`gree': expire greeting 100"))
        person.type("\u{07}")
        person.type("multi\rset x 1\r")
        #expect(person.sees("127.0.0.1:\(server.port)(TX)> set x 1\nQUEUED"))
        person.type("exec\r")
        #expect(person.sees("1) OK"))
        person.type("select 3\r")
        #expect(person.sees("127.0.0.1:\(server.port)[3]>"))
        person.type("save\r")
        #expect(person.sees("[3]> save\nOK"))
        person.type("quit\r")
        #expect(person.end() == 0)
        #expect(entries(of: server.directory).contains("dump.rdb"))
        #expect(permissions(history) == 0o600)
    }

    @Test func `subscribe and watch show what happens, until Ctrl-C`() throws {
        let person = try Person(
            ["-p", "\(server.port)"], environment: ["NEEDLETAILCLI_HISTFILE=\(history)"],
            columns: 200)
        person.type("subscribe news\r")
        #expect(person.sees("3) (integer) 1"))
        #expect(try run(["publish", "news", "hello"]).output == "1\n")
        #expect(person.sees("3) \"hello\""))
        person.type("\u{03}")
        person.type("watch default/flight*\r")
        // What is written once the watch is there is shown; before, it is the first thing shown.
        #expect(try run(["set", "flight1", "boarding"]).output == "OK\n")
        #expect(person.sees("\"key\":\"flight1\""))
        #expect(person.sees("\"value\":\"boarding\""))
        #expect(try run(["set", "flight2", "gone"]).output == "OK\n")
        #expect(person.sees("\"value\":\"gone\""))
        person.type("\u{03}ping\r")
        #expect(person.sees("PONG"))
    }

    @Test func `a node that has gone is said to be gone`() throws {
        let person = try Person(
            ["-p", "\(server.port)"], environment: ["NEEDLETAILCLI_HISTFILE=\(history)"])
        person.type("set k v\r")
        #expect(person.sees("OK"))
        server.signal(SIGTERM)
        #expect(server.waitForExit() == .code(0))
        person.type("get k\r")
        #expect(person.sees("Could not connect to 127.0.0.1:\(server.port)"))
        person.type("exit\r")
        #expect(person.end() == 0)
    }

    @Test func `in a pipe, watch is the server's, and on the command line it is ours`() throws {
        let piped = try run([], input: "watch a/b\nset a/b 1\nget a/b\n")
        #expect(piped == (0, "OK\nOK\n1\n", ""))
        let directory = try Server.temporaryDirectory()
        defer { Server.removeTree(directory) }
        let watching = try Child(
            ["-p", "\(server.port)", "watch", "default/told"], output: directory + "/out",
            errors: directory + "/err")
        #expect(try run(["set", "told", "now"]).output == "OK\n")
        let isTold = becomes { contents(directory + "/out")?.contains("\"now\"") == true }
        #expect(isTold)
        #expect(watching.status(withinMs: 0) == nil)
    }

    /// What both programs are asked; nothing in it depends on the time or on the process.
    private static let script = """
        SET a "hello\\nworld\\x01\\xff"
        GET a
        GET nothing
        INCR n
        INCR a
        RPUSH l a b c 1 2 3 4 5 6 7 8 9
        LRANGE l 0 -1
        LRANGE nothing 0 -1
        MULTI
        SET x 1
        GET x
        INCR l
        EXEC
        MSET {t}a 1 {t}b 2
        MGET {t}a {t}b {t}c
        INCRBYFLOAT f 1.5
        COMMAND INFO GET SET
        COMMAND DOCS GET HELLO
        COMMAND COUNT
        OBJECT HELP
        CONFIG GET save
        CLUSTER KEYSLOT a
        LPOS l 3
        EXPIRE a 100 NX
        HELLO 9
        NOTHING of the kind
        FLUSHALL

        """

    @Test func `replies are redis-cli's to the byte`() throws {
        let redisCLI = "/usr/bin/redis-cli"
        guard access(redisCLI, X_OK) == 0 else { return }
        for options in [[], ["--no-raw"], ["--csv"], ["-3"], ["-3", "--no-raw"], ["-3", "--csv"]] {
            let theirs = try run(options, input: Self.script, program: redisCLI)
            let ours = try run(options, input: Self.script)
            // Ours has errors on standard error, theirs among the replies.
            let replies = theirs.output.split(separator: "\n", omittingEmptySubsequences: false)
                .filter { !Self.isError($0) }
            #expect(!replies.isEmpty)
            let shown = ours.output.split(separator: "\n", omittingEmptySubsequences: false)
                .filter { !Self.isError($0) }
            #expect(shown.map(String.init) == replies.map(String.init), "\(options)")
        }
    }

    private static func isError(_ line: Substring) -> Bool {
        ["ERR ", "WRONGTYPE ", "NOPROTO ", "(error) ", "ERROR,", "\"ERR"].contains {
            line.hasPrefix($0)
        } || line.isEmpty
    }
}
