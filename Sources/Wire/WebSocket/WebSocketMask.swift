/// The mask that a client lays over its payloads (RFC 6455 5.3).
public struct WebSocketMask: Equatable, Sendable, BitwiseCopyable {
    /// The four bytes as they are in memory.
    private var key: UInt32

    public init(key: UInt32) { self.key = key }

    /// Takes the mask off `count` bytes where they lie, eight at a time, and leaves it turned so
    /// that the payload's next bytes go on with it.
    public mutating func remove(from start: UnsafeMutableRawPointer, count: Int) {
        let wide = UInt64(key) << 32 | UInt64(key)
        var at = 0
        while at &+ 8 <= count {
            let word = unsafe start.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            unsafe start.storeBytes(of: word ^ wide, toByteOffset: at, as: UInt64.self)
            at &+= 8
        }
        while at < count {
            let byte = unsafe start.load(fromByteOffset: at, as: UInt8.self)
            let mask = UInt8(truncatingIfNeeded: key &>> UInt32(8 &* (at & 3)))
            unsafe start.storeBytes(of: byte ^ mask, toByteOffset: at, as: UInt8.self)
            at &+= 1
        }
        let turn = UInt32(8 &* (count & 3))
        if turn > 0 { key = key &>> turn | key &<< (32 &- turn) }
    }
}
