import FaultyServer
import Testing

@testable import Bench

/// The instrument against a server whose faults are known: it has to report those, and no others.
@Suite("The load generator", .serialized) struct InstrumentTests {
    private func settings(_ words: String, _ server: FaultyServer) throws -> Settings {
        var arguments = words.split(separator: " ").map(String.init)
        arguments.insert("127.0.0.1:\(server.port)", at: 1)
        guard case .run(let settings) = try Invocation.read(arguments + ["--quiet"]) else {
            throw UsageError("not a run")
        }
        return settings
    }

    private func run(_ words: String, _ faults: Faults) throws -> (Report, Injected) {
        let server = try FaultyServer(faults)
        defer { server.stop() }
        let report = try Bench.report(try settings(words, server))
        return (report, server.injected)
    }

    // MARK: Requests

    @Test(arguments: ["uring", "epoll"], [1, 7])
    func `every request is sent once and its reply counted once`(
        _ driver: String, _ pipeline: Int
    ) throws {
        let (report, injected) = try run(
            "mixed --requests 3000 --connections 8 --threads 2 --keys 50 --driver \(driver) "
                + "--pipeline \(pipeline)", Faults())
        #expect(injected.requests == 3000)
        #expect(report.figure("requests") == 3000)
        #expect(report.figure("replies_2xx") == 3000)
        #expect(
            (report.latency("read")?.count ?? 0) + (report.latency("write")?.count ?? 0) == 3000)
        for trouble in ["timed_out", "lost", "unfinished", "disconnects", "violations"] {
            #expect(report.figure(trouble) == nil, "\(trouble)")
        }
    }

    @Test func `by the end of a timed run every request is answered or accounted for`() throws {
        let (report, _) = try run("get --duration 300ms --warmup 100ms --connections 30", Faults())
        let requests = try #require(report.figure("requests"))
        #expect(requests > 0)
        #expect(report.figure("replies_2xx") == requests)
        #expect(report.latency("latency")?.count == UInt64(requests))
    }

    @Test func `replies that never come are reported as timed out, each of them`() throws {
        var faults = Faults()
        faults.unansweredEvery = 100
        let (report, injected) = try run(
            "get --requests 1000 --connections 4 --timeout 300ms", faults)
        #expect(injected.unanswered == 10)
        #expect(report.figure("timed_out") == 10)
        #expect(report.figure("replies_2xx") == 990)
        #expect((report.latency("latency")?.maximum ?? 0) >= 300_000_000)
    }

    @Test func `requests whose connection is closed are reported as lost, each of them`() throws {
        var faults = Faults()
        faults.closedEvery = 50
        let (report, injected) = try run("put --requests 1000 --connections 4", faults)
        #expect(injected.closed == 20)
        #expect(report.figure("lost") == 20)
        #expect(report.figure("disconnects") == 20)
        #expect(report.figure("replies_2xx") == 980)
    }

    @Test func `refusals are counted by their status`() throws {
        var faults = Faults()
        faults.refusedEvery = 4
        let (report, injected) = try run("get --requests 400 --connections 3", faults)
        #expect(injected.refused == 100)
        #expect(report.figure("replies_5xx") == 100)
        #expect(report.figure("replies_2xx") == 300)
    }

    @Test func `injected delays are what is measured`() throws {
        var faults = Faults()
        faults.delayUs = { $0 % 10 == 0 ? 40_000 : 5_000 }
        let (report, _) = try run("get --requests 400 --connections 2", faults)
        let latency = try #require(report.latency("latency"))
        #expect(latency.minimum >= 5_000_000)
        #expect(latency["p50"]! >= 5_000_000)
        #expect(latency["p50"]! < 15_000_000)
        // Nine of ten are short; the tenth begins just past p90.
        #expect(latency["p99"]! >= 40_000_000 * 99 / 100)
        #expect(latency.maximum < 200_000_000)
    }

    @Test func `an open loop shows a stall of 100 ms that a closed loop hides`() throws {
        var faults = Faults()
        faults.delayUs = { _ in 200 }
        faults.stallAtMs = 400
        faults.stallMs = 100
        let common = "get --duration 1s --warmup 0 --connections 8"
        let (closed, _) = try run(common, faults)
        let (open, _) = try run(common + " --rate 1000 --arrivals even", faults)
        let hidden = try #require(closed.latency("latency"))
        let shown = try #require(open.latency("latency"))
        // Both met it; in the closed loop it is eight of thousands, in the open one a tenth.
        #expect(hidden.maximum >= 90_000_000)
        #expect(hidden["p99"]! < 60_000_000)
        #expect(shown["p99"]! > 70_000_000)
        #expect(shown.count == 1000)
    }

    @Test func `a server that cannot keep up is measured from the intended time`() throws {
        var faults = Faults()
        faults.delayUs = { _ in 10_000 }
        // One connection serves a hundred a second at most; twice that is asked.
        let (report, _) = try run(
            "get --duration 1s --warmup 0 --connections 1 --rate 200 --arrivals even --drain 5s",
            faults)
        let latency = try #require(report.latency("latency"))
        #expect(latency.count == 200)
        #expect(latency.maximum > 900_000_000)
        #expect(report.figure("unfinished") == nil)
    }

    @Test func `what is never answered in an open loop is not left out`() throws {
        var faults = Faults()
        faults.stallAtMs = 0
        faults.stallMs = 3_000
        let (report, _) = try run(
            "get --duration 500ms --warmup 0 --connections 2 --rate 100 --arrivals even "
                + "--drain 200ms", faults)
        #expect(report.figure("unfinished") == 50)
        #expect(report.latency("latency")?.count == 50)
        #expect((report.latency("latency")?.minimum ?? 0) > 150_000_000)
    }

    // MARK: Live updates

    private let push = "push --warmup 0 --arrivals even --drain 1s "

    @Test(arguments: [false, true], ["", "--writers 3", "--ws"])
    func `a good server's events are all heard, once, in order`(
        _ splits: Bool, _ words: String
    ) throws {
        var faults = Faults()
        faults.splits = splits
        let (report, injected) = try run(
            push + "--duration 1s --rate 100 --listeners 12 --threads 2 --keys 3 --stale 60s "
                + words, faults)
        #expect(injected.events == 100)
        #expect(report.figure("events") == 100)
        #expect(report.figure("events_heard_by_all") == 100)
        #expect(report.figure("deliveries") == Double(injected.deliveries))
        for fault in ["missed", "duplicates", "out_of_order", "stale", "behind_at_end"] {
            #expect(report.figure(fault) == 0, "\(fault)")
        }
        #expect(injected.pongs == (words == "--ws" ? 12 : 0))
        #expect(report.latency("delivery")?.count == UInt64(injected.deliveries))
        // The kernel begins to stamp segments a moment after the first socket asks for it.
        let stamped = Double(report.latency("by the kernel")?.count ?? 0)
        #expect(stamped > Double(injected.deliveries) * 0.9)
        #expect(report.latency("last listener")?.count == 100)
    }

    @Test func `events left out, doubled and swapped are reported as just that`() throws {
        var faults = Faults()
        faults.droppedEvery = 10
        faults.doubledEvery = 8
        faults.swappedEvery = 7
        let (report, injected) = try run(
            push + "--duration 1s --rate 100 --listeners 6 --threads 2 --stale 60s "
                + "--connections 1", faults)
        #expect(injected.dropped == 60)
        #expect(injected.doubled > 0)
        #expect(injected.swapped > 0)
        #expect(report.figure("missed") == Double(injected.dropped))
        #expect(report.figure("duplicates") == Double(injected.doubled))
        #expect(report.figure("out_of_order") == Double(injected.swapped))
        #expect(report.figure("deliveries") == Double(injected.deliveries - injected.doubled))
        #expect(report.figure("events") == 100)
        #expect(report.figure("events_heard_by_all") == 90)
    }

    @Test func `events held back too long are reported as stale`() throws {
        var faults = Faults()
        faults.heldEvery = 3
        faults.heldMs = 200
        let (report, injected) = try run(
            push + "--duration 2s --rate 3 --listeners 5 --stale 120ms", faults)
        #expect(injected.held == 2)
        #expect(report.figure("stale") == 10)
        #expect(report.figure("missed") == 0)
        #expect((report.latency("delivery")?.maximum ?? 0) >= 200_000_000)
        #expect((report.latency("last listener")?.maximum ?? 0) >= 199_000_000)
    }

    @Test(arguments: ["", "--ws"])
    func `streams that end are gone on with from the last id, and nothing is missed`(
        _ words: String
    ) throws {
        var faults = Faults()
        faults.cutEvery = 10
        let (report, injected) = try run(
            push + "--duration 1s --rate 50 --listeners 4 --connections 1 --stale 60s "
                + "--drain 5s " + words, faults)
        #expect(injected.cut > 0)
        #expect(injected.resumed > 0)
        #expect(report.figure("resumed") == Double(injected.resumed))
        #expect(report.figure("deliveries") == 200)
        for fault in ["missed", "duplicates", "out_of_order", "behind_at_end"] {
            #expect(report.figure(fault) == 0, "\(fault)")
        }
    }

    @Test func `a server that goes on with an event too many is found out`() throws {
        var faults = Faults()
        faults.cutEvery = 10
        faults.resumption = .replayOneTooMany
        let (report, injected) = try run(
            push + "--duration 1s --rate 50 --listeners 3 --connections 1 --stale 60s --drain 5s",
            faults)
        #expect(injected.resumed > 0)
        #expect(report.figure("duplicates") == Double(injected.resumed))
        #expect(report.figure("missed") == 0)
    }

    @Test(arguments: ["", "--ws"])
    func `what a reset stands for was not missed`(_ words: String) throws {
        var faults = Faults()
        faults.cutEvery = 10
        faults.resumption = .reset
        let (report, injected) = try run(
            push + "--duration 1s --rate 50 --listeners 3 --connections 1 --stale 60s --drain 5s "
                + words, faults)
        #expect(injected.resumed > 0)
        #expect(report.figure("resets") == Double(injected.resumed))
        #expect(report.figure("missed") == 0)
        #expect(report.figure("behind_at_end") == 0)
        #expect(
            (report.figure("conflated") ?? 0) + (report.figure("deliveries") ?? 0) == 150)
        #expect((report.figure("conflated") ?? 0) > 0)
    }

    @Test func `what is left out in silence after a stream has ended was missed`() throws {
        var faults = Faults()
        faults.cutEvery = 10
        faults.resumption = .silence
        let (report, injected) = try run(
            push + "--duration 1s --rate 50 --listeners 3 --connections 1 --stale 60s --drain 1s",
            faults)
        #expect(injected.resumed > 0)
        #expect((report.figure("missed") ?? 0) > 0)
        #expect(report.figure("conflated") == nil)
        #expect((report.figure("missed") ?? 0) + (report.figure("deliveries") ?? 0) == 150)
    }

    @Test(arguments: ["", "--ws"])
    func `events left out with a word are conflated, not missed`(_ words: String) throws {
        var faults = Faults()
        faults.laggedEvery = 7
        let (report, injected) = try run(
            push + "--duration 1s --rate 100 --listeners 4 --stale 60s " + words, faults)
        #expect(injected.lagged > 0)
        #expect(report.figure("lagged") == Double(injected.lagged))
        #expect(report.figure("skipped_said") == Double(injected.lagged))
        #expect(report.figure("conflated") == Double(injected.lagged))
        #expect(report.figure("missed") == 0)
    }

    @Test func `the last event left out leaves a listener behind`() throws {
        var faults = Faults()
        faults.droppedEvery = 100
        let (report, _) = try run(
            push + "--duration 1s --rate 100 --listeners 4 --connections 1 --stale 60s", faults)
        #expect(report.figure("missed") == 4)
        #expect(report.figure("behind_at_end") == 4)
    }

    @Test func `listeners that stop reading read on after the last event`() throws {
        let (report, injected) = try run(
            push + "--duration 1s --rate 100 --listeners 6 --stopped 2 --threads 2 --stale 60s",
            Faults())
        #expect(injected.deliveries == 600)
        #expect(report.figure("deliveries") == 400)
        #expect(report.figure("stopped.deliveries") == 200)
        #expect(report.figure("stopped.missed") == 0)
        #expect(report.figure("stopped.behind_at_end") == 0)
        // What they heard late is in no latency.
        #expect(report.latency("delivery")?.count == 400)
        #expect(report.figure("events_heard_by_all") == 100)
    }

    @Test func `how far listeners were behind counts from the change they did not know`() throws {
        var faults = Faults()
        faults.laggedEvery = 2
        let (report, _) = try run(
            push + "--duration 1s --rate 20 --listeners 2 --connections 1 --stale 60s", faults)
        // Every second event is left out, so a change is 50 ms old when the next one is heard.
        #expect((report.latency("behind")?["p50"] ?? 0) >= 49_000_000)
        #expect((report.latency("delivery")?["p50"] ?? 0) < 40_000_000)
    }

    @Test func `idle streams are held and counted`() throws {
        let (report, _) = try run("hold --listeners 40 --duration 200ms --warmup 0", Faults())
        #expect(report.figure("streams") == 40)
        #expect(report.figure("comments") == 40)
        #expect(report.figure("stream_disconnects") == nil)
    }

    // MARK: Its own limits

    @Test func `it says so when nothing listens there`() throws {
        let server = try FaultyServer()
        server.stop()
        #expect(throws: RunError.self) {
            try Bench.report(try settings("get --requests 1", server))
        }
    }

    @Test func `it says when it was itself the limit`() {
        var report = Report(command: "get", target: "t", label: "")
        var figures = ThreadFigures()
        for _ in 0..<100 {
            figures.lateness.record(5_000_000)
            figures.reads.record(6_000_000)
        }
        report.judge(busiest: 0.97, figures: figures, isOpen: true)
        #expect(report.cautions.contains { $0.contains("97 % of a processor") })
        #expect(report.cautions.contains { $0.contains("itself was late") })
        var calm = Report(command: "get", target: "t", label: "")
        calm.judge(busiest: 0.5, figures: ThreadFigures(), isOpen: false)
        #expect(calm.cautions.isEmpty)
    }
}
