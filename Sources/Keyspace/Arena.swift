/// Where the records of one shard lie: segments that are filled from the front and emptied as
/// a whole.
///
/// A record that grows is written anew at the open end; its old place is garbage until a
/// cleaner moves what is still alive out of the emptiest segment and gives that segment back.
/// This bounds fragmentation whatever sizes people choose (a free list by size can't: a shard
/// full of holes of the wrong size stays full), and makes loading a straight line through
/// memory. A record too large for that gets segments of its own, given back when it dies.
@safe
struct Arena: ~Copyable {
    enum State: UInt8 {
        case free, freeWarm, open, closed, large, largeRest
    }

    struct Segment {
        /// Bytes of live records; of a large record's first segment, its bytes in whole pages.
        var live: UInt32
        /// Bytes filled; of a large record's first segment, how many segments it has.
        var fill: UInt32
        /// Links large records that died and are not yet given back.
        var next: UInt32
        var state: State
    }

    /// Empty segments kept for the next taker instead of being given back at once.
    static let warmMax = 2
    /// The first addresses stay unused, so that small `Ref` values can mean other things: 0 is
    /// nobody, and the expiry wheel marks the heads of its lists with 1...1024.
    static let firstOffset = 16_384

    let base: UnsafeMutableRawPointer
    let segmentBytes: Int
    let segmentsMax: Int
    /// A block larger than this gets segments of its own.
    let largeFrom: Int
    private let shift: Int
    private let segments: UnsafeMutablePointer<Segment>

    private var used: Int
    private var opened: Int
    /// No segment below this one is free.
    private var lowestFree: Int
    private var freeCount = 0
    private var writing = -1
    private var surviving = -1
    private var warm = InlineArray<2, Int>(repeating: -1)
    private var warmCount = 0
    private var deadLarge: UInt32 = 0

    /// Bytes of live blocks, large ones in whole pages.
    private(set) var live = 0
    private(set) var heldSegments = 0
    private(set) var largeBytes = 0
    /// The segment being emptied, and how far the cleaner got.
    private(set) var victim = -1
    private var victimOffset = 0
    /// Whether nothing was written of late.
    var isQuiet = false

    /// `table` is usable zeroed room for `segmentsMax` entries.
    init(
        base: UnsafeMutableRawPointer, segmentBytes: Int, segmentsMax: Int,
        table: UnsafeMutableRawPointer
    ) {
        unsafe self.base = unsafe base
        self.segmentBytes = segmentBytes
        self.segmentsMax = segmentsMax
        largeFrom = segmentBytes / 4
        shift = segmentBytes.trailingZeroBitCount
        used = max(1, Arena.firstOffset / segmentBytes)
        opened = 0
        lowestFree = used
        unsafe segments = unsafe table.bindMemory(to: Segment.self, capacity: segmentsMax)
    }

    /// What a table of `count` segments takes.
    static func tableBytes(_ count: Int) -> Int { count * MemoryLayout<Segment>.stride }

    // MARK: Accounting

    /// What the records really take of the machine, with garbage, open and warm segments.
    var residentBytes: Int { (heldSegments + warmCount) * segmentBytes + largeBytes }

    /// Bytes held that belong to no live record and can't be written to either.
    var garbage: Int {
        heldSegments * segmentBytes - (live - largeBytes) - room(writing) - room(surviving)
    }

    @inline(__always)
    private func room(_ segment: Int) -> Int {
        segment < 0 ? 0 : segmentBytes - Int(unsafe segments[segment].fill)
    }

    /// Garbage is let grow to a tenth: records that change their sizes at random then cost some
    /// three or four bytes moved for each byte written, and a fragmented shard takes 10/9 of its
    /// live bytes. While nothing is written there is time for more.
    var wantsCleaning: Bool {
        let share = isQuiet ? Arena.quietGarbageShare : Arena.garbageShare
        return victim >= 0
            || garbage > heldSegments * segmentBytes / share + 2 * segmentBytes
    }

    static let garbageShare = 10
    static let quietGarbageShare = 16

    /// Segments left in the address space.
    private var spareSegments: Int { segmentsMax - used + freeCount }

    /// Writes leave these to the cleaner: without a segment to move records to it could never
    /// free another.
    static let cleanerReserve = 2

    // MARK: Taking and leaving room

    /// Whether a block fits into the segment that is written to.
    mutating func fits(_ bytes: Int) -> Bool { bytes <= largeFrom && room(writing) >= bytes }

    /// Whether a block can be written without exceeding `limit` resident bytes.
    mutating func hasRoom(_ bytes: Int, limit: Int) -> Bool {
        if fits(bytes) { return true }
        if bytes > largeFrom { return residentBytes + bytes + Pages.pageBytes <= limit }
        return residentBytes + (warmCount > 0 ? 0 : segmentBytes) <= limit
    }

    /// Room for a block, or 0 when taking another segment would exceed `limit` resident bytes.
    mutating func allocate(_ bytes: Int, surviving isSurvivor: Bool = false, limit: Int) -> Ref {
        if bytes > largeFrom { return allocateLarge(bytes, limit: limit) }
        var segment = isSurvivor ? surviving : writing
        if segment < 0 || Int(unsafe segments[segment].fill) + bytes > segmentBytes {
            guard isSurvivor || spareSegments > Arena.cleanerReserve else { return 0 }
            let taken = takeSegment(limit: limit)
            guard taken >= 0 else { return 0 }
            if segment >= 0 { unsafe segments[segment].state = .closed }
            segment = taken
            if isSurvivor { surviving = taken } else { writing = taken }
        }
        let offset = Int(unsafe segments[segment].fill)
        unsafe segments[segment].fill += UInt32(truncatingIfNeeded: bytes)
        unsafe segments[segment].live += UInt32(truncatingIfNeeded: bytes)
        live += bytes
        return Ref(truncatingIfNeeded: (segment << shift + offset) >> 3)
    }

    /// A block is no longer needed. Its bytes stay readable until the next `releaseLarge` or
    /// `releaseVictim`, which is what lets a change be told after it was made.
    mutating func markDead(_ ref: Ref, _ record: Record) {
        let segment = (Int(ref) << 3) >> shift
        if unsafe segments[segment].state == .large {
            unsafe segments[segment].next = deadLarge
            deadLarge = UInt32(truncatingIfNeeded: segment)
            live -= Int(unsafe segments[segment].live)
        } else {
            let bytes = record.blockBytes
            unsafe segments[segment].live -= UInt32(truncatingIfNeeded: bytes)
            live -= bytes
        }
        record.markDead()
    }

    /// The block at `ref` was rewritten shorter; what is left over becomes garbage.
    mutating func shrink(_ ref: Ref, from old: Int, to new: Int) {
        guard new < old else { return }
        let segment = (Int(ref) << 3) >> shift
        unsafe segments[segment].live -= UInt32(truncatingIfNeeded: old - new)
        live -= old - new
        unsafe Record(at: base + Int(ref) << 3 + new).writeFiller(old - new)
    }

    @inline(__always)
    func isLarge(_ ref: Ref) -> Bool {
        unsafe segments[(Int(ref) << 3) >> shift].state == .large
    }

    // MARK: Emptying

    /// Gives back the large records that died.
    mutating func releaseLarge() {
        while deadLarge != 0 {
            let first = Int(deadLarge)
            deadLarge = unsafe segments[first].next
            let bytes = Int(unsafe segments[first].live)
            let count = Int(unsafe segments[first].fill)
            unsafe Region.giveBack(base + first << shift, bytes)
            largeBytes -= bytes
            for segment in first..<first + count {
                unsafe segments[segment] = Segment(live: 0, fill: 0, next: 0, state: .free)
            }
            freeCount += count
            lowestFree = min(lowestFree, first)
        }
    }

    /// Chooses the emptiest closed segment; false when none would be worth the work.
    mutating func chooseVictim() -> Bool {
        var best = -1
        var least = UInt32(segmentBytes - segmentBytes / 16)
        for segment in 0..<used {
            let entry = unsafe segments[segment]
            guard entry.state == .closed, entry.live < least else { continue }
            best = segment
            least = entry.live
            if least == 0 { break }
        }
        victim = best
        victimOffset = 0
        return best >= 0
    }

    /// The next block of the victim that is alive, and the bytes passed over to find it (never
    /// much more than `budget`); a ref of 0 when there was none.
    mutating func nextSurvivor(budget: Int) -> (ref: Ref, passed: Int) {
        let end = Int(unsafe segments[victim].fill)
        if unsafe segments[victim].live == 0 { victimOffset = end }
        var passed = 0
        while victimOffset < end, passed <= budget {
            let offset = victim << shift + victimOffset
            let record = unsafe Record(at: base + offset)
            let bytes = record.blockBytes
            victimOffset += bytes
            if !record.isDead { return (Ref(truncatingIfNeeded: offset >> 3), passed + bytes) }
            // Passing over the dead costs a look at each, not their bytes.
            passed += 32
        }
        return (0, passed)
    }

    /// The survivor just named could not be moved: it is next again.
    mutating func stepBack(over bytes: Int) { victimOffset -= bytes }

    var isVictimEmpty: Bool { victimOffset >= Int(unsafe segments[victim].fill) }

    mutating func releaseVictim() {
        invariant(unsafe segments[victim].live == 0, "a segment was given back with live records")
        giveSegment(victim)
        victim = -1
    }

    // MARK: Segments

    private mutating func takeSegment(limit: Int) -> Int {
        guard residentBytes + (warmCount > 0 ? 0 : segmentBytes) <= limit else { return -1 }
        let segment: Int
        if warmCount > 0 {
            warmCount -= 1
            segment = warm[warmCount]
        } else {
            segment = firstFree(run: 1)
            guard segment >= 0 else { return -1 }
        }
        if segment == lowestFree { lowestFree += 1 }
        freeCount -= 1
        unsafe segments[segment] = Segment(live: 0, fill: 0, next: 0, state: .open)
        heldSegments += 1
        return segment
    }

    private mutating func giveSegment(_ segment: Int) {
        heldSegments -= 1
        freeCount += 1
        lowestFree = min(lowestFree, segment)
        let isWarm = warmCount < Arena.warmMax
        if isWarm {
            warm[warmCount] = segment
            warmCount += 1
        } else {
            unsafe Region.giveBack(base + segment << shift, segmentBytes)
        }
        unsafe segments[segment] = Segment(
            live: 0, fill: 0, next: 0, state: isWarm ? .freeWarm : .free)
    }

    /// A warm segment is about to be part of a large record, which counts its own pages.
    private mutating func cool(_ segment: Int) {
        for place in 0..<warmCount where warm[place] == segment {
            warmCount -= 1
            warm[place] = warm[warmCount]
            break
        }
        unsafe Region.giveBack(base + segment << shift, segmentBytes)
    }

    /// The first of so many free segments in a row, opening new ones at the end if need be;
    /// -1 when the address space is full.
    private mutating func firstFree(run: Int) -> Int {
        var found = 0
        var segment = lowestFree
        while segment < used, freeCount > 0 {
            let state = unsafe segments[segment].state
            found = state == .free || state == .freeWarm ? found + 1 : 0
            segment += 1
            if found == run { return segment - run }
        }
        if segment < used {
            segment = used
            found = 0
            while segment - found > 0 {
                let state = unsafe segments[segment - found - 1].state
                guard state == .free || state == .freeWarm else { break }
                found += 1
            }
        }
        let missing = run - found
        guard used + missing <= segmentsMax else { return -1 }
        used += missing
        freeCount += missing
        if used > opened {
            // Opening costs a system call, not memory: at least 4 MiB at once.
            let stride = max(missing, (4 << 20) >> shift)
            let until = min(max(used, opened + stride), segmentsMax)
            guard unsafe Region.open(base + opened << shift, (until - opened) << shift) else {
                used -= missing
                freeCount -= missing
                return -1
            }
            opened = until
        }
        return used - run
    }

    private mutating func allocateLarge(_ bytes: Int, limit: Int) -> Ref {
        let count = (bytes + segmentBytes - 1) >> shift
        let resident = (bytes + Pages.pageBytes - 1) & ~(Pages.pageBytes - 1)
        guard residentBytes + resident <= limit, spareSegments >= count + Arena.cleanerReserve
        else { return 0 }
        let first = firstFree(run: count)
        guard first >= 0 else { return 0 }
        for segment in first..<first + count {
            if unsafe segments[segment].state == .freeWarm { cool(segment) }
            unsafe segments[segment] = Segment(live: 0, fill: 0, next: 0, state: .largeRest)
        }
        unsafe segments[first] = Segment(
            live: UInt32(truncatingIfNeeded: resident), fill: UInt32(truncatingIfNeeded: count),
            next: 0, state: .large)
        freeCount -= count
        if first == lowestFree { lowestFree = first + count }
        largeBytes += resident
        live += resident
        return Ref(truncatingIfNeeded: (first << shift) >> 3)
    }
}

extension Arena {
    /// Walks every block and checks that the counters say what is there; for the audit.
    /// Calls `visit` with each live record.
    func audit(_ visit: (Ref, Record) -> Void) {
        var liveSeen = 0
        var held = 0
        var large = 0
        var warm = 0
        var dead = Set<Int>()
        var next = deadLarge
        while next != 0 {
            dead.insert(Int(next))
            next = unsafe segments[Int(next)].next
        }
        for segment in 0..<used {
            let entry = unsafe segments[segment]
            switch entry.state {
            case .free, .largeRest: break
            case .freeWarm: warm += 1
            case .large:
                large += Int(entry.live)
                guard !dead.contains(segment) else { break }
                liveSeen += Int(entry.live)
                visit(Ref((segment << shift) >> 3), unsafe Record(at: base + segment << shift))
            case .open, .closed:
                held += 1
                var offset = 0
                var alive = 0
                while offset < Int(entry.fill) {
                    let place = segment << shift + offset
                    let record = unsafe Record(at: base + place)
                    let bytes = record.blockBytes
                    invariant(bytes >= 8 && bytes & 7 == 0, "a block of impossible length")
                    if !record.isDead {
                        alive += bytes
                        visit(Ref(place >> 3), record)
                    }
                    offset += bytes
                }
                invariant(offset == Int(entry.fill), "a block reaches over its segment's fill")
                invariant(alive == Int(entry.live), "a segment's live bytes are miscounted")
                liveSeen += alive
            }
        }
        invariant(liveSeen == live, "the arena's live bytes are miscounted")
        invariant(held == heldSegments, "the held segments are miscounted")
        invariant(large == largeBytes, "the large records' bytes are miscounted")
        invariant(warm == warmCount, "the warm segments are miscounted")
    }
}
