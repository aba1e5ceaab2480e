import Glibc
import Keyspace
import Machine
import Wire

/// The table that was asked for last, by the path as it was written up to the key: `/{t}/key/`.
/// Numbers are never given to another table, so what is remembered stays right.
@safe struct PlainTable: ~Copyable {
    private static let bytesMax = 160

    private let prefix: UnsafeMutableRawPointer
    private var count = 0
    private(set) var number: TableNumber = 0

    init() { unsafe prefix = .allocate(byteCount: Self.bytesMax, alignment: 8) }

    deinit { unsafe prefix.deallocate() }

    /// `path` leads to a key of the table. What stands before the key is remembered, where the key
    /// is found as it was written, at the path's end.
    mutating func remember(
        _ path: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, _ table: TableNumber
    ) {
        let count = path.count - key.count
        guard (8...Self.bytesMax).contains(count), let start = path.baseAddress,
            unsafe key.baseAddress == start + count
        else { return }
        unsafe prefix.copyMemory(from: start, byteCount: count)
        self.count = count
        number = table
    }

    /// Where the key begins in a request that begins with `GET ` and a path to this table; 0: it is
    /// another request.
    @inline(__always)
    func keyPlace(in bytes: UnsafePointer<UInt8>, count available: Int) -> Int {
        guard count > 0, available > count &+ 4,
            unsafe Self.method(of: bytes) == Self.get
        else { return 0 }
        return unsafe keyPlace(behindMethodOf: bytes)
    }

    /// The same for a request that reads a key or writes it: either needs the record.
    @inline(__always)
    func anyKeyPlace(in bytes: UnsafePointer<UInt8>, count available: Int) -> Int {
        guard count > 0, available > count &+ 4 else { return 0 }
        let method = unsafe Self.method(of: bytes)
        guard method == Self.get || method == Self.put else { return 0 }
        return unsafe keyPlace(behindMethodOf: bytes)
    }

    private static var get: UInt32 { 0x2054_4547 }
    private static var put: UInt32 { 0x2054_5550 }

    @inline(__always)
    private static func method(of bytes: UnsafePointer<UInt8>) -> UInt32 {
        unsafe UnsafeRawPointer(bytes).loadUnaligned(as: UInt32.self)
    }

    /// There are enough bytes.
    @inline(__always)
    private func keyPlace(behindMethodOf bytes: UnsafePointer<UInt8>) -> Int {
        let start = unsafe UnsafeRawPointer(bytes)
        var at = 0
        while at < count {
            // The last word overlaps the one before.
            let from = min(at, count &- 8)
            let mine = unsafe prefix.loadUnaligned(fromByteOffset: from, as: UInt64.self)
            if unsafe start.loadUnaligned(fromByteOffset: from &+ 4, as: UInt64.self) != mine {
                return 0
            }
            at &+= 8
        }
        return count &+ 4
    }
}

/// The owner of the record that was read last, whose name needs no escapes. A name is never given up.
@safe struct PlainOwner {
    private(set) var number = UInt32.max
    private(set) var name = unsafe UnsafeRawBufferPointer(start: nil, count: 0)

    /// False: the name is not one to be written as it is.
    mutating func remember(_ number: UInt32, _ owners: OwnerNumbers) -> Bool {
        let name = unsafe owners.name(of: number)
        guard name.count > 0, unsafe LooseText.isWord(name) else { return false }
        self.number = number
        unsafe self.name = unsafe name
        return true
    }
}

/// The reads that nearly all reads are: a key of the table that was asked for last, that is there,
/// for everybody to see. They are answered in one go, right from the bytes of the requests, as many
/// as follow each other; those of another shard's keys are handed on (`Shard+AskedReads`).
///
/// Whatever is not exactly that takes the general way, which gives the same answer
/// (`Tests/ServerTests` compares the two) at three times the cost.
extension Shard {
    /// What the head of such an answer takes at most, with what may be written behind it for a
    /// moment: the template, a length, an ETag.
    private static var headBytesMax: Int { 256 }

    /// Answers the plain reads that the bytes begin with, and says how many bytes they were.
    mutating func answerPlainReads(
        _ index: UInt32, _ bytes: UnsafePointer<UInt8>, count: Int
    ) -> Int {
        var keyAt = unsafe plainTable.keyPlace(in: bytes, count: count)
        let connection = unsafe connections + Int(index)
        let isAlone = unsafe state.pointee.shardCount == 1
        guard keyAt > 0, !acceptsNoMoreRequests,
            unsafe connection.pointee.flags.isDisjoint(
                with: isAlone ? [.diverted, .refused] : .refused)
        else { return 0 }
        // What a transaction over shards holds has to be waited for.
        guard isAlone || !hasHolds else { return 0 }
        let table = plainTable.number
        guard tables[table].readRule == .open else { return 0 }
        let requestsMax = unsafe connection.pointee.turnRequests

        var writer = unsafe ByteWriter(aside, capacity: 0)
        var used = 0
        var served: Int32 = 0
        // Of those served, the ones whose answers are in the writer.
        var written = 0
        let reads = unsafe aheadReads
        answering: while keyAt > 0, served < requestsMax {
            // All of a pipeline's records are asked for before the first of them is needed.
            var asked = 0
            var at = used
            while keyAt > 0, asked < PlainRead.aheadMax, served &+ Int32(asked) < requestsMax {
                let raw = unsafe UnsafeRawBufferPointer(start: bytes + at, count: count &- at)
                guard
                    let (keyEnd, headEnd) = unsafe heads.recallPlainRead(
                        raw.bytes, keyPlace: keyAt, connection: index, limits: settings.limits),
                    keyEnd > keyAt, keyEnd &- keyAt <= Key.bytesMax
                else { break }
                let name = unsafe UnsafeRawBufferPointer(rebasing: raw[keyAt..<keyEnd])
                let hash = unsafe keyspace.hashing.hash(table, name)
                // Field by field: a whole one is copied by a call.
                let read = unsafe reads + asked
                unsafe read.pointee.key = at &+ keyAt
                unsafe read.pointee.keyCount = keyEnd &- keyAt
                unsafe read.pointee.end = at &+ headEnd
                unsafe read.pointee.hash = hash
                asked &+= 1
                if isAlone {
                    // The first of a turn's requests is asked for already.
                    if asked > 1 { keyspace.prepare(hash) }
                } else {
                    let target = unsafe shard(of: name, in: table)
                    unsafe read.pointee.shard = target
                    if target == number { keyspace.prepare(hash) }
                }
                at &+= headEnd
                keyAt = unsafe plainTable.keyPlace(in: bytes + at, count: count &- at)
            }
            guard asked > 0 else { break }
            for place in 0..<asked {
                let read = unsafe reads + place
                if unsafe isAlone || read.pointee.shard == number {
                    unsafe read.pointee.record = unsafe keyspace.fetch(read.pointee.hash)
                }
            }
            for place in 0..<asked {
                let read = unsafe reads + place
                let name = unsafe UnsafeRawBufferPointer(
                    start: bytes + read.pointee.key, count: read.pointee.keyCount)
                if !isAlone, unsafe read.pointee.shard != number {
                    // Its place in the order is behind what was answered before it.
                    if written > 0 {
                        commit(index, writer)
                        tally.answers2xx &+= UInt64(written)
                        written = 0
                    }
                    guard
                        unsafe askRead(
                            index, name, table, hash: read.pointee.hash, of: read.pointee.shard)
                    else { break answering }
                    unsafe used = read.pointee.end
                    served &+= 1
                    continue
                }
                let key = unsafe Key(table, name, hash: read.pointee.hash)
                guard
                    let record = unsafe keyspace.get(key, near: read.pointee.record, at: wallMs),
                    let size = plainSize(record)
                else { break answering }
                // Asked for only now, and for what fits: a block without bytes would be sent so.
                if written == 0 {
                    guard isAlone || hasPlainRoom(index) else { break answering }
                    writer = self.writer(index)
                }
                guard writer.hasRoom(size.total) else { break answering }
                unsafe writePlainReply(
                    record, size, to: UnsafeMutableRawPointer(writer.reserve(size.count)))
                unsafe used = read.pointee.end
                served &+= 1
                written &+= 1
            }
        }
        guard served > 0 else { return 0 }
        unsafe connection.pointee.turnRequests &-= served
        // The time of a head that is still coming is over; the next one has its own.
        if unsafe connection.pointee.deadlineMeaning == .head {
            unsafe connection.pointee.deadlineMeaning = .idle
        }
        if written > 0 {
            tally.answers2xx &+= UInt64(written)
            commit(index, writer)
        }
        return used
    }

    /// Behind what is still awaited from elsewhere answers are laid aside, up to a bound; and what
    /// was committed may have left the block without room.
    private mutating func hasPlainRoom(_ index: UInt32) -> Bool {
        unsafe hasReplyRoom(index)
            && connections[Int(index)].asideBytes < ShardSettings.asideBytesMax
    }

    /// What a plain reply takes.
    struct PlainSize {
        var body: Int
        var digits: Int
        /// The room it needs: some is written over for a moment.
        var total: Int
        /// Set with `okHead` once the head is prepared.
        var count: Int
    }

    /// What a plain reply about the record takes; nil if it is none to be answered so. Prepares the
    /// head of the reply, which `writePlainReply` writes next.
    @inline(__always)
    mutating func plainSize(_ record: Record) -> PlainSize? {
        guard !commitPoint.mustHold(record) else { return nil }
        if plainOwner.number != record.owner.rawValue {
            guard plainOwner.remember(record.owner.rawValue, owners) else { return nil }
        }
        let digits = ByteWriter.decimalDigits(of: record.version)
        guard
            let size = RecordText.plainByteCount(
                record, ownerCount: unsafe plainOwner.name.count, versionDigits: digits),
            size <= BlockPool.blockBytes &- Self.headBytesMax
        else { return nil }
        let headCount = okHead.prepare(contentLength: size)
        return PlainSize(
            body: size, digits: digits, total: size &+ Self.headBytesMax,
            count: headCount &+ EntityTag.fieldBytes &+ digits &+ size)
    }

    /// Writes the reply that was just measured, to `size.total` bytes.
    @unsafe @inline(__always)
    func writePlainReply(
        _ record: Record, _ size: PlainSize, to answer: UnsafeMutableRawPointer
    ) {
        unsafe okHead.copyPrepared(to: answer)
        let headCount = size.count &- EntityTag.fieldBytes &- size.digits &- size.body
        let body = unsafe EntityTag.writeField(
            version: record.version, stamp: record.stamp, to: answer + headCount)
        unsafe RecordText.writePlain(record, owner: plainOwner.name, to: body)
    }
}

/// A read of a pipeline, found and not yet answered: where it lies among the bytes.
struct PlainRead: BitwiseCopyable {
    /// As many are found before the first of them is answered.
    static let aheadMax = 16

    var key: Int
    var keyCount: Int
    var end: Int
    var hash: UInt64
    var record: FetchedRecord
    /// Whose key it is; set on a node of several shards.
    var shard: Int
}
