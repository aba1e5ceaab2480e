import Keyspace

/// Bytes a record costs beyond key and value, the peak while loading, and what is left after
/// nine of ten records were deleted and the rest had their sizes changed at random.
enum MemoryCost {
    static let churnPuts = 3_000_000

    static func run(records: Int) throws -> Bool {
        print("\(records) records, \(Load.keyBytes)-byte keys, \(Load.valueBytes)-byte values")
        let before = residentBytes()
        var load = try Load(records: records)
        var peak = before
        for number in 0..<records {
            load.put(number)
            if number % 512 == 0 { peak = max(peak, residentBytes()) }
        }
        let loaded = residentBytes()
        peak = max(peak, loaded)
        let payload = records * (Load.keyBytes + Load.valueBytes)
        print(
            "  resident \(loaded >> 10) KiB, of which before loading \(before >> 10) KiB;",
            "the shard's own account \(load.space.memoryBytes >> 10) KiB")
        var passed = check(
            "bytes a record over key and value",
            Double(loaded - before - payload) / Double(records), atMost: 48, "B")
        passed =
            check(
                "peak while loading", Double(peak) / Double(loaded), atMost: 1.1, "× the end")
            && passed
        passed =
            check(
                "account against resident growth",
                abs(Double(load.space.memoryBytes) / Double(loaded - before) - 1), atMost: 0.05,
                "off") && passed

        // With fewer records the process itself and the remembered tombstones weigh as much as
        // what is left.
        return records < churnRecordsMin ? passed : churn(&load) && passed
    }

    static let churnRecordsMin = 500_000

    private static func churn(_ load: inout Load) -> Bool {
        let records = load.records
        // Nine of ten go.
        let kept = records / 10
        for number in kept..<records {
            _ = load.space.run(
                Command(.delete, load.named(number), by: Principal(rawValue: 2)), at: Load.start)
        }
        while load.space.tend(at: Load.start, budget: 256) {}
        let deleted = residentBytes()
        print(
            "  after deleting 90 %: resident \(deleted >> 10) KiB,",
            "account \(load.space.memoryBytes >> 10) KiB, live \(load.space.liveBytes >> 10) KiB")

        var sizes = [Int](repeating: Load.valueBytes, count: kept)
        var now = Load.start
        var worst = 0.0
        for put in 0..<churnPuts {
            let number = load.roll(kept)
            sizes[number] = load.roll(1000)
            load.put(number, bytes: sizes[number], at: now)
            if put % 16 == 0 { _ = load.space.tend(at: now, budget: 1) }
            if put % 65_536 == 65_535 {
                now += 1000
                let live = kept * Load.keyBytes + sizes.reduce(0, +)
                worst = max(worst, Double(residentBytes()) / Double(live))
            }
        }
        let live = kept * Load.keyBytes + sizes.reduce(0, +)
        print(
            "  after \(churnPuts) puts of 0-999 bytes: resident \(residentBytes() >> 10) KiB,",
            "keys and values \(live >> 10) KiB")
        let passed = check(
            "resident after churn", Double(residentBytes()) / Double(live), atMost: 1.5,
            "× keys and values")
        return check("resident at worst in it", worst, atMost: 1.5, "× keys and values") && passed
    }
}
