import CMachine
import Glibc
import Machine

/// Gets a token for `--user` before the run: one request over a connection of its own.
enum SignIn {
    private static let replyBytesMax = 64 * 1024
    private static let timeoutSeconds = 10

    static func token(user: String, secret: String, peer: Peer, host: String) throws(RunError)
        -> String
    {
        let body = Array(
            JSONValue.object([("secret", .string(secret))]).text.utf8)
        let request = RequestTemplate.http(
            method: "POST", path: "/auth/\(user)", host: host, headers: ["Connection: close"],
            contentType: "application/json", body: body)
        let reply = try exchange(request, peer)
        let text = String(decoding: reply, as: UTF8.self)
        let status = text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        guard let open = reply.firstIndex(of: UInt8(ascii: "{")),
            let close = reply.lastIndex(of: UInt8(ascii: "}")), open < close,
            let answer = JSONValue.parse(Array(reply[open...close])),
            let token = answer["token"]?.string
        else {
            throw RunError("--user \(user): POST /auth/\(user) was answered with status \(status)")
        }
        return token
    }

    private static func exchange(
        _ request: borrowing RequestTemplate, _ peer: Peer
    ) throws(RunError) -> [UInt8] {
        let fd: Int32
        do throws(SystemError) { fd = try peer.connect(number: 0) } catch {
            throw RunError("\(error)")
        }
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
        return reply
    }
}
