import Glibc
import TestClient
import Testing

@Suite(.serialized) struct `Tokens` {
    @Test(arguments: NodeShape.allCases)
    func `a token is a JWT with the claims we promise`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let now = wallClockMs() / 1000
        let token = try #require(TokenText(node.alice), "\(node.alice)")
        #expect(token.header["alg"]?.string == "HS256")
        #expect(token.header["typ"]?.string == "JWT")
        let claims = token.claims
        #expect(Set(claims.names ?? []) == ["sub", "name", "exp", "iat", "jti", "sid", "typ"])
        #expect(claims["name"]?.string == "alice")
        let issued = try #require(claims["iat"]?.int)
        #expect(issued <= now + 2 && issued > now - 3600)
        #expect(claims["exp"]?.int == issued + 3600, "an hour")
        for name in ["sub", "jti", "sid", "typ"] {
            #expect(claims[name]?.string?.isEmpty == false, "\(name)")
        }
        #expect(claims["sub"]?.string != "alice", "an id, not the name")
        let other = try #require(TokenText(try node.server.token("alice", "alice's secret")))
        #expect(other.claims["sub"]?.string == claims["sub"]?.string)
        #expect(other.claims["jti"]?.string != claims["jti"]?.string)
        #expect(other.claims["sid"]?.string != claims["sid"]?.string, "each login is its own")
        let bob = try #require(TokenText(node.bob))
        #expect(bob.claims["sub"]?.string != claims["sub"]?.string)
    }

    @Test(arguments: NodeShape.allCases)
    func `what isn't a token of ours is refused`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let path = "/\(node.table())/key/k"
        let alice = try node.asAlice()
        expect(201, try alice.put(path, "1"))
        let parts = node.alice.split(separator: ".").map(String.init)
        try #require(parts.count == 3)
        let payload = base64Decoded(parts[1]) ?? []
        let asBob = base64(
            Array(String(decoding: payload, as: UTF8.self).replacing("alice", with: "bob").utf8))
        let none = base64(Array(#"{"alg":"none","typ":"JWT"}"#.utf8))
        let empty = base64(Array("{}".utf8))
        // The same claims, signed by a node that has another key.
        let stranger = try shape.start(environment: [
            "JWT_SECRET=another key, of more than 32 bytes"
        ])
        let foreign = try stranger.token("alice", "alice's secret")
        for token in [
            foreign, "", "x", "..", "...", parts[0], "\(parts[0]).\(parts[1])",
            "\(parts[0]).\(parts[1]).", "\(parts[0]).\(asBob).\(parts[2])",
            "\(none).\(parts[1]).", "\(none).\(parts[1]).\(parts[2])", "\(none).\(asBob).",
            "\(empty).\(parts[1]).\(parts[2])", "\(parts[0]).\(empty).\(parts[2])",
            ".\(parts[1]).\(parts[2])", node.alice + ".x", node.alice + "=", node.alice + "A",
            flipped(node.alice, 5), flipped(node.alice, parts[0].utf8.count + 10),
            flipped(node.alice, node.alice.utf8.count - 8), String(node.alice.dropLast()),
            String(repeating: "A", count: 3000), String(node.alice.dropFirst()),
            "null", "undefined", "Bearer \(node.alice)",
        ] {
            let caller = Caller(try node.server.connect(), token)
            expect(401, try caller.put(path, "2"), "token \(token.prefix(60))")
        }
        for field in [
            "Authorization: \(node.alice)", "Authorization: Basic \(node.alice)",
            "Authorization: Bearer", "Authorization:", "Authorization: Bearer \(node.alice) x",
            "Authorization: Token \(node.alice)", "X-Authorization: Bearer \(node.alice)",
            "Cookie: token=\(node.alice)",
        ] {
            let nobody = try node.asStranger()
            expect(401, try nobody.put(path, "2", field + "\r\n"), String(field.prefix(40)))
        }
        for scheme in ["bearer", "BEARER", "Bearer "] {
            let nobody = try node.asStranger()
            expect(
                201, try nobody.put(path, "3", "Authorization: \(scheme) \(node.alice)\r\n"), scheme
            )
        }
        expectRecord(try alice.get(path), "3", version: 4, owner: "alice")
    }

    @Test(arguments: NodeShape.few)
    func `a token is good for its time and no longer`(_ shape: NodeShape) throws {
        let server = try shape.start(environment: ["JWT_EXPIRATION=2s"])
        let alice = Caller(try server.connect(), try server.token("alice", "secret"))
        let claims = try #require(TokenText(alice.token ?? "")?.claims)
        let expires = try #require(claims["exp"]?.int)
        #expect(try expires - #require(claims["iat"]?.int) == 2)
        for key in 0..<4 { expect(201, try alice.put("/t/key/\(key)", "1")) }
        // It was verified and remembered; it ends all the same.
        #expect(try becomes(everyMs: 20) { try alice.put("/t/key/0", "2").status == 401 })
        #expect(wallClockMs() >= expires * 1000 - 5)
        #expect(wallClockMs() < expires * 1000 + 3000)
        for key in 0..<4 {
            expect(401, try alice.put("/t/key/\(key)", "2"))
            expect(401, try alice.delete("/t/key/\(key)"))
            expect(200, try alice.get("/t/key/\(key)"), "an open read needs none")
        }
        let renewed = Caller(try server.connect(), try server.token("alice", "secret"))
        expect(201, try renewed.put("/t/key/0", "3"))
    }

    @Test(arguments: NodeShape.allCases)
    func `a token is known on every connection and shard`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let table = node.table()
        for connection in 0..<8 {
            let alice = try node.asAlice()
            for key in 0..<8 {
                expectRecord(
                    try alice.put("/\(table)/key/\(key)", "1"), "1", version: connection + 1,
                    owner: "alice")
            }
        }
    }

    @Test(arguments: NodeShape.few)
    func `with the operator's key tokens outlive the process`(_ shape: NodeShape) throws {
        let base = try Server.temporaryDirectory()
        defer { Server.removeTree(base) }
        let secret = "JWT_SECRET=the operator's key, of more than 32 bytes"
        let first = try shape.start(directory: base + "/data", environment: [secret])
        let token = try first.token("alice", "secret")
        first.signal(SIGTERM)
        #expect(first.waitForExit() == .code(0))
        let second = try shape.start(directory: base + "/data", environment: [secret])
        expect(201, try Caller(try second.connect(), token).put("/t/key/k", "1"))
        second.signal(SIGTERM)
        #expect(second.waitForExit() == .code(0))
        let third = try shape.start(
            directory: base + "/data",
            environment: ["JWT_SECRET=another key, of more than 32 bytes"])
        expect(401, try Caller(try third.connect(), token).put("/t/key/k", "1"))
    }

    @Test(arguments: NodeShape.few)
    func `without one the node keeps its own, for its owner only`(_ shape: NodeShape) throws {
        let base = try Server.temporaryDirectory()
        defer { Server.removeTree(base) }
        let first = try shape.start(directory: base + "/data")
        let token = try first.token("alice", "secret")
        for name in entries(of: first.directory) {
            #expect((permissions(first.directory + "/" + name) ?? 0o777) & 0o077 == 0, "\(name)")
        }
        first.signal(SIGTERM)
        #expect(first.waitForExit() == .code(0))
        let second = try shape.start(directory: base + "/data")
        expect(201, try Caller(try second.connect(), token).put("/t/key/k", "1"))
        let elsewhere = try shape.start()
        expect(401, try Caller(try elsewhere.connect(), token).put("/t/key/k", "1"))
    }

    @Test(arguments: IODriver.allCases)
    func `no secret is ever logged`(_ io: IODriver) throws {
        let server = try Server.start(
            io: io, ["--log-level", "debug"],
            environment: [
                "JWT_SECRET=sekrit-signing-key-of-40-characters-....",
                "ADMIN_PASSWORD=sekrit-admin",
            ])
        let token = try server.token("alice", "sekrit-hers")
        expect(401, try server.login("alice", "sekrit-wrong"))
        expect(401, try server.login("admin", "sekrit-guess"))
        let alice = Caller(try server.connect(), token)
        expect(201, try alice.put("/t/key/k", "\"sekrit-value\""))
        #expect(!server.log.contains("sekrit"))
        #expect(!server.log.contains(token.suffix(20)))
    }

    /// Another character in that place, of the same alphabet.
    private func flipped(_ token: String, _ index: Int) -> String {
        var bytes = Array(token.utf8)
        bytes[index] = bytes[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// A JWT taken apart, without a look at its signature.
struct TokenText {
    var header: JSON
    var claims: JSON

    /// nil where it isn't three parts of base64url, the first two JSON.
    init?(_ token: String) {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, let header = base64Decoded(parts[0]).flatMap({ JSON($0) }),
            let claims = base64Decoded(parts[1]).flatMap({ JSON($0) }),
            base64Decoded(parts[2])?.count == 32
        else { return nil }
        self.header = header
        self.claims = claims
    }
}

private let alphabet = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

/// Base64url without padding (RFC 4648 section 5).
func base64(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let piece = bytes[start..<min(start + 3, bytes.count)]
        var bits: UInt32 = 0
        for offset in 0..<3 {
            bits = bits << 8 | (offset < piece.count ? UInt32(piece[start + offset]) : 0)
        }
        for offset in 0...piece.count {
            text.append(alphabet[Int(bits >> UInt32(18 - 6 * offset)) & 63])
        }
    }
    return String(decoding: text, as: UTF8.self)
}

func base64Decoded(_ text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    var bits: UInt32 = 0
    var count = 0
    for character in text.utf8 {
        guard let value = alphabet.firstIndex(of: character) else { return nil }
        bits = bits << 6 | UInt32(value)
        count += 6
        if count >= 8 {
            count -= 8
            bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
        }
    }
    return count < 6 ? bytes : nil
}
