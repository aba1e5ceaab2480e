/// What a driver remembers of one open socket. Plain data in a slab: its index is the
/// connection's, its generation tells an old operation's completion from a new socket's.
@safe struct Endpoint {
    struct Flags: OptionSet {
        let rawValue: UInt16
        init(rawValue: UInt16) { self.rawValue = rawValue }
        /// The slot holds a socket.
        static let open = Flags(rawValue: 1 << 0)
        /// The owner wants to be told of received bytes.
        static let wantsReceive = Flags(rawValue: 1 << 1)
        /// io_uring: a receive is with the kernel. epoll: the socket may have bytes to read.
        static let receiving = Flags(rawValue: 1 << 2)
        static let sending = Flags(rawValue: 1 << 3)
        /// io_uring: a cancel is with the kernel.
        static let cancelling = Flags(rawValue: 1 << 4)
        static let closing = Flags(rawValue: 1 << 5)
        /// Waits in a list: for a receive buffer (io_uring), for its turn to be read (epoll).
        static let listed = Flags(rawValue: 1 << 6)
        /// epoll: the peer has ended, so a short read does not mean that the socket is empty.
        static let hungUp = Flags(rawValue: 1 << 7)
        /// io_uring: the kernel was asked to tell when the socket takes bytes again.
        static let watching = Flags(rawValue: 1 << 8)
        /// io_uring: the rest of a send waits to be told so.
        static let blocked = Flags(rawValue: 1 << 9)
        /// io_uring: it was told while a send was on its way.
        static let writable = Flags(rawValue: 1 << 10)
    }

    var fd: Int32
    var generation: UInt32
    var flags: Flags
    var sendBase: UnsafePointer<UInt8>?
    var sendCount: Int
}

/// What every operation carries through the kernel and back: its kind, the socket's slot, and the
/// slot's generation, so that a completion which outlives its socket is recognised.
struct Operation {
    enum Kind: UInt8 { case none, accept, receive, send, watch, cancel, wake }

    static let generationMask: UInt32 = 0xff_ffff

    let rawValue: UInt64

    init(_ kind: Kind, index: UInt32, generation: UInt32) {
        rawValue =
            UInt64(kind.rawValue) << 56 | UInt64(generation & Self.generationMask) << 32
            | UInt64(index)
    }

    init(rawValue: UInt64) { self.rawValue = rawValue }

    var kind: Kind { Kind(rawValue: UInt8(truncatingIfNeeded: rawValue >> 56)) ?? .none }
    var index: UInt32 { UInt32(truncatingIfNeeded: rawValue) }
    var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) & Self.generationMask }
}
