import Glibc
import Identity

/// Where a connection comes from, asked of the kernel: only logins need it, so no connection
/// carries it around.
enum PeerAddress {
    /// Of a socket whose peer is gone, or that has no address, it is `::`: such a login is counted
    /// with all others of its kind, and its answer reaches nobody.
    static func of(_ fd: Int32) -> IPAddress {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe getpeername(fd, address, &length)
            }
        }
        guard result == 0 else { return IPAddress(high: 0, low: 0) }
        return unsafe withUnsafeBytes(of: storage) { bytes in
            switch Int32(storage.ss_family) {
            case AF_INET:
                return unsafe IPAddress(
                    v4: UInt32(
                        bigEndian: bytes.loadUnaligned(
                            fromByteOffset: MemoryLayout<sockaddr_in>.offset(of: \.sin_addr)!,
                            as: UInt32.self)))
            case AF_INET6:
                let offset = MemoryLayout<sockaddr_in6>.offset(of: \.sin6_addr)!
                return unsafe IPAddress(
                    high: UInt64(
                        bigEndian: bytes.loadUnaligned(
                            fromByteOffset: offset, as: UInt64.self)),
                    low: UInt64(
                        bigEndian: bytes.loadUnaligned(
                            fromByteOffset: offset + 8, as: UInt64.self)))
            default: return IPAddress(high: 0, low: 0)
            }
        }
    }
}
