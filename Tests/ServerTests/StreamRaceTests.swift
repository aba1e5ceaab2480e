import Glibc
import Synchronization
import TestClient
import Testing

/// Writers write as fast as they can while listeners come, go and come back at random.
@Suite(.serialized) struct `Listeners among writers` {
    private static let keys = (0..<12).map { "k\($0)" }

    /// What one listener has been told, and what of it its last id covers.
    private struct Told {
        var versions: [String: Int] = [:]
        var values: [String: String] = [:]
        var faults: [String] = []

        mutating func hear(_ message: Feed.Message) {
            if message.name == "reset" {
                versions = [:]
                values = [:]
            }
            guard message.name == nil, let key = message.key, let version = message.version else {
                return
            }
            if let before = versions[key], version <= before {
                faults.append("\(key) went from \(before) to \(message)")
            }
            versions[key] = version
            values[key] = message.value
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `each ends at the true state, and hears of a key in order`(_ shape: NodeShape) throws {
        let server = try shape.start(["--heartbeat", "1s"])
        let token = try server.token("alice", "alice's secret")
        let port = server.port
        let seed = UInt64(monotonicNs() & 0xFFFF)
        let stops = Atomic(false)
        let until = Deadline.after(ms: isSoak ? 60_000 : 2_500)
        let writers = 2
        let faults = try atOnce(isSoak ? 24 : 10) { number -> [String] in
            var dice = Dice(seed: seed &+ UInt64(number) &* 7919)
            if number < writers {
                let caller = Caller(try Client(port: port), token)
                while !until.isOver {
                    let path = "/t/key/\(Self.keys[dice.roll(12)])"
                    switch dice.roll(20) {
                    case 0, 1: _ = try caller.delete(path)
                    case 2: _ = try caller.put(path + "?ttl=1s", "\(dice.roll(1000))")
                    default:
                        let pad = String(repeating: "x", count: [0, 10, 1000][dice.roll(3)])
                        _ = try caller.put(path, "\"\(dice.roll(1_000_000))\(pad)\"")
                    }
                }
                if number == 0 {
                    // What expires has done so before anybody compares.
                    nap(ms: 1_300)
                    stops.store(true, ordering: .sequentiallyConsistent)
                }
                return []
            }
            let mine: [String]
            let target: String
            switch number % 3 {
            case 0:
                mine = [Self.keys[dice.roll(12)]]
                target = "/t/subscribe/\(mine[0])"
            case 1:
                mine = Self.keys.filter { $0.hasPrefix("k1") }
                target = "/t/subscribe?prefix=k1"
            default:
                mine = [2, 5, 7].map { Self.keys[$0] }
                target = "/subscribe?" + mine.map { "topic=t/\($0)" }.joined(separator: "&")
            }
            var told = Told()
            var covered = Told()
            var lastID: String? = nil
            while true {
                let isFinal = stops.load(ordering: .sequentiallyConsistent)
                // Told again may be what no id has covered.
                told = lastID == nil ? Told(faults: told.faults) : covered
                covered.faults = told.faults
                let feed = try Feed(
                    try Client(port: port), target,
                    lastID.map { "Last-Event-ID: \($0)\r\n" } ?? "")
                let patience = isFinal ? 300 : [2, 20, 200][dice.roll(3)]
                let end = Deadline.after(ms: patience)
                var known = lastID
                while isFinal || !end.isOver {
                    let message = try feed.next(withinMs: isFinal ? 300 : 20)
                    // An id by itself covers all that came before it.
                    if feed.lastID != known, message?.id == nil { covered = told }
                    known = feed.lastID
                    guard let message else {
                        if isFinal || feed.hasEnded { break }
                        continue
                    }
                    told.hear(message)
                    if message.id != nil { covered = told }
                }
                covered.faults = told.faults
                guard isFinal else {
                    lastID = dice.roll(10) < 7 ? feed.lastID : nil
                    if lastID == nil { covered = Told(faults: told.faults) }
                    feed.close()
                    continue
                }
                let asker = Caller(try Client(port: port), nil)
                for key in mine {
                    let record = try asker.get("/t/key/\(key)")
                    let value = record.status == 200 ? record.json?["value"]?.text : nil
                    if told.values[key] != value {
                        told.faults.append(
                            "\(key) is \(value ?? "gone"), not \(told.values[key] ?? "gone")")
                    }
                }
                return told.faults
            }
        }
        for fault in faults.joined() { Issue.record("seed \(seed): \(fault)") }
        #expect(server.answers)
    }
}
