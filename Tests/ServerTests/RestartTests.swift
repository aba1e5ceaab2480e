import Glibc
import TestClient
import Testing

/// What a node knows after it was ended in the middle of everything.
@Suite("Restarts") struct RestartTests {
    /// A directory that lives as long as the test.
    private final class Home {
        let path: String
        init() throws { path = try Server.temporaryDirectory() }
        deinit { Server.removeTree(path) }
        var data: String { path + "/data" }

        /// The journal's files.
        var logs: [String] { entries(of: data + "/journal").sorted() }
    }

    private func kill(_ server: Server) {
        server.signal(SIGKILL)
        #expect(server.waitForExit() == .signal(SIGKILL))
    }

    private func drain(_ server: Server) {
        server.signal(SIGTERM)
        #expect(server.waitForExit() == .code(0))
    }

    @Test(arguments: NodeShape.allCases, ["always", "everysec", "no"])
    func `what was acknowledged is there after a kill`(
        _ shape: NodeShape, _ policy: String
    ) throws {
        let home = try Home()
        let options = ["--fsync", policy]
        let first = try shape.start(options, directory: home.data)
        let token = try first.token("alice", "alice's secret")
        let alice = Caller(try first.connect(), token)
        for number in 0..<50 {
            expect(201, try alice.put("/t/key/k\(number)", "{\"n\":\(number)}"))
        }
        expect(201, try alice.put("/t/key/k7", "\"seven\""))
        expect(200, try alice.delete("/t/key/k8"))
        expect(200, try alice.post("/t/store", "{\"many\":1,\"more\":2}"))
        kill(first)

        let second = try shape.start(options, directory: home.data)
        let again = Caller(try second.connect(), token)
        expectRecord(try again.get("/t/key/k0"), "{\"n\":0}", version: 1, owner: "alice")
        expectRecord(try again.get("/t/key/k49"), "{\"n\":49}", version: 1, owner: "alice")
        expectRecord(try again.get("/t/key/k7"), "\"seven\"", version: 2, owner: "alice")
        expectRecord(try again.get("/t/key/more"), "2", version: 1, owner: "alice")
        expect(404, try again.get("/t/key/k8"))
        // A deleted key's versions go on.
        expectRecord(try again.put("/t/key/k8", "1"), "1", version: 3)
        kill(second)
    }

    @Test(arguments: NodeShape.allCases)
    func `a large value is answered when the disk has it, on whichever shard it is`(
        _ shape: NodeShape
    ) throws {
        let home = try Home()
        let first = try shape.start(["--fsync", "always"], directory: home.data)
        let alice = Caller(try first.connect(), try first.token("alice", "alice's secret"))
        let large = "\"" + String(repeating: "x", count: 400_000) + "\""
        for number in 0..<8 { expect(201, try alice.put("/t/key/k\(number)", large)) }
        kill(first)
        let second = try shape.start(directory: home.data)
        for number in 0..<8 {
            expectRecord(try second.ask("GET", "/t/key/k\(number)"), large, version: 1)
        }
        kill(second)
    }

    @Test(arguments: NodeShape.few)
    func `a name stays taken, and its secret stays the same`(_ shape: NodeShape) throws {
        let home = try Home()
        let first = try shape.start(directory: home.data)
        let token = try first.token("alice", "alice's secret")
        expect(201, try Caller(first.connect(), token).put("/t/key/k", "1"))
        kill(first)
        let second = try shape.start(directory: home.data)
        expect(401, try second.login("alice", "another secret"))
        let newToken = try second.token("alice", "alice's secret")
        expectRecord(
            try Caller(second.connect(), newToken).put("/t/key/k", "2"), "2", version: 2,
            owner: "alice")
        let bob = try second.token("bob", "bob's secret")
        expect(401, try Caller(second.connect(), bob).put("/t/key/k", "3"))
        drain(second)
    }

    @Test(arguments: NodeShape.few)
    func `a record's owner keeps their name though their token was signed elsewhere`(
        _ shape: NodeShape
    ) throws {
        let home = try Home()
        let key = "JWT_SECRET=a key that two nodes have in common, long enough"
        let other = try shape.start(environment: [key])
        let token = try other.token("carol", "carol's secret")
        let first = try shape.start(directory: home.data, environment: [key])
        expectRecord(
            try Caller(first.connect(), token).put("/t/key/k", "1"), "1", owner: "carol")
        // The name is written beside the record, and nobody waits for it.
        drain(first)
        let second = try shape.start(directory: home.data, environment: [key])
        expectRecord(try second.ask("GET", "/t/key/k"), "1", owner: "carol")
        drain(second)
    }

    @Test(arguments: NodeShape.few)
    func `what the admin set for a table still holds`(_ shape: NodeShape) throws {
        let home = try Home()
        let environment = ["ADMIN_PASSWORD=the operator's"]
        let first = try shape.start(directory: home.data, environment: environment)
        let admin = Caller(try first.connect(), try first.token("admin", "the operator's"))
        expect(200, try admin.say("PUT", "/secrets", "{\"read\":\"owner\"}"))
        expect(201, try admin.put("/secrets/key/k", "1"))
        kill(first)
        let second = try shape.start(directory: home.data, environment: environment)
        expect(401, try second.ask("GET", "/secrets/key/k"))
        #expect(try second.ask("GET", "/secrets").json?["read"]?.string == "owner")
        drain(second)
    }

    @Test(arguments: IODriver.allCases)
    func `the number of shards may be another one after a restart`(_ io: IODriver) throws {
        let home = try Home()
        var token = ""
        for (round, shards) in [1, 3, 2, 5, 1].enumerated() {
            let shape = NodeShape(io: io, shards: shards)
            let server = try shape.start(directory: home.data)
            if round == 0 { token = try server.token("alice", "alice's secret") }
            let alice = Caller(try server.connect(), token)
            for number in 0..<40 {
                if round > 0 {
                    expectRecord(
                        try alice.get("/t/key/k\(number)"), "\(round - 1)", version: round)
                }
                expect(201, try alice.put("/t/key/k\(number)", "\(round)"))
            }
            if round % 2 == 0 { kill(server) } else { drain(server) }
        }
    }

    @Test func `what expired meanwhile does not come back, and what did not lives on`() throws {
        let home = try Home()
        let shape = NodeShape(io: .epoll, shards: 2)
        let first = try shape.start(directory: home.data)
        let alice = Caller(try first.connect(), try first.token("alice", "alice's secret"))
        expect(201, try alice.put("/t/key/brief?ttl=1", "1"))
        expect(201, try alice.put("/t/key/long?ttl=1h", "1"))
        let before = try alice.get("/t/key/long").json?["expires_at"]?.int
        kill(first)
        let written = wallClockMs()
        while wallClockMs() < written + 1100 { usleep(20_000) }
        let second = try shape.start(directory: home.data)
        expect(404, try second.ask("GET", "/t/key/brief"))
        #expect(try second.ask("GET", "/t/key/long").json?["expires_at"]?.int == before)
        #expect(before != nil)
        drain(second)
    }

    @Test func `a drain leaves a small directory, and nothing to cut`() throws {
        let home = try Home()
        let shape = NodeShape(io: .uring, shards: 1)
        let first = try shape.start(directory: home.data)
        let token = try first.token("alice", "alice's secret")
        expect(201, try Caller(first.connect(), token).put("/t/key/k", "1"))
        drain(first)
        #expect(home.logs.count == 1)
        let size = fileSize("\(home.data)/journal/\(home.logs[0])")
        #expect(size > 0 && size < 4096)
        let second = try shape.start(directory: home.data)
        #expect(!second.log.contains("torn"))
        drain(second)
    }

    @Test(arguments: NodeShape.few)
    func `a snapshot covers what was written, and the log before it goes`(
        _ shape: NodeShape
    ) throws {
        let home = try Home()
        let environment = ["ADMIN_PASSWORD=the operator's"]
        let first = try shape.start(directory: home.data, environment: environment)
        let admin = Caller(try first.connect(), try first.token("admin", "the operator's"))
        let stranger = try first.connect()
        expect(401, try stranger.ask("POST", "/admin/snapshot", ""))
        let some = Caller(try first.connect(), try first.token("alice", "alice's secret"))
        expect(403, try some.client.ask("POST", "/admin/snapshot", some.credentials))
        for number in 0..<300 { expect(201, try admin.put("/t/key/k\(number)", "\(number)")) }
        expect(200, try admin.delete("/t/key/k7"))
        let before = Set(home.logs)
        let taken = expect(200, try admin.client.ask("POST", "/admin/snapshot", admin.credentials))
        // Alice's account and the admin's name are records, too.
        #expect(taken.json?["records"]?.int ?? 0 >= 300)
        #expect(fileSize("\(home.data)/storage.db") > 0)
        #expect(before.isDisjoint(with: home.logs))
        expect(201, try admin.put("/t/key/k8", "\"later\""))
        expect(200, try admin.delete("/t/key/k9"))
        kill(first)

        let second = try shape.start(directory: home.data, environment: environment)
        let again = Caller(try second.connect(), try second.token("admin", "the operator's"))
        expectRecord(try again.get("/t/key/k299"), "299", version: 1, owner: "admin")
        expectRecord(try again.get("/t/key/k8"), "\"later\"", version: 2)
        expect(404, try again.get("/t/key/k9"))
        expect(404, try again.get("/t/key/k7"))
        expectRecord(try again.put("/t/key/k7", "1"), "1", version: 3)
        expect(200, try second.login("alice", "alice's secret"))
        drain(second)
    }

    /// A shard that had walked its records took turn after turn, a whole CPU, until others had
    /// written the file.
    @Test(arguments: NodeShape.few)
    func `a shard waits for its snapshot to be written and does not spin`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start(environment: ["ADMIN_PASSWORD=the operator's"])
        let admin = Caller(try server.connect(), try server.token("admin", "the operator's"))
        expect(201, try admin.put("/t/key/k", "1"))
        func turns() throws -> Int {
            try #require(try admin.get("/metrics").json?["turns"]?.int)
        }
        let before = try turns()
        for _ in 1...5 {
            expect(200, try admin.client.ask("POST", "/admin/snapshot", admin.credentials))
        }
        #expect(try turns() - before < 1_000)
    }

    @Test func `the log's growth brings a snapshot by itself`() throws {
        let home = try Home()
        let shape = NodeShape(io: .epoll, shards: 2)
        let first = try shape.start(["--snapshot-after", "1MiB"], directory: home.data)
        let alice = Caller(try first.connect(), try first.token("alice", "alice's secret"))
        let value = "\"" + String(repeating: "x", count: 30_000) + "\""
        for number in 0..<60 { expect(201, try alice.put("/t/key/k\(number % 20)", value)) }
        #expect(becomes { first.log.contains("info snapshot") })
        kill(first)
        let second = try shape.start(directory: home.data)
        let again = try second.connect()
        for number in 0..<20 { expect(200, try again.ask("GET", "/t/key/k\(number)")) }
        drain(second)
    }

    @Test func `damage refuses the start with the file, the place and what to do`() throws {
        let home = try Home()
        let shape = NodeShape(io: .epoll, shards: 1)
        let first = try shape.start(["--fsync", "always"], directory: home.data)
        let alice = Caller(try first.connect(), try first.token("alice", "alice's secret"))
        for number in 0..<20 { expect(201, try alice.put("/t/key/k\(number)", "1")) }
        drain(first)
        let path = "\(home.data)/journal/\(home.logs[0])"
        let fd = open(path, O_RDWR)
        var byte: UInt8 = 0xA5
        #expect(pwrite(fd, &byte, 1, 300) == 1)
        close(fd)
        let ended = try Server.run(
            ["127.0.0.1:0", "--shards", "1", "--dir", home.data], directory: home.data)
        #expect(ended.exit == .code(1))
        let line = ended.logLines.last ?? ""
        #expect(
            line.hasPrefix("needletail: \(path)") || line.contains("/journal/1-0-1.log at byte"))
        #expect(line.contains("check"))
    }

    private func fileSize(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : -1
    }
}
