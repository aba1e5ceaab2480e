/// Reading many records: a table's in the order of keys, a shard's for a snapshot.
extension Keyspace {
    /// A reader's way through part of a table. It is plain data, good as long as the keyspace is
    /// not changed; across turns a reader remembers the last key instead.
    @safe
    public struct Page {
        public let table: TableNumber
        let prefix: UnsafeRawBufferPointer
        var block: UInt32
        var place: Int
        /// Records this page may still look at, visible or not: a table full of expired records
        /// must not hold the shard up.
        public internal(set) var stepsLeft: Int
        /// The last record looked at. Its key is where the next page goes on.
        public internal(set) var last: Record?
        /// Whether nothing is left, as opposed to no step.
        public internal(set) var isAtEnd = false
    }

    /// Begins to list the keys with a prefix that come after a key (empty: from the first). The
    /// bytes have to stay valid as long as the page is used.
    public func list(
        _ table: TableNumber, prefix: UnsafeRawBufferPointer, after: UnsafeRawBufferPointer,
        steps: Int
    ) -> Page {
        var page = unsafe Page(
            table: table, prefix: prefix, block: 0, place: 0, stepsLeft: steps, last: nil)
        guard Int(table) < tablesCapacity else {
            page.isAtEnd = true
            return page
        }
        let listing = unsafe tables[Int(table)].listing
        let isPast = unsafe after.count > 0 && !Keyspace.comes(after, before: prefix)
        let place = unsafe listing.seek(isPast ? after : prefix, past: isPast, records, pages)
        page.block = place.block
        page.place = place.place
        page.isAtEnd = place.block == 0
        return page
    }

    /// The next visible record of the page; nil when the page has no step left or is at its end.
    public func next(_ page: inout Page, at now: Int64) -> Record? {
        while !page.isAtEnd, page.stepsLeft > 0 {
            let (ref, isLast) = Listing.entry(page.block, page.place, pages)
            let record = records[ref]
            guard unsafe record.key.starts(with: page.prefix) else {
                page.isAtEnd = true
                return nil
            }
            page.stepsLeft -= 1
            page.last = record
            page.place += 1
            if isLast {
                let next = unsafe tables[Int(page.table)].listing.seek(
                    record.key, past: true, records, pages)
                page.block = next.block
                page.place = next.place
                page.isAtEnd = next.block == 0
            }
            if isVisible(record, at: now) { return record }
        }
        return nil
    }

    /// Visits some hundreds of records, tombstones included, from `cursor` (0 at first) on, and
    /// moves it; false when that were the last.
    ///
    /// Between two steps anything may change. A record that is there during the whole walk is
    /// visited at least once; with its stamp, whoever collects the records can take them in any
    /// order, as often as they come, and play the log on top.
    public func walk(_ cursor: inout UInt64, _ visit: (Record) -> Void) -> Bool {
        let records = records
        return index.walk(&cursor) { visit(records[$0]) }
    }

    private static func comes(
        _ one: UnsafeRawBufferPointer, before other: UnsafeRawBufferPointer
    ) -> Bool {
        unsafe one.lexicographicallyPrecedes(other)
    }
}

extension Keyspace {
    /// The version a deleted key counts as, as long as its tombstone lives.
    public mutating func tombstoneVersion(of key: Key) -> UInt64? {
        let ref = unsafe index.find(key.hash, key.table, key.bytes)
        guard ref != 0, records[ref].isTombstone else { return nil }
        return records[ref].version
    }
}
