import Glibc

/// What a listener asks for: the first time, and again when its stream has ended and it knows the
/// id of the last event it had.
struct SubscriptionText: Sendable {
    let path: String
    let host: String
    let headers: [String]
    let isWebSocket: Bool

    /// Ids are opaque and short; a longer one is not gone on from.
    static let idBytesMax = 192

    /// One key for all: it guards against caches, of which there are none here.
    private static let upgrade = [
        "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]

    /// For each thread to prepare its own.
    var template: RequestTemplate {
        .http(
            method: "GET", path: path, host: host,
            headers: headers + (isWebSocket ? Self.upgrade : ["Accept: text/event-stream"]))
    }

    /// The status that opens a stream.
    var status: UInt16 { isWebSocket ? 101 : 200 }

    /// The same request with the id in it: a browser's `Last-Event-ID`, or for a WebSocket, where
    /// a browser can set no header, `lastEventId` in the query.
    func resuming(_ request: [UInt8], from id: [UInt8]) -> [UInt8] {
        guard isWebSocket else {
            // Before the empty line that ends the head.
            return Array(request[..<(request.count - 2)]) + Array("Last-Event-ID: ".utf8) + id
                + Array("\r\n\r\n".utf8)
        }
        let target = request.prefix { $0 != 0x0D }
        let end = target.count - " HTTP/1.1".utf8.count
        let mark: UInt8 = target.contains(UInt8(ascii: "?")) ? 0x26 : 0x3F
        return request[..<end] + [mark] + Array("lastEventId=".utf8) + Self.escaped(id)
            + request[end...]
    }

    private static func escaped(_ id: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        for byte in id {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: text.append(byte)
            default:
                let digits = Array("0123456789ABCDEF".utf8)
                text += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return text
    }
}

/// What an event is, whichever way it came: as a frame of an event stream or as the one JSON object
/// of a WebSocket message.
@safe struct LiveMessage {
    enum Kind { case change, reset, lagged, bye }

    var kind = Kind.change
    var data: UnsafeMutablePointer<UInt8>
    var dataCount: Int
    var id: UnsafePointer<UInt8>? = nil
    var idCount = 0

    /// Names other than these are a change's, or another server's own.
    private static func kind(_ name: UnsafePointer<UInt8>?, _ count: Int) -> Kind {
        guard let name = unsafe name else { return .change }
        if unsafe equal(name, count, "lagged") { return .lagged }
        if unsafe equal(name, count, "reset") { return .reset }
        if unsafe equal(name, count, "bye") { return .bye }
        return .change
    }

    init(_ step: EventStreamReader.Step, data: UnsafeMutablePointer<UInt8>) {
        unsafe self.data = unsafe data
        dataCount = step.dataCount
        unsafe id = unsafe step.id
        idCount = step.idCount
        kind = unsafe Self.kind(step.name, step.nameCount)
    }

    /// `{"id":"…","event":"Updated",…}`: the two members are looked for where they have to be.
    init(webSocket data: UnsafeMutablePointer<UInt8>, _ count: Int) {
        unsafe self.data = unsafe data
        dataCount = count
        var place = 1
        if let value = unsafe Self.member("\"id\":\"", data, count, at: place) {
            unsafe id = unsafe UnsafePointer(data + value.start)
            idCount = value.count
            place = value.start + value.count + 2
        }
        if let value = unsafe Self.member("\"event\":\"", data, count, at: place) {
            kind = unsafe Self.kind(data + value.start, value.count)
        }
    }

    /// Of `lagged`: how many events were left out.
    var skipped: UInt32 {
        guard let place = unsafe Self.place(of: "\"skipped\":", data, dataCount) else { return 0 }
        var value: UInt32 = 0
        var digit = place + 10
        while digit < dataCount, unsafe data[digit] == 0x20 { digit += 1 }
        while digit < dataCount, unsafe data[digit] >= 0x30, unsafe data[digit] <= 0x39,
            value < 100_000_000
        {
            value = unsafe value * 10 + UInt32(data[digit] - 0x30)
            digit += 1
        }
        return value
    }

    /// What a stream begins with is the state, not an event.
    var isInitial: Bool { unsafe Self.place(of: "\"initial\":true", data, dataCount) != nil }

    private static func member(
        _ name: StaticString, _ text: UnsafeMutablePointer<UInt8>, _ count: Int, at place: Int
    ) -> (start: Int, count: Int)? {
        let start = place + name.utf8CodeUnitCount
        guard start < count,
            unsafe memcmp(text + place, name.utf8Start, name.utf8CodeUnitCount) == 0,
            let end = unsafe memchr(text + start, 0x22, count - start)
        else { return nil }
        return unsafe (start, end - UnsafeMutableRawPointer(text) - start)
    }

    private static func equal(
        _ text: UnsafePointer<UInt8>, _ count: Int, _ word: StaticString
    ) -> Bool {
        unsafe count == word.utf8CodeUnitCount && memcmp(text, word.utf8Start, count) == 0
    }

    /// Words begin with a quotation mark, of which texts have few.
    private static func place(
        of word: StaticString, _ text: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int? {
        let wordCount = word.utf8CodeUnitCount
        var start = 0
        while start + wordCount <= count {
            let left = count - wordCount - start + 1
            guard let found = unsafe memchr(text + start, 0x22, left) else { return nil }
            start = unsafe found - UnsafeMutableRawPointer(text)
            if unsafe memcmp(found, word.utf8Start, wordCount) == 0 { return start }
            start += 1
        }
        return nil
    }
}
