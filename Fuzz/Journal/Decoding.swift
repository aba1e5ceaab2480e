import CZstd
import Keyspace
import Simulation

@testable import Journal

/// What the three targets share: a small directory that is sound, of which one file is replaced.
/// Whatever that file holds, reading ends with records or with a refusal: it never traps, reads
/// past its end, or takes long.
struct Directory {
    let disk: SimulatedDisk

    /// Two shards, a snapshot, segments behind it.
    init() {
        disk = SimulatedDisk(seed: 1)
        let epoch = Epoch(node: NodeID(high: 1, low: 2), number: 1, salt: 3, shards: 2)
        var starts = Recovery.none.manifest([], beginning: epoch)
        let rows = SnapshotRows(shard: 0)
        Self.withRecord { rows.add($0) }
        do {
            for shard in 0..<2 {
                let wish = LogWriter.firstSegment(epoch, shard: shard, sizes: Self.sizes)
                var log = LogWriter(wish, file: try wish.make(disk), sizes: Self.sizes)
                Self.withRecord { log.append($0) }
                while let write = log.pendingWrite() {
                    try disk.write(write.file, at: write.offset, write.bytes)
                    log.wrote()
                }
                let trim = log.lastTrim
                try disk.truncate(trim.file, bytes: trim.bytes)
            }
            let file = try SnapshotFile(
                disk, SnapshotHeader(epoch: epoch, number: 1, starts: [0, 0]))
            try file.add(rows)
            try file.finish(ends: [0, 0])
            try file.publish()
            starts = starts.covered(by: file.header, firstSegments: [1, 1])
            try starts.write(disk)
        } catch { fatalError("\(error)") }
    }

    /// A segment whose one frame, sound by its checksums, holds these bytes.
    func segment(framing bytes: [UInt8]) -> [UInt8] {
        let epoch = Epoch(node: NodeID(high: 1, low: 2), number: 1, salt: 3, shards: 2)
        let segment = Segment(epoch, shard: 0, sequence: 1)
        var frame = [UInt8](repeating: 0, count: Frame.headBytes) + bytes
        frame.withUnsafeMutableBytes {
            Frame.write(
                $0.count, first: 1, watermark: 0, isLast: false, key: segment.key,
                at: $0.baseAddress!)
        }
        return segment.header + frame
    }

    /// A snapshot whose one block, sound by its checksums, unpacks to these bytes.
    func snapshot(packing bytes: [UInt8], records: Int) -> [UInt8] {
        let epoch = Epoch(node: NodeID(high: 1, low: 2), number: 1, salt: 3, shards: 2)
        let header = SnapshotHeader(epoch: epoch, number: 1, starts: [0, 0])
        var packed = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
        packed.removeLast(
            packed.count - ZSTD_compress(&packed, packed.count, bytes, bytes.count, 1))
        var head = ByteMaker()
        head.put(SnapshotBlock.magic)
        head.put(UInt32(SnapshotBlock.headBytes + packed.count))
        head.put(UInt32(bytes.count))
        head.put(UInt32(records))
        head.put(UInt32(0))
        let sum = checksum(checksum(header.key, of: head.bytes, 20), of: packed, packed.count)
        head.put(sum)
        let block = head.bytes + packed
        var footer = SnapshotFooter()
        footer.blocks = [
            SnapshotFooter.Block(
                offset: UInt64(header.bytes.count), bytes: UInt32(block.count),
                rawBytes: UInt32(bytes.count), records: UInt32(records), shard: 0)
        ]
        footer.ends = [0, 0]
        let body = header.bytes + block
        return body + footer.bytes(at: body.count, key: header.key)
    }

    /// A manifest sound by its checksum.
    func manifest(sealing bytes: [UInt8]) -> [UInt8] {
        var maker = ByteMaker()
        for byte in disk.contents(of: FileNames.manifest).prefix(28) { maker.put(byte) }
        for byte in bytes { maker.put(byte) }
        maker.seal()
        return maker.bytes
    }

    static let sizes = LogWriter.Sizes(firstBytes: 4096, bytesMax: 4096, growthBytes: 4096)

    static func withRecord(_ body: (borrowing LogRecord) -> Void) {
        let key = Array("key".utf8)
        let value = Array("{\"a\":\"words and words and words and words and words\"}".utf8)
        key.withUnsafeBytes { key in
            value.withUnsafeBytes { value in
                var record = LogRecord()
                record.key = key
                record.value = value
                record.table = key
                record.owner = OwnerID(high: 5, low: 6)
                body(record)
            }
        }
    }

    /// Puts what is read into a keyspace, lists by what was done to them.
    private func replay(_ disk: SimulatedDisk) {
        var settings = Keyspace.Settings(seed: 1)
        settings.segmentBytes = 64 << 10
        settings.addressBytes = 16 << 20
        settings.tombstonesMax = 64
        guard let recovery = try? Recovery.open(disk), let verdicts = try? recovery.examine(disk)
        else { return }
        do {
            var keyspace = try Keyspace.make(settings)
            let hashing = keyspace.hashing
            var replay = Replay()
            try recovery.read(
                disk, for: 0, of: 1, verdicts: verdicts,
                passedOver: {
                    replay.passOver($0, Key(0, $0.key, hashing), owner: .anonymous, at: 0)
                }
            ) { record in
                guard record.key.count > 0 else { return }
                let key = Key(0, record.key, hashing)
                _ = replay.take(copy record, key, owner: .anonymous, at: 0, into: &keyspace)
            }
            keyspace.audit()
        } catch {
            // A refusal is an answer.
        }
    }

    /// Reads the directory with these bytes at a path, as a start would and as a check does.
    func read(_ path: String, _ bytes: [UInt8]) {
        let bent = disk.copy()
        bent.place(path, bytes)
        var sum = 0
        replay(bent)
        if let recovery = try? Recovery.open(bent), let verdicts = try? recovery.examine(bent) {
            for shard in 0..<3 {
                try? recovery.read(
                    bent, for: shard, of: 3, verdicts: verdicts,
                    passedOver: { sum &+= $0.value.count }
                ) {
                    sum &+= $0.key.reduce(0) { $0 &+ Int($1) }
                    sum &+= $0.value.reduce(0) { $0 &+ Int($1) }
                    sum &+= $0.table.count &+ $0.contentType.count
                }
            }
        }
        guard let salvage = try? Salvage(bent) else { return }
        let other = SimulatedDisk(seed: 2)
        try? salvage.write(from: bent, into: other)
        // What was salvaged is sound, whatever it came from.
        if !other.paths.isEmpty, let again = try? Salvage(other), !again.report.isSound {
            fatalError("\(again.report.damage) in what was salvaged from \(salvage.report.damage)")
        }
    }
}
