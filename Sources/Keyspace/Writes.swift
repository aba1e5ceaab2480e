/// Writing: every path by which a record comes, changes and goes.
extension Keyspace {
    /// Writes a value over whatever the key has, if its owner and the condition allow it.
    public mutating func put(_ command: borrowing Command, at now: Int64) -> Reply {
        let keyCount = unsafe command.key.bytes.count
        let valueCount = unsafe command.value.bytes.count
        guard keyCount > 0, keyCount <= Key.bytesMax, valueCount <= Keyspace.valueBytesMax
        else { return Reply(.tooLarge) }
        begin(expecting: Record.fixedBytes + 32 + keyCount + valueCount)
        let ref = liveOrTombstone(command.key, at: now)
        let old = ref == 0 ? nil : records[ref]
        let live = old.flatMap { $0.isTombstone ? nil : $0 }
        if let refusal = refusal(command, live) { return refusal }

        let stamp = clock.next(at: now)
        var head = Record.Head()
        head.kind = command.value.kind
        head.contentType = command.value.contentType
        head.stamp = stamp
        head.created = live?.created ?? stamp
        head.version = min((old?.version ?? 0) + 1, Record.versionMax)
        head.owner = command.principal
        if let live { head.owner = live.owner }
        head.table = command.key.table
        head.expiresAt = expiry(command.expiry, live)
        let new = unsafe store(
            head, command.key.hash, command.key.bytes, command.value.bytes, over: ref)
        guard new != 0 else { return Reply(.outOfMemory) }
        let record = records[new]
        let position = note(.updated, record, version: head.version, stamp: stamp)
        return Reply(live == nil ? .created : .updated, record, position: position)
    }

    /// Deletes a record and leaves a tombstone.
    public mutating func delete(_ command: borrowing Command, at now: Int64) -> Reply {
        begin(expecting: 0)
        let ref = liveOrTombstone(command.key, at: now)
        let live = ref == 0 || records[ref].isTombstone ? nil : records[ref]
        if let refusal = refusal(command, live) { return refusal }
        guard let live else { return Reply(.missing) }
        let stamp = clock.next(at: now)
        let version = min(live.version + 1, Record.versionMax)
        let tombstone = bury(ref, command.key.hash, version: version, stamp: stamp, at: now)
        let position = note(.deleted, tombstone, version: version, stamp: stamp)
        return Reply(.deleted, tombstone, position: position)
    }

    /// Gives a record another expiry; a write like any other, but the value stays.
    public mutating func expire(_ command: borrowing Command, at now: Int64) -> Reply {
        let keyCount = unsafe command.key.bytes.count
        let valueCount = get(command.key, at: now)?.valueCount ?? 0
        begin(expecting: Record.fixedBytes + 32 + keyCount + valueCount)
        let ref = liveOrTombstone(command.key, at: now)
        let live = ref == 0 || records[ref].isTombstone ? nil : records[ref]
        if let refusal = refusal(command, live) { return refusal }
        guard let live else { return Reply(.missing) }
        var head = live.head
        head.stamp = clock.next(at: now)
        head.version = min(head.version + 1, Record.versionMax)
        head.expiresAt = expiry(command.expiry, live)
        let new = unsafe store(head, command.key.hash, live.key, live.value, over: ref)
        guard new != 0 else { return Reply(.outOfMemory) }
        let record = records[new]
        let position = note(.updated, record, version: head.version, stamp: head.stamp)
        return Reply(.updated, record, position: position)
    }

    /// Deletes up to `budget` records of a table, first keys first, and answers how many are
    /// left. Called until none is, it empties the table without holding the shard up.
    public mutating func clear(_ table: TableNumber, budget: Int, at now: Int64) -> Int {
        begin(expecting: 0)
        var left = min(budget, Keyspace.removalsPerCallMax)
        while left > 0, count(of: table) > 0 {
            let place = unsafe self.tables[Int(table)].listing.seek(
                UnsafeRawBufferPointer(start: nil, count: 0), past: false, records, pages)
            invariant(place.block != 0, "a table's count and its listing disagree")
            let ref = Listing.entry(place.block, place.place, pages).ref
            let stamp = clock.next(at: now)
            let version = min(records[ref].version + 1, Record.versionMax)
            let tombstone = bury(
                ref, index.hash(records[ref]), version: version, stamp: stamp, at: now)
            note(.deleted, tombstone, version: version, stamp: stamp)
            left -= 1
        }
        return count(of: table)
    }

    // MARK: Parts of a write

    /// What every changing call begins with: the last call's changes are let go, the cleaner
    /// works off what it owes, and there is room for a block of `bytes` if cleaning can make it.
    mutating func begin(expecting bytes: Int) {
        forgetChanges()
        arena.releaseLarge()
        if cleaningDebt > 0, arena.wantsCleaning {
            clean(min(cleaningDebt, Keyspace.cleaningPerCallMax))
        }
        cleaningDebt = 0
        if settings.memoryBytesMax > 0, bytes > 0 { cleanForRoom(bytes) }
    }

    /// The key's record or tombstone; a record whose time is over becomes one first.
    mutating func liveOrTombstone(_ key: Key, at now: Int64) -> Ref {
        let ref = unsafe index.find(key.hash, key.table, key.bytes)
        guard ref != 0, !records[ref].isTombstone, !isVisible(records[ref], at: now)
        else { return ref }
        takeOutExpired(ref, key.hash, at: now)
        return unsafe index.find(key.hash, key.table, key.bytes)
    }

    /// A record that is due goes, and its change is noted.
    mutating func takeOutExpired(_ ref: Ref, _ hash: UInt64, at now: Int64) {
        // Every replica comes to the same tombstone by itself: no stamp of its own, no log.
        let stamp = records[ref].stamp
        let version = min(records[ref].version + 1, Record.versionMax)
        let tombstone = bury(ref, hash, version: version, stamp: stamp, at: now)
        note(.expired, tombstone, version: version, stamp: stamp, logged: false)
    }

    func refusal(_ command: borrowing Command, _ live: Record?) -> Reply? {
        // 'Only if absent' is answered before ownership is: whoever loses the race for a key
        // hears that somebody has it, not that they did something forbidden.
        if command.condition == .absent {
            return live == nil ? nil : Reply(.conditionFailed, live)
        }
        if let live, live.owner != command.principal, live.owner != .anonymous,
            command.principal != .system
        {
            return Reply(.notOwner, live)
        }
        let holds =
            switch command.condition {
            case .none: true
            case .absent: live == nil
            case .present: live != nil
            case .version(let version): live?.version == version
            case .exactly(let version, let stamp):
                live?.version == version && live?.stamp == stamp
            }
        return holds ? nil : Reply(.conditionFailed, live)
    }

    private func expiry(_ expiry: Expiry, _ live: Record?) -> Int64 {
        switch expiry {
        case .never: 0
        case .keep: live?.expiresAt ?? 0
        // 0 would mean never.
        case .at(let time): max(1, time)
        }
    }

    /// Puts a record where `ref` was, or anew when that is 0: in place when it fits, else at the
    /// arena's open end. 0 when there is no room. The bytes may be those of `ref` itself.
    mutating func store(
        _ head: Record.Head, _ hash: UInt64, _ key: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer, over ref: Ref
    ) -> Ref {
        let bytes = head.blockBytes(key.count, value.count)
        let table = Int(head.table)
        open(head.table)
        age(bytes)

        if ref != 0, !arena.isLarge(ref) {
            let old = records[ref]
            let oldBytes = old.blockBytes
            if bytes <= oldBytes, !old.isTombstone || pages.canTake(Keyspace.pagesPerInsertion) {
                let wasTombstone = old.isTombstone
                if old.expiresAt != 0 { dropEnd(of: ref) }
                unsafe old.write(head, recency: recency, key: key, value: value)
                arena.shrink(ref, from: oldBytes, to: bytes)
                cleaningDebt += (oldBytes - bytes) * 2
                if wasTombstone {
                    enlist(ref, in: table)
                    unsafe tables[table].count += 1
                    count += 1
                }
                if head.expiresAt != 0 { awaitEnd(of: ref) }
                return ref
            }
        }

        let new = take(bytes, over: ref)
        guard new != 0 else { return 0 }
        unsafe records[new].write(head, recency: recency, key: key, value: value)
        link(new, over: ref, hash, head)
        return new
    }

    /// As `store`, for a large value that is written by `fill` where it will lie: memory that nobody
    /// touches is not given, so `fill` need not write all of it. What it leaves out is zero.
    mutating func storeLarge(
        _ head: Record.Head, _ hash: UInt64, _ key: UnsafeRawBufferPointer, valueBytes: Int,
        over ref: Ref, fill: (UnsafeMutableRawPointer) -> Void
    ) -> Ref {
        let bytes = head.blockBytes(key.count, valueBytes)
        open(head.table)
        age(bytes)
        let new = take(bytes, over: ref)
        guard new != 0 else { return 0 }
        invariant(arena.isLarge(new), "a small record was stored as a large one")
        let none = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        unsafe records[new].write(head, recency: recency, key: key, value: none)
        let room = unsafe records[new].leaveRoom(valueBytes)
        unsafe fill(room)
        link(new, over: ref, hash, head)
        return new
    }

    /// Whether a block is so large that `storeLarge` takes it.
    func isLarge(_ head: Record.Head, keyBytes: Int, valueBytes: Int) -> Bool {
        head.blockBytes(keyBytes, valueBytes) > arena.largeFrom
    }

    /// A new block for what lies at `ref`, or for nothing yet; 0 when there is no memory for it.
    @inline(__always)
    private mutating func take(_ bytes: Int, over ref: Ref) -> Ref {
        let freed = ref == 0 ? 0 : records[ref].blockBytes
        guard pages.canTake(Keyspace.pagesPerInsertion), makeRoom(bytes - freed, sparing: ref)
        else { return 0 }
        // The limit is asked for only where a segment is taken: it costs more than all the rest.
        let new = arena.allocate(bytes, limit: arena.fits(bytes) ? Int.max : writeLimit)
        if new != 0 { cleaningDebt += bytes * 8 }
        return new
    }

    /// The record just written at `new` takes the place of what lies at `ref`, if anything does.
    @inline(__always)
    private mutating func link(
        _ new: Ref, over ref: Ref, _ hash: UInt64, _ head: borrowing Record.Head
    ) {
        let table = Int(head.table)
        if ref == 0 {
            index.insert(hash, new, &pages)
        } else {
            index.replace(hash, ref, with: new)
        }
        if ref == 0 || records[ref].isTombstone {
            enlist(new, in: table)
            unsafe tables[table].count += 1
            count += 1
        } else {
            relist(ref, as: new, in: table)
        }
        if ref != 0 {
            if records[ref].expiresAt != 0 { dropEnd(of: ref) }
            arena.markDead(ref, records[ref])
        }
        if head.expiresAt != 0 { awaitEnd(of: new) }
    }

    /// Makes a live record a tombstone, in its own place: deleting never needs memory. (A large
    /// record's tombstone lies elsewhere; where there is no room even for that, there is none,
    /// and the answer is the dead record.)
    mutating func bury(
        _ ref: Ref, _ hash: UInt64, version: UInt64, stamp: Stamp, at now: Int64
    ) -> Record {
        let old = records[ref]
        detach(ref)
        var head = Record.Head()
        head.stamp = stamp
        head.created = stamp
        head.version = version
        head.owner = old.owner
        head.table = old.table
        head.isTombstone = true
        let none = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        if arena.isLarge(ref) {
            let bytes = head.blockBytes(old.keyCount, 0)
            let new = arena.allocate(bytes, limit: cleaningLimit)
            if new == 0 {
                index.remove(hash, ref, &pages)
                arena.markDead(ref, old)
                return old
            }
            unsafe records[new].write(head, recency: recency, key: old.key, value: none)
            index.replace(hash, ref, with: new)
            arena.markDead(ref, old)
            remember(hash, stamp, at: now)
            return records[new]
        }
        let oldBytes = old.blockBytes
        let bytes = head.blockBytes(old.keyCount, 0)
        unsafe old.write(head, recency: recency, key: old.key, value: none)
        arena.shrink(ref, from: oldBytes, to: bytes)
        cleaningDebt += (oldBytes - bytes) * 2
        remember(hash, stamp, at: now)
        return old
    }

    /// Takes a live record out of its listing, its table's count and the wheel.
    mutating func detach(_ ref: Ref) {
        let table = Int(records[ref].table)
        delist(ref, in: table)
        unsafe tables[table].count -= 1
        count -= 1
        if records[ref].expiresAt != 0 { dropEnd(of: ref) }
    }

    mutating func remember(_ hash: UInt64, _ stamp: Stamp, at now: Int64) {
        while tombstones.isFull { forgetOldestTombstone() }
        tombstones.append(Tombstones.Entry(hash: hash, stamp: stamp, sinceMs: now))
    }

    mutating func forgetOldestTombstone() {
        guard let oldest = tombstones.oldest else { return }
        tombstones.dropOldest()
        let ref = index.find(hash: oldest.hash) { $0.isTombstone && $0.stamp == oldest.stamp }
        guard ref != 0 else { return }
        index.remove(oldest.hash, ref, &pages)
        cleaningDebt += records[ref].blockBytes * 2
        arena.markDead(ref, records[ref])
    }
}
