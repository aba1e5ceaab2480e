import Testing
import Wire

@testable import Node

@Suite("Duration buckets") struct DurationBucketsTests {
    private static let samples: [UInt64] =
        Array(0...5000)
        + (5...63).flatMap { (exponent: UInt64) in
            let power = UInt64(1) << exponent
            return [power - 1, power, power + 1, power + power / 4, power + power / 2 + 1]
        } + [.max]

    @Test func `every duration is above the bound before its bucket and within its own`() {
        for ns in Self.samples {
            let index = DurationBuckets.index(ofNs: ns)
            #expect((0..<DurationBuckets.count).contains(index))
            if let bound = DurationBuckets.boundNs(index) { #expect(ns <= bound, "\(ns)") }
            if index > 0, let before = DurationBuckets.boundNs(index - 1) {
                #expect(ns > before, "\(ns)")
            }
        }
    }

    @Test func `bounds grow by a quarter at most, and only the last bucket has none`() throws {
        var before = try #require(DurationBuckets.boundNs(0))
        #expect(before == 1024)
        for index in 1..<DurationBuckets.count - 1 {
            let bound = try #require(DurationBuckets.boundNs(index))
            #expect(bound > before && bound - before <= before / 4, "\(before) to \(bound)")
            before = bound
        }
        #expect(before > 8_000_000_000)
        #expect(DurationBuckets.boundNs(DurationBuckets.count - 1) == nil)
    }

    @Test func `a quantile is the bound that so many do not exceed`() {
        var counts = [UInt64](repeating: 0, count: DurationBuckets.count)
        #expect(DurationBuckets.quantileNs(0.5, of: counts) == 0)
        counts[DurationBuckets.index(ofNs: 10_000)] = 99
        counts[DurationBuckets.index(ofNs: 1_000_000)] = 1
        let usual = DurationBuckets.quantileNs(0.5, of: counts)
        #expect(usual >= 10_000 && usual <= 12_500)
        #expect(DurationBuckets.quantileNs(0.99, of: counts) == usual)
        let slowest = DurationBuckets.quantileNs(1, of: counts)
        #expect(slowest >= 1_000_000 && slowest <= 1_250_000)
    }
}

@Suite("Figures of a shard") struct ShardFiguresTests {
    @Test func `what a shard counted is read by others as it was published`() {
        var tally = ShardTally()
        tally.answers2xx = 3
        tally.serviceNs = 77
        let figures = ShardFigures.make()
        #expect(figures.tally.requests == 0)
        figures.publish(&tally)
        tally.answers2xx = 4
        #expect(figures.tally.answers2xx == 3)
        #expect(figures.tally.serviceNs == 77)
    }

    @Test func `a turn counts once, and once for each request it answered`() {
        let figures = ShardFigures.make()
        figures.countTurn(ns: 5_000, requests: 16)
        figures.countTurn(ns: 5_000, requests: 0)
        figures.countTurn(ns: 9_000_000, requests: 1)
        var turns = [UInt64](repeating: 0, count: DurationBuckets.count)
        var requests = turns
        figures.addTurns(to: &turns)
        figures.addRequests(to: &requests)
        #expect(turns[DurationBuckets.index(ofNs: 5_000)] == 2)
        #expect(requests[DurationBuckets.index(ofNs: 5_000)] == 16)
        #expect(turns.reduce(0, +) == 3)
        #expect(requests.reduce(0, +) == 17)
    }

    @Test func `answers are counted by the first digit of their status`() {
        var tally = ShardTally()
        let statuses: [HTTPStatus] = [
            .switchingProtocols, .ok, .created, .noContent, .notModified, .badRequest, .notFound,
            .internalServerError, .insufficientStorage,
        ]
        for status in statuses { tally.countAnswer(status) }
        #expect(tally.answers1xx == 1)
        #expect(tally.answers2xx == 3)
        #expect(tally.answers3xx == 1)
        #expect(tally.answers4xx == 2)
        #expect(tally.answers5xx == 2)
        #expect(tally.requests == 9)
    }
}

@Suite("The form of metrics") struct MetricsFormTests {
    @Test(
        arguments: [
            (nil, .json), ("", .json), ("*/*", .json), ("application/json", .json),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", .json),
            ("application/json, text/plain, */*", .json), ("image/png", .json),
            ("text/plain", .prometheus), ("TEXT/Plain ; version=0.0.4", .prometheus),
            ("text/*", .prometheus), ("text/plain;q=0.5, application/json;q=0.4", .prometheus),
            ("text/plain;q=0.4, application/json;q=0.5", .json),
            ("*/*, text/plain;q=0", .json), ("text/plain;q=0", .json),
            ("text/plain, application/json;q=0, */*;q=0.1", .prometheus),
            ("application/openmetrics-text", .openMetrics),
            ("application/openmetrics-text;version=1.0.0,text/plain", .openMetrics),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
                    + "application/openmetrics-text;version=0.0.1;q=0.5,"
                    + "text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                .openMetrics
            ),
            ("application/openmetrics-text;q=0.2,text/plain;version=0.0.4;q=0.3", .prometheus),
            (",,;;=,q=1,text/plain;q=x", .prometheus), (";q=1", .json),
        ] as [(String?, MetricsForm)])
    func `is the one the client weighs most, else JSON`(_ accept: String?, _ form: MetricsForm) {
        #expect(MetricsForm(accept: accept.map { Array($0.utf8) }) == form)
    }
}

@Suite("Decimals") struct DecimalsTests {
    @Test(
        arguments: [
            (0, "0.0"), (1, "0.000000001"), (1024, "0.000001024"), (999_999_999, "0.999999999"),
            (1_000_000_000, "1.0"), (12_500_000_000, "12.5"),
        ] as [(UInt64, String)])
    func `nanoseconds become seconds without loss`(_ ns: UInt64, _ text: String) {
        #expect(Decimals.seconds(ns: ns) == text)
    }
}
