import Journal
import Keyspace
import Simulation

let node = NodeID(high: 0x1111_2222_3333_4444, low: 0x5555_6666_7777_8888)

func epoch(_ number: UInt64 = 1, shards: Int = 1, salt: UInt64 = 99) -> Epoch {
    Epoch(node: node, number: number, salt: salt, shards: shards)
}

/// A record with memory of its own, as tests compare them.
struct Sample: Hashable, Sendable, CustomStringConvertible {
    var kind = LogRecord.Kind.updated
    var valueKind = ValueKind.json
    var key = "key"
    var value = "{\"a\":1}"
    var table = "default"
    var contentType = ""
    var stamp: UInt64 = 1 << 20
    var created: UInt64?
    var version: UInt64 = 1
    var expiresAt: Int64 = 0
    var owner = OwnerID(high: 7, low: 9)
    var space: UInt64 = 0
    var term: UInt64 = 0
    var index: UInt64 = 0
    var transaction: UInt64 = 0
    var base: UInt64 = 0
    var splicePlace: UInt32 = 0
    var spliceRemoved: UInt32 = 0
    var spliceCountChange: Int32 = 0

    var description: String { "\(kind) \(table)/\(key) v\(version) \(value.prefix(20))" }

    var slot: UInt16 {
        Array(table.utf8).withUnsafeBytes { table in
            Array(key.utf8).withUnsafeBytes { key in
                Slot.of(key, offset: Slot.offset(Space(rawValue: space), table: table))
            }
        }
    }

    func withRecord<Answer>(_ body: (borrowing LogRecord) -> Answer) -> Answer {
        let slot = slot
        return Array(table.utf8).withUnsafeBytes { table in
            Array(contentType.utf8).withUnsafeBytes { contentType in
                Array(key.utf8).withUnsafeBytes { key in
                    Array(value.utf8).withUnsafeBytes { value in
                        var record = LogRecord()
                        record.kind = kind
                        record.valueKind = valueKind
                        record.slot = slot
                        record.stamp = Stamp(rawValue: stamp)
                        record.created = Stamp(rawValue: created ?? stamp)
                        record.version = version
                        record.expiresAt = expiresAt
                        record.owner = owner
                        record.space = Space(rawValue: space)
                        record.term = term
                        record.index = index
                        record.transaction = transaction
                        record.base = Stamp(rawValue: base)
                        record.splicePlace = splicePlace
                        record.spliceRemoved = spliceRemoved
                        record.spliceCountChange = spliceCountChange
                        record.table = table
                        record.contentType = contentType
                        record.key = key
                        record.value = value
                        return body(record)
                    }
                }
            }
        }
    }

    init() {}

    init(_ number: Int, bytes: Int = 40) {
        key = "key\(number)"
        value =
            "\""
            + String(repeating: Character(UnicodeScalar(97 + UInt8(number % 26))), count: bytes)
            + "\""
        stamp = UInt64(number + 1) << 20
        version = UInt64(number + 1)
    }

    init(_ record: borrowing LogRecord) {
        kind = record.kind
        valueKind = record.valueKind
        key = String(decoding: record.key, as: UTF8.self)
        value = String(decoding: record.value, as: UTF8.self)
        table = String(decoding: record.table, as: UTF8.self)
        contentType = String(decoding: record.contentType, as: UTF8.self)
        stamp = record.stamp.rawValue
        created = record.created == record.stamp ? nil : record.created.rawValue
        version = record.version
        expiresAt = record.expiresAt
        owner = record.owner
        space = record.space.rawValue
        term = record.term
        index = record.index
        transaction = record.transaction
        base = record.base.rawValue
        splicePlace = record.splicePlace
        spliceRemoved = record.spliceRemoved
        spliceCountChange = record.spliceCountChange
        if slot != record.slot { key = "\(key) of slot \(record.slot), not \(slot)" }
    }
}

/// A node's logs and nothing else of it: what the lead actor of these tests writes with.
final class Scribe {
    let disk: SimulatedDisk
    let epoch: Epoch
    var logs: [Log] = []
    static let sizes = LogWriter.Sizes(firstBytes: 4096, bytesMax: 16384, growthBytes: 4096)

    final class Log {
        var writer: LogWriter
        init(_ writer: consuming LogWriter) { self.writer = writer }
    }

    /// Recovers what is there, and begins the next epoch.
    init(_ disk: SimulatedDisk, shards: Int = 1, sizes: LogWriter.Sizes = Scribe.sizes) throws {
        self.disk = disk
        let recovery = try Recovery.open(disk)
        let verdicts = try recovery.examine(disk)
        try recovery.settle(disk, verdicts)
        epoch = Journal.Epoch(
            node: node, number: recovery.nextEpoch, salt: recovery.nextEpoch &* 77, shards: shards)
        for shard in 0..<shards {
            let wish = LogWriter.firstSegment(epoch, shard: shard, sizes: sizes)
            logs.append(Log(LogWriter(wish, file: try wish.make(disk), sizes: sizes)))
        }
        try recovery.manifest(verdicts, beginning: epoch).write(disk)
    }

    /// A turn of a shard: makes room, appends, writes, and lets the next segment be made.
    @discardableResult
    func write(_ samples: [Sample], shard: Int = 0) throws -> CommitPosition {
        for sample in samples { try append(sample, shard: shard) }
        try flush(shard)
        return logs[shard].writer.appended
    }

    func append(_ sample: Sample, shard: Int = 0) throws {
        let bytes = sample.withRecord { $0.encodedBytes }
        switch logs[shard].writer.room(for: bytes) {
        case .ready: break
        case .afterGrowing(let growth):
            try disk.allocate(growth.file, bytes: growth.bytes)
            logs[shard].writer.grown(growth)
        case .refused: throw Refused()
        }
        sample.withRecord { _ = logs[shard].writer.append($0) }
    }

    struct Refused: Error {}

    func flush(_ shard: Int = 0) throws {
        let log = logs[shard]
        while let write = log.writer.pendingWrite() {
            try disk.write(write.file, at: write.offset, write.bytes)
            log.writer.wrote()
        }
        if let wish = log.writer.wantsSegment() {
            log.writer.segmentReady(wish, try wish.make(disk))
        }
        while let trim = log.writer.nextTrim() {
            try disk.truncate(trim.file, bytes: trim.bytes)
            disk.close(trim.file)
        }
    }

    func sync(_ shard: Int = 0) throws {
        guard let sync = logs[shard].writer.beginSync() else { return }
        for number in 0..<sync.files { try disk.sync(logs[shard].writer.syncFile(number)) }
        logs[shard].writer.synced(sync)
    }
}

/// What a recovery hands on, by the shards it was asked for.
func recovered(_ disk: SimulatedDisk, shards: Int = 1) throws -> [[Sample]] {
    let recovery = try Recovery.open(disk)
    let verdicts = try recovery.examine(disk)
    var found: [[Sample]] = []
    for shard in 0..<shards {
        var samples: [Sample] = []
        try recovery.read(disk, for: shard, of: shards, verdicts: verdicts) {
            samples.append(Sample($0))
        }
        found.append(samples)
    }
    return found
}
