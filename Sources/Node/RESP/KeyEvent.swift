import Keyspace
import Machine
import Synchronization
import Wire

/// What happened to a key, by the name that Redis' keyspace notifications give it.
enum KeyEvent: String {
    case set, del, expire, persist, expired, evicted, append, setrange, incrby, incrbyfloat
    case renameFrom = "rename_from"
    case renameTo = "rename_to"
    case copyTo = "copy_to"
    case lpush, rpush, lpop, rpop, lset, ltrim, lrem, linsert

    var classes: KeyEventClasses {
        switch self {
        case .set, .append, .setrange, .incrby, .incrbyfloat: .string
        case .del, .expire, .persist, .renameFrom, .renameTo, .copyTo: .generic
        case .expired: .expired
        case .evicted: .evicted
        case .lpush, .rpush, .lpop, .rpop, .lset, .ltrim, .lrem, .linsert: .list
        }
    }
}

/// What `notify-keyspace-events` chooses.
struct KeyEventClasses: OptionSet {
    let rawValue: UInt32

    static let keyspace = KeyEventClasses(rawValue: 1 << 0)
    static let keyevent = KeyEventClasses(rawValue: 1 << 1)
    static let generic = KeyEventClasses(rawValue: 1 << 2)
    static let string = KeyEventClasses(rawValue: 1 << 3)
    static let list = KeyEventClasses(rawValue: 1 << 4)
    static let expired = KeyEventClasses(rawValue: 1 << 8)
    static let evicted = KeyEventClasses(rawValue: 1 << 9)

    /// Redis' letters, in its order. Those of types that are not here are taken and choose nothing.
    private static let letters: [(Character, KeyEventClasses)] = [
        ("g", .generic), ("$", .string), ("l", .list),
        ("s", KeyEventClasses(rawValue: 1 << 5)), ("h", KeyEventClasses(rawValue: 1 << 6)),
        ("z", KeyEventClasses(rawValue: 1 << 7)), ("x", .expired), ("e", .evicted),
        ("t", KeyEventClasses(rawValue: 1 << 10)), ("d", KeyEventClasses(rawValue: 1 << 11)),
        ("K", .keyspace), ("E", .keyevent), ("m", KeyEventClasses(rawValue: 1 << 12)),
        ("n", KeyEventClasses(rawValue: 1 << 13)),
    ]
    /// What `A` stands for: the first ten.
    private static var all: KeyEventClasses {
        letters.prefix(10).reduce(into: []) { $0.insert($1.1) }
    }

    init(rawValue: UInt32) { self.rawValue = rawValue }

    init?(_ text: String) {
        self = []
        for letter in text {
            if letter == "A" {
                formUnion(Self.all)
            } else if let known = Self.letters.first(where: { $0.0 == letter }) {
                insert(known.1)
            } else {
                return nil
            }
        }
    }

    var text: String {
        var text = ""
        let isAll = isSuperset(of: Self.all)
        if isAll { text = "A" }
        for (place, (letter, one)) in Self.letters.enumerated()
        where contains(one) && !(isAll && place < 10) {
            text.append(letter)
        }
        return text
    }
}

/// Keyspace notifications: a message for each change, on channels that clients listen to.
extension Shard {
    /// Asked at every write: one load.
    @inline(__always)
    var notifies: Bool { unsafe state.pointee.keyEvents.load(ordering: .relaxed) != 0 }

    var notifiedEvents: String {
        KeyEventClasses(rawValue: unsafe state.pointee.keyEvents.load(ordering: .relaxed)).text
    }

    /// False: a letter is none of Redis'.
    mutating func setNotifiedEvents(_ text: String) -> Bool {
        guard let classes = KeyEventClasses(text) else { return false }
        unsafe state.pointee.keyEvents.store(classes.rawValue, ordering: .relaxed)
        return true
    }

    mutating func notify(
        _ event: KeyEvent, _ key: UnsafeRawBufferPointer, _ context: RESPContext
    ) {
        unsafe notify(event, key, database: Int(context.database))
    }

    private mutating func notify(
        _ event: KeyEvent, _ key: UnsafeRawBufferPointer, database: Int
    ) {
        let chosen = unsafe KeyEventClasses(
            rawValue: state.pointee.keyEvents.load(ordering: .relaxed))
        guard !chosen.isDisjoint(with: event.classes) else { return }
        let key = unsafe Array(key)
        let name = Array(event.rawValue.utf8)
        if chosen.contains(.keyspace) {
            announce(Array("__keyspace@\(database)__:".utf8) + key, name)
        }
        if chosen.contains(.keyevent) {
            announce(Array("__keyevent@\(database)__:".utf8) + name, key)
        }
    }

    /// Tells every shard's listeners; nobody waits for how many there were.
    private mutating func announce(_ channel: [UInt8], _ message: [UInt8]) {
        guard let facts = unsafe Self.facts(.publish, resp) else { return }
        let context = RESPContext(table: ReservedTable.count)
        PackedCommand([Array("publish".utf8), channel, message]).withWords { words in
            for shard in unsafe 0..<state.pointee.shardCount where shard != number {
                post(facts, words, context, to: shard, ticket: 0)
            }
            var unheard = RESPWriter(capacity: 16)
            publish(words, into: &unheard)
        }
    }

    /// A change that no command of RESP gave a name: one made over another protocol, an expiry, an
    /// eviction.
    mutating func announce(_ change: Change) {
        let event: KeyEvent
        switch change.kind {
        case .updated, .deleted:
            if unsafe resp.pointee.namesEvents { return }
            event = change.kind == .updated ? .set : .del
        case .expired: event = .expired
        case .evicted: event = .evicted
        }
        for database in 0..<Int64(RESPDatabases.count)
        where tables.number(ofDatabase: database) == change.table {
            return unsafe notify(event, change.record.key, database: Int(database))
        }
    }
}
