import Glibc
import TestClient
import Wire

/// One connection that speaks RESP.
final class RESPCaller: @unchecked Sendable {
    let client: Client
    private var parser = RESPReplyParser()

    init(_ server: Server) throws { client = try server.connect() }

    init(port: UInt16) throws { client = try Client(port: port) }

    struct Silence: Error {}
    struct Nonsense: Error { let sentence: String }

    static func bytes(_ words: [[UInt8]]) -> [UInt8] {
        var bytes = Array("*\(words.count)\r\n".utf8)
        for word in words { bytes += Array("$\(word.count)\r\n".utf8) + word + [0x0D, 0x0A] }
        return bytes
    }

    func say(_ words: String...) throws {
        try client.send(Self.bytes(words.map { Array($0.utf8) }))
    }

    /// The next reply, whatever it is.
    func hear() throws -> RESPValue {
        while true {
            switch parser.next() {
            case .reply(let value): return value
            case .violation(let sentence): throw Nonsense(sentence: sentence)
            case .needMore: break
            }
            var waiting = pollfd(fd: client.fd, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, Int32(Client.patienceMs)) == 1 else { throw Silence() }
            var piece = [UInt8](repeating: 0, count: 65536)
            let count = recv(client.fd, &piece, piece.count, 0)
            guard count > 0 else { throw Silence() }
            parser.feed(Array(piece[..<count]))
        }
    }

    func ask(_ words: [String]) throws -> String {
        try client.send(Self.bytes(words.map { Array($0.utf8) }))
        return Self.text(try hear())
    }

    func ask(_ words: String...) throws -> String { try ask(words) }

    /// A reply as `redis-cli` would show it on one line.
    static func text(_ value: RESPValue) -> String {
        func string(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
        switch value {
        case .simple(let bytes), .bulk(let bytes), .bigNumber(let bytes), .verbatim(_, let bytes):
            return string(bytes)
        case .error(let bytes): return "-" + string(bytes)
        case .integer(let number): return "\(number)"
        case .null: return "nil"
        case .boolean(let value): return "\(value)"
        case .double(_, let text): return string(text)
        case .array(let values), .set(let values):
            return "[" + values.map(text).joined(separator: " ") + "]"
        case .push(let values): return ">" + values.map(text).joined(separator: " ")
        case .map(let pairs):
            return "{" + pairs.map { text($0) + ":" + text($1) }.joined(separator: " ") + "}"
        case .attribute(_, let of): return text(of)
        }
    }
}
