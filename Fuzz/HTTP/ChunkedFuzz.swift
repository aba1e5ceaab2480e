/// Decodes the same bytes whole and in pieces whose lengths the input itself chooses.
@_cdecl("LLVMFuzzerTestOneInput")
func fuzzChunked(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count > 2 else { return 0 }
    var limits = HTTPLimits()
    limits.bodyBytesMax = 4096
    limits.chunkExtensionBytesMax = 64
    limits.trailerBytesMax = 128
    let first = Int(start[0])
    let second = Int(start[1])
    let bytes = Array(UnsafeBufferPointer(start: start + 2, count: count - 2))
    let whole = decode(bytes, limits) { _ in bytes.count }
    let pieces = decode(bytes, limits) { $0 % 2 == 0 ? 1 + first % 7 : 1 + second }
    let single = decode(bytes, limits) { _ in 1 }
    if whole != pieces || whole != single { fatalError("\(whole) or \(pieces) or \(single)") }
    if whole.body.count > 4096 { fatalError("a body beyond its bound") }
    return 0
}

private struct Decoded: Equatable {
    var body: [UInt8] = []
    /// How it ended, and after how many bytes if it did.
    var end = "more"
}

private func decode(
    _ bytes: [UInt8], _ limits: HTTPLimits, _ pieceLength: (Int) -> Int
) -> Decoded {
    var decoder = HTTPChunkedDecoder()
    var decoded = Decoded()
    var from = 0
    var piece = 0
    while from < bytes.count {
        let end = min(bytes.count, from + max(1, pieceLength(piece)))
        piece += 1
        reading: while true {
            let exact = UnsafeMutableRawBufferPointer.allocate(byteCount: end - from, alignment: 1)
            defer { exact.deallocate() }
            exact.copyBytes(from: bytes[from..<end])
            let span = UnsafeRawBufferPointer(exact).bytes
            switch decoder.decode(span, limits: limits) {
            case .needMore:
                from = end
                break reading
            case .data(let start, let count):
                if count == 0 || start + count > end - from { fatalError("data beyond its bytes") }
                decoded.body += bytes[(from + start)..<(from + start + count)]
                from += start + count
            case .end(let consumed):
                decoded.end = "end after \(from + consumed)"
                return decoded
            case .violation(let violation):
                decoded.end = "\(violation)"
                return decoded
            }
        }
    }
    return decoded
}
