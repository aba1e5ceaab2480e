/// Requests with a body, and many at once.
extension Client {
    /// A request as bytes: nothing but what is asked for, and a length where there is a body.
    public static func request(
        _ method: String, _ target: String, _ headers: String = "", body: [UInt8]? = nil
    ) -> [UInt8] {
        let length = body.map { "Content-Length: \($0.count)\r\n" } ?? ""
        return Array("\(method) \(target) HTTP/1.1\r\nHost: test\r\n\(headers)\(length)\r\n".utf8)
            + (body ?? [])
    }

    /// Sends a request with a body and reads its answer.
    public func ask(
        _ method: String, _ target: String, _ headers: String = "", body: [UInt8],
        withinMs: Int = patienceMs
    ) throws(ClientError) -> Reply {
        let bytes = Self.request(method, target, headers, body: body)
        if bytes.count < 1 << 16 {
            try send(bytes)
        } else {
            // On a thread of its own: an answer that begins early can't block both sides.
            background { try? self.send(bytes, withinMs: withinMs) }
        }
        return try reply(toHead: method == "HEAD", withinMs: withinMs)
    }

    public func ask(
        _ method: String, _ target: String, _ headers: String = "", body: String,
        withinMs: Int = patienceMs
    ) throws(ClientError) -> Reply {
        try ask(method, target, headers, body: Array(body.utf8), withinMs: withinMs)
    }
}
