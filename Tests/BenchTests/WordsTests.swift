import Testing

@testable import Bench

@Suite("The command line and the results") struct WordsTests {
    private func settings(_ line: String) throws -> Settings {
        guard case .run(let settings) = try Invocation.read(words(line)) else {
            throw UsageError("not a run")
        }
        return settings
    }

    private func words(_ line: String) -> [String] { line.split(separator: " ").map(String.init) }

    private func refusal(_ line: String) -> String {
        do throws(UsageError) {
            _ = try Invocation.read(words(line))
            return "accepted"
        } catch {
            return error.description
        }
    }

    @Test(
        arguments: [
            ("get", "127.0.0.1", 6660, nil), ("get :7000", "127.0.0.1", 7000, nil),
            ("get example.org", "example.org", 6660, nil),
            ("get http://h:1/health?x=1", "h", 1, "/health?x=1"),
            ("get h:1/", "h", 1, "/"), ("put h:1/", "h", 1, nil),
            ("get [::1]:80/a", "::1", 80, "/a"),
        ] as [(String, String, UInt16, String?)])
    func `a target is read as people write it`(
        _ line: String, _ host: String, _ port: UInt16, _ path: String?
    ) throws {
        let settings = try settings(line)
        #expect(settings.host == host && settings.port == port && settings.path == path)
    }

    @Test func `options are read with a space or an equals sign, the last one counting`() throws {
        let settings = try settings(
            "mixed h:1 --connections 3 --connections=5 --duration 1.5s --rate 2e3 --size 4KiB "
                + "--reads 0.25 --distribution zipf --cpus 1,3 --driver epoll --json")
        #expect(settings.connections == 5 && settings.durationMs == 1500)
        #expect(settings.rate == 2000 && settings.size == 4096 && settings.reads == 0.25)
        #expect(settings.distribution == .zipf && settings.cpus == [1, 3])
        #expect(settings.driver == .epoll && settings.isJSON)
    }

    @Test(
        arguments: [
            ("", "say what to run"), ("fly", "\"fly\": is none of"),
            ("get h:1 --speed 3", "\"--speed\": no such option"),
            ("get h:1 --connections", "--connections: needs a value"),
            ("get h:1 --connections many", "\"many\" is not a whole number from 1 to 20000"),
            ("get h:1 --connections 0", "\"0\" is not a whole number"),
            ("get h:1 --json=yes", "--json: takes no value"), ("get h:1 g:2", "one word too many"),
            ("get h:99999", "is not a target"), ("get ftp://h", "is not a target"),
            ("get h:1 --duration 5x", "is not a time"), ("put h:1 --size 5GB", "is not a size"),
            ("get h:1 --rate 0", "is not a number of requests"),
            ("get h:1 --threads 8 --connections 4", "is more than the 4 connections"),
            ("resp h:1/x", "takes HOST:PORT without a path"), ("--compare a", "needs two files"),
            ("push h:1 --subscribe-path x", "is not a path"),
            ("get h:1 --header nonsense", "is not a line such as"),
            ("push h:1 --listeners 3 --stopped 4", "more than the listeners there are"),
            ("push h:1 --writers 9", "more than the connections they share"),
            ("verify --only speed", "is not of memory, disk"), ("verify h:1", "one word too many"),
        ])
    func `a wrong word is answered with the word and what is right`(_ line: String, _ why: String) {
        let answer = refusal(line)
        #expect(answer.hasPrefix("needletail-bench: ") && answer.contains(why), "\(answer)")
        #expect(!answer.contains("\n"))
    }

    @Test func `help names every option and fits a screen's width`() throws {
        guard case .print(let text) = try Invocation.read(["--help"]) else {
            Issue.record("no help")
            return
        }
        for option in Option.table { #expect(text.contains(option.spelling + " ")) }
        for command in Settings.Command.allCases {
            #expect(text.contains("  \(command.rawValue) "))
        }
        for line in text.split(separator: "\n") { #expect(line.count <= 100, "\(line)") }
        #expect(Set(Option.table.map(\.name)).count == Option.table.count)
    }

    private func report(rate: Double, latency: UInt64) -> Report {
        var report = Report(command: "get", target: "h:1/x", label: "say \"a\"\n")
        report.add("rate", rate, .perSecond, "replies")
        var histogram = Histogram()
        for _ in 0..<100 { histogram.record(latency) }
        report.add(Report.Latency("latency", histogram))
        report.cautions = ["none"]
        return report
    }

    @Test func `a result survives being written and read`() throws {
        let json = report(rate: 1234.5, latency: 70_000).json
        let read = try #require(JSONValue.parse(Array(json.text.utf8)))
        #expect(read == json)
        #expect(read["figures"]?["rate"]?.number == 1234.5)
        #expect(read["label"]?.string == "say \"a\"\n")
        #expect(read["latencies_ns"]?["latency"]?["count"]?.number == 100)
    }

    @Test(
        arguments: ["", "{", "[1,]", "{\"a\":}", "nul", "1 2", "\"x", "{\"a\" 1}", "[1 2]"])
    func `what is not JSON is refused`(_ text: String) {
        #expect(JSONValue.parse(Array(text.utf8)) == nil)
    }

    @Test func `two results are compared by their ratio`() {
        let comparison = Comparison(
            first: report(rate: 1000, latency: 1_000_000).json,
            second: report(rate: 1500, latency: 500_000).json)
        let lines = comparison.table.split(separator: "\n")
        #expect(lines.contains { $0.hasPrefix("rate ") && $0.hasSuffix(" 1.50") })
        #expect(lines.contains { $0.hasPrefix("latency p99 ") && $0.hasSuffix(" 0.50") })
    }

    @Test func `a table shows times and counts as people read them`() {
        #expect(Cells.time(950) == "0.95us" && Cells.time(123_456) == "123us")
        #expect(Cells.time(4_560_000) == "4.56ms" && Cells.time(2_500_000_000) == "2.50s")
        #expect(Cells.value(1_234_567, .count) == "1,234,567")
        #expect(Cells.value(1536, .bytes) == "1.5KiB" && Cells.value(99.96, .percent) == "100.0%")
        #expect(report(rate: 5, latency: 1).table.contains("caution: none"))
    }

    @Test func `kernel memory is the slabs and what TCP holds`() {
        let bytes = ServerFigures.kernelMemory(
            meminfo: "MemFree: 10 kB\nSlab:           2000 kB\n",
            sockstat: "sockets: used 3\nTCP: inuse 5 orphan 0 tw 1 alloc 6 mem 3\nUDP: inuse 0\n")
        // An optional number handed to #expect is read past its end: AddressSanitizer says so.
        let isAll = bytes == 2000 * 1024 + 3 * 4096
        #expect(isAll)
    }
}
