/// What one thread is to send.
struct LoadPlan: Sendable {
    enum Language: Sendable { case http, resp }

    var language = Language.http
    var thread = 0
    var threads = 1
    /// This thread's own.
    var connections = 64
    var pipeline = 1
    /// The share of requests that read.
    var readShare = 1.0

    /// Requests a second of all threads together; nil is a closed loop.
    var rate: Double? = nil
    var arrivals = Arrivals.Kind.poisson

    var keys = 1
    var distribution = KeyChoice.Distribution.uniform
    var zipfExponent = 0.99
    var seed: UInt64 = 1

    var warmupNs: UInt64 = 0
    var durationNs: UInt64 = 0
    /// This thread's own, when the run ends by number and not by time.
    var requestsMax: UInt64? = nil
    var timeoutNs: UInt64 = 5_000_000_000
    var drainNs: UInt64 = 2_000_000_000
}

extension InlineArray where Element == UInt64 {
    var total: UInt64 {
        var sum: UInt64 = 0
        for place in indices { sum += self[place] }
        return sum
    }
}
