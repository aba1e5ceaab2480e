import Glibc

/// Reads replies of RESP2 and RESP3, in any pieces: feed it what has arrived, ask for replies until
/// it has none.
///
/// It goes on where it stopped, so a reply of a million values in a thousand pieces is read once.
/// What a server may make it hold is bounded: a length of more than `bulkBytesMax`, more values
/// than `valuesMax` in one reply or deeper nesting than `nestingMax` is a violation.
public struct RESPReplyParser: Sendable {
    public enum Step: Equatable, Sendable {
        case needMore
        case reply(RESPValue)
        /// The other side does not speak the protocol; the sentence says how.
        case violation(String)
    }

    public static let lineBytesMax = 64 * 1024
    public var bulkBytesMax = 512 << 20
    public var valuesMax = 64 << 20
    public var nestingMax = 128

    private var unread: [UInt8] = []
    private var at = 0
    private var open: [Aggregate] = []
    private var values = 0
    private var failure: String? = nil
    /// Up to here the line that is being read has no end.
    private var scanned = 0

    private enum Kind { case array, map, set, push, attribute }

    private struct Aggregate: Sendable {
        var kind: Kind
        /// Values still to come, keys of a map counted.
        var left: Int
        var values: [RESPValue] = []
        /// Of an attribute: what it said, once that is whole and its value is awaited.
        var said: [(RESPValue, RESPValue)]? = nil
    }

    public init() {}

    /// Bytes that have arrived and belong to no reply yet.
    public var unreadCount: Int { unread.count - at }

    public mutating func feed(_ bytes: UnsafeRawBufferPointer) {
        if at > 0, at == unread.count || at > 64 * 1024 {
            unread.removeFirst(at)
            scanned = max(0, scanned - at)
            at = 0
        }
        unsafe unread.append(contentsOf: bytes)
    }

    public mutating func feed(_ bytes: [UInt8]) {
        unsafe bytes.withUnsafeBytes { unsafe feed($0) }
    }

    /// The next reply; after a violation there are no more.
    public mutating func next() -> Step {
        if let failure { return .violation(failure) }
        while true {
            switch value() {
            case .needMore: return .needMore
            case .violation(let sentence):
                failure = sentence
                return .violation(sentence)
            case .opened: continue
            case .value(let value):
                if let whole = close(value) {
                    values = 0
                    return .reply(whole)
                }
            }
        }
    }

    // MARK: One value, or the head of many

    private enum Part {
        case needMore
        case opened
        case value(RESPValue)
        case violation(String)
    }

    private mutating func value() -> Part {
        guard let end = lineEnd() else {
            return unread.count - at > Self.lineBytesMax
                ? .violation("a line of a reply is longer than 64 KiB") : .needMore
        }
        guard end > at else { return .violation("a reply begins with an empty line") }
        values += 1
        guard values <= valuesMax else { return .violation("a reply has too many values") }
        let mark = unread[at]
        let text = Array(unread[(at + 1)..<end])
        let after = end + 2
        switch mark {
        case UInt8(ascii: "+"): return taken(.simple(text), after)
        case UInt8(ascii: "-"): return taken(.error(text), after)
        case UInt8(ascii: ":"):
            guard let number = integer(text) else {
                return .violation("not a number: " + shown(text))
            }
            return taken(.integer(number), after)
        case UInt8(ascii: "_"): return taken(.null, after)
        case UInt8(ascii: "#"):
            switch text {
            case [UInt8(ascii: "t")]: return taken(.boolean(true), after)
            case [UInt8(ascii: "f")]: return taken(.boolean(false), after)
            default: return .violation("not a boolean: " + shown(text))
            }
        case UInt8(ascii: ","):
            guard let number = double(text) else {
                return .violation("not a double: " + shown(text))
            }
            return taken(.double(number, text: text), after)
        case UInt8(ascii: "("): return taken(.bigNumber(text), after)
        case UInt8(ascii: "$"), UInt8(ascii: "!"), UInt8(ascii: "="):
            return bulk(mark, text, after)
        case UInt8(ascii: "*"): return opened(.array, text, after)
        case UInt8(ascii: "%"): return opened(.map, text, after)
        case UInt8(ascii: "~"): return opened(.set, text, after)
        case UInt8(ascii: ">"): return opened(.push, text, after)
        case UInt8(ascii: "|"): return opened(.attribute, text, after)
        default: return .violation("a reply begins with " + shown([mark]))
        }
    }

    private mutating func taken(_ value: RESPValue, _ after: Int) -> Part {
        at = after
        scanned = after
        return .value(value)
    }

    private mutating func bulk(_ mark: UInt8, _ text: [UInt8], _ after: Int) -> Part {
        guard let length = integer(text), length >= -1, length <= Int64(bulkBytesMax) else {
            return .violation("not a length: " + shown(text))
        }
        if length < 0 { return taken(.null, after) }
        let end = after + Int(length)
        guard end + 2 <= unread.count else {
            values -= 1
            return .needMore
        }
        guard unread[end] == 0x0D, unread[end + 1] == 0x0A else {
            return .violation("a string is longer than its length")
        }
        let bytes = Array(unread[after..<end])
        switch mark {
        case UInt8(ascii: "!"): return taken(.error(bytes), end + 2)
        case UInt8(ascii: "="):
            guard bytes.count >= 4, bytes[3] == UInt8(ascii: ":") else {
                return .violation("text without its kind")
            }
            return taken(.verbatim(kind: Array(bytes[..<3]), Array(bytes[4...])), end + 2)
        default: return taken(.bulk(bytes), end + 2)
        }
    }

    private mutating func opened(_ kind: Kind, _ text: [UInt8], _ after: Int) -> Part {
        guard let count = integer(text), count >= -1, count <= Int64(valuesMax) else {
            return .violation("not a count: " + shown(text))
        }
        if count < 0 { return taken(.null, after) }
        guard open.count < nestingMax else { return .violation("a reply is nested too deeply") }
        at = after
        scanned = after
        let isMap = kind == .map || kind == .attribute
        let left = Int(count) * (isMap ? 2 : 1)
        if left == 0, kind != .attribute { return .value(made(kind, [])) }
        var aggregate = Aggregate(kind: kind, left: left)
        if left == 0 {
            aggregate.said = []
            aggregate.left = 1
        }
        open.append(aggregate)
        return .opened
    }

    /// Puts a value where it belongs; answers with the whole reply when it was the last.
    private mutating func close(_ value: RESPValue) -> RESPValue? {
        var value = value
        while let last = open.indices.last {
            open[last].values.append(value)
            open[last].left -= 1
            if open[last].left > 0 { return nil }
            if open[last].kind == .attribute {
                guard let said = open[last].said else {
                    open[last].said = pairs(open[last].values)
                    open[last].values = []
                    open[last].left = 1
                    return nil
                }
                value = .attribute(said, of: open[last].values[0])
            } else {
                value = made(open[last].kind, open[last].values)
            }
            open.removeLast()
        }
        return value
    }

    private func made(_ kind: Kind, _ values: [RESPValue]) -> RESPValue {
        switch kind {
        case .array, .attribute: .array(values)
        case .map: .map(pairs(values))
        case .set: .set(values)
        case .push: .push(values)
        }
    }

    private func pairs(_ values: [RESPValue]) -> [(RESPValue, RESPValue)] {
        stride(from: 0, to: values.count - 1, by: 2).map { (values[$0], values[$0 + 1]) }
    }

    // MARK: Lines

    /// Where the line that begins at `at` ends, at its carriage return.
    private mutating func lineEnd() -> Int? {
        var place = max(at, scanned)
        while place + 1 < unread.count {
            if unread[place] == 0x0D, unread[place + 1] == 0x0A { return place }
            place += 1
        }
        scanned = place
        return nil
    }

    private func integer(_ text: [UInt8]) -> Int64? {
        unsafe text.withUnsafeBytes { unsafe RESPNumber.integer($0) }
    }

    private func double(_ text: [UInt8]) -> Double? {
        if text == Array("nan".utf8) { return .nan }
        return unsafe text.withUnsafeBytes { unsafe RESPNumber.double($0) }
    }

    private func shown(_ text: [UInt8]) -> String {
        "'" + String(decoding: text.prefix(64), as: UTF8.self) + "'"
    }
}
