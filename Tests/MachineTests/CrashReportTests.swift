import Glibc
import Testing

/// Runs `crash-probe`, which is built beside the tests, and looks at what it leaves behind.
@Suite("Crash report") struct CrashReportTests {
    struct Death {
        let signal: Int32
        let dumpedCore: Bool
        let report: String
        var lines: [Substring] { report.split(separator: "\n") }
        var frames: [Substring] { lines.filter { $0.hasPrefix("  #") } }
    }

    private func probe(_ arguments: String...) throws -> Death {
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/self/exe", &path, path.count - 1)
        let own = String(decoding: path[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self)
        let executable = own[...own.lastIndex(of: "/")!] + "crash-probe"
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { close(ends[0]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO)
        posix_spawn_file_actions_addclose(&actions, ends[0])
        var argv = ([String(executable)] + arguments).map { strdup($0) } + [nil]
        defer { for argument in argv { free(argument) } }
        var pid: pid_t = 0
        let spawned = posix_spawn(&pid, String(executable), &actions, nil, &argv, environ)
        close(ends[1])
        try #require(spawned == 0, "\(executable) does not start")
        var text: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while case let count = read(ends[0], &chunk, chunk.count), count > 0 {
            text += chunk[..<count]
        }
        var status: Int32 = 0
        try #require(waitpid(pid, &status, 0) == pid)
        return Death(
            signal: status & 0x7f, dumpedCore: status & 0x80 != 0,
            report: String(decoding: text, as: UTF8.self))
    }

    @Test(arguments: [
        (
            "read", SIGSEGV,
            "crash-probe: crashed by SIGSEGV (invalid memory access) at address 0x1230"
        ),
        (
            "overflow", SIGSEGV,
            "crash-probe: crashed by SIGSEGV (invalid memory access) at address 0x"
        ),
        (
            "jump", SIGSEGV,
            "crash-probe: crashed by SIGSEGV (invalid memory access) at address 0x10 in"
        ),
        ("abort", SIGABRT, "crash-probe: crashed by SIGABRT (abort) in thread "),
        ("raise", SIGBUS, "crash-probe: crashed by SIGBUS (memory access the machine refused) in"),
    ])
    func `says what happened and dies by the same signal`(
        kind: String, signal: Int32, start: String
    ) throws {
        for place in [[], ["thread"]] as [[String]] {
            let death = place.isEmpty ? try probe(kind) : try probe(kind, "thread")
            #expect(death.signal == signal)
            #expect(!death.dumpedCore)
            let first = try #require(death.lines.first)
            #expect(first.hasPrefix(start))
            #expect(first.hasSuffix("in thread \(place.isEmpty ? "crash-probe" : "shard 3")"))
            let second = try #require(death.lines.dropFirst().first)
            #expect(
                second.contains(/^  version 1\.2\.3-test, build id [0-9a-f]{16,}, loaded at 0x/))
            // ThreadSanitizer's own call at the start of a function is what overflows: its caller has
            // no frame yet.
            #expect(death.frames.count >= (kind == "overflow" && isThreadSanitized ? 1 : 2))
            #expect(death.frames.contains { $0.contains(" crash-probe+0x") })
            let last = try #require(death.lines.last)
            #expect(last.hasPrefix("  decode with: addr2line -pife crash-probe 0x"))
        }
    }

    @Test func `a runaway recursion fills the report and no more`() throws {
        #expect(try probe("overflow").frames.count == 32)
    }

    @Test func `a broken invariant says which, then reports its caller first`() throws {
        let death = try probe("invariant")
        #expect(death.signal == SIGABRT)
        #expect(
            death.lines[0].hasPrefix(
                "needletail: invariant broken: sent 7 of 3 queued bytes (crash_probe/main.swift:"))
        #expect(death.frames.first?.contains("crash-probe+0x") == true)
        #expect(death.frames.count >= 3)
        #expect(!death.report.contains("stale"))
    }

    @Test func `a trap of the compiler's is reported too`() throws {
        let death = try probe("trap")
        #expect([SIGILL, SIGTRAP].contains(death.signal))
        #expect(death.report.contains("a trap in the code"))
    }

    @Test func `a core dump would get no memory, limit or no limit`() throws {
        #expect(try probe("cores").report == "core limit 0, filter 00000000\n")
    }

    @Test func `a healthy process writes nothing`() throws {
        let death = try probe("fine")
        #expect(death.signal == 0)
        #expect(death.report.isEmpty)
    }
}

private let isThreadSanitized = dlsym(nil, "__tsan_init") != nil
