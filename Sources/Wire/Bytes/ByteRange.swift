/// Where some bytes lie, counted from the start of the buffer they were parsed from.
///
/// A parser answers with ranges instead of copies or spans: a range is plain data, so a parsed
/// head can be kept in a connection slot, and the buffer may move before the range is used.
public struct ByteRange: Equatable, Sendable, BitwiseCopyable {
    public var start: UInt32
    public var count: UInt32

    @inlinable @inline(__always)
    public init(start: UInt32, count: UInt32) {
        self.start = start
        self.count = count
    }

    @inlinable @inline(__always)
    init(_ start: Int, upTo end: Int) {
        self.start = UInt32(truncatingIfNeeded: start)
        self.count = UInt32(truncatingIfNeeded: end &- start)
    }

    @inlinable public var end: UInt32 { start &+ count }
    @inlinable public var isEmpty: Bool { count == 0 }

    /// The same range counted from `base` bytes earlier.
    @inlinable
    public func moved(by base: UInt32) -> ByteRange { ByteRange(start: start + base, count: count) }
}

extension RawSpan {
    /// The bytes of `range`; a range that does not fit this buffer is our own bug.
    @inlinable @inline(__always)
    @_lifetime(copy self)
    public func slice(_ range: ByteRange) -> RawSpan {
        invariant(
            Int(range.start) + Int(range.count) <= byteCount, "a byte range outside of its buffer")
        let bounds = unsafe Range(uncheckedBounds: (Int(range.start), Int(range.end)))
        return unsafe extracting(unchecked: bounds)
    }

    /// Whether these bytes are exactly `text`.
    @inlinable @inline(__always)
    public func equals(_ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard byteCount == count else { return false }
        for index in 0..<count where unsafe byte(index) != text.utf8Start[index] {
            return false
        }
        return true
    }

    /// Whether these bytes are `text` when the case of ASCII letters is disregarded.
    /// `text` itself has to be in lower case.
    @inlinable @inline(__always)
    public func equalsIgnoringCase(_ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard byteCount == count else { return false }
        for index in 0..<count {
            let mine = byte(index)
            let lower = mine &- 0x41 < 26 ? mine | 0x20 : mine
            if unsafe lower != text.utf8Start[index] { return false }
        }
        return true
    }

    /// Whether these bytes begin with `text`.
    @inlinable @inline(__always)
    public func begins(with text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard byteCount >= count else { return false }
        for index in 0..<count where unsafe byte(index) != text.utf8Start[index] {
            return false
        }
        return true
    }
}
