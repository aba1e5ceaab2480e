import Glibc

/// How a connection came to its end.
public enum Ending: Equatable, Sendable {
    case closed
    case reset
    case stillOpen
    /// Bytes arrived where none were due.
    case unexpected(String)

    public var isOver: Bool { self == .closed || self == .reset }
}

/// One TCP connection to the server under test.
///
/// Says what a test tells it to say and no more: no header is added, no mistake repaired. Every
/// wait ends at a deadline.
///
/// One thread may say while another hears: the two touch nothing in common but the descriptor.
public final class Client: @unchecked Sendable {
    public static let patienceMs = 10_000

    public private(set) var fd: Int32
    private var unread: [UInt8] = []
    private var start = 0

    /// - Parameter receiveBuffer: A small one makes the server feel back-pressure early. It has
    ///   to be set before connecting, since the window is agreed on then.
    public init(port: UInt16, receiveBuffer: Int32? = nil) throws(ClientError) {
        fd = socket(
            AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { throw .system("socket", errno) }
        if var size = receiveBuffer {
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, 4)
        }
        var on: Int32 = 1
        setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let outcome = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard outcome == 0 else {
            let code = errno
            Glibc.close(fd)
            fd = -1
            throw .system("connect", code)
        }
    }

    deinit { close() }

    // MARK: Saying

    public func send(_ text: String) throws(ClientError) { try send(Array(text.utf8)) }

    /// Sends all of it, waiting while the server does not read.
    public func send(_ bytes: [UInt8], withinMs: Int = patienceMs) throws(ClientError) {
        let deadline = Deadline.after(ms: withinMs)
        var sent = 0
        while sent < bytes.count {
            let count = push(bytes[sent...])
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                try wait(for: Int16(POLLOUT), until: deadline, "the server to read")
            } else if errno == EPIPE || errno == ECONNRESET {
                throw .reset
            } else {
                throw .system("send", errno)
            }
        }
    }

    /// Sends as much as the kernel takes at once; how much that was.
    public func sendWhatFits(_ bytes: [UInt8]) throws(ClientError) -> Int {
        let count = push(bytes[...])
        if count >= 0 { return count }
        if errno == EAGAIN { return 0 }
        throw errno == EPIPE || errno == ECONNRESET ? .reset : .system("send", errno)
    }

    /// Sends in pieces of one byte, each its own segment.
    ///
    /// The server may refuse half-way and close: what is left is then not sent. In the middle of something very long the pieces are
    /// larger: the thousandth filler byte shows nothing that the first hundred did not.
    public func sendByteByByte(_ bytes: [UInt8], ends: Int = 600) throws(ClientError) {
        var at = 0
        while at < bytes.count {
            let inMiddle = at >= ends && at < bytes.count - ends
            let size = inMiddle ? min(997, bytes.count - ends - at) : 1
            do throws(ClientError) {
                try send(Array(bytes[at..<at + size]))
            } catch .reset {
                return
            }
            at += size
        }
    }

    /// Half-closes: the server sees the end of what we say, and can still answer.
    public func finishSending() { shutdown(fd, Int32(SHUT_WR)) }

    /// Ends with a RST instead of a FIN.
    public func reset() {
        var hard = linger(l_onoff: 1, l_linger: 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    public func close() {
        if fd >= 0 { Glibc.close(fd) }
        fd = -1
    }

    // MARK: Hearing

    /// Reads one answer, with the interim ones before it.
    public func reply(
        toHead: Bool = false, withinMs: Int = patienceMs
    ) throws(ClientError) -> Reply {
        let deadline = Deadline.after(ms: withinMs)
        var interim: [Int] = []
        while true {
            let head = try readHead(deadline)
            if (100...199).contains(head.status) && head.status != 101 {
                _ = try head.framing(answersHead: false)
                interim.append(head.status)
                continue
            }
            let body = try readBody(head.framing(answersHead: toHead), deadline)
            return Reply(
                status: head.status, version: head.version, headers: head.headers, body: body,
                interim: interim)
        }
    }

    /// Reads a head and nothing of what follows: the start of a stream. The body is empty.
    public func replyHead(withinMs: Int = patienceMs) throws(ClientError) -> Reply {
        let head = try readHead(Deadline.after(ms: withinMs))
        return Reply(
            status: head.status, version: head.version, headers: head.headers, body: [],
            interim: [])
    }

    /// Whatever has arrived, waiting for something if nothing has; empty at the end.
    public func heard(withinMs: Int) throws(ClientError) -> [UInt8] {
        if start == unread.count { _ = try receive(.after(ms: withinMs), "anything") }
        defer { start = unread.count }
        return Array(unread[start...])
    }

    /// Waits until something has arrived, and leaves it to be read; false at the end.
    public func hears(withinMs: Int = patienceMs) throws(ClientError) -> Bool {
        guard start == unread.count else { return true }
        return try receive(.after(ms: withinMs), "anything")
    }

    /// Reads one answer of any size without keeping it; nil where a byte of its body was not
    /// `filler`.
    public func replySize(
        of filler: UInt8, withinMs: Int = patienceMs
    ) throws(ClientError) -> (status: Int, bytes: Int?) {
        let deadline = Deadline.after(ms: withinMs)
        let head = try readHead(deadline)
        var total = 0
        var isPure = true
        func count(_ size: Int) throws(ClientError) {
            var left = size
            while left > 0 {
                let piece = try take(min(left, 65536), deadline)
                left -= piece.count
                total += piece.count
                if !isAll(piece, filler) { isPure = false }
            }
        }
        switch try head.framing(answersHead: false) {
        case .none: break
        case .length(let size): try count(size)
        case .chunked: try eachChunk(deadline, count)
        case .untilEnd:
            while true {
                let ready = unread.count - start
                try count(ready)
                guard try receive(deadline, "the end of a body") else { break }
            }
        }
        return (head.status, isPure ? total : nil)
    }

    /// Reads one head and nothing of what follows: an interim answer, or the start of a stream.
    public func interimStatus(withinMs: Int = patienceMs) throws(ClientError) -> Int {
        try readHead(Deadline.after(ms: withinMs)).status
    }

    /// Sends a request without a body and reads its answer.
    public func ask(
        _ method: String = "GET", _ target: String, _ headers: String = "",
        withinMs: Int = patienceMs
    ) throws(ClientError) -> Reply {
        try send("\(method) \(target) HTTP/1.1\r\nHost: test\r\n\(headers)\r\n")
        return try reply(toHead: method == "HEAD", withinMs: withinMs)
    }

    /// Waits for the server to close; anything else it does in that time is told.
    public func ending(withinMs: Int = 3000) -> Ending {
        let deadline = Deadline.after(ms: withinMs)
        while true {
            if start < unread.count {
                return .unexpected(String(decoding: unread[start...].prefix(200), as: UTF8.self))
            }
            do throws(ClientError) {
                guard try receive(deadline, "the end") else { return .closed }
            } catch {
                switch error {
                case .timedOut: return .stillOpen
                case .reset: return .reset
                default: return .unexpected(error.description)
                }
            }
        }
    }

    /// Drops what has arrived, waiting for something if nothing has; how many bytes, 0 at the end.
    public func drop(withinMs: Int) throws(ClientError) -> Int {
        if start == unread.count { _ = try receive(.after(ms: withinMs), "anything") }
        defer { start = unread.count }
        return unread.count - start
    }

    // MARK: Private parts

    private func push(_ bytes: ArraySlice<UInt8>) -> Int {
        bytes.withUnsafeBytes {
            Glibc.send(
                fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        }
    }

    private func wait(
        for events: Int16, until deadline: Deadline, _ what: String
    ) throws(ClientError) {
        var entry = pollfd(fd: fd, events: events, revents: 0)
        while true {
            let count = poll(&entry, 1, deadline.leftMs)
            if count > 0 { return }
            if count == 0 && deadline.isOver { throw .timedOut(what) }
            if count < 0 && errno != EINTR { throw .system("poll", errno) }
        }
    }

    /// Receives a piece; false at the end of the stream.
    private func receive(_ deadline: Deadline, _ what: String) throws(ClientError) -> Bool {
        if start == unread.count {
            unread.removeAll(keepingCapacity: true)
            start = 0
        } else if start > 1 << 20 {
            unread.removeFirst(start)
            start = 0
        }
        try wait(for: Int16(POLLIN), until: deadline, what)
        let count = withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 16) { piece in
            let count = recv(fd, piece.baseAddress, piece.count, 0)
            // Rebased, or a debug build copies byte by byte.
            if count > 0 {
                unread.append(contentsOf: UnsafeRawBufferPointer(rebasing: piece[..<count]))
            }
            return count
        }
        if count < 0 {
            throw errno == ECONNRESET ? .reset : .system("recv", errno)
        }
        return count > 0
    }

    private func readHead(_ deadline: Deadline) throws(ClientError) -> ReplyHead {
        // Relative to `start`, since receiving may move what is unread to the front.
        var scanned = 0
        while true {
            if let end = endOfHead(from: start + max(0, scanned - 3)) {
                let head = try ReplyHead(unread[start..<end])
                start = end + 4
                return head
            }
            scanned = unread.count - start
            if scanned > 65536 { throw .malformed("an endless head") }
            guard try receive(deadline, "an answer") else {
                throw .ended(unfinished: String(decoding: unread[start...], as: UTF8.self))
            }
        }
    }

    private func endOfHead(from: Int) -> Int? {
        unread.withUnsafeBufferPointer { bytes in
            var at = from
            while at + 3 < bytes.count {
                if bytes[at] == 13 && bytes[at + 1] == 10 && bytes[at + 2] == 13
                    && bytes[at + 3] == 10
                {
                    return at
                }
                at += 1
            }
            return nil
        }
    }

    private func readBody(
        _ framing: ReplyHead.Framing, _ deadline: Deadline
    ) throws(ClientError) -> [UInt8] {
        switch framing {
        case .none: return []
        case .length(let count): return try take(count, deadline)
        case .chunked: return try readChunks(deadline)
        case .untilEnd:
            while try receive(deadline, "the end of a body") {}
            defer { start = unread.count }
            return Array(unread[start...])
        }
    }

    private func readChunks(_ deadline: Deadline) throws(ClientError) -> [UInt8] {
        var body: [UInt8] = []
        try eachChunk(deadline) { size throws(ClientError) in body += try take(size, deadline) }
        return body
    }

    private func eachChunk(
        _ deadline: Deadline, _ data: (Int) throws(ClientError) -> Void
    ) throws(ClientError) {
        while true {
            let line = try takeLine(deadline)
            guard let size = Int(line, radix: 16), size >= 0, line.first != "+"
            else { throw .malformed("chunk size \(line)") }
            if size == 0 { break }
            try data(size)
            guard try take(2, deadline) == [13, 10] else { throw .malformed("chunk end") }
        }
        while try !takeLine(deadline).isEmpty {}
    }

    private func isAll(_ bytes: [UInt8], _ filler: UInt8) -> Bool {
        bytes.withUnsafeBytes { piece in
            piece.isEmpty
                || piece[0] == filler
                    && memcmp(piece.baseAddress!, piece.baseAddress! + 1, piece.count - 1) == 0
        }
    }

    private func takeLine(_ deadline: Deadline) throws(ClientError) -> String {
        var line: [UInt8] = []
        while true {
            let byte = try take(1, deadline)[0]
            if byte == 10 && line.last == 13 {
                return String(decoding: line.dropLast(), as: UTF8.self)
            }
            line.append(byte)
        }
    }

    func take(_ count: Int, _ deadline: Deadline) throws(ClientError) -> [UInt8] {
        while unread.count - start < count {
            guard try receive(deadline, "\(count) bytes of a body") else {
                throw .ended(unfinished: "\(unread.count - start) of \(count) body bytes")
            }
        }
        defer { start += count }
        return Array(unread[start..<start + count])
    }
}
