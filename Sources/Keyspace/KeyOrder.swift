/// Puts many records of one table in the order of their keys at once.
///
/// Reading a key costs a wait for memory, so as few as possible are read: eight bytes of each stand
/// beside its ref, those behind what all keys share, and are sorted as numbers, by their digits and in
/// place. Only keys with the same eight bytes are looked at again, by the next eight.
@safe
struct KeyOrder {
    struct Entry {
        /// What orders the entry. While records are collected: the first eight bytes of the key.
        var head: UInt64
        /// While records are collected: the eight bytes behind.
        var more: UInt64
        var ref: Ref
        var table: TableNumber
    }

    /// So few are sorted by comparing them.
    private static let fewMax = 24

    private let records: RecordSpace

    init(_ records: RecordSpace) { self.records = records }

    /// Sorts entries as they were collected.
    func sort(_ entries: UnsafeMutableBufferPointer<Entry>) {
        guard let first = unsafe entries.first else { return }
        var heads: UInt64 = 0
        var mores: UInt64 = 0
        for place in entries.indices {
            unsafe heads |= entries[place].head ^ first.head
            unsafe mores |= entries[place].more ^ first.more
        }
        if heads | mores == 0 { return unsafe sort(entries, behind: shared(entries)) }
        // Where keys are shorter than what they share, that is zeros, which order as if they were there.
        let skip = heads.leadingZeroBitCount / 8
        let bits = UInt64(skip * 8)
        for place in entries.indices {
            let more = unsafe entries[place].more
            // A shift by the whole width leaves nothing.
            unsafe entries[place].head = entries[place].head << bits | more >> (64 - bits)
        }
        unsafe sortByHeads(entries, shift: 56)
        unsafe sortTies(entries, behind: skip)
    }

    /// How many bytes all keys begin with: sixteen at least, or what stands for them.
    private func shared(_ entries: UnsafeMutableBufferPointer<Entry>) -> Int {
        let first = unsafe records[entries[0].ref]
        var count = max(16, first.keyCount)
        for place in entries.indices {
            let record = unsafe records[entries[place].ref]
            count = max(16, record.keyPrefix(sharedWith: first, atMost: count))
        }
        return count
    }

    /// Sorts entries whose keys all begin with the same `skip` bytes.
    private func sort(_ entries: UnsafeMutableBufferPointer<Entry>, behind skip: Int) {
        for place in entries.indices {
            unsafe entries[place].head = records[entries[place].ref].head(behind: skip)
        }
        unsafe sortByHeads(entries, shift: 56)
        unsafe sortTies(entries, behind: skip)
    }

    /// Orders what has the same head, eight bytes behind `skip`.
    private func sortTies(_ entries: UnsafeMutableBufferPointer<Entry>, behind skip: Int) {
        var start = 0
        while start < entries.count {
            let head = unsafe entries[start].head
            var end = start + 1
            while end < entries.count, unsafe entries[end].head == head { end += 1 }
            if end - start > 1 {
                let same = unsafe UnsafeMutableBufferPointer(rebasing: entries[start..<end])
                let ended = unsafe sortEnded(same, by: skip + 8)
                if end - start - ended > 1 {
                    unsafe sort(
                        UnsafeMutableBufferPointer(rebasing: same[ended...]), behind: skip + 8)
                }
            }
            start = end
        }
    }

    /// Of entries with the same heads, brings to the front those whose keys go no further, the shorter
    /// first, and answers how many there are. They differ in how many zeros they end with, so
    /// there are nine at most.
    private func sortEnded(_ entries: UnsafeMutableBufferPointer<Entry>, by end: Int) -> Int {
        var ended = 0
        for place in entries.indices
        where unsafe records[entries[place].ref].keyCount <= end {
            unsafe entries.swapAt(place, ended)
            var at = ended
            while at > 0, unsafe keyCount(entries[at]) < keyCount(entries[at - 1]) {
                unsafe entries.swapAt(at, at - 1)
                at -= 1
            }
            ended += 1
        }
        return ended
    }

    private func keyCount(_ entry: Entry) -> Int { records[entry.ref].keyCount }

    /// Sorts by the byte of the head at `shift` and those below it; those above are the same.
    private func sortByHeads(_ entries: UnsafeMutableBufferPointer<Entry>, shift start: UInt64) {
        var shift = start
        while entries.count > KeyOrder.fewMax {
            var ends = InlineArray<256, Int>(repeating: 0)
            for place in entries.indices {
                ends[unsafe KeyOrder.digit(entries[place], shift)] += 1
            }
            if ends[unsafe KeyOrder.digit(entries[0], shift)] == entries.count {
                if shift == 0 { return }
                shift -= 8
                continue
            }
            var next = InlineArray<256, Int>(repeating: 0)
            var sum = 0
            for digit in 0..<256 {
                next[digit] = sum
                sum += ends[digit]
                ends[digit] = sum
            }
            for digit in 0..<256 {
                while next[digit] < ends[digit] {
                    // Follows the entry to its place, and what is there to its own, until one comes
                    // back to where this began.
                    let place = next[digit]
                    var entry = unsafe entries[place]
                    var home = KeyOrder.digit(entry, shift)
                    while home != digit {
                        let target = next[home]
                        next[home] += 1
                        let displaced = unsafe entries[target]
                        unsafe entries[target] = entry
                        entry = displaced
                        home = KeyOrder.digit(entry, shift)
                    }
                    unsafe entries[place] = entry
                    next[digit] += 1
                }
            }
            if shift == 0 { return }
            var from = 0
            for digit in 0..<256 {
                if ends[digit] - from > 1 {
                    unsafe sortByHeads(
                        UnsafeMutableBufferPointer(rebasing: entries[from..<ends[digit]]),
                        shift: shift - 8)
                }
                from = ends[digit]
            }
            return
        }
        for place in 1..<max(1, entries.count) {
            let entry = unsafe entries[place]
            var at = place
            while at > 0, unsafe entries[at - 1].head > entry.head {
                unsafe entries[at] = entries[at - 1]
                at -= 1
            }
            unsafe entries[at] = entry
        }
    }

    @inline(__always)
    private static func digit(_ entry: Entry, _ shift: UInt64) -> Int {
        Int(entry.head >> shift & 0xFF)
    }
}

extension Record {
    /// Eight bytes of the key as a number that orders as they do; missing ones count as zero.
    @inline(__always)
    func head(behind skip: Int) -> UInt64 { unsafe Record.head(of: key, behind: skip) }

    @inline(__always)
    static func head(of key: UnsafeRawBufferPointer, behind skip: Int) -> UInt64 {
        let left = key.count - skip
        guard let start = key.baseAddress, left > 0 else { return 0 }
        if left >= 8 {
            return UInt64(
                bigEndian: unsafe start.loadUnaligned(fromByteOffset: skip, as: UInt64.self))
        }
        var head: UInt64 = 0
        for place in skip..<key.count { head = head << 8 | UInt64(unsafe key[place]) }
        return head << UInt64(64 - left * 8)
    }

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
