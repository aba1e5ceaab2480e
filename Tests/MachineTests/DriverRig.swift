import Glibc
import Testing

@testable import Machine

/// The drivers under test: each must behave as the others do.
enum DriverKind: String, CaseIterable, Codable, Sendable {
    case uring
    /// What a kernel before 6.0 would give.
    case uringOneByOne = "uring, one by one"
    case epoll

    func make(_ limits: DriverLimits, _ waker: Waker) throws -> Driver {
        switch self {
        case .uring: try Driver.uring(limits: limits, features: .all, waker: waker)
        case .uringOneByOne:
            try Driver.uring(
                limits: limits,
                features: IOFeatures.all.subtracting([.multishotAccept, .multishotReceive]),
                waker: waker)
        case .epoll: try Driver.epoll(limits: limits, waker: waker)
        }
    }
}

/// A driver with an owner that keeps the contract and writes down everything that happens.
final class DriverRig {
    static let patienceMs: UInt64 = 10_000

    let driver: Driver
    let waker: Waker
    /// What happened to each socket, in order; bytes are in `heard`.
    private(set) var seen: [UInt32: [Completion.Kind]] = [:]
    private(set) var results: [UInt32: [Completion.Kind: Int32]] = [:]
    private(set) var heard: [UInt32: [UInt8]] = [:]
    private(set) var accepted: [Int32] = []
    private(set) var acceptStops: [Int32] = []
    private(set) var wakeUps = 0
    /// Receive buffers that are not given back while this is set.
    var keepsBuffers = false
    private(set) var kept: [UInt16] = []
    /// Called with each completion, in the middle of the batch.
    var onCompletion: (Completion) -> Void = { _ in }

    init(
        _ kind: DriverKind, sockets: Int = 64, buffers: Int = 16, bufferBytes: Int = 4096,
        batch: Int = 32
    ) throws {
        waker = try Waker.make()
        driver = try kind.make(
            DriverLimits(
                socketsMax: sockets, receiveBufferCount: buffers, receiveBufferBytes: bufferBytes,
                batchMax: batch), waker)
    }

    func end() {
        driver.destroy()
        waker.close()
    }

    /// One wait and what it brought; how many completions that were.
    @discardableResult
    func turn(timeoutMs: UInt64? = 0) -> Int {
        let batch = driver.wait(timeoutMs: timeoutMs)
        for completion in batch {
            note(completion)
            onCompletion(completion)
        }
        return batch.count
    }

    /// Turns until something has become so. It blocks in the driver as a shard does, so a driver
    /// that forgets somebody is found out.
    func until(_ condition: () -> Bool) -> Bool {
        let end = Clock.monotonicMs() + Self.patienceMs
        while !condition() {
            let now = Clock.monotonicMs()
            if now >= end { return false }
            turn(timeoutMs: end - now)
        }
        return true
    }

    /// Turns for a while, to see that nothing more comes.
    func settle(ms: UInt64 = 30) {
        let end = Clock.monotonicMs() + ms
        while Clock.monotonicMs() < end { turn(timeoutMs: 5) }
    }

    func giveBuffersBack() {
        keepsBuffers = false
        for buffer in kept { driver.recycle(buffer) }
        kept = []
    }

    func count(_ kind: Completion.Kind, of index: UInt32) -> Int {
        seen[index, default: []].count { $0 == kind }
    }

    func forget(_ index: UInt32) {
        seen[index] = nil
        heard[index] = nil
        results[index] = nil
    }

    func close(_ index: UInt32) -> Bool {
        driver.close(index)
        return until { count(.closed, of: index) > 0 }
    }

    private func note(_ completion: Completion) {
        switch completion.kind {
        case .accepted: accepted.append(completion.result)
        case .acceptStopped: acceptStops.append(completion.result)
        case .woken: wakeUps += 1
        case .received:
            let bytes = UnsafeBufferPointer(
                start: driver.bytes(ofBuffer: completion.buffer), count: Int(completion.result))
            heard[completion.index, default: []] += bytes
            if keepsBuffers {
                kept.append(completion.buffer)
            } else {
                driver.recycle(completion.buffer)
            }
            fallthrough
        case .ended, .sent, .closed:
            seen[completion.index, default: []].append(completion.kind)
            results[completion.index, default: [:]][completion.kind] = completion.result
        }
    }
}

/// The peer of a driver's socket: plain calls, so that nothing under test tests itself.
struct Peer {
    let fd: Int32

    /// A connected pair; the driver's end first.
    static func pair() -> (ours: Int32, peer: Peer) {
        var ends: [Int32] = [-1, -1]
        precondition(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        return (ends[0], Peer(fd: ends[1]))
    }

    /// A connection to a listener on this machine.
    static func connect(to address: SocketAddress) -> Peer {
        let fd = socket(Int32(address.storage.ss_family), Int32(SOCK_STREAM.rawValue), 0)
        var storage = address.storage
        let result = withUnsafePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(fd, $0, address.length)
            }
        }
        precondition(result == 0, "connect: \(errno)")
        return Peer(fd: fd)
    }

    func say(_ bytes: [UInt8]) {
        precondition(send(fd, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count)
    }

    func say(_ text: String) { say(Array(text.utf8)) }

    /// What is here now, without waiting.
    func hear(most: Int = 1 << 20) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: most)
        let count = recv(fd, &bytes, most, Int32(MSG_DONTWAIT))
        return Array(bytes.prefix(max(0, count)))
    }

    func finishSaying() { shutdown(fd, Int32(SHUT_WR)) }

    func close() { Glibc.close(fd) }

    /// Ends a TCP connection with a RST.
    func reset() {
        var hard = linger(l_onoff: 1, l_linger: 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, socklen_t(MemoryLayout<linger>.size))
        close()
    }
}

/// How many descriptors this process has.
func openDescriptors() -> Int { descriptorTargets().count }

/// What the descriptors of this process lead to. A socket has a name of its own there, so that
/// tests which run at the same time do not disturb each other.
func descriptorTargets() -> [String] {
    guard let folder = opendir("/proc/self/fd") else { return [] }
    defer { closedir(folder) }
    var targets: [String] = []
    while let entry = readdir(folder) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if let target = descriptorTarget(name) { targets.append(target) }
    }
    return targets
}

func descriptorTarget(_ name: String) -> String? {
    var bytes = [UInt8](repeating: 0, count: 256)
    let count = bytes.withUnsafeMutableBytes {
        readlink("/proc/self/fd/\(name)", $0.baseAddress!, $0.count)
    }
    return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
}

/// How many threads are called so; kernel threads that work for this process count.
func threadsOfThisProcess(named name: String) -> Int {
    let folderPath = "/proc/self/task"
    guard let folder = opendir(folderPath) else { return -1 }
    defer { closedir(folder) }
    var count = 0
    while let entry = readdir(folder) {
        let entryName = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        guard let file = fopen("\(folderPath)/\(entryName)/comm", "r") else { continue }
        defer { fclose(file) }
        var line = [UInt8](repeating: 0, count: 64)
        let size = fread(&line, 1, line.count, file)
        if String(decoding: line[..<size], as: UTF8.self).hasPrefix(name) { count += 1 }
    }
    return count
}
