/// Reads commands as Redis clients send them: an array of bulk strings, or a line of words.
///
/// A parser is plain data that remembers how far it came in one command, as offsets from the
/// command's first byte. Where a command is whole at first sight, as nearly all are, it is read
/// once. One that comes in pieces is gathered by the connection and read on from where its last
/// piece ended, so that the bytes of a command of a million arguments are looked at once, however
/// they were split.
public struct RESPRequestParser: BitwiseCopyable {
    public enum Step {
        /// `bytes` is what is known to be missing still; at least 1.
        case needMore(bytes: Int)
        /// A command of so many bytes; its arguments are in the list. An empty line, or an empty
        /// array, is one without arguments, which is answered with nothing.
        case command(bytes: Int)
        /// The connection ends after this sentence.
        case violation(RESPViolation)
    }

    /// Where reading goes on.
    private var at = 0
    /// Arguments still to come; -1 while the array's own line is missing.
    private var left = -1
    /// The length of the argument that is being read; -1 while its line is missing.
    private var bulk = -1

    public init() {}

    /// Reads on in a command whose first byte is the first of `bytes`. The list is emptied when a
    /// command begins and complete when it ends.
    public mutating func parse(
        _ bytes: UnsafeRawBufferPointer, _ limits: RESPLimits, into arguments: inout RESPArguments
    ) -> Step {
        if left < 0 {
            arguments.removeAll()
            guard bytes.count > 0 else { return .needMore(bytes: 1) }
            if unsafe bytes[0] != UInt8(ascii: "*") {
                return unsafe line(bytes, limits, into: &arguments)
            }
            if let (count, next) = unsafe RESPLength.short(bytes, at: 1), count > 0,
                count <= limits.argumentsMax
            {
                at = next
                left = count
                return unsafe readArguments(bytes, limits, into: &arguments)
            }
            switch unsafe RESPRequestParser.lineEnd(bytes, from: 1) {
            case .missing(let isTooLong):
                return isTooLong ? .violation(.longArrayLine) : .needMore(bytes: 1)
            case .at(let end):
                guard
                    let count = unsafe RESPNumber.integer(
                        UnsafeRawBufferPointer(rebasing: bytes[1..<end])),
                    count <= 1024 * 1024
                else { return .violation(.arrayLength) }
                if count > limits.argumentsMax {
                    return .violation(limits.isStrangers ? .strangersArray : .arrayLength)
                }
                at = end + 2
                guard count > 0 else { return .command(bytes: at) }
                left = Int(count)
            }
        }
        return unsafe readArguments(bytes, limits, into: &arguments)
    }

    @inline(__always)
    private mutating func readArguments(
        _ bytes: UnsafeRawBufferPointer, _ limits: RESPLimits, into arguments: inout RESPArguments
    ) -> Step {
        while left > 0 {
            if bulk < 0 {
                guard at < bytes.count else { return .needMore(bytes: 1) }
                let first = unsafe bytes[at]
                guard first == UInt8(ascii: "$") else { return .violation(.notABulk(first)) }
                if let (length, next) = unsafe RESPLength.short(bytes, at: at + 1),
                    length <= limits.bulkBytesMax, length + next <= limits.requestBytesMax
                {
                    let end = next + length + 2
                    if end <= bytes.count {
                        arguments.append(next, length)
                        at = end
                        left -= 1
                        continue
                    }
                }
                switch unsafe RESPRequestParser.lineEnd(bytes, from: at + 1) {
                case .missing(let isTooLong):
                    return isTooLong ? .violation(.longBulkLine) : .needMore(bytes: 1)
                case .at(let end):
                    guard
                        let length = unsafe RESPNumber.integer(
                            UnsafeRawBufferPointer(rebasing: bytes[at + 1..<end])),
                        length >= 0, length <= 512 << 20
                    else { return .violation(.bulkLength) }
                    if length > limits.bulkBytesMax || Int(length) + end > limits.requestBytesMax {
                        return .violation(limits.isStrangers ? .strangersBulk : .bulkLength)
                    }
                    at = end + 2
                    bulk = Int(length)
                }
            }
            let end = at + bulk + 2
            guard end <= bytes.count else { return .needMore(bytes: end - bytes.count) }
            // Like Redis, whatever two bytes stand there.
            arguments.append(at, bulk)
            at = end
            bulk = -1
            left -= 1
        }
        return .command(bytes: at)
    }

    // MARK: Lines

    private enum LineEnd {
        case at(Int)
        case missing(isTooLong: Bool)
    }

    /// Where a length's line ends: at a carriage return that has a byte after it.
    @inline(__always)
    private static func lineEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> LineEnd {
        var end = start
        // Lengths have a few digits; the bound is only met by what is no length.
        let bound = min(bytes.count, start + RESPLimits.lineBytesMax)
        while end < bound, unsafe bytes[end] != 0x0D { end += 1 }
        if end + 1 < bytes.count, end < bound { return .at(end) }
        return .missing(isTooLong: bytes.count - start >= RESPLimits.lineBytesMax)
    }

    /// A line of words, or an empty one between commands, which is passed over everywhere.
    private mutating func line(
        _ bytes: UnsafeRawBufferPointer, _ limits: RESPLimits, into arguments: inout RESPArguments
    ) -> Step {
        var end = 0
        let bound = min(bytes.count, RESPLimits.lineBytesMax + 1)
        while end < bound, unsafe bytes[end] != 0x0A { end += 1 }
        let isBlank = unsafe bytes[0] == 0x0A || bytes[0] == 0x0D
        guard limits.allowsInline || isBlank else {
            return .violation(.notAnArray(unsafe bytes[0]))
        }
        guard end < bound else {
            return end > RESPLimits.lineBytesMax
                ? .violation(.longLine) : .needMore(bytes: 1)
        }
        var text = unsafe UnsafeRawBufferPointer(rebasing: bytes[..<end])
        if end > 0, unsafe bytes[end - 1] == 0x0D {
            unsafe text = UnsafeRawBufferPointer(rebasing: bytes[..<(end - 1)])
        }
        guard text.count == 0 || limits.allowsInline else {
            return .violation(.notAnArray(unsafe bytes[0]))
        }
        guard unsafe RESPLine.split(text, into: &arguments) else {
            return .violation(.unbalancedQuotes)
        }
        return .command(bytes: end + 1)
    }
}

/// Why a connection can't go on: what it sent is not the protocol.
public enum RESPViolation: Equatable, Sendable {
    case arrayLength, bulkLength
    case strangersArray, strangersBulk
    case longArrayLine, longBulkLine, longLine
    case unbalancedQuotes
    case notABulk(UInt8)
    case notAnArray(UInt8)

    /// The whole reply.
    public func write(into out: inout RESPWriter) {
        out.begin(error: "ERR Protocol error: ")
        switch self {
        case .arrayLength: out.add("invalid multibulk length")
        case .bulkLength: out.add("invalid bulk length")
        case .strangersArray: out.add("unauthenticated multibulk length")
        case .strangersBulk: out.add("unauthenticated bulk length")
        case .longArrayLine: out.add("too big mbulk count string")
        case .longBulkLine: out.add("too big bulk count string")
        case .longLine: out.add("too big inline request")
        case .unbalancedQuotes: out.add("unbalanced quotes in request")
        case .notABulk(let byte):
            out.add("expected '$', got '")
            out.addPrintable(byte)
            out.add("'")
        case .notAnArray(let byte):
            out.add("expected '*', got '")
            out.addPrintable(byte)
            out.add("'")
        }
        out.endLine()
    }
}

/// The arguments of one command: where each lies, counted from the command's first byte, or, for
/// words that had to be unquoted, in memory of the list's own.
///
/// The list is used again for every command, so in steady state it asks for no memory.
@safe
public struct RESPArguments: ~Copyable {
    private var ranges: UnsafeMutablePointer<ByteRange>
    private var capacity = 16
    public private(set) var count = 0
    /// Words of a line, unquoted.
    private var words: UnsafeMutableRawPointer? = nil
    private var wordsCount = 0
    private var wordsCapacity = 0

    public init() { unsafe ranges = .allocate(capacity: capacity) }

    deinit {
        unsafe ranges.deallocate()
        unsafe words?.deallocate()
    }

    @inline(__always)
    public mutating func removeAll() {
        count = 0
        wordsCount = 0
    }

    @inline(__always)
    public mutating func append(_ start: Int, _ length: Int) {
        if count == capacity { grow() }
        unsafe ranges[count] = ByteRange(
            start: UInt32(truncatingIfNeeded: start), count: UInt32(truncatingIfNeeded: length))
        count += 1
    }

    /// An argument, when the command's first byte is at `base`.
    @inlinable @inline(__always)
    public func bytes(_ number: Int, of base: UnsafeRawPointer) -> UnsafeRawBufferPointer {
        let range = range(number)
        let start = unsafe wordsBase ?? base
        return unsafe UnsafeRawBufferPointer(
            start: start + Int(range.start), count: Int(range.count))
    }

    /// All of them, when the command's first byte is at `base`; good until the list changes.
    @inline(__always)
    public func words(of base: UnsafeRawPointer) -> RESPWords {
        unsafe RESPWords(ranges, wordsBase ?? base, count: count)
    }

    @usableFromInline
    func range(_ number: Int) -> ByteRange {
        invariant(number < count, "an argument that was not sent")
        return unsafe ranges[number]
    }

    /// Set where the arguments are words of a line.
    @usableFromInline
    var wordsBase: UnsafeRawPointer? {
        wordsCount > 0 ? unsafe UnsafeRawPointer(words) : nil
    }

    /// Memory goes back that only an unusual command needed.
    public mutating func shrink() {
        guard capacity > 4096 else { return }
        unsafe ranges.deallocate()
        capacity = 16
        unsafe ranges = .allocate(capacity: capacity)
        count = 0
    }

    /// Room for the words of a line of so many bytes; one more, so that there is a first byte.
    @unsafe
    mutating func beginWords(_ bytes: Int) -> UnsafeMutableRawPointer {
        if bytes + 1 > wordsCapacity {
            unsafe words?.deallocate()
            wordsCapacity = max(bytes + 1, 256)
            unsafe words = .allocate(byteCount: wordsCapacity, alignment: 8)
        }
        wordsCount = bytes + 1
        return unsafe words.unsafelyUnwrapped
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<ByteRange>.allocate(capacity: capacity * 2)
        unsafe larger.update(from: ranges, count: count)
        unsafe ranges.deallocate()
        unsafe ranges = unsafe larger
        capacity *= 2
    }
}
