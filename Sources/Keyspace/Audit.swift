/// Checking the whole against itself, for tests: it takes as long as there are records.
extension Keyspace {
    /// Stops the process when index, arena, listings, wheel or counters disagree.
    public func audit() {
        let records = records
        var inArena = Set<Ref>()
        var alive = Set<Ref>()
        var expiring = Set<Ref>()
        arena.audit { ref, record in
            inArena.insert(ref)
            guard !record.isTombstone else { return }
            alive.insert(ref)
            if record.expiresAt != 0 { expiring.insert(ref) }
            invariant(record.created <= record.stamp, "a record is older than its creation")
        }
        var inIndex = Set<Ref>()
        var cursor: UInt64 = 0
        var isMore = true
        while isMore {
            isMore = index.walk(&cursor) { ref in
                invariant(inIndex.insert(ref).inserted, "the index names a record twice")
                let record = records[ref]
                let found = unsafe index.find(index.hash(record), record.table, record.key)
                invariant(found == ref, "a record of the index can't be found by its key")
            }
        }
        invariant(inIndex == inArena, "index and arena hold different records")
        invariant(inIndex.count == index.count, "the index is miscounted")
        invariant(alive.count == count, "the live records are miscounted")

        let indexPages = index.audit()
        invariant(indexPages == pages.wholePagesInUse, "a page of the index was lost")

        var listed = Set<Ref>()
        var blocks = 0
        for table in 0..<tablesCapacity {
            let before = listed.count
            var expiring = 0
            var endsSum: Int64 = 0
            blocks += unsafe tables[table].listing.audit(records, pages) { ref in
                invariant(Int(records[ref].table) == table, "a record is in another's listing")
                listed.insert(ref)
                guard records[ref].expiresAt != 0 else { return }
                expiring += 1
                endsSum &+= min(records[ref].expiresAt / 1000, Keyspace.endsSecondsMax)
            }
            let ends = ends(of: TableNumber(table))
            invariant(
                ends.count == expiring && ends.secondsSum == endsSum,
                "a table's expiries are miscounted")
            let count = unsafe tables[table].count
            invariant(listed.count - before == count, "a table's records are miscounted")
        }
        invariant(blocks == pages.blocksInUse, "a block of a listing was lost")
        invariant(listed == alive, "the listings and the arena hold different records")

        var linked = Set<Ref>()
        wheel.audit(records) { linked.insert($0) }
        invariant(linked == expiring, "the wheel and the arena hold different expiries")
        if settings.memoryBytesMax > 0 {
            invariant(memoryBytes <= settings.memoryBytesMax, "the memory limit is exceeded")
        }
    }
}
