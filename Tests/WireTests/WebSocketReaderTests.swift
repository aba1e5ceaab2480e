import Testing

@testable import Wire

/// What a reader made of bytes that came in pieces, as a connection would feed it: what it could not
/// use yet comes again with the next piece.
func hear(_ pieces: [[UInt8]], messageBytesMax: Int = WebSocketExample.messageBytesMax) -> [String]
{
    var reader = WebSocketReader()
    var heard: [String] = []
    var message: [UInt8] = []
    var unread: [UInt8] = []
    for piece in pieces {
        unread += piece
        var from = 0
        reading: while true {
            var bytes = Array(unread[from...])
            let step = bytes.withUnsafeMutableBytes {
                reader.read($0, messageBytesMax: messageBytesMax)
            }
            func text(_ range: ByteRange) -> String {
                String(decoding: bytes[Int(range.start)..<Int(range.end)], as: UTF8.self)
            }
            switch step {
            case .needMore:
                if Array(unread[from...]) != bytes { heard.append("touched what it keeps") }
                break reading
            case .part(let part):
                if part.isFirst, !message.isEmpty { heard.append("first again") }
                message += bytes[Int(part.payload.start)..<Int(part.payload.end)]
                from += part.consumed
                guard part.isLast else { continue }
                heard.append(
                    part.isText
                        ? "text \(String(decoding: message, as: UTF8.self))" : "bytes \(message)")
                message = []
            case .ping(let payload, let consumed):
                heard.append("ping \(text(payload))")
                from += consumed
            case .pong(let payload, let consumed):
                heard.append("pong \(text(payload))")
                from += consumed
            case .close(let code, let reason, let consumed):
                let number = code.map { "\($0.rawValue)" } ?? "none"
                heard.append("close \(number) \(text(reason))")
                from += consumed
            case .violation(let violation):
                return heard + ["violation \(violation)"]
            }
        }
        unread.removeFirst(from)
        if unread.count >= WebSocketReader.unreadBytesMax { heard.append("keeps too much") }
    }
    return heard
}

@Suite("WebSocket reader") struct WebSocketReaderTests {
    @Test(arguments: WebSocketExample.all)
    func `hears what a client says`(_ example: WebSocketExample) {
        #expect(hear([example.bytes]) == example.heard)
    }

    @Test(arguments: WebSocketExample.all)
    func `hears the same wherever the bytes are split`(_ example: WebSocketExample) {
        let bytes = example.bytes
        // Long payloads are all alike: their ends are split at every byte, their middles at some.
        for cut in 0...bytes.count
        where bytes.count < 1000 || cut < 20 || cut > bytes.count - 6 || cut % 20_011 == 0 {
            let heard = hear([Array(bytes[..<cut]), Array(bytes[cut...])])
            #expect(heard == example.heard, "split at \(cut)")
        }
    }

    @Test(arguments: WebSocketExample.all.filter { $0.bytes.count < 2000 })
    func `hears the same byte by byte`(_ example: WebSocketExample) {
        #expect(hear(example.bytes.map { [$0] }) == example.heard)
    }

    @Test func `an idle connection remembers 48 bytes at most`() {
        #expect(MemoryLayout<WebSocketReader>.size <= 48)
    }

    @Test func `a long payload comes in parts of a bounded size`() {
        let payload = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 * 31) }
        var bytes = ClientFrame.data(payload).bytes
        var reader = WebSocketReader()
        var whole: [UInt8] = []
        var from = 0
        bytes.withUnsafeMutableBytes { all in
            while from < all.count {
                let rest = UnsafeMutableRawBufferPointer(rebasing: all[from...])
                guard case .part(let part) = reader.read(rest, messageBytesMax: 1 << 20) else {
                    Issue.record("no part")
                    return
                }
                #expect(part.payload.count <= WebSocketReader.partBytesMax)
                #expect(part.isFirst == (from == 0))
                whole += rest[Int(part.payload.start)..<Int(part.payload.end)]
                from += part.consumed
                #expect(part.isLast == (from == all.count))
            }
        }
        #expect(whole == payload)
    }

    @Test func `the mask goes on wherever a payload is cut`() {
        let key: [UInt8] = [0x12, 0x34, 0x56, 0x78]
        let word = key.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
        let plain = (0..<67).map { UInt8($0) }
        let masked = plain.enumerated().map { $1 ^ key[$0 % 4] }
        for first in 0...plain.count {
            for second in first...plain.count {
                var bytes = masked
                var mask = WebSocketMask(key: word)
                bytes.withUnsafeMutableBytes { all in
                    let base = all.baseAddress!
                    mask.remove(from: base, count: first)
                    mask.remove(from: base + first, count: second - first)
                    mask.remove(from: base + second, count: plain.count - second)
                }
                #expect(bytes == plain)
            }
        }
    }

    @Test func `every violation has a code that may be sent and a reason that fits`() {
        for violation in WebSocketViolation.allCases {
            #expect(violation.code.mayBeSent)
            #expect(violation.sentence.utf8CodeUnitCount <= WebSocketFrame.reasonBytesMax)
        }
    }
}

@Suite("UTF-8 in pieces") struct UTF8ProgressTests {
    private static func isText(_ pieces: [[UInt8]]) -> Bool {
        var progress = UTF8Progress()
        for piece in pieces where !piece.withUnsafeBytes({ progress.take($0) }) { return false }
        return progress.isBetweenCharacters
    }

    @Test func `agrees with the check of the whole of what begins with any byte`() {
        let ends: [UInt8] = [
            0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xFF,
        ]
        for first in UInt8.min...UInt8.max {
            for second in ends {
                for third in ends {
                    for bytes in [
                        [first, second, third], [first, second], [first, second, 0x80, third],
                    ] {
                        let isValid = bytes.withUnsafeBytes { UTF8Text.isValid($0) }
                        guard Self.isText([bytes]) == isValid,
                            Self.isText(bytes.map { [$0] }) == isValid
                        else {
                            Issue.record("\(bytes)")
                            return
                        }
                    }
                }
            }
        }
    }

    @Test func `long texts may be cut anywhere`() {
        let text = Array((String(repeating: "plain text of ASCII ", count: 4) + "κόσμε 😀 ").utf8)
        for cut in 0...text.count {
            #expect(Self.isText([Array(text[..<cut]), Array(text[cut...])]))
            var spoilt = text
            spoilt.insert(0xFF, at: cut)
            #expect(!Self.isText([spoilt]))
        }
    }
}
