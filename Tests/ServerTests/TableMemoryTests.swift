import TestClient
import Testing

/// What happens where there is no room for another record.
@Suite(.serialized) struct `Tables at the memory limit` {
    /// Enough to reach it in a second.
    private static let limit = ["--max-memory", "16MiB"]
    private static let value = "\"" + String(repeating: "v", count: 100_000) + "\""

    @Test(arguments: NodeShape.allCases)
    func `writes are refused, and reads, deletes and what fits go on`(_ shape: NodeShape) throws {
        let server = try shape.start(Self.limit)
        let alice = Caller(try server.connect(), try server.token("alice", "hers"))
        var stored: [Int] = []
        var refused: [Int] = []
        for key in 0..<300 where refused.count < 20 {
            let reply = expect(
                [201, 507], try alice.put("/t/key/\(key)", Self.value), "put \(key)")
            if reply.status == 201 { stored.append(key) } else { refused.append(key) }
        }
        #expect(stored.count > 50 && stored.count < 160, "\(stored.count) of 100 kB in 16 MiB")
        #expect(refused.count == 20)
        for key in stored { expect(200, try alice.get("/t/key/\(key)")) }
        for key in refused { expect(404, try alice.get("/t/key/\(key)")) }
        let many = try alice.post("/t/store", "{\"a\":\(Self.value),\"b\":\(Self.value)}")
        expect([200, 507], many)
        for key in stored { expect(200, try alice.delete("/t/key/\(key)")) }
        for key in refused { expect(201, try alice.put("/t/key/\(key)", "1")) }
    }

    @Test(arguments: NodeShape.allCases)
    func `with lru what is used stays, and what is not makes room`(_ shape: NodeShape) throws {
        let server = try shape.start(Self.limit + ["--eviction", "lru"])
        let alice = Caller(try server.connect(), try server.token("alice", "hers"))
        for key in 0..<4 { expect(201, try alice.put("/t/key/used-\(key)", "1")) }
        for key in 0..<600 {
            expect(201, try alice.put("/t/key/\(key)", Self.value), "put \(key)")
            expect(200, try alice.get("/t/key/used-\(key % 4)"), "a used one after \(key)")
        }
        let left = try (0..<600).filter { try alice.get("/t/key/\($0)").status == 200 }
        #expect(left.count > 20 && left.count < 160, "\(left.count) of 100 kB in 16 MiB")
        #expect(left.contains(599))
        expect(200, try server.ask("GET", "/ready"))
    }

    @Test func `without the option there is a limit, of which the log tells`() throws {
        let server = try Server.start()
        let line = try #require(server.logLines.first { $0.contains("starting") })
        let text = try #require(line.split(separator: " ").first { $0.hasPrefix("memory=") })
        let number = try #require(Int(text.dropFirst(7).prefix { $0.isNumber }))
        #expect(number > 4, "\(line)")
    }
}
