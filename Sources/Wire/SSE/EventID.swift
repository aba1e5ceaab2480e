/// What stands in an event's `id:`: where it came from, and how far each shard's changes had been
/// told when it was sent.
///
/// `origin` names the node and its epoch, sixteen hexadecimal digits; behind it a position for
/// each shard that the stream listens to: `5f2a91c0a1b2c3d4-0.1a4_1.3f`. Clients take it as opaque.
/// A node that finds another origin than its own knows that it can't replay.
public enum EventID {
    public struct Position: Equatable, Sendable, BitwiseCopyable {
        public var shard: Int
        public var seq: UInt64

        public init(shard: Int, seq: UInt64) {
            self.shard = shard
            self.seq = seq
        }
    }

    public struct Parsed: Equatable, Sendable {
        public var origin: UInt64
        public var positions: [Position]

        public init(origin: UInt64, positions: [Position]) {
            self.origin = origin
            self.positions = positions
        }
    }

    private static let originDigits = 16
    private static let shardDigitsMax = 2
    private static let seqDigitsMax = 16
    private static let shardsMax = 256

    /// The most bytes of an id with so many positions.
    @inlinable
    public static func bytesMax(positions: Int) -> Int { 17 + positions * 20 }

    @inlinable
    public static func write(origin: UInt64, into writer: inout ByteWriter) {
        writer.writeHex(origin, digits: 16)
    }

    /// Adds one position behind the origin or another position.
    @inlinable
    public static func write(
        _ shard: Int, _ seq: UInt64, isFirst: Bool, into writer: inout ByteWriter
    ) {
        writer.write(byte: isFirst ? 0x2D : 0x5F)
        writer.write(hex: UInt64(truncatingIfNeeded: shard))
        writer.write(byte: 0x2E)
        writer.write(hex: seq)
    }

    /// Understands an id as `write` writes it; nil for anything else.
    public static func parse(_ text: RawSpan) -> Parsed? {
        guard text.byteCount > originDigits, let origin = hex(text, 0..<originDigits) else {
            return nil
        }
        var parsed = Parsed(origin: origin, positions: [])
        var at = originDigits
        while at < text.byteCount {
            let mark: UInt8 = parsed.positions.isEmpty ? 0x2D : 0x5F
            guard text.byte(at) == mark, parsed.positions.count < shardsMax else { return nil }
            let shardEnd = digitsEnd(text, at + 1)
            guard shardEnd < text.byteCount, text.byte(shardEnd) == 0x2E,
                shardEnd - at - 1 <= shardDigitsMax,
                let shard = hex(text, at + 1..<shardEnd)
            else { return nil }
            let seqEnd = digitsEnd(text, shardEnd + 1)
            guard seqEnd - shardEnd - 1 <= seqDigitsMax,
                let seq = hex(text, shardEnd + 1..<seqEnd)
            else { return nil }
            parsed.positions.append(Position(shard: Int(shard), seq: seq))
            at = seqEnd
        }
        return parsed
    }

    private static func digitsEnd(_ text: RawSpan, _ from: Int) -> Int {
        var at = from
        while at < text.byteCount, isDigit(text.byte(at)) { at += 1 }
        return at
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        byte &- 0x30 < 10 || byte &- 0x61 < 6
    }

    private static func hex(_ text: RawSpan, _ range: Range<Int>) -> UInt64? {
        guard !range.isEmpty else { return nil }
        var value: UInt64 = 0
        for at in range {
            let byte = text.byte(at)
            guard isDigit(byte) else { return nil }
            value = value << 4 | UInt64(ByteScan.hexValue(byte))
        }
        return value
    }
}
