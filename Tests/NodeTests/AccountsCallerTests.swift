import Identity
import Testing

@testable import Node

private let noonS = Int64(noonMs / 1000)

/// A shard's authenticator and the node's names.
private struct Door: ~Copyable {
    var authenticator: Authenticator
    let owners = OwnerNumbers.make()

    init(key: [UInt8] = accountKey, hasAdmin: Bool = false) {
        authenticator = Authenticator(key: key, hasAdmin: hasAdmin)
    }

    mutating func caller(_ header: String?, apiKey: String? = nil, nowS: Int64 = noonS) -> Caller {
        let header = header.map { Array($0.utf8) }
        let apiKey = apiKey.map { Array($0.utf8) }
        // A span can't be made inside `map`.
        if let header, let apiKey {
            return authenticator.caller(
                authorization: header.span.bytes, apiKey: apiKey.span.bytes, nowS: nowS,
                owners: owners)
        } else if let header {
            return authenticator.caller(
                authorization: header.span.bytes, apiKey: nil, nowS: nowS, owners: owners)
        } else if let apiKey {
            return authenticator.caller(
                authorization: nil, apiKey: apiKey.span.bytes, nowS: nowS, owners: owners)
        }
        return authenticator.caller(authorization: nil, apiKey: nil, nowS: nowS, owners: owners)
    }

    mutating func user(_ header: String, nowS: Int64 = noonS) -> Identity.Principal? {
        if case .user(let principal) = caller(header, nowS: nowS) { principal } else { nil }
    }
}

private func token(_ name: String, _ change: (inout AccountSettings) -> Void = { _ in }) -> String {
    var front = Front(change)
    return String(decoding: front.ask(name, "horse")?.token ?? [], as: UTF8.self)
}

@Suite("Who a request speaks for") struct CallerTests {
    @Test func `a token from the desk speaks for its user under one number`() {
        var front = Front()
        var door = Door()
        let first = String(decoding: front.ask("alice", "horse")!.token!, as: UTF8.self)
        let second = String(decoding: front.ask("alice", "horse")!.token!, as: UTF8.self)
        let other = String(decoding: front.ask("bob", "battery")!.token!, as: UTF8.self)
        let alice = door.user("Bearer \(first)")
        #expect(alice?.owner == 2)
        #expect(alice?.scopes == [.read, .write])
        #expect(door.user("bearer  \(first) ") == alice)
        let again = door.user("Bearer \(second)")
        #expect(again?.owner == 2)
        #expect(again?.user == alice?.user)
        #expect(again?.login != alice?.login)
        #expect(again?.credential != alice?.credential)
        #expect(door.user("Bearer \(other)")?.owner == 3)
        #expect(door.owners.text(2) == "alice")
        #expect(door.owners.text(3) == "bob")
    }

    @Test func `the admin's token has every scope and the system's number`() {
        let token = token("admin") { $0.adminPassword = Array("horse".utf8) }
        var door = Door(hasAdmin: true)
        let admin = door.user("Bearer \(token)")
        #expect(admin?.owner == 1)
        #expect(admin?.scopes == [.read, .write, .admin])
        // The password was taken away and the node started again.
        var later = Door()
        #expect(later.caller("Bearer \(token)") == .invalid)
    }

    @Test func `the admin's name in somebody else's token is invalid`() {
        func signed(_ subject: Identifier, _ name: String) -> String {
            let claims = Claims(
                subject: subject, name: UserName(name)!, expiresAtS: UInt64(noonS) + 60,
                issuedAtS: UInt64(noonS), token: Identifier(high: 1, low: 1),
                login: Identifier(high: 1, low: 2), use: .access)
            let key = accountKey
            let signer = TokenSigner(key: key.span.bytes)!
            return String(decoding: signer.sign(claims), as: UTF8.self)
        }
        let somebody = Identifier(high: 3, low: 3)
        var door = Door(hasAdmin: true)
        #expect(door.caller("Bearer " + signed(somebody, "admin")) == .invalid)
        #expect(door.caller("Bearer " + signed(.admin, "alice")) == .invalid)
        #expect(door.user("Bearer " + signed(somebody, "alice"))?.owner == 2)
        #expect(door.user("Bearer " + signed(.admin, "admin"))?.owner == 1)
    }

    @Test func `no credential is nobody`() {
        var door = Door()
        #expect(door.caller(nil) == .nobody)
        #expect(door.caller("") == .nobody)
        #expect(door.caller("  ") == .nobody)
    }

    @Test(arguments: ["Basic YWxpY2U6aG9yc2U=", "Bearer", "Bearer ", "Bearer x", "Bearer a.b.c"])
    func `another scheme or no token is invalid`(_ header: String) {
        var door = Door()
        #expect(door.caller(header) == .invalid)
    }

    @Test func `no key has been issued, so none is in force, whatever is beside it`() {
        let token = token("alice")
        var door = Door()
        let key = "ntl_" + String(repeating: "A", count: 43)
        #expect(door.caller(nil, apiKey: key) == .invalid)
        #expect(door.caller("Bearer \(token)", apiKey: key) == .invalid)
    }

    @Test func `a token ends when it says, remembered or not`() {
        let token = token("alice") { $0.jwtExpirationMs = 5000 }
        var late = Door()
        #expect(late.caller("Bearer \(token)", nowS: noonS + 5) == .invalid)
        var door = Door()
        #expect(door.user("Bearer \(token)", nowS: noonS) != nil)
        #expect(door.user("Bearer \(token)", nowS: noonS + 4) != nil)
        #expect(door.caller("Bearer \(token)", nowS: noonS + 5) == .invalid)
        #expect(door.caller("Bearer \(token)", nowS: noonS + 6) == .invalid)
    }

    @Test func `another key's token is invalid`() {
        let token = token("alice")
        var door = Door(key: Array("another signing key, just as long as that".utf8))
        #expect(door.caller("Bearer \(token)") == .invalid)
        #expect(door.owners.count == 0)
    }

    @Test func `a token with any one character changed is invalid`() {
        let token = Array(token("alice").utf8)
        var door = Door()
        #expect(door.user("Bearer " + String(decoding: token, as: UTF8.self)) != nil)
        for place in 0..<token.count {
            var forged = token
            // The last character holds two bits that decode to nothing: a decoder that is strict
            // about them refuses every other one too.
            forged[place] =
                forged[place] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(
                door.caller("Bearer " + String(decoding: forged, as: UTF8.self)) == .invalid,
                "character \(place)")
        }
    }
}
