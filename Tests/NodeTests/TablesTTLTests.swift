import Testing
import Wire

@testable import Node

@Suite("TTL") struct TablesTTLTests {
    private func parse(_ text: String) -> Int64? {
        withExact(bytes(text)) { TTL.parse($0.bytes) }
    }

    private func find(_ query: String) -> TTL.Found {
        withExact(bytes(query)) { query in
            let range = ByteRange(start: 0, count: UInt32(query.count))
            return TTL.find(in: QueryItems(range), query.bytes)
        }
    }

    @Test(
        arguments: zip(
            [
                "30s", "5m", "1h30m", "2d", "90", "500ms", "1", "1ms", "1d2h3m4s5ms", "1h1ms",
                "0h1s", "007s", "36525d", "3155760000", "3155760000000ms", "1m1ms",
            ],
            [
                30_000, 300_000, 5_400_000, 172_800_000, 90_000, 500, 1000, 1, 93_784_005,
                3_600_001, 1000, 7000, 3_155_760_000_000, 3_155_760_000_000, 3_155_760_000_000,
                60_001,
            ] as [Int64]))
    func `a duration is read`(_ text: String, _ milliseconds: Int64) {
        #expect(parse(text) == milliseconds)
    }

    @Test(arguments: [
        "", "0", "0s", "0d0h", "-1", "+1", "1.5h", "1e3", " 1", "1 ", "1 s", "s", "ms", "1x",
        "1S", "1M", "1H30M", "30m1h", "1s1s", "1ms1s", "1h30", "90s5", "1mss", "1hh", "never",
        "infinite", "0x10", "1w", "1y", "36526d", "36525d1ms", "3155760001", "99999999999999999999",
        "18446744073709551617s", "9223372036854775807d", "3155760000000d", "1\0", "１s", "1s,",
        "%31s",
    ])
    func `anything else is refused`(_ text: String) {
        #expect(parse(text) == nil)
    }

    @Test func `a query's ttl is found once, decoded, or refused`() {
        #expect(find("") == .absent)
        #expect(find("limit=3&TTL=4") == .absent)
        #expect(find("a=b&ttl=30s&c") == .lasts(30_000))
        #expect(find("ttl=30%73") == .lasts(30_000))
        #expect(find("%74tl=30s") == .lasts(30_000))
        #expect(find("ttl=30s&ttl=30s") == .malformed)
        #expect(find("ttl=30s&%74tl=1s") == .malformed)
        #expect(find("ttl=x&ttl=30s") == .malformed)
        for bad in ["ttl", "ttl=", "ttl=+30s", "ttl=30%", "ttl=%zz", "ttl=0"] {
            #expect(find(bad) == .malformed, "\(bad)")
        }
        #expect(find("ttl=" + String(repeating: "%30", count: 31) + "1") == .lasts(1000))
        #expect(find("ttl=" + String(repeating: "%30", count: 5000) + "1") == .malformed)
    }

    @Test func `whatever the text, what is read lies within the bound`() {
        var random = SplitMix(state: 2)
        var count = 0
        for _ in 0..<50_000 {
            let text = random.bytes(upTo: 12, from: Array("0123456789dhmss".utf8))
            if let ms = withExact(text, { TTL.parse($0.bytes) }) {
                count += 1
                #expect(ms > 0 && ms <= TTL.millisecondsMax)
            }
        }
        #expect(count > 1000)
    }
}
