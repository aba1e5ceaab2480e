import CMachine
import Glibc

/// What one thread asks of the kernel for its sockets: accept, receive, send, close, wait.
///
/// A concrete enum over two drivers with one contract (a generic parameter would not specialise
/// across modules, an existential would allocate). Requests are queued and submitted by `wait`,
/// which returns what completed since, as a batch:
///
/// - `receive` goes on until `pause`, the peer's end or `close`. Every buffer handed out is given
///   back by `recycle`; running out of buffers parks a socket, it is never an error.
/// - One send is in flight per socket, and it completes when all of its bytes have left.
/// - After `close` the driver makes no more completions for the socket but `closed`, and memory that
///   a send refers to stays valid until then. What the present batch still holds of the socket is
///   the owner's to pass over (and its buffers to recycle).
///
/// A driver belongs to the thread that made it; only a `Waker` may be used from elsewhere.
@safe public enum Driver {
    case uring(UnsafeMutablePointer<UringDriver>)
    case epoll(UnsafeMutablePointer<EpollDriver>)

    public static func uring(
        limits: DriverLimits, features: IOFeatures, waker: Waker
    ) throws(SystemError) -> Driver {
        let driver = try UringDriver.make(limits: limits, features: features, waker: waker)
        let place = UnsafeMutablePointer<UringDriver>.allocate(capacity: 1)
        unsafe place.initialize(to: driver)
        return unsafe .uring(place)
    }

    public static func epoll(
        limits: DriverLimits, waker: Waker
    ) throws(SystemError) -> Driver {
        let driver = try EpollDriver.make(limits: limits, waker: waker)
        let place = UnsafeMutablePointer<EpollDriver>.allocate(capacity: 1)
        unsafe place.initialize(to: driver)
        return unsafe .epoll(place)
    }

    /// Ends the driver and frees what it holds. Sockets still open are closed by the kernel's
    /// cancellation of the ring, or here.
    public func destroy() {
        switch self {
        case .uring(let driver):
            unsafe driver.deinitialize(count: 1)
            unsafe driver.deallocate()
        case .epoll(let driver):
            unsafe driver.deinitialize(count: 1)
            unsafe driver.deallocate()
        }
    }

    /// Accepts connections on a listening socket until it says `acceptStopped`.
    public func accept(listener: UInt32, fd: Int32) {
        switch self {
        case .uring(let driver): unsafe driver.pointee.accept(listener: listener, fd: fd)
        case .epoll(let driver): unsafe driver.pointee.accept(listener: listener, fd: fd)
        }
    }

    public func stopAccepting(listener: UInt32) {
        switch self {
        case .uring(let driver): unsafe driver.pointee.stopAccepting(listener: listener)
        case .epoll(let driver): unsafe driver.pointee.stopAccepting(listener: listener)
        }
    }

    /// Takes over a connected socket. The index must be free: never used, or `closed` since.
    public func open(_ index: UInt32, fd: Int32) {
        switch self {
        case .uring(let driver): unsafe driver.pointee.open(index, fd: fd)
        case .epoll(let driver): unsafe driver.pointee.open(index, fd: fd)
        }
    }

    public func receive(_ index: UInt32) {
        switch self {
        case .uring(let driver): unsafe driver.pointee.receive(index)
        case .epoll(let driver): unsafe driver.pointee.receive(index)
        }
    }

    /// Asks for no more bytes. What is already on its way (a few buffers) may still arrive.
    public func pause(_ index: UInt32) {
        switch self {
        case .uring(let driver): unsafe driver.pointee.pause(index)
        case .epoll(let driver): unsafe driver.pointee.pause(index)
        }
    }

    /// Sends all of the bytes. True: they have left already and no completion follows.
    public func send(_ index: UInt32, _ bytes: UnsafePointer<UInt8>, count: Int) -> Bool {
        switch self {
        case .uring(let driver): unsafe driver.pointee.send(index, bytes, count: count)
        case .epoll(let driver): unsafe driver.pointee.send(index, bytes, count: count)
        }
    }

    /// Whether a few sends at a time are handed to the kernel, instead of all of a turn's in one
    /// call. A kernel that does not preempt itself lets nobody else have the processor within a
    /// call, and a worker that has to send the disk its next step wants it now.
    public func sendInSlices(_ isWanted: Bool) {
        // With epoll each send is a call.
        if case .uring(let driver) = self { unsafe driver.pointee.sendsInSlices = isWanted }
    }

    /// Ends the sending direction; the peer reads to its end and may still send.
    public func finishSending(_ index: UInt32) {
        switch self {
        case .uring(let driver): unsafe driver.pointee.finishSending(index)
        case .epoll(let driver): unsafe driver.pointee.finishSending(index)
        }
    }

    public func close(_ index: UInt32) {
        switch self {
        case .uring(let driver): unsafe driver.pointee.close(index)
        case .epoll(let driver): unsafe driver.pointee.close(index)
        }
    }

    public func fd(of index: UInt32) -> Int32 {
        switch self {
        case .uring(let driver): unsafe driver.pointee.endpoints[Int(index)].fd
        case .epoll(let driver): unsafe driver.pointee.endpoints[Int(index)].fd
        }
    }

    public func bytes(ofBuffer buffer: UInt16) -> UnsafeMutablePointer<UInt8> {
        switch self {
        case .uring(let driver): unsafe driver.pointee.bytes(ofBuffer: buffer)
        case .epoll(let driver): unsafe driver.pointee.bytes(ofBuffer: buffer)
        }
    }

    public func recycle(_ buffer: UInt16) {
        switch self {
        case .uring(let driver): unsafe driver.pointee.recycle(buffer)
        case .epoll(let driver): unsafe driver.pointee.recycle(buffer)
        }
    }

    /// Submits what was asked and waits until something completes or the time is over. 0 looks
    /// without waiting, nil waits for ever. The batch is valid until the next call.
    public func wait(timeoutMs: UInt64?) -> UnsafeBufferPointer<Completion> {
        unsafe wait(
            timeoutNs: timeoutMs.map { $0.multipliedReportingOverflow(by: 1_000_000) }
                .map { $0.overflow ? .max : $0.partialValue })
    }

    /// The same, for those to whom a millisecond is long: a load generator's next request is due
    /// at a nanosecond. The kernel still rounds by the thread's timer slack.
    public func wait(timeoutNs: UInt64?) -> UnsafeBufferPointer<Completion> {
        switch self {
        case .uring(let driver): unsafe driver.pointee.wait(timeoutNs: timeoutNs)
        case .epoll(let driver): unsafe driver.pointee.wait(timeoutNs: timeoutNs)
        }
    }

    /// Whether a burst has left receive buffers that are not needed now.
    public var mayGiveBack: Bool {
        switch self {
        case .uring(let driver): unsafe driver.pointee.mayGiveBack
        case .epoll(let driver): unsafe driver.pointee.mayGiveBack
        }
    }

    /// Gives the kernel the memory of buffers that were not used since the call before, so many at
    /// most. Whether there is more of it.
    public func giveBack(most: Int) -> Bool {
        switch self {
        case .uring(let driver): unsafe driver.pointee.giveBack(most: most)
        case .epoll(let driver): unsafe driver.pointee.giveBack(most: most)
        }
    }

    /// Whether the last batch was full, so that more waits behind it, perhaps somebody's request.
    /// Work that can wait should make few completions until it is not.
    public var isBehind: Bool {
        switch self {
        case .uring(let driver): unsafe driver.pointee.isBehind
        case .epoll(let driver): unsafe driver.pointee.isBehind
        }
    }
}

/// Ends a driver's `wait` from another thread: an eventfd. It is made before the driver, and by
/// whoever starts the threads, so that shards know each other's before the first of them runs.
public struct Waker: Sendable {
    let fd: Int32

    /// For a worker's `CompletionInbox`, which can carry a number and nothing more.
    public var descriptor: Int32 { fd }

    /// The same waker again from its number.
    public init(descriptor: Int32) { fd = descriptor }

    public static func make() throws(SystemError) -> Waker {
        // Blocking: a read through io_uring then waits for a wake-up instead of failing.
        let fd = eventfd(0, Int32(EFD_CLOEXEC))
        guard fd >= 0 else { throw SystemError("eventfd", errno, hint: "raise ulimit -n") }
        return Waker(descriptor: fd)
    }

    public func wake() {
        var one: UInt64 = 1
        _ = unsafe write(fd, &one, 8)
    }

    /// Only once nobody can wake or wait any more.
    public func close() { Glibc.close(fd) }
}
