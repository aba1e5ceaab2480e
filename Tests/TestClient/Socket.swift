/// A WebSocket connection to the server under test: a `Client` that has said its opening.
///
/// It reads the server's frames strictly: a mask, a reserved bit, a length that is not the
/// shortest or a fragmented message is an error, since our server sends none of them.
public final class Socket: Sendable {
    /// What the server said.
    public enum Heard: Equatable, Sendable, CustomStringConvertible {
        case text(String)
        case bytes([UInt8])
        case ping([UInt8])
        case pong([UInt8])
        case close(Int?, String)

        public var description: String {
            switch self {
            case .text(let text): "text \(text.prefix(200))"
            case .bytes(let bytes): "bytes \(bytes.prefix(50))"
            case .ping(let bytes): "ping \(String(decoding: bytes, as: UTF8.self))"
            case .pong(let bytes): "pong \(String(decoding: bytes, as: UTF8.self))"
            case .close(let code, let reason): "close \(code.map { "\($0)" } ?? "none") \(reason)"
            }
        }
    }

    public static let key = "dGhlIHNhbXBsZSBub25jZQ=="

    public let client: Client

    public init(_ client: Client) { self.client = client }

    public static func opening(_ target: String, _ headers: String = "") -> String {
        "GET \(target) HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + "Sec-WebSocket-Key: \(key)\r\nSec-WebSocket-Version: 13\r\n\(headers)\r\n"
    }

    // MARK: Saying

    /// A client's frame, whatever is wrong with it.
    public static func frame(
        _ opcode: UInt8, _ payload: [UInt8] = [], isFinal: Bool = true, reserved: UInt8 = 0,
        masked: Bool = true, length: Int? = nil
    ) -> [UInt8] {
        let count = length ?? payload.count
        var bytes = [(isFinal ? 0x80 : 0) | reserved << 4 | opcode]
        let bit: UInt8 = masked ? 0x80 : 0
        if count < 126 {
            bytes.append(bit | UInt8(count))
        } else if count < 65536 {
            bytes += [bit | 126, UInt8(count >> 8), UInt8(count & 255)]
        } else {
            bytes.append(bit | 127)
            for shift in stride(from: 56, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: count >> shift))
            }
        }
        guard masked else { return bytes + payload }
        let mask: [UInt8] = [0xA1, 0x5C, 0x33, 0x7E]
        var payload = payload
        for index in payload.indices { payload[index] ^= mask[index & 3] }
        return bytes + mask + payload
    }

    public static func close(_ code: Int?, _ reason: String = "") -> [UInt8] {
        frame(8, (code.map { [UInt8($0 >> 8), UInt8($0 & 255)] } ?? []) + Array(reason.utf8))
    }

    public func say(_ text: String) throws(ClientError) {
        try client.send(Self.frame(1, Array(text.utf8)))
    }

    // MARK: Hearing

    public func hear(withinMs: Int = Client.patienceMs) throws(ClientError) -> Heard {
        let deadline = Deadline.after(ms: withinMs)
        let head = try client.take(2, deadline)
        guard head[0] & 0xF0 == 0x80 else { throw .malformed("a frame that begins \(head[0])") }
        guard head[1] < 0x80 else { throw .malformed("a masked frame") }
        var count = Int(head[1])
        if count >= 126 {
            let least = count == 126 ? 126 : 65536
            let digits = try client.take(count == 126 ? 2 : 8, deadline)
            count = digits.reduce(0) { $0 << 8 | Int($1) }
            guard count >= least else { throw .malformed("a length that is not the shortest") }
        }
        let payload = try client.take(count, deadline)
        switch head[0] & 15 {
        case 1:
            guard let text = String(validating: payload, as: UTF8.self) else {
                throw .malformed("a text that is not UTF-8")
            }
            return .text(text)
        case 2: return .bytes(payload)
        case 8:
            guard count != 1, count <= 125 else { throw .malformed("a close of \(count) bytes") }
            guard count > 0 else { return .close(nil, "") }
            return .close(
                Int(payload[0]) << 8 | Int(payload[1]),
                String(decoding: payload[2...], as: UTF8.self))
        case 9: return .ping(payload)
        case 10: return .pong(payload)
        default: throw .malformed("opcode \(head[0] & 15)")
        }
    }

    /// The next text message, as JSON. Pings before it are answered.
    public func json(withinMs: Int = Client.patienceMs) throws(ClientError) -> JSON {
        var heard = try hear(withinMs: withinMs)
        while case .ping(let payload) = heard {
            try client.send(Self.frame(10, payload))
            heard = try hear(withinMs: withinMs)
        }
        guard case .text(let text) = heard, let json = JSON(text) else {
            throw .malformed("\(heard) where JSON was due")
        }
        return json
    }

    /// Says an operation and hears one message.
    public func ask(_ operation: String) throws(ClientError) -> JSON {
        try say(operation)
        return try json()
    }
}

extension Server {
    /// Opens a WebSocket connection.
    public func socket(
        _ target: String, _ headers: String = "", receiveBuffer: Int32? = nil
    ) throws(ClientError) -> Socket {
        let client = try connect(receiveBuffer: receiveBuffer)
        try client.send(Socket.opening(target, headers))
        let reply = try client.reply()
        guard reply.status == 101 else {
            throw .malformed("\(reply.status) \(reply.text) where 101 was due")
        }
        return Socket(client)
    }
}
