import Glibc

/// A client's reading of RESP2 and RESP3 replies on one connection, in any pieces: where each ends
/// and whether it is an error. The values themselves are passed over.
@safe struct RESPReplyReader {
    /// Lines are lengths, numbers and one-line texts; Redis' longest are below 1 KiB.
    static let lineBytesMax = 4096

    private var kept = 0
    /// Bytes of a bulk string and its line end that are still to come.
    private var bulkRemaining = 0
    /// Values still to come until the reply is whole.
    private var valuesRemaining = 1
    /// An attribute comes before the value it belongs to, and is none itself.
    private var isFirst = true
    /// Whether the reply that just ended was an error.
    private(set) var isError = false
    /// Whether it was nothing: a key that does not exist.
    private(set) var isNil = false

    var isAtRest: Bool { isFirst && kept == 0 && bulkRemaining == 0 }

    /// Reads on. `carry` is this connection's own room for `lineBytesMax` bytes.
    mutating func next(
        _ bytes: UnsafePointer<UInt8>, _ count: Int, carry: UnsafeMutablePointer<UInt8>
    ) -> ReplyStep {
        var used = 0
        while used < count {
            if bulkRemaining > 0 {
                let piece = min(bulkRemaining, count - used)
                bulkRemaining -= piece
                used += piece
                if bulkRemaining > 0 { break }
                if ended() { return ReplyStep(kind: .reply, consumed: used) }
                continue
            }
            let rest = unsafe bytes + used
            let left = count - used
            // Most lines are shorter than a call of memchr takes.
            var end = 0
            while end < left, end < 16, unsafe rest[end] != 0x0A { end += 1 }
            if end == 16, end < left {
                let found = unsafe memchr(rest + end, 0x0A, left - end)
                end =
                    unsafe found.map { unsafe $0 - UnsafeMutableRawPointer(mutating: rest) } ?? left
            }
            guard end < left else {
                guard kept + left <= Self.lineBytesMax else {
                    return ReplyStep(kind: .violation, consumed: used)
                }
                unsafe memcpy(carry + kept, rest, left)
                kept += left
                break
            }
            used += end + 1
            var line = unsafe rest
            var lineCount = end + 1
            if kept > 0 {
                guard kept + lineCount <= Self.lineBytesMax else {
                    return ReplyStep(kind: .violation, consumed: used)
                }
                unsafe memcpy(carry + kept, rest, lineCount)
                unsafe line = UnsafePointer(carry)
                lineCount += kept
                kept = 0
            }
            switch unsafe understand(line, lineCount) {
            case .goesOn: break
            case .ended: return ReplyStep(kind: .reply, consumed: used)
            case .wrong: return ReplyStep(kind: .violation, consumed: used)
            }
        }
        return ReplyStep(kind: .needMore, consumed: count)
    }

    private enum Verdict { case goesOn, ended, wrong }

    /// One whole line with its end.
    private mutating func understand(_ line: UnsafePointer<UInt8>, _ count: Int) -> Verdict {
        guard count >= 3, unsafe line[count - 2] == 0x0D else { return .wrong }
        let kind = unsafe line[0]
        if isFirst {
            isError = false
            isNil = false
        }
        switch kind {
        case UInt8(ascii: "+"), UInt8(ascii: ":"), UInt8(ascii: "#"), UInt8(ascii: ","),
            UInt8(ascii: "("):
            break
        case UInt8(ascii: "_"): if isFirst { isNil = true }
        case UInt8(ascii: "-"): if isFirst { isError = true }
        case UInt8(ascii: "$"), UInt8(ascii: "="), UInt8(ascii: "!"):
            guard let length = unsafe Self.length(line, count) else { return .wrong }
            if isFirst, kind == UInt8(ascii: "!") { isError = true }
            if length >= 0 {
                bulkRemaining = length + 2
                isFirst = false
                return .goesOn
            }
            if isFirst { isNil = true }
        case UInt8(ascii: "*"), UInt8(ascii: "~"), UInt8(ascii: ">"), UInt8(ascii: "%"),
            UInt8(ascii: "|"):
            guard let length = unsafe Self.length(line, count) else { return .wrong }
            if length < 0, isFirst { isNil = true }
            let isMap = kind == UInt8(ascii: "%") || kind == UInt8(ascii: "|")
            valuesRemaining += max(length, 0) * (isMap ? 2 : 1)
            if kind == UInt8(ascii: "|") { valuesRemaining += 1 }
        default: return .wrong
        }
        return ended() ? .ended : .goesOn
    }

    /// One value has ended: does the reply end with it?
    private mutating func ended() -> Bool {
        valuesRemaining -= 1
        isFirst = valuesRemaining == 0
        if isFirst { valuesRemaining = 1 }
        return isFirst
    }

    private static func length(_ line: UnsafePointer<UInt8>, _ count: Int) -> Int? {
        let end = count - 2
        if end == 3, unsafe line[1] == 0x2D, unsafe line[2] == 0x31 { return -1 }
        // Redis' own bound is 512 MB; ten digits are enough for any length.
        guard end > 1, end <= 11 else { return nil }
        var value = 0
        for place in 1..<end {
            let byte = unsafe line[place]
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            value = value * 10 + Int(byte) - 0x30
        }
        return value
    }
}
