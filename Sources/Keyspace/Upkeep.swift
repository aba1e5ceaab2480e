/// Keeping a shard in shape: expiry, eviction, tombstones' ends, and giving memory back. All of
/// it in bounded steps.
extension Keyspace {
    /// One turn's share of upkeep: takes out at most `budget` records that are due, forgets
    /// tombstones whose life is over, evicts ahead of need and cleans. What it took out is in
    /// the changes. True when there is more to do at once.
    public mutating func tend(at now: Int64, budget: Int) -> Bool {
        arena.isQuiet = cleaningDebt == 0
        cleaningDebt += budget * 1024
        begin(expecting: 0)
        var left = min(budget, Keyspace.removalsPerCallMax)
        // Moving a record from list to list is cheaper than taking one out.
        var steps = left * 4
        while left > 0 {
            let ref = wheel.due(at: now, records, budget: &steps)
            guard ref != 0 else { break }
            takeOutExpired(ref, index.hash(records[ref]), at: now)
            left -= 1
        }
        while left > 0, let oldest = tombstones.oldest,
            oldest.sinceMs + settings.tombstoneLifeMs <= now
        {
            forgetOldestTombstone()
            left -= 1
        }
        if settings.eviction == .lru, settings.memoryBytesMax > 0 {
            // Room ahead of need: a large value should not have to wait for thousands of small
            // ones to go.
            let target = liveBytesMax - settings.memoryBytesMax / 32
            while left > 0, arena.live > target, evictOne(sparing: 0) { left -= 1 }
        }
        gatherBlocks(left)
        let isCleaning = arena.wantsCleaning && !isCleanerStuck
        return left <= 0 || steps <= 0 || isCleaning || pages.wantsFewerPages
    }

    /// Moves the listings' blocks out of pages that hold few of them, so that the pages can go.
    private mutating func gatherBlocks(_ budget: Int) {
        var left = budget
        while left > 0, pages.wantsFewerPages {
            left -= Pages.blocksPerPage
            let (page, inUse) = pages.isolateSparsePage()
            guard page != 0 else { continue }
            for place in 0..<UInt32(Pages.blocksPerPage) where inUse & (1 << UInt8(place)) != 0 {
                let block = page << 3 | place
                let table = Int(records[Listing.firstRecord(block, pages)].table)
                let target = pages.takeBlock()
                unsafe tables[table].listing.relocate(block, to: target, records, pages)
            }
            pages.giveEmptied(page)
        }
    }

    /// When `tend` should be called next if nothing else happens; nil for never.
    ///
    /// A mutating getter, so that the keyspace is handed over by its address and not copied for it.
    public var nextTendMs: Int64? { mutating get { wheel.nextDueMs } }

    // MARK: Memory

    /// What all records together may take of the machine.
    private var arenaLimit: Int {
        mutating get {
            guard settings.memoryBytesMax > 0 else { return Int.max }
            return settings.memoryBytesMax - otherBytes
                - Keyspace.pagesPerInsertion * Pages.pageBytes
        }
    }

    /// The cleaner may take the last segment; without one it could never free another.
    var cleaningLimit: Int { mutating get { arenaLimit } }

    var writeLimit: Int {
        mutating get {
            let limit = arenaLimit
            return limit == Int.max ? Int.max : limit - settings.segmentBytes
        }
    }

    /// The live bytes that fit under the limit with the garbage the cleaner lets stand.
    var liveBytesMax: Int {
        mutating get {
            guard settings.memoryBytesMax > 0 else { return Int.max }
            return (arenaLimit - 5 * settings.segmentBytes) / 8 * 7
        }
    }

    /// Whether so many more live bytes fit, evicting (not `ref`) where that is allowed.
    mutating func makeRoom(_ bytes: Int, sparing ref: Ref) -> Bool {
        guard settings.memoryBytesMax > 0 else { return true }
        var left = Keyspace.removalsPerCallMax
        while bytes > 0, arena.live + bytes > liveBytesMax {
            if isLoading {
                // What the listings really take is less than was set aside for them.
                finishLoading()
                continue
            }
            guard settings.eviction == .lru, left > 0, evictOne(sparing: ref) else { return false }
            left -= 1
        }
        return true
    }

    /// Cleans until a block of `bytes` can be taken within the limit, or cleaning brings nothing
    /// more. The garbage rule makes this rare: it is for values of many segments.
    mutating func cleanForRoom(_ bytes: Int) {
        if arena.fits(bytes) { return }
        var left = Keyspace.forcedCleaningMax
        while left > 0, !arena.hasRoom(bytes, limit: writeLimit),
            arena.garbage > settings.segmentBytes
        {
            let before = arena.residentBytes
            clean(settings.segmentBytes, isForced: true)
            left -= settings.segmentBytes
            if arena.residentBytes >= before, arena.victim < 0 { return }
        }
    }

    /// Empties sparse segments, moving about `budget` bytes at most.
    mutating func clean(_ budget: Int, isForced: Bool = false) {
        var left = budget
        while left > 0 {
            if arena.victim < 0 {
                guard isForced || arena.wantsCleaning else { return }
                isCleanerStuck = !arena.chooseVictim()
                if isCleanerStuck { return }
            }
            let (ref, passed) = arena.nextSurvivor(budget: left)
            left -= passed
            if ref != 0 {
                isCleanerStuck = !move(ref)
                if isCleanerStuck {
                    arena.stepBack(over: records[ref].blockBytes)
                    return
                }
            } else if arena.isVictimEmpty {
                arena.releaseVictim()
                left -= Pages.pageBytes
            }
        }
    }

    /// Copies a live record out of the segment being emptied and tells everybody who names it.
    private mutating func move(_ ref: Ref) -> Bool {
        let record = records[ref]
        let bytes = record.blockBytes
        let new = arena.allocate(bytes, surviving: true, limit: cleaningLimit)
        guard new != 0 else { return false }
        let moved = records[new]
        unsafe moved.base.copyMemory(from: record.base, byteCount: bytes)
        index.replace(index.hash(moved), ref, with: new)
        if !moved.isTombstone {
            relist(ref, as: new, in: Int(moved.table))
            if moved.expiresAt != 0 { wheel.moved(new, records) }
        }
        arena.markDead(ref, record)
        return true
    }

    // MARK: Eviction

    /// Every 64th of the memory limit that is written begins a new age. A record carries the age
    /// of its last use in eight bits, so ages go round after four times the memory was written
    /// anew: by then whatever was not used is long gone. While nothing is written nothing ages.
    mutating func age(_ bytes: Int) {
        guard tracksRecency else { return }
        bytesSinceRecency += bytes
        guard bytesSinceRecency >= settings.memoryBytesMax / 64 else { return }
        bytesSinceRecency = 0
        recency &+= 1
    }

    /// Evicts the record that was unused longest among some dozens found by chance. An evicted
    /// record leaves no tombstone: the memory is needed.
    mutating func evictOne(sparing ref: Ref) -> Bool {
        var victim: Ref = 0
        var victimAge = -1
        var looked = 0
        let space = records
        let recency = recency
        for _ in 0..<32 where looked < 24 {
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            let start = random &* 0x9E37_79B9_7F4A_7C15
            index.sample(start) { candidate in
                let record = space[candidate]
                guard !record.isTombstone, candidate != ref else { return }
                looked += 1
                let age = Int(recency &- record.recency)
                if age > victimAge {
                    victim = candidate
                    victimAge = age
                }
            }
        }
        if victim == 0 {
            // Few records, many tombstones: take the first there is.
            var cursor = random
            var steps = 0
            while victim == 0, steps < 64 {
                let isMore = index.walk(&cursor) { candidate in
                    if candidate != ref, !space[candidate].isTombstone { victim = candidate }
                }
                if !isMore { cursor = 0 }
                steps += 1
            }
        }
        guard victim != 0 else { return false }
        let record = records[victim]
        let hash = index.hash(record)
        detach(victim)
        index.remove(hash, victim, &pages)
        cleaningDebt += record.blockBytes * 2
        arena.markDead(victim, record)
        note(
            .evicted, record, version: min(record.version + 1, Record.versionMax),
            stamp: record.stamp)
        return true
    }
}
