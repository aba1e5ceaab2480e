import Keyspace

/// One kind of command in a loop: for callgrind to count, or for the clock.
enum CommandCost {
    enum Kind: String, CaseIterable {
        case get, miss, overwrite, resize, list
        /// The loop itself: making up a key and hashing it.
        case nothing
    }

    static func loop(_ kind: Kind, commands: Int, records: Int) throws {
        var load = try Load(records: records)
        for number in 0..<records { load.put(number) }
        let seen = run(kind, commands, &load)
        print("\(kind.rawValue): \(commands) commands over \(records) records, \(seen) seen")
    }

    @inline(never)
    static func run(_ kind: Kind, _ commands: Int, _ load: inout Load) -> Int {
        var seen = 0
        let records = load.records
        switch kind {
        case .nothing:
            for _ in 0..<commands {
                seen &+= Int(truncatingIfNeeded: load.named(load.roll(records)).hash & 1)
            }
        case .get:
            for _ in 0..<commands {
                let key = load.named(load.roll(records))
                if load.space.get(key, at: Load.start) != nil { seen += 1 }
            }
        case .miss:
            for _ in 0..<commands {
                let key = load.named(records + load.roll(records))
                if load.space.get(key, at: Load.start) != nil { seen += 1 }
            }
        case .overwrite:
            for _ in 0..<commands {
                load.put(load.roll(records), at: Load.start + 1)
                seen += 1
            }
        case .resize:
            for _ in 0..<commands {
                load.put(load.roll(records), bytes: load.roll(700), at: Load.start + 1)
                seen += 1
            }
        case .list:
            while seen < commands {
                let empty = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
                var page = unsafe load.space.list(0, prefix: empty, after: empty, steps: commands)
                while load.space.next(&page, at: Load.start) != nil { seen += 1 }
            }
        }
        return seen
    }

    static func speed(records: Int) throws {
        var load = try Load(records: records)
        let began = nanoseconds()
        for number in 0..<records { load.put(number) }
        print("load: \((nanoseconds() - began) / records) ns a record, in no order")
        let commands = 1_000_000
        for kind in Kind.allCases {
            let start = nanoseconds()
            _ = run(kind, commands, &load)
            print("\(kind.rawValue): \((nanoseconds() - start) / commands) ns")
        }
        print("get, 16 at a time: \(batches(commands, isPrefetched: false, &load)) ns")
        print("the same after prefetch: \(batches(commands, isPrefetched: true, &load)) ns")
    }

    /// GETs as a pipeline brings them: keys first, then all lookups.
    @inline(never)
    static func batches(_ commands: Int, isPrefetched: Bool, _ load: inout Load) -> Int {
        let start = nanoseconds()
        var seen = 0
        var numbers = InlineArray<16, Int>(repeating: 0)
        var hashes = InlineArray<16, UInt64>(repeating: 0)
        for _ in 0..<commands / 16 {
            for place in 0..<16 {
                numbers[place] = load.roll(load.records)
                hashes[place] = load.named(numbers[place]).hash
            }
            if isPrefetched {
                for place in 0..<16 { load.space.prepare(hashes[place]) }
                for place in 0..<16 { load.space.fetch(hashes[place]) }
            }
            for place in 0..<16
            where load.space.get(load.named(numbers[place]), at: Load.start) != nil { seen += 1 }
        }
        if seen == 0 { print("nothing was found") }
        return (nanoseconds() - start) / commands
    }
}
