/// Reads an RDB file that comes in windows of any size, one entry at a time.
///
/// Nothing of the file is believed: each length is held against the limits before memory is
/// taken, and what says a thing twice has to say it alike. What this store has no type for is
/// passed over and counted. Memory is bounded by the longest value that is kept, not by the file.
///
/// ```swift
/// var reader = RDBReader(limits: RDBLimits(valueBytesMax: 8 << 20, keyBytesMax: 1024))
/// reader.feed(window)
/// switch reader.next() {
/// case .entry(let entry): …            // and ask again
/// case .needMore: …                    // feed the next window; without one, finish()
/// case .end: …                         // reader.totals
/// case .damage(let damage): …
/// }
/// ```
///
/// A checksum stands at the end of a file, so entries are handed out before it is known. Who must
/// not take half of a broken file reads it twice.
public struct RDBReader {
    public enum Step: Equatable, Sendable {
        case needMore
        case entry(RDBEntry)
        case end
        case damage(RDBDamage)
    }

    public private(set) var totals = RDBTotals()
    /// The version of the server that wrote the file, if it says so.
    public private(set) var writtenBy: String?
    /// The version of the format.
    public private(set) var version = 0

    private let limits: RDBLimits
    private var state = State.header

    /// What was fed and is not yet passed, from `at` on.
    private var bytes: [UInt8] = []
    private var at = 0
    /// Where in the file `bytes` begins.
    private var base: UInt64 = 0
    /// Up to here, the bytes are in the checksum.
    private var summed = 0
    private var checksum = CRC64()
    /// Bytes that are passed over without being looked at, as they come.
    private var passing: UInt64 = 0
    /// There is no use in looking again before so many bytes are there.
    private var wanted = 1

    private var rows: [Row] = []
    private var item = RDBItem.none
    private var database: UInt64 = 0
    private var expiresAtMs: Int64?
    private var container = RDBFormat.Container.packed
    private var auxName: [UInt8] = []
    /// The record being read.
    private var key: [UInt8] = []
    private var text: [UInt8] = []
    private var elements: [[UInt8]] = []
    private var listBytes = 0
    private var fate = Fate.kept

    private enum State { case header, body, checksum, ended, damaged(RDBDamage) }

    /// What becomes of the record being read.
    private enum Fate { case kept, valueTooLong, keyTooLong, keyEmpty }

    /// Parts that are read one after another, and how often still.
    private struct Row {
        var parts: [RDBPart]
        var next = 0
        var rounds: UInt64
    }

    public init(limits: RDBLimits) { self.limits = limits }

    /// Where in the file the reader stands.
    public var offset: UInt64 { base + UInt64(at) }

    // MARK: In and out

    public mutating func feed(_ window: UnsafeRawBufferPointer) {
        settle()
        if at > 0 {
            bytes.removeSubrange(..<at)
            base += UInt64(at)
            at = 0
            summed = 0
        }
        unsafe bytes.append(contentsOf: window)
    }

    public mutating func feed(_ window: [UInt8]) {
        unsafe window.withUnsafeBytes { unsafe feed($0) }
    }

    /// The next thing in the file, as far as it was fed.
    public mutating func next() -> Step {
        do throws(RDBDamage) {
            return try read()
        } catch {
            state = .damaged(error)
            return .damage(error)
        }
    }

    /// Says that nothing more comes: `.end` when the file was whole.
    public mutating func finish() -> Step {
        switch state {
        case .ended: return next()
        case .damaged(let damage): return .damage(damage)
        case .header, .body, .checksum:
            let damage = RDBDamage(
                base + UInt64(bytes.count), "the file ends in the middle of something")
            state = .damaged(damage)
            return .damage(damage)
        }
    }

    // MARK: The file

    private mutating func read() throws(RDBDamage) -> Step {
        while true {
            let left = UInt64(bytes.count - at)
            if passing > 0 {
                let piece = min(passing, left)
                at += Int(piece)
                passing -= piece
                if passing > 0 { return .needMore }
                continue
            }
            switch state {
            case .damaged(let damage): return .damage(damage)
            case .ended:
                guard left == 0 else {
                    throw RDBDamage(
                        offset,
                        "something follows the end of the file (an append-only file that begins "
                            + "with an RDB has to be rewritten first)")
                }
                return .end
            case .header:
                guard left >= RDBFormat.headerCount else { return .needMore }
                try readHeader()
            case .checksum:
                guard left >= RDBFormat.checksumCount else { return .needMore }
                try readChecksum()
            case .body:
                guard left >= wanted else { return .needMore }
                guard !rows.isEmpty else {
                    try readCode()
                    continue
                }
                if rows[rows.count - 1].next == rows[rows.count - 1].parts.count {
                    if let entry = endRound() { return .entry(entry) }
                } else if try !readPart() {
                    return .needMore
                }
            }
        }
    }

    private mutating func readHeader() throws(RDBDamage) {
        guard bytes[at..<at + 5].elementsEqual(RDBFormat.magic) else {
            throw RDBDamage(0, "this is no RDB file: it does not begin with REDIS")
        }
        var number = 0
        for byte in bytes[at + 5..<at + 9] {
            guard byte >= 0x30, byte <= 0x39 else {
                throw RDBDamage(5, "the version is no number")
            }
            number = number * 10 + Int(byte) - 0x30
        }
        guard number >= 1, number <= RDBFormat.versionReadMax else {
            throw RDBDamage(
                5,
                "version \(number) is not one of 1 to \(RDBFormat.versionReadMax), which this "
                    + "program reads")
        }
        version = number
        at += RDBFormat.headerCount
        state = .body
    }

    private mutating func readCode() throws(RDBDamage) {
        let code = bytes[at]
        guard code != RDBFormat.Opcode.end else {
            at += 1
            state = version >= RDBFormat.versionWithChecksum ? .checksum : .ended
            return
        }
        guard let (item, parts) = RDBPart.following(code) else {
            throw RDBDamage(offset, "\(code) is neither a type nor an instruction that is known")
        }
        at += 1
        self.item = item
        rows.append(Row(parts: parts, rounds: 1))
    }

    private mutating func readChecksum() throws(RDBDamage) {
        settle()
        var said: UInt64 = 0
        for place in 0..<8 { said |= UInt64(bytes[at + place]) << UInt64(8 * place) }
        // A server told not to compute it writes a zero.
        guard said == 0 || said == checksum.value else {
            throw RDBDamage(
                offset,
                "the checksum does not match: some byte of the file is not what was "
                    + "written")
        }
        at += RDBFormat.checksumCount
        summed = at
        state = .ended
    }

    /// Takes what was passed into the checksum.
    private mutating func settle() {
        guard summed < at else { return }
        unsafe bytes.withUnsafeBytes { all in
            unsafe checksum.update(UnsafeRawBufferPointer(rebasing: all[summed..<at]))
        }
        summed = at
    }

    // MARK: Rows of parts

    /// A row was read to its end: again, or up to the one it stands in. The last one's end may
    /// have made an entry.
    private mutating func endRound() -> RDBEntry? {
        let last = rows.count - 1
        rows[last].rounds -= 1
        if rows[last].rounds > 0 {
            rows[last].next = 0
            return nil
        }
        rows.removeLast()
        return rows.isEmpty ? endItem() : nil
    }

    private mutating func endItem() -> RDBEntry? {
        switch item {
        case .none: return nil
        case .function:
            totals.functions += 1
            return nil
        default: break
        }
        defer {
            expiresAtMs = nil
            text = []
            elements = []
            listBytes = 0
            fate = .kept
        }
        switch item {
        case .set: totals.sets += 1
        case .hash: totals.hashes += 1
        case .sortedSet: totals.sortedSets += 1
        case .stream: totals.streams += 1
        case .module: totals.modules += 1
        default:
            switch fate {
            case .valueTooLong: totals.longValues += 1
            case .keyTooLong: totals.longKeys += 1
            case .keyEmpty: totals.emptyKeys += 1
            case .kept where item == .list && elements.isEmpty: totals.emptyLists += 1
            case .kept: return entry()
            }
        }
        return nil
    }

    private mutating func entry() -> RDBEntry {
        let value: RDBValue
        if item == .list {
            totals.lists += 1
            value = .list(elements)
        } else {
            totals.strings += 1
            value = .string(text)
        }
        return RDBEntry(database: database, key: key, value: value, expiresAtMs: expiresAtMs)
    }

    /// Reads the part that is next; false when it is not all there, and nothing was passed then.
    private mutating func readPart() throws(RDBDamage) -> Bool {
        let last = rows.count - 1
        switch rows[last].parts[rows[last].next] {
        case .module: return try readModulePart()
        case .times(let parts):
            guard let count = try takeLength() else { return false }
            // The row goes on behind this part, once what the part asks for was read.
            rows[last].next += 1
            if count > 0 { rows.append(Row(parts: parts, rounds: count)) }
            return true
        case let part:
            guard try readPlain(part) else { return false }
            rows[last].next += 1
            return true
        }
    }

    private mutating func readPlain(_ part: RDBPart) throws(RDBDamage) -> Bool {
        switch part {
        case .length: return try takeLength() != nil
        case .string: return try passString()
        case .bytes(let count):
            passing = UInt64(count)
            return true
        case .score:
            // 253 to 255 are not a number and the two infinities.
            let count = bytes[at]
            at += 1
            passing = count < 253 ? UInt64(count) : 0
            return true
        case .database:
            guard let number = try takeLength() else { return false }
            database = number
            return true
        case .expiresAtMs:
            guard let bits = takeWord(8) else { return false }
            expiresAtMs = Int64(bitPattern: bits)
            return true
        case .expiresAtSeconds:
            guard let bits = takeWord(4) else { return false }
            expiresAtMs = Int64(Int32(truncatingIfNeeded: bits)) * 1000
            return true
        case .auxName:
            guard let name = try takeString(max: limits.keyBytesMax) else { return false }
            auxName = name.bytes ?? []
            return true
        case .auxValue:
            guard let value = try takeString(max: limits.keyBytesMax) else { return false }
            if auxName == Array("redis-ver".utf8), let text = value.bytes {
                writtenBy = String(decoding: text.prefix { $0 > 0x20 && $0 < 0x7F }, as: UTF8.self)
            }
            return true
        case .key: return try readKey()
        case .value:
            guard fate == .kept else { return try passString() }
            guard let value = try takeString(max: limits.valueBytesMax) else { return false }
            if let bytes = value.bytes { text = bytes } else { fail(.valueTooLong) }
            return true
        case .element: return try readElement()
        case .ziplist: return try readPacked { RDBPacked.ziplist($0, $1) }
        case .container:
            let start = offset
            guard let form = try takeLength() else { return false }
            guard form == RDBFormat.Container.plain || form == RDBFormat.Container.packed else {
                throw RDBDamage(start, "a list's node is held in no known form (\(form))")
            }
            container = form
            return true
        case .node:
            if container == RDBFormat.Container.plain { return try readElement() }
            return try readPacked { RDBPacked.listpack($0, $1) }
        case .times, .module: return false
        }
    }

    /// One code of a module's value with what follows it. The row stays at this part until the
    /// code is zero.
    private mutating func readModulePart() throws(RDBDamage) -> Bool {
        let start = offset
        guard let code = try takeLength() else { return false }
        let part: RDBPart
        switch code {
        case 0:
            rows[rows.count - 1].next += 1
            return true
        case 1, 2: part = .length
        case 3: part = .bytes(4)
        case 4: part = .bytes(8)
        case 5: part = .string
        default: throw RDBDamage(start, "a module's value has a part of no known kind (\(code))")
        }
        rows.append(Row(parts: [part], rounds: 1))
        return true
    }

    // MARK: Records

    private mutating func fail(_ fate: Fate) {
        if self.fate == .kept { self.fate = fate }
        elements = []
        text = []
    }

    private mutating func readKey() throws(RDBDamage) -> Bool {
        guard let name = try takeString(max: limits.keyBytesMax) else { return false }
        key = name.bytes ?? []
        if name.bytes == nil { fail(.keyTooLong) } else if key.isEmpty { fail(.keyEmpty) }
        return true
    }

    private mutating func readElement() throws(RDBDamage) -> Bool {
        guard fate == .kept else { return try passString() }
        guard let element = try takeString(max: limits.valueBytesMax) else { return false }
        guard let bytes = element.bytes else {
            fail(.valueTooLong)
            return true
        }
        listBytes += bytes.count + RDBLimits.elementCostBytes
        if listBytes <= limits.valueBytesMax {
            elements.append(bytes)
        } else {
            fail(.valueTooLong)
        }
        return true
    }

    private mutating func readPacked(
        _ unpack: ([UInt8], RDBPacked.Taking) -> RDBPacked.Verdict
    ) throws(RDBDamage) -> Bool {
        guard fate == .kept else { return try passString() }
        let start = offset
        // Packing costs a few bytes an element, which the limit does not count.
        guard let packed = try takeString(max: limits.valueBytesMax * 2) else { return false }
        guard let bytes = packed.bytes else {
            fail(.valueTooLong)
            return true
        }
        var taken: [[UInt8]] = []
        var room = limits.valueBytesMax - listBytes
        let verdict = unpack(bytes) { element in
            room -= element.count + RDBLimits.elementCostBytes
            taken.append(element)
            return room >= 0
        }
        switch verdict {
        case .damaged: throw RDBDamage(start, "a packed list contradicts itself")
        case .tooLong: fail(.valueTooLong)
        case .whole:
            listBytes = limits.valueBytesMax - room
            elements.append(contentsOf: taken)
        }
        return true
    }
}

// MARK: - Lengths, numbers, strings

extension RDBReader {
    private struct Length {
        var value: UInt64
        var count: Int
        /// No length at all: the form of a string that follows.
        var isForm: Bool
    }

    private enum Form {
        static let int8: UInt64 = 0
        static let int16: UInt64 = 1
        static let int32: UInt64 = 2
        static let compressed: UInt64 = 3
    }

    /// A string, or nothing of it where it is longer than was allowed.
    private struct Text { var bytes: [UInt8]? }

    private func peekLength(_ place: Int) throws(RDBDamage) -> Length? {
        guard place < bytes.count else { return nil }
        let first = bytes[place]
        switch first >> 6 {
        case 0: return Length(value: UInt64(first & 0x3F), count: 1, isForm: false)
        case 1:
            guard place + 2 <= bytes.count else { return nil }
            return Length(
                value: UInt64(first & 0x3F) << 8 | UInt64(bytes[place + 1]), count: 2,
                isForm: false)
        case 2:
            let width =
                switch first {
                case 0x80: 4
                case 0x81: 8
                default: throw RDBDamage(base + UInt64(place), "a length of no known form")
                }
            guard place + 1 + width <= bytes.count else { return nil }
            var value: UInt64 = 0
            for byte in bytes[place + 1..<place + 1 + width] { value = value << 8 | UInt64(byte) }
            return Length(value: value, count: 1 + width, isForm: false)
        default: return Length(value: UInt64(first & 0x3F), count: 1, isForm: true)
        }
    }

    private mutating func takeLength() throws(RDBDamage) -> UInt64? {
        guard let length = try peekLength(at) else { return nil }
        guard !length.isForm else { throw RDBDamage(offset, "a string where a length should be") }
        at += length.count
        return length.value
    }

    private mutating func takeWord(_ width: Int) -> UInt64? {
        guard at + width <= bytes.count else { return nil }
        var value: UInt64 = 0
        for place in 0..<width { value |= UInt64(bytes[at + place]) << UInt64(8 * place) }
        at += width
        return value
    }

    private mutating func passString() throws(RDBDamage) -> Bool {
        guard let head = try peekLength(at) else { return false }
        guard head.isForm else {
            at += head.count
            passing = head.value
            return true
        }
        if head.value == Form.compressed {
            guard let packed = try peekLength(at + 1),
                let whole = try peekLength(at + 1 + packed.count)
            else { return false }
            at += 1 + packed.count + whole.count
            passing = packed.value
            return true
        }
        passing = try integerWidth(head.value)
        at += 1
        return true
    }

    private func integerWidth(_ form: UInt64) throws(RDBDamage) -> UInt64 {
        switch form {
        case Form.int8: 1
        case Form.int16: 2
        case Form.int32: 4
        default: throw RDBDamage(offset, "a string of no known form (\(form))")
        }
    }

    /// A string of at most `max` bytes; a longer one is passed over. Nil is `need more`.
    private mutating func takeString(max limit: Int) throws(RDBDamage) -> Text? {
        guard let head = try peekLength(at) else { return nil }
        if head.isForm {
            if head.value == Form.compressed { return try takeCompressed(max: limit) }
            let width = Int(try integerWidth(head.value))
            guard at + 1 + width <= bytes.count else { return nil }
            at += 1
            let word = takeWord(width) ?? 0
            let unused = UInt64(64 - 8 * width)
            let number = Int64(bitPattern: word << unused) >> Int64(unused)
            return Text(bytes: Array(String(number).utf8))
        }
        guard head.value <= UInt64(limit) else {
            at += head.count
            passing = head.value
            return Text(bytes: nil)
        }
        guard isThere(head.count + Int(head.value)) else { return nil }
        let start = at + head.count
        at = start + Int(head.value)
        return Text(bytes: Array(bytes[start..<at]))
    }

    private mutating func takeCompressed(max limit: Int) throws(RDBDamage) -> Text? {
        guard let packed = try peekLength(at + 1),
            let whole = try peekLength(at + 1 + packed.count)
        else { return nil }
        guard !packed.isForm, !whole.isForm else {
            throw RDBDamage(offset, "a string where a length should be")
        }
        let head = 1 + packed.count + whole.count
        guard whole.value <= UInt64(limit), packed.value <= UInt64(limit) else {
            at += head
            passing = packed.value
            return Text(bytes: nil)
        }
        guard isThere(head + Int(packed.value)) else { return nil }
        let start = at + head
        let end = start + Int(packed.value)
        guard let text = LZF.unpack(bytes[start..<end], count: Int(whole.value)) else {
            throw RDBDamage(offset, "a compressed string does not unpack to what it claims")
        }
        at = end
        return Text(bytes: text)
    }

    /// Whether so many bytes are there; if not, nothing is looked at again before they are.
    private mutating func isThere(_ count: Int) -> Bool {
        let isThere = at + count <= bytes.count
        wanted = isThere ? 1 : count
        return isThere
    }
}
