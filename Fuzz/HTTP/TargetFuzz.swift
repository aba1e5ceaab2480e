/// Percent-decoding, and the walks over a path's segments and a query's items.
@_cdecl("LLVMFuzzerTestOneInput")
func fuzzTarget(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: count))
    let encoded = encode(bytes)
    demand(decode(encoded, .path) == bytes, "encoded and decoded as a path")
    demand(decode(encoded, .query) == bytes, "encoded and decoded as a query")
    let path = decode(bytes, .path)
    if let path { demand(decode(encode(path), .path) == path, "decoded, encoded, decoded") }

    // A query is a path whose plus signs are spaces.
    var spaced: [UInt8] = []
    for byte in bytes { spaced += byte == 0x2B ? Array("%20".utf8) : [byte] }
    demand(decode(bytes, .query) == decode(spaced, .path), "a query as a path")
    demand(path == plainly(bytes), "decoded by another reader")

    let range = ByteRange(start: 0, count: UInt32(count))
    var segments = PathSegments(range)
    var joined: [UInt8] = Array(bytes.prefix(1))
    while let segment = segments.next(in: bytes.span.bytes) {
        if joined.count > 1 || segment.start > 1 { joined.append(0x2F) }
        joined += bytes[Int(segment.start)..<Int(segment.end)]
    }
    demand(joined == bytes, "segments that don't make the path")

    var items = QueryItems(range)
    var before = 0
    while let item = items.next(in: bytes.span.bytes) {
        demand(Int(item.name.start) >= before && item.value.end <= range.end, "an item outside")
        let name = bytes[Int(item.name.start)..<Int(item.name.end)]
        let value = bytes[Int(item.value.start)..<Int(item.value.end)]
        demand(!name.contains(0x26) && !name.contains(0x3D), "a name of two items")
        demand(!value.contains(0x26), "a value of two items")
        demand(bytes[before..<Int(item.name.start)].allSatisfy { $0 == 0x26 }, "an item left out")
        before = Int(item.value.end)
    }
    demand(bytes[before...].allSatisfy { $0 == 0x26 }, "the last items left out")
    return 0
}

private func demand(_ condition: Bool, _ what: String) {
    if !condition { fatalError(what) }
}

private func decode(_ bytes: [UInt8], _ part: Percent.Part) -> [UInt8]? {
    let room = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes.count)
    defer { room.deallocate() }
    var writer = ByteWriter(room, capacity: bytes.count)
    guard Percent.decode(bytes.span.bytes, as: part, into: &writer) != nil else { return nil }
    return Array(writer.written)
}

private func encode(_ bytes: [UInt8]) -> [UInt8] {
    let room = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes.count * 3)
    defer { room.deallocate() }
    var writer = ByteWriter(room, capacity: bytes.count * 3)
    Percent.encode(bytes.span.bytes, into: &writer)
    return Array(writer.written)
}

private func plainly(_ bytes: [UInt8]) -> [UInt8]? {
    let digits = Array("0123456789abcdefABCDEF".utf8)
    var decoded: [UInt8] = []
    var rest = bytes[...]
    while let byte = rest.popFirst() {
        guard byte == 0x25 else {
            decoded.append(byte)
            continue
        }
        let pair = rest.prefix(2)
        guard pair.count == 2, pair.allSatisfy(digits.contains) else { return nil }
        decoded.append(UInt8(String(decoding: pair, as: UTF8.self), radix: 16)!)
        rest = rest.dropFirst(2)
    }
    return decoded
}
