import Glibc
import Testing

@testable import Bench

@Suite("Histograms") struct HistogramTests {
    /// Shapes that latencies take, among them those that lie on bucket borders.
    static let shapes: [(name: String, value: @Sendable (inout Random) -> UInt64)] = [
        ("small", { UInt64($0.below(300)) }),
        ("uniform", { UInt64($0.below(50_000_000)) }),
        ("long tail", { UInt64(20_000 / (1.0000001 - $0.unit())) }),
        ("two humps", { ($0.below(10) == 0 ? 40_000_000 : 90_000) + UInt64($0.below(2_000)) }),
        ("powers of two", { 1 << UInt64($0.below(40)) }),
        ("one below them", { (1 << UInt64($0.below(40))) - 1 }),
        ("all the same", { _ in 123_456_789 }),
    ]

    @Test(arguments: shapes.indices, [1, 2, 10, 999, 100_000])
    func `percentiles agree with exact sorting within one in a hundred`(
        _ shape: Int, _ count: Int
    ) {
        var random = Random(seed: UInt64(shape * 1000 + count))
        let values = (0..<count).map { _ in HistogramTests.shapes[shape].value(&random) }
        var histogram = Histogram()
        for value in values { histogram.record(value) }
        let sorted = values.sorted()
        for share in [0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1] {
            let rank = max(Int((share * Double(count)).rounded(.up)), 1)
            let exact = Double(sorted[rank - 1])
            let answer = Double(histogram.percentile(share))
            #expect(
                abs(answer - exact) <= exact * 0.01,
                "\(HistogramTests.shapes[shape].name) of \(count), \(share): \(answer), not \(exact)"
            )
        }
        #expect(histogram.minimum == sorted[0])
        #expect(histogram.maximum == sorted[count - 1])
        #expect(histogram.count == UInt64(count))
    }

    @Test func `merging is the same as having recorded everything in one`() {
        var random = Random(seed: 5)
        var whole = Histogram()
        var parts = [0: 0, 1: 0]
        var first = Histogram()
        var second = Histogram()
        for _ in 0..<10_000 {
            let value = random.next() >> 30
            whole.record(value)
            let part = Int(random.below(2))
            parts[part]! += 1
            if part == 0 { first.record(value) } else { second.record(value) }
        }
        first.merge(second)
        #expect(parts[0]! > 0 && parts[1]! > 0)
        #expect(first.count == whole.count)
        #expect(first.minimum == whole.minimum)
        #expect(first.maximum == whole.maximum)
        for share in [0.1, 0.5, 0.9, 0.99] {
            #expect(first.percentile(share) == whole.percentile(share))
        }
        #expect(first.occupied.map(\.count) == whole.occupied.map(\.count))
    }

    @Test func `every value lies in the bucket that is said to hold it`() {
        for shift in 0..<42 {
            let power = UInt64(1) << UInt64(shift)
            for value in [power, power | 1, power - 1] {
                let range = Histogram.values(ofBucket: Histogram.bucket(of: value))
                #expect(range.contains(value), "\(value) in \(range)")
            }
        }
    }

    @Test func `a value beyond all buckets is counted, and the maximum is exact`() {
        var histogram = Histogram()
        histogram.record(UInt64.max)
        histogram.record(1)
        #expect(histogram.count == 2)
        #expect(histogram.percentile(1) == UInt64.max)
        let empty = Histogram()
        #expect(empty.percentile(0.5) == 0 && empty.minimum == 0 && empty.mean == 0)
    }
}

@Suite("Arrivals and keys") struct ScheduleTests {
    @Test func `even arrivals of several threads are evenly spread together`() {
        var times: [UInt64] = []
        for thread in 0..<4 {
            var arrivals = Arrivals(
                .even, perSecond: 1000, thread: thread, threads: 4, startNs: 5_000_000_000,
                random: Random(seed: 1))
            for _ in 0..<250 {
                times.append(arrivals.nextNs)
                arrivals.advance()
            }
        }
        times.sort()
        #expect(times.first == 5_000_000_000)
        for (place, time) in times.enumerated() {
            let exact = 5_000_000_000 + UInt64(place) * 1_000_000
            #expect(max(time, exact) - min(time, exact) <= 1)
        }
    }

    @Test func `Poisson arrivals keep the rate, and vary as they should`() {
        var arrivals = Arrivals(
            .poisson, perSecond: 10_000, thread: 0, threads: 1, startNs: 0,
            random: Random(seed: 9))
        var last: UInt64 = 0
        var sum = 0.0
        var squares = 0.0
        let count = 200_000
        for _ in 0..<count {
            let gap = Double(arrivals.nextNs - last)
            sum += gap
            squares += gap * gap
            last = arrivals.nextNs
            arrivals.advance()
        }
        let mean = sum / Double(count)
        let deviation = (squares / Double(count) - mean * mean).squareRoot()
        #expect(abs(mean - 100_000) < 1_000)
        // An exponential distribution's deviation is its mean.
        #expect(abs(deviation - 100_000) < 2_000)
    }

    @Test(arguments: [0.5, 0.99, 1, 1.5])
    func `zipf asks for the k-th key as often as its rank says`(_ exponent: Double) {
        var random = Random(seed: 3)
        let keys = 100
        let zipf = Zipf(count: keys, exponent: exponent)
        var counts = [Int](repeating: 0, count: keys + 1)
        let draws = 400_000
        for _ in 0..<draws { counts[Int(zipf.next(&random))] += 1 }
        #expect(counts[0] == 0)
        var norm = 0.0
        for rank in 1...keys { norm += pow(Double(rank), -exponent) }
        for rank in [1, 2, 3, 10, 50] {
            let expected = Double(draws) * pow(Double(rank), -exponent) / norm
            #expect(abs(Double(counts[rank]) - expected) < 4 * expected.squareRoot() + 1, "\(rank)")
        }
    }

    @Test func `uniform keys are all asked for, about as often`() {
        var random = Random(seed: 8)
        var choice = KeyChoice(.uniform, count: 10, exponent: 1, thread: 0, threads: 1)
        var counts = [Int](repeating: 0, count: 10)
        for _ in 0..<100_000 { counts[Int(choice.next(&random))] += 1 }
        #expect(counts.allSatisfy { abs($0 - 10_000) < 500 })
    }

    @Test func `sequential keys of several threads are each key once`() {
        var random = Random(seed: 8)
        var seen = [Int](repeating: 0, count: 12)
        for thread in 0..<3 {
            var choice = KeyChoice(.sequential, count: 12, exponent: 1, thread: thread, threads: 3)
            for _ in 0..<4 { seen[Int(choice.next(&random))] += 1 }
        }
        #expect(seen.allSatisfy { $0 == 1 })
    }
}

@Suite("What a listener has heard") struct HeardTests {
    /// Written one after another: each was answered before the next was sent.
    @Test(
        arguments: [
            ([1, 2, 3], "nnn"), ([1, 1, 2, 1], "ndnd"), ([1, 3, 2, 2], "nnod"),
            ([5, 4, 3, 5, 4], "noodd"), ([1, 100, 2], "nno"), ([1, 65, 2, 2], "nnod"),
            ([64, 1, 1], "nod"),
        ] as [([UInt32], String)])
    func `each event is known for new, late or doubled`(_ numbers: [UInt32], _ verdicts: String) {
        #expect(letters(numbers.map { ($0, $0 - 1) }) == verdicts)
    }

    @Test func `events written at the same time have no order`() {
        // 2 and 3 were under way together, 4 was sent when both were answered.
        #expect(letters([(1, 0), (3, 1), (2, 1), (4, 3)]) == "nnvn")
        #expect(letters([(1, 0), (4, 3), (3, 1), (2, 1), (3, 1)]) == "nnood")
    }

    private func letters(_ events: [(UInt32, UInt32)]) -> String {
        var heard = Heard()
        let letters = events.map { number, settled -> Character in
            switch heard.hear(number, settled: settled) {
            case .new: "n"
            case .overtaken: "v"
            case .outOfOrder: "o"
            case .duplicate: "d"
            }
        }
        return String(letters)
    }
}

@Suite("The account of a listener") struct AccountTests {
    /// Events by number, each answered before the next; `s` marks the present state.
    private func account(_ words: String) -> (Account, verdicts: String) {
        var account = Account()
        account.connected(isResuming: false)
        var verdicts = ""
        for word in words.split(separator: " ") {
            switch word {
            case "reset": account.reset()
            case "connect": account.connected(isResuming: false)
            case "resume": account.connected(isResuming: true)
            case _ where word.hasPrefix("lagged"):
                account.lagged(skipped: UInt32(word.dropFirst(6)) ?? 0)
            default:
                let isState = word.hasPrefix("s")
                let number = UInt32(isState ? word.dropFirst() : word) ?? 0
                let stamp = Stamp(
                    run: 1, event: number - 1, key: 0, sequence: number, settled: number - 1,
                    sentNs: 1)
                switch account.hear(stamp, isState: isState, isMeasured: true) {
                case .new: verdicts += "n"
                case .overtaken: verdicts += "v"
                case .outOfOrder: verdicts += "o"
                case .duplicate: verdicts += "d"
                case .state: verdicts += "s"
                }
            }
        }
        return (account, verdicts)
    }

    @Test(
        arguments: [
            ("1 2 3", "nnn", 0, 0), ("1 3", "nn", 1, 0), ("1 lagged1 3", "nn", 0, 1),
            ("1 3 lagged1", "nn", 0, 1), ("1 lagged5 3", "nn", 0, 1),
            // The state stands for what came before it, and is no event a second time.
            ("s2 3", "sn", 0, 2), ("s2 2 3", "sdn", 0, 2), ("1 connect s3", "ns", 0, 2),
            ("1 resume 2 3", "nnn", 0, 0), ("1 resume 3", "nn", 1, 0),
            // Asked to go on, a server that only tells the state has left the rest out in silence.
            ("1 resume s3", "ns", 2, 0), ("1 resume reset s3", "ns", 0, 2),
            ("1 2 3 resume reset s3", "nnns", 0, 0), ("1 2 3 resume reset s2", "nnno", 0, 0),
            ("1 2 connect 3", "nnn", 0, 0), ("1 connect 3", "nn", 1, 0),
        ] as [(String, String, UInt32, UInt32)])
    func `what was left out is told apart by whether it was said`(
        _ words: String, _ verdicts: String, _ missed: UInt32, _ conflated: UInt32
    ) {
        let (account, got) = account(words)
        #expect(got == verdicts)
        #expect(account.unheard(of: 3) == (missed, conflated), "\(words)")
    }

    @Test func `who has the last event, or one written beside it, is at the truth`() {
        let log = EventLog.make(run: 1, keys: 2)
        for number: UInt32 in 0..<3 {
            _ = log.next(key: 0, sentNs: 1)
            log.answered(number, isSuccess: true)
        }
        #expect(!log.isFinal(2, ofKey: 0) && log.isFinal(3, ofKey: 0))
        // Nothing was written to the other key.
        #expect(log.isFinal(0, ofKey: 1))
        // Two under way together: either may be what stays.
        _ = log.next(key: 0, sentNs: 1)
        _ = log.next(key: 0, sentNs: 1)
        log.answered(4, isSuccess: true)
        log.answered(3, isSuccess: true)
        #expect(!log.isFinal(3, ofKey: 0) && log.isFinal(4, ofKey: 0) && log.isFinal(5, ofKey: 0))
        // One that the server refused is nobody's truth.
        _ = log.next(key: 0, sentNs: 1)
        log.answered(5, isSuccess: false)
        #expect(log.isFinal(5, ofKey: 0))
    }
}

@Suite("Words") struct WordTests {
    private func text(_ count: Int, seed: UInt64) -> String {
        var bytes = [UInt8](repeating: 0, count: count)
        bytes.withUnsafeMutableBufferPointer {
            Words.shared.fill($0.baseAddress!, count, seed: seed)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func `a text is the same for its key, another for others, and needs no escape`() {
        #expect(text(300, seed: 7) == text(300, seed: 7))
        #expect(text(300, seed: 7) != text(300, seed: 8))
        #expect(text(20_000, seed: 1).utf8.allSatisfy { $0 == 0x20 || (0x61...0x7A).contains($0) })
    }

    @Test func `common words are common, and fifty of them are a value of 348 bytes`() {
        let words = text(400_000, seed: 3).split(separator: " ")
        var counts: [Substring: Int] = [:]
        for word in words { counts[word, default: 0] += 1 }
        let share = Double(counts.values.max() ?? 0) / Double(words.count)
        #expect(share > 0.1 && share < 0.14)
        #expect(counts["the"]! > counts["of"]! && counts["of"]! > counts["and"]!)
        #expect(counts.count > 1000)
        let inOne = 348 / (400_000 / Double(words.count))
        #expect(inOne > 46 && inOne < 54, "\(inOne)")
    }

    @Test func `a request carries the words of its key`() {
        let value = RequestTemplate.value(size: 100, isStamped: false, isWords: true)
        let request = RequestTemplate.http(
            method: "PUT", path: "/t/key/{key}", host: "h", headers: [], body: value)
        var bytes = [UInt8](repeating: 0, count: request.count)
        bytes.withUnsafeMutableBufferPointer { request.write(to: $0.baseAddress!, key: 42) }
        #expect(String(decoding: bytes, as: UTF8.self).hasSuffix("\r\n\r\n" + text(100, seed: 42)))
    }
}
