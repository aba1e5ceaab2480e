/// Filling a keyspace at a start, when all records come at once and nobody reads yet.
///
/// The index begins with the pages it will need, and the records are put in order once, at the end,
/// instead of each being looked up a place among those that came before.
extension Keyspace {
    /// Begins to load about so many records. Until `finishLoading` nothing can be listed.
    public mutating func beginLoading(expecting expected: Int) {
        guard count == 0, index.count == 0, !isLoading else { return }
        isLoading = true
        arena.fillsAhead = true
        var most = pages.pagesMax / 2
        if settings.memoryBytesMax > 0 {
            // A wrong expectation must not take the memory that records need.
            most = min(most, settings.memoryBytesMax / 16 / Pages.pageBytes)
        }
        let believed = min(expected, most * Index.splitAt)
        index.expect(believed, &pages)
        // What the log has beside the snapshot is not known beforehand.
        arrivals = Arrivals(most: min(believed + believed / 4, Arrivals.mostMax))
    }

    /// Puts all records into their tables' listings.
    public mutating func finishLoading() {
        guard isLoading else { return }
        isLoading = false
        promisedBytes = 0
        arena.fillsAhead = false
        if arrivals.count != count { arrivals = collect() }
        let parts = unsafe arrivals.parted(tablesCapacity) { unsafe tables[$0].count }
        let order = KeyOrder(records)
        for table in unsafe parts.indices {
            let part = unsafe parts[table]
            guard !part.isEmpty else { continue }
            unsafe order.sort(part)
            unsafe tables[table].listing.fill(UnsafeBufferPointer(part), records, &pages)
        }
        arrivals = Arrivals(most: 0)
    }

    /// All live records, in the order in which they lie in memory.
    private mutating func collect() -> Arrivals {
        var all = Arrivals(most: count)
        arena.each { ref, record in
            if !record.isTombstone { all.note(ref, record) }
        }
        invariant(all.count == count, "the live records are not as many as were counted")
        return all
    }

    // MARK: Listings, now or at the end of loading

    /// A live record came into a table.
    @inline(__always)
    mutating func enlist(_ ref: Ref, in table: Int) {
        if isLoading {
            promisedBytes += unsafe tables[table].count == 0 ? Pages.blockBytes : Keyspace.promised
            arrivals.note(ref, records[ref])
        } else {
            unsafe tables[table].listing.insert(ref, records, &pages)
        }
    }

    @inline(__always)
    mutating func relist(_ old: Ref, as new: Ref, in table: Int) {
        if isLoading { return arrivals.giveUp() }
        unsafe tables[table].listing.replace(old, with: new, records, pages)
    }

    /// A live record leaves its table.
    @inline(__always)
    mutating func delist(_ ref: Ref, in table: Int) {
        if isLoading {
            promisedBytes -= unsafe tables[table].count == 1 ? Pages.blockBytes : Keyspace.promised
            arrivals.giveUp()
        } else {
            unsafe tables[table].listing.remove(ref, records, &pages)
        }
    }

    /// What a record's place in a listing takes at most, inner blocks and what they leave free
    /// included.
    private static let promised = 10
}

/// What the listings will be made of: one entry for each live record.
///
/// A record is noted as it comes, while its key is at hand: to read all of them once more at the end
/// is a wait for memory each. That holds for as long as each key comes once, as it does from a
/// snapshot. After that the records themselves have to be asked.
@safe
struct Arrivals: ~Copyable {
    typealias Part = UnsafeMutableBufferPointer<KeyOrder.Entry>

    /// With more records than this the wait at the end is taken.
    static let mostMax = 1 << 24

    private let entries: Part
    /// How many were noted; -1 once what was noted is not what there is.
    private(set) var count = 0

    init(most: Int) {
        unsafe entries = .allocate(capacity: most)
    }

    deinit { unsafe entries.deallocate() }

    @inline(__always)
    mutating func note(_ ref: Ref, _ record: Record) {
        guard count >= 0 else { return }
        guard unsafe count < entries.count else { return giveUp() }
        unsafe entries.initializeElement(
            at: count,
            to: KeyOrder.Entry(
                head: record.head(behind: 0), more: record.head(behind: 8), ref: ref,
                table: record.table))
        count += 1
    }

    mutating func giveUp() { count = -1 }

    /// Brings together what is of one table, and answers each table's entries.
    mutating func parted(_ tables: Int, counts: (Int) -> Int) -> [Part] {
        var next: [Int] = []
        var ends: [Int] = []
        var sum = 0
        for table in 0..<tables {
            next.append(sum)
            sum += counts(table)
            ends.append(sum)
        }
        invariant(sum == count, "the tables' counts don't add up")
        let starts = next
        for table in 0..<tables {
            while next[table] < ends[table] {
                let place = next[table]
                let home = unsafe Int(entries[place].table)
                if home != table { unsafe entries.swapAt(place, next[home]) }
                next[home] += 1
            }
        }
        return unsafe (0..<tables).map { table in
            unsafe Part(rebasing: entries[starts[table]..<ends[table]])
        }
    }
}
