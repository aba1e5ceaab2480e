import Glibc
import TestClient
import Testing

@Suite(.serialized) struct `Slow listeners` {
    @Test(arguments: NodeShape.allCases)
    func `one that does not read is told the newest state when it does`(
        _ shape: NodeShape
    ) throws {
        let server = try shape.start(["--stream-buffer", "64KiB"])
        let token = try server.token("alice", "alice's secret")
        let alice = Caller(try server.connect(), token)
        let targets = [
            "/t/subscribe/k1", "/t/subscribe?prefix=k", "/subscribe?topic=t/k1&topic=t/k2",
        ]
        let feeds = try targets.map {
            try Feed(try server.connect(receiveBuffer: 4096), $0)
        }
        #expect(
            try becomes {
                try alice.get("/t/subscribers/k1").text == "{\"count\":3}"
            })
        let pad = String(repeating: "p", count: 2_000)
        let writes = 400
        for n in 1...writes {
            expect(201, try alice.put("/t/key/k\(n % 3)", "\"\(n) \(pad)\""))
        }
        expect(200, try alice.delete("/t/key/k2"))
        for feed in feeds {
            var newest: [String: (Int, String)] = [:]
            var skipped = 0
            while let message = try feed.next(withinMs: 500) {
                if message.name == "lagged" {
                    skipped += try #require(message.json?["skipped"]?.int)
                    continue
                }
                #expect(message.name == nil, "\(message)")
                let key = try #require(message.key)
                let version = try #require(message.version)
                #expect(version > newest[key]?.0 ?? 0, "\(key)")
                newest[key] = (version, message.event ?? "")
            }
            #expect(skipped > 0)
            #expect(newest["k1"]?.0 == 134)
            if newest["k2"] != nil {
                #expect(newest["k2"]?.0 == 134)
                #expect(newest["k2"]?.1 == "Deleted")
            }
        }
        expect(201, try alice.put("/t/key/k1", "0"))
        for feed in feeds {
            let message = try #require(try feed.next())
            #expect(message.key == "k1" && message.value == "0" && message.id != nil)
        }
        let metrics = try server.ask("GET", "/metrics")
        #expect(try #require(metrics.json?["streams"]?["conflated"]?.int) > 0)
    }

    @Test(arguments: NodeShape.few)
    func `many that do not read take bounded memory, and all end at the truth`(
        _ shape: NodeShape
    ) throws {
        raiseDescriptorLimit()
        let count = isSoak ? 1_000 : 50
        let server = try shape.start(["--stream-buffer", "32KiB"])
        let token = try server.token("alice", "alice's secret")
        let alice = Caller(try server.connect(), token)
        expect(201, try alice.put("/t/key/k", "0"))
        let feeds = try (0..<count).map { _ in
            try Feed(try server.connect(receiveBuffer: 4096), "/t/subscribe/k")
        }
        #expect(try becomes { try alice.get("/t/subscribers/k").text == "{\"count\":\(count)}" })
        let before = server.figures.residentKiB
        let pad = String(repeating: "p", count: 4_000)
        let writes = 150
        for n in 1...writes { expect(201, try alice.put("/t/key/k", "\"\(n) \(pad)\"")) }
        let grown = server.figures.residentKiB - before
        // 600 KB of events: held as such for each they would be 30 MB.
        if !server.figures.isSanitized { #expect(grown < 20 << 10, "\(grown) KiB") }
        for feed in feeds {
            var last: Feed.Message? = nil
            var lagged = 0
            while last?.version != writes + 1 {
                let message = try #require(try feed.next())
                if message.name == "lagged" { lagged += 1 } else { last = message }
            }
            #expect(lagged > 0)
            feed.close()
        }
        #expect(server.answers)
    }

    @Test(arguments: NodeShape.few)
    func `a crowd that is told something keeps nobody else waiting`(_ shape: NodeShape) throws {
        raiseDescriptorLimit()
        let count = isSoak ? 5_000 : 500
        let server = try shape.start()
        let token = try server.token("alice", "alice's secret")
        let alice = Caller(try server.connect(), token)
        let feeds = try (0..<count).map { _ in try Feed(try server.connect(), "/t/subscribe/k") }
        #expect(try becomes { try alice.get("/t/subscribers/k").text == "{\"count\":\(count)}" })
        for n in 1...20 { expect(201, try alice.put("/t/key/k", "\(n)")) }
        var skipped = 0
        for feed in feeds {
            var version = 0
            while version < 20 {
                let message = try #require(try feed.next())
                if message.name == "lagged" {
                    skipped += try #require(message.json?["skipped"]?.int)
                    continue
                }
                let next = try #require(message.version)
                #expect(next > version)
                version = next
            }
        }
        let pushes = try server.ask("GET", "/metrics").json?["streams"]?["events"]?.int
        #expect(try #require(pushes) >= count)
        _ = skipped
    }

    /// Each turn sent as much as one batch of completions holds, so that requests came to wait
    /// behind ever more of them: for seconds, where more was written than could be told. It is not
    /// time that counts here but what was told between one answer and the next.
    @Test(arguments: NodeShape.few)
    func `a request does not wait behind all that a crowd is told`(_ shape: NodeShape) throws {
        raiseDescriptorLimit()
        let count = 2_000
        let server = try shape.start()
        let token = try server.token("alice", "alice's secret")
        let alice = Caller(try server.connect(), token)
        let feeds = try (0..<count).map { _ in try Feed(try server.connect(), "/t/subscribe/k") }
        #expect(try becomes { try alice.get("/t/subscribers/k").text == "{\"count\":\(count)}" })
        let others = try (0..<60).map { _ in try server.connect() }
        let asker = try server.connect()
        func told() throws -> Int {
            let metrics = try asker.ask("GET", "/metrics").json
            return try #require(metrics?["streams"]?["events"]?.int)
        }
        var between: [Int] = []
        for round in 1...20 {
            for n in 1...4 { expect(201, try alice.put("/t/key/k", "\(n)")) }
            for other in others { try other.send(Client.request("GET", "/health")) }
            let marks = try (0..<4).map { _ in try told() }
            for other in others { expect(200, try other.reply()) }
            // While the crowd is being told; what waits has had some rounds to gather.
            guard round > 5, marks[3] > marks[2] else { continue }
            between += [marks[1] - marks[0], marks[2] - marks[1]]
        }
        if let least = between.min() { #expect(least < 600, "\(between)") }
        for feed in feeds { feed.close() }
        #expect(server.answers)
    }
}
