public import Keyspace

/// The end of a transaction, in the log of the shard that coordinated it. Records carry the
/// transaction's id as they are made; they count if there is this end of it, and every log reaches
/// what it says.
///
/// ```
///  0  u32  bytes of this record
///  4  u8   8, where records have their kind
///  5  u8   other participants
///  6  u16  zero
///  8  u64  the transaction: unique within the epoch, and never 0
/// 16  u64  zero
///     of each other participant: u64 the position of its last record, u64 its shard
/// ```
///
/// It takes a position, so that what tells of the transaction can wait for it.
public struct TransactionEnd: Hashable, Sendable {
    public struct Participant: Hashable, Sendable {
        public var shard: Int
        /// The position of the last record of the transaction in this shard's log.
        public var last: CommitPosition

        public init(shard: Int, last: CommitPosition) {
            self.shard = shard
            self.last = last
        }
    }

    public var id: UInt64
    /// The other shards that have records of it. Those in the same log come before this one.
    public var others: [Participant]

    public init(id: UInt64, others: [Participant] = []) {
        self.id = id
        self.others = others
    }

    static let kind: UInt8 = 8
    /// What one takes with no other participants.
    public static let fixedBytes = 24
    private static let participantBytes = 16

    public static func bytes(others count: Int) -> Int { fixedBytes + count * participantBytes }

    var encodedBytes: Int { TransactionEnd.bytes(others: others.count) }

    func encode(at base: UnsafeMutableRawPointer) {
        unsafe base.put(UInt32(encodedBytes), at: 0)
        unsafe base.put(TransactionEnd.kind, at: 4)
        unsafe base.put(UInt8(others.count), at: 5)
        unsafe base.put(UInt16(0), at: 6)
        unsafe base.put(id, at: 8)
        unsafe base.put(UInt64(0), at: 16)
        var offset = TransactionEnd.fixedBytes
        for other in others {
            unsafe base.put(other.last, at: offset)
            unsafe base.put(UInt64(other.shard), at: offset + 8)
            offset += TransactionEnd.participantBytes
        }
    }

    /// Nil when the bytes are none.
    static func decode(_ bytes: UnsafeRawBufferPointer) -> TransactionEnd? {
        guard let base = bytes.baseAddress, bytes.count >= fixedBytes,
            unsafe base.get(4, UInt8.self) == kind, unsafe base.get(6, UInt16.self) == 0,
            unsafe base.get(16, UInt64.self) == 0
        else { return nil }
        let count = unsafe Int(base.get(5, UInt8.self))
        guard bytes.count == fixedBytes + count * participantBytes else { return nil }
        var end = unsafe TransactionEnd(id: base.get(8, UInt64.self))
        end.others.reserveCapacity(count)
        for place in 0..<count {
            let offset = fixedBytes + place * participantBytes
            let shard = unsafe base.get(offset + 8, UInt64.self)
            guard shard < UInt64(Slot.shardsMax) else { return nil }
            end.others.append(
                Participant(shard: Int(shard), last: unsafe base.get(offset, UInt64.self)))
        }
        return end
    }
}

/// What one log says of transactions, gathered while it is examined: their numbers only, so that
/// even a log of nothing else takes an eighth of its size.
struct TransactionsSeen: Sendable {
    /// Those that have records in this log, a few times perhaps.
    private(set) var begun: [UInt64] = []
    /// Of each that ended here: its id, how many other participants, and of each of those the shard
    /// and the position of its last record.
    private var ended: [UInt64] = []

    mutating func note(_ record: borrowing LogRecord) {
        guard record.transaction != 0, record.transaction != begun.last else { return }
        begun.append(record.transaction)
    }

    mutating func note(_ end: TransactionEnd) {
        ended.append(end.id)
        ended.append(UInt64(end.others.count))
        for other in end.others {
            ended.append(UInt64(other.shard))
            ended.append(other.last)
        }
    }

    /// Those that ended here whose every part is there.
    private func whole(_ reaches: (Int, CommitPosition) -> Bool) -> [UInt64] {
        var whole: [UInt64] = []
        var place = 0
        while place < ended.count {
            let id = ended[place]
            let count = Int(ended[place + 1])
            place += 2
            var isWhole = true
            for _ in 0..<count {
                isWhole = reaches(Int(ended[place]), ended[place + 1]) && isWhole
                place += 2
            }
            if isWhole { whole.append(id) }
        }
        return whole
    }

    /// The transactions of an epoch that have records, but not all of them, or no end: few, as those
    /// are what was under way when the run ended.
    static func undone(_ verdicts: [LogSource.Verdict]) -> Set<UInt64> {
        var whole: [UInt64] = []
        for verdict in verdicts {
            whole += verdict.transactions.whole { shard, last in
                shard < verdicts.count && verdicts[shard].last >= last
            }
        }
        whole.sort()
        var undone: Set<UInt64> = []
        for verdict in verdicts {
            var next = 0
            for id in verdict.transactions.begun.sorted() {
                while next < whole.count, whole[next] < id { next += 1 }
                if next == whole.count || whole[next] != id { undone.insert(id) }
            }
        }
        return undone
    }
}

/// How a log said in the first of its formats which records belong to a transaction: a head before
/// them, in the same frame. Logs with it are read for ever; none is written any more.
///
/// ```
///  0  u32  bytes of this head
///  4  u8   6, where records have their kind
///  5  u8   participants
///  6  u16  zero
///  8  u64  the transaction: unique within the epoch
/// 16  u32  how many records follow that belong to it
/// 20  u32  zero
///     of each participant: u64 the position its part begins at, u16 shard, 6 zero bytes
/// ```
public struct TransactionPart: Hashable, Sendable {
    public struct Participant: Hashable, Sendable {
        public var shard: Int
        /// The position of the first record of this shard's part. A log that reaches it has the
        /// part, and all of it: a part lies within one frame.
        public var begins: CommitPosition

        public init(shard: Int, begins: CommitPosition) {
            self.shard = shard
            self.begins = begins
        }
    }

    public var id: UInt64
    /// All shards that have a part, this one included.
    public var participants: [Participant]

    public init(id: UInt64, participants: [Participant]) {
        self.id = id
        self.participants = participants
    }

    static let kind: UInt8 = 6
    static let fixedBytes = 24
    static let participantBytes = 16
    public static let participantsMax = Slot.shardsMax

    /// Reads a head and how many records belong to it; nil when the bytes are none.
    static func decode(_ bytes: UnsafeRawBufferPointer) -> (TransactionPart, records: Int)? {
        guard let base = bytes.baseAddress, bytes.count >= fixedBytes,
            unsafe base.get(4, UInt8.self) == kind, unsafe base.get(6, UInt16.self) == 0,
            unsafe base.get(20, UInt32.self) == 0
        else { return nil }
        let count = unsafe Int(base.get(5, UInt8.self))
        guard count > 0, count <= participantsMax,
            bytes.count == fixedBytes + count * participantBytes
        else { return nil }
        var part = unsafe TransactionPart(id: base.get(8, UInt64.self), participants: [])
        part.participants.reserveCapacity(count)
        for place in 0..<count {
            let offset = fixedBytes + place * participantBytes
            let shard = unsafe base.get(offset + 8, UInt64.self)
            guard shard < UInt64(Slot.shardsMax) else { return nil }
            part.participants.append(
                Participant(shard: Int(shard), begins: unsafe base.get(offset, UInt64.self)))
        }
        return (part, unsafe Int(base.get(16, UInt32.self)))
    }
}
