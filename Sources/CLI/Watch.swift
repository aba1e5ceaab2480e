import Glibc

/// `watch table/key …`: live updates over HTTP, one line of JSON each, until Ctrl-C or the end of
/// the process. A broken connection is taken up again from the last event.
struct Watch {
    let host: String
    let port: UInt16
    let topics: [[UInt8]]
    /// A key for tables that are not open to all.
    let apiKey: String?
    let out: ([UInt8]) -> Void
    let tell: (String) -> Void

    private static let retryMs = 2000

    /// True when it ended because it was told to.
    func run() -> Bool {
        var reader = EventReader()
        var wasConnected = false
        while true {
            switch Link.open(host: host, port: port) {
            case .failure(let failure):
                tell("Could not connect to \(host):\(port): \(failure.reason)")
                guard wasConnected else { return false }
            case .success(let link):
                reader.restart()
                switch follow(link, &reader) {
                case .told: return true
                case .refused(let why):
                    tell(why)
                    return false
                case .broken(let why):
                    wasConnected = true
                    tell("\(why); going on in a moment")
                }
            }
            if Self.pause(ms: reader.retryMs ?? Self.retryMs) { return true }
        }
    }

    private enum End { case told, refused(String), broken(String) }

    private func follow(_ link: Link, _ reader: inout EventReader) -> End {
        guard link.send(request(lastID: reader.lastID)) else { return .broken("no connection") }
        var head: [UInt8] = []
        var body = BodyReader()
        var isBody = false
        while true {
            switch link.hear() {
            case .interrupted: return .told
            case .nothing: continue
            case .closed(let why): return isBody ? .broken(why) : .refused(noAnswer)
            case .bytes(let bytes):
                guard !isBody else {
                    report(reader.feed(body.feed(bytes)))
                    continue
                }
                head += bytes
                guard let end = Self.headEnd(head) else {
                    guard head.count < 1 << 16 else { return .refused(noAnswer) }
                    continue
                }
                let text = String(decoding: head[..<end], as: UTF8.self)
                let rest = Array(head[end...])
                guard text.hasPrefix("HTTP/1.1 200 ") else {
                    guard text.hasPrefix("HTTP/") else { return .refused(noAnswer) }
                    let status = text.prefix { $0 != "\r\n" && $0 != "\r" }
                    let said = String(decoding: rest, as: UTF8.self)
                    return .refused("\(status.dropFirst(9)) \(said)")
                }
                body.isChunked = text.lowercased().contains("transfer-encoding: chunked")
                isBody = true
                report(reader.feed(body.feed(rest)))
            }
        }
    }

    private var noAnswer: String { "\(host):\(port) does not answer over HTTP: no live updates" }

    private func report(_ events: [EventReader.Event]) {
        for event in events {
            if event.name.isEmpty {
                out(Array((event.data + "\n").utf8))
            } else {
                tell("\(event.name) \(event.data)")
            }
        }
    }

    private static func headEnd(_ bytes: [UInt8]) -> Int? {
        guard bytes.count >= 4 else { return nil }
        for at in 3..<bytes.count
        where bytes[at] == 10 && bytes[at - 1] == 13 && bytes[at - 2] == 10 && bytes[at - 3] == 13 {
            return at + 1
        }
        return nil
    }

    private func request(lastID: String?) -> [UInt8] {
        let query = topics.map { "topic=" + Self.escaped($0) }.joined(separator: "&")
        var text = "GET /subscribe?\(query) HTTP/1.1\r\nHost: \(host):\(port)\r\n"
        text += "Accept: text/event-stream\r\n"
        if let apiKey {
            text +=
                apiKey.hasPrefix("ntl_")
                ? "X-API-Key: \(apiKey)\r\n" : "Authorization: Bearer \(apiKey)\r\n"
        }
        if let lastID { text += "Last-Event-ID: \(lastID)\r\n" }
        return Array((text + "\r\n").utf8)
    }

    /// What has a meaning in a query is escaped; the slash and the star have theirs for us.
    static func escaped(_ topic: [UInt8]) -> String {
        var text = ""
        let digits = Array("0123456789ABCDEF")
        for byte in topic {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "/"), UInt8(ascii: "*"):
                text.append(Character(Unicode.Scalar(byte)))
            default: text += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
            }
        }
        return text
    }

    /// Waits; true when it was interrupted.
    static func pause(ms: Int) -> Bool {
        var wanted = pollfd(fd: Interrupt.descriptor, events: Int16(POLLIN), revents: 0)
        let ready = unsafe poll(&wanted, 1, Int32(clamping: ms))
        guard ready > 0 else { return false }
        Interrupt.forget()
        return true
    }
}

/// The body of an answer that goes on for ever, with or without chunks.
private struct BodyReader {
    var isChunked = false
    private var left = 0
    private var line: [UInt8] = []

    mutating func feed(_ bytes: [UInt8]) -> [UInt8] {
        guard isChunked else { return bytes }
        var body: [UInt8] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            if left > 0 {
                let piece = rest.prefix(left)
                body += piece
                left -= piece.count
                rest = rest.dropFirst(piece.count)
                continue
            }
            let byte = rest.removeFirst()
            guard byte == 0x0A else {
                line.append(byte)
                continue
            }
            let digits = line.prefix { $0 != 0x0D && $0 != UInt8(ascii: ";") }
            // The line end behind a chunk reads as an empty line.
            left = Int(String(decoding: digits, as: UTF8.self), radix: 16) ?? 0
            line = []
        }
        return body
    }
}
