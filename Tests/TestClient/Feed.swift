/// A stream of Server-Sent Events, as a browser reads it (WHATWG HTML 9.2), but strictly: what our
/// server never sends (another line end, an unknown field, a broken chunk) is an error.
public final class Feed {
    public struct Message: Sendable, CustomStringConvertible {
        public var id: String?
        /// The name of a control message; nil for an event.
        public var name: String?
        public var data: String

        public var json: JSON? { JSON(data) }
        /// What happened: Updated, Deleted, Expired, Evicted.
        public var event: String? { json?["event"]?.string }
        public var key: String? { json?["key"]?.string }
        public var isInitial: Bool { json?["initial"]?.bool == true }
        /// The record's text as it is in its value.
        public var value: String? { json?["value"]?["value"]?.text }
        public var version: Int? { json?["value"]?["version"]?.int ?? json?["version"]?.int }
        public var timestamp: Int? { json?["value"]?["timestamp"]?.int }

        public var description: String { "\(id ?? "-") \(name ?? "") \(data.prefix(200))" }
    }

    public let client: Client
    public private(set) var head: Reply
    /// What a browser would send when it comes back.
    public private(set) var lastID: String?
    public private(set) var retryMs: Int?
    public private(set) var comments = 0
    /// The answer's end was said, by a last chunk or by closing.
    public private(set) var hasEnded = false
    private let isChunked: Bool
    private var wire: [UInt8] = []
    private var text: [UInt8] = []

    /// Asks for a stream and reads its head.
    public convenience init(
        _ client: Client, _ target: String, _ headers: String = "", version: String = "1.1",
        withinMs: Int = Client.patienceMs
    ) throws(ClientError) {
        try client.send("GET \(target) HTTP/\(version)\r\nHost: test\r\n\(headers)\r\n")
        try self.init(hearing: client, withinMs: withinMs)
    }

    /// Reads the stream that the client has asked for already.
    public init(
        hearing client: Client, withinMs: Int = Client.patienceMs
    ) throws(ClientError) {
        self.client = client
        head = try client.replyHead(withinMs: withinMs)
        isChunked = head.header("transfer-encoding") == "chunked"
    }

    public var isOpen: Bool {
        head.status == 200 && head.header("content-type") == "text/event-stream"
    }

    /// The next message with data; nil at the end, or when none came in time.
    public func next(withinMs: Int = Client.patienceMs) throws(ClientError) -> Message? {
        let deadline = Deadline.after(ms: withinMs)
        while true {
            if let message = try takeMessage() { return message }
            if hasEnded { return nil }
            let piece: [UInt8]
            do throws(ClientError) {
                piece = try client.heard(withinMs: Int(deadline.leftMs))
            } catch {
                if case .timedOut = error { return nil }
                throw error
            }
            if piece.isEmpty {
                if isChunked { throw .ended(unfinished: "a stream without its last chunk") }
                hasEnded = true
            }
            wire += piece
            try unwrap()
        }
    }

    /// The next messages, which all have to come.
    public func next(_ count: Int, withinMs: Int = Client.patienceMs) throws(ClientError)
        -> [Message]
    {
        var messages: [Message] = []
        while messages.count < count {
            guard let message = try next(withinMs: withinMs) else {
                throw .timedOut("message \(messages.count + 1) of \(count): \(messages)")
            }
            messages.append(message)
        }
        return messages
    }

    /// Reads on without a message being due, for so long.
    public func isQuiet(forMs ms: Int) throws(ClientError) -> Bool { try next(withinMs: ms) == nil }

    /// Where to resume from, which comes once every shard has told its state; nil: it did not come,
    /// or a message did that was not due.
    public func placeToResume(withinMs: Int = Client.patienceMs) throws(ClientError) -> String? {
        let deadline = Deadline.after(ms: withinMs)
        while try isQuiet(forMs: 5) {
            if let lastID { return lastID }
            if hasEnded || deadline.isOver { return nil }
        }
        return nil
    }

    public func close() { client.close() }

    // MARK: Private parts

    private func unwrap() throws(ClientError) {
        guard isChunked else {
            text += wire
            wire = []
            return
        }
        while let lineEnd = wire.firstIndex(of: 10) {
            guard lineEnd > 0, wire[lineEnd - 1] == 13,
                let size = Int(String(decoding: wire[..<(lineEnd - 1)], as: UTF8.self), radix: 16)
            else { throw .malformed("chunk head \(String(decoding: wire, as: UTF8.self))") }
            let start = lineEnd + 1
            guard wire.count >= start + size + 2 else { return }
            guard wire[start + size] == 13, wire[start + size + 1] == 10 else {
                throw .malformed("chunk end")
            }
            if size == 0 { hasEnded = true }
            text += wire[start..<(start + size)]
            wire.removeFirst(start + size + 2)
        }
    }

    private func takeMessage() throws(ClientError) -> Message? {
        while let end = endOfBlock() {
            let block = text[..<end]
            text.removeFirst(end + 2)
            var message = Message(data: "")
            var data: [String] = []
            for line in block.split(separator: 10, omittingEmptySubsequences: false) {
                let line = String(decoding: line, as: UTF8.self)
                guard !line.contains("\r") else { throw .malformed("a carriage return: \(line)") }
                if line.hasPrefix(":") {
                    comments += 1
                    continue
                }
                guard let colon = line.firstIndex(of: ":") else {
                    throw .malformed("a line of a stream: \(line)")
                }
                let value = String(line[line.index(after: colon)...].drop { $0 == " " })
                switch line[..<colon] {
                case "id":
                    lastID = value
                    message.id = value
                case "event": message.name = value
                case "data": data.append(value)
                case "retry": retryMs = Int(value)
                default: throw .malformed("a field of a stream: \(line)")
                }
            }
            guard !data.isEmpty else { continue }
            message.data = data.joined(separator: "\n")
            return message
        }
        return nil
    }

    private func endOfBlock() -> Int? {
        guard text.count >= 2 else { return nil }
        return text.withUnsafeBufferPointer { bytes in
            for at in 0..<(bytes.count - 1) where bytes[at] == 10 && bytes[at + 1] == 10 {
                return at
            }
            return nil
        }
    }
}
