/// Feeds the request parser anything at all, and holds its answers against a slow and plain
/// reading of the same bytes.
@_cdecl("LLVMFuzzerTestOneInput")
func fuzzHead(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count > 0 else { return 0 }
    var limits = HTTPLimits()
    if start[0] & 1 == 1 {
        limits.headBytesMax = 96
        limits.headerCountMax = 4
        limits.targetBytesMax = 24
        limits.bodyBytesMax = 99
    }
    let bytes = Array(UnsafeBufferPointer(start: start + 1, count: count - 1))
    let whole = verdict(bytes[...], limits)
    holdsForPrefixes(bytes, whole, limits)
    if case .head(let head) = whole { holdsForHead(head, bytes, limits) }
    holdsForMemo(bytes)
    return 0
}

/// What was remembered of earlier inputs, all under the same limits.
nonisolated(unsafe) private var memo = HTTPHeadMemo()

/// What is recalled is what the parser says, and what the parser says can be recalled.
private func holdsForMemo(_ bytes: [UInt8]) {
    let limits = HTTPLimits()
    let exact = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { exact.deallocate() }
    exact.copyBytes(from: bytes)
    let span = UnsafeRawBufferPointer(exact).bytes
    var recalled = HTTPRequestHead()
    let isKnown = memo.recall(span, connection: 0, limits: limits, into: &recalled)
    guard case .head(let head) = HTTPRequestParser.parse(span, limits: limits) else {
        return demand(!isKnown, "recalled what is no head")
    }
    memo.remember(span, connection: 0, head)
    guard isKnown else { return }
    demand(
        recalled.headByteCount == head.headByteCount && recalled.path == head.path
            && recalled.body == head.body && recalled.keepAlive == head.keepAlive
            && recalled.method == head.method && recalled.minorVersion == head.minorVersion
            && recalled.fieldsStart == head.fieldsStart
            && recalled.expectsContinue == head.expectsContinue,
        "recalled another head")
    for (field, name) in names {
        demand(recalled.range(field) == head.range(field), "recalled another \(name)")
        demand(recalled.isRepeated(field) == head.isRepeated(field), "recalled \(name) again")
    }
}

/// Parses a copy that ends where its memory ends: a read past the end is a finding.
private func verdict(_ bytes: ArraySlice<UInt8>, _ limits: HTTPLimits) -> HTTPHeadParsed {
    let exact = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { exact.deallocate() }
    exact.copyBytes(from: bytes)
    return HTTPRequestParser.parse(UnsafeRawBufferPointer(exact).bytes, limits: limits)
}

private func demand(_ condition: Bool, _ what: String) {
    if !condition { fatalError(what) }
}

/// Each prefix waits for more or has the verdict of the whole, and from some length on the latter.
private func holdsForPrefixes(
    _ bytes: [UInt8], _ whole: HTTPHeadParsed, _ limits: HTTPLimits
) {
    let step = max(1, bytes.count / 64)
    var decided = false
    for length in stride(from: 0, to: bytes.count, by: step) {
        switch (verdict(bytes[..<length], limits), whole) {
        case (.needMore, _): demand(!decided, "waits again after a verdict")
        case (.violation(let early), .violation(let late)):
            demand(early == late, "another violation at \(length)")
            decided = true
        case (.head(let early), .head(let late)):
            demand(early.headByteCount == late.headByteCount, "another head at \(length)")
            demand(length >= Int(early.headByteCount), "a head before its end")
            decided = true
        default: fatalError("another kind of verdict at \(length)")
        }
    }
}

/// What a head says is what its lines say when they are split at every CRLF.
private func holdsForHead(_ head: HTTPRequestHead, _ bytes: [UInt8], _ limits: HTTPLimits) {
    let end = Int(head.headByteCount)
    demand(end <= bytes.count && end <= limits.headBytesMax, "a head beyond its bytes")
    var lines = split(bytes[..<end])
    while lines.first?.isEmpty == true { lines.removeFirst() }
    demand(lines.count >= 2 && lines.last!.isEmpty, "a head without its empty line")
    lines.removeLast()
    for line in lines {
        demand(!line.isEmpty, "an empty line inside of a head")
        demand(!line.contains { $0 < 32 && $0 != 9 || $0 == 127 }, "a control character")
    }

    let parts = lines[0].split(separator: 32, omittingEmptySubsequences: false)
    demand(parts.count == 3, "a request line of other than three parts")
    demand(parts[2].starts(with: Array("HTTP/1.".utf8)) && parts[2].count == 8, "the version")
    inside(head.path, parts[1], head.target == .absolute)
    inside(head.query, parts[1], !head.hasQuery)
    demand(parts[1].count <= limits.targetBytesMax, "a target beyond its bound")

    var named: [(name: String, value: ArraySlice<UInt8>)] = []
    for line in lines.dropFirst() {
        guard let colon = line.firstIndex(of: 58) else { fatalError("a line without a colon") }
        let name = line[..<colon]
        demand(!name.isEmpty && !name.contains(where: isSeparator), "a name that is no token")
        named.append(
            (String(decoding: name, as: UTF8.self).lowercased(), trimmed(line[(colon + 1)...])))
    }
    demand(named.count <= limits.headerCountMax, "too many fields")
    for (field, name) in names {
        let values = named.filter { $0.name == name }.map(\.value)
        if field == .host, head.target == .absolute { continue }
        demand(head.has(field) == !values.isEmpty, "\(name) is there for one reader only")
        demand(head.isRepeated(field) == (values.count > 1), "\(name) is repeated for one reader")
        guard let first = values.first, let range = head.range(field) else { continue }
        demand(Array(bytes[Int(range.start)..<Int(range.end)]) == Array(first), "value of \(name)")
    }
    demand(named.filter { $0.name == "host" }.count <= 1, "two hosts")
    demand(head.minorVersion == 0 || named.contains { $0.name == "host" }, "no host")
    switch head.body {
    case .chunked: demand(!named.contains { $0.name == "content-length" }, "length and coding")
    case .length(let length):
        let value = named.filter { $0.name == "content-length" }
        demand(value.count == 1 && !head.has(.transferEncoding), "length and coding")
        demand(UInt64(String(decoding: value[0].value, as: UTF8.self)) == length, "the length")
        demand(length <= limits.bodyBytesMax, "a body beyond its bound")
    case .none:
        demand(!head.has(.contentLength) && !head.has(.transferEncoding), "a body unseen")
    }

    var walk = head.fieldLines
    var walked = 0
    while let line = walk.next(in: bytes.span.bytes) {
        let value = bytes[Int(line.value.start)..<Int(line.value.end)]
        demand(Array(value) == Array(named[walked].value), "a walked line")
        walked += 1
    }
    demand(walked == named.count, "lines left out")
}

private func split(_ bytes: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
    var lines: [ArraySlice<UInt8>] = []
    var start = bytes.startIndex
    var index = start
    while index + 1 < bytes.endIndex {
        if bytes[index] == 13, bytes[index + 1] == 10 {
            lines.append(bytes[start..<index])
            index += 2
            start = index
        } else {
            index += 1
        }
    }
    demand(start == bytes.endIndex, "a head that does not end with a line")
    return lines
}

private func inside(_ range: ByteRange, _ part: ArraySlice<UInt8>, _ excused: Bool) {
    if excused, range.count <= 1 { return }
    demand(
        Int(range.start) >= part.startIndex && Int(range.end) <= part.endIndex,
        "a part outside of the target")
}

private func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var bytes = bytes
    while let first = bytes.first, first == 32 || first == 9 { bytes.removeFirst() }
    while let last = bytes.last, last == 32 || last == 9 { bytes.removeLast() }
    return bytes
}

private func isSeparator(_ byte: UInt8) -> Bool {
    byte <= 32 || byte >= 127 || Array("\"(),/:;<=>?@[\\]{}".utf8).contains(byte)
}

private let names: [(HTTPKnownField, String)] = [
    (.host, "host"), (.contentLength, "content-length"), (.connection, "connection"),
    (.transferEncoding, "transfer-encoding"), (.expect, "expect"),
    (.authorization, "authorization"), (.xAPIKey, "x-api-key"), (.contentType, "content-type"),
    (.accept, "accept"), (.origin, "origin"), (.ifMatch, "if-match"),
    (.ifNoneMatch, "if-none-match"), (.upgrade, "upgrade"), (.forwarded, "forwarded"),
    (.userAgent, "user-agent"), (.lastEventID, "last-event-id"),
]
