/// Reads the same bytes whole, in single bytes and in pieces of a length that the input chooses,
/// and writes what was read out again.
@_cdecl("LLVMFuzzerTestOneInput")
func fuzzRDB(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    let bytes = Array(UnsafeBufferPointer(start: start + 1, count: count - 1))
    let whole = read(bytes, window: bytes.count)
    let pieces = read(bytes, window: 1 + Int(start[0]))
    let single = read(bytes, window: 1)
    if whole != pieces || whole != single { fatalError("\(whole) or \(pieces) or \(single)") }

    var writer = RDBWriter(at: 0)
    for entry in whole.entries {
        if held(entry) > limits.valueBytesMax { fatalError("a value beyond its bound") }
        if entry.key.count > limits.keyBytesMax { fatalError("a key beyond its bound") }
        writer.select(entry.database, records: 1, expiring: 0)
        writer.write(entry)
    }
    writer.end()
    let again = read(writer.drain(), window: 1 << 20)
    if again.entries != whole.entries || again.end != "end" {
        fatalError("\(whole.entries) came back as \(again)")
    }
    return 0
}

private let limits = RDBLimits(valueBytesMax: 4096, keyBytesMax: 64)

private struct Reading: Equatable {
    var entries: [RDBEntry] = []
    var totals = RDBTotals()
    var end = ""
}

private func held(_ entry: RDBEntry) -> Int {
    switch entry.value {
    case .string(let bytes): bytes.count
    case .list(let elements): elements.reduce(0) { $0 + $1.count + 8 }
    }
}

private func read(_ bytes: [UInt8], window: Int) -> Reading {
    var reader = RDBReader(limits: limits)
    var reading = Reading()
    var fed = 0
    while true {
        var step = reader.next()
        if fed < bytes.count, step == .needMore || step == .end {
            let piece = min(window, bytes.count - fed)
            reader.feed(Array(bytes[fed..<fed + piece]))
            fed += piece
            continue
        }
        if step == .needMore { step = reader.finish() }
        switch step {
        case .entry(let entry): reading.entries.append(entry)
        case .damage(let damage):
            if damage.offset > UInt64(bytes.count) { fatalError("damage beyond the file") }
            reading.end = "\(damage)"
            reading.totals = reader.totals
            return reading
        case .end, .needMore:
            reading.end = "end"
            reading.totals = reader.totals
            return reading
        }
    }
}
