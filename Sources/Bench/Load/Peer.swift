import CMachine
import Glibc
import Machine

/// The server under measurement: where it is, and how connections to it are made.
struct Peer: Sendable {
    private var storage = sockaddr_in()
    private var storage6 = sockaddr_in6()
    private let isIPv6: Bool
    /// How many source addresses connections are spread over; 1 leaves it to the kernel.
    ///
    /// One address has some 28,000 ports to one server, and each that closes is held for a minute.
    /// The machine owns all of 127.0.0.0/8, so on loopback there need be no shortage.
    let sources: Int

    /// A connect that takes longer than this has failed: the server's queue is full.
    private static let connectTimeoutSeconds = 5
    private static let bindAddressNoPort: Int32 = 24

    static func resolve(host: String, port: UInt16, sources: Int) throws(SystemError) -> Peer {
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_UNSPEC
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>? = nil
        guard unsafe getaddrinfo(host, String(port), &hints, &found) == 0,
            let first = unsafe found, let address = unsafe first.pointee.ai_addr
        else {
            throw SystemError(
                "resolve \(host)", EADDRNOTAVAIL, hint: "give an address such as 127.0.0.1:6660")
        }
        defer { unsafe freeaddrinfo(found) }
        var peer = unsafe Peer(isIPv6: first.pointee.ai_family == AF_INET6, sources: sources)
        if peer.isIPv6 {
            unsafe memcpy(&peer.storage6, address, MemoryLayout<sockaddr_in6>.size)
        } else {
            unsafe memcpy(&peer.storage, address, MemoryLayout<sockaddr_in>.size)
        }
        if sources > 1, !peer.isLoopback4 {
            throw SystemError(
                "--sources \(sources)", EADDRNOTAVAIL,
                hint: "only a target in 127.0.0.0/8 can be reached from many addresses")
        }
        return peer
    }

    private init(isIPv6: Bool, sources: Int) {
        self.isIPv6 = isIPv6
        self.sources = sources
    }

    private var isLoopback4: Bool {
        !isIPv6 && UInt32(bigEndian: storage.sin_addr.s_addr) >> 24 == 127
    }

    /// A connected socket, by a plain connect(2). `number` chooses the source address.
    func connect(number: Int) throws(SystemError) -> Int32 {
        let family = isIPv6 ? AF_INET6 : AF_INET
        let fd = socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else {
            throw SystemError(
                "socket", errno, hint: "raise ulimit -n, or ask for fewer connections")
        }
        var on: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        unsafe setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, size)
        var limit = timeval(tv_sec: Self.connectTimeoutSeconds, tv_usec: 0)
        unsafe setsockopt(
            fd, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        if sources > 1 {
            // The port is then chosen at connect, among all that are free towards this server.
            unsafe setsockopt(fd, Int32(IPPROTO_IP), Self.bindAddressNoPort, &on, size)
            var own = sockaddr_in()
            own.sin_family = sa_family_t(AF_INET)
            own.sin_addr.s_addr = (0x7f01_0001 + UInt32(number % sources)).bigEndian
            let code = unsafe Self.withAddress(&own) { unsafe bind(fd, $0, $1) }
            guard code == 0 else { throw Self.failed(fd, "bind") }
        }
        let code: Int32
        if isIPv6 {
            var address = storage6
            code = unsafe Self.withAddress(&address) { unsafe Glibc.connect(fd, $0, $1) }
        } else {
            var address = storage
            code = unsafe Self.withAddress(&address) { unsafe Glibc.connect(fd, $0, $1) }
        }
        guard code == 0 || (errno == EINTR && Self.isConnected(fd)) else {
            throw Self.failed(fd, "connect")
        }
        return fd
    }

    /// An interrupted connect goes on by itself: waits for its end.
    private static func isConnected(_ fd: Int32) -> Bool {
        var wanted = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
        while unsafe poll(&wanted, 1, Int32(connectTimeoutSeconds * 1000)) < 0, errno == EINTR {}
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        unsafe getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size)
        errno = wanted.revents == 0 ? ETIMEDOUT : code
        return errno == 0
    }

    private static func failed(_ fd: Int32, _ call: String) -> SystemError {
        let code = errno
        close(fd)
        let hint =
            switch code {
            case ECONNREFUSED: "nothing listens there: start the server, or give its address"
            case EADDRNOTAVAIL: "ports have run out: spread them with --sources 16"
            case EINPROGRESS, ETIMEDOUT: "the server accepts too slowly"
            default: ""
            }
        return SystemError(call, code == EINPROGRESS ? ETIMEDOUT : code, hint: hint)
    }

    private static func withAddress<T>(
        _ address: inout T, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { rebound in
                unsafe body(rebound, socklen_t(MemoryLayout<T>.size))
            }
        }
    }
}
