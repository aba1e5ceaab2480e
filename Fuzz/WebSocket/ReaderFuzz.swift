/// Reads the same bytes whole and in pieces whose lengths the input itself chooses, and holds what
/// is heard against a slow and plain reading of the frames.
@_cdecl("LLVMFuzzerTestOneInput")
func fuzzReader(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count > 3 else { return 0 }
    let messageBytesMax = Int(start[0]) * 4
    let first = Int(start[1])
    let second = Int(start[2])
    let bytes = Array(UnsafeBufferPointer(start: start + 3, count: count - 3))
    let whole = heard(bytes, messageBytesMax) { _ in bytes.count }
    let pieces = heard(bytes, messageBytesMax) { $0 % 2 == 0 ? 1 + first % 9 : 1 + second }
    let single = heard(bytes, messageBytesMax) { _ in 1 }
    if whole != pieces || whole != single { fatalError("\(whole) or \(pieces) or \(single)") }
    let plain = plainly(bytes, messageBytesMax)
    if whole != plain { fatalError("\(whole) but plainly \(plain)") }
    return 0
}

private enum Saying: Equatable {
    case message(isText: Bool, [UInt8])
    case ping([UInt8])
    case pong([UInt8])
    case close(UInt16?, [UInt8])
    case violation(WebSocketCode)
}

private func heard(
    _ bytes: [UInt8], _ messageBytesMax: Int, _ pieceLength: (Int) -> Int
) -> [Saying] {
    var reader = WebSocketReader()
    var sayings: [Saying] = []
    var message: [UInt8] = []
    var from = 0
    var end = 0
    var piece = 0
    while end < bytes.count {
        end = min(bytes.count, end + max(1, pieceLength(piece)))
        piece += 1
        reading: while true {
            // A copy that ends where its memory ends: a read past the end is a finding.
            let exact = UnsafeMutableRawBufferPointer.allocate(byteCount: end - from, alignment: 1)
            defer { exact.deallocate() }
            exact.copyBytes(from: bytes[from..<end])
            func taken(_ range: ByteRange) -> [UInt8] {
                Array(exact[Int(range.start)..<Int(range.end)])
            }
            switch reader.read(exact, messageBytesMax: messageBytesMax) {
            case .needMore:
                if end - from >= WebSocketReader.unreadBytesMax { fatalError("keeps too much") }
                if !exact.elementsEqual(bytes[from..<end]) { fatalError("touched what it keeps") }
                break reading
            case .part(let part):
                if part.isFirst, !message.isEmpty { fatalError("first twice") }
                message += taken(part.payload)
                if message.count > messageBytesMax { fatalError("a message beyond its bound") }
                from += part.consumed
                guard part.isLast else { continue }
                sayings.append(.message(isText: part.isText, message))
                message = []
            case .ping(let payload, let consumed):
                sayings.append(.ping(taken(payload)))
                from += consumed
            case .pong(let payload, let consumed):
                sayings.append(.pong(taken(payload)))
                from += consumed
            case .close(let code, let reason, let consumed):
                sayings.append(.close(code?.rawValue, taken(reason)))
                from += consumed
            case .violation(let violation):
                return sayings + [.violation(violation.code)]
            }
        }
    }
    return sayings
}

/// RFC 6455 5.2, frame by frame, with arrays and no thought of speed.
private func plainly(_ bytes: [UInt8], _ messageBytesMax: Int) -> [Saying] {
    var sayings: [Saying] = []
    var at = 0
    var message: (isText: Bool, bytes: [UInt8])? = nil
    while at < bytes.count {
        let first = bytes[at]
        let opcode = first & 15
        let isFinal = first >= 128
        let wrong = Saying.violation(.protocolError)
        if first & 0x70 != 0 { return sayings + [wrong] }
        switch opcode {
        case 0 where message == nil: return sayings + [wrong]
        case 1 where message != nil, 2 where message != nil: return sayings + [wrong]
        case 0, 1, 2: break
        case 8 where isFinal, 9 where isFinal, 10 where isFinal: break
        default: return sayings + [wrong]
        }
        guard at + 1 < bytes.count else { return sayings }
        if bytes[at + 1] < 128 { return sayings + [wrong] }
        var length = UInt64(bytes[at + 1] & 127)
        let isControl = opcode >= 8
        if isControl, length > 125 { return sayings + [wrong] }
        if opcode == 8, length == 1 { return sayings + [wrong] }
        var head = at + 2
        if length >= 126 {
            let digits = length == 126 ? 2 : 8
            if digits == 8, head < bytes.count, bytes[head] >= 128 { return sayings + [wrong] }
            guard head + digits <= bytes.count else { return sayings }
            length = bytes[head..<head + digits].reduce(0) { $0 << 8 | UInt64($1) }
            head += digits
            if length < (digits == 2 ? 126 : 65536) { return sayings + [wrong] }
        }
        if !isControl {
            let before = opcode == 0 ? message!.bytes.count : 0
            if length > UInt64(messageBytesMax - before) {
                return sayings + [.violation(.tooLarge)]
            }
        }
        guard head + 4 <= bytes.count else { return sayings }
        let here = min(bytes.count - head - 4, Int(length))
        let payload = (0..<here).map { bytes[head + 4 + $0] ^ bytes[head + $0 % 4] }
        let isWhole = here == Int(length)
        at = head + 4 + here
        if isControl {
            guard isWhole else { return sayings }
            switch opcode {
            case 9: sayings.append(.ping(payload))
            case 10: sayings.append(.pong(payload))
            default:
                guard payload.count >= 2 else {
                    sayings.append(.close(nil, []))
                    continue
                }
                let code = UInt16(payload[0]) << 8 | UInt16(payload[1])
                let isKnown =
                    (1000...1014).contains(code) && ![1004, 1005, 1006].contains(code)
                    || (3000...4999).contains(code)
                if !isKnown { return sayings + [wrong] }
                let reason = Array(payload[2...])
                if String(validating: reason, as: UTF8.self) == nil {
                    return sayings + [.violation(.invalidText)]
                }
                sayings.append(.close(code, reason))
            }
            continue
        }
        var (isText, all) = message ?? (opcode == 1, [])
        all += payload
        if isText, isHopeless(all, isEnd: isWhole && isFinal) {
            return sayings + [.violation(.invalidText)]
        }
        guard isWhole else { return sayings }
        message = isFinal ? nil : (isText, all)
        if isFinal { sayings.append(.message(isText: isText, all)) }
    }
    return sayings
}

/// Whether no text begins like this: also none of the ways to go on for three bytes makes it text.
private func isHopeless(_ bytes: [UInt8], isEnd: Bool) -> Bool {
    if String(validating: bytes, as: UTF8.self) != nil { return false }
    if isEnd { return true }
    for second in [0x80, 0x90, 0xA0] as [UInt8] {
        for more in [[second], [second, 0x80], [second, 0x80, 0x80]] {
            if String(validating: bytes + more, as: UTF8.self) != nil { return false }
        }
    }
    return true
}
