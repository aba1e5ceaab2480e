/// Ids of events: whatever a client sends back is read or refused; what is read is written again to
/// the same positions. And the flattening of text to one line.
@_cdecl("LLVMFuzzerTestOneInput")
func fuzzTarget(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: count))
    if let parsed = bytes.withUnsafeBytes({ EventID.parse($0.bytes) }) {
        demand(!parsed.positions.isEmpty, "an id without a position")
        let room = UnsafeMutablePointer<UInt8>.allocate(
            capacity: EventID.bytesMax(positions: parsed.positions.count))
        defer { room.deallocate() }
        var writer = ByteWriter(
            room, capacity: EventID.bytesMax(positions: parsed.positions.count))
        EventID.write(origin: parsed.origin, into: &writer)
        for (place, position) in parsed.positions.enumerated() {
            EventID.write(position.shard, position.seq, isFirst: place == 0, into: &writer)
        }
        let again = UnsafeRawBufferPointer(writer.written)
        demand(EventID.parse(again.bytes) == parsed, "another id when written again")
    }
    var flat = bytes
    flat.withUnsafeMutableBytes { EventStream.flatten($0) }
    demand(flat == bytes.map { $0 == 10 || $0 == 13 ? 32 : $0 }, "not one line")
    return 0
}

func demand(_ holds: Bool, _ what: String) {
    if !holds { fatalError(what) }
}
