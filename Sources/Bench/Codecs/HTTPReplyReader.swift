import Glibc

/// What a reader found in the bytes it was shown.
struct ReplyStep {
    enum Kind {
        /// All bytes are used up; the reply goes on.
        case needMore
        /// Body bytes, and more of the same reply to come.
        case piece
        /// A reply has ended; its last body bytes are with it.
        case reply
        /// Not what a server may say.
        case violation
    }

    var kind: Kind
    var consumed: Int
    var bodyStart = 0
    var bodyCount = 0
}

/// The head that was read last, and what it said.
///
/// A server's replies mostly have the same head, so a head that equals the last one byte for byte
/// is known without parsing it. One for each thread serves all of its connections.
@safe struct KnownHead: ~Copyable {
    fileprivate let bytes: UnsafeMutablePointer<UInt8>
    fileprivate var count = 0
    fileprivate var bodyCount = 0
    fileprivate var status: UInt16 = 0

    init() { unsafe bytes = .allocate(capacity: HTTPReplyReader.headBytesMax) }

    deinit { unsafe bytes.deallocate() }
}

/// A client's reading of HTTP/1.1 replies on one connection (RFC 9112), in any pieces.
///
/// It trusts nothing but promises little: heads are bounded, lengths are checked, names of fields
/// that do not frame the body are not looked at.
@safe struct HTTPReplyReader {
    /// Servers refuse heads of this size; a reply with more is taken for nonsense.
    static let headBytesMax = 16 * 1024
    /// A chunk's size and its extensions, or a trailer line.
    private static let chunkLineBytesMax = 4096

    private enum Phase: UInt8 {
        case head, body, untilEnd, chunkLine, chunkBody, chunkEnd, trailers
    }

    private var phase = Phase.head
    private var kept = 0
    private var remaining = 0
    /// Of the reply being read, or the one that just ended.
    private(set) var status: UInt16 = 0
    private(set) var isChunked = false

    /// The head is read and the reply has not ended.
    var isInBody: Bool { phase != .head }

    /// Nothing of a next reply has been seen.
    var isAtRest: Bool { phase == .head && kept == 0 }

    /// The peer has ended the connection: does that end the reply, as one without a length does?
    var endsWithConnection: Bool { phase == .untilEnd }

    /// Reads on. `carry` is this connection's own room for `headBytesMax` bytes of a head in parts.
    @inline(__always)
    mutating func next(
        _ bytes: UnsafePointer<UInt8>, _ count: Int, carry: UnsafeMutablePointer<UInt8>,
        known: inout KnownHead
    ) -> ReplyStep {
        if phase == .head, kept == 0, known.count > 0, count >= known.count + known.bodyCount,
            unsafe memcmp(bytes, known.bytes, known.count) == 0
        {
            status = known.status
            return ReplyStep(
                kind: .reply, consumed: known.count + known.bodyCount, bodyStart: known.count,
                bodyCount: known.bodyCount)
        }
        return unsafe slowly(bytes, count, carry: carry, known: &known)
    }

    @inline(never)
    private mutating func slowly(
        _ bytes: UnsafePointer<UInt8>, _ count: Int, carry: UnsafeMutablePointer<UInt8>,
        known: inout KnownHead
    ) -> ReplyStep {
        var used = 0
        while used < count {
            let rest = unsafe bytes + used
            let left = count - used
            switch phase {
            case .head:
                let taken = unsafe takeHead(rest, left, carry: carry, known: &known)
                guard taken > 0 else { return ReplyStep(kind: .violation, consumed: used) }
                used += taken
                if phase == .body, remaining == 0 {
                    phase = .head
                    if status >= 200 {
                        return ReplyStep(kind: .reply, consumed: used, bodyStart: used)
                    }
                }
            case .body:
                let piece = min(left, remaining)
                remaining -= piece
                if remaining == 0 { phase = .head }
                return ReplyStep(
                    kind: remaining == 0 ? .reply : .piece, consumed: used + piece,
                    bodyStart: used, bodyCount: piece)
            case .untilEnd:
                return ReplyStep(
                    kind: .piece, consumed: count, bodyStart: used, bodyCount: left)
            case .chunkBody:
                let piece = min(left, remaining)
                remaining -= piece
                if remaining == 0 { phase = .chunkEnd }
                return ReplyStep(
                    kind: .piece, consumed: used + piece, bodyStart: used, bodyCount: piece)
            case .chunkLine, .chunkEnd, .trailers:
                let (taken, lineCount) = unsafe takeLine(rest, left, carry: carry)
                used += taken
                guard let lineCount else {
                    if kept < Self.chunkLineBytesMax { continue }
                    return ReplyStep(kind: .violation, consumed: used)
                }
                switch unsafe endOfLine(UnsafePointer(carry), lineCount) {
                case .goesOn: break
                case .ended: return ReplyStep(kind: .reply, consumed: used, bodyStart: used)
                case .wrong: return ReplyStep(kind: .violation, consumed: used)
                }
            }
        }
        return ReplyStep(kind: .needMore, consumed: count)
    }

    // MARK: Heads

    /// Takes what belongs to the head, and returns how many bytes that was: 0 if they can't be one.
    private mutating func takeHead(
        _ bytes: UnsafePointer<UInt8>, _ count: Int, carry: UnsafeMutablePointer<UInt8>,
        known: inout KnownHead
    ) -> Int {
        if kept == 0 {
            if let end = unsafe Self.headEnd(bytes, min(count, Self.headBytesMax)) {
                return unsafe understand(bytes, end, known: &known) ? end : 0
            }
            guard count < Self.headBytesMax else { return 0 }
            unsafe memcpy(carry, bytes, count)
            kept = count
            return count
        }
        // The blank line may straddle the two, so the search is over the joined bytes.
        let before = kept
        let added = min(count, Self.headBytesMax - before)
        unsafe memcpy(carry + before, bytes, added)
        guard let end = unsafe Self.headEnd(UnsafePointer(carry), before + added) else {
            kept += added
            return kept < Self.headBytesMax ? added : 0
        }
        kept = 0
        guard end > before else { return 0 }
        guard unsafe understand(UnsafePointer(carry), end, known: &known) else { return 0 }
        return end - before
    }

    /// Where the head ends: after its first empty line.
    private static func headEnd(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int? {
        var line = 0
        while line < count {
            guard let found = unsafe memchr(bytes + line, 0x0A, count - line) else { return nil }
            let end = unsafe found - UnsafeMutableRawPointer(mutating: bytes)
            if end == line { return end + 1 }
            if end == line + 1, unsafe bytes[line] == 0x0D { return end + 1 }
            line = end + 1
        }
        return nil
    }

    private mutating func understand(
        _ head: UnsafePointer<UInt8>, _ count: Int, known: inout KnownHead
    ) -> Bool {
        guard count >= 14, unsafe memcmp(head, "HTTP/1.", 7) == 0,
            unsafe head[8] == 0x20,
            let code = unsafe Self.number(head + 9, 3, radix: 10)
        else { return false }
        status = UInt16(code)
        isChunked = false
        var length: Int? = nil
        var line = 0
        while let found = unsafe memchr(head + line, 0x0A, count - line) {
            let end = unsafe found - UnsafeMutableRawPointer(mutating: head)
            if unsafe Self.isField(head + line, end - line, "content-length:") {
                var (start, stop) = (line + 15, end)
                while start < stop, unsafe Self.isSpace(head[start]) { start += 1 }
                while start < stop, unsafe Self.isSpace(head[stop - 1]) { stop -= 1 }
                guard let value = unsafe Self.number(head + start, stop - start, radix: 10)
                else { return false }
                length = value
            } else if unsafe Self.isField(head + line, end - line, "transfer-encoding:") {
                isChunked = true
            }
            line = end + 1
            if line >= count { break }
        }
        let isBodiless = status < 200 || status == 204 || status == 304
        if isBodiless { length = 0 }
        remaining = length ?? 0
        phase = isChunked && !isBodiless ? .chunkLine : length == nil ? .untilEnd : .body
        // After a switch of protocols the connection is that protocol's.
        if status == 101 { phase = .untilEnd }
        if phase == .body, status >= 200 {
            unsafe memcpy(known.bytes, head, count)
            known.count = count
            known.bodyCount = remaining
            known.status = status
        }
        return true
    }

    // MARK: Chunks

    private enum LineVerdict { case goesOn, ended, wrong }

    private mutating func takeLine(
        _ bytes: UnsafePointer<UInt8>, _ count: Int, carry: UnsafeMutablePointer<UInt8>
    ) -> (taken: Int, lineCount: Int?) {
        let found = unsafe memchr(bytes, 0x0A, count)
        let wanted = unsafe found.map { unsafe $0 - UnsafeMutableRawPointer(mutating: bytes) + 1 }
        let taken = min(wanted ?? count, Self.chunkLineBytesMax - kept)
        unsafe memcpy(carry + kept, bytes, taken)
        kept += taken
        guard let wanted, taken == wanted else { return (taken, nil) }
        var line = kept - 1
        if line > 0, unsafe carry[line - 1] == 0x0D { line -= 1 }
        kept = 0
        return (taken, line)
    }

    private mutating func endOfLine(_ line: UnsafePointer<UInt8>, _ count: Int) -> LineVerdict {
        switch phase {
        case .chunkEnd:
            phase = .chunkLine
            return count == 0 ? .goesOn : .wrong
        case .trailers:
            guard count == 0 else { return .goesOn }
            phase = .head
            return .ended
        default:
            var digits = 0
            while digits < count, unsafe line[digits] != 0x3B, unsafe !Self.isSpace(line[digits]) {
                digits += 1
            }
            guard let size = unsafe Self.number(line, digits, radix: 16) else { return .wrong }
            remaining = size
            phase = size == 0 ? .trailers : .chunkBody
            return .goesOn
        }
    }

    // MARK: Text

    /// Does the line begin with this name, given in lower case with its colon?
    private static func isField(
        _ line: UnsafePointer<UInt8>, _ count: Int, _ name: StaticString
    ) -> Bool {
        guard count >= name.utf8CodeUnitCount else { return false }
        for place in 0..<name.utf8CodeUnitCount {
            let wanted = unsafe name.utf8Start[place]
            let byte = unsafe line[place]
            let lower = byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
            if lower != wanted { return false }
        }
        return true
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0D
    }

    /// More than 15 digits of either radix is no length of anything.
    private static func number(_ text: UnsafePointer<UInt8>, _ count: Int, radix: Int) -> Int? {
        guard count > 0, count <= 15 else { return nil }
        var value = 0
        for place in 0..<count {
            let byte = unsafe text[place]
            let digit: Int
            switch byte {
            case 0x30...0x39: digit = Int(byte) - 0x30
            case 0x41...0x46: digit = Int(byte) - 0x37
            case 0x61...0x66: digit = Int(byte) - 0x57
            default: return nil
            }
            guard digit < radix else { return nil }
            value = value * radix + digit
        }
        return value
    }
}
