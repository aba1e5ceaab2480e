import Glibc

/// What a shard's own connections listen to: topics, and for each its subscriptions.
///
/// Both are plain data linked by numbers, so a change finds its listeners without an allocation,
/// and an idle listener costs a topic and a subscription.
@safe
public struct TopicIndex: ~Copyable {
    @safe struct Entry: BitwiseCopyable {
        /// The topic's bytes, or the address of more than fit: a piece of the heap for each would
        /// keep what a crowd leaves there from going back.
        var text: InlineArray<3, UInt64> = [0, 0, 0]
        var next: UInt32
        var table: TableNumber
        var hash: UInt64
        var first: UInt32 = TopicIndex.none
        var last: UInt32 = TopicIndex.none
        var count: UInt32 = 0
        var mark: UInt16
        var byteCount: UInt16

        static let ownBytesMax = 24

        init(_ topic: Topic, next: UInt32) {
            self.next = next
            table = topic.table
            hash = topic.hash
            mark = topic.mark
            byteCount = unsafe UInt16(topic.bytes.count)
            guard let start = unsafe topic.bytes.baseAddress else { return }
            let count = unsafe topic.bytes.count
            if count > Self.ownBytesMax {
                let copy = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 8)
                unsafe copy.copyMemory(from: start, byteCount: count)
                text[0] = UInt64(UInt(bitPattern: copy))
            } else {
                unsafe withUnsafeMutableBytes(of: &text) {
                    unsafe $0.baseAddress?.copyMemory(from: start, byteCount: count)
                }
            }
        }

        /// Where the bytes of the topic at this place are, until its slab grows.
        @inline(__always)
        static func bytes(_ entry: UnsafeMutablePointer<Entry>) -> UnsafeRawBufferPointer {
            let count = unsafe Int(entry.pointee.byteCount)
            if count > ownBytesMax {
                return unsafe UnsafeRawBufferPointer(
                    start: UnsafeRawPointer(bitPattern: UInt(entry.pointee.text[0])), count: count)
            }
            return unsafe UnsafeRawBufferPointer(start: UnsafeRawPointer(entry), count: count)
        }

        func freeBytes() {
            guard Int(byteCount) > Self.ownBytesMax else { return }
            unsafe UnsafeMutableRawPointer(bitPattern: UInt(text[0]))?.deallocate()
        }
    }

    /// One stream's listening to one topic.
    @safe public struct Subscription: BitwiseCopyable {
        fileprivate var topic: UInt32
        fileprivate var next: UInt32
        fileprivate var previous: UInt32
        /// The stream, and its next subscription.
        public var stream: UInt32
        public var nextOfStream: UInt32
        /// The listener's business.
        public var state: UInt32
        public var note: UnsafeMutableRawPointer?
    }

    @inlinable public static var none: UInt32 { UInt32.max }

    private let hashing: KeyHash
    private var entries: Slab<Entry>
    private var buckets: HashBuckets
    private var prefixes = PrefixLengths()
    private var subscriptions: Slab<Subscription>

    public init(hashing: KeyHash, subscriptionsMax: Int) {
        self.hashing = hashing
        entries = Slab(countMax: subscriptionsMax)
        subscriptions = Slab(countMax: subscriptionsMax)
        buckets = HashBuckets()
    }

    public var topicCount: Int { entries.count }
    public var subscriptionCount: Int { subscriptions.count }

    @inline(__always)
    public func subscription(_ number: UInt32) -> UnsafeMutablePointer<Subscription> {
        unsafe subscriptions.place(number)
    }

    /// Adds a subscription; nil when there are as many as there may be. `note` and `state` are the
    /// caller's.
    public mutating func subscribe(_ topic: Topic, _ stream: UInt32) -> UInt32? {
        let mark = topic.mark
        var place = unsafe find(topic.hash, topic.table, mark, topic.bytes)
        if place == Self.none {
            guard subscriptions.count < subscriptions.countMax else { return nil }
            if buckets.mustGrow(entries.count + 1) { rebuild() }
            let bucket = buckets.bucket(topic.hash)
            let entry = Entry(topic, next: buckets.first(bucket))
            guard let new = entries.take(entry) else {
                entry.freeBytes()
                return nil
            }
            buckets.setFirst(bucket, new)
            if !topic.isKey { unsafe prefixes.add(topic.table, length: topic.bytes.count) }
            place = new
        }
        guard
            let number = unsafe subscriptions.take(
                Subscription(
                    topic: place, next: Self.none, previous: Self.none, stream: stream,
                    nextOfStream: Self.none, state: 0, note: nil))
        else {
            return nil
        }
        let entry = unsafe entries.place(place)
        let subscription = unsafe subscriptions.place(number)
        unsafe subscription.pointee.previous = entry.pointee.last
        if unsafe entry.pointee.last == Self.none {
            unsafe entry.pointee.first = number
        } else {
            unsafe subscriptions.place(entry.pointee.last).pointee.next = number
        }
        unsafe entry.pointee.last = number
        unsafe entry.pointee.count += 1
        return number
    }

    /// The topic of a subscription; its bytes are good until the next `subscribe`.
    public func topic(of subscription: UInt32) -> Topic {
        unsafe topic(number: subscriptions.place(subscription).pointee.topic)
    }

    /// The number of a subscription's topic.
    public func topicNumber(of subscription: UInt32) -> UInt32 {
        unsafe subscriptions.place(subscription).pointee.topic
    }

    private func topic(number: UInt32) -> Topic {
        let entry = unsafe entries.place(number)
        return unsafe Topic(
            entry.pointee.table, isKey: entry.pointee.mark == Topic.keyMark,
            hash: entry.pointee.hash, Entry.bytes(entry))
    }

    /// Whether this is the only subscription of its topic.
    public func isLast(_ subscription: UInt32) -> Bool {
        unsafe entries.place(subscriptions.place(subscription).pointee.topic).pointee.count == 1
    }

    /// Ends a subscription, and its topic with the last of them.
    public mutating func unsubscribe(_ number: UInt32) {
        let subscription = unsafe subscriptions.place(number).pointee
        let place = subscription.topic
        let entry = unsafe entries.place(place)
        if subscription.previous == Self.none {
            unsafe entry.pointee.first = subscription.next
        } else {
            unsafe subscriptions.place(subscription.previous).pointee.next = subscription.next
        }
        if subscription.next == Self.none {
            unsafe entry.pointee.last = subscription.previous
        } else {
            unsafe subscriptions.place(subscription.next).pointee.previous = subscription.previous
        }
        subscriptions.give(number)
        unsafe entry.pointee.count -= 1
        guard unsafe entry.pointee.count == 0 else { return }
        unlink(place)
        if unsafe entry.pointee.mark != Topic.keyMark {
            unsafe prefixes.remove(entry.pointee.table, length: Int(entry.pointee.byteCount))
        }
        unsafe entry.pointee.freeBytes()
        entries.give(place)
    }

    // MARK: Finding listeners

    /// Writes the numbers of all topics that a change of this key is one of into `found`: the key's
    /// own, then prefixes from the shortest on. Answers how many; never more than `found` has
    /// room for, which is `matchesMax`.
    public func match(
        _ table: TableNumber, _ hash: UInt64, _ key: UnsafeRawBufferPointer,
        into found: UnsafeMutablePointer<UInt32>
    ) -> Int {
        var count = 0
        if entries.count == 0 { return 0 }
        let own = unsafe find(hash, table, Topic.keyMark, key)
        if own != Self.none {
            unsafe found[0] = own
            count = 1
        }
        guard prefixes.has(table) else { return count }
        var prefix = PrefixHash(hashing, table)
        var taken = 0
        var length = 0
        while let next = prefixes.next(table, from: length, to: key.count) {
            while taken < next {
                unsafe prefix.add(key[taken])
                taken += 1
            }
            let number = unsafe find(
                prefix.value, table, UInt16(next), UnsafeRawBufferPointer(rebasing: key[..<next]))
            if number != Self.none {
                unsafe found[count] = number
                count += 1
            }
            length = next + 1
        }
        return count
    }

    /// The key's own topic and one prefix of each length.
    public static let matchesMax = Key.bytesMax + 2

    @inline(__always)
    public func firstSubscription(ofTopic number: UInt32) -> UInt32 {
        unsafe entries.place(number).pointee.first
    }

    @inline(__always)
    public func subscription(after number: UInt32) -> UInt32 {
        unsafe subscriptions.place(number).pointee.next
    }

    // MARK: Parts

    @inline(__always)
    private func find(
        _ hash: UInt64, _ table: TableNumber, _ mark: UInt16, _ bytes: UnsafeRawBufferPointer
    ) -> UInt32 {
        var number = buckets.first(buckets.bucket(hash))
        while number != HashBuckets.none {
            let entry = unsafe entries.place(number)
            if unsafe entry.pointee.hash == hash && entry.pointee.table == table
                && entry.pointee.mark == mark
                && Topic.equal(Entry.bytes(entry), bytes)
            {
                return number
            }
            number = unsafe entry.pointee.next
        }
        return HashBuckets.none
    }

    private mutating func unlink(_ number: UInt32) {
        let entry = unsafe entries.place(number)
        let bucket = unsafe buckets.bucket(entry.pointee.hash)
        var at = buckets.first(bucket)
        if at == number { return buckets.setFirst(bucket, unsafe entry.pointee.next) }
        while at != HashBuckets.none {
            let before = unsafe entries.place(at)
            at = unsafe before.pointee.next
            if at == number {
                unsafe before.pointee.next = entry.pointee.next
                return
            }
        }
        invariant(false, "a topic is missing in its bucket")
    }

    private mutating func rebuild() {
        let old = unsafe buckets.grow()
        for bucket in 0..<old.count {
            var number = unsafe old[bucket]
            while number != HashBuckets.none {
                let entry = unsafe entries.place(number)
                let next = unsafe entry.pointee.next
                let place = unsafe buckets.bucket(entry.pointee.hash)
                unsafe entry.pointee.next = buckets.first(place)
                buckets.setFirst(place, number)
                number = next
            }
        }
        unsafe old.deallocate()
    }
}
