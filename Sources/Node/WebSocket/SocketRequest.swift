import Keyspace
import Machine
import Wire

/// One message of a client on `/ws`: `{"id":1,"op":"put","table":"t","key":"k","value":V}`.
///
/// docs/websocket.md has the members of each operation. One that an operation does not have is
/// refused, because a misspelt condition must not let a write pass; so is one that is there twice.
/// Everything points into the message, or into the scratch memory it was decoded to.
@safe struct SocketRequest {
    enum Operation: UInt8 {
        case get, put, delete, keys, subscribe, unsubscribe, ping

        var name: StaticString {
            switch self {
            case .get: "get"
            case .put: "put"
            case .delete: "delete"
            case .keys: "keys"
            case .subscribe: "subscribe"
            case .unsubscribe: "unsubscribe"
            case .ping: "ping"
            }
        }

        /// What it may have besides `id` and `op`.
        fileprivate func has(_ member: Member) -> Bool {
            switch member {
            case .id, .op: true
            case .table: self != .ping
            case .key: self != .keys && self != .ping
            case .value, .ttl, .ifNoneMatch: self == .put
            case .ifMatch: self == .put || self == .delete
            case .limit, .cursor: self == .keys
            case .prefix: self == .keys || self == .subscribe || self == .unsubscribe
            case .keys: self == .subscribe || self == .unsubscribe
            case .initial, .lastEventID: self == .subscribe
            }
        }

        fileprivate static var count: UInt8 { 7 }
    }

    /// What a subscription is about.
    @safe enum Topics {
        case key(UnsafeRawBufferPointer)
        /// An array of strings as it was sent; `KeyNames` walks it.
        case keys(UnsafeRawBufferPointer)
        /// All keys that begin with it; empty for the whole table.
        case prefix(UnsafeRawBufferPointer)
    }

    /// An answer carries it as it was sent, so it has a bound.
    static let idBytesMax = 64
    /// What `parse` needs to decode into: table, key or prefix, conditions, a cursor and its key.
    static let scratchBytesMin = 8 * 1024
    /// The most keys of a page of `keys`, and how many there are where nothing is said.
    static let limitMax = ListQuery.limitMax
    static let limitUsual = 1000
    private static let conditionBytesMax = 1024

    var operation = Operation.ping
    /// A number or a string, as sent.
    var id = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    var table = unsafe UnsafeRawBufferPointer(
        start: TableName.defaultName.utf8Start, count: TableName.defaultName.utf8CodeUnitCount)
    var key = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    var value = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    var ttlMs: Int64 = 0
    var ifMatch: UnsafeRawBufferPointer? = nil
    var ifNoneMatch: UnsafeRawBufferPointer? = nil
    var prefix = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    var limit = limitUsual
    /// The key after which a page of `keys` begins.
    var after = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    var topics = unsafe Topics.prefix(UnsafeRawBufferPointer(start: nil, count: 0))
    /// Whether the present records are wanted first.
    var initial = true
    var lastEventID: UnsafeRawBufferPointer? = nil

    @safe enum Parsed {
        case request(SocketRequest)
        /// The id is what could be found of it, else empty.
        case refused(id: UnsafeRawBufferPointer, StaticString)
    }

    fileprivate enum Member: Int {
        case id, op, table, key, keys, prefix, value, ttl, ifMatch, ifNoneMatch, limit, cursor
        case initial, lastEventID

        var name: StaticString {
            switch self {
            case .id: "id"
            case .op: "op"
            case .table: "table"
            case .key: "key"
            case .keys: "keys"
            case .prefix: "prefix"
            case .value: "value"
            case .ttl: "ttl"
            case .ifMatch: "ifMatch"
            case .ifNoneMatch: "ifNoneMatch"
            case .limit: "limit"
            case .cursor: "cursor"
            case .initial: "initial"
            case .lastEventID: "lastEventId"
            }
        }
    }
}

extension SocketRequest {
    static func parse(
        _ message: UnsafeRawBufferPointer, scratch: UnsafeMutablePointer<UInt8>, scratchBytes: Int
    ) -> Parsed {
        invariant(scratchBytes >= scratchBytesMin, "no room to decode a message")
        var reading = unsafe Reading(message, ByteWriter(scratch, capacity: scratchBytes))
        let fault = reading.read()
        if let fault { return unsafe .refused(id: reading.request.id, fault) }
        return .request(reading.request)
    }

    /// The walk over one message's members, and then over what they say.
    @safe private struct Reading {
        private let message: UnsafeRawBufferPointer
        private var writer: ByteWriter
        private var values = InlineArray<14, Range<Int>?>(repeating: nil)
        var request = SocketRequest()

        init(_ message: UnsafeRawBufferPointer, _ writer: ByteWriter) {
            unsafe self.message = unsafe message
            self.writer = writer
        }

        /// What is wrong with the message; nil when `request` is whole.
        mutating func read() -> StaticString? {
            var fault = find()
            // Also a message that is refused is answered with its id, where it has one.
            if let idFault = readID(), fault == nil { fault = idFault }
            if let fault { return fault }
            guard let operation = readOperation() else {
                return "op is subscribe, unsubscribe, get, put, delete, keys or ping"
            }
            request.operation = operation
            for place in 0..<values.count where values[place] != nil {
                guard let member = Member(rawValue: place), operation.has(member) else {
                    return "The operation has no such member"
                }
            }
            if let fault = readNames(operation) { return fault }
            switch operation {
            case .put: return readWrite() ?? readConditions()
            case .delete: return readConditions()
            case .keys: return readPage()
            case .subscribe, .unsubscribe: return readTopics()
            case .get, .ping: return nil
            }
        }

        private mutating func find() -> StaticString? {
            var members = unsafe JSONMembers(message)
            var fault: StaticString? = nil
            while true {
                switch members.next() {
                case .end: return fault
                case .invalid(_, let reason): return reason.text
                case .member(let found):
                    guard let place = place(of: found) else {
                        fault = fault ?? "The message has a member that is not known"
                        continue
                    }
                    if values[place] != nil { fault = "A member is given twice" }
                    values[place] = found.value
                }
            }
        }

        private func place(of found: JSONMember) -> Int? {
            var place = 0
            while let member = Member(rawValue: place) {
                if unsafe found.isNamed(member.name, in: message) { return place }
                place += 1
            }
            return nil
        }

        private func raw(_ member: Member) -> UnsafeRawBufferPointer? {
            guard let range = values[member.rawValue] else { return nil }
            return unsafe UnsafeRawBufferPointer(rebasing: message[range])
        }

        // MARK: Members

        private mutating func readID() -> StaticString? {
            guard let id = unsafe raw(.id) else { return "The message has no id" }
            let kind = unsafe JSONKind(of: id)
            guard kind == .number || kind == .string, id.count <= SocketRequest.idBytesMax else {
                return "id is a number or a string of at most 64 bytes"
            }
            unsafe request.id = unsafe id
            return nil
        }

        private func readOperation() -> Operation? {
            guard let raw = unsafe raw(.op) else { return nil }
            for number in 0..<Operation.count {
                let operation = Operation(rawValue: number)
                if let operation, unsafe isString(raw, operation.name) { return operation }
            }
            return nil
        }

        private mutating func readNames(_ operation: Operation) -> StaticString? {
            if unsafe raw(.table) != nil {
                guard let table = unsafe text(.table, bytesMax: TableName.bytesMax),
                    unsafe TableName.judge(table) == .good
                else { return "The table name is malformed" }
                unsafe request.table = unsafe table
            }
            let needsKey = operation == .get || operation == .put || operation == .delete
            if unsafe raw(.key) != nil {
                guard let key = unsafe text(.key, bytesMax: Key.bytesMax), unsafe !key.isEmpty
                else { return "A key is a string of 1 to 1024 bytes" }
                unsafe request.key = unsafe key
            } else if needsKey {
                return "The operation needs a key"
            }
            if unsafe raw(.prefix) != nil {
                guard let prefix = unsafe text(.prefix, bytesMax: Key.bytesMax) else {
                    return "A prefix is a string of at most 1024 bytes"
                }
                unsafe request.prefix = unsafe prefix
            }
            return nil
        }

        private mutating func readWrite() -> StaticString? {
            guard let value = unsafe raw(.value) else { return "The operation needs a value" }
            unsafe request.value = unsafe value
            guard let raw = unsafe raw(.ttl) else { return nil }
            let isNumber = unsafe JSONKind(of: raw) == .number
            guard let written = unsafe isNumber ? raw : text(.ttl, bytesMax: 64),
                let milliseconds = unsafe TTL.parse(written.bytes)
            else { return "The ttl is not a time such as 30s, 5m or 1h30m" }
            request.ttlMs = milliseconds
            return nil
        }

        private mutating func readConditions() -> StaticString? {
            let fault: StaticString = "A condition is a version, or a string with entity tags"
            if unsafe raw(.ifMatch) != nil {
                guard let condition = unsafe condition(.ifMatch) else { return fault }
                unsafe request.ifMatch = unsafe condition
            }
            if unsafe raw(.ifNoneMatch) != nil {
                guard let condition = unsafe condition(.ifNoneMatch) else { return fault }
                unsafe request.ifNoneMatch = unsafe condition
            }
            return nil
        }

        /// The value of the header field of the same name: a number is a version, which stands in
        /// quotes there.
        private mutating func condition(_ member: Member) -> UnsafeRawBufferPointer? {
            guard let raw = unsafe raw(member) else { return nil }
            guard unsafe JSONKind(of: raw) == .number else {
                return unsafe text(member, bytesMax: SocketRequest.conditionBytesMax)
            }
            guard case .exact(let version) = unsafe JSONNumber.integer(raw), version > 0 else {
                return nil
            }
            let before = writer.count
            writer.write(byte: 0x22)
            writer.write(decimal: UInt64(version))
            writer.write(byte: 0x22)
            return unsafe since(before)
        }

        private mutating func readPage() -> StaticString? {
            if let raw = unsafe raw(.limit) {
                guard case .exact(let limit) = unsafe JSONNumber.integer(raw), limit >= 1,
                    limit <= Int64(SocketRequest.limitMax)
                else { return "limit is a number from 1 to 10000" }
                request.limit = Int(limit)
            }
            guard unsafe raw(.cursor) != nil else { return nil }
            guard let cursor = unsafe text(.cursor, bytesMax: Cursor.bytesMax),
                let after = unsafe Cursor.parse(cursor, into: &writer)
            else { return "cursor is not one that a page gave" }
            unsafe request.after = unsafe after
            return nil
        }

        private mutating func readTopics() -> StaticString? {
            var given = 0
            if unsafe raw(.key) != nil { given += 1 }
            if unsafe raw(.keys) != nil { given += 1 }
            if unsafe raw(.prefix) != nil { given += 1 }
            guard given <= 1 else { return "Only one of key, keys and prefix may be given" }
            if let raw = unsafe raw(.keys) {
                var names = unsafe KeyNames(raw)
                guard names.check(scratch: writer) else {
                    return "keys is a list of strings of 1 to 1024 bytes"
                }
                request.topics = unsafe .keys(raw)
            } else {
                let isKey = unsafe raw(.key) != nil
                request.topics = unsafe isKey ? .key(request.key) : .prefix(request.prefix)
            }
            if let raw = unsafe raw(.initial) {
                guard unsafe JSONKind(of: raw) == .boolean else {
                    return "initial is true or false"
                }
                request.initial = unsafe raw.first == UInt8(ascii: "t")
            }
            guard unsafe raw(.lastEventID) != nil else { return nil }
            guard let id = unsafe text(.lastEventID, bytesMax: 4096) else {
                return "lastEventId is a string that an event gave"
            }
            unsafe request.lastEventID = unsafe id
            return nil
        }

        // MARK: Text

        /// A string, decoded; nil for anything else, and where it is longer.
        private mutating func text(_ member: Member, bytesMax: Int) -> UnsafeRawBufferPointer? {
            guard let raw = unsafe raw(member) else { return nil }
            return unsafe decode(raw, bytesMax: bytesMax, into: &writer)
        }

        private func since(_ before: Int) -> UnsafeRawBufferPointer {
            unsafe UnsafeRawBufferPointer(
                rebasing: UnsafeRawBufferPointer(writer.written)[before...])
        }

        private func isString(_ raw: UnsafeRawBufferPointer, _ word: StaticString) -> Bool {
            unsafe JSONString.decodes(
                raw,
                to: UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount))
        }
    }
}

/// A string, decoded into `writer`; nil for anything else, and where it is longer.
private func decode(
    _ raw: UnsafeRawBufferPointer, bytesMax: Int, into writer: inout ByteWriter
) -> UnsafeRawBufferPointer? {
    guard unsafe raw.first == 0x22, writer.hasRoom(bytesMax) else { return nil }
    let before = writer.count
    let room = unsafe UnsafeMutableRawBufferPointer(
        start: writer.reserve(bytesMax), count: bytesMax)
    writer.rewind(to: before)
    guard let count = unsafe JSONString.decode(raw, into: room) else { return nil }
    _ = unsafe writer.reserve(count)
    return unsafe UnsafeRawBufferPointer(rebasing: room[..<count])
}

/// The keys of a subscription to several, one after the other.
@safe struct KeyNames {
    /// Past it a client wants a prefix, or several messages.
    static let countMax = 1024

    private let raw: UnsafeRawBufferPointer
    private var elements: JSONElements

    init(_ raw: UnsafeRawBufferPointer) {
        unsafe self.raw = unsafe raw
        elements = unsafe JSONElements(raw)
    }

    /// Whether all of it is keys, at least one and no more than `countMax`.
    mutating func check(scratch: ByteWriter) -> Bool {
        var count = 0
        while true {
            switch elements.next() {
            case .end: return count > 0
            case .invalid: return false
            case .element(let range):
                var writer = scratch
                count += 1
                guard count <= Self.countMax, unsafe key(range, into: &writer) != nil else {
                    return false
                }
            }
        }
    }

    /// The next key, decoded into `writer`; nil at the end of what was checked.
    mutating func next(into writer: inout ByteWriter) -> UnsafeRawBufferPointer? {
        guard case .element(let range) = elements.next() else { return nil }
        return unsafe key(range, into: &writer)
    }

    private func key(_ range: Range<Int>, into writer: inout ByteWriter) -> UnsafeRawBufferPointer?
    {
        let element = unsafe UnsafeRawBufferPointer(rebasing: raw[range])
        guard let key = unsafe decode(element, bytesMax: Key.bytesMax, into: &writer),
            unsafe !key.isEmpty
        else { return nil }
        return unsafe key
    }
}
