/// The deleted keys whose versions are still remembered, oldest first.
///
/// A tombstone makes a key's version go on after a delete, and keeps an old write that arrives
/// late from bringing the key back. Its life is bounded twice: by time, and by a count, so that
/// a client that makes and deletes keys for ever costs a fixed amount. At the count the oldest
/// is forgotten, and its key begins again at version 1.
@safe
struct Tombstones: ~Copyable {
    struct Entry {
        var hash: UInt64
        var stamp: Stamp
        /// When the key was deleted or expired.
        var sinceMs: Int64
    }

    let entriesMax: Int
    private var entries: UnsafeMutablePointer<Entry>
    private var capacity = 64
    private var first = 0
    private(set) var count = 0

    init(entriesMax: Int) {
        self.entriesMax = max(1, entriesMax)
        unsafe entries = .allocate(capacity: capacity)
    }

    deinit { unsafe entries.deallocate() }

    var bytes: Int { capacity * MemoryLayout<Entry>.stride }

    var isFull: Bool { count >= entriesMax }

    var oldest: Entry? {
        count == 0 ? nil : unsafe entries[first]
    }

    mutating func append(_ entry: Entry) {
        invariant(count < entriesMax, "a tombstone was added to a full list")
        if count == capacity { grow() }
        unsafe entries[(first + count) & (capacity - 1)] = entry
        count += 1
    }

    mutating func dropOldest() {
        first = (first + 1) & (capacity - 1)
        count -= 1
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Entry>.allocate(capacity: capacity * 2)
        for place in 0..<count {
            unsafe larger[place] = unsafe entries[(first + place) & (capacity - 1)]
        }
        unsafe entries.deallocate()
        unsafe entries = unsafe larger
        capacity *= 2
        first = 0
    }
}
