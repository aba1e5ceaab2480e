import Keyspace

/// One file of a log: what its name and its header say.
///
/// ```
///  0  "ntl-log\n"
///  8  u32  format version
/// 12  u32  bytes of this header, 64
/// 16  u64 × 2  node
/// 32  u64  epoch
/// 40  u64  salt
/// 48  u16  shard, u16 shards
/// 52  u32  sequence: 1, 2, 3… of the shard's segments in this epoch
/// 56  u32  zero
/// 60  u32  CRC-32C of bytes 0..<60
/// ```
public struct Segment: Hashable, Sendable {
    public var epoch: Epoch
    public var shard: Int
    public var sequence: UInt32

    public static let version: UInt32 = 1
    public static let headerBytes = 64
    private static let magic: StaticString = "ntl-log\n"

    public init(_ epoch: Epoch, shard: Int, sequence: UInt32) {
        self.epoch = epoch
        self.shard = shard
        self.sequence = sequence
    }

    public var path: String {
        FileNames.segment(epoch: epoch.number, shard: shard, sequence: sequence)
    }

    /// What a new segment begins with, written and synced before it is used.
    public var header: [UInt8] {
        var maker = ByteMaker()
        maker.put(Segment.magic)
        maker.put(Segment.version)
        maker.put(UInt32(Segment.headerBytes))
        maker.put(epoch.node.high)
        maker.put(epoch.node.low)
        maker.put(epoch.number)
        maker.put(epoch.salt)
        maker.put(UInt16(shard))
        maker.put(UInt16(epoch.shards))
        maker.put(sequence)
        maker.put(UInt32(0))
        maker.seal()
        return maker.bytes
    }

    /// Reads a header that nothing else names; nil when it isn't a sound one of this version.
    init?(reading header: [UInt8]) {
        var taker = ByteTaker(header)
        guard taker.take(Segment.magic), taker.take(UInt32.self) == Segment.version,
            taker.take(UInt32.self) != nil, let high = taker.take(UInt64.self),
            let low = taker.take(UInt64.self), let number = taker.take(UInt64.self),
            let salt = taker.take(UInt64.self), let shard = taker.take(UInt16.self),
            let shards = taker.take(UInt16.self), let sequence = taker.take(UInt32.self),
            shards > 0, shards <= Slot.shardsMax, shard < shards
        else { return nil }
        let epoch = Epoch(
            node: NodeID(high: high, low: low), number: number, salt: salt, shards: Int(shards))
        self.init(epoch, shard: Int(shard), sequence: sequence)
        guard judge(header) == .good else { return nil }
    }

    /// The checksum every frame of this segment begins with. Bytes of another segment, of an
    /// earlier file in the same place, or out of a value, are never valid here.
    var key: UInt32 { checksum(of: header, Segment.headerBytes) }

    enum HeaderVerdict: Equatable { case good, newer, bad }

    /// Whether these are this segment's first bytes.
    func judge(_ header: [UInt8]) -> HeaderVerdict {
        if header == self.header { return .good }
        var taker = ByteTaker(header)
        guard header.count == Segment.headerBytes, taker.take(Segment.magic),
            let version = taker.take(UInt32.self), version > Segment.version
        else { return .bad }
        return .newer
    }
}

/// What one turn of a shard commits: the head of a frame. Records follow, up to its end; between
/// them may stand heads of transaction parts.
///
/// ```
///  0  u32  bytes of the frame, this head included; the highest bit is set in the last frame of a
///          segment that another follows
///  4  u32  CRC-32C of what follows the head, begun with the segment's key
///  8  u64  position of the first change in it
/// 16  u32  how far before that the synced watermark lay when this was written
/// 20  u32  CRC-32C of bytes 0..<20, begun with the segment's key
/// ```
///
/// A frame without records says only how far the log was synced. The next begins at the next
/// multiple of eight. The head has a checksum of its own, so that what it says of the watermark
/// can be believed even where its records were torn.
struct Frame {
    var bytes: Int
    /// The log goes on in the next segment, which was safe on disk before this was written.
    var isLast: Bool
    var sum: UInt32
    var first: CommitPosition
    /// Everything up to here was synced before this frame was written; nil when it doesn't say.
    var watermark: CommitPosition?

    static let headBytes = 24
    /// Beyond any frame: the largest value, in a transaction with room to spare.
    static let bytesMax = 1 << 31
    private static let unknown = UInt32.max
    private static let lastBit: UInt32 = 1 << 31

    @inline(__always)
    static func write(
        _ bytes: Int, first: CommitPosition, watermark: CommitPosition, isLast: Bool, key: UInt32,
        at base: UnsafeMutableRawPointer
    ) {
        let distance = first &- 1 &- watermark
        unsafe base.put(UInt32(truncatingIfNeeded: bytes) | (isLast ? lastBit : 0), at: 0)
        unsafe base.put(checksum(key, base + headBytes, bytes - headBytes), at: 4)
        unsafe base.put(first, at: 8)
        unsafe base.put(
            distance < UInt64(unknown) ? UInt32(truncatingIfNeeded: distance) : unknown, at: 16)
        unsafe base.put(checksum(key, base, 20), at: 20)
    }

    /// The head at `base`, of which `headBytes` can be read; nil when it isn't one.
    @inline(__always)
    static func read(_ base: UnsafeRawPointer, key: UInt32) -> Frame? {
        let opening = unsafe base.get(0, UInt32.self)
        let bytes = Int(opening & ~lastBit)
        guard bytes >= headBytes,
            unsafe checksum(key, base, 20) == base.get(20, UInt32.self)
        else { return nil }
        let first = unsafe base.get(8, UInt64.self)
        let distance = unsafe base.get(16, UInt32.self)
        let isKnown = distance != unknown && UInt64(distance) < first
        return unsafe Frame(
            bytes: bytes, isLast: opening & lastBit != 0, sum: base.get(4, UInt32.self),
            first: first,
            watermark: isKnown ? first - 1 - UInt64(distance) : nil)
    }
}
