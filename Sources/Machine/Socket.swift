import Glibc

/// A host and port as people write them, resolved: `127.0.0.1:6660`, `[::1]:6660`, `localhost:6660`.
public struct SocketAddress: Sendable {
    var storage: sockaddr_storage
    var length: socklen_t

    /// Numeric addresses and names; a name that has several addresses gives the first.
    public static func resolve(host: String, port: UInt16) throws(SystemError) -> SocketAddress {
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_UNSPEC
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags = Int32(AI_PASSIVE) | Int32(AI_NUMERICSERV)
        var found: UnsafeMutablePointer<addrinfo>? = nil
        let result = unsafe getaddrinfo(host, String(port), &hints, &found)
        guard result == 0, let first = unsafe found else {
            let code = result == EAI_SYSTEM ? errno : EADDRNOTAVAIL
            throw SystemError(
                "resolve \(host)", code, hint: "give an address such as 127.0.0.1 or [::1]")
        }
        defer { unsafe freeaddrinfo(found) }
        var address = unsafe SocketAddress(
            storage: sockaddr_storage(), length: first.pointee.ai_addrlen)
        unsafe withUnsafeMutableBytes(of: &address.storage) { bytes in
            unsafe bytes.copyMemory(
                from: UnsafeRawBufferPointer(
                    start: first.pointee.ai_addr, count: Int(first.pointee.ai_addrlen)))
        }
        return address
    }

    /// The other end of a connected socket; nil when it is gone.
    public static func peer(of fd: Int32) -> SocketAddress? {
        unsafe named { unsafe getpeername(fd, $0, $1) }
    }

    /// Our end of a socket.
    public static func local(of fd: Int32) -> SocketAddress? {
        unsafe named { unsafe getsockname(fd, $0, $1) }
    }

    private static func named(
        _ ask: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> SocketAddress? {
        var address = SocketAddress(
            storage: sockaddr_storage(), length: socklen_t(MemoryLayout<sockaddr_storage>.size))
        var length = address.length
        let result = unsafe withUnsafeMutablePointer(to: &address.storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe ask($0, &length)
            }
        }
        address.length = length
        return result == 0 ? address : nil
    }

    /// True where only this machine can reach it.
    public var isLoopback: Bool {
        unsafe withUnsafeBytes(of: storage) { bytes in
            switch Int32(storage.ss_family) {
            case AF_INET: return unsafe bytes[4] == 127
            case AF_INET6:
                for place in 8..<23 where unsafe bytes[place] != 0 { return false }
                return unsafe bytes[23] == 1
            default: return false
            }
        }
    }

    public var port: UInt16 {
        unsafe withUnsafeBytes(of: storage) { bytes in
            unsafe UInt16(bytes[2]) << 8 | UInt16(bytes[3])
        }
    }

    /// `host:port`, an IPv6 host in brackets.
    public var text: String {
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let result = unsafe withUnsafePointer(to: storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe getnameinfo(
                    address, length, &host, socklen_t(host.count), nil, 0, Int32(NI_NUMERICHOST))
            }
        }
        guard result == 0 else { return "?:\(port)" }
        let bytes = host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        let name = String(decoding: bytes, as: UTF8.self)
        return Int32(storage.ss_family) == AF_INET6 ? "[\(name)]:\(port)" : "\(name):\(port)"
    }
}

/// A listening TCP socket, owned: it closes with its owner.
@safe public struct Listener: ~Copyable {
    /// What the kernel queues between two turns of the accepting shard; it caps it itself at
    /// net.core.somaxconn.
    private static let backlog: Int32 = 4096

    public let fd: Int32
    /// The address really bound: a port of 0 has become one.
    public let address: SocketAddress

    /// `pause` passes the time while somebody has the address.
    public static func listen(
        on wanted: SocketAddress, pause: (_ milliseconds: Int) -> Void = sleep
    ) throws(SystemError) -> Listener {
        let name = wanted.text
        let fd = socket(
            Int32(wanted.storage.ss_family),
            Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { throw SystemError("socket", errno, hint: "raise ulimit -n") }
        var on: Int32 = 1
        // A restart must not wait for the connections of the last run to leave TIME_WAIT. Two
        // listeners on one port stay impossible: SO_REUSEPORT is not set.
        unsafe setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        // Accepted sockets inherit it: replies are gathered here, not by the kernel.
        unsafe setsockopt(
            fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        if let code = bind(fd, wanted, pause) {
            close(fd)
            throw SystemError("bind \(name)", code, hint: hint(forBindError: code))
        }
        guard Glibc.listen(fd, backlog) == 0 else {
            let code = errno
            close(fd)
            throw SystemError("listen on \(name)", code, hint: "choose another port")
        }
        var address = SocketAddress(storage: sockaddr_storage(), length: 0)
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        unsafe withUnsafeMutablePointer(to: &address.storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { place in
                _ = unsafe getsockname(fd, place, &length)
            }
        }
        address.length = length
        return Listener(fd: fd, address: address)
    }

    private init(fd: Int32, address: SocketAddress) {
        self.fd = fd
        self.address = address
    }

    /// Binds, and answers what went wrong. The kernel takes a ring apart some time after its process
    /// has ended, and until then the ring's listener is there: who starts a node again right after it
    /// was killed must not hear that somebody else has its address.
    private static func bind(
        _ fd: Int32, _ wanted: SocketAddress, _ pause: (_ milliseconds: Int) -> Void
    ) -> Int32? {
        var attemptsLeft = inUseMs / inUsePauseMs
        while true {
            let bound = unsafe withUnsafePointer(to: wanted.storage) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                    unsafe Glibc.bind(fd, address, wanted.length)
                }
            }
            if bound == 0 { return nil }
            guard errno == EADDRINUSE, attemptsLeft > 0 else { return errno }
            attemptsLeft -= 1
            pause(inUsePauseMs)
        }
    }

    public static func sleep(milliseconds: Int) {
        usleep(useconds_t(milliseconds * 1000))
    }

    /// How long an address may be in use before it is somebody else's.
    private static let inUseMs = 1000
    private static let inUsePauseMs = 5

    private static func hint(forBindError code: Int32) -> String {
        switch code {
        case EADDRINUSE: "another process listens there: stop it or choose another port"
        case EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one"
        case EADDRNOTAVAIL: "this machine has no such address: choose one of its own, or 0.0.0.0"
        default: "choose another address"
        }
    }

    /// Gives the descriptor away: its new owner closes it.
    public consuming func release() -> Int32 {
        let fd = fd
        discard self
        return fd
    }

    deinit { close(fd) }
}
