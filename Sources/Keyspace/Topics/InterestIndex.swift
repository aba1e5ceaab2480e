/// Who wants to hear of this shard's changes: for each topic the shards that have listeners.
///
/// A topic is known by its hash alone. Two that share one only cost a message that nobody there
/// wants: the listeners' shard compares the bytes.
@safe
public struct InterestIndex: ~Copyable {
    struct Entry: BitwiseCopyable {
        var next: UInt32
        var table: TableNumber
        var hash: UInt64
        var shards: ShardSet
        /// Subscriptions of all shards together.
        var count: UInt32
        var mark: UInt16
    }

    private let hashing: KeyHash
    private var entries: Slab<Entry>
    private var buckets: HashBuckets
    private var prefixes = PrefixLengths()

    public init(hashing: KeyHash) {
        self.hashing = hashing
        entries = Slab(countMax: Int(Int32.max))
        buckets = HashBuckets()
    }

    /// Topics that somebody listens to.
    public var count: Int { entries.count }

    /// A shard has one more subscription of a topic.
    public mutating func add(_ topic: Topic, of shard: Int) {
        let mark = topic.mark
        var number = find(topic.hash, topic.table, mark)
        if number == HashBuckets.none {
            if buckets.mustGrow(entries.count + 1) { rebuild() }
            let bucket = buckets.bucket(topic.hash)
            guard
                let new = entries.take(
                    Entry(
                        next: buckets.first(bucket), table: topic.table, hash: topic.hash,
                        shards: ShardSet(), count: 0, mark: mark))
            else { return }
            buckets.setFirst(bucket, new)
            if !topic.isKey { unsafe prefixes.add(topic.table, length: topic.bytes.count) }
            number = new
        }
        let entry = unsafe entries.place(number)
        unsafe entry.pointee.shards.insert(shard)
        unsafe entry.pointee.count += 1
    }

    /// A shard has one subscription fewer; `isLast` says that it has none left.
    public mutating func remove(_ topic: Topic, of shard: Int, isLast: Bool) {
        let number = find(topic.hash, topic.table, topic.mark)
        guard number != HashBuckets.none else { return }
        let entry = unsafe entries.place(number)
        unsafe entry.pointee.count -= 1
        if isLast { unsafe entry.pointee.shards.remove(shard) }
        guard unsafe entry.pointee.count == 0 else { return }
        unlink(number)
        if !topic.isKey { unsafe prefixes.remove(topic.table, length: topic.bytes.count) }
        entries.give(number)
    }

    /// The shards that want to hear of a change of this key.
    @inline(__always)
    public func shards(
        for table: TableNumber, _ hash: UInt64, _ key: UnsafeRawBufferPointer
    ) -> ShardSet {
        var shards = ShardSet()
        if entries.count == 0 { return shards }
        unsafe visit(table, hash, key) { shards.formUnion($0.shards) }
        return shards
    }

    /// How many subscriptions hear of a change of this key.
    public func listeners(
        of table: TableNumber, _ hash: UInt64, _ key: UnsafeRawBufferPointer
    ) -> Int {
        var count = 0
        unsafe visit(table, hash, key) { count += Int($0.count) }
        return count
    }

    @inline(__always)
    private func visit(
        _ table: TableNumber, _ hash: UInt64, _ key: UnsafeRawBufferPointer,
        _ body: (Entry) -> Void
    ) {
        let number = find(hash, table, Topic.keyMark)
        if number != HashBuckets.none { body(unsafe entries.place(number).pointee) }
        guard prefixes.has(table) else { return }
        var prefix = PrefixHash(hashing, table)
        var taken = 0
        var length = 0
        while let next = prefixes.next(table, from: length, to: key.count) {
            while taken < next {
                unsafe prefix.add(key[taken])
                taken += 1
            }
            let number = find(prefix.value, table, UInt16(next))
            if number != HashBuckets.none { body(unsafe entries.place(number).pointee) }
            length = next + 1
        }
    }

    @inline(__always)
    private func find(_ hash: UInt64, _ table: TableNumber, _ mark: UInt16) -> UInt32 {
        var number = buckets.first(buckets.bucket(hash))
        while number != HashBuckets.none {
            let entry = unsafe entries.place(number)
            if unsafe entry.pointee.hash == hash && entry.pointee.table == table
                && entry.pointee.mark == mark
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

/// The heads of hash chains whose links lie in a slab.
@safe
struct HashBuckets: ~Copyable {
    static let none = UInt32.max

    private var heads: UnsafeMutableBufferPointer<UInt32>

    init() {
        unsafe heads = .allocate(capacity: 16)
        unsafe heads.initialize(repeating: Self.none)
    }

    deinit { unsafe heads.deallocate() }

    @inline(__always)
    func bucket(_ hash: UInt64) -> Int {
        unsafe Int(truncatingIfNeeded: hash ^ hash >> 32) & (heads.count - 1)
    }

    @inline(__always) func first(_ bucket: Int) -> UInt32 { unsafe heads[bucket] }

    mutating func setFirst(_ bucket: Int, _ number: UInt32) { unsafe heads[bucket] = number }

    func mustGrow(_ count: Int) -> Bool { unsafe count > heads.count }

    /// Doubles and answers with the old heads, whose chains the caller puts in and which it frees.
    mutating func grow() -> UnsafeMutableBufferPointer<UInt32> {
        let old = unsafe heads
        unsafe heads = .allocate(capacity: old.count * 2)
        unsafe heads.initialize(repeating: Self.none)
        return unsafe old
    }
}
