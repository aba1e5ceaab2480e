/// Judges openings made of anything at all: a head that opens a connection has every part that
/// RFC 6455 4.2.1 asks for, when its lines are read in the plainest way.
@_cdecl("LLVMFuzzerTestOneInput")
func fuzzHandshake(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: count))
    guard case .head(let head) = HTTPRequestParser.parse(bytes.span.bytes, limits: HTTPLimits())
    else { return 0 }
    guard case .open(let key) = WebSocketHandshake.judge(head, bytes.span.bytes) else { return 0 }
    let lines = String(decoding: bytes[..<Int(head.headByteCount)], as: UTF8.self)
        .split(separator: "\r\n")
    func values(_ name: String) -> [String] {
        lines.dropFirst().compactMap { line in
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, parts[0].lowercased() == name else { return nil }
            return String(parts[1])
        }
    }
    func demand(_ condition: Bool, _ what: String) {
        if !condition { fatalError(what) }
    }
    let first = lines.first { !$0.isEmpty } ?? ""
    demand(first.hasPrefix("GET ") && !first.hasSuffix("HTTP/1.0"), "not a GET of HTTP/1.1")
    demand(values("upgrade").contains { $0.lowercased().contains("websocket") }, "no protocol")
    demand(values("connection").contains { $0.lowercased().contains("upgrade") }, "no upgrade")
    demand(
        values("sec-websocket-version").map { $0.filter { $0 != " " && $0 != "\t" } } == ["13"],
        "version")
    demand(key.count == 24 && values("sec-websocket-key").count == 1, "no key")
    demand(values("transfer-encoding").isEmpty, "a body")

    let room = UnsafeMutablePointer<UInt8>.allocate(capacity: WebSocketHandshake.acceptBytesMax)
    defer { room.deallocate() }
    var writer = ByteWriter(room, capacity: WebSocketHandshake.acceptBytesMax)
    WebSocketHandshake.writeAccept(key: bytes.span.bytes.slice(key), into: &writer)
    return 0
}
