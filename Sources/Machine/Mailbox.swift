public import Synchronization

/// Messages from one shard to one other, without a lock: a ring of bytes with one writing and one
/// reading thread.
///
/// A message is written where it will be read, so it is never copied: `reserve` hands out the
/// room, `publish` shows everything reserved so far with a single store, `next` lends the bytes,
/// and `consume` gives all the room back with a single store. Each side remembers what it last saw
/// of the other's position and looks again only when that is not enough, so a batch moves each of
/// the two shared cache lines about once.
///
/// A record is 8 bytes of header and the message, rounded up to 8. One that would cross the end of
/// the ring starts over at its beginning; a header there says to skip the rest.
///
/// Full is an ordinary answer: `reserve` returns nil, and the caller keeps the work for later. Two
/// shards that write to each other must go on *reading* meanwhile, or both wait for ever.
public struct Mailbox: ~Copyable, @unchecked Sendable {
    /// 256 KiB hold some two thousand requests of 100 bytes: more than a turn of a busy shard
    /// makes, and little enough that the pairs of a 16-core machine take 60 MiB only when all are
    /// full.
    public static let capacityDefault = 256 * 1024

    /// A ring of less has no room for a message beside its header at every position.
    public static let capacityMin = 64

    @usableFromInline static let headerBytes = 8
    /// In place of a length: the rest of the ring is unused.
    @usableFromInline static let skipMark = UInt32.max

    /// What each side writes is two cache lines apart from what the other writes: processors fetch
    /// lines in pairs.
    private static let tailOffset = 0
    private static let writingOffset = 128
    private static let headOffset = 256
    private static let readingOffset = 384
    private static let dataOffset = 512

    private let memory: Pages
    public let capacity: Int

    /// The end for the sending shard, and the one for the receiving. Plain pointers: each may be
    /// copied but used by one thread at a time, and only while the mailbox lives.
    public let writer: Writer
    public let reader: Reader

    /// `capacity` is a power of two; the memory becomes real as messages first pass over it.
    public init(capacity: Int = capacityDefault) throws(SystemError) {
        invariant(
            capacity >= Mailbox.capacityMin && capacity.nonzeroBitCount == 1
                && capacity <= 1 << 30,
            "a mailbox of \(capacity) bytes is no power of two within bounds")
        memory = try Pages(byteCount: Mailbox.dataOffset + capacity)
        self.capacity = capacity
        let base = unsafe memory.base
        let tail = unsafe (base + Mailbox.tailOffset)
            .bindMemory(to: Atomic<UInt64>.self, capacity: 1)
        let head = unsafe (base + Mailbox.headOffset)
            .bindMemory(to: Atomic<UInt64>.self, capacity: 1)
        unsafe tail.initialize(to: Atomic(0))
        unsafe head.initialize(to: Atomic(0))
        let writing = unsafe (base + Mailbox.writingOffset)
            .bindMemory(to: Writing.self, capacity: 1)
        unsafe writing.initialize(to: Writing())
        let reading = unsafe (base + Mailbox.readingOffset)
            .bindMemory(to: Reading.self, capacity: 1)
        unsafe reading.initialize(to: Reading())
        let data = unsafe base + Mailbox.dataOffset
        unsafe writer = Writer(
            tail: tail, head: head, state: writing, data: data, capacity: capacity)
        unsafe reader = Reader(
            tail: tail, head: head, state: reading, data: data, capacity: capacity)
    }

    /// The writer's own positions; they grow for ever, and are taken modulo the capacity.
    @usableFromInline struct Writing {
        @usableFromInline var reserved: UInt64 = 0
        @usableFromInline var published: UInt64 = 0
        @usableFromInline var lastRecord: UInt64 = 0
        @usableFromInline var headSeen: UInt64 = 0
    }

    @usableFromInline struct Reading {
        @usableFromInline var read: UInt64 = 0
        @usableFromInline var consumed: UInt64 = 0
        @usableFromInline var tailSeen: UInt64 = 0
    }

    /// The sending shard's end.
    @safe public struct Writer: @unchecked Sendable {
        @usableFromInline let tail: UnsafeMutablePointer<Atomic<UInt64>>
        @usableFromInline let head: UnsafeMutablePointer<Atomic<UInt64>>
        @usableFromInline let state: UnsafeMutablePointer<Writing>
        @usableFromInline let data: UnsafeMutableRawPointer
        @usableFromInline let capacity: Int

        @usableFromInline init(
            tail: UnsafeMutablePointer<Atomic<UInt64>>, head: UnsafeMutablePointer<Atomic<UInt64>>,
            state: UnsafeMutablePointer<Writing>, data: UnsafeMutableRawPointer, capacity: Int
        ) {
            unsafe self.tail = tail
            unsafe self.head = head
            unsafe self.state = state
            unsafe self.data = data
            self.capacity = capacity
        }

        /// The longest message: half the ring, since a record that meets the ring's end may have
        /// to leave almost its own length unused.
        public var messageBytesMax: Int { capacity / 2 - Mailbox.headerBytes }

        /// Room for a message of `byteCount` bytes, aligned to 8, or nil while the ring is full.
        /// What was reserved before and is not published yet counts as taken.
        @inlinable
        public func reserve(_ byteCount: Int) -> UnsafeMutableRawPointer? {
            invariant(
                byteCount >= 0 && byteCount <= messageBytesMax,
                "a message of \(byteCount) bytes in a mailbox of \(capacity)")
            guard let end = endOfRecord(byteCount) else { return nil }
            var position = unsafe state.pointee.reserved
            var index = Int(truncatingIfNeeded: position) & (capacity - 1)
            let skipped = capacity - index < Mailbox.recordBytes(byteCount) ? capacity - index : 0
            if skipped > 0 {
                unsafe (data + index).storeBytes(of: Mailbox.skipMark, as: UInt32.self)
                position += UInt64(skipped)
                index = 0
            }
            unsafe (data + index).storeBytes(of: UInt32(byteCount), as: UInt32.self)
            unsafe state.pointee.lastRecord = position
            unsafe state.pointee.reserved = end
            return unsafe data + index + Mailbox.headerBytes
        }

        /// Whether `reserve` would succeed: for a shard that keeps a message back because the ring was
        /// full, the question to repeat between falling asleep and blocking. The reader then has
        /// to ask this shard's `WakeFlag` after `consume`.
        @inlinable
        public func hasRoom(_ byteCount: Int) -> Bool { endOfRecord(byteCount) != nil }

        /// Where the ring's position would be after a record for so many bytes; nil if the reader
        /// has not yet left that room.
        @inlinable @inline(__always)
        func endOfRecord(_ byteCount: Int) -> UInt64? {
            let need = Mailbox.recordBytes(byteCount)
            let position = unsafe state.pointee.reserved
            let rest = capacity - Int(truncatingIfNeeded: position) & (capacity - 1)
            let end = position + UInt64(rest < need ? rest + need : need)
            if unsafe end - state.pointee.headSeen > UInt64(capacity) {
                unsafe state.pointee.headSeen = unsafe head.pointee.load(ordering: .acquiring)
                if unsafe end - state.pointee.headSeen > UInt64(capacity) { return nil }
            }
            return end
        }

        /// Shortens the message reserved last, for one whose length is only known once it is
        /// written. It must not be published yet.
        @inlinable
        public func trim(to byteCount: Int) {
            let position = unsafe state.pointee.lastRecord
            let index = Int(truncatingIfNeeded: position) & (capacity - 1)
            let before = unsafe Int((data + index).load(as: UInt32.self))
            invariant(
                unsafe state.pointee.reserved > state.pointee.published && byteCount >= 0
                    && byteCount <= before,
                "trims \(before) bytes to \(byteCount)")
            unsafe (data + index).storeBytes(of: UInt32(byteCount), as: UInt32.self)
            unsafe state.pointee.reserved = position + UInt64(Mailbox.recordBytes(byteCount))
        }

        /// Whether something is reserved that `publish` has not shown yet.
        @inlinable
        public var hasUnpublished: Bool {
            unsafe state.pointee.reserved != state.pointee.published
        }

        /// Shows the reader everything reserved so far. Afterwards ask the reader's `WakeFlag`.
        @inlinable
        public func publish() {
            let reserved = unsafe state.pointee.reserved
            unsafe state.pointee.published = reserved
            unsafe tail.pointee.store(reserved, ordering: .releasing)
        }
    }

    /// The receiving shard's end.
    @safe public struct Reader: @unchecked Sendable {
        @usableFromInline let tail: UnsafeMutablePointer<Atomic<UInt64>>
        @usableFromInline let head: UnsafeMutablePointer<Atomic<UInt64>>
        @usableFromInline let state: UnsafeMutablePointer<Reading>
        @usableFromInline let data: UnsafeMutableRawPointer
        @usableFromInline let capacity: Int

        @usableFromInline init(
            tail: UnsafeMutablePointer<Atomic<UInt64>>, head: UnsafeMutablePointer<Atomic<UInt64>>,
            state: UnsafeMutablePointer<Reading>, data: UnsafeMutableRawPointer, capacity: Int
        ) {
            unsafe self.tail = tail
            unsafe self.head = head
            unsafe self.state = state
            unsafe self.data = data
            self.capacity = capacity
        }

        /// Whether there is nothing to read: the question to repeat between falling asleep and
        /// blocking.
        @inlinable
        public var isEmpty: Bool {
            unsafe state.pointee.read == tail.pointee.load(ordering: .acquiring)
        }

        /// The next message, or nil when all have been read. Its bytes stay until `consume`.
        @inlinable
        public func next() -> UnsafeRawBufferPointer? {
            var position = unsafe state.pointee.read
            if unsafe position == state.pointee.tailSeen {
                unsafe state.pointee.tailSeen = unsafe tail.pointee.load(ordering: .acquiring)
                if unsafe position == state.pointee.tailSeen { return nil }
            }
            var index = Int(truncatingIfNeeded: position) & (capacity - 1)
            var length = unsafe (data + index).load(as: UInt32.self)
            if length == Mailbox.skipMark {
                position += UInt64(capacity - index)
                index = 0
                length = unsafe data.load(as: UInt32.self)
            }
            let byteCount = Int(length)
            position += UInt64(Mailbox.recordBytes(byteCount))
            invariant(
                unsafe position <= state.pointee.tailSeen,
                "a message of \(byteCount) bytes reaches past the end of the mailbox")
            unsafe state.pointee.read = position
            return unsafe UnsafeRawBufferPointer(
                start: data + index + Mailbox.headerBytes, count: byteCount)
        }

        /// Gives back the room of everything read so far: once a batch.
        @inlinable
        public func consume() {
            let read = unsafe state.pointee.read
            if unsafe read == state.pointee.consumed { return }
            unsafe state.pointee.consumed = read
            unsafe head.pointee.store(read, ordering: .releasing)
        }
    }

    @inlinable @inline(__always)
    static func recordBytes(_ byteCount: Int) -> Int {
        (byteCount + headerBytes + 7) & ~7
    }
}

/// Whether a shard sleeps, so that its peers pay for a wake-up (a system call, and 50 µs on a
/// halted processor) only when there is somebody to wake.
///
/// The sleeper says `fallAsleep`, looks at all of its mailboxes once more, and blocks only if they
/// are empty; awake again, by whatever cause, it says `wakeUp`. A writer publishes, then asks
/// `claimWake`, and wakes the sleeper if the answer is yes. Both sides store before they look, with
/// a full fence in between, so at least one of them sees the other: a message can't be overlooked.
/// Of many writers exactly one gets a yes per sleep.
@safe public struct WakeFlag: @unchecked Sendable {
    @usableFromInline let asleep: UnsafeMutablePointer<Atomic<UInt32>>

    /// The flag has a pair of cache lines for itself. It lives until `destroy`.
    public init() {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
        unsafe asleep = memory.bindMemory(to: Atomic<UInt32>.self, capacity: 1)
        unsafe asleep.initialize(to: Atomic(0))
    }

    /// Frees the flag once neither the sleeper nor a writer can use it any more.
    public func destroy() {
        unsafe asleep.deinitialize(count: 1)
        unsafe UnsafeMutableRawPointer(asleep).deallocate()
    }

    /// The sleeper's side: from here on writers will wake it.
    @inlinable
    public func fallAsleep() {
        unsafe asleep.pointee.store(1, ordering: .relaxed)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// The sleeper's side: it looks by itself again.
    @inlinable
    public func wakeUp() {
        unsafe asleep.pointee.store(0, ordering: .relaxed)
    }

    /// A writer's side, after `publish`: true if this caller has to wake the sleeper.
    @inlinable
    public func claimWake() -> Bool {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if unsafe asleep.pointee.load(ordering: .relaxed) == 0 { return false }
        return unsafe asleep.pointee.exchange(0, ordering: .relaxed) == 1
    }
}
