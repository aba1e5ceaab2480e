import Glibc
import TestClient
import Testing

/// `needletail check DIR`, as an operator uses it.
@Suite("Checking a directory") struct CheckTests {
    private final class Home {
        let path: String
        init() throws { path = try Server.temporaryDirectory() }
        deinit { Server.removeTree(path) }
        var data: String { path + "/data" }
    }

    private func check(_ words: String...) throws -> (exit: Exit, output: String, error: String) {
        let ended = try Server.run(["check"] + words)
        return (ended.exit, ended.output, ended.logLines.last ?? "")
    }

    /// A directory that a node has written to, and left in a hurry.
    private func left(_ home: Home) throws {
        let shape = NodeShape(io: .epoll, shards: 2)
        let node = try shape.start(["--fsync", "always"], directory: home.data)
        let alice = Caller(try node.connect(), try node.token("alice", "alice's secret"))
        for number in 0..<20 { expect(201, try alice.put("/t/key/k\(number)", "\(number)")) }
        node.signal(SIGKILL)
        #expect(node.waitForExit() == .signal(SIGKILL))
    }

    @Test func `a sound directory is called sound, and left as it is`() throws {
        let home = try Home()
        try left(home)
        let found = try check(home.data)
        #expect(found.exit == .code(0))
        #expect(found.output.contains("0 records in the snapshot, "))
        #expect(found.output.contains(" changes in the logs since\n"))
        #expect(found.output.hasSuffix("sound: a node starts in \(home.data)\n"))
        // Nothing was changed: a start finds what it would have found.
        let again = try NodeShape(io: .epoll, shards: 1).start(directory: home.data)
        expectRecord(try again.ask("GET", "/t/key/k7"), "7", version: 1)
    }

    @Test func `damage is told with its file and place, and what precedes it is salvaged`() throws {
        let home = try Home()
        try left(home)
        let fd = open(home.data + "/journal/1-0-1.log", O_RDWR)
        var byte: UInt8 = 0xA5
        #expect(pwrite(fd, &byte, 1, 200) == 1)
        close(fd)
        let found = try check(home.data)
        #expect(found.exit == .code(1))
        #expect(found.output.contains("journal/1-0-1.log at byte "))
        #expect(found.output.hasSuffix("damaged: a node does not start in \(home.data)\n"))

        let new = home.path + "/new"
        let repaired = try check(home.data, "--repair", new)
        #expect(repaired.exit == .code(0))
        #expect(repaired.output.hasSuffix("written: what could be read is in \(new)\n"))
        #expect(try check(new).exit == .code(0))
        // The other shard's log was sound, and about half of the keys are in it.
        let node = try NodeShape(io: .epoll, shards: 1).start(directory: new)
        let keys = try node.ask("GET", "/t/keys").body
        #expect(keys.count > 2)
        // Nothing is overwritten.
        #expect(try check(home.data, "--repair", new).exit == .code(1))
    }

    @Test func `a directory of something else is not called sound`() throws {
        let home = try Home()
        #expect(try check(home.path).exit == .code(1))
        let missing = try check(home.path + "/typo")
        #expect(missing.exit == .code(1))
        #expect(missing.error.contains("No such file or directory"))
    }

    @Test func `a running node's directory is read, and is left alone by a repair`() throws {
        let home = try Home()
        let node = try NodeShape(io: .epoll, shards: 1).start(directory: home.data)
        let token = try node.token("alice", "alice's secret")
        expect(201, try Caller(node.connect(), token).put("/t/key/k", "1"))
        #expect(try check(home.data).output.hasPrefix("a node runs here"))
        let refused = try check(home.data, "--repair", home.path + "/new")
        #expect(refused.exit == .code(1))
        #expect(refused.error.contains("a node runs in \(home.data)"))
        #expect(access(home.path + "/new", F_OK) != 0)
    }

    @Test func `a check asked for wrongly exits with 64`() throws {
        #expect(try check().exit == .code(64))
        #expect(try check("a", "b").exit == .code(64))
    }
}
