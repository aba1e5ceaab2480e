import Keyspace
import Machine
import Synchronization

/// A shard's way through the dump that the node is writing.
@safe struct DumpWalk {
    /// The last dump this shard took part in.
    var number: UInt64 = 0
    var isWalking = false
    /// Databases still to be walked, the present one last.
    var tables: [(number: TableNumber, database: UInt64)] = []
    /// The key that was looked at last; empty at a database's beginning.
    var after: [UInt8] = []
    /// The first of the free rows are full, or hold the last of their database.
    var isFilled = false
    /// Rows that can be filled, and how many are with the worker.
    var free: [DumpRowsJob.Place] = unsafe []
    var rowsOut = 0

    /// Two keep both the shard and the worker busy.
    static let rowsPerShard = 2
    /// Records between two looks at the clock.
    static let stepRecords = 64
}

extension Shard {
    /// The running dump's share of this turn. Called where nothing else works on the keyspace.
    mutating func goOnDump() {
        let latest = unsafe durability.signals.pointee.dump.load(ordering: .acquiring)
        guard dumpWalk.isWalking || dumpWalk.number != latest else { return }
        guard !isLoading, let dumper = durability.dumper else { return }
        if !dumpWalk.isWalking { beginDump(latest, dumper) }
        readDumpRows()
        let start = Clock.monotonicNs()
        let isIdle = unsafe dumpWalk.free.isEmpty
        while unsafe !dumpWalk.free.isEmpty {
            let place = unsafe dumpWalk.free[0]
            if !dumpWalk.isFilled {
                guard !dumpWalk.tables.isEmpty else { break }
                unsafe fill(place.pointee.rows)
            }
            if dumpWalk.isFilled {
                // With a full queue they are handed over in the next turn.
                guard unsafe dumper.add(place) else { break }
                unsafe dumpWalk.free.removeFirst()
                dumpWalk.rowsOut += 1
                dumpWalk.isFilled = false
            }
            if Clock.monotonicNs() &- start >= SnapshotWalk.sliceNsMax { break }
        }
        if !isIdle { figures.countSlice(ns: Clock.monotonicNs() &- start) }
        guard dumpWalk.tables.isEmpty, !dumpWalk.isFilled, dumpWalk.rowsOut == 0 else { return }
        dumpWalk.isWalking = false
        for place in unsafe dumpWalk.free.indices {
            unsafe DumpRowsJob.free(dumpWalk.free[place])
        }
        unsafe dumpWalk.free.removeAll()
        dumper.walked()
    }

    /// Whether the next turn should come at once.
    var dumpGoesOn: Bool {
        mutating get {
            guard dumpWalk.isWalking, unsafe !dumpWalk.free.isEmpty else { return false }
            return dumpWalk.isFilled || !dumpWalk.tables.isEmpty
        }
    }

    private mutating func beginDump(_ number: UInt64, _ dumper: Dumper) {
        registry.update(&tables)
        dumpWalk.number = number
        dumpWalk.isWalking = true
        dumpWalk.after = []
        var counts: [(database: UInt64, records: Int)] = []
        var leftOut = 0
        for table in ReservedTable.count..<TableNumber(tables.count) {
            let count = keyspace.count(of: table)
            guard count > 0, let name = unsafe tables.name(table) else { continue }
            if tables[table].space == .shared,
                let database = unsafe DumpNames.database(of: Array(name))
            {
                counts.append((database, count))
                dumpWalk.tables.append((table, database))
            } else {
                leftOut += count
            }
        }
        for _ in 0..<DumpWalk.rowsPerShard {
            unsafe dumpWalk.free.append(DumpRowsJob.make(durability.dumpInboxes[self.number]))
        }
        dumper.begin(
            counts, leftOut: leftOut, changes: keyspace.position &- loadedPosition)
    }

    /// Copies the database's next records; after its last the next database is the present one.
    private mutating func fill(_ rows: DumpRows) {
        guard let (table, database) = dumpWalk.tables.last else { return }
        rows.database = database
        let none = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        var page = unsafe dumpWalk.after.withUnsafeBytes {
            unsafe keyspace.list(table, prefix: none, after: $0, steps: DumpWalk.stepRecords)
        }
        while !rows.isFull, let record = keyspace.next(&page, at: wallMs) { rows.add(record) }
        if page.isAtEnd {
            dumpWalk.after = []
            dumpWalk.tables.removeLast()
            dumpWalk.isFilled = !rows.isEmpty
        } else if let last = page.last {
            dumpWalk.after = unsafe Array(last.key)
            dumpWalk.isFilled = rows.isFull
        }
    }

    private mutating func readDumpRows() {
        var next = unsafe durability.dumpInboxes[number].drain()
        while let job = unsafe next {
            unsafe next = unsafe job.pointee.next
            unsafe dumpWalk.free.append(DumpRowsJob.of(job))
            dumpWalk.rowsOut -= 1
        }
    }
}
