/// Who of a shard's connections listens to which channels and patterns.
struct Channels {
    private var channels: [[UInt8]: [UInt32]] = [:]
    private(set) var patterns: [(pattern: [UInt8], listeners: [UInt32])] = []

    var isEmpty: Bool { channels.isEmpty && patterns.isEmpty }
    var names: some Sequence<[UInt8]> { channels.keys }

    func listeners(of channel: [UInt8]) -> [UInt32] { channels[channel] ?? [] }

    mutating func add(_ connection: UInt32, to channel: [UInt8]) {
        channels[channel, default: []].append(connection)
    }

    mutating func remove(_ connection: UInt32, from channel: [UInt8]) {
        channels[channel]?.removeAll { $0 == connection }
        if channels[channel]?.isEmpty == true { channels[channel] = nil }
    }

    mutating func add(_ connection: UInt32, toPattern pattern: [UInt8]) {
        if let place = patterns.firstIndex(where: { $0.pattern == pattern }) {
            patterns[place].listeners.append(connection)
        } else {
            patterns.append((pattern, [connection]))
        }
    }

    mutating func remove(_ connection: UInt32, fromPattern pattern: [UInt8]) {
        guard let place = patterns.firstIndex(where: { $0.pattern == pattern }) else { return }
        patterns[place].listeners.removeAll { $0 == connection }
        if patterns[place].listeners.isEmpty { patterns.remove(at: place) }
    }
}
