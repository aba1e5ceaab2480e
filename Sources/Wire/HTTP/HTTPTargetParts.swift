/// Walks the items of a query, `name=value` between ampersands, without copying them.
///
/// Names may repeat, in order. An item without `=` has an empty value and says so; empty items, as
/// in `a&&b`, are passed over. Nothing is decoded here: an encoded `&` or `=` is part of its item.
public struct QueryItems: Sendable, BitwiseCopyable {
    /// Ranges count from the same byte as the query's range does.
    public struct Item: Equatable, Sendable, BitwiseCopyable {
        public var name: ByteRange
        public var value: ByteRange
        public var hasValue: Bool
    }

    private var next: Int
    private let end: Int

    public init(_ query: ByteRange) {
        next = Int(query.start)
        end = Int(query.end)
    }

    public mutating func next(in bytes: RawSpan) -> Item? {
        invariant(end <= bytes.byteCount, "a query outside of its buffer")
        while next < end, bytes.byte(next) == 0x26 { next &+= 1 }
        guard next < end else { return nil }
        let start = next
        let stop = ByteScan.first(of: 0x26, or: 0x3D, in: bytes, from: start, to: end)
        guard stop < end, bytes.byte(stop) == 0x3D else {
            next = stop &+ 1
            return Item(
                name: ByteRange(start, upTo: stop), value: ByteRange(stop, upTo: stop),
                hasValue: false)
        }
        let valueEnd = ByteScan.first(of: 0x26, or: 0x26, in: bytes, from: stop &+ 1, to: end)
        next = valueEnd &+ 1
        return Item(
            name: ByteRange(start, upTo: stop), value: ByteRange(stop &+ 1, upTo: valueEnd),
            hasValue: true)
    }
}

/// Walks the segments of a path between its slashes, without copying them.
///
/// Segments are raw: each is percent-decoded for itself, so that `%2F` stays inside a key. `/` has
/// one segment, an empty one; so a slash at the end shows. Dots mean nothing.
public struct PathSegments: Sendable, BitwiseCopyable {
    private var next: Int
    private let end: Int

    /// `path` begins with a slash.
    public init(_ path: ByteRange) {
        next = Int(path.start) + 1
        end = Int(path.end)
    }

    public mutating func next(in bytes: RawSpan) -> ByteRange? {
        invariant(end <= bytes.byteCount, "a path outside of its buffer")
        guard next <= end else { return nil }
        let start = next
        let stop = ByteScan.first(of: 0x2F, or: 0x2F, in: bytes, from: start, to: end)
        next = stop &+ 1
        return ByteRange(start, upTo: stop)
    }

    /// What has not been walked yet, slashes and all: for a key that is the rest of its path.
    public var rest: ByteRange { ByteRange(min(next, end), upTo: end) }
}
