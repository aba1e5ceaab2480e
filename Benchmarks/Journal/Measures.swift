import Journal
import Keyspace
import Simulation

/// One shard's log: encoding, framing, and replay.
func measureLog(_ count: Int) {
    let disk = SimulatedDisk(seed: 1)
    let epoch = Epoch(node: node, number: 1, salt: 3, shards: 1)
    // A single segment of everything, so that it is the writer that is measured.
    let sizes = LogWriter.Sizes(
        firstBytes: count * 460 + (1 << 20), bytesMax: 1 << 40, growthBytes: 1 << 20)
    let wish = LogWriter.firstSegment(epoch, shard: 0, sizes: sizes)
    guard let file = try? wish.make(disk) else { return }
    var log = LogWriter(wish, file: file, sizes: sizes)
    let key = Words.key(5)
    let value = Words.value(5, bytes: valueBytes)
    key.withUnsafeBytes { key in
        value.withUnsafeBytes { value in
            for turn in [1, 16, 256] {
                var appending = 0.0
                var own = 0
                let before = log.bytesWritten
                let rounds = count / 3 / turn
                for round in 0..<rounds {
                    let from = now()
                    for place in 0..<turn {
                        let record = record(round * turn + place, key, value)
                        _ = log.room(for: record.encodedBytes)
                        log.append(record)
                        own += key.count + value.count
                    }
                    let write = log.pendingWrite()
                    appending += now() - from
                    if let write { try? disk.write(write.file, at: write.offset, write.bytes) }
                    log.wrote()
                }
                let records = Double(rounds * turn)
                print(
                    "log: \(turn) records a turn: \(rounded(appending / records * 1e9)) ns and",
                    "\(rounded(Double(Int(log.bytesWritten - before) - own) / records)) bytes",
                    "a record beyond key and value")
            }
        }
    }
    let manifest = Recovery.none.manifest([], beginning: epoch)
    try? manifest.write(disk)
    guard let recovery = try? Recovery.open(disk) else { return print("log: cannot be opened") }
    let from = now()
    guard let verdicts = try? recovery.examine(disk) else { return print("log: damaged") }
    let examined = now()
    var found = 0
    try? recovery.read(disk, for: 0, of: 1, verdicts: verdicts) { found += $0.value.count / 348 }
    let read = now()
    print(
        "log: replay of \(found) records: examined at",
        "\(rounded(Double(found) / (examined - from) / 1e6, 2)) M/s, read at",
        "\(rounded(Double(found) / (read - examined) / 1e6, 2)) M/s, together",
        "\(rounded(Double(found) / (read - from) / 1e6, 2)) M/s on one core")
}

/// A snapshot of word-like records, by one worker, read by one shard.
func measureSnapshot(_ count: Int) {
    let disk = SimulatedDisk(seed: 1)
    let epoch = Epoch(node: node, number: 1, salt: 3, shards: 1)
    let header = SnapshotHeader(epoch: epoch, number: 1, starts: [0])
    guard let file = try? SnapshotFile(disk, header) else { return }
    let rows = SnapshotRows(shard: 0)
    var adding = 0.0
    var packing = 0.0
    for number in 0..<count {
        let key = Words.key(number)
        let value = Words.value(number, bytes: valueBytes)
        let from = now()
        key.withUnsafeBytes { key in
            value.withUnsafeBytes { value in rows.add(record(number, key, value)) }
        }
        let added = now()
        adding += added - from
        if rows.isFull {
            try? file.add(rows)
            packing += now() - added
        }
    }
    try? file.add(rows)
    try? file.finish(ends: [0])
    try? file.publish()
    var manifest = Recovery.none.manifest([], beginning: epoch)
    manifest = manifest.covered(by: header, firstSegments: [1])
    try? manifest.write(disk)
    if let first = try? LogWriter.firstSegment(epoch, shard: 0).make(disk) { disk.close(first) }
    guard let recovery = try? Recovery.open(disk), let verdicts = try? recovery.examine(disk)
    else { return print("snapshot: cannot be opened") }
    var found = 0
    let from = now()
    try? recovery.read(disk, for: 0, of: 1, verdicts: verdicts) { found += $0.value.count / 348 }
    let took = now() - from
    print(
        "snapshot: \(found) of \(count) records of 10 + \(valueBytes) bytes in",
        "\(rounded(Double(file.bytes) / 1e6, 2)) MB;",
        "rows \(rounded(adding / Double(count) * 1e9)) ns a record,",
        "packed in \(rounded(packing * 1e3)) ms, read in \(rounded(took * 1e3)) ms on one core")
}
