/// A request line and its fields, understood but not copied: plain data that says where in the
/// connection's bytes each part lies. All ranges count from the first byte that was parsed.
public struct HTTPRequestHead: Sendable, BitwiseCopyable {
    /// How the request says what it is about (RFC 9112 3.2).
    public enum TargetForm: UInt8, Sendable, BitwiseCopyable {
        case origin
        /// `http://host/path`; the host of the target has taken the place of the Host field.
        case absolute
        /// `OPTIONS *`.
        case asterisk
        /// `CONNECT host:port`.
        case authority
    }

    public internal(set) var method: HTTPMethod = .other
    public internal(set) var target: TargetForm = .origin
    /// 1 for HTTP/1.1 and for any later minor version, 0 for HTTP/1.0.
    public internal(set) var minorVersion: UInt8 = 1
    /// Whether the connection may serve another request when this one is done.
    public internal(set) var keepAlive = true
    /// Whether the client waits for `100 Continue` before it sends its body.
    public internal(set) var expectsContinue = false
    /// Whether Connection names `upgrade` and there is an Upgrade field.
    public internal(set) var isUpgrade = false
    /// Whether there is a `?`; `/x?` has a query, an empty one.
    public internal(set) var hasQuery = false
    /// The path as it was sent, not percent-decoded, beginning with a slash.
    public internal(set) var path = ByteRange(start: 0, count: 0)
    /// What stands after the first `?`.
    public internal(set) var query = ByteRange(start: 0, count: 0)
    /// Where the body, or the next request, begins.
    public internal(set) var headByteCount: UInt32 = 0
    /// Where the first field line begins.
    public internal(set) var fieldsStart: UInt32 = 0
    public internal(set) var body: HTTPBodyFraming = .none

    /// What the slots count from: where the version stands, or the first byte where the target
    /// holds a host. So a section of fields means the same behind any path.
    @usableFromInline var fieldsBase: UInt32 = 0
    @usableFromInline var present: UInt32 = 0
    @usableFromInline var repeated: UInt32 = 0
    @usableFromInline var slots = InlineArray<28, UInt32>(repeating: 0)

    /// A head that describes nothing yet, to be parsed into.
    public init() {}

    /// Takes over what the fields of another head said, for a request whose fields are the same
    /// bytes, but whose version stands at `base`.
    @inline(__always)
    mutating func takeFields(of other: borrowing HTTPRequestHead, at base: UInt32) {
        minorVersion = other.minorVersion
        keepAlive = other.keepAlive
        expectsContinue = other.expectsContinue
        isUpgrade = other.isUpgrade
        body = other.body
        present = other.present
        repeated = other.repeated
        slots = other.slots
        fieldsBase = base
        fieldsStart = base &+ (other.fieldsStart &- other.fieldsBase)
        headByteCount = base &+ (other.headByteCount &- other.fieldsBase)
    }

    /// Forgets the request before. The slots stay as they are: `present` tells which ones count.
    @inline(__always)
    mutating func reset() {
        method = .other
        target = .origin
        minorVersion = 1
        keepAlive = true
        expectsContinue = false
        isUpgrade = false
        hasQuery = false
        query = ByteRange(start: 0, count: 0)
        body = .none
        fieldsBase = 0
        present = 0
        repeated = 0
    }

    @inlinable @inline(__always)
    public func has(_ field: HTTPKnownField) -> Bool { present & field.bit != 0 }

    /// The fields of an HTTP/1.1 request without a body, on a connection that stays, none of which
    /// asks for anything: a read of what everybody may see is answered by its path alone.
    var fieldsArePlain: Bool {
        present & ~HTTPKnownField.idleInRead == 0 && minorVersion == 1 && keepAlive
            && body == .none
    }

    /// The value of the field, without the blanks around it; of its first line if there are more.
    @inlinable @inline(__always)
    public func range(_ field: HTTPKnownField) -> ByteRange? {
        guard has(field) else { return nil }
        let slot = slots[Int(field.rawValue)]
        return ByteRange(start: fieldsBase &+ (slot & 0xFFFF), count: slot &>> 16)
    }

    /// Whether there are more lines of the field than the one `range` tells: walk `HTTPFieldLines`.
    @inlinable
    public func isRepeated(_ field: HTTPKnownField) -> Bool { repeated & field.bit != 0 }

    /// All field lines, in the order they were sent.
    public var fieldLines: HTTPFieldLines { HTTPFieldLines(self) }

    /// Offsets fit sixteen bits because no head is longer than `HTTPLimits.headBytesCeiling`.
    @inline(__always)
    mutating func place(_ field: HTTPKnownField, from start: Int, to end: Int) {
        let count = UInt32(truncatingIfNeeded: end &- start)
        let from = UInt32(truncatingIfNeeded: start) &- fieldsBase
        slots[Int(field.rawValue)] = count &<< 16 | from
    }
}

/// How the end of a body is found (RFC 9112 6).
public enum HTTPBodyFraming: Equatable, Sendable, BitwiseCopyable {
    /// The request says nothing of a body, so it has none.
    case none
    case length(UInt64)
    case chunked
}

/// Walks the field lines of a head that has been parsed: for fields that are not known, and for
/// those that were sent more than once.
public struct HTTPFieldLines: Sendable, BitwiseCopyable {
    private var next: Int
    private let end: Int

    init(_ head: HTTPRequestHead) {
        next = Int(head.fieldsStart)
        end = Int(head.headByteCount) - 2
    }

    /// The next line. `bytes` are the ones the head was parsed from; that it was is why nothing
    /// has to be checked again here.
    public mutating func next(in bytes: RawSpan) -> (name: ByteRange, value: ByteRange)? {
        guard next < end else { return nil }
        let nameEnd = ByteScan.tokenEnd(bytes, from: next, to: end)
        var start = nameEnd + 1
        while start < end, ByteScan.isBlank(bytes.byte(start)) { start += 1 }
        let lineEnd = ByteScan.fieldValueEnd(bytes, from: start, to: end)
        var valueEnd = lineEnd
        while valueEnd > start, ByteScan.isBlank(bytes.byte(valueEnd - 1)) { valueEnd -= 1 }
        let name = ByteRange(next, upTo: nameEnd)
        next = lineEnd + 2
        return (name, ByteRange(start, upTo: valueEnd))
    }
}
