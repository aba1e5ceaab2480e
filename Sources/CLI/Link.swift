import Glibc
import Wire

/// One connection to a server, with its bytes as they come.
final class Link {
    enum Heard: Equatable {
        case bytes([UInt8])
        case closed(String)
        case interrupted
        case nothing
    }

    private let fd: Int32

    private static let connectTimeoutSeconds = 5

    private init(fd: Int32) { self.fd = fd }

    deinit { close(fd) }

    /// A connection, or what the system says.
    static func open(host: String, port: UInt16) -> Result<Link, LinkFailure> {
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_UNSPEC
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>? = nil
        let outcome = unsafe getaddrinfo(host, String(port), &hints, &found)
        guard outcome == 0 else {
            return .failure(LinkFailure(unsafe String(cString: gai_strerror(outcome))))
        }
        defer { unsafe freeaddrinfo(found) }
        var reason = "no address"
        var next = unsafe found
        while let address = unsafe next {
            unsafe next = address.pointee.ai_next
            let fd = unsafe socket(
                address.pointee.ai_family,
                Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            guard fd >= 0 else {
                reason = text(of: errno)
                continue
            }
            var limit = timeval(tv_sec: connectTimeoutSeconds, tv_usec: 0)
            unsafe setsockopt(
                fd, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            var on: Int32 = 1
            let size = socklen_t(MemoryLayout<Int32>.size)
            unsafe setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, size)
            unsafe setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, size)
            if unsafe connect(fd, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0 {
                var none = timeval(tv_sec: 0, tv_usec: 0)
                unsafe setsockopt(
                    fd, SOL_SOCKET, SO_SNDTIMEO, &none, socklen_t(MemoryLayout<timeval>.size))
                return .success(Link(fd: fd))
            }
            reason = errno == EINPROGRESS ? "Connection timed out" : text(of: errno)
            close(fd)
        }
        return .failure(LinkFailure(reason))
    }

    static func text(of code: Int32) -> String { unsafe String(cString: strerror(code)) }

    func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { all in
                unsafe Glibc.send(
                    fd, all.baseAddress.unsafelyUnwrapped + sent, bytes.count - sent,
                    Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    /// What comes next, within a time (negative: whenever).
    func hear(withinMs limit: Int32 = -1) -> Heard {
        var wanted = [
            pollfd(fd: fd, events: Int16(POLLIN), revents: 0),
            pollfd(fd: Interrupt.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        while true {
            let ready = unsafe poll(&wanted, 2, limit)
            if ready < 0, errno == EINTR { continue }
            if wanted[1].revents != 0 {
                Interrupt.forget()
                return .interrupted
            }
            guard ready > 0 else { return .nothing }
            var piece = [UInt8](repeating: 0, count: 1 << 16)
            let count = unsafe recv(fd, &piece, piece.count, 0)
            if count < 0, errno == EINTR { continue }
            if count == 0 { return .closed("Server closed the connection") }
            guard count > 0 else { return .closed(Self.text(of: errno)) }
            return .bytes(Array(piece[..<count]))
        }
    }

    /// Whether the other side has ended while nothing was asked.
    var isOver: Bool {
        var byte: UInt8 = 0
        let count = unsafe recv(fd, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        return count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)
    }
}

struct LinkFailure: Error, Equatable {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}
