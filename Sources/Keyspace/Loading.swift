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
        index.expect(min(expected, most * Index.splitAt), &pages)
    }

    /// Puts all records into their tables' listings.
    public mutating func finishLoading() {
        guard isLoading else { return }
        isLoading = false
        promisedBytes = 0
        arena.fillsAhead = false
        guard count > 0 else { return }
        let entries = UnsafeMutableBufferPointer<KeyOrder.Entry>.allocate(capacity: count)
        let parts = UnsafeMutableBufferPointer<Part>.allocate(capacity: tablesCapacity)
        defer {
            unsafe entries.deallocate()
            unsafe parts.deallocate()
        }
        var sum = 0
        for table in parts.indices {
            unsafe parts.initializeElement(at: table, to: Part(start: sum, end: sum))
            sum += unsafe tables[table].count
        }
        invariant(sum == count, "the tables' counts don't add up")
        unsafe collect(entries, parts)
        let order = KeyOrder(records)
        for table in parts.indices {
            let part = unsafe parts[table]
            invariant(
                unsafe part.end - part.start == tables[table].count,
                "a table's count is not that of its records")
            guard part.end > part.start else { continue }
            let all = unsafe UnsafeMutableBufferPointer(rebasing: entries[part.start..<part.end])
            unsafe order.sort(all, shared: part.shared)
            unsafe tables[table].listing.fill(UnsafeBufferPointer(all), records, &pages)
        }
    }

    /// One table's entries while they are collected.
    private struct Part {
        let start: Int
        var end: Int
        /// How many bytes all keys begin with, as far as they were seen.
        var shared = 0
    }

    /// In the order in which the records lie in memory, table by table.
    private mutating func collect(
        _ entries: UnsafeMutableBufferPointer<KeyOrder.Entry>,
        _ parts: UnsafeMutableBufferPointer<Part>
    ) {
        let records = records
        arena.each { ref, record in
            guard !record.isTombstone else { return }
            let part = unsafe parts.baseAddress.unsafelyUnwrapped + Int(record.table)
            let end = unsafe part.pointee.end
            if unsafe end == part.pointee.start {
                unsafe part.pointee.shared = record.keyCount
            } else {
                let first = unsafe records[entries[part.pointee.start].ref]
                unsafe part.pointee.shared = record.keyPrefix(
                    sharedWith: first, atMost: part.pointee.shared)
            }
            unsafe entries.initializeElement(
                at: end,
                to: KeyOrder.Entry(
                    head: record.head(behind: 0), more: record.head(behind: 8), ref: ref))
            unsafe part.pointee.end = end + 1
        }
    }

    // MARK: Listings, now or at the end of loading

    /// A live record came into a table.
    @inline(__always)
    mutating func enlist(_ ref: Ref, in table: Int) {
        if isLoading {
            promisedBytes += unsafe tables[table].count == 0 ? Pages.blockBytes : Keyspace.promised
        } else {
            unsafe tables[table].listing.insert(ref, records, &pages)
        }
    }

    @inline(__always)
    mutating func relist(_ old: Ref, as new: Ref, in table: Int) {
        if isLoading { return }
        unsafe tables[table].listing.replace(old, with: new, records, pages)
    }

    /// A live record leaves its table.
    @inline(__always)
    mutating func delist(_ ref: Ref, in table: Int) {
        if isLoading {
            promisedBytes -= unsafe tables[table].count == 1 ? Pages.blockBytes : Keyspace.promised
        } else {
            unsafe tables[table].listing.remove(ref, records, &pages)
        }
    }

    /// What a record's place in a listing takes at most, inner blocks and what they leave free
    /// included.
    private static let promised = 10
}

extension Record {
    /// How many bytes this key and another both begin with, of the first `most`.
    @inline(__always)
    fileprivate func keyPrefix(sharedWith other: Record, atMost most: Int) -> Int {
        let mine = unsafe key
        let others = unsafe other.key
        let end = min(most, min(mine.count, others.count))
        var count = 0
        while count < end, unsafe mine[count] == others[count] { count += 1 }
        return count
    }
}
