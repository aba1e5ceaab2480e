import Keyspace
import Machine
import Wire

/// Strings, as Redis has them: its options, their conflicts, its order of checks.
extension Shard {
    // MARK: Reading

    mutating func get(_ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter) {
        _ = unsafe answerValue(words[1], context, into: &out)
    }

    /// The value as a reply; false when that was an error.
    @inline(__always)
    private mutating func answerValue(
        _ key: UnsafeRawBufferPointer, _ context: RESPContext, into out: inout RESPWriter
    ) -> Bool {
        switch unsafe look(key, context, into: &out) {
        case .refused: return false
        case .missing: out.null()
        case .record(let record):
            if record.kind == .list {
                out.error(Self.wrongType)
                return false
            }
            unsafe out.bulk(text(record))
        }
        return true
    }

    /// A record that is a string; nil when it is not there. The error has been written where
    /// `isRefused`.
    private mutating func string(
        _ key: UnsafeRawBufferPointer, _ context: RESPContext, isRefused: inout Bool,
        into out: inout RESPWriter
    ) -> Record? {
        switch unsafe look(key, context, into: &out) {
        case .refused:
            isRefused = true
            return nil
        case .missing: return nil
        case .record(let record):
            guard record.kind != .list else {
                out.error(Self.wrongType)
                isRefused = true
                return nil
            }
            return record
        }
    }

    mutating func getMany(_ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter) {
        out.array(words.count - 1)
        for place in 1..<words.count {
            let before = out.count
            switch unsafe look(words[place], context, into: &out) {
            case .refused:
                out.rewind(to: before)
                out.null()
            case .missing: out.null()
            case .record(let record):
                if record.kind == .list { out.null() } else { unsafe out.bulk(text(record)) }
            }
        }
    }

    mutating func stringLength(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        var isRefused = false
        let record = unsafe string(words[1], context, isRefused: &isRefused, into: &out)
        if isRefused { return }
        guard let record else { return out.integer(0) }
        unsafe out.integer(text(record).count)
    }

    mutating func getRange(_ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter) {
        guard var start = unsafe integer(words[2], into: &out),
            var end = unsafe integer(words[3], into: &out)
        else { return }
        var isRefused = false
        let record = unsafe string(words[1], context, isRefused: &isRefused, into: &out)
        if isRefused { return }
        guard let record else { return out.bulk("") }
        let text = unsafe text(record)
        let count = Int64(text.count)
        if start < 0, end < 0, start > end { return out.bulk("") }
        if start < 0 { start = max(0, count + start) }
        if end < 0 { end = max(0, count + end) }
        if end >= count { end = count - 1 }
        guard start <= end, count > 0 else { return out.bulk("") }
        unsafe out.bulk(UnsafeRawBufferPointer(rebasing: text[Int(start)...Int(end)]))
    }

    // MARK: Setting

    /// A time to live as the options give it.
    struct Lifetime {
        var word: Int
        var unitMs: Int64
        var isRelative: Bool
    }

    mutating func set(_ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter) {
        var command = unsafe command(
            .put, words[1], context, value: Value(.bytes, words[2]))
        guard words.count > 3 else {
            if write(command, context, .set, into: &out) { out.ok() }
            return
        }
        var lifetime: Lifetime? = nil
        var keeps = false
        var answersOld = false
        var place = 3
        while place < words.count {
            let option = unsafe words[place]
            if unsafe option.isOption("nx"), command.condition != .present {
                command.condition = .absent
            } else if unsafe option.isOption("xx"), command.condition != .absent {
                command.condition = .present
            } else if unsafe option.isOption("get") {
                answersOld = true
            } else if unsafe option.isOption("keepttl"), lifetime == nil {
                keeps = true
            } else if !keeps, place + 1 < words.count,
                let next = unsafe Self.lifetime(option, at: place + 1, lifetime)
            {
                lifetime = next
                place += 1
            } else {
                return out.error(Self.syntaxError)
            }
            place += 1
        }
        if keeps { command.expiry = .keep }
        if let lifetime {
            guard
                let time = unsafe time(lifetime, words[lifetime.word], .set, into: &out)
            else { return }
            command.expiry = .at(time)
        }
        if answersOld, unsafe !answerValue(words[1], context, into: &out) { return }
        let before = out.count
        let reply = change(command)
        switch reply.status {
        case .created, .updated:
            unsafe resp.pointee.told = reply.position
            if notifies {
                unsafe notify(.set, words[1], context)
                if lifetime != nil { unsafe notify(.expire, words[1], context) }
            }
            if !answersOld { out.ok() }
        case .conditionFailed: if !answersOld { out.null() }
        default:
            if answersOld { out.rewind(to: before) }
            writeFailure(reply.status, into: &out)
        }
    }

    /// EX, PX, EXAT and PXAT; of two different ones the second is not taken.
    private static func lifetime(
        _ option: UnsafeRawBufferPointer, at word: Int, _ former: Lifetime?
    ) -> Lifetime? {
        var made: Lifetime
        if unsafe option.isOption("ex") {
            made = Lifetime(word: word, unitMs: 1000, isRelative: true)
        } else if unsafe option.isOption("px") {
            made = Lifetime(word: word, unitMs: 1, isRelative: true)
        } else if unsafe option.isOption("exat") {
            made = Lifetime(word: word, unitMs: 1000, isRelative: false)
        } else if unsafe option.isOption("pxat") {
            made = Lifetime(word: word, unitMs: 1, isRelative: false)
        } else {
            return nil
        }
        if let former, former.unitMs != made.unitMs || former.isRelative != made.isRelative {
            return nil
        }
        made.word = word
        return made
    }

    /// When a time to live ends, in milliseconds since 1970; nil when it is no such time.
    private mutating func time(
        _ lifetime: Lifetime, _ word: UnsafeRawBufferPointer, _ command: RESPCommand,
        into out: inout RESPWriter
    ) -> Int64? {
        guard let number = unsafe integer(word, into: &out) else { return nil }
        guard number > 0, number <= Int64.max / lifetime.unitMs else {
            badExpiry(command, into: &out)
            return nil
        }
        let milliseconds = number * lifetime.unitMs
        guard lifetime.isRelative else { return milliseconds }
        let (time, isOver) = milliseconds.addingReportingOverflow(wallMs)
        if isOver {
            badExpiry(command, into: &out)
            return nil
        }
        return time
    }

    mutating func badExpiry(_ command: RESPCommand, into out: inout RESPWriter) {
        out.begin(error: "ERR invalid expire time in '")
        out.add(command.rawValue)
        out.add("' command")
        out.endLine()
    }

    mutating func setIfAbsent(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        let command = unsafe command(
            .put, words[1], context, value: Value(.bytes, words[2]), condition: .absent)
        let reply = change(command)
        switch reply.status {
        case .created, .updated:
            unsafe resp.pointee.told = reply.position
            if notifies { unsafe notify(.set, words[1], context) }
            out.integer(1)
        case .conditionFailed: out.integer(0)
        default: writeFailure(reply.status, into: &out)
        }
    }

    mutating func setExpiring(
        _ words: RESPWords, _ context: RESPContext, _ name: RESPCommand, unitMs: Int64,
        into out: inout RESPWriter
    ) {
        let lifetime = Lifetime(word: 2, unitMs: unitMs, isRelative: true)
        guard let time = unsafe time(lifetime, words[2], name, into: &out) else { return }
        let command = unsafe command(
            .put, words[1], context, value: Value(.bytes, words[3]), expiry: .at(time))
        guard write(command, context, .set, into: &out) else { return }
        if notifies { unsafe notify(.expire, words[1], context) }
        out.ok()
    }

    mutating func getSet(_ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter) {
        let before = out.count
        guard unsafe answerValue(words[1], context, into: &out) else { return }
        let command = unsafe command(.put, words[1], context, value: Value(.bytes, words[2]))
        let reply = change(command)
        if reply.status == .created || reply.status == .updated {
            unsafe resp.pointee.told = reply.position
            if notifies { unsafe notify(.set, words[1], context) }
        } else {
            out.rewind(to: before)
            writeFailure(reply.status, into: &out)
        }
    }

    mutating func getDelete(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        let before = out.count
        guard unsafe answerValue(words[1], context, into: &out) else { return }
        let reply = unsafe change(command(.delete, words[1], context))
        switch reply.status {
        case .deleted:
            unsafe resp.pointee.told = reply.position
            if notifies { unsafe notify(.del, words[1], context) }
        case .missing: break
        default:
            out.rewind(to: before)
            writeFailure(reply.status, into: &out)
        }
    }

    mutating func getExpiring(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        var lifetime: Lifetime? = nil
        var persists = false
        var place = 2
        while place < words.count {
            let option = unsafe words[place]
            if unsafe option.isOption("persist"), lifetime == nil {
                persists = true
            } else if !persists, place + 1 < words.count,
                let next = unsafe Self.lifetime(option, at: place + 1, lifetime)
            {
                lifetime = next
                place += 1
            } else {
                return out.error(Self.syntaxError)
            }
            place += 1
        }
        var isRefused = false
        let record = unsafe string(words[1], context, isRefused: &isRefused, into: &out)
        if isRefused { return }
        guard let record else { return out.null() }
        var expiry = Expiry.keep
        if let lifetime {
            guard let time = unsafe time(lifetime, words[lifetime.word], .getex, into: &out)
            else { return }
            expiry = .at(time)
        }
        let before = out.count
        unsafe out.bulk(text(record))
        let reply: Reply
        let event: KeyEvent
        if case .at(let time) = expiry {
            let isPast = time <= wallMs
            reply = unsafe change(
                command(isPast ? .delete : .expire, words[1], context, expiry: expiry))
            event = isPast ? .del : .expire
        } else if persists, record.expiresAt != 0 {
            reply = unsafe change(command(.expire, words[1], context, expiry: .never))
            event = .persist
        } else {
            return
        }
        switch reply.status {
        case .updated, .deleted:
            unsafe resp.pointee.told = reply.position
            if notifies { unsafe notify(event, words[1], context) }
        default:
            out.rewind(to: before)
            writeFailure(reply.status, into: &out)
        }
    }

    /// All or nothing: nobody's record is overwritten unless all of them may be.
    mutating func setMany(
        _ words: RESPWords, _ context: RESPContext, onlyNew: Bool, into out: inout RESPWriter
    ) {
        guard words.count % 2 == 1 else {
            return wrongArity(onlyNew ? .msetnx : .mset, into: &out)
        }
        for place in stride(from: 1, to: words.count, by: 2) {
            let key = unsafe Key(context.table, words[place], keyspace.hashing)
            guard let record = keyspace.get(key, at: wallMs) else { continue }
            if onlyNew {
                out.integer(0)
                return
            }
            let asker = writer(context)
            if record.owner != .anonymous, record.owner != asker, asker != .system {
                return out.error(Self.noPermission)
            }
        }
        for place in stride(from: 1, to: words.count, by: 2) {
            let command = unsafe command(
                .put, words[place], context, value: Value(.bytes, words[place + 1]))
            guard write(command, context, .set, into: &out) else { return }
        }
        if onlyNew { out.integer(1) } else { out.ok() }
    }

    // MARK: Changing

    private static var tooLong: StaticString {
        "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
    }

    /// Puts a text together in memory of its own and stores it, with the expiry that was there.
    private mutating func store(
        _ key: UnsafeRawBufferPointer, _ count: Int, _ context: RESPContext, _ event: KeyEvent,
        into out: inout RESPWriter, _ fill: (UnsafeMutableRawBufferPointer) -> Void
    ) -> Bool {
        guard count <= settings.valueBytesMax else {
            out.error(Self.tooLong)
            return false
        }
        let resp = unsafe resp
        let room = unsafe resp.pointee.value.take(count)
        unsafe fill(room)
        let command = unsafe command(
            .put, key, context, value: Value(.bytes, UnsafeRawBufferPointer(room)), expiry: .keep)
        return write(command, context, event, into: &out)
    }

    mutating func append(_ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter) {
        var isRefused = false
        let record = unsafe string(words[1], context, isRefused: &isRefused, into: &out)
        if isRefused { return }
        let old =
            unsafe record.map { unsafe text($0) } ?? UnsafeRawBufferPointer(start: nil, count: 0)
        let added = unsafe words[2]
        let count = old.count + added.count
        let isStored = unsafe store(words[1], count, context, .append, into: &out) { room in
            unsafe room.copyMemory(from: old)
            unsafe UnsafeMutableRawBufferPointer(rebasing: room[old.count...])
                .copyMemory(from: added)
        }
        if isStored { out.integer(count) }
    }

    mutating func setRange(_ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter) {
        guard let offset = unsafe integer(words[2], into: &out) else { return }
        guard offset >= 0 else { return out.error("ERR offset is out of range") }
        var isRefused = false
        let record = unsafe string(words[1], context, isRefused: &isRefused, into: &out)
        if isRefused { return }
        let old =
            unsafe record.map { unsafe text($0) } ?? UnsafeRawBufferPointer(start: nil, count: 0)
        let added = unsafe words[3]
        if added.count == 0 { return out.integer(old.count) }
        guard offset <= Int64(settings.valueBytesMax) else { return out.error(Self.tooLong) }
        let start = Int(offset)
        let count = max(old.count, start + added.count)
        let isStored = unsafe store(words[1], count, context, .setrange, into: &out) { room in
            unsafe room.copyMemory(from: old)
            if start > old.count {
                unsafe UnsafeMutableRawBufferPointer(rebasing: room[old.count..<start])
                    .initializeMemory(as: UInt8.self, repeating: 0)
            }
            unsafe UnsafeMutableRawBufferPointer(rebasing: room[start..<(start + added.count)])
                .copyMemory(from: added)
        }
        if isStored { out.integer(count) }
    }

    mutating func incrementBy(
        _ words: RESPWords, _ context: RESPContext, isNegative: Bool, into out: inout RESPWriter
    ) {
        guard let step = unsafe integer(words[2], into: &out) else { return }
        if isNegative, step == Int64.min { return out.error("ERR decrement would overflow") }
        increment(words, context, by: isNegative ? -step : step, into: &out)
    }

    mutating func increment(
        _ words: RESPWords, _ context: RESPContext, by step: Int64, into out: inout RESPWriter
    ) {
        var isRefused = false
        let record = unsafe string(words[1], context, isRefused: &isRefused, into: &out)
        if isRefused { return }
        var value: Int64 = 0
        if let record {
            guard let number = unsafe integer(text(record), into: &out) else { return }
            value = number
        }
        let (sum, isOver) = value.addingReportingOverflow(step)
        if isOver { return out.error("ERR increment or decrement would overflow") }
        var digits = InlineArray<24, UInt8>(repeating: 0)
        var span = digits.mutableSpan
        let isStored = unsafe span.withUnsafeMutableBufferPointer { place in
            var writer = unsafe ByteWriter(
                place.baseAddress.unsafelyUnwrapped, capacity: place.count)
            writer.write(decimal: Int(sum))
            return unsafe storeNumber(
                UnsafeRawBufferPointer(writer.written), record, words[1], context, .incrby,
                into: &out)
        }
        if isStored { out.integer(sum) }
    }

    /// A JSON number stays one; anything else becomes bytes.
    private mutating func storeNumber(
        _ digits: UnsafeRawBufferPointer, _ record: Record?, _ key: UnsafeRawBufferPointer,
        _ context: RESPContext, _ event: KeyEvent, into out: inout RESPWriter
    ) -> Bool {
        var kind = ValueKind.bytes
        if let record, record.kind == .json, unsafe record.value[0] != UInt8(ascii: "\"") {
            kind = .json
        }
        let command = unsafe command(
            .put, key, context, value: Value(kind, digits), expiry: .keep)
        return write(command, context, event, into: &out)
    }

    mutating func incrementByFloat(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        var isRefused = false
        let record = unsafe string(words[1], context, isRefused: &isRefused, into: &out)
        if isRefused { return }
        var value: RESPNumber.Long = 0
        if let record {
            guard let number = unsafe RESPNumber.long(text(record)) else {
                return out.error("ERR value is not a valid float")
            }
            value = number
        }
        guard let step = unsafe RESPNumber.long(words[2]) else {
            return out.error("ERR value is not a valid float")
        }
        value += step
        guard value.isFinite else {
            return out.error("ERR increment would produce NaN or Infinity")
        }
        unsafe RESPNumber.text(value) { digits in
            if unsafe storeNumber(
                digits, record, words[1], context, .incrbyfloat, into: &out)
            {
                unsafe out.bulk(digits)
            }
        }
    }
}
