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
}

/// A small HTTP and event-stream server that errs on purpose and keeps count of it, so that an
/// instrument can be shown to report just that. A thread for each connection, everything blocking.
///
/// `GET /…/subscribe/KEY` is a stream; a `PUT` or `POST` to a path that ends in KEY is answered and
/// its body sent to the key's streams; anything else is answered with `ok`.
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
    }

    private struct Stream {
        let fd: Int32
        let key: Substring
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
        if words[0] == "GET", words[1].contains("/subscribe/") { return subscribe(fd, key) }

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

    private func subscribe(_ fd: Int32, _ key: Substring) -> Bool {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\n"
            + "retry: 2000\n\n: welcome\n\n"
        guard write(fd, head) else { return false }
        state.withLock { $0.streams.append(Stream(fd: fd, key: key)) }
        return true
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
            let frame = Array("id: \(event)\ndata: ".utf8) + body + [10, 10]
            for place in streams { deliver(frame, to: place) }
        }
    }

    private func deliver(_ frame: [UInt8], to place: Int) {
        let (fd, frames) = state.withLock { state -> (Int32, [[UInt8]]) in
            guard place < state.streams.count else { return (-1, []) }
            state.streams[place].count += 1
            let number = state.streams[place].count
            var frames: [[UInt8]] = []
            if Self.isDue(number, faults.droppedEvery) {
                state.injected.dropped += 1
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
