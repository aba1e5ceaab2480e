import Glibc
import Identity
import Machine
import Options
import Testing

@testable import Node

/// A directory of one test, gone with it.
private struct Folder: ~Copyable {
    let path: String

    init() {
        var template = Array(
            ("/tmp/needletail-key-" + String(repeating: "X", count: 6)).utf8CString)
        _ = mkdtemp(&template)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for name in ["jwt-key", "jwt-key.new", "elsewhere", "hash-seed"] {
            unlink("\(path)/\(name)")
        }
        rmdir(path)
    }

    var keyPath: String { path + "/jwt-key" }

    func content() -> [UInt8] {
        let fd = open(keyPath, O_RDONLY)
        defer { close(fd) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = read(fd, &bytes, bytes.count)
        return Array(bytes.prefix(max(0, count)))
    }

    func write(_ bytes: [UInt8], to name: String = "jwt-key") {
        let fd = open("\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        defer { close(fd) }
        _ = Glibc.write(fd, bytes, bytes.count)
    }

    func key(_ configured: String? = nil) throws(SystemError) -> [UInt8] {
        try SigningKey.open(
            configured: configured.map { Options.Secret($0) }, directory: path)
    }
}

@Suite("The signing key") struct SigningKeyTests {
    @Test func `a key is made once, for this user alone, and found again`() throws {
        let folder = Folder()
        let key = try folder.key()
        #expect(key.count == 32)
        #expect(try folder.key() == key)
        var status = stat()
        #expect(stat(folder.keyPath, &status) == 0)
        #expect(status.st_mode & 0o7777 == 0o600)
        #expect(access(folder.path + "/jwt-key.new", F_OK) == -1)
        let another = Folder()
        #expect(try another.key() != key)
    }

    @Test func `what a crash left beside it is no hindrance`() throws {
        let folder = Folder()
        folder.write([1, 2, 3], to: "jwt-key.new")
        let key = try folder.key()
        #expect(try folder.key() == key)
    }

    @Test func `the operator's key is taken as it is and nothing is written`() throws {
        let folder = Folder()
        let text = "0123456789abcdef0123456789abcdef"
        #expect(try folder.key(text) == Array(text.utf8))
        #expect(access(folder.keyPath, F_OK) == -1)
    }

    @Test func `an operator's key too short for HS256 is refused with a remedy`() {
        let folder = Folder()
        let error = #expect(throws: SystemError.self) { try folder.key("0123456789abcdef") }
        #expect(error?.description.contains("JWT_SECRET") == true)
        #expect(error?.description.contains("openssl rand -hex 32") == true)
    }

    @Test func `a damaged file stops the start, whatever the damage`() throws {
        let folder = Folder()
        _ = try folder.key()
        let whole = folder.content()
        var renamed = whole
        renamed[0] ^= 1
        let damages: [[UInt8]] = [
            [], Array(whole.dropLast()), whole + [0], renamed,
            [UInt8](repeating: 0, count: whole.count),
            Array(whole.prefix(8)) + [UInt8](repeating: 0, count: 32),
        ]
        for damage in damages {
            folder.write(damage)
            let error = #expect(throws: SystemError.self) { try folder.key() }
            #expect(error?.description.contains(folder.keyPath) == true)
            #expect(error?.description.contains("delete it") == true)
            #expect(folder.content() == damage)
        }
        folder.write(whole)
        #expect(try folder.key() == Array(whole.dropFirst(8)))
    }

    @Test func `a link is not followed`() {
        let folder = Folder()
        folder.write([UInt8](repeating: 7, count: 40), to: "elsewhere")
        #expect(symlink("elsewhere", folder.keyPath) == 0)
        let error = #expect(throws: SystemError.self) { try folder.key() }
        #expect(error?.description.contains(folder.keyPath) == true)
    }
}

@Suite("Where a connection comes from") struct PeerAddressTests {
    /// The address that a listener on `host` sees of a client on the same machine; nil where the
    /// machine has no such address.
    private func seen(_ host: String) throws -> IPAddress? {
        guard let address = try? SocketAddress.resolve(host: host, port: 0),
            let listener = try? Listener.listen(on: address)
        else { return nil }
        var place = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutableBytes(of: &place) { bytes in
            let place = bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            #expect(getsockname(listener.fd, place, &length) == 0)
            let client = socket(
                Int32(place.pointee.sa_family), Int32(SOCK_STREAM.rawValue), 0)
            defer { close(client) }
            #expect(connect(client, place, length) == 0)
            let accepted = accept(listener.fd, nil, nil)
            defer { close(accepted) }
            return PeerAddress.of(accepted)
        }
    }

    @Test func `an IPv4 peer`() throws {
        #expect(try seen("127.0.0.1") == IPAddress("127.0.0.1"))
    }

    @Test func `an IPv6 peer, where the machine has IPv6`() throws {
        if let address = try seen("::1") { #expect(address == IPAddress("::1")) }
    }

    @Test func `a socket without a peer is nowhere`() {
        #expect(PeerAddress.of(-1) == IPAddress(high: 0, low: 0))
        var pair: [Int32] = [-1, -1]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        defer { pair.forEach { close($0) } }
        #expect(PeerAddress.of(pair[0]) == IPAddress(high: 0, low: 0))
    }
}

@Suite("The seed of the keys' hashes") struct KeyspaceSeedTests {
    @Test func `a start hashes as the one before it did, and another node in its own way`() throws {
        let folder = Folder()
        let seed = try KeyspaceSeed.open(folder.path)
        #expect(try KeyspaceSeed.open(folder.path) == seed)
        var status = stat()
        #expect(stat(folder.path + "/hash-seed", &status) == 0)
        #expect(status.st_mode & 0o7777 == 0o600)
        let another = Folder()
        #expect(try KeyspaceSeed.open(another.path) != seed)
    }

    @Test func `a damaged seed is made anew: nothing stored depends on it`() throws {
        let folder = Folder()
        for damage: [UInt8] in [
            [], [1, 2, 3], Array("NTLSEED1".utf8), Array(repeating: 7, count: 99),
        ] {
            folder.write(damage, to: "hash-seed")
            let seed = try KeyspaceSeed.open(folder.path)
            #expect(try KeyspaceSeed.open(folder.path) == seed)
        }
    }
}
