/// Everything a run was told, typed and within range.
struct Settings: Sendable {
    enum Command: String, CaseIterable, Sendable { case get, put, mixed, push, hold, resp, verify }
    enum DriverChoice: String, CaseIterable, Sendable { case auto, uring, epoll }
    enum RESPCommand: String, CaseIterable, Sendable {
        case get, set, mixed, ping, incr, lpush, lpop
    }
    enum Body: String, CaseIterable, Sendable { case json, raw }

    var command = Command.get
    var host = "127.0.0.1"
    var port: UInt16 = 6660
    /// Asked for as it is; nil: keys of the table.
    var path: String?

    // How much.
    var connections = 64
    var threads = 1
    var pipeline = 1
    var durationMs = 10_000
    var warmupMs = 1_000
    var requests: Int?
    var rate: Double?
    var arrivals = Arrivals.Kind.poisson
    var timeoutMs = 5_000
    var drainMs = 2_000

    // Of what.
    var table = "bench"
    var keys = 10_000
    var size = 256
    var isWords = false
    var reads = 0.9
    var distribution = KeyChoice.Distribution.uniform
    var zipfExponent = 0.99
    var respCommand = RESPCommand.get
    var fills = false
    var seed = 1

    // Live updates.
    var listeners = 1_000
    var writers = 1
    var stopped = 0
    var isWebSocket = false
    var staleMs = 1_000
    var subscribePath: String?
    var publishPath: String?
    var publishMethod = "PUT"
    var body = Body.json
    /// Written as it is, in place of a value.
    var payload: String?

    // How.
    var driver = DriverChoice.auto
    var sources = 1
    var cpus: [Int] = []
    var headers: [String] = []
    var user: String?
    var pid: Int?
    var cgroup: String?

    // Of verify.
    var needletail: String?
    var launcher: String?
    var only: [String] = []

    // What is printed.
    var isJSON = false
    var isQuiet = false
    var label = ""

    var target: String { "\(host.contains(":") ? "[\(host)]" : host):\(port)" }
    var keyPath: String { path ?? "/\(table)/key/\(RequestTemplate.keyPlaceholder)" }
}
