import TestClient
import Testing

@Suite(.serialized) struct `Figures` {
    @Test(arguments: NodeShape.allCases)
    func `stats count what was done`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let alice = Caller(try server.connect(), try server.token("alice", "secret"))
        let before = try #require(expect(200, try alice.get("/stats")).json)
        #expect(before["total_keys"]?.int == 0)
        for key in 0..<20 { expect(201, try alice.put("/one/key/\(key)", "1")) }
        for key in 0..<5 { expect(201, try alice.put("/two/key/\(key)", "1")) }
        for key in 0..<3 { expect(200, try alice.delete("/two/key/\(key)")) }
        let after = try #require(try alice.get("/stats").json)
        #expect(after["total_keys"]?.int == 22)
        for name in ["tables", "cluster"] { #expect(after[name] != nil, "\(after.text)") }
        let (first, then) = (before["total_requests"]?.int, after["total_requests"]?.int)
        #expect(try #require(then) - (try #require(first)) >= 28, "\(after.text)")
        #expect(after["active_sse_connections"]?.int == 0)
        let latency = try #require(after["average_latency_ms"]?.number)
        #expect(latency >= 0 && latency < 1000)
    }

    @Test(arguments: NodeShape.allCases)
    func `metrics are JSON unless Prometheus asks`(_ shape: NodeShape) throws {
        let server = try shape.start(["--node-id", "node-a"])
        let alice = Caller(try server.connect(), try server.token("alice", "secret"))
        for key in 0..<20 { expect(201, try alice.put("/t/key/\(key)", "1")) }
        for accept in ["", "Accept: */*\r\n", "Accept: application/json\r\n"] {
            let reply = expect(200, try alice.get("/metrics", accept))
            let metrics = try #require(reply.json, "\(reply.text.prefix(200))")
            #expect(metrics["node_id"]?.string == "node-a")
            #expect(metrics["key_count"]?.int == 20)
            #expect(metrics["wal_size"]?.int != nil)
            let time = try #require(metrics["timestamp"]?.int)
            #expect(abs(time - wallClockMs()) < 10_000 || abs(time * 1000 - wallClockMs()) < 10_000)
        }
        for accept in [
            "text/plain", "text/plain;version=0.0.4", "application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
        ] {
            let reply = expect(200, try alice.get("/metrics", "Accept: \(accept)\r\n"))
            let type = reply.header("content-type") ?? ""
            #expect(
                type.hasPrefix("text/plain") || type.hasPrefix("application/openmetrics-text"),
                "\(accept): \(type)")
            #expect(reply.header("vary")?.lowercased().contains("accept") == true)
            let samples = try read(reply.text)
            #expect(samples.keys.contains { $0.hasPrefix("needletail_") })
            #expect(samples.values.contains(20), "somewhere it says how many keys there are")
            #expect(
                samples.contains { $0.key.contains(shape.io.rawValue) },
                "which way to the kernel is in use")
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `a histogram's buckets add up`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let alice = try node.asAlice()
        let table = node.table()
        for key in 0..<50 { expect(201, try alice.put("/\(table)/key/\(key)", "1")) }
        let reply = try alice.get("/metrics", "Accept: text/plain\r\n")
        let lines = reply.text.split(separator: "\n").map(String.init)
        let histograms = lines.filter { $0.hasPrefix("# TYPE ") && $0.hasSuffix(" histogram") }
            .map { String($0.split(separator: " ")[2]) }
        #expect(!histograms.isEmpty)
        let samples = try read(reply.text)
        for name in histograms {
            // Each set of labels is a histogram of its own: without `le` they name it.
            var series: [String: [(bound: Double, count: Double)]] = [:]
            for (sample, count) in samples where sample.hasPrefix(name + "_bucket{") {
                let labels = sample.dropFirst(name.utf8.count + 8).dropLast()
                    .split(separator: ",").map(String.init)
                let bound = try #require(labels.first { $0.hasPrefix("le=\"") })
                let others = labels.filter { $0 != bound }.joined(separator: ",")
                let limit = try #require(
                    bound == "le=\"+Inf\""
                        ? Double.infinity : Double(bound.dropFirst(4).dropLast()))
                series[others, default: []].append((limit, count))
            }
            #expect(!series.isEmpty, "\(name)")
            for (labels, buckets) in series {
                let counts = buckets.sorted { $0.bound < $1.bound }.map(\.count)
                #expect(counts == counts.sorted(), "\(name) \(labels)")
                #expect(buckets.contains { $0.bound == .infinity })
                let braces = labels.isEmpty ? "" : "{\(labels)}"
                #expect(samples["\(name)_count\(braces)"] == counts.last, "\(name) \(labels)")
                #expect(samples["\(name)_sum\(braces)"] != nil)
            }
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `alone, a node is the one member`(_ shape: NodeShape) throws {
        let server = try shape.start()
        let members = expect(200, try server.ask("GET", "/membership"))
        #expect(members.text == "[\"127.0.0.1:\(server.port)\"]")
        #expect(members.json != nil)
        let detail = try #require(try server.ask("GET", "/membership?detail=1").json)
        #expect(detail.names == ["127.0.0.1:\(server.port)"], "\(detail.text)")
        let node = try #require(detail["127.0.0.1:\(server.port)"])
        #expect(node["status"]?.string != nil)
        #expect(node["last_heartbeat"] != nil)
        #expect(node["shards"] != nil)
    }

    @Test(arguments: IODriver.allCases)
    func `the address that others are told is the one in the list`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--advertise", "needletail.example:6660"])
        #expect(try server.ask("GET", "/membership").text == "[\"needletail.example:6660\"]")
    }

    /// Reads the text format strictly: names, labels and numbers, and a TYPE before its samples.
    private func read(_ text: String) throws -> [String: Double] {
        var samples: [String: Double] = [:]
        var types: Set<String> = []
        #expect(text.hasSuffix("\n"))
        for line in text.split(separator: "\n") {
            if line.hasPrefix("# TYPE ") {
                let words = line.split(separator: " ")
                try #require(words.count == 4, "\(line)")
                #expect(
                    ["counter", "gauge", "histogram", "info"].contains(String(words[3])), "\(line)")
                #expect(types.insert(String(words[2])).inserted, "\(line) twice")
                continue
            }
            if line.hasPrefix("# HELP ") || line == "# EOF" || line.hasPrefix("# UNIT ") {
                continue
            }
            let space = try #require(line.lastIndex(of: " "), "\(line)")
            let name = String(line[..<space])
            let family = String(name.prefix(while: { $0 != "{" }))
            #expect(
                family.utf8.allSatisfy {
                    $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ":")
                        || (0x30...0x39).contains($0) || (0x61...0x7A).contains($0 | 0x20)
                }, "\(line)")
            #expect(name == family || name.hasSuffix("}"), "\(line)")
            #expect(
                ["", "_bucket", "_sum", "_count", "_total", "_info", "_created"].contains {
                    suffix in
                    family.hasSuffix(suffix)
                        && types.contains(String(family.dropLast(suffix.utf8.count)))
                }, "no TYPE before \(line)")
            let value = try #require(Double(line[line.index(after: space)...]), "\(line)")
            #expect(samples.updateValue(value, forKey: name) == nil, "\(line) twice")
        }
        return samples
    }
}
