/// The order of a write among all writes of all nodes: 44 bits of milliseconds, 12 bits of
/// counter, 8 bits that tell origins apart.
///
/// Comparing two stamps compares time, then the counter, then the origin; two nodes never make
/// the same stamp as long as their origins differ. 44 bits of milliseconds last until the year
/// 2527.
public struct Stamp: RawRepresentable, Comparable, Sendable, BitwiseCopyable {
    public var rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

    @inlinable public init(milliseconds: Int64, counter: UInt16, origin: UInt8) {
        let time = UInt64(max(0, min(milliseconds, Stamp.millisecondsMax)))
        rawValue = time << 20 | UInt64(counter & 0xFFF) << 8 | UInt64(origin)
    }

    public static let millisecondsMax: Int64 = 1 << 44 - 1

    @inlinable public var milliseconds: Int64 { Int64(rawValue >> 20) }
    @inlinable public var counter: UInt16 { UInt16(rawValue >> 8 & 0xFFF) }
    @inlinable public var origin: UInt8 { UInt8(truncatingIfNeeded: rawValue) }

    @inlinable public static func < (one: Stamp, other: Stamp) -> Bool {
        one.rawValue < other.rawValue
    }
}

/// A hybrid logical clock: follows the time it is told, never goes back, and gives each write
/// of its shard a stamp of its own.
///
/// When the machine's clock steps back, stamps go on from where they were, one counter step at
/// a time; 4,096 steps borrow a millisecond from the future. When it steps far ahead and back
/// again, the stamps stay ahead: order is worth more than the exact hour.
public struct HybridClock: Sendable {
    public private(set) var last: Stamp
    private let origin: UInt8

    /// How far ahead of our own clock a peer's stamp may be before we refuse to follow it. Clocks
    /// kept by NTP differ by milliseconds; a minute is a broken clock, and following it would
    /// let one bad node drag the whole cluster's time along.
    public static let driftMaxMs: Int64 = 60_000

    public init(origin: UInt8, last: Stamp = Stamp(rawValue: 0)) {
        self.origin = origin
        self.last = last
    }

    /// The stamp of a write made now; greater than every stamp given or observed before.
    @inline(__always)
    public mutating func next(at now: Int64) -> Stamp {
        let told = Stamp(milliseconds: now, counter: 0, origin: origin)
        let after = (last.rawValue >> 8 &+ 1) << 8 | UInt64(origin)
        last = Stamp(rawValue: max(told.rawValue, after))
        return last
    }

    /// Takes a peer's stamp into account; false (and nothing changed) when it lies further ahead
    /// than `driftMaxMs`.
    public mutating func observe(_ stamp: Stamp, at now: Int64) -> Bool {
        guard stamp.milliseconds - now <= HybridClock.driftMaxMs else { return false }
        last = max(last, stamp)
        return true
    }

    /// Takes a stamp of our own past into account (from the journal), however far ahead.
    public mutating func restore(_ stamp: Stamp) { last = max(last, stamp) }
}
