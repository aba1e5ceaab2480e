import Glibc
import Synchronization
import TestClient
import Testing

/// What the tests of tables and accounts run on: each way to the kernel, on one shard and on two.
/// On two, half of all keys belong to another shard than the connection that asks for them.
struct NodeShape: CaseIterable, Hashable, Sendable, CustomTestStringConvertible {
    var io: IODriver
    var shards: Int

    static let allCases = IODriver.allCases.flatMap { io in
        [1, 2].map { NodeShape(io: io, shards: $0) }
    }

    /// Each of the four things once: for what takes long and is decided above the driver.
    static let few = [NodeShape(io: .uring, shards: 1), NodeShape(io: .epoll, shards: 2)]

    var testDescription: String { "\(io.rawValue), \(shards) shards" }

    var options: [String] { ["--shards", "\(shards)"] }

    func start(
        _ options: [String] = [], directory: String? = nil, environment: [String] = []
    ) throws -> Server {
        try Server.start(
            io: io, self.options + options, directory: directory, environment: environment)
    }
}

/// A node that many tests share, each in tables of its own, because making an account takes a
/// password hash.
///
/// One that crashed is not shared any further: only the test that did it fails for it.
final class TableNode: @unchecked Sendable {
    static let adminPassword = "the operator's"

    let server: Server
    let alice: String
    let bob: String
    let admin: String

    private init(_ shape: NodeShape) throws {
        server = try shape.start(environment: ["ADMIN_PASSWORD=\(Self.adminPassword)"])
        alice = try server.token("alice", "alice's secret")
        bob = try server.token("bob", "bob's secret")
        admin = try server.token("admin", Self.adminPassword)
    }

    private static let nodes = Guarded<[NodeShape: TableNode]>([:])
    private static let tables = Atomic<Int>(0)

    static func shared(_ shape: NodeShape) throws -> TableNode {
        try nodes.withLock { nodes in
            if let node = nodes[shape], node.server.answers { return node }
            if nodes.isEmpty { atexit { TableNode.nodes.withLock { $0.removeAll() } } }
            let node = try TableNode(shape)
            nodes[shape] = node
            return node
        }
    }

    /// The name of a table that no other test uses.
    func table(_ about: String = "t") -> String {
        "\(about)-\(Self.tables.add(1, ordering: .relaxed).newValue)"
    }

    func asAlice() throws -> Caller { Caller(try server.connect(), alice) }
    func asBob() throws -> Caller { Caller(try server.connect(), bob) }
    func asAdmin() throws -> Caller { Caller(try server.connect(), admin) }
    func asStranger() throws -> Caller { Caller(try server.connect(), nil) }
}

/// One connection, and on whose behalf it asks.
final class Caller: Sendable {
    let client: Client
    let token: String?

    init(_ client: Client, _ token: String?) {
        self.client = client
        self.token = token
    }

    /// The field that says who asks, or nothing.
    var credentials: String { token.map { "Authorization: Bearer \($0)\r\n" } ?? "" }

    func get(_ target: String, _ headers: String = "") throws -> Reply {
        try client.ask("GET", target, credentials + headers)
    }

    func head(_ target: String, _ headers: String = "") throws -> Reply {
        try client.ask("HEAD", target, credentials + headers)
    }

    /// PUT of `{"value":…}`, or of another body.
    func put(_ target: String, _ value: String, _ headers: String = "") throws -> Reply {
        try say("PUT", target, "{\"value\":\(value)}", headers)
    }

    func patch(
        _ target: String, _ patch: String,
        _ headers: String = "Content-Type: application/merge-patch+json\r\n"
    ) throws -> Reply {
        try say("PATCH", target, patch, headers)
    }

    func delete(_ target: String, _ headers: String = "") throws -> Reply {
        try client.ask("DELETE", target, credentials + headers)
    }

    func post(_ target: String, _ body: String, _ headers: String = "") throws -> Reply {
        try say("POST", target, body, headers)
    }

    func say(
        _ method: String, _ target: String, _ body: String, _ headers: String = ""
    ) throws -> Reply {
        try client.ask(method, target, credentials + headers, body: body)
    }
}

extension Server {
    /// Logs in, or signs up where the name is new.
    func token(_ user: String, _ secret: String) throws -> String {
        let reply = try login(user, secret)
        guard reply.status == 200, let token = reply.json?["token"]?.string else {
            throw StartError(
                description: "no token for \(user): \(reply.status) \(reply.text) \(log)")
        }
        return token
    }

    func login(_ user: String, _ secret: String) throws -> Reply {
        try connect().ask(
            "POST", "/auth/\(user)", body: "{\"secret\":\(JSON.quoted(secret))}",
            withinMs: 30_000)
    }
}

/// Milliseconds since 1970.
func wallClockMs() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

/// Expects an answer of the status, and of an error its one sentence.
@discardableResult
func expect(
    _ status: Int, _ reply: Reply, _ what: String = "",
    at place: SourceLocation = #_sourceLocation
) -> Reply {
    expect([status], reply, what, at: place)
}

@discardableResult
func expect(
    _ statuses: [Int], _ reply: Reply, _ what: String = "",
    at place: SourceLocation = #_sourceLocation
) -> Reply {
    let isKnown = statuses.contains(reply.status)
    #expect(
        isKnown, "\(what): \(reply.status) \(reply.text.prefix(200)), not \(statuses)",
        sourceLocation: place)
    if isKnown, reply.status >= 400, reply.status != 412 {
        #expect(
            reply.errorSentence != nil, "\(what): \(reply.status) \(reply.text.prefix(200))",
            sourceLocation: place)
    }
    return reply
}

/// Expects a record of the value, as its text, and the version.
func expectRecord(
    _ reply: Reply, _ value: String, version: Int? = nil, owner: String? = nil,
    at place: SourceLocation = #_sourceLocation
) {
    guard let record = reply.json else {
        Issue.record("no record: \(reply.status) \(reply.text.prefix(200))", sourceLocation: place)
        return
    }
    #expect(record["value"]?.text == value, sourceLocation: place)
    if let version { #expect(record["version"]?.int == version, sourceLocation: place) }
    if let owner { #expect(record["owner"]?.string == owner, sourceLocation: place) }
}

/// Random numbers that a seed brings back: a failure names it.
struct Dice {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func roll(_ sides: Int) -> Int {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Int((state &* 0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}
