import CMachine
import Glibc
import Machine

/// What is to go wrong. Requests and events are counted from 1; 0 is never.
public struct Faults: Sendable {
    /// How long each request is thought about, by its number.
    public var delayUs: @Sendable (Int) -> Int = { _ in 0 }
    /// Every n-th request is never answered, or answered by the end of the connection.
    public var unansweredEvery = 0
    public var closedEvery = 0
    public var refusedEvery = 0
    /// Once, so long after the first request, nothing is answered for so long.
    public var stallAtMs = 0
    public var stallMs = 0

    /// Every n-th event of each listener is left out, sent twice, sent after the next one.
    public var droppedEvery = 0
    public var doubledEvery = 0
    public var swappedEvery = 0
    /// Every n-th event goes out to all listeners so much later.
    public var heldEvery = 0
    public var heldMs = 0
    /// Frames are written in two parts, cut in the middle.
    public var splits = false
    /// Every n-th event of each listener is left out, and the listener told so.
    public var laggedEvery = 0
    /// After every n-th event of each listener its stream ends.
    public var cutEvery = 0
    /// What a listener gets that comes back with the id of its last event.
    public enum Resumption: Sendable { case replay, replayOneTooMany, reset, silence }
    public var resumption = Resumption.replay
    /// Streams begin with the present state, where there is one.
    public var tellsState = false

    public init() {}
}

/// How often each of them really happened.
public struct Injected: Sendable, Equatable {
    public var requests = 0
    public var unanswered = 0
    public var closed = 0
    public var refused = 0
    public var events = 0
    public var deliveries = 0
    public var dropped = 0
    public var doubled = 0
    public var swapped = 0
    public var held = 0
    public var lagged = 0
    public var cut = 0
    public var resumed = 0
    public var pongs = 0
}

/// A small HTTP and event-stream server that errs on purpose and keeps count of it, so that an
/// instrument can be shown to report just that. A thread for each connection, everything blocking.
///
/// `GET /…/subscribe/KEY` is a stream; a `PUT` or `POST` to a path that ends in KEY is answered and
/// its body sent to the key's streams; anything else is answered with `ok`. A stream that is asked
/// for with `Upgrade` is one of WebSocket messages, and begins with a ping.
public final class FaultyServer: Sendable {
    public let port: UInt16
    private let listenerFD: Int32
    private let faults: Faults
    private let state = Guarded(State())
    /// How many events have been taken; they go out one after another, in that order.
    private let fanOut = Guarded(0)

    private struct State {
        var injected = Injected()
        var firstNs: UInt64 = 0
        var open: Set<Int32> = []
        var streams: [Stream] = []
        var isStopping = false
        /// All events, in the order in which they went out.
        var history: [(number: Int, key: Substring, body: [UInt8])] = []
    }

    private struct Stream {
        let fd: Int32
        let key: Substring
        let isWebSocket: Bool
        var count = 0
        var heldBack: [UInt8]? = nil
    }

    public init(_ faults: Faults = Faults()) throws {
        self.faults = faults
        let address = try SocketAddress.resolve(host: "127.0.0.1", port: 0)
        let listener = try Listener.listen(on: address)
        port = listener.address.port
        listenerFD = listener.release()
        let thread = try Machine.Thread.start(name: "faulty accept") { [self] in acceptAll() }
        _ = consume thread
    }

    public var injected: Injected { state.withLock { $0.injected } }

    public func stop() {
        state.withLock { state in
            state.isStopping = true
            for fd in state.open { shutdown(fd, Int32(SHUT_RDWR)) }
        }
        shutdown(listenerFD, Int32(SHUT_RDWR))
        close(listenerFD)
    }

    // MARK: Connections

    private func acceptAll() {
        while true {
            let fd = accept(listenerFD, nil, nil)
            if fd < 0 { return }
            let isStopping = state.withLock { state in
                state.open.insert(fd)
                return state.isStopping
            }
            if isStopping { return end(fd) }
            guard
                let thread = try? Machine.Thread.start(
                    name: "faulty", { [self] in serve(fd) })
            else { return end(fd) }
            _ = consume thread
        }
    }

    private func end(_ fd: Int32) {
        state.withLock { state in
            _ = state.open.remove(fd)
            state.streams.removeAll { $0.fd == fd }
        }
        close(fd)
    }

    private func serve(_ fd: Int32) {
        defer { end(fd) }
        var pending: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            if pending.first == 0x8A {
                // A pong, and there is nothing else that a WebSocket's client sends.
                state.withLock { $0.injected.pongs += 1 }
                pending = []
            }
            while let (head, body, count) = Self.request(in: pending) {
                pending.removeFirst(count)
                guard answer(fd, head, body) else { return }
            }
            let count = recv(fd, &block, block.count, 0)
            if count <= 0 { return }
            pending += block[..<count]
        }
    }

    /// A whole request at the beginning of the bytes.
    private static func request(in bytes: [UInt8]) -> (String, [UInt8], Int)? {
        guard bytes.count >= 4 else { return nil }
        for place in 0...(bytes.count - 4)
        where bytes[place] == 13 && bytes[place + 1] == 10 && bytes[place + 2] == 13 {
            let head = String(decoding: bytes[..<place], as: UTF8.self)
            var length = 0
            for line in head.split(separator: "\r\n")
            where line.lowercased().hasPrefix("content-length:") {
                length = Int(line.dropFirst(15).drop { $0 == " " }) ?? 0
            }
            let end = place + 4 + length
            guard bytes.count >= end else { return nil }
            return (head, Array(bytes[(place + 4)..<end]), end)
        }
        return nil
    }

    // MARK: Answers

    /// False: the connection is to end.
    private func answer(_ fd: Int32, _ head: String, _ body: [UInt8]) -> Bool {
        let words = head.prefix { $0 != "\r\n" }.split(separator: " ")
        guard words.count == 3, let key = words[1].split(separator: "/").last else { return false }
        if words[0] == "GET", words[1].contains("/subscribe/") { return subscribe(fd, key, head) }

        let number = state.withLock { state in
            state.injected.requests += 1
            if state.firstNs == 0 { state.firstNs = Clock.monotonicNs() }
            return state.injected.requests
        }
        let delay = faults.delayUs(number)
        if delay > 0 { usleep(UInt32(delay)) }
        waitForStallsEnd()
        if Self.isDue(number, faults.unansweredEvery) {
            state.withLock { $0.injected.unanswered += 1 }
            return true
        }
        if Self.isDue(number, faults.closedEvery) {
            state.withLock { $0.injected.closed += 1 }
            return false
        }
        if Self.isDue(number, faults.refusedEvery) {
            state.withLock { $0.injected.refused += 1 }
            return write(fd, "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
        }
        guard write(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") else { return false }
        if words[0] != "GET" { publish(key, body) }
        return true
    }

    private func waitForStallsEnd() {
        guard faults.stallMs > 0 else { return }
        let stallNs = state.withLock { $0.firstNs } + UInt64(faults.stallAtMs) * 1_000_000
        let endNs = stallNs + UInt64(faults.stallMs) * 1_000_000
        let nowNs = Clock.monotonicNs()
        if nowNs >= stallNs, nowNs < endNs { usleep(UInt32((endNs - nowNs) / 1000)) }
    }

    private static func isDue(_ number: Int, _ every: Int) -> Bool {
        every > 0 && number % every == 0
    }

    private func subscribe(_ fd: Int32, _ target: Substring, _ head: String) -> Bool {
        let parts = target.split(separator: "?")
        let key = parts[0]
        let isWebSocket = head.contains("Upgrade: websocket")
        let id =
            Self.field("Last-Event-ID: ", head)
            ?? parts.dropFirst().first.flatMap { Self.field("lastEventId=", String($0)) }
        // No event goes out between what the stream begins with and what follows.
        return fanOut.withLock { _ in
            let opening =
                isWebSocket
                ? "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    + "Connection: Upgrade\r\n"
                    + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                : "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                    + "Cache-Control: no-store\r\n\r\nretry: 100\n\n: welcome\n\n"
            guard write(fd, opening) else { return false }
            if isWebSocket { _ = write(fd, [0x89, 2, 0x68, 0x69]) }
            for frame in beginning(key, from: id.flatMap { Int($0) }, isWebSocket) {
                _ = write(fd, frame)
            }
            let stream = Stream(fd: fd, key: key, isWebSocket: isWebSocket)
            state.withLock { $0.streams.append(stream) }
            return true
        }
    }

    private static func field(_ name: String, _ text: String) -> String? {
        for line in text.split(separator: "\r\n") where line.hasPrefix(name) {
            return String(line.dropFirst(name.count))
        }
        return nil
    }

    /// What a stream begins with: what it missed since the id, or the state.
    private func beginning(_ key: Substring, from id: Int?, _ isWebSocket: Bool) -> [[UInt8]] {
        let past = state.withLock { state in
            if id != nil { state.injected.resumed += 1 }
            return state.history.filter { $0.key == key }
        }
        var frames: [[UInt8]] = []
        if let id {
            switch faults.resumption {
            case .replay, .replayOneTooMany:
                let from = faults.resumption == .replay ? id : id - 1
                return past.filter { $0.number > from }.map {
                    Self.frame($0.number, $0.body, isWebSocket)
                }
            case .silence: return []
            case .reset: frames.append(Self.control("reset", "", isWebSocket))
            }
        }
        if faults.tellsState || id != nil, let last = past.last {
            let state = Array("{\"initial\":true,".utf8) + last.body.dropFirst()
            frames.append(Self.frame(last.number, state, isWebSocket))
        }
        return frames
    }

    private static func frame(_ number: Int, _ body: [UInt8], _ isWebSocket: Bool) -> [UInt8] {
        guard isWebSocket else { return Array("id: \(number)\ndata: ".utf8) + body + [10, 10] }
        return text(
            Array("{\"id\":\"\(number)\",\"event\":\"Updated\",".utf8) + body.dropFirst())
    }

    private static func control(_ name: String, _ member: String, _ isWebSocket: Bool) -> [UInt8] {
        isWebSocket
            ? text(
                Array("{\"event\":\"\(name)\"\(member.isEmpty ? "" : ",")\(member)}".utf8))
            : Array("event: \(name)\ndata: {\(member)}\n\n".utf8)
    }

    /// One WebSocket message of text.
    private static func text(_ payload: [UInt8]) -> [UInt8] {
        let count = payload.count
        return count < 126
            ? [0x81, UInt8(count)] + payload
            : [0x81, 126, UInt8(count >> 8), UInt8(count & 255)] + payload
    }

    // MARK: Events

    private func publish(_ key: Substring, _ body: [UInt8]) {
        fanOut.withLock { event in
            event += 1
            let streams = state.withLock { state in
                state.injected.events += 1
                return state.streams.indices.filter { state.streams[$0].key == key }
            }
            if Self.isDue(event, faults.heldEvery) {
                state.withLock { $0.injected.held += 1 }
                usleep(UInt32(faults.heldMs * 1000))
            }
            state.withLock { $0.history.append((event, key, body)) }
            for place in streams { deliver(event, body, to: place) }
            for fd in state.withLock({ Self.due(&$0, faults.cutEvery) }) {
                shutdown(fd, Int32(SHUT_RDWR))
            }
        }
    }

    /// Takes the streams off that are to end now.
    private static func due(_ state: inout State, _ every: Int) -> [Int32] {
        let ending = state.streams.filter { $0.count > 0 && isDue($0.count, every) }.map(\.fd)
        state.injected.cut += ending.count
        state.streams.removeAll { ending.contains($0.fd) }
        return ending
    }

    private func deliver(_ event: Int, _ body: [UInt8], to place: Int) {
        let (fd, frames) = state.withLock { state -> (Int32, [[UInt8]]) in
            guard place < state.streams.count else { return (-1, []) }
            state.streams[place].count += 1
            let number = state.streams[place].count
            let isWebSocket = state.streams[place].isWebSocket
            let frame = Self.frame(event, body, isWebSocket)
            var frames: [[UInt8]] = []
            if Self.isDue(number, faults.droppedEvery) {
                state.injected.dropped += 1
            } else if Self.isDue(number, faults.laggedEvery) {
                state.injected.lagged += 1
                let words = Self.control("lagged", "\"skipped\":1", isWebSocket)
                return (state.streams[place].fd, [words])
            } else if Self.isDue(number, faults.doubledEvery) {
                state.injected.doubled += 1
                frames = [frame, frame]
            } else if Self.isDue(number, faults.swappedEvery),
                state.streams[place].heldBack == nil
            {
                state.streams[place].heldBack = frame
                return (-1, [])
            } else {
                frames = [frame]
            }
            // A dropped one does not overtake anybody.
            if let late = state.streams[place].heldBack, !frames.isEmpty {
                state.streams[place].heldBack = nil
                state.injected.swapped += 1
                frames.append(late)
            }
            state.injected.deliveries += frames.count
            return (state.streams[place].fd, frames)
        }
        for frame in frames {
            guard faults.splits else {
                _ = write(fd, frame)
                continue
            }
            _ = write(fd, Array(frame[..<(frame.count / 2)]))
            _ = write(fd, Array(frame[(frame.count / 2)...]))
        }
    }

    private func write(_ fd: Int32, _ text: String) -> Bool { write(fd, Array(text.utf8)) }

    private func write(_ fd: Int32, _ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                send(fd, buffer.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return false }
            sent += count
        }
        return true
    }
}
