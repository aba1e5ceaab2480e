/// Server-sent events out of bytes, in any pieces.
struct EventReader {
    struct Event: Equatable {
        /// Empty for data; the word of a control message.
        var name = ""
        var data = ""
        var id: String?
    }

    /// Where to go on from after a break.
    private(set) var lastID: String?
    /// How long the server asks to be left alone before.
    private(set) var retryMs: Int?

    private var line: [UInt8] = []
    private var afterReturn = false
    private var event = Event()
    private var hasData = false

    /// An event of this length is no server's of ours; what comes beyond is dropped.
    private static let lineBytesMax = 64 << 20

    mutating func feed(_ bytes: [UInt8]) -> [Event] {
        var events: [Event] = []
        for byte in bytes {
            if byte == 0x0A, afterReturn {
                afterReturn = false
                continue
            }
            afterReturn = byte == 0x0D
            if byte == 0x0A || byte == 0x0D {
                if let event = endLine() { events.append(event) }
            } else if line.count < Self.lineBytesMax {
                line.append(byte)
            }
        }
        return events
    }

    /// A new connection begins with a new line; what was half said is forgotten.
    mutating func restart() {
        line = []
        event = Event()
        hasData = false
        afterReturn = false
    }

    private mutating func endLine() -> Event? {
        let text = String(decoding: line, as: UTF8.self)
        line = []
        guard !text.isEmpty else {
            defer {
                event = Event()
                hasData = false
            }
            return hasData ? event : nil
        }
        let colon = text.firstIndex(of: ":") ?? text.endIndex
        var value = colon == text.endIndex ? "" : text[text.index(after: colon)...]
        if value.hasPrefix(" ") { value.removeFirst() }
        switch text[..<colon] {
        case "data":
            event.data += (hasData ? "\n" : "") + value
            hasData = true
        case "event": event.name = String(value)
        case "id":
            event.id = String(value)
            lastID = event.id
        case "retry": retryMs = Int(value) ?? retryMs
        default: break
        }
        return nil
    }
}
