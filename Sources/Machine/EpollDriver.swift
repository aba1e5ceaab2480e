import CMachine
import Glibc

/// The driver over epoll, for kernels and containers that refuse io_uring. See `Driver` for the
/// contract.
///
/// Sockets are registered once, edge-triggered, in both directions. Sends are tried at once, which
/// nearly always is the whole of it; receives are done by `wait`, one a turn for each socket that
/// has bytes, so that a fast sender takes its turn like everybody.
@safe public struct EpollDriver: ~Copyable {
    static let listenersMax = 8
    /// Connections accepted in one turn before the rest of the batch has its say.
    private static let acceptsPerTurn = 64
    private static let readable = UInt32(nt_epoll_in)
    private static let writable = UInt32(nt_epoll_out)
    /// RDHUP alone says only that the peer sends no more; trying a blocked send then is harmless.
    private static let hangUp = UInt32(
        nt_epoll_hup | nt_epoll_err | nt_epoll_rdhup)
    private static let listenerMark: UInt64 = 1 << 62
    private static let wakeMark: UInt64 = 1 << 63

    let epollFD: Int32
    let limits: DriverLimits
    let waker: Waker
    let endpoints: UnsafeMutablePointer<Endpoint>

    private let endpointPages: Pages
    private let bufferPages: Pages
    private var freeBuffers: FreeList
    /// Receive buffers that stay warm.
    private static let warmBuffers = 16
    /// The last batch was full: more may have happened.
    private(set) var isBehind = false
    /// Sockets that may have bytes to read and whose owner wants them.
    private var toRead: IndexQueue
    private var own: CompletionList
    private var batch: CompletionList
    private let events: UnsafeMutablePointer<epoll_event>
    private let listenerFDs: UnsafeMutablePointer<Int32>

    static func make(limits: DriverLimits, waker: Waker) throws(SystemError) -> EpollDriver {
        let epollFD = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard epollFD >= 0 else {
            throw SystemError("epoll_create1", errno, hint: "raise ulimit -n")
        }
        return try EpollDriver(epollFD: epollFD, waker: waker, limits: limits)
    }

    private init(epollFD: Int32, waker: Waker, limits: DriverLimits) throws(SystemError) {
        let endpointPages = try Pages(
            byteCount: limits.socketsMax * MemoryLayout<Endpoint>.stride)
        let bufferPages = try Pages(
            byteCount: limits.receiveBufferCount * limits.receiveBufferBytes)
        let toRead = try IndexQueue(capacity: limits.socketsMax)
        let count = limits.receiveBufferCount
        let freeBuffers = try FreeList(count, capacity: count, kept: Self.warmBuffers)
        self.epollFD = epollFD
        self.limits = limits
        self.waker = waker
        unsafe endpoints = unsafe endpointPages.bound(to: Endpoint.self)
        self.endpointPages = endpointPages
        self.bufferPages = bufferPages
        self.toRead = toRead
        self.freeBuffers = freeBuffers
        own = CompletionList(capacity: limits.batchMax)
        batch = CompletionList(capacity: limits.batchMax * 2)
        unsafe events = .allocate(capacity: limits.batchMax)
        unsafe listenerFDs = .allocate(capacity: Self.listenersMax)
        unsafe listenerFDs.initialize(repeating: -1, count: Self.listenersMax)
        watch(waker.fd, Self.readable, mark: Self.wakeMark)
    }

    deinit {
        for index in 0..<limits.socketsMax where unsafe endpoints[index].flags.contains(.open) {
            unsafe Glibc.close(endpoints[index].fd)
        }
        Glibc.close(epollFD)
        unsafe events.deallocate()
        unsafe listenerFDs.deallocate()
    }

    // MARK: Requests

    mutating func accept(listener: UInt32, fd: Int32) {
        invariant(listener < UInt32(Self.listenersMax), "listener \(listener) is out of range")
        unsafe listenerFDs[Int(listener)] = fd
        // Accepting goes on until there is nobody left, which must not block.
        _ = fcntl(fd, F_SETFL, O_NONBLOCK)
        watch(fd, Self.readable, mark: Self.listenerMark | UInt64(listener))
    }

    mutating func stopAccepting(listener: UInt32) {
        stopWatching(listener: listener, result: -ECANCELED)
    }

    mutating func open(_ index: UInt32, fd: Int32) {
        let endpoint = unsafe endpoints + Int(index)
        unsafe invariant(!endpoint.pointee.flags.contains(.open), "slot \(index) is opened twice")
        unsafe endpoint.pointee.fd = fd
        unsafe endpoint.pointee.generation &+= 1
        unsafe endpoint.pointee.flags = unsafe endpoint.pointee.flags.intersection(.listed).union(
            .open)
        let interest = Self.readable | Self.writable | Self.hangUp | nt_epoll_edge
        watch(fd, interest, mark: mark(of: index))
    }

    mutating func receive(_ index: UInt32) {
        let endpoint = unsafe endpoints + Int(index)
        guard unsafe endpoint.pointee.flags.intersection([.open, .closing, .wantsReceive]) == .open
        else { return }
        unsafe endpoint.pointee.flags.insert(.wantsReceive)
        if unsafe endpoint.pointee.flags.contains(.receiving) { list(index) }
    }

    mutating func pause(_ index: UInt32) {
        let endpoint = unsafe endpoints + Int(index)
        unsafe endpoint.pointee.flags.remove(.wantsReceive)
    }

    mutating func send(_ index: UInt32, _ bytes: UnsafePointer<UInt8>, count: Int) -> Bool {
        let endpoint = unsafe endpoints + Int(index)
        unsafe invariant(
            endpoint.pointee.flags.intersection([.open, .closing, .sending]) == .open,
            "a second send, or one on a closed socket, for slot \(index)")
        unsafe endpoint.pointee.sendBase = unsafe bytes
        unsafe endpoint.pointee.sendCount = count
        switch sendOn(index) {
        case .done: return true
        case .blocked: break
        case .failed(let code): own.append(Completion(.sent, index: index, result: -code))
        }
        return false
    }

    mutating func finishSending(_ index: UInt32) {
        unsafe shutdown(endpoints[Int(index)].fd, Int32(SHUT_WR))
    }

    mutating func close(_ index: UInt32) {
        let endpoint = unsafe endpoints + Int(index)
        guard unsafe endpoint.pointee.flags.intersection([.open, .closing]) == .open else { return }
        // Closing takes the socket out of the epoll set; what this batch still says of it is
        // passed over by the generation in its mark.
        unsafe Glibc.close(endpoint.pointee.fd)
        unsafe endpoint.pointee.flags = unsafe endpoint.pointee.flags.intersection(.listed)
        own.append(Completion(.closed, index: index))
    }

    func bytes(ofBuffer buffer: UInt16) -> UnsafeMutablePointer<UInt8> {
        unsafe (bufferPages.base + Int(buffer) * limits.receiveBufferBytes)
            .assumingMemoryBound(to: UInt8.self)
    }

    mutating func recycle(_ buffer: UInt16) {
        freeBuffers.give(UInt32(buffer))
    }

    var mayGiveBack: Bool { freeBuffers.isWarm }

    mutating func giveBack(most: Int) -> Bool {
        freeBuffers.cool(bufferPages, partBytes: limits.receiveBufferBytes, most: most)
    }

    // MARK: Waiting

    mutating func wait(timeoutNs: UInt64?) -> UnsafeBufferPointer<Completion> {
        batch.removeAll()
        moveOwn()
        let mustLook = batch.count > 0 || (toRead.count > 0 && freeBuffers.count > 0)
        let count = waitForEvents(timeoutNs: mustLook ? 0 : timeoutNs)
        isBehind = Int(count) == limits.batchMax
        // EINTR, the only failure possible here, is an empty batch.
        for place in 0..<Int(max(count, 0)) {
            let event = unsafe events[place]
            unsafe understand(event.data.u64, event.events)
        }
        readListed()
        moveOwn()
        return unsafe batch.all
    }

    /// Whole milliseconds go by the call that every kernel has; finer ones need 5.11.
    private func waitForEvents(timeoutNs: UInt64?) -> Int32 {
        let eventsMax = Int32(limits.batchMax)
        guard let timeoutNs else { return unsafe epoll_wait(epollFD, events, eventsMax, -1) }
        guard timeoutNs % 1_000_000 != 0 else {
            let timeoutMs = Int32(truncatingIfNeeded: min(timeoutNs / 1_000_000, UInt64(Int32.max)))
            return unsafe epoll_wait(epollFD, events, eventsMax, timeoutMs)
        }
        var span = timespec(
            tv_sec: Int(timeoutNs / 1_000_000_000), tv_nsec: Int(timeoutNs % 1_000_000_000))
        return unsafe epoll_pwait2(epollFD, events, eventsMax, &span, nil)
    }

    private mutating func understand(_ mark: UInt64, _ happened: UInt32) {
        if mark & Self.wakeMark != 0 {
            var value: UInt64 = 0
            _ = unsafe read(waker.fd, &value, 8)
            batch.append(Completion(.woken, index: 0))
            return
        }
        if mark & Self.listenerMark != 0 {
            acceptSome(listener: UInt32(truncatingIfNeeded: mark))
            return
        }
        let index = UInt32(truncatingIfNeeded: mark)
        let endpoint = unsafe endpoints + Int(index)
        guard unsafe endpoint.pointee.flags.contains(.open),
            unsafe endpoint.pointee.generation & Operation.generationMask
                == UInt32(truncatingIfNeeded: mark >> 32)
        else { return }
        if happened & Self.hangUp != 0 { unsafe endpoint.pointee.flags.insert(.hungUp) }
        if happened & (Self.readable | Self.hangUp) != 0 {
            unsafe endpoint.pointee.flags.insert(.receiving)
            if unsafe endpoint.pointee.flags.contains(.wantsReceive) { list(index) }
        }
        if happened & (Self.writable | Self.hangUp) != 0,
            unsafe endpoint.pointee.flags.contains(.sending)
        {
            switch sendOn(index) {
            case .done: batch.append(Completion(.sent, index: index))
            case .blocked: break
            case .failed(let code): batch.append(Completion(.sent, index: index, result: -code))
            }
        }
    }

    /// One receive for each listed socket, as long as there are buffers.
    private mutating func readListed() {
        var turns = min(toRead.count, limits.batchMax)
        while turns > 0, freeBuffers.count > 0, let index = toRead.popFirst() {
            turns -= 1
            let endpoint = unsafe endpoints + Int(index)
            unsafe endpoint.pointee.flags.remove(.listed)
            guard
                unsafe endpoint.pointee.flags.isSuperset(of: [.open, .wantsReceive, .receiving])
            else { continue }
            take(index)
        }
    }

    private mutating func take(_ index: UInt32) {
        let endpoint = unsafe endpoints + Int(index)
        guard let number = freeBuffers.take() else { return list(index) }
        let buffer = UInt16(number)
        let count = unsafe recv(
            endpoint.pointee.fd, bytes(ofBuffer: buffer), limits.receiveBufferBytes,
            Int32(MSG_DONTWAIT))
        if count > 0 {
            // A short read of a stream empties it, so the next bytes are a new edge; unless the
            // peer has ended, which is told only once.
            if count < limits.receiveBufferBytes, unsafe !endpoint.pointee.flags.contains(.hungUp) {
                unsafe endpoint.pointee.flags.remove(.receiving)
            } else {
                list(index)
            }
            batch.append(
                Completion(.received, index: index, result: Int32(count), buffer: buffer))
            return
        }
        let code = errno
        recycle(buffer)
        if count < 0, code == EINTR {
            list(index)
        } else if count < 0, code == EAGAIN {
            unsafe endpoint.pointee.flags.remove(.receiving)
        } else {
            unsafe endpoint.pointee.flags.subtract([.receiving, .wantsReceive])
            batch.append(Completion(.ended, index: index, result: count == 0 ? 0 : -code))
        }
    }

    private enum Sent { case done, blocked, failed(Int32) }

    private mutating func sendOn(_ index: UInt32) -> Sent {
        let endpoint = unsafe endpoints + Int(index)
        while unsafe endpoint.pointee.sendCount > 0 {
            let count = unsafe Glibc.send(
                endpoint.pointee.fd, endpoint.pointee.sendBase, endpoint.pointee.sendCount,
                Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
            if count >= 0 {
                unsafe endpoint.pointee.sendBase =
                    unsafe endpoint.pointee.sendBase.unsafelyUnwrapped + count
                unsafe endpoint.pointee.sendCount -= count
                continue
            }
            switch errno {
            case EINTR: continue
            case EAGAIN:
                unsafe endpoint.pointee.flags.insert(.sending)
                return .blocked
            case let code:
                unsafe endpoint.pointee.flags.remove(.sending)
                return .failed(code)
            }
        }
        unsafe endpoint.pointee.flags.remove(.sending)
        return .done
    }

    private mutating func acceptSome(listener: UInt32) {
        let fd = unsafe listenerFDs[Int(listener)]
        guard fd >= 0 else { return }
        for _ in 0..<Self.acceptsPerTurn {
            let socket = nt_accept(fd)
            if socket >= 0 {
                batch.append(Completion(.accepted, index: listener, result: socket))
                continue
            }
            switch errno {
            case EAGAIN: return
            case EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
            case let code:
                stopWatching(listener: listener, result: -code)
                return
            }
        }
    }

    // MARK: Parts

    private func mark(of index: UInt32) -> UInt64 {
        unsafe UInt64(endpoints[Int(index)].generation & Operation.generationMask) << 32
            | UInt64(index)
    }

    private func watch(_ fd: Int32, _ interest: UInt32, mark: UInt64) {
        var event = unsafe epoll_event()
        unsafe event.events = interest
        unsafe event.data.u64 = mark
        let result = unsafe epoll_ctl(epollFD, EPOLL_CTL_ADD, fd, &event)
        invariant(result == 0 || errno == ENOMEM || errno == ENOSPC, "epoll_ctl add: \(errno)")
    }

    private mutating func stopWatching(listener: UInt32, result: Int32) {
        let fd = unsafe listenerFDs[Int(listener)]
        guard fd >= 0 else { return }
        unsafe listenerFDs[Int(listener)] = -1
        _ = epoll_ctl(epollFD, EPOLL_CTL_DEL, fd, nil)
        own.append(Completion(.acceptStopped, index: listener, result: result))
    }

    private mutating func list(_ index: UInt32) {
        let endpoint = unsafe endpoints + Int(index)
        guard unsafe !endpoint.pointee.flags.contains(.listed) else { return }
        unsafe endpoint.pointee.flags.insert(.listed)
        toRead.append(index)
    }

    private mutating func moveOwn() {
        for index in 0..<own.count { unsafe batch.append(own.base[index]) }
        own.removeAll()
    }
}
