import CMachine
import Glibc
import Machine

/// One request over a connection of its own, and its reply: for what a run needs besides load.
struct Exchange {
    private static let replyBytesMax = 64 * 1024

    let status: Int
    let body: [UInt8]

    var json: JSONValue? { JSONValue.parse(body) }

    static func run(
        _ method: String, _ path: String, headers: [String] = [], body: JSONValue? = nil,
        peer: Peer, host: String, timeoutSeconds: Int = 30
    ) throws(SystemError) -> Exchange {
        let request = RequestTemplate.http(
            method: method, path: path, host: host, headers: headers + ["Connection: close"],
            contentType: body == nil ? nil : "application/json",
            body: body.map { Array($0.text.utf8) } ?? (method == "POST" ? [] : nil))
        let fd = try peer.connect(number: 0)
        defer { close(fd) }
        var limit = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
        unsafe setsockopt(
            fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        _ = unsafe send(fd, request.bytes, request.count, Int32(MSG_NOSIGNAL))
        var reply: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 4096)
        while reply.count < replyBytesMax {
            let count = unsafe recv(fd, &block, block.count, 0)
            // A ring that has just been closed still interrupts its process once.
            if count < 0, errno == EINTR { continue }
            if count <= 0 { break }
            reply += block[..<count]
        }
        return Exchange(reply)
    }

    /// Bodies here are one JSON object, so where it lies needs no framing.
    private init(_ reply: [UInt8]) {
        let line = String(decoding: reply.prefix { $0 != 0x0D }, as: UTF8.self)
        status = line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        guard let open = reply.firstIndex(of: UInt8(ascii: "{")),
            let close = reply.lastIndex(of: UInt8(ascii: "}")), open < close
        else {
            body = []
            return
        }
        body = Array(reply[open...close])
    }
}
