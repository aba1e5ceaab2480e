/// The deadlines of one shard: up to `capacity` of them, each known by a small number, usually the
/// slot of its connection.
///
/// Eight levels of 64 slots each; a level's slot is as wide as the whole level below. A deadline
/// lies in the level of the highest base-64 digit in which it differs from the present, so
/// setting, moving and cancelling are a few stores, and a deadline moves down a level at most once
/// each. Occupied slots are bits, so time that passes over empty slots costs nothing, be it days,
/// and an idle shard can sleep until `nextDeadlineMs` without a tick.
///
/// A deadline never fires early, and late by less than a tick plus the caller's own delay. Those
/// that fall due together fire in the order of their ticks. All times are milliseconds of one
/// monotonic clock.
///
/// **Lazy deadlines.** A timeout that each request pushes back ("idle for 60 s") should not touch
/// the wheel at each request. The owner keeps the true deadline in its own slot and overwrites it:
/// one store. The wheel holds an older, earlier one. When that fires, the owner compares, and
/// if the true deadline lies ahead, schedules it and goes on. So a busy connection costs the wheel
/// one operation a timeout instead of one a request. A deadline that moves *earlier* has to be
/// scheduled at once.
@safe public struct TimerWheel: ~Copyable {
    /// 8 ms: fine enough for any network timeout, coarse enough that thousands of connections
    /// opened in one burst time out in a handful of wake-ups.
    public static let tickMs: UInt64 = 1 << tickBits

    private static let tickBits: UInt64 = 3
    private static let digitBits: UInt64 = 6
    private static let slotsPerLevel = 64
    private static let levels = 8

    /// Eight base-64 digits of ticks: 71,000 years after boot. Deadlines beyond it mean never, and
    /// are kept at it.
    private static let tickMax: UInt64 = 1 << (digitBits * UInt64(levels)) - 1

    /// The list heads come first in the memory: one a slot, then the one of what has fired.
    private static let expiredHead = UInt32(slotsPerLevel * levels)
    private static let headCount = slotsPerLevel * levels + 1

    /// 16 bytes, four a cache line: the neighbours in the list of the slot, and where that is.
    private struct Entry {
        var next: UInt32
        var prev: UInt32
        /// The tick above, the head's number plus one in the lowest 16 bits: all zeroes, as the
        /// kernel hands out memory, is an entry that is not scheduled.
        var place: UInt64

        var head: UInt32 { UInt32(truncatingIfNeeded: place & 0xffff) &- 1 }
        var tick: UInt64 { place >> 16 }
    }

    private let memory: Pages
    private let entries: UnsafeMutablePointer<Entry>
    private var occupied: InlineArray<8, UInt64> = .init(repeating: 0)
    /// The last tick that has been handled: all entries on the wheel lie after it.
    private var elapsed: UInt64

    /// The ids are `0 ..< capacity`.
    public let capacity: Int
    /// How many are scheduled, those included that have fallen due and were not yet taken.
    public private(set) var scheduledCount = 0

    public init(capacity: Int, nowMs: UInt64) throws(SystemError) {
        invariant(
            capacity >= 0 && capacity < Int(UInt32.max) - TimerWheel.headCount,
            "a timer wheel of \(capacity) entries")
        let slots = capacity + TimerWheel.headCount
        memory = try Pages(byteCount: slots * MemoryLayout<Entry>.stride)
        unsafe entries = memory.base.bindMemory(to: Entry.self, capacity: slots)
        self.capacity = capacity
        elapsed = min(nowMs >> TimerWheel.tickBits, TimerWheel.tickMax - 1)
        for head in 0..<UInt32(TimerWheel.headCount) {
            unsafe entries[Int(head)] = Entry(next: head, prev: head, place: 0)
        }
    }

    /// Sets the deadline of `id`, or moves it. One that has passed already fires at the next tick,
    /// not in the round that is being handled, so that an owner who errs can't keep that round from
    /// ending.
    public mutating func schedule(_ id: UInt32, at deadlineMs: UInt64) {
        let index = self.index(id)
        if unsafe entries[Int(index)].place != 0 { remove(index) }
        let rounding = TimerWheel.tickMs - 1
        let tick = (deadlineMs >> TimerWheel.tickBits) + (deadlineMs & rounding == 0 ? 0 : 1)
        scheduledCount += 1
        place(index, at: min(max(tick, elapsed + 1), TimerWheel.tickMax))
    }

    /// Forgets the deadline of `id`, also one that has fallen due and was not yet taken. Nothing
    /// happens where there is none.
    public mutating func cancel(_ id: UInt32) {
        let index = self.index(id)
        if unsafe entries[Int(index)].place != 0 { remove(index) }
    }

    public func isScheduled(_ id: UInt32) -> Bool {
        unsafe entries[Int(index(id))].place != 0
    }

    /// Lets the time pass: what has fallen due by `nowMs` can then be taken by `nextExpired`. A
    /// clock that stands still or goes back changes nothing.
    public mutating func advance(to nowMs: UInt64) {
        let target = min(nowMs >> TimerWheel.tickBits, TimerWheel.tickMax - 1)
        guard target > elapsed else { return }
        while let slot = firstOccupied(), slot.tick <= target {
            elapsed = slot.tick
            empty(head: slot.head)
        }
        elapsed = target
    }

    /// Takes one of those that have fallen due, earliest first; it is no longer scheduled. An owner
    /// who limits the work of a turn may stop in between and go on in the next.
    public mutating func nextExpired() -> UInt32? {
        let index = unsafe entries[Int(TimerWheel.expiredHead)].next
        guard index != TimerWheel.expiredHead else { return nil }
        remove(index)
        return index - UInt32(TimerWheel.headCount)
    }

    /// When to call `advance` next, or nil when nothing is scheduled.
    ///
    /// Never later than the moment at which the next deadline fires. For a near one it is that
    /// moment; for a far one it is the start of its slot, after which the next answer is finer. A
    /// timeout of a minute costs two wake-ups this way.
    public var nextDeadlineMs: UInt64? {
        if unsafe entries[Int(TimerWheel.expiredHead)].next != TimerWheel.expiredHead {
            return elapsed << TimerWheel.tickBits
        }
        return firstOccupied().map { $0.tick << TimerWheel.tickBits }
    }

    private func index(_ id: UInt32) -> UInt32 {
        invariant(id < UInt32(capacity), "timer \(id) of \(capacity)")
        return id + UInt32(TimerWheel.headCount)
    }

    /// The slot that begins first. The levels are in the order of time: all of a level's entries
    /// share the higher digits with the present, those of the level above don't. Bits at or below
    /// the present's own digit are never set.
    private func firstOccupied() -> (tick: UInt64, head: UInt32)? {
        for level in 0..<TimerWheel.levels where occupied[level] != 0 {
            let slot = UInt64(occupied[level].trailingZeroBitCount)
            let low = TimerWheel.digitBits * UInt64(level)
            let high = low + TimerWheel.digitBits
            let tick = (elapsed >> high) << high | slot << low
            return (tick, UInt32(level * TimerWheel.slotsPerLevel) + UInt32(slot))
        }
        return nil
    }

    /// Spreads a slot whose time has come over the levels below; what is due goes to the fired.
    private mutating func empty(head: UInt32) {
        occupied[Int(head) / TimerWheel.slotsPerLevel] &= ~(1 << (UInt64(head) & 63))
        var index = unsafe entries[Int(head)].next
        unsafe entries[Int(head)].next = head
        unsafe entries[Int(head)].prev = head
        while index != head {
            let next = unsafe entries[Int(index)].next
            place(index, at: unsafe entries[Int(index)].tick)
            index = next
        }
    }

    /// Appends an entry that is in no list to the one that its tick asks for.
    private mutating func place(_ index: UInt32, at tick: UInt64) {
        var head = TimerWheel.expiredHead
        if tick > elapsed {
            let highestBit = 63 - (tick ^ elapsed).leadingZeroBitCount
            let level = highestBit / Int(TimerWheel.digitBits)
            let slot = tick >> (TimerWheel.digitBits * UInt64(level)) & 63
            head = UInt32(level * TimerWheel.slotsPerLevel) + UInt32(slot)
            occupied[level] |= 1 << slot
        }
        let last = unsafe entries[Int(head)].prev
        unsafe entries[Int(index)] = Entry(
            next: head, prev: last, place: tick << 16 | UInt64(head + 1))
        unsafe entries[Int(last)].next = index
        unsafe entries[Int(head)].prev = index
    }

    private mutating func remove(_ index: UInt32) {
        let entry = unsafe entries[Int(index)]
        unsafe entries[Int(entry.prev)].next = entry.next
        unsafe entries[Int(entry.next)].prev = entry.prev
        unsafe entries[Int(index)].place = 0
        scheduledCount -= 1
        let head = Int(entry.head)
        if entry.prev == entry.next && entry.prev == entry.head
            && entry.head != TimerWheel.expiredHead
        {
            occupied[head / TimerWheel.slotsPerLevel] &= ~(1 << (UInt64(head) & 63))
        }
    }
}
