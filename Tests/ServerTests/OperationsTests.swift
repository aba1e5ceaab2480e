import TestClient
import Testing

@Suite(.serialized) struct `Operations` {
    @Test(arguments: IODriver.allCases)
    func `metrics are JSON unless text is asked for`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--node-id", "node-a"])
        let client = try server.connect()
        for accept in ["", "Accept: */*\r\n", "Accept: application/json, text/plain, */*\r\n"] {
            let reply = try client.ask("GET", "/metrics", accept)
            #expect(reply.status == 200)
            #expect(reply.header("content-type") == "application/json")
            #expect(reply.header("vary") == "Accept")
            #expect(reply.header("cache-control") == "no-store")
            let metrics = try #require(reply.json, "\(reply.text)")
            #expect(metrics["node_id"]?.string == "node-a")
            #expect(metrics["io_driver"]?.string == io.rawValue)
            #expect(metrics["wal_size"]?.int != nil)
            #expect(metrics["key_count"]?.int == 0)
            #expect(metrics["requests"]?["5xx"]?.int == 0)
            #expect(metrics["connections"]?["open"]?.int == 1)
            #expect(metrics["shards"]?.elements?.count == 1)
            #expect(metrics["latency_ms"]?["p99"]?.number != nil)
        }
    }

    @Test(arguments: IODriver.allCases)
    func `metrics as text are what Prometheus can read`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--shards", "2"])
        let client = try server.connect()
        let plain = try client.ask("GET", "/metrics", "Accept: text/plain\r\n")
        #expect(
            plain.header("content-type") == "text/plain; version=0.0.4; charset=utf-8")
        let metrics = try Exposition(plain.text, openMetrics: false)
        #expect(metrics["needletail_io_driver{driver=\"\(io.rawValue)\"}"] == 1)
        #expect(metrics["needletail_shards"] == 2)
        #expect(metrics.types["needletail_requests_total"] == "counter")
        #expect(metrics.types["needletail_keys"] == "gauge")
        #expect(metrics.types["needletail_turn_duration_seconds"] == "histogram")
        #expect(metrics.samples.keys.contains { $0.hasPrefix("needletail_build_info{version=") })

        let rich = try client.ask(
            "GET", "/metrics",
            "Accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3\r\n")
        #expect(
            rich.header("content-type")
                == "application/openmetrics-text; version=1.0.0; charset=utf-8")
        let open = try Exposition(rich.text, openMetrics: true)
        #expect(open.types["needletail_requests"] == "counter")
        #expect(open.types["needletail_build"] == "info")
        #expect(open.samples.count == metrics.samples.count)
    }

    @Test(arguments: IODriver.allCases, [1, 2])
    func `counters grow by exactly what was done`(_ io: IODriver, _ shards: Int) throws {
        let server = try Server.start(io: io, ["--shards", "\(shards)"])
        let watcher = try server.connect()
        let token = try server.token("alice", "secret")
        let before = try settled(watcher)

        let client = try server.connect()
        let authorization = "Authorization: Bearer \(token)\r\nContent-Type: application/json\r\n"
        for key in 0..<20 {
            let stored = try client.ask(
                "PUT", "/colours/key/k\(key)", authorization, body: "{\"value\":\(key)}")
            #expect(stored.status == 201)
        }
        for key in 0..<30 {
            let reply = try client.ask("GET", "/colours/key/k\(key)")
            #expect(reply.status == (key < 20 ? 200 : 404))
        }
        for key in 0..<5 {
            #expect(try client.ask("DELETE", "/colours/key/k\(key)", authorization).status == 200)
        }
        #expect(try client.ask("POST", "/nowhere/at/all").status == 404)
        client.close()

        let after = try settled(watcher)
        #expect(after["needletail_keys"] == 15)
        #expect(after.sum("needletail_shard_keys{") == 15)
        #expect(after["needletail_tombstones"] == 5)
        #expect(after["needletail_tables"] == 1)
        #expect(after.sum("needletail_keyspace_bytes{") > 0)
        let grew = { (name: String) in after.sum(name) - before.sum(name) }
        #expect(grew("needletail_connections_accepted_total{") == 1)
        #expect(grew("needletail_connections_refused_total{") == 0)
        let grewBy = { (digits: String) in
            after.sum("needletail_requests_total{", digits)
                - before.sum("needletail_requests_total{", digits)
        }
        // The watcher's own: those before the last, which is not yet counted where it is answered.
        #expect(grewBy("2xx") == 45 + after.scrapes)
        #expect(grewBy("4xx") == 11)
        #expect(grewBy("5xx") == 0)
        #expect(grew("needletail_received_bytes_total{") > 56 * 40)
        #expect(grew("needletail_sent_bytes_total{") > 56 * 40)
        #expect(
            (shards == 1) == (after.sum("needletail_shard_messages_total{") == 0),
            "one shard has nobody to talk to, of two each has the other's keys")
        #expect(
            after["needletail_request_duration_seconds_count"]
                == after.sum("needletail_requests_total{"))
        #expect(
            try #require(after["needletail_turn_duration_seconds_count"])
                <= after.sum("needletail_received_bytes_total{"))
    }

    @Test(arguments: IODriver.allCases)
    func `logins are counted by their outcome`(_ io: IODriver) throws {
        let server = try Server.start(io: io)
        _ = try server.token("alice", "secret")
        let client = try server.connect()
        let json = "Content-Type: application/json\r\n"
        let wrong = try client.ask("POST", "/auth/alice", json, body: "{\"secret\":\"other\"}")
        #expect(wrong.status == 401)
        let right = try client.ask("POST", "/auth/alice", json, body: "{\"secret\":\"secret\"}")
        #expect(right.status == 200)
        let metrics = try settled(client)
        #expect(metrics["needletail_logins_total{outcome=\"accepted\"}"] == 2)
        #expect(metrics["needletail_logins_total{outcome=\"refused\"}"] == 1)
        #expect(metrics["needletail_logins_total{outcome=\"throttled\"}"] == 0)
    }

    @Test(arguments: IODriver.allCases)
    func `who is one too many is counted as refused`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--max-connections", "2"])
        let client = try server.connect()
        #expect(try client.ask("GET", "/health").status == 200)
        let other = try server.connect()
        #expect(try other.ask("GET", "/health").status == 200)
        let outside = try server.connect()
        #expect(try outside.ask("GET", "/health").status == 503)
        let metrics = try settled(client)
        #expect(metrics.sum("needletail_connections_refused_total{") == 1)
        #expect(metrics.sum("needletail_connections_accepted_total{") == 2)
        #expect(metrics.sum("needletail_requests_total{", "5xx") == 1)
    }

    @Test(arguments: IODriver.allCases)
    func `a pipeline of metrics is answered whole and in order`(_ io: IODriver) throws {
        let server = try Server.start(io: io)
        let client = try server.connect(receiveBuffer: 8192)
        let count = 40
        let request = "GET /metrics HTTP/1.1\r\nHost: t\r\nAccept: text/plain\r\n\r\n"
        try client.send(String(repeating: request, count: count))
        var seen = -1.0
        for _ in 0..<count {
            let metrics = try Exposition(try client.reply().text, openMetrics: false)
            let requests = metrics.sum("needletail_requests_total{")
            #expect(requests >= seen)
            seen = requests
        }
        #expect(server.answers)
    }

    @Test(arguments: IODriver.allCases)
    func `operators read and do not write`(_ io: IODriver) throws {
        let server = try Server.start(io: io)
        let client = try server.connect()
        for path in ["/metrics", "/stats", "/membership", "/%6detrics"] {
            let head = try client.ask("HEAD", path)
            #expect(head.status == 200)
            #expect((head.header("content-length").flatMap { Int($0) } ?? 0) > 2)
            #expect(head.body.isEmpty)
            let options = try client.ask("OPTIONS", path)
            #expect(options.status == 204)
            #expect(options.header("allow") == "GET, HEAD, OPTIONS")
            for method in ["PUT", "POST", "PATCH", "DELETE"] {
                let refused = try client.ask(method, path, body: "{}")
                #expect(refused.status == 405, "\(method) \(path)")
                #expect(refused.header("allow") == "GET, HEAD, OPTIONS")
                #expect(refused.errorSentence != nil)
            }
            #expect(try client.ask("GET", path).status == 200)
        }
        #expect(try client.ask("GET", "/metrics/").status == 404)
        #expect(try client.ask("GET", "/statsx/y/z").status == 404)
    }

    // MARK: Reading the figures

    /// The metrics once every shard has shown what it did: an answer may be on its way before the
    /// figures of the turn that made it are.
    private func settled(_ client: Client) throws -> Exposition {
        var last: [String: Double] = [:]
        var metrics: Exposition? = nil
        var scrapes = 0.0
        // Everything but what asking itself moves.
        let own = ["needletail_requests", "needletail_received", "needletail_sent", "_duration_"]
        let isSettled = try becomes {
            let reply = try client.ask("GET", "/metrics", "Accept: text/plain\r\n")
            var read = try Exposition(reply.text, openMetrics: false)
            scrapes += 1
            read.scrapes = scrapes
            metrics = read
            let others = read.samples.filter { sample in !own.contains { sample.key.contains($0) } }
            defer { last = others }
            return others == last
                && read["needletail_request_duration_seconds_count"]
                    == read.sum("needletail_requests_total{")
        }
        #expect(isSettled, "the figures come to rest")
        return try #require(metrics)
    }
}

// MARK: Readers

/// The text format, read as strictly as its specification is written: what a scraper would drop is
/// an error here.
private struct Exposition {
    struct Malformed: Error, CustomStringConvertible {
        var description: String
    }

    /// By name and labels as they stand.
    private(set) var samples: [String: Double] = [:]
    private(set) var types: [String: String] = [:]
    /// How many were read until this one had come to rest.
    var scrapes = 0.0

    subscript(_ sample: String) -> Double? { samples[sample] }

    func sum(_ prefix: String, _ containing: String = "") -> Double {
        samples.filter { $0.key.hasPrefix(prefix) }
            .filter { containing.isEmpty || $0.key.contains(containing) }
            .values.reduce(0, +)
    }

    init(_ text: String, openMetrics: Bool) throws {
        guard text.hasSuffix("\n") else { throw Malformed(description: "no newline at the end") }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        guard openMetrics == (lines.last == "# EOF") else {
            throw Malformed(description: "its end is \(lines.last ?? "")")
        }
        if openMetrics { lines = lines.dropLast() }
        var family = ""
        var helped: Set<String> = []
        for line in lines {
            let words = line.split(separator: " ", maxSplits: 3).map(String.init)
            if line.hasPrefix("#") {
                guard words.count == 4 else { throw Malformed(description: "\(line)") }
                switch words[1] {
                case "HELP":
                    guard helped.insert(words[2]).inserted else {
                        throw Malformed(description: "\(words[2]) is in two pieces")
                    }
                    family = words[2]
                case "TYPE":
                    let known = ["counter", "gauge", "histogram"] + (openMetrics ? ["info"] : [])
                    guard words[2] == family, known.contains(words[3]) else {
                        throw Malformed(description: "\(line)")
                    }
                    types[family] = words[3]
                case "UNIT":
                    guard openMetrics, words[2] == family, family.hasSuffix("_" + words[3]) else {
                        throw Malformed(description: "\(line)")
                    }
                default: throw Malformed(description: "\(line)")
                }
            } else {
                try readSample(line, family, openMetrics)
            }
        }
        for (name, type) in types where type == "histogram" { try checkHistogram(name) }
    }

    private mutating func readSample(
        _ line: Substring, _ family: String, _ openMetrics: Bool
    ) throws {
        guard let space = line.lastIndex(of: " "),
            let value = Double(line[line.index(after: space)...]),
            let type = types[family]
        else { throw Malformed(description: "\(line)") }
        let sample = String(line[..<space])
        let name = sample.prefix { $0 != "{" }
        let suffixes: [String] =
            switch type {
            case "counter": openMetrics ? ["_total"] : [""]
            case "histogram": ["_bucket", "_sum", "_count"]
            case "info": ["_info"]
            default: [""]
            }
        guard suffixes.contains(where: { family + $0 == name }),
            name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }),
            value >= 0, type != "counter" || name.hasSuffix("_total")
        else { throw Malformed(description: "\(line) in the family \(family), a \(type)") }
        try checkLabels(sample.dropFirst(name.count))
        guard samples.updateValue(value, forKey: sample) == nil else {
            throw Malformed(description: "\(sample) stands there twice")
        }
    }

    /// `{a="x",b="y"}` or nothing.
    private func checkLabels(_ text: Substring) throws {
        if text.isEmpty { return }
        guard text.first == "{", text.last == "}" else { throw Malformed(description: "\(text)") }
        var names: Set<Substring> = []
        for label in text.dropFirst().dropLast().split(
            separator: ",", omittingEmptySubsequences: false)
        {
            let parts = label.split(separator: "=", omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, names.insert(parts[0]).inserted,
                parts[1].count >= 2, parts[1].first == "\"", parts[1].last == "\"",
                !parts[1].dropFirst().dropLast().contains("\"")
            else { throw Malformed(description: "label \(label)") }
        }
    }

    private func checkHistogram(_ name: String) throws {
        let opening = "\(name)_bucket{le=\""
        let buckets = samples.filter { $0.key.hasPrefix(opening) }.map { key, value in
            let text = key.dropFirst(opening.count).dropLast(2)
            return (text == "+Inf" ? Double.infinity : Double(text) ?? .nan, value)
        }.sorted { $0.0 < $1.0 }
        guard buckets.count > 2, buckets.last?.0 == .infinity,
            buckets.last?.1 == samples["\(name)_count"], samples["\(name)_sum"] != nil,
            zip(buckets, buckets.dropFirst()).allSatisfy({ $0.0 < $1.0 && $0.1 <= $1.1 })
        else { throw Malformed(description: "histogram \(name): \(buckets)") }
    }
}
