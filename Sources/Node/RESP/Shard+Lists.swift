import Glibc
import Keyspace
import Machine
import Wire

/// Lists, as Redis has them.
extension Shard {
    mutating func list(
        _ facts: CommandFacts, _ words: RESPWords, _ context: RESPContext,
        into out: inout RESPWriter
    ) {
        switch facts.command {
        case .lpush: push(words, context, atFront: true, onlyExisting: false, into: &out)
        case .rpush: push(words, context, atFront: false, onlyExisting: false, into: &out)
        case .lpushx: push(words, context, atFront: true, onlyExisting: true, into: &out)
        case .rpushx: push(words, context, atFront: false, onlyExisting: true, into: &out)
        case .lpop: pop(words, context, facts, fromFront: true, into: &out)
        case .rpop: pop(words, context, facts, fromFront: false, into: &out)
        case .llen:
            if let list = lookList(words, context, into: &out) { out.integer(list.count) }
        case .lrange: listRange(words, context, into: &out)
        case .lindex: listIndex(words, context, into: &out)
        case .lset: listSet(words, context, into: &out)
        case .ltrim: listTrim(words, context, into: &out)
        case .lrem: listRemove(words, context, into: &out)
        case .linsert: listInsert(words, context, into: &out)
        case .lpos: listPosition(words, context, into: &out)
        case .lmove:
            guard let from = unsafe listEnd(words[3]), let to = unsafe listEnd(words[4]) else {
                return out.error(Self.syntaxError)
            }
            moveElement(words, context, fromFront: from, toFront: to, into: &out)
        case .rpoplpush:
            moveElement(words, context, fromFront: false, toFront: true, into: &out)
        default: invariant(false, "not a command about lists")
        }
    }

    // MARK: Finding

    /// The key's list, an empty one where there is none; nil when the error has been written.
    private mutating func lookList(
        _ key: UnsafeRawBufferPointer, _ context: RESPContext, into out: inout RESPWriter
    ) -> ListForm? {
        switch unsafe look(key, context, into: &out) {
        case .refused: return nil
        case .missing: return unsafe ListForm(UnsafeRawBufferPointer(start: nil, count: 0))
        case .record(let record):
            guard record.kind == .list else {
                out.error(Self.wrongType)
                return nil
            }
            return unsafe ListForm(record.value)
        }
    }

    private mutating func lookList(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) -> ListForm? {
        unsafe lookList(words[1], context, into: &out)
    }

    mutating func listEnd(_ word: UnsafeRawBufferPointer) -> Bool? {
        if unsafe word.isOption("left") { return true }
        return unsafe word.isOption("right") ? false : nil
    }

    // MARK: Changing

    private mutating func splice(
        _ key: UnsafeRawBufferPointer, _ context: RESPContext, _ splice: ListSplice,
        _ event: KeyEvent, isLast: Bool = false, into out: inout RESPWriter
    ) -> Bool {
        var command = unsafe command(.splice, key, context)
        command.splice = splice
        guard write(command, context, event, into: &out) else { return false }
        if isLast, notifies { unsafe notify(.del, key, context) }
        return true
    }

    /// One element, encoded in memory that is not the arena.
    private mutating func encoded(_ element: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let bytes = ListForm.elementBytes(element.count)
        let resp = unsafe resp
        let room = unsafe resp.pointee.value.take(bytes)
        unsafe ListForm.write(element, to: room, at: 0)
        return UnsafeRawBufferPointer(room)
    }

    private mutating func push(
        _ words: RESPWords, _ context: RESPContext, atFront: Bool, onlyExisting: Bool,
        into out: inout RESPWriter
    ) {
        guard let list = lookList(words, context, into: &out) else { return }
        if onlyExisting, list.count == 0 { return out.integer(0) }
        let count = list.count + words.count - 2
        var bytes = 0
        for place in 2..<words.count { bytes += unsafe ListForm.elementBytes(words[place].count) }
        let resp = unsafe resp
        let room = unsafe resp.pointee.value.take(bytes)
        var at = 0
        for number in 2..<words.count {
            // The last one pushed to the front comes first.
            let place = atFront ? words.count + 1 - number : number
            at += unsafe ListForm.write(words[place], to: room, at: at)
        }
        let change = unsafe ListSplice(
            place: atFront ? 0 : list.used, removed: 0, inserted: UnsafeRawBufferPointer(room),
            countChange: words.count - 2)
        if unsafe splice(words[1], context, change, atFront ? .lpush : .rpush, into: &out) {
            out.integer(count)
        }
    }

    private var noBytes: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    }

    private mutating func pop(
        _ words: RESPWords, _ context: RESPContext, _ facts: CommandFacts, fromFront: Bool,
        into out: inout RESPWriter
    ) {
        guard words.count <= 3 else { return wrongArity(facts.command, into: &out) }
        var wanted: Int64? = nil
        if words.count == 3 {
            guard let number = unsafe RESPNumber.integer(words[2]), number >= 0 else {
                return out.error("ERR value is out of range, must be positive")
            }
            wanted = number
        }
        guard let list = lookList(words, context, into: &out) else { return }
        guard list.count > 0 else {
            if wanted != nil { out.nullArray() } else { out.null() }
            return
        }
        if wanted == 0 { return out.array(0) }
        let taken = Int(min(wanted ?? 1, Int64(list.count)))
        let before = out.count
        if wanted != nil { out.array(taken) }
        var place = fromFront ? 0 : list.used
        for _ in 0..<taken {
            if fromFront {
                let (bytes, next) = unsafe list.element(at: place)
                unsafe out.bulk(bytes)
                place = next
            } else {
                place = list.place(before: place)
                unsafe out.bulk(list.element(at: place).bytes)
            }
        }
        let change = unsafe ListSplice(
            place: fromFront ? 0 : place, removed: fromFront ? place : list.used - place,
            inserted: noBytes, countChange: -taken)
        let isLast = taken == list.count
        let written = out.count
        let isDone = unsafe splice(
            words[1], context, change, fromFront ? .lpop : .rpop, isLast: isLast, into: &out)
        // What was read is not told when it could not be taken.
        if !isDone { out.remove(from: before, to: written) }
    }

    private mutating func listSet(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        guard let list = lookList(words, context, into: &out) else { return }
        guard list.count > 0 else { return out.error("ERR no such key") }
        guard let number = unsafe integer(words[2], into: &out) else { return }
        let index = number < 0 ? Int64(list.count) + number : number
        guard index >= 0, index < Int64(list.count) else {
            return out.error("ERR index out of range")
        }
        let place = list.place(of: Int(index))
        let next = unsafe list.element(at: place).next
        let change = unsafe ListSplice(
            place: place, removed: next - place, inserted: encoded(words[3]), countChange: 0)
        if unsafe splice(words[1], context, change, .lset, into: &out) { out.ok() }
    }

    private mutating func listInsert(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        let isBefore = unsafe words[2].isOption("before")
        guard unsafe isBefore || words[2].isOption("after") else {
            return out.error(Self.syntaxError)
        }
        guard let list = lookList(words, context, into: &out) else { return }
        guard list.count > 0 else { return out.integer(0) }
        var place = 0
        while place < list.used {
            let (bytes, next) = unsafe list.element(at: place)
            guard unsafe bytes.isSame(as: words[3]) else {
                place = next
                continue
            }
            let count = list.count + 1
            let change = unsafe ListSplice(
                place: isBefore ? place : next, removed: 0, inserted: encoded(words[4]),
                countChange: 1)
            if unsafe splice(words[1], context, change, .linsert, into: &out) {
                out.integer(count)
            }
            return
        }
        out.integer(-1)
    }

    private mutating func listTrim(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        guard let first = unsafe integer(words[2], into: &out),
            let last = unsafe integer(words[3], into: &out),
            let list = lookList(words, context, into: &out)
        else { return }
        guard list.count > 0 else { return out.ok() }
        let count = Int64(list.count)
        let start = max(0, first < 0 ? count + first : first)
        let stop = min(count - 1, last < 0 ? count + last : last)
        guard start <= stop, start < count else {
            let change = unsafe ListSplice(
                place: 0, removed: list.used, inserted: noBytes, countChange: -list.count)
            if unsafe splice(words[1], context, change, .ltrim, isLast: true, into: &out) {
                out.ok()
            }
            return
        }
        if start == 0, stop == count - 1 { return out.ok() }
        let from = list.place(of: Int(start))
        let to = list.place(of: Int(stop) + 1)
        let isDone: Bool
        if from == 0 || to == list.used {
            // One end is cut off.
            let change = unsafe ListSplice(
                place: from == 0 ? to : 0, removed: from == 0 ? list.used - to : from,
                inserted: noBytes, countChange: Int(stop - start) + 1 - list.count)
            isDone = unsafe splice(words[1], context, change, .ltrim, into: &out)
        } else {
            let resp = unsafe resp
            let room = unsafe resp.pointee.value.take(to - from)
            unsafe list.copy(from..<to, to: room)
            let change = unsafe ListSplice(
                place: 0, removed: list.used, inserted: UnsafeRawBufferPointer(room),
                countChange: Int(stop - start) + 1 - list.count)
            isDone = unsafe splice(words[1], context, change, .ltrim, into: &out)
        }
        if isDone { out.ok() }
    }

    private mutating func listRemove(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        guard let wanted = unsafe integer(words[2], into: &out),
            let list = lookList(words, context, into: &out)
        else { return }
        guard list.count > 0 else { return out.integer(0) }
        let element = unsafe words[3]
        // Which are left is known only by looking at all: those are put together anew.
        let resp = unsafe resp
        let room = unsafe resp.pointee.value.take(list.used)
        var gone: Int64 = 0
        let most = wanted == 0 ? Int64.max : Int64(clamping: wanted.magnitude)
        var kept: Range<Int>
        if wanted >= 0 {
            var place = 0
            var at = 0
            while place < list.used {
                let (bytes, next) = unsafe list.element(at: place)
                if gone < most, unsafe bytes.isSame(as: element) {
                    gone += 1
                } else {
                    unsafe list.copy(
                        place..<next, to: UnsafeMutableRawBufferPointer(rebasing: room[at...]))
                    at += next - place
                }
                place = next
            }
            kept = 0..<at
        } else {
            var end = list.used
            var at = list.used
            while end > 0 {
                let place = list.place(before: end)
                if gone < most, unsafe list.element(at: place).bytes.isSame(as: element) {
                    gone += 1
                } else {
                    at -= end - place
                    unsafe list.copy(
                        place..<end, to: UnsafeMutableRawBufferPointer(rebasing: room[at...]))
                }
                end = place
            }
            kept = at..<list.used
        }
        guard gone > 0 else { return out.integer(0) }
        let change = unsafe ListSplice(
            place: 0, removed: list.used,
            inserted: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(room)[kept]),
            countChange: -Int(gone))
        if unsafe splice(
            words[1], context, change, .lrem, isLast: Int(gone) == list.count, into: &out)
        {
            out.integer(gone)
        }
    }

    private mutating func moveElement(
        _ words: RESPWords, _ context: RESPContext, fromFront: Bool, toFront: Bool,
        into out: inout RESPWriter
    ) {
        guard let source = lookList(words, context, into: &out) else { return }
        guard source.count > 0 else { return out.null() }
        let isSame = unsafe words[1].isSame(as: words[2])
        guard let target = unsafe lookList(words[2], context, into: &out) else { return }
        guard unsafe isSame || mayOverwrite(words[2], context),
            unsafe mayOverwrite(words[1], context)
        else { return out.error(Self.noPermission) }
        let place = fromFront ? 0 : source.place(before: source.used)
        let (bytes, next) = unsafe source.element(at: place)
        let element = unsafe encoded(bytes)
        let before = out.count
        unsafe out.bulk(bytes)
        let written = out.count
        let removal = unsafe ListSplice(
            place: place, removed: next - place, inserted: noBytes, countChange: -1)
        if isSame {
            guard source.count > 1, fromFront != toFront else { return }
            let isDone = unsafe rotate(
                words[1], context, source, removal, element, toFront, into: &out)
            if !isDone { out.remove(from: before, to: written) }
            return
        }
        let addition = unsafe ListSplice(
            place: toFront ? 0 : target.used, removed: 0, inserted: element, countChange: 1)
        let isLast = source.count == 1
        let isDone =
            unsafe splice(words[2], context, addition, toFront ? .lpush : .rpush, into: &out)
            && splice(
                words[1], context, removal, fromFront ? .lpop : .rpop, isLast: isLast, into: &out)
        if !isDone { out.remove(from: before, to: written) }
    }

    /// An element goes from one end of its list to the other.
    private mutating func rotate(
        _ key: UnsafeRawBufferPointer, _ context: RESPContext, _ list: ListForm,
        _ removal: ListSplice, _ element: UnsafeRawBufferPointer, _ toFront: Bool,
        into out: inout RESPWriter
    ) -> Bool {
        let left = list.used - removal.removed
        guard
            unsafe splice(key, context, removal, toFront ? .rpop : .lpop, into: &out)
        else { return false }
        let addition = unsafe ListSplice(
            place: toFront ? 0 : left, removed: 0, inserted: element, countChange: 1)
        return unsafe splice(key, context, addition, toFront ? .lpush : .rpush, into: &out)
    }

    // MARK: Reading

    private mutating func listRange(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        guard let first = unsafe integer(words[2], into: &out),
            let last = unsafe integer(words[3], into: &out),
            let list = lookList(words, context, into: &out)
        else { return }
        let count = Int64(list.count)
        let start = max(0, first < 0 ? count + first : first)
        let stop = min(count - 1, last < 0 ? count + last : last)
        guard start <= stop, start < count else { return out.array(0) }
        out.array(Int(stop - start) + 1)
        var place = list.place(of: Int(start))
        for _ in start...stop {
            let (bytes, next) = unsafe list.element(at: place)
            unsafe out.bulk(bytes)
            place = next
        }
    }

    private mutating func listIndex(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        guard let list = lookList(words, context, into: &out) else { return }
        guard list.count > 0 else { return out.null() }
        guard let number = unsafe integer(words[2], into: &out) else { return }
        let index = number < 0 ? Int64(list.count) + number : number
        guard index >= 0, index < Int64(list.count) else { return out.null() }
        unsafe out.bulk(list.element(at: list.place(of: Int(index))).bytes)
    }

    private mutating func listPosition(
        _ words: RESPWords, _ context: RESPContext, into out: inout RESPWriter
    ) {
        var rank: Int64 = 1
        var wanted: Int64? = nil
        var lookedMax: Int64 = 0
        var option = 3
        while option < words.count {
            guard option + 1 < words.count else { return out.error(Self.syntaxError) }
            let value = unsafe words[option + 1]
            if unsafe words[option].isOption("rank") {
                guard let number = unsafe integer(value, into: &out) else { return }
                if number == 0 {
                    return out.error(
                        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list"
                    )
                }
                rank = number
            } else if unsafe words[option].isOption("count") {
                guard let number = unsafe RESPNumber.integer(value), number >= 0 else {
                    return out.error("ERR COUNT can't be negative")
                }
                wanted = number
            } else if unsafe words[option].isOption("maxlen") {
                guard let number = unsafe RESPNumber.integer(value), number >= 0 else {
                    return out.error("ERR MAXLEN can't be negative")
                }
                lookedMax = number
            } else {
                return out.error(Self.syntaxError)
            }
            option += 2
        }
        guard let list = lookList(words, context, into: &out) else { return }
        guard list.count > 0 else {
            if wanted != nil { out.array(0) } else { out.null() }
            return
        }
        let isForward = rank > 0
        // The least number has no opposite: Redis 7.0 takes it for the first match from the end.
        var toSkip = rank == .min ? 0 : Int64(clamping: rank.magnitude) - 1
        let start = out.count
        var found: Int64 = 0
        var looked: Int64 = 0
        var place = isForward ? 0 : list.used
        var index = isForward ? 0 : list.count - 1
        while isForward ? place < list.used : place > 0 {
            if lookedMax > 0, looked == lookedMax { break }
            looked += 1
            if !isForward { place = list.place(before: place) }
            let (bytes, next) = unsafe list.element(at: place)
            if unsafe bytes.isSame(as: words[2]) {
                if toSkip > 0 {
                    toSkip -= 1
                } else {
                    guard let wanted else { return out.integer(index) }
                    out.integer(index)
                    found += 1
                    if wanted > 0, found == wanted { break }
                }
            }
            if isForward { place = next }
            index += isForward ? 1 : -1
        }
        if wanted != nil { out.insertArrayHead(Int(found), at: start) } else { out.null() }
    }
}

extension UnsafeRawBufferPointer {
    @inline(__always)
    func isSame(as other: UnsafeRawBufferPointer) -> Bool {
        guard count == other.count else { return false }
        guard let one = baseAddress, let two = other.baseAddress, count > 0 else { return true }
        return unsafe memcmp(one, two, count) == 0
    }
}
