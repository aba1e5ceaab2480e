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
        /// What its elements are made from, where it is a list.
        var list: [UInt64]?
    }

    struct Change {
        enum Kind {
            case put(Item)
            case evict(upTo: UInt64)
            /// A transaction's end; no key.
            case end
        }
        var key: Int
        var kind: Kind
        /// The transaction it is part of; -1 is none.
        var transaction = -1
    }

    /// A transaction over shards: its last record on each, and its end.
    struct Transaction {
        var lasts: [Int: CommitPosition] = [:]
        var end: (shard: Int, position: CommitPosition)?

        /// Whether it counts in logs that reach this far.
        func isWhole(_ last: [CommitPosition]) -> Bool {
            guard let end, last[end.shard] >= end.position else { return false }
            return lasts.allSatisfy { last[$0.key] >= $0.value }
        }
    }

    /// A part of a list replaced by other elements.
    struct Splice {
        var base: UInt64
        var range: Range<Int>
        var before: [UInt64]
        var inserted: [UInt64]
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
        case .end: break
        }
    }

    /// What a run left behind, if its logs reach this far.
    static func state(after run: Run, reaching last: [CommitPosition]) -> [Int: Item] {
        var state = run.base
        for (shard, changes) in run.changes.enumerated() {
            for change in changes.prefix(Int(last[shard])) {
                if change.transaction >= 0,
                    !run.transactions[change.transaction].isWhole(last)
                {
                    continue
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

    /// An element begins with what it is made from.
    private static func element(_ seed: UInt64) -> [UInt8] {
        var bytes = [UInt8](repeating: 120, count: 8 + Int(seed % (seed % 16 == 0 ? 300 : 40)))
        for place in 0..<8 { bytes[place] = UInt8(truncatingIfNeeded: seed >> UInt64(8 * place)) }
        return bytes
    }

    /// Elements as they lie in a list.
    private static func elements(_ seeds: some Sequence<UInt64>) -> [UInt8] {
        var bytes: [UInt8] = []
        for seed in seeds {
            let element = element(seed)
            var piece = [UInt8](repeating: 0, count: ListForm.elementBytes(element.count))
            unsafe piece.withUnsafeMutableBytes { room in
                unsafe element.withUnsafeBytes { _ = unsafe ListForm.write($0, to: room, at: 0) }
            }
            bytes += piece
        }
        return bytes
    }

    private static func list(_ seeds: [UInt64]) -> [UInt8] {
        let elements = elements(seeds)
        var bytes = [UInt8](repeating: 0, count: ListForm.headBytes) + elements
        unsafe bytes.withUnsafeMutableBytes {
            unsafe ListForm.writeHead(
                count: seeds.count, front: ListForm.headBytes, used: elements.count,
                to: $0.baseAddress.unsafelyUnwrapped)
        }
        return bytes
    }

    /// What the elements of a list were made from; nil when it is none.
    private static func seeds(_ value: UnsafeRawBufferPointer) -> [UInt64]? {
        guard unsafe ListForm.isValid(value) else { return nil }
        let form = unsafe ListForm(value)
        var seeds: [UInt64] = []
        var place = 0
        while place < form.used {
            let (bytes, next) = unsafe form.element(at: place)
            guard bytes.count >= 8 else { return nil }
            let seed = unsafe bytes.loadUnaligned(as: UInt64.self)
            guard unsafe isSame(bytes, element(seed)) else { return nil }
            seeds.append(seed)
            place = next
        }
        return seeds
    }

    /// The record of a change, for the time of a call.
    static func withRecord<Answer>(
        _ key: Int, _ kind: LogRecord.Kind, _ item: Item, _ splice: Splice? = nil,
        transaction: Int = -1, _ body: (borrowing LogRecord) -> Answer
    ) -> Answer {
        var value: [UInt8] = []
        if let splice {
            value = elements(splice.inserted)
        } else if kind == .updated {
            value = item.list.map { list($0) } ?? Self.value(item.value)
        }
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
                    if item.list != nil { record.valueKind = .list }
                    unsafe record.value = value
                    record.transaction = UInt64(transaction + 1)
                    if let splice {
                        record.base = Stamp(rawValue: splice.base)
                        record.splicePlace = UInt32(
                            elements(splice.before[..<splice.range.lowerBound]).count)
                        record.spliceRemoved = UInt32(
                            elements(splice.before[splice.range]).count)
                        record.spliceCountChange = Int32(
                            splice.inserted.count - splice.range.count)
                    }
                    return body(record)
                }
            }
        }
    }

    static let slots: [UInt16] = (0..<keysMax).map { slot($0) }

    // MARK: Reading

    /// A shard's keyspace, and what it takes to put records into it as a node does.
    final class Reader {
        private var keyspace: Keyspace
        private var replay = Replay()
        private var owners: [UInt64] = []
        private(set) var wrong: String?

        init() throws(ReservationRefused) {
            var settings = Keyspace.Settings(seed: 5)
            settings.segmentBytes = 64 << 10
            settings.addressBytes = 64 << 20
            settings.tombstonesMax = 4096
            keyspace = try Keyspace.make(settings)
            keyspace.beginLoading(expecting: JournalModel.keysMax)
        }

        func take(_ record: borrowing LogRecord) {
            guard let owner = owner(record) else { return }
            let applied = replay.take(
                record, key(record), owner: owner, at: 0, into: &keyspace)
            if applied == .changed { wrong = "a list was changed that is not there" }
            if applied == .outOfMemory { wrong = "there was no memory for a record" }
        }

        func passOver(_ record: borrowing LogRecord) {
            guard let owner = owner(record) else { return }
            replay.passOver(record, key(record), owner: owner, at: 0)
        }

        private func key(_ record: borrowing LogRecord) -> Key {
            let number = unsafe JournalModel.keyNumber(record.key)
            let table = (number % 3 == 0 ? 1 : 0) + (number % 5 == 0 ? 2 : 0)
            return unsafe Key(TableNumber(table), record.key, keyspace.hashing)
        }

        /// nil when the parts of a record don't belong together.
        private func owner(_ record: borrowing LogRecord) -> Principal? {
            let key = unsafe JournalModel.keyNumber(record.key)
            guard key >= 0, key < JournalModel.keysMax, record.slot == JournalModel.slots[key],
                record.space == JournalModel.space(key),
                unsafe JournalModel.isSame(record.table, JournalModel.table(key))
            else {
                wrong = "a record came back as none that was written"
                return nil
            }
            if owners.last != record.owner.low { owners.append(record.owner.low) }
            return Principal(rawValue: UInt32(owners.count) + 1)
        }

        /// All that is there now.
        func items() -> [Int: Item] {
            keyspace.finishLoading()
            var items: [Int: Item] = [:]
            var cursor: UInt64 = 0
            var isMore = true
            while isMore {
                isMore = keyspace.walk(&cursor) { record in
                    let key = unsafe JournalModel.keyNumber(record.key)
                    let seed = owners[Int(record.owner.rawValue) - 2]
                    var item = Item(
                        stamp: record.stamp.rawValue, version: record.version, value: seed,
                        isTombstone: record.isTombstone, expiresAt: record.expiresAt, owner: seed)
                    if record.isTombstone {
                        // A tombstone keeps the owner of what it buries, the log that of the deletion.
                        item.value = 0
                        item.owner = 0
                    } else if record.kind == .list {
                        item.list = unsafe JournalModel.seeds(record.value)
                        if item.list == nil { wrong = "a list came back as none that was written" }
                    } else if unsafe !JournalModel.isSame(record.value, JournalModel.value(seed)) {
                        wrong = "a value came back as none that was written"
                    }
                    items[key] = item
                }
            }
            return items
        }
    }
}
