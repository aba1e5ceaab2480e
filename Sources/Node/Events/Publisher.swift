import Keyspace
import Machine
import Wire

/// A shard's own changes on their way to whoever listens, on this shard or another.
@safe struct Publisher: ~Copyable {
    /// What a listener asked for, ready to be told when all changes up to `seq` have been.
    @safe struct Answer {
        let target: Int
        let seq: UInt64
        /// What it tells of has to be safe.
        let position: CommitPosition
        let memory: UnsafeMutableRawPointer
    }

    /// The way to another shard. One whose mailbox is full is *behind*: what it was not told waits
    /// in `recent`, and is lost to it only if that forgets it.
    struct Outlet {
        var isBehind = false
        var cursor: RecentChanges.Cursor
        var answers: [Answer] = []
    }

    /// Somebody has listened to this shard: changes are written down from then on.
    var isHeard = false
    var recent = RecentChanges()
    var interest: InterestIndex
    /// Changes up to here were told, or passed over where nobody listened.
    var toldSeq: UInt64 = 0
    var told: RecentChanges.Cursor
    /// In the order of their `seq`.
    var answers: [Answer] = []
    var outlets: [Outlet]
    var behindCount = 0

    init(hashing: KeyHash, shards: Int) {
        interest = InterestIndex(hashing: hashing)
        told = recent.end
        outlets = Array(repeating: Outlet(cursor: recent.end), count: shards)
    }
}

/// Some of what a listener asked for: texts of events in one piece of memory, which travels
/// between shards as a pointer.
///
/// The head, then for each entry its own head, key and text, then the key after which a list goes
/// on.
@safe struct ToldPage {
    @safe struct Head {
        var connection: UInt32
        var stream: UInt32
        var subscription: UInt32
        var serial: UInt32
        var from: UInt16
        var wish: SubscriptionState.Wish
        /// Nothing is missing: from here on the listener is told as things happen.
        var isLast = true
        /// The record is somebody else's.
        var isRefused = false
        /// What was missed is not here any more.
        var isForgotten = false
        /// An answer about one key that was owed.
        var isOfKey = false
        var entryCount: UInt32 = 0
        var lastKeyCount: UInt32 = 0
        /// Where the shard's changes stood.
        var seq: UInt64 = 0
    }

    struct EntryHead {
        var seq: UInt64
        var keyCount: UInt32
        var textCount: UInt32
    }

    /// A page ends at the first entry past this.
    static let bytesMax = 32 * 1024

    var head: Head
    private var memory: UnsafeMutableRawPointer
    private var count = MemoryLayout<Head>.size
    private var capacity: Int

    init(_ head: Head) {
        self.head = head
        capacity = 512
        unsafe memory = .allocate(byteCount: capacity, alignment: 8)
    }

    var isFull: Bool { count >= Self.bytesMax }

    /// Adds an entry; `write` writes exactly `textCount` bytes.
    mutating func add(
        _ key: UnsafeRawBufferPointer, seq: UInt64, textCount: Int,
        _ write: (inout ByteWriter) -> Void
    ) {
        let start = unsafe grow(by: MemoryLayout<EntryHead>.size + key.count + textCount)
        unsafe start.storeBytes(
            of: EntryHead(
                seq: seq, keyCount: UInt32(key.count), textCount: UInt32(textCount)),
            as: EntryHead.self)
        let keyPlace = unsafe start + MemoryLayout<EntryHead>.size
        if let base = key.baseAddress {
            unsafe keyPlace.copyMemory(from: base, byteCount: key.count)
        }
        var writer = unsafe ByteWriter(
            (keyPlace + key.count).assumingMemoryBound(to: UInt8.self), capacity: textCount)
        write(&writer)
        head.entryCount += 1
    }

    /// The memory, which whoever reads the page frees.
    mutating func finish(after lastKey: UnsafeRawBufferPointer) -> UnsafeMutableRawPointer {
        if let base = lastKey.baseAddress {
            unsafe grow(by: lastKey.count).copyMemory(from: base, byteCount: lastKey.count)
            head.lastKeyCount = UInt32(lastKey.count)
        }
        unsafe memory.storeBytes(of: head, as: Head.self)
        return unsafe memory
    }

    private mutating func grow(by size: Int) -> UnsafeMutableRawPointer {
        if count + size > capacity {
            let larger = max(count + size, 2 * capacity)
            let grown = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 8)
            unsafe grown.copyMemory(from: memory, byteCount: count)
            unsafe memory.deallocate()
            unsafe memory = unsafe grown
            capacity = larger
        }
        defer { count += size }
        return unsafe memory + count
    }

    // MARK: Reading

    /// The entries of a page, one after the other.
    @safe struct Entries {
        private var at: UnsafeRawPointer
        private var left: UInt32

        init(_ memory: UnsafeRawPointer) {
            left = unsafe memory.load(as: Head.self).entryCount
            unsafe at = unsafe memory + MemoryLayout<Head>.size
        }

        @safe struct Entry {
            let seq: UInt64
            let key: UnsafeRawBufferPointer
            let text: UnsafeRawBufferPointer
        }

        mutating func next() -> Entry? {
            guard left > 0 else { return nil }
            left -= 1
            let head = unsafe at.loadUnaligned(as: EntryHead.self)
            let key = unsafe at + MemoryLayout<EntryHead>.size
            let text = unsafe key + Int(head.keyCount)
            unsafe at = unsafe text + Int(head.textCount)
            return unsafe Entry(
                seq: head.seq, key: UnsafeRawBufferPointer(start: key, count: Int(head.keyCount)),
                text: UnsafeRawBufferPointer(start: text, count: Int(head.textCount)))
        }

        /// Behind the last entry.
        func lastKey(_ count: UInt32) -> UnsafeRawBufferPointer {
            unsafe UnsafeRawBufferPointer(start: at, count: Int(count))
        }
    }
}
