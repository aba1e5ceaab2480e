import Wire

/// How long a record lives, as a request says it: `30s`, `5m`, `1h30m`, `2d`, `500ms`, or a plain
/// number of seconds.
///
/// Units come in order, the largest first, each at most once. Anything else is refused, never
/// taken for 'no expiry': a record that was meant to go away must not stay.
enum TTL {
    /// A hundred years: longer than any promise of ours, and far from where sums overflow.
    static let millisecondsMax: Int64 = 36_525 * 86_400_000

    /// Milliseconds; nil for what is no duration, for zero, and beyond `millisecondsMax`. The text
    /// is already percent-decoded.
    static func parse(_ text: RawSpan) -> Int64? {
        unsafe text.withUnsafeBytes { unsafe parse($0) }
    }

    private static func parse(_ text: UnsafeRawBufferPointer) -> Int64? {
        var sum: Int64 = 0
        var at = 0
        var unitBefore = Int64.max
        while at < text.count {
            let start = at
            var number: Int64 = 0
            while at < text.count, unsafe text[at] &- 0x30 < 10 {
                number = unsafe number * 10 + Int64(text[at] &- 0x30)
                if number > millisecondsMax { return nil }
                at += 1
            }
            guard at > start else { return nil }
            var unit: Int64 = 1000
            if at < text.count {
                guard let (found, count) = unsafe unitOf(text, at) else { return nil }
                unit = found
                at += count
            } else if start > 0 {
                return nil
            }
            guard unit < unitBefore else { return nil }
            unitBefore = unit
            // Neither leaves 64 bits: the number is at most 3.2e12, the largest unit 8.64e7.
            let (more, isOver) = number.multipliedReportingOverflow(by: unit)
            if isOver || more > millisecondsMax - sum { return nil }
            sum += more
        }
        return sum > 0 ? sum : nil
    }

    /// The unit's milliseconds and how many letters it has.
    private static func unitOf(
        _ text: UnsafeRawBufferPointer, _ at: Int
    ) -> (milliseconds: Int64, count: Int)? {
        switch unsafe text[at] {
        case UInt8(ascii: "d"): (86_400_000, 1)
        case UInt8(ascii: "h"): (3_600_000, 1)
        case UInt8(ascii: "m"):
            unsafe at + 1 < text.count && text[at + 1] == UInt8(ascii: "s") ? (1, 2) : (60_000, 1)
        case UInt8(ascii: "s"): (1000, 1)
        default: nil
        }
    }
}

extension TTL {
    enum Found: Equatable, Sendable, BitwiseCopyable {
        case absent
        /// Milliseconds from now on.
        case lasts(Int64)
        /// Not a duration, or said twice (400).
        case malformed
    }

    /// What the item `ttl` of a query says.
    static func find(in items: QueryItems, _ bytes: RawSpan) -> Found {
        var items = items
        var found = Found.absent
        while let item = items.next(in: bytes) {
            guard QueryName.isNamed(bytes.slice(item.name), "ttl") else { continue }
            guard found == .absent, let ms = decoded(bytes.slice(item.value)) else {
                return .malformed
            }
            found = .lasts(ms)
        }
        return found
    }

    /// No spelling of a duration within the bound is longer, leading zeros aside.
    private static let textBytesMax = 32

    private static func decoded(_ raw: RawSpan) -> Int64? {
        if Percent.isPlain(raw, as: .query) { return parse(raw) }
        guard raw.byteCount <= 3 * textBytesMax else { return nil }
        return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 3 * textBytesMax) {
            room in
            guard let base = room.baseAddress else { return nil }
            var writer = unsafe ByteWriter(base, capacity: room.count)
            guard Percent.decode(raw, as: .query, into: &writer) != nil else { return nil }
            return unsafe parse(UnsafeRawBufferPointer(writer.written))
        }
    }
}
