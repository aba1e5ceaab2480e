import Glibc
import Journal
import Keyspace

/// What a trial knows of its records: the truth that a recovery is held against.
struct JournalModel {
    struct Item: Equatable {
        var stamp: UInt64
        var version: UInt64
        /// What the value is made from; its length follows from it.
        var value: UInt64
        var isTombstone = false
        var expiresAt: Int64 = 0
        var owner: UInt64 = 0
    }

    struct Change {
        enum Kind {
            case put(Item)
            case evict(upTo: UInt64)
        }
        var key: Int
        var kind: Kind
        /// The transaction it is part of; -1 is none.
        var transaction = -1
    }

    /// A transaction over shards: where each part begins.
    struct Transaction {
        var parts: [(shard: Int, begins: CommitPosition)]
    }

    /// What one run did, by shard; a change's place is its position less one.
    struct Run {
        var number: UInt64
        var base: [Int: Item]
        var changes: [[Change]]
        var transactions: [Transaction] = []
    }

    static func apply(_ change: Change, to state: inout [Int: Item]) {
        switch change.kind {
        case .put(let item):
            if let there = state[change.key], there.stamp >= item.stamp { return }
            state[change.key] = item
        case .evict(let stamp):
            guard let there = state[change.key], !there.isTombstone, there.stamp <= stamp
            else { return }
            state[change.key] = nil
        }
    }

    /// What a run left behind, if its logs reach this far.
    static func state(after run: Run, reaching last: [CommitPosition]) -> [Int: Item] {
        var state = run.base
        for (shard, changes) in run.changes.enumerated() {
            for change in changes.prefix(Int(last[shard])) {
                if change.transaction >= 0 {
                    let parts = run.transactions[change.transaction].parts
                    if !parts.allSatisfy({ last[$0.shard] >= $0.begins }) { continue }
                }
                apply(change, to: &state)
            }
        }
        return state
    }

    // MARK: As bytes

    static let keysMax = 96

    static func key(_ key: Int) -> [UInt8] { Array("key:\(key)".utf8) }

    static func keyNumber(_ bytes: UnsafeRawBufferPointer) -> Int {
        var number = 0
        for place in 4..<max(4, bytes.count) {
            number = unsafe number * 10 + Int(bytes[place]) - 48
        }
        return number
    }

    static func table(_ key: Int) -> [UInt8] { Array((key % 3 == 0 ? "events" : "default").utf8) }

    static func space(_ key: Int) -> Space { Space(rawValue: key % 5 == 0 ? 77 : 0) }

    static func slot(_ key: Int) -> UInt16 {
        unsafe table(key).withUnsafeBytes { table in
            unsafe Self.key(key).withUnsafeBytes { key in
                unsafe Slot.of(key, offset: Slot.offset(space(keyNumber(key)), table: table))
            }
        }
    }

    /// A value of one letter, with the number it was made from at its beginning.
    static func value(_ seed: UInt64) -> [UInt8] {
        var random = Random(seed: seed)
        let count =
            switch random.below(60) {
            case 0: 3000 + random.below(20_000)
            case 1...4: 500 + random.below(1500)
            default: random.below(90)
            }
        var bytes = [UInt8](repeating: UInt8(97 + random.below(26)), count: count)
        for place in 0..<min(8, count) {
            bytes[place] = UInt8(truncatingIfNeeded: seed >> UInt64(8 * place))
        }
        return bytes
    }

    private static func isSame(_ bytes: UnsafeRawBufferPointer, _ others: [UInt8]) -> Bool {
        unsafe others.withUnsafeBytes { others in
            guard bytes.count == others.count else { return false }
            guard let one = bytes.baseAddress, let other = others.baseAddress, others.count > 0
            else { return true }
            return unsafe memcmp(one, other, others.count) == 0
        }
    }

    /// The record of a change, for the time of a call.
    static func withRecord<Answer>(
        _ key: Int, _ kind: LogRecord.Kind, _ item: Item, _ body: (borrowing LogRecord) -> Answer
    ) -> Answer {
        let value = kind == .updated ? value(item.value) : []
        return unsafe Self.key(key).withUnsafeBytes { name in
            unsafe table(key).withUnsafeBytes { table in
                unsafe value.withUnsafeBytes { value in
                    var record = LogRecord()
                    record.kind = kind
                    record.slot = slots[key]
                    record.stamp = Stamp(rawValue: item.stamp)
                    record.created = Stamp(rawValue: item.stamp - item.value % 3)
                    record.version = item.version
                    record.expiresAt = item.expiresAt
                    record.owner = OwnerID(high: 0, low: item.owner)
                    record.space = space(key)
                    unsafe record.table = table
                    unsafe record.key = name
                    unsafe record.value = value
                    return body(record)
                }
            }
        }
    }

    static let slots: [UInt16] = (0..<keysMax).map { slot($0) }

    /// What a record that was read says; nil when its parts don't belong together.
    static func read(_ record: borrowing LogRecord) -> (key: Int, change: Change)? {
        let key = unsafe keyNumber(record.key)
        guard key >= 0, key < keysMax, record.slot == slots[key], record.space == space(key),
            unsafe isSame(record.table, table(key))
        else { return nil }
        if record.kind == .evicted {
            return (key, Change(key: key, kind: .evict(upTo: record.stamp.rawValue)))
        }
        // The value is compared by what it was made from: a seed is in its owner.
        let seed = record.owner.low
        var item = Item(
            stamp: record.stamp.rawValue, version: record.version, value: seed,
            isTombstone: record.kind == .deleted, expiresAt: record.expiresAt, owner: seed)
        if record.kind == .updated {
            guard unsafe isSame(record.value, value(seed)) else { return nil }
        }
        item.owner = seed
        return (key, Change(key: key, kind: .put(item)))
    }
}
