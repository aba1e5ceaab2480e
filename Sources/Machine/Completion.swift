/// One thing that happened, as a driver tells it: the same words from io_uring and from epoll.
///
/// Plain data, copied out of the kernel's ring in a batch, so that the shard's loop is one switch
/// over an array and never calls back into a driver that is in the middle of its own work.
public struct Completion {
    public enum Kind: UInt8, Sendable {
        /// `result` is a connected socket's descriptor, `index` the listener's number.
        case accepted
        /// The listener takes no more connections until `accept` is called again; `result` is
        /// -errno. -ECANCELED answers `stopAccepting`.
        case acceptStopped
        /// `result` bytes lie in receive buffer `buffer`, which must be given back by `recycle`.
        case received
        /// Nothing more will be received: `result` is 0 at the peer's end, else -errno.
        case ended
        /// The send in flight has left: `result` is 0, or -errno when the peer is gone.
        case sent
        /// Every request of the socket is reaped and its descriptor closed: the index is free.
        case closed
        /// Another thread called `Waker.wake`.
        case woken
    }

    public var kind: Kind
    public var buffer: UInt16
    public var index: UInt32
    public var result: Int32

    @usableFromInline
    init(_ kind: Kind, index: UInt32, result: Int32 = 0, buffer: UInt16 = 0) {
        self.kind = kind
        self.buffer = buffer
        self.index = index
        self.result = result
    }
}

/// What a driver can be asked for, as bounds that each driver keeps.
public struct DriverLimits: Sendable {
    /// Sockets at a time; an index given to `open` is below it.
    public var socketsMax: Int
    /// Receive buffers of one driver: a power of two, at most 32768 (the kernel's bound).
    public var receiveBufferCount: Int
    /// A buffer holds sixteen pipelined requests with a small body, and two pages are what the
    /// kernel's copy likes best; larger bodies simply take several.
    public var receiveBufferBytes: Int
    /// Completions of one batch. It bounds how long a turn can be, and with it how many replies
    /// are in memory before the first of them is sent.
    public var batchMax: Int

    public init(
        socketsMax: Int, receiveBufferCount: Int = 512, receiveBufferBytes: Int = 8192,
        batchMax: Int = 256
    ) {
        self.socketsMax = socketsMax
        self.receiveBufferCount = receiveBufferCount
        self.receiveBufferBytes = receiveBufferBytes
        self.batchMax = batchMax
    }
}
