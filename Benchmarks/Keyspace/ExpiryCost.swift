import Keyspace

/// GETs while every other record falls due in the same second, with the upkeep a shard's loop
/// does between them.
enum ExpiryCost {
    /// Records taken out in one turn of the loop, and GETs answered in it.
    static let budget = 64
    static let getsPerTurn = 16

    static func run(records: Int) throws -> Bool {
        var load = try Load(records: records)
        let due = Load.start + 10_000
        for number in 0..<records {
            load.put(number, expiry: .at(due + Int64(number % 1000)))
        }
        for number in records..<records + 10_000 { load.put(number) }
        print("\(records) records due within one second, 10000 that stay")

        var turns: [Int] = []
        let began = nanoseconds()
        var now = due
        var hits = 0
        while load.space.count > 10_000 {
            let start = nanoseconds()
            now = due + Int64((start - began) / 1_000_000)
            _ = load.space.tend(at: now, budget: budget)
            for _ in 0..<getsPerTurn {
                let number = records + load.roll(10_000)
                if load.space.get(load.named(number), at: now) != nil { hits += 1 }
            }
            turns.append(nanoseconds() - start)
        }
        turns.sort()
        let total = nanoseconds() - began
        print(
            "  all gone after \(total / 1_000_000) ms in \(turns.count) turns of at most",
            "\(budget) records and \(getsPerTurn) GETs (\(hits) hits)")
        print("  a turn: p50 \(turns[turns.count / 2] / 1000) µs")
        return check(
            "a turn's p99", Double(turns[turns.count * 99 / 100]) / 1e6, atMost: 5, "ms")
    }
}
