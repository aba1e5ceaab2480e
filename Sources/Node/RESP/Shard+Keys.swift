import Keyspace
import Machine
import Wire

/// Keys whatever their values: deleted, renamed, counted, listed, ended.
extension Shard {
    mutating func delete(_ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter) {
        var gone = 0
        for place in 1..<words.count {
            let reply = unsafe change(command(.delete, words[place], context))
            switch reply.status {
            case .deleted:
                gone += 1
                unsafe resp.pointee.told = reply.position
                if notifies { unsafe notify(.del, words[place], context) }
            case .missing: break
            default: return writeFailure(reply.status, into: &out)
            }
        }
        out.integer(gone)
    }

    mutating func countKeys(_ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter)
    {
        var found = 0
        for place in 1..<words.count {
            switch unsafe look(words[place], context, into: &out) {
            case .refused: return
            case .missing: break
            case .record: found += 1
            }
        }
        out.integer(found)
    }

    mutating func type(_ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter) {
        switch unsafe look(words[1], context, into: &out) {
        case .refused: break
        case .missing: out.simple("none")
        case .record(let record):
            if record.kind == .list { out.simple("list") } else { out.simple("string") }
        }
    }

    mutating func object(_ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter) {
        let name = unsafe words[1]
        if unsafe name.isOption("help"), words.count == 2 { return help(.object, into: &out) }
        let isKnown =
            unsafe name.isOption("encoding") || name.isOption("refcount")
            || name.isOption("idletime")
            || name.isOption("freq")
        guard isKnown else { return unsafe unknownSubcommand(.object, name, into: &out) }
        guard words.count == 3 else {
            return unsafe wrongSubcommandArity(.object, name, into: &out)
        }
        let found = unsafe look(words[2], context, into: &out)
        if case .refused = found { return }
        guard case .record(let record) = found else { return out.null() }
        if unsafe name.isOption("refcount") {
            out.integer(1)
        } else if unsafe name.isOption("idletime") {
            out.integer(max(0, (wallMs - record.timestamp) / 1000))
        } else if unsafe name.isOption("freq") {
            out.error(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."
            )
        } else if record.kind == .list {
            out.bulk("quicklist")
        } else {
            let text = unsafe text(record)
            let embeddedMax = 44
            if unsafe RESPNumber.integer(text) != nil {
                out.bulk("int")
            } else {
                out.bulk(text.count <= embeddedMax ? "embstr" : "raw")
            }
        }
    }

    // MARK: Renaming and copying

    mutating func rename(
        _ words: RESPWords, _ context: RESPContext, onlyNew: Bool, into out: inout RESPWriter
    ) {
        let source = unsafe words[1]
        let target = unsafe words[2]
        let found = unsafe look(source, context, into: &out)
        if case .refused = found { return }
        guard case .record(let record) = found else { return out.error("ERR no such key") }
        if unsafe source.isSame(as: target) {
            if onlyNew { out.integer(0) } else { out.ok() }
            return
        }
        if onlyNew,
            unsafe keyspace.get(Key(context.table, target, keyspace.hashing), at: wallMs) != nil
        {
            return out.integer(0)
        }
        guard unsafe mayOverwrite(source, context), unsafe mayOverwrite(target, context) else {
            return out.error(Self.noPermission)
        }
        guard unsafe copy(record, to: target, context, .renameTo, into: &out) else { return }
        guard unsafe write(command(.delete, source, context), context, .renameFrom, into: &out)
        else { return }
        if onlyNew { out.integer(1) } else { out.ok() }
    }

    mutating func mayOverwrite(
        _ key: UnsafeRawBufferPointer, _ context: RESPContext
    ) -> Bool {
        guard
            let record = unsafe keyspace.get(Key(context.table, key, keyspace.hashing), at: wallMs)
        else { return true }
        let asker = writer(context)
        return record.owner == .anonymous || record.owner == asker || asker == .system
    }

    /// Puts a record's value and expiry under another key.
    private mutating func copy(
        _ record: Record, to key: UnsafeRawBufferPointer, _ context: RESPContext,
        _ event: KeyEvent, into out: inout RESPWriter
    ) -> Bool {
        // A value to be stored must not lie in the arena.
        let resp = unsafe resp
        let room = unsafe resp.pointee.value.take(record.valueCount)
        unsafe room.copyMemory(from: record.value)
        let expiry: Expiry = record.expiresAt == 0 ? .never : .at(record.expiresAt)
        let value = unsafe Value(
            record.kind, UnsafeRawBufferPointer(room), contentType: record.contentType)
        return unsafe write(
            command(.put, key, context, value: value, expiry: expiry), context, event, into: &out)
    }

    mutating func copy(_ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter) {
        var replaces = false
        var target = context
        var place = 3
        while place < words.count {
            let option = unsafe words[place]
            if unsafe option.isOption("replace") {
                replaces = true
            } else if unsafe option.isOption("db"), place + 1 < words.count {
                guard let number = unsafe integer(words[place + 1], into: &out) else { return }
                guard let table = databaseTable(number) else {
                    return out.error("ERR DB index is out of range")
                }
                target.table = table
                place += 1
            } else {
                return out.error(Self.syntaxError)
            }
            place += 1
        }
        if target.table == context.table, unsafe words[1].isSame(as: words[2]) {
            return out.error("ERR source and destination objects are the same")
        }
        let found = unsafe look(words[1], context, into: &out)
        if case .refused = found { return }
        guard case .record(let record) = found else { return out.integer(0) }
        let key = unsafe Key(target.table, words[2], keyspace.hashing)
        if !replaces, keyspace.get(key, at: wallMs) != nil { return out.integer(0) }
        if unsafe copy(record, to: words[2], target, .copyTo, into: &out) { out.integer(1) }
    }

    /// The table that COPY … DB n copies to, if it says so.
    mutating func copyTarget(_ words: RESPWords, _ context: RESPContext) -> TableNumber? {
        // The last one counts.
        var table: TableNumber? = nil
        for place in 3..<max(3, words.count - 1) where unsafe words[place].isOption("db") {
            guard let number = unsafe RESPNumber.integer(words[place + 1]) else { return nil }
            // Made now if need be: where its keys lie follows from it.
            table = databaseTable(number)
        }
        return table
    }

    // MARK: Expiry

    mutating func expire(
        _ words: RESPWords, _ context: RESPContext, unitMs: Int64, isRelative: Bool,
        _ facts: CommandFacts, into out: inout RESPWriter
    ) {
        var onlyWithout = false
        var onlyWith = false
        var onlyLater = false
        var onlyEarlier = false
        for place in 3..<max(3, words.count) {
            let option = unsafe words[place]
            if unsafe option.isOption("nx") {
                onlyWithout = true
            } else if unsafe option.isOption("xx") {
                onlyWith = true
            } else if unsafe option.isOption("gt") {
                onlyLater = true
            } else if unsafe option.isOption("lt") {
                onlyEarlier = true
            } else {
                out.begin(error: "ERR Unsupported option ")
                unsafe out.addPrintable(option)
                return out.endLine()
            }
        }
        if onlyWithout, onlyWith || onlyLater || onlyEarlier {
            return out.error("ERR NX and XX, GT or LT options at the same time are not compatible")
        }
        if onlyLater, onlyEarlier {
            return out.error("ERR GT and LT options at the same time are not compatible")
        }
        guard let number = unsafe integer(words[2], into: &out) else { return }
        guard number <= Int64.max / unitMs, number >= Int64.min / unitMs else {
            return badExpiry(facts.command, into: &out)
        }
        let (time, isOver) = (number * unitMs).addingReportingOverflow(isRelative ? wallMs : 0)
        if isOver { return badExpiry(facts.command, into: &out) }
        let found = unsafe look(words[1], context, into: &out)
        if case .refused = found { return }
        guard case .record(let record) = found else { return out.integer(0) }
        let current = record.expiresAt
        if onlyWithout && current != 0 || onlyWith && current == 0
            || onlyLater && (current == 0 || time <= current)
            || onlyEarlier && current != 0 && time >= current
        {
            return out.integer(0)
        }
        let isPast = time <= wallMs
        let isDone = unsafe write(
            command(isPast ? .delete : .expire, words[1], context, expiry: .at(time)), context,
            isPast ? .del : .expire, into: &out)
        if isDone { out.integer(1) }
    }

    mutating func timeLeft(
        _ words: RESPWords, _ context: RESPContext, unitMs: Int64, isRelative: Bool,
        into out: inout RESPWriter
    ) {
        let found = unsafe look(words[1], context, into: &out)
        if case .refused = found { return }
        guard case .record(let record) = found else { return out.integer(-2) }
        guard record.expiresAt != 0 else { return out.integer(-1) }
        let time = isRelative ? max(0, record.expiresAt - wallMs) : record.expiresAt
        // As Redis rounds, also where the end is as far away as a number can say.
        out.integer(unitMs == 1 ? time : Int64((UInt64(time) + 500) / UInt64(unitMs)))
    }

    mutating func persist(_ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter) {
        let found = unsafe look(words[1], context, into: &out)
        if case .refused = found { return }
        guard case .record(let record) = found, record.expiresAt != 0 else {
            return out.integer(0)
        }
        let isDone = unsafe write(
            command(.expire, words[1], context, expiry: .never), context, .persist, into: &out)
        if isDone { out.integer(1) }
    }

    // MARK: All keys

    mutating func keys(_ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter) {
        let pattern = unsafe words[1]
        let now = wallMs
        // How many there are is known when they are written: the head is made last, and moved.
        let start = out.count
        var found = 0
        let everything = unsafe pattern.count == 1 && pattern[0] == UInt8(ascii: "*")
        let prefix = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        var page = unsafe keyspace.list(
            context.table, prefix: prefix, after: prefix, steps: Int.max)
        while let record = keyspace.next(&page, at: now) {
            guard unsafe everything || Glob.matches(pattern, record.key) else { continue }
            guard context.maySee(record) else { continue }
            found += 1
            unsafe out.bulk(record.key)
        }
        out.insertArrayHead(found, at: start)
    }

    mutating func randomKey(_ context: RESPContext, into out: inout RESPWriter) {
        guard keyspace.count(of: context.table) > 0 else { return out.null() }
        // From a random place of the index on, so that all keys are about as likely.
        let table = context.table
        let now = wallMs
        var generator = SystemRandomNumberGenerator()
        var cursor: UInt64 = generator.next()
        var laps = 0
        var isWritten = false
        let start = out.count
        while laps < 2, !isWritten {
            var seen: UInt64 = 0
            let isMore = keyspace.walk(&cursor) { record in
                guard record.table == table, !record.isTombstone,
                    record.expiresAt == 0 || record.expiresAt > now
                else { return }
                seen += 1
                guard UInt64.random(in: 0..<seen, using: &generator) == 0 else { return }
                if isWritten { out.rewind(to: start) }
                isWritten = true
                unsafe out.bulk(record.key)
            }
            if !isMore {
                laps += 1
                cursor = 0
            }
        }
        if !isWritten { out.null() }
    }

    mutating func scan(_ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter) {
        guard var cursor = unsafe ScanCursor(words[1]) else {
            return out.error("ERR invalid cursor")
        }
        var pattern: UnsafeRawBufferPointer? = nil
        var wanted: Int64 = 10
        var kind: ValueKind? = nil
        var hasUnknownKind = false
        var place = 2
        while place < words.count {
            let option = unsafe words[place]
            guard place + 1 < words.count else { return out.error(Self.syntaxError) }
            let value = unsafe words[place + 1]
            if unsafe option.isOption("count") {
                guard let number = unsafe integer(value, into: &out) else { return }
                guard number >= 1 else { return out.error(Self.syntaxError) }
                wanted = number
            } else if unsafe option.isOption("match") {
                unsafe pattern = unsafe value
            } else if unsafe option.isOption("type") {
                if unsafe value.isOption("list") {
                    kind = .list
                } else if unsafe value.isOption("string") {
                    kind = .bytes
                } else {
                    hasUnknownKind = true
                }
            } else {
                return out.error(Self.syntaxError)
            }
            place += 2
        }
        let shards = unsafe state.pointee.shardCount
        let now = wallMs
        let table = context.table
        let start = out.count
        var found = 0
        var seen: Int64 = 0
        if cursor.shard >= shards {
            cursor = .end
        } else {
            cursor.shard = number
            var isMore = true
            var pages = 0
            // An empty page costs as much to look at as a full one.
            while isMore, seen < wanted, pages < 64 {
                pages += 1
                isMore = keyspace.walk(&cursor.place) { record in
                    guard record.table == table, !record.isTombstone,
                        record.expiresAt == 0 || record.expiresAt > now
                    else { return }
                    seen += 1
                    if let kind, (record.kind == .list) != (kind == .list) { return }
                    if hasUnknownKind { return }
                    if let pattern = unsafe pattern, unsafe !Glob.matches(pattern, record.key) {
                        return
                    }
                    guard context.maySee(record) else { return }
                    found += 1
                    unsafe out.bulk(record.key)
                }
            }
            if !isMore { cursor = number + 1 < shards ? ScanCursor(shard: number + 1) : .end }
        }
        out.insertScanHead(cursor: cursor.text, found, at: start)
    }

    // MARK: Emptying

    mutating func flush(
        _ facts: CommandFacts, _ words: RESPWords, _ context: RESPContext,
        into out: inout RESPWriter
    ) {
        if words.count > 2 { return out.error(Self.syntaxError) }
        if words.count == 2, unsafe !words[1].isOption("async"), unsafe !words[1].isOption("sync") {
            return out.error(Self.syntaxError)
        }
        guard mayAdminister(context) else { return out.error(Self.adminNeeded) }
        if facts.command == .flushdb {
            clear(context.table)
        } else {
            for database in 0..<Int64(RESPDatabases.count) {
                if let table = tables.number(ofDatabase: database) { clear(table) }
            }
        }
        out.ok()
    }

    /// Records of one step, each of which has its place in the log before it goes.
    private static var clearBudget: Int { 64 }

    private mutating func clear(_ table: TableNumber) {
        var left = keyspace.count(of: table)
        while left > 0 {
            guard hasLogRoom(deleting: Self.clearBudget) else { return }
            left = keyspace.clear(table, budget: Self.clearBudget, at: wallMs)
            recordChanges()
            unsafe resp.pointee.told = keyspace.position
        }
    }
}

/// Where a SCAN goes on: a shard, and a place in its index. Told to clients as one number, 0 at
/// the beginning and at the end.
struct ScanCursor: Equatable {
    /// The index's place has nothing below these bits.
    private static let placeShift: UInt64 = 38
    private static let shardBits: UInt64 = 8

    var shard: Int
    var place: UInt64 = 0

    static let end = ScanCursor(shard: 0)

    init(shard: Int) { self.shard = shard }

    init?(_ word: UnsafeRawBufferPointer) {
        guard word.count > 0, word.count <= 20 else { return nil }
        var number: UInt64 = 0
        for place in 0..<word.count {
            let digit = unsafe word[place] &- 0x30
            guard digit < 10 else { return nil }
            let (scaled, isOver) = number.multipliedReportingOverflow(by: 10)
            let (sum, isFull) = scaled.addingReportingOverflow(UInt64(digit))
            if isOver || isFull { return nil }
            number = sum
        }
        shard = Int(number & (1 << Self.shardBits - 1))
        place = (number >> Self.shardBits) << Self.placeShift
    }

    var text: UInt64 { (place >> Self.placeShift) << Self.shardBits | UInt64(shard) }
}

/// The databases that SELECT goes to.
enum RESPDatabases {
    /// As many as Redis has unless it is told otherwise.
    static let count = 16
}

extension Shard {
    /// The table of a database, made now if need be; nil when there is no such database.
    mutating func databaseTable(_ database: Int64) -> TableNumber? {
        guard database >= 0, database < Int64(RESPDatabases.count) else { return nil }
        var name = Tables.databaseName(database)
        return name.withUTF8 { unsafe table(UnsafeRawBufferPointer($0), adding: true) }
    }
}

extension Tables {
    static func databaseName(_ database: Int64) -> String {
        database == 0 ? "default" : "db\(database)"
    }

    /// The table of a database, if it was ever used.
    func number(ofDatabase database: Int64) -> TableNumber? {
        guard database >= 0, database < Int64(RESPDatabases.count) else { return nil }
        var name = Tables.databaseName(database)
        return name.withUTF8 { unsafe number(of: UnsafeRawBufferPointer($0), in: .shared) }
    }
}
