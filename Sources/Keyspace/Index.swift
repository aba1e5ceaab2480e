internal import CKeyspace

/// From a key's hash to its record: an extendible hash table whose segments are single pages.
///
/// The top bits of the hash choose a page through a directory of page numbers; within the page,
/// 64 buckets of one cache line hold twelve one-byte tags and twelve refs each, so a lookup
/// touches one line here and one in the arena. A full page splits into two; that is the only
/// way the index grows, a page at a time. Only the directory doubles, and it is four bytes for
/// some five hundred records.
///
/// ```
/// bucket:  12 tags · overflow u8 · (first bucket: depth u8 · count u16) · 12 refs u32
/// ```
///
/// A key whose bucket is full goes to the next one with room; each bucket counts how many went
/// past it, so a miss knows where to stop and removal leaves no markers behind.
@safe
struct Index: ~Copyable {
    static let bucketsPerPage = 64
    static let slotsPerBucket = 12
    /// A page splits at 90 % of its 768 slots: beyond, runs of full buckets get long.
    static let splitAt = 691
    /// Two halves of a split page are joined when they would fill two thirds of a page.
    static let joinAt = 512
    /// The directory's bound: 2^26 pages hold more records than a `Ref` can name.
    static let depthMax = 26

    let pagesBase: UnsafeMutableRawPointer
    let records: RecordSpace
    let hashing: KeyHash
    private var directory: UnsafeMutablePointer<UInt32>
    private(set) var depth = 1
    private(set) var count = 0
    private let scratch: UnsafeMutableRawPointer

    init(pages: inout Pages, records: RecordSpace, hashing: KeyHash) {
        unsafe pagesBase = unsafe pages.base
        self.records = records
        self.hashing = hashing
        unsafe directory = .allocate(capacity: 2)
        unsafe scratch = .allocate(byteCount: Pages.pageBytes, alignment: 64)
        let first = pages.takePage()
        unsafe pages.page(first).initializeMemory(
            as: UInt8.self, repeating: 0, count: Pages.pageBytes)
        unsafe directory[0] = first
        unsafe directory[1] = first
    }

    deinit {
        unsafe directory.deallocate()
        unsafe scratch.deallocate()
    }

    /// What the index takes besides its pages.
    var directoryBytes: Int { 4 << depth + Pages.pageBytes }

    // MARK: Looking up

    @inline(__always)
    func find(_ hash: UInt64, _ table: TableNumber, _ key: UnsafeRawBufferPointer) -> Ref {
        let page = unsafe page(of: hash)
        let pattern = Index.pattern(hash)
        var bucket = Index.home(hash)
        for _ in 0..<Index.bucketsPerPage {
            let line = unsafe page + bucket << 6
            var hits = unsafe Index.hits(line, pattern)
            while hits != 0 {
                let ref = unsafe Index.ref(line, Index.slot(hits))
                if unsafe records[ref].isNamed(table, key) { return ref }
                hits &= hits &- 1
            }
            if unsafe line.load(fromByteOffset: 12, as: UInt8.self) == 0 { return 0 }
            bucket = (bucket + 1) & (Index.bucketsPerPage - 1)
        }
        return 0
    }

    /// Has the line fetched that a lookup of this hash begins with.
    @inline(__always)
    func fetchBucket(_ hash: UInt64) {
        unsafe nt_prefetch(page(of: hash) + Index.home(hash) << 6)
    }

    private static let linesFetched = 8

    /// Has the lines fetched of the record that this hash most likely belongs to, and answers which
    /// that is; 0 where the bucket has none. Its key was not looked at.
    @inline(__always)
    func fetchRecord(_ hash: UInt64) -> Ref {
        let line = unsafe page(of: hash) + Index.home(hash) << 6
        let hits = unsafe Index.hits(line, Index.pattern(hash))
        guard hits != 0 else { return 0 }
        let ref = unsafe Index.ref(line, Index.slot(hits))
        // The lines of most records, as many as the processor has under way at once anyhow. It notices a
        // longer one by itself, but only when that is read.
        fetch(ref)
        return ref
    }

    @inline(__always)
    private func fetch(_ ref: Ref) {
        let start = unsafe records[ref].base
        for line in 0..<Index.linesFetched { unsafe nt_prefetch(start + line &<< 6) }
    }

    /// The record of this hash for which `accept` holds: whoever remembers a record over time
    /// remembers its hash, since the record itself may move.
    func find(hash: UInt64, where accept: (Record) -> Bool) -> Ref {
        let page = unsafe page(of: hash)
        let pattern = Index.pattern(hash)
        var bucket = Index.home(hash)
        for _ in 0..<Index.bucketsPerPage {
            let line = unsafe page + bucket << 6
            var hits = unsafe Index.hits(line, pattern)
            while hits != 0 {
                let ref = unsafe Index.ref(line, Index.slot(hits))
                let record = records[ref]
                if self.hash(record) == hash, accept(record) { return ref }
                hits &= hits &- 1
            }
            if unsafe line.load(fromByteOffset: 12, as: UInt8.self) == 0 { return 0 }
            bucket = (bucket + 1) & (Index.bucketsPerPage - 1)
        }
        return 0
    }

    @inline(__always)
    func hash(_ record: Record) -> UInt64 {
        unsafe hashing.hash(record.table, record.key)
    }

    // MARK: Changing

    /// Takes the pages that so many records need at least, which saves splitting the few there are
    /// again and again. Only while there is no record.
    mutating func expect(_ records: Int, _ pages: inout Pages) {
        guard count == 0, depth == 1 else { return }
        var wanted = depth
        while records >> wanted > Index.splitAt, wanted < Index.depthMax { wanted += 1 }
        guard wanted > depth, pages.canTake(1 << wanted) else { return }
        let first = unsafe directory[0]
        unsafe directory.deallocate()
        unsafe directory = .allocate(capacity: 1 << wanted)
        depth = wanted
        for entry in 0..<1 << wanted {
            let number = entry == 0 ? first : pages.takePage()
            unsafe Index.clear(pages.page(number), depth: wanted)
            unsafe directory[entry] = number
        }
    }

    /// Adds a record that is not there yet; its page may split first.
    mutating func insert(_ hash: UInt64, _ ref: Ref, _ pages: inout Pages) {
        while unsafe Index.filled(page(of: hash)) >= Index.splitAt { split(hash, &pages) }
        unsafe Index.place(page(of: hash), hash, ref)
        count += 1
    }

    /// The record moved.
    mutating func replace(_ hash: UInt64, _ old: Ref, with new: Ref) {
        let place = unsafe locate(hash, old)
        unsafe place.storeBytes(of: new, as: Ref.self)
    }

    mutating func remove(_ hash: UInt64, _ ref: Ref, _ pages: inout Pages) {
        let page = unsafe page(of: hash)
        var bucket = Index.home(hash)
        while true {
            let line = unsafe page + bucket << 6
            var hits = unsafe Index.hits(line, Index.pattern(hash))
            while hits != 0 {
                let slot = Index.slot(hits)
                if unsafe Index.ref(line, slot) == ref {
                    unsafe line.storeBytes(of: 0, toByteOffset: slot, as: UInt8.self)
                    unsafe Index.passBack(page, from: Index.home(hash), to: bucket)
                    unsafe Index.setFilled(page, Index.filled(page) - 1)
                    count -= 1
                    joinIfSparse(hash, &pages)
                    return
                }
                hits &= hits &- 1
            }
            invariant(
                unsafe line.load(fromByteOffset: 12, as: UInt8.self) != 0,
                "a record to remove is not in the index")
            bucket = (bucket + 1) & (Index.bucketsPerPage - 1)
        }
    }

    // MARK: Walking

    /// How many records ahead of the one that is visited are fetched.
    private static let fetchedAhead = 6

    /// Visits every record of the page that `cursor` falls into and moves the cursor to the
    /// first hash behind it; false when that was the last page.
    ///
    /// Pages that split or join between two steps never hide a record from a walk; joined ones
    /// may be visited twice.
    func walk(_ cursor: inout UInt64, _ visit: (Ref) -> Void) -> Bool {
        let page = unsafe page(of: cursor)
        var refs = InlineArray<768, Ref>(repeating: 0)
        var count = 0
        unsafe Index.each(page) {
            refs[count] = $0
            count += 1
        }
        // The records lie anywhere: read one by one each would be a wait for memory.
        for place in 0..<count {
            if place + Index.fetchedAhead < count { fetch(refs[place + Index.fetchedAhead]) }
            visit(refs[place])
        }
        if unsafe Index.depth(page) == 0 { return false }
        let span = UInt64(1) << UInt64(64 - (unsafe Index.depth(page)))
        let end = (cursor & ~(span - 1)).addingReportingOverflow(span)
        cursor = end.partialValue
        return !end.overflow
    }

    /// Checks each page's counts against what is in it and answers how many pages there are; for
    /// the audit.
    func audit() -> Int {
        var pageCount = 0
        var cursor: UInt64 = 0
        var isMore = true
        while isMore {
            let page = unsafe page(of: cursor)
            var filled = 0
            var passed = InlineArray<64, Int>(repeating: 0)
            for bucket in 0..<Index.bucketsPerPage {
                let line = unsafe page + bucket << 6
                for slot in 0..<Index.slotsPerBucket
                where unsafe line.load(fromByteOffset: slot, as: UInt8.self) != 0 {
                    filled += 1
                    var home = Index.home(hash(records[unsafe Index.ref(line, slot)]))
                    while home != bucket {
                        passed[home] += 1
                        home = (home + 1) & (Index.bucketsPerPage - 1)
                    }
                }
            }
            invariant(unsafe Index.filled(page) == filled, "a page of the index is miscounted")
            for bucket in 0..<Index.bucketsPerPage {
                let line = unsafe page + bucket << 6
                let told = Int(unsafe line.load(fromByteOffset: 12, as: UInt8.self))
                invariant(
                    told == passed[bucket] || told == 255,
                    "a bucket miscounts the records that went past it")
            }
            pageCount += 1
            isMore = walk(&cursor) { _ in }
        }
        return pageCount
    }

    /// Some records that lie together by chance, starting anywhere; for sampling.
    func sample(_ random: UInt64, _ visit: (Ref) -> Void) {
        let page = unsafe page(of: random)
        let first = Index.home(random)
        for step in 0..<2 {
            let line = unsafe page + ((first + step) & (Index.bucketsPerPage - 1)) << 6
            for slot in 0..<Index.slotsPerBucket
            where unsafe line.load(fromByteOffset: slot, as: UInt8.self) != 0 {
                visit(unsafe Index.ref(line, slot))
            }
        }
    }

    // MARK: Splitting and joining

    private mutating func split(_ hash: UInt64, _ pages: inout Pages) {
        let old = unsafe directory[Int(hash >> UInt64(64 - depth))]
        let page = unsafe pages.page(old)
        let pageDepth = unsafe Index.depth(page)
        if pageDepth == depth { doubleDirectory() }
        let added = pages.takePage()
        let upper = unsafe pages.page(added)
        unsafe scratch.copyMemory(from: page, byteCount: Pages.pageBytes)
        unsafe Index.clear(page, depth: pageDepth + 1)
        unsafe Index.clear(upper, depth: pageDepth + 1)
        let bit = UInt64(1) << UInt64(63 - pageDepth)
        warmScratch()
        unsafe Index.each(scratch) { ref in
            let hash = self.hash(records[ref])
            unsafe Index.place(hash & bit == 0 ? page : upper, hash, ref)
        }
        // The directory entries of the upper half: all that begin with the page's bits and a 1.
        let width = 1 << (depth - pageDepth - 1)
        let first = (Int(hash >> UInt64(64 - depth)) & ~(width * 2 - 1)) + width
        for entry in first..<first + width { unsafe directory[entry] = added }
    }

    private mutating func doubleDirectory() {
        invariant(depth < Index.depthMax, "the index's directory is at its bound")
        let larger = UnsafeMutablePointer<UInt32>.allocate(capacity: 2 << depth)
        for entry in 0..<1 << depth {
            unsafe larger[entry * 2] = unsafe directory[entry]
            unsafe larger[entry * 2 + 1] = unsafe directory[entry]
        }
        unsafe directory.deallocate()
        unsafe directory = unsafe larger
        depth += 1
    }

    private mutating func joinIfSparse(_ hash: UInt64, _ pages: inout Pages) {
        let entry = Int(hash >> UInt64(64 - depth))
        let mine = unsafe directory[entry]
        let page = unsafe pages.page(mine)
        let pageDepth = unsafe Index.depth(page)
        guard pageDepth > 1, unsafe Index.filled(page) <= Index.joinAt / 2 else { return }
        let width = 1 << (depth - pageDepth)
        let first = entry & ~(width - 1)
        let buddyFirst = first ^ width
        let buddy = unsafe directory[buddyFirst]
        let other = unsafe pages.page(buddy)
        guard unsafe Index.depth(other) == pageDepth,
            unsafe Index.filled(page) + Index.filled(other) <= Index.joinAt
        else { return }
        unsafe scratch.copyMemory(from: page, byteCount: Pages.pageBytes)
        warmScratch()
        unsafe Index.each(scratch) { ref in
            unsafe Index.place(other, self.hash(records[ref]), ref)
        }
        unsafe Index.setDepth(other, pageDepth - 1)
        for entry in first..<first + width { unsafe directory[entry] = buddy }
        pages.givePage(mine)
    }

    /// Rehashing a page reads some hundreds of records from all over the arena: asking for all
    /// of them first lets the processor wait for many at once.
    private func warmScratch() {
        var seen: UInt8 = 0
        unsafe Index.each(scratch) { seen &+= records[$0].recency }
        withExtendedLifetime(seen) {}
    }

    // MARK: Buckets

    @inline(__always)
    private func page(of hash: UInt64) -> UnsafeMutableRawPointer {
        unsafe pagesBase + Int(directory[Int(hash >> UInt64(64 - depth))]) << 12
    }

    @inline(__always)
    private static func home(_ hash: UInt64) -> Int { Int(hash >> 8) & (bucketsPerPage - 1) }

    @inline(__always)
    private static func tag(_ hash: UInt64) -> UInt8 {
        let low = UInt8(truncatingIfNeeded: hash)
        return low == 0 ? 1 : low
    }

    @inline(__always)
    private static func pattern(_ hash: UInt64) -> UInt64 {
        UInt64(tag(hash)) &* 0x0101_0101_0101_0101
    }

    /// One bit for each of the twelve tags that equals the pattern's: slot 0-7 at bit 8 × slot,
    /// slot 8-11 at bit 8 × (slot - 8) + 1. Bytes are compared eight at a time, exactly.
    @inline(__always)
    private static func hits(_ line: UnsafeMutableRawPointer, _ pattern: UInt64) -> UInt64 {
        let low = zeroBytes(unsafe line.load(as: UInt64.self) ^ pattern)
        let high = zeroBytes(
            UInt64(unsafe line.load(fromByteOffset: 8, as: UInt32.self))
                ^ pattern & 0xFFFF_FFFF | 0x0101_0101_0000_0000)
        return low >> 7 | high >> 6
    }

    @inline(__always)
    private static func zeroBytes(_ word: UInt64) -> UInt64 {
        let low7: UInt64 = 0x7F7F_7F7F_7F7F_7F7F
        return ~((word & low7) &+ low7 | word | low7)
    }

    @inline(__always)
    private static func slot(_ hits: UInt64) -> Int {
        let bit = hits.trailingZeroBitCount
        return bit >> 3 + (bit & 1) << 3
    }

    @inline(__always)
    private static func ref(_ line: UnsafeMutableRawPointer, _ slot: Int) -> Ref {
        unsafe line.load(fromByteOffset: 16 + slot << 2, as: Ref.self)
    }

    private static func depth(_ page: UnsafeMutableRawPointer) -> Int {
        // A new index has one page for both halves of its directory: depth 0.
        Int(unsafe page.load(fromByteOffset: 13, as: UInt8.self))
    }

    private static func setDepth(_ page: UnsafeMutableRawPointer, _ depth: Int) {
        unsafe page.storeBytes(
            of: UInt8(truncatingIfNeeded: depth), toByteOffset: 13, as: UInt8.self)
    }

    private static func filled(_ page: UnsafeMutableRawPointer) -> Int {
        Int(unsafe page.load(fromByteOffset: 14, as: UInt16.self))
    }

    private static func setFilled(_ page: UnsafeMutableRawPointer, _ count: Int) {
        unsafe page.storeBytes(
            of: UInt16(truncatingIfNeeded: count), toByteOffset: 14, as: UInt16.self)
    }

    private static func clear(_ page: UnsafeMutableRawPointer, depth: Int) {
        unsafe page.initializeMemory(as: UInt8.self, repeating: 0, count: Pages.pageBytes)
        unsafe setDepth(page, depth)
    }

    private static func each(_ page: UnsafeMutableRawPointer, _ visit: (Ref) -> Void) {
        for bucket in 0..<bucketsPerPage {
            let line = unsafe page + bucket << 6
            for slot in 0..<slotsPerBucket
            where unsafe line.load(fromByteOffset: slot, as: UInt8.self) != 0 {
                visit(unsafe ref(line, slot))
            }
        }
    }

    private static func place(_ page: UnsafeMutableRawPointer, _ hash: UInt64, _ ref: Ref) {
        var bucket = home(hash)
        while true {
            let line = unsafe page + bucket << 6
            let empty = unsafe hits(line, 0)
            if empty != 0 {
                let slot = slot(empty)
                unsafe line.storeBytes(of: tag(hash), toByteOffset: slot, as: UInt8.self)
                unsafe line.storeBytes(of: ref, toByteOffset: 16 + slot << 2, as: Ref.self)
                unsafe setFilled(page, filled(page) + 1)
                return
            }
            let passed = unsafe line.load(fromByteOffset: 12, as: UInt8.self)
            if passed < 255 {
                unsafe line.storeBytes(of: passed + 1, toByteOffset: 12, as: UInt8.self)
            }
            bucket = (bucket + 1) & (bucketsPerPage - 1)
        }
    }

    /// One record fewer went past these buckets. A count that reached 255 stays: it is no longer
    /// known.
    private static func passBack(_ page: UnsafeMutableRawPointer, from: Int, to end: Int) {
        var bucket = from
        while bucket != end {
            let line = unsafe page + bucket << 6
            let passed = unsafe line.load(fromByteOffset: 12, as: UInt8.self)
            if passed < 255 {
                unsafe line.storeBytes(of: passed - 1, toByteOffset: 12, as: UInt8.self)
            }
            bucket = (bucket + 1) & (bucketsPerPage - 1)
        }
    }

    private func locate(_ hash: UInt64, _ ref: Ref) -> UnsafeMutableRawPointer {
        let page = unsafe page(of: hash)
        var bucket = Index.home(hash)
        while true {
            let line = unsafe page + bucket << 6
            var hits = unsafe Index.hits(line, Index.pattern(hash))
            while hits != 0 {
                let slot = Index.slot(hits)
                if unsafe Index.ref(line, slot) == ref { return unsafe line + (16 + slot << 2) }
                hits &= hits &- 1
            }
            invariant(
                unsafe line.load(fromByteOffset: 12, as: UInt8.self) != 0,
                "a record to move is not in the index")
            bucket = (bucket + 1) & (Index.bucketsPerPage - 1)
        }
    }
}
