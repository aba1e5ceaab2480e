/// Which records fall due when: a hierarchical timing wheel of doubly linked lists whose links
/// lie in the records themselves.
///
/// A record with an expiry stands in exactly one list, so overwriting a key with a new expiry a
/// million times leaves nothing behind, and a million records due in the same second are one
/// list that is worked off a few at a time. Four levels of 256 lists: ticks of 16 ms, then 4 s,
/// 17 min and 3 days; what lies further ahead than two years waits in the last list and is
/// looked at again.
@safe
struct ExpiryWheel: ~Copyable {
    static let tickShift: Int64 = 4
    static let levels = 4
    static let listsPerLevel = 256

    private let heads: UnsafeMutablePointer<Ref>
    /// The tick being worked off; everything before it is done.
    private(set) var tick: Int64 = 0
    private(set) var count = 0

    init() {
        let lists = ExpiryWheel.levels * ExpiryWheel.listsPerLevel
        unsafe heads = .allocate(capacity: lists)
        unsafe heads.initialize(repeating: 0, count: lists)
    }

    deinit { unsafe heads.deallocate() }

    static let bytes = levels * listsPerLevel * MemoryLayout<Ref>.stride

    // MARK: Linking

    /// Puts a record with an expiry into the list it belongs to.
    mutating func link(_ ref: Ref, _ records: RecordSpace) {
        // An empty wheel stands wherever it was left: it begins at the record's own time.
        if count == 0 { tick = records[ref].timestamp >> ExpiryWheel.tickShift }
        enlist(ref, records)
    }

    private mutating func enlist(_ ref: Ref, _ records: RecordSpace) {
        let list = list(for: records[ref].expiresAt >> ExpiryWheel.tickShift)
        let record = records[ref]
        let next = unsafe heads[list]
        record.wheelNext = next
        record.wheelPrevious = ExpiryWheel.mark(list)
        if next != 0 { records[next].wheelPrevious = ref }
        unsafe heads[list] = ref
        count += 1
    }

    mutating func unlink(_ ref: Ref, _ records: RecordSpace) {
        let record = records[ref]
        let next = record.wheelNext
        let previous = record.wheelPrevious
        if next != 0 { records[next].wheelPrevious = previous }
        if let list = ExpiryWheel.list(previous) {
            unsafe heads[list] = next
        } else {
            records[previous].wheelNext = next
        }
        count -= 1
    }

    /// The record moved, links and all; its neighbours have to know.
    mutating func moved(_ new: Ref, _ records: RecordSpace) {
        let record = records[new]
        let next = record.wheelNext
        let previous = record.wheelPrevious
        if next != 0 { records[next].wheelPrevious = new }
        if let list = ExpiryWheel.list(previous) {
            unsafe heads[list] = new
        } else {
            records[previous].wheelNext = new
        }
    }

    // MARK: Working off

    /// The next record that is due, still linked: the caller takes it out. 0 when there is none
    /// or the budget of steps is used up.
    ///
    /// A clock that stepped back takes the wheel with it: lists are then met too early, never too
    /// late, and a record met early is put where it belongs.
    mutating func due(at now: Int64, _ records: RecordSpace, budget: inout Int) -> Ref {
        let nowTick = max(0, now) >> ExpiryWheel.tickShift
        tick = count == 0 ? nowTick : min(tick, nowTick)
        while tick < nowTick {
            for level in (1..<ExpiryWheel.levels).reversed()
            where tick & (1 << Int64(level * 8) - 1) == 0 {
                let list = level << 8 | Int(tick >> Int64(level * 8) & 255)
                while unsafe heads[list] != 0 {
                    guard budget > 0 else { return 0 }
                    budget -= 1
                    unsafe relink(heads[list], records)
                }
            }
            let list = Int(tick & 255)
            while unsafe heads[list] != 0 {
                guard budget > 0 else { return 0 }
                budget -= 1
                let ref = unsafe heads[list]
                if records[ref].expiresAt <= now { return ref }
                relink(ref, records)
            }
            guard budget > 0 else { return 0 }
            budget -= 1
            tick = min(nowTick, nextTick)
        }
        return 0
    }

    /// When to look again, in milliseconds: at or a little before the next record falls due.
    /// nil when none ever will.
    var nextDueMs: Int64? {
        guard count > 0 else { return nil }
        var earliest = Int64.max
        for level in 0..<ExpiryWheel.levels {
            let shift = Int64(level * 8)
            let current = tick >> shift
            for ahead in 0..<Int64(256) {
                guard unsafe heads[level << 8 | Int((current + ahead) & 255)] != 0 else { continue }
                // The list of the span we stand in was dealt out when we entered it: what it
                // holds is for its next lap. Not yet so at the span's first tick.
                let isEntered = tick & (1 << shift - 1) != 0
                let laps = ahead == 0 && isEntered ? 256 : ahead
                earliest = min(earliest, (current + laps) << shift + 1)
                break
            }
        }
        return earliest << ExpiryWheel.tickShift
    }

    // MARK: Private parts

    private mutating func relink(_ ref: Ref, _ records: RecordSpace) {
        unlink(ref, records)
        enlist(ref, records)
    }

    private func list(for due: Int64) -> Int {
        let last = tick + (1 << Int64(ExpiryWheel.levels * 8)) - 1
        let due = min(max(due, tick), last)
        var level = 0
        while due - tick >= 1 << Int64(level * 8 + 8) { level += 1 }
        return level << 8 | Int(due >> Int64(level * 8) & 255)
    }

    /// The next tick at which there may be anything to do.
    private var nextTick: Int64 {
        var next = tick + 1
        while next & 255 != 0 {
            if unsafe heads[Int(next & 255)] != 0 { return next }
            next += 1
        }
        // A level's lists open where the bits below it are all zero: with nothing on the levels
        // below, nothing happens before.
        var level = 1
        while level + 1 < ExpiryWheel.levels, isEmpty(level - 1), isEmpty(level) { level += 1 }
        return (tick | (1 << Int64(level * 8) - 1)) + 1
    }

    private func isEmpty(_ level: Int) -> Bool {
        for list in 0..<ExpiryWheel.listsPerLevel where unsafe heads[level << 8 | list] != 0 {
            return false
        }
        return true
    }

    private static func mark(_ list: Int) -> Ref { Ref(truncatingIfNeeded: list + 1) }

    private static func list(_ mark: Ref) -> Int? {
        mark <= Ref(levels * listsPerLevel) ? Int(mark) - 1 : nil
    }

    /// Checks the links of every list and visits each ref; for the audit.
    func audit(_ records: RecordSpace, _ visit: (Ref) -> Void) {
        var seen = 0
        for list in 0..<ExpiryWheel.levels * ExpiryWheel.listsPerLevel {
            var previous = ExpiryWheel.mark(list)
            var ref = unsafe heads[list]
            while ref != 0 {
                invariant(records[ref].wheelPrevious == previous, "the wheel's links are broken")
                seen += 1
                visit(ref)
                previous = ref
                ref = records[ref].wheelNext
            }
        }
        invariant(seen == count, "the wheel's records are miscounted")
    }
}
