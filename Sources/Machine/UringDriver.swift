import CLiburing
import CMachine
import Glibc

/// The driver over io_uring: multishot accept and receive into provided buffers, one system call
/// a turn. See `Driver` for the contract; docs/decisions/0001 for why it has a sibling.
@safe public struct UringDriver: ~Copyable {
    /// Requests queued before a submission is forced in the middle of a turn.
    private static let submissionsMax: UInt32 = 1024
    /// Completions that wait in the kernel's queue; past it the kernel keeps a slower list.
    private static let completionsMax: UInt32 = 8192
    private static let bufferGroup: UInt16 = 1
    static let listenersMax = 8
    /// So many at a time while the processor is wanted by others.
    private static let sliceMax: UInt32 = 8
    /// Receive buffers offered from the start. The kernel goes round all it is offered, so what is
    /// offered is what is touched; more are offered once these were not enough, and kept back again
    /// when so many were not needed for a while.
    private static let buffersAtFirst = 32

    let ring: UnsafeMutablePointer<io_uring>
    let features: IOFeatures
    let limits: DriverLimits
    let waker: Waker
    let endpoints: UnsafeMutablePointer<Endpoint>

    private let endpointPages: Pages
    private let bufferPages: Pages
    private let ringPages: Pages
    private let bufferRing: UnsafeMutablePointer<io_uring_buf_ring>
    private let bufferMask: Int32
    /// Buffers put back into the ring's memory and not yet shown to the kernel.
    private var buffersReturned: Int32 = 0
    private var buffersOffered = 0
    /// As many as should be offered; those above it are kept back as they come in.
    private var buffersWanted = 0
    private var buffersOut = 0
    /// The most that were out at a time since memory was last given back.
    private var buffersOutMost = 0
    /// Those that are offered have no memory, as far as we could see to that.
    private var areBare = true
    /// Those that are not offered.
    private var spareBuffers: FreeList
    /// The last batch was full: more may have completed.
    private(set) var isBehind = false
    /// See `Driver.sendInSlices`.
    var sendsInSlices = false
    private var parked: IndexQueue
    private var own: CompletionList
    private var batch: CompletionList
    private let taken: UnsafeMutablePointer<io_uring_cqe>
    private let listenerFDs: UnsafeMutablePointer<Int32>
    private let wakeCount: UnsafeMutablePointer<UInt64>

    static func make(
        limits: DriverLimits, features: IOFeatures, waker: Waker
    ) throws(SystemError) -> UringDriver {
        let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
        unsafe ring.initialize(to: io_uring())
        do throws(SystemError) {
            unsafe try setUp(ring, features: features)
        } catch {
            unsafe ring.deallocate()
            throw error
        }
        do throws(SystemError) {
            let endpointPages = try Pages(
                byteCount: limits.socketsMax * MemoryLayout<Endpoint>.stride)
            let bufferPages = try Pages(
                byteCount: limits.receiveBufferCount * limits.receiveBufferBytes)
            let ringPages = try Pages(
                byteCount: limits.receiveBufferCount * MemoryLayout<io_uring_buf>.stride)
            let parked = try IndexQueue(capacity: limits.socketsMax)
            let count = limits.receiveBufferCount
            let spareBuffers = try FreeList(count, capacity: count, kept: 0)
            unsafe try registerBuffers(ring, at: ringPages.base, count: limits.receiveBufferCount)
            return unsafe UringDriver(
                ring: ring, limits: limits, features: features, waker: waker,
                endpointPages: endpointPages, bufferPages: bufferPages, ringPages: ringPages,
                parked: parked, spareBuffers: spareBuffers)
        } catch {
            unsafe io_uring_queue_exit(ring)
            unsafe ring.deallocate()
            throw error
        }
    }

    private static func registerBuffers(
        _ ring: UnsafeMutablePointer<io_uring>, at memory: UnsafeMutableRawPointer, count: Int
    ) throws(SystemError) {
        var registration = io_uring_buf_reg()
        registration.ring_addr = UInt64(UInt(bitPattern: memory))
        registration.ring_entries = UInt32(count)
        registration.bgid = bufferGroup
        let result = unsafe io_uring_register_buf_ring(ring, &registration, 0)
        guard result == 0 else {
            throw SystemError(
                "io_uring_register_buf_ring", -result,
                hint: "the kernel is older than 5.19: start with --io epoll")
        }
    }

    private static func setUp(
        _ ring: UnsafeMutablePointer<io_uring>, features: IOFeatures
    ) throws(SystemError) {
        var parameters = io_uring_params()
        parameters.cq_entries = completionsMax
        parameters.flags = UInt32(IORING_SETUP_CQSIZE) | UInt32(IORING_SETUP_SUBMIT_ALL)
        if features.contains(.coopTaskrun) { parameters.flags |= UInt32(IORING_SETUP_COOP_TASKRUN) }
        if features.contains(.singleIssuer) {
            parameters.flags |= UInt32(IORING_SETUP_SINGLE_ISSUER)
            // The kernel defers task work only for a ring with a single issuer.
            if features.contains(.deferTaskrun) {
                parameters.flags |= UInt32(IORING_SETUP_DEFER_TASKRUN)
            }
        }
        let result = unsafe io_uring_queue_init_params(submissionsMax, ring, &parameters)
        guard result == 0 else {
            throw SystemError("io_uring_setup", -result, hint: hint(forSetupError: -result))
        }
        if features.contains(.registeredRing) { _ = unsafe io_uring_register_ring_fd(ring) }
    }

    private static func hint(forSetupError code: Int32) -> String {
        switch code {
        case EPERM:
            "kernel.io_uring_disabled or a container's seccomp profile refuses it: allow "
                + "io_uring_setup, io_uring_enter and io_uring_register, or start with --io epoll"
        case ENOSYS: "this kernel or sandbox has no io_uring: start with --io epoll"
        case EINVAL: "the kernel is older than 6.1: start with --io epoll"
        case ENOMEM: "raise the locked-memory limit (ulimit -l), or start with --io epoll"
        default: "start with --io epoll"
        }
    }

    private init(
        ring: UnsafeMutablePointer<io_uring>, limits: DriverLimits, features: IOFeatures,
        waker: Waker, endpointPages: consuming Pages, bufferPages: consuming Pages,
        ringPages: consuming Pages, parked: consuming IndexQueue, spareBuffers: consuming FreeList
    ) {
        unsafe bufferRing = ringPages.bound(to: io_uring_buf_ring.self)
        unsafe self.ring = unsafe ring
        self.limits = limits
        self.features = features
        unsafe endpoints = unsafe endpointPages.bound(to: Endpoint.self)
        bufferMask = Int32(limits.receiveBufferCount - 1)
        self.endpointPages = endpointPages
        self.bufferPages = bufferPages
        self.ringPages = ringPages
        self.parked = parked
        self.spareBuffers = spareBuffers
        own = CompletionList(capacity: limits.batchMax)
        batch = CompletionList(capacity: limits.batchMax * 2)
        unsafe taken = .allocate(capacity: limits.batchMax)
        unsafe listenerFDs = .allocate(capacity: Self.listenersMax)
        unsafe listenerFDs.initialize(repeating: -1, count: Self.listenersMax)
        unsafe wakeCount = .allocate(capacity: 1)
        unsafe wakeCount.initialize(to: 0)
        self.waker = waker

        unsafe io_uring_buf_ring_init(bufferRing)
        offerMore(Self.buffersAtFirst)
        showReturnedBuffers()
        armWake()
    }

    deinit {
        unsafe io_uring_queue_exit(ring)
        unsafe ring.deallocate()
        for index in 0..<limits.socketsMax where unsafe endpoints[index].flags.contains(.open) {
            unsafe Glibc.close(endpoints[index].fd)
        }
        unsafe taken.deallocate()
        unsafe listenerFDs.deallocate()
        unsafe wakeCount.deallocate()
    }

    // MARK: Requests

    mutating func accept(listener: UInt32, fd: Int32) {
        invariant(listener < UInt32(Self.listenersMax), "listener \(listener) is out of range")
        unsafe listenerFDs[Int(listener)] = fd
        let sqe = unsafe nextSubmission()
        if features.contains(.multishotAccept) {
            unsafe io_uring_prep_multishot_accept(sqe, fd, nil, nil, Int32(SOCK_CLOEXEC.rawValue))
        } else {
            unsafe io_uring_prep_accept(sqe, fd, nil, nil, Int32(SOCK_CLOEXEC.rawValue))
        }
        unsafe sqe.pointee.user_data = Operation(.accept, index: listener, generation: 0).rawValue
    }

    mutating func stopAccepting(listener: UInt32) {
        unsafe listenerFDs[Int(listener)] = -1
        let sqe = unsafe nextSubmission()
        let target = Operation(.accept, index: listener, generation: 0).rawValue
        unsafe io_uring_prep_cancel64(sqe, target, 0)
        unsafe sqe.pointee.user_data = Operation(.none, index: listener, generation: 0).rawValue
    }

    mutating func open(_ index: UInt32, fd: Int32) {
        let endpoint = unsafe endpoints + Int(index)
        unsafe invariant(!endpoint.pointee.flags.contains(.open), "slot \(index) is opened twice")
        unsafe endpoint.pointee.fd = fd
        unsafe endpoint.pointee.generation &+= 1
        unsafe endpoint.pointee.flags = unsafe endpoint.pointee.flags.intersection(.listed).union(
            .open)
    }

    mutating func receive(_ index: UInt32) {
        let endpoint = unsafe endpoints + Int(index)
        guard unsafe endpoint.pointee.flags.intersection([.open, .closing, .wantsReceive]) == .open
        else { return }
        unsafe endpoint.pointee.flags.insert(.wantsReceive)
        // One that is still being cancelled is armed again when its last completion is here.
        if unsafe !endpoint.pointee.flags.contains(.receiving),
            unsafe !endpoint.pointee.flags.contains(.listed)
        {
            arm(index)
        }
    }

    mutating func pause(_ index: UInt32) {
        let endpoint = unsafe endpoints + Int(index)
        guard unsafe endpoint.pointee.flags.contains(.wantsReceive) else { return }
        unsafe endpoint.pointee.flags.remove(.wantsReceive)
        guard unsafe endpoint.pointee.flags.contains(.receiving) else { return }
        let target = unsafe Operation(
            .receive, index: index, generation: endpoint.pointee.generation)
        let sqe = unsafe nextSubmission()
        unsafe io_uring_prep_cancel64(sqe, target.rawValue, 0)
        unsafe sqe.pointee.user_data = Operation(.none, index: index, generation: 0).rawValue
    }

    mutating func send(_ index: UInt32, _ bytes: UnsafePointer<UInt8>, count: Int) -> Bool {
        let endpoint = unsafe endpoints + Int(index)
        unsafe invariant(
            endpoint.pointee.flags.intersection([.open, .closing, .sending]) == .open,
            "a second send, or one on a closed socket, for slot \(index)")
        unsafe endpoint.pointee.flags.insert(.sending)
        unsafe endpoint.pointee.sendBase = unsafe bytes
        unsafe endpoint.pointee.sendCount = count
        submitSend(index)
        return false
    }

    mutating func finishSending(_ index: UInt32) {
        unsafe shutdown(endpoints[Int(index)].fd, Int32(SHUT_WR))
    }

    mutating func close(_ index: UInt32) {
        let endpoint = unsafe endpoints + Int(index)
        guard unsafe endpoint.pointee.flags.intersection([.open, .closing]) == .open else { return }
        unsafe endpoint.pointee.flags.insert(.closing)
        unsafe endpoint.pointee.flags.remove(.wantsReceive)
        // The rest of a blocked send is with us, not with the kernel.
        if unsafe endpoint.pointee.flags.contains(.blocked) {
            unsafe endpoint.pointee.flags.subtract([.sending, .blocked])
        }
        if unsafe !endpoint.pointee.flags.isDisjoint(with: [.receiving, .sending, .watching]) {
            unsafe endpoint.pointee.flags.insert(.cancelling)
            let sqe = unsafe nextSubmission()
            unsafe io_uring_prep_cancel_fd(
                sqe, endpoint.pointee.fd, UInt32(IORING_ASYNC_CANCEL_ALL))
            unsafe sqe.pointee.user_data =
                unsafe Operation(.cancel, index: index, generation: endpoint.pointee.generation)
                .rawValue
        }
        closeIfReaped(index)
    }

    func bytes(ofBuffer buffer: UInt16) -> UnsafeMutablePointer<UInt8> {
        unsafe (bufferPages.base + Int(buffer) * limits.receiveBufferBytes)
            .assumingMemoryBound(to: UInt8.self)
    }

    mutating func recycle(_ buffer: UInt16) {
        buffersOut -= 1
        if buffersOffered > buffersWanted {
            buffersOffered -= 1
            spareBuffers.give(UInt32(buffer))
        } else {
            offer(buffer)
        }
    }

    var mayGiveBack: Bool {
        spareBuffers.isWarm
            || (buffersOffered > Self.buffersAtFirst && (buffersOutMost > 0 || !areBare))
    }

    mutating func giveBack(most: Int) -> Bool {
        let needed = buffersOutMost
        buffersOutMost = 0
        // Twice as many: while a batch is with its owner, the kernel fills the next one.
        buffersWanted = min(buffersOffered, max(Self.buffersAtFirst, needed * 2))
        areBare = needed == 0
        // With deferred work the kernel writes into what it was offered only within a call of ours,
        // and we have read all it told of that: nothing is in them, whether they come in soon or
        // never.
        let isTold = unsafe nt_ring_ready(ring) == 0 && !io_uring_cq_has_overflow(ring)
        if buffersOffered > buffersWanted, buffersOut == 0, isTold,
            features.contains([.singleIssuer, .deferTaskrun])
        {
            bufferPages.giveBack(0, bufferPages.byteCount)
            areBare = true
        }
        return spareBuffers.cool(bufferPages, partBytes: limits.receiveBufferBytes, most: most)
    }

    // MARK: Waiting

    mutating func wait(timeoutNs: UInt64?) -> UnsafeBufferPointer<Completion> {
        batch.removeAll()
        if parked.count > 0 { offerMore(buffersOffered) }
        showReturnedBuffers()
        armParked()
        // Those still parked may have bytes while all that were armed have none: there must be
        // another turn for them, and not only once something happens to come.
        let hasMoreToArm = parked.count > 0 && buffersOut < buffersOffered
        let timeout = own.count > 0 || hasMoreToArm ? 0 : timeoutNs
        if timeout == 0 {
            _ = unsafe io_uring_submit_and_get_events(ring)
        } else {
            submitAndWait(timeoutNs: timeout)
        }
        for index in 0..<own.count { unsafe batch.append(own.base[index]) }
        own.removeAll()

        let count = unsafe Int(nt_ring_take(ring, taken, UInt32(limits.batchMax)))
        isBehind = count == limits.batchMax
        for index in 0..<count {
            let cqe = unsafe taken + index
            unsafe understand(
                Operation(rawValue: cqe.pointee.user_data), result: cqe.pointee.res,
                flags: cqe.pointee.flags)
        }
        // Sockets that closed while the batch was read belong to it as well.
        for index in 0..<own.count { unsafe batch.append(own.base[index]) }
        own.removeAll()
        return unsafe batch.all
    }

    private mutating func submitAndWait(timeoutNs: UInt64?) {
        var first: UnsafeMutablePointer<io_uring_cqe>? = nil
        if let timeoutNs {
            var span = __kernel_timespec(
                tv_sec: Int64(timeoutNs / 1_000_000_000),
                tv_nsec: Int64(timeoutNs % 1_000_000_000))
            _ = unsafe io_uring_submit_and_wait_timeout(ring, &first, 1, &span, nil)
        } else {
            _ = unsafe io_uring_submit_and_wait(ring, 1)
        }
        // Every failure here (a signal, the time being over, a full completion queue) is cured by
        // reading the completions there are and coming back.
    }

    private mutating func understand(_ operation: Operation, result: Int32, flags: UInt32) {
        let more = flags & UInt32(nt_cqe_more) != 0
        switch operation.kind {
        case .receive: received(operation, result: result, flags: flags, more: more)
        case .send: sent(operation, result: result)
        case .watch: becameWritable(operation, more: more)
        case .accept: accepted(listener: operation.index, result: result, more: more)
        case .cancel:
            let endpoint = unsafe endpoints + Int(operation.index)
            guard isCurrent(operation) else { return }
            unsafe endpoint.pointee.flags.remove(.cancelling)
            closeIfReaped(operation.index)
        case .wake:
            batch.append(Completion(.woken, index: 0))
            armWake()
        case .none: break
        }
    }

    private mutating func received(
        _ operation: Operation, result: Int32, flags: UInt32, more: Bool
    ) {
        let hasBuffer = flags & UInt32(nt_cqe_buffer) != 0
        let buffer = UInt16(truncatingIfNeeded: flags >> UInt32(nt_cqe_buffer_shift))
        if hasBuffer {
            buffersOut += 1
            if buffersOut > buffersOutMost { buffersOutMost = buffersOut }
        }
        guard isCurrent(operation) else {
            if hasBuffer { recycle(buffer) }
            return
        }
        let index = operation.index
        let endpoint = unsafe endpoints + Int(index)
        if !more { unsafe endpoint.pointee.flags.remove(.receiving) }

        if unsafe endpoint.pointee.flags.contains(.closing) {
            if hasBuffer { recycle(buffer) }
            closeIfReaped(index)
            return
        }
        if result > 0 {
            batch.append(Completion(.received, index: index, result: result, buffer: buffer))
            if !more, unsafe endpoint.pointee.flags.contains(.wantsReceive) { arm(index) }
            return
        }
        if hasBuffer { recycle(buffer) }
        switch result {
        case -ENOBUFS:
            if unsafe endpoint.pointee.flags.contains(.wantsReceive) { park(index) }
        case -ECANCELED, -EINTR, -EAGAIN:
            if !more, unsafe endpoint.pointee.flags.contains(.wantsReceive) { arm(index) }
        default:
            unsafe endpoint.pointee.flags.remove(.wantsReceive)
            batch.append(Completion(.ended, index: index, result: result))
        }
    }

    private mutating func sent(_ operation: Operation, result: Int32) {
        guard isCurrent(operation) else { return }
        let index = operation.index
        let endpoint = unsafe endpoints + Int(index)
        if unsafe endpoint.pointee.flags.contains(.closing) {
            unsafe endpoint.pointee.flags.remove(.sending)
            closeIfReaped(index)
            return
        }
        if result == -EAGAIN {
            sendWhenWritable(index)
        } else if result == -EINTR {
            submitSend(index)
        } else if result < 0 {
            unsafe endpoint.pointee.flags.remove(.sending)
            batch.append(Completion(.sent, index: index, result: result))
        } else if unsafe Int(result) < endpoint.pointee.sendCount {
            unsafe endpoint.pointee.sendBase =
                unsafe endpoint.pointee.sendBase.unsafelyUnwrapped + Int(result)
            unsafe endpoint.pointee.sendCount -= Int(result)
            // Only a send that takes nothing makes sure that the socket tells of room again.
            submitSend(index)
        } else {
            unsafe endpoint.pointee.flags.remove(.sending)
            batch.append(Completion(.sent, index: index))
        }
    }

    /// The socket's buffer is full. A send that the kernel lets wait by itself would do for most
    /// peers; but one that has ended its direction makes the kernel's poll report RDHUP for ever,
    /// so the send would move to a worker thread, block that, and escape cancellation. So sends
    /// never wait, and a multishot poll tells of each time that there is room again. It stays for
    /// as long as the socket: most never need it, and who fills a buffer once does so again.
    private mutating func sendWhenWritable(_ index: UInt32) {
        let endpoint = unsafe endpoints + Int(index)
        if unsafe endpoint.pointee.flags.contains(.writable) { return submitSend(index) }
        unsafe endpoint.pointee.flags.insert(.blocked)
        if unsafe !endpoint.pointee.flags.contains(.watching) { watch(index) }
    }

    private mutating func watch(_ index: UInt32) {
        let endpoint = unsafe endpoints + Int(index)
        unsafe endpoint.pointee.flags.insert(.watching)
        let sqe = unsafe nextSubmission()
        unsafe io_uring_prep_poll_multishot(sqe, endpoint.pointee.fd, UInt32(POLLOUT))
        unsafe sqe.pointee.user_data =
            unsafe Operation(.watch, index: index, generation: endpoint.pointee.generation).rawValue
    }

    private mutating func becameWritable(_ operation: Operation, more: Bool) {
        guard isCurrent(operation) else { return }
        let index = operation.index
        let endpoint = unsafe endpoints + Int(index)
        if !more { unsafe endpoint.pointee.flags.remove(.watching) }
        if unsafe endpoint.pointee.flags.contains(.closing) {
            closeIfReaped(index)
        } else if unsafe endpoint.pointee.flags.contains(.blocked) {
            unsafe endpoint.pointee.flags.remove(.blocked)
            submitSend(index)
        } else {
            unsafe endpoint.pointee.flags.insert(.writable)
        }
    }

    private mutating func accepted(listener: UInt32, result: Int32, more: Bool) {
        let fd = unsafe listenerFDs[Int(listener)]
        if result >= 0 {
            batch.append(Completion(.accepted, index: listener, result: result))
        }
        if more { return }
        switch result {
        case -EMFILE, -ENFILE, -ENOMEM, -ENOBUFS, -EBADF, -EINVAL, -ECANCELED:
            batch.append(Completion(.acceptStopped, index: listener, result: result))
        default:
            if fd >= 0 {
                accept(listener: listener, fd: fd)
            } else {
                batch.append(Completion(.acceptStopped, index: listener, result: -ECANCELED))
            }
        }
    }

    // MARK: Parts

    private func isCurrent(_ operation: Operation) -> Bool {
        let endpoint = unsafe endpoints + Int(operation.index)
        return unsafe endpoint.pointee.flags.contains(.open)
            && endpoint.pointee.generation & Operation.generationMask == operation.generation
    }

    private mutating func nextSubmission() -> UnsafeMutablePointer<io_uring_sqe> {
        while true {
            if let sqe = unsafe io_uring_get_sqe(ring) { return unsafe sqe }
            _ = unsafe io_uring_submit(ring)
        }
    }

    private mutating func arm(_ index: UInt32) {
        let endpoint = unsafe endpoints + Int(index)
        let sqe = unsafe nextSubmission()
        if features.contains(.multishotReceive) {
            unsafe io_uring_prep_recv_multishot(sqe, endpoint.pointee.fd, nil, 0, 0)
        } else {
            unsafe io_uring_prep_recv(
                sqe, endpoint.pointee.fd, nil, limits.receiveBufferBytes, 0)
        }
        unsafe sqe.pointee.flags |= UInt8(nt_sqe_buffer_select)
        unsafe sqe.pointee.buf_group = Self.bufferGroup
        unsafe sqe.pointee.user_data =
            unsafe Operation(.receive, index: index, generation: endpoint.pointee.generation)
            .rawValue
        unsafe endpoint.pointee.flags.insert(.receiving)
    }

    private mutating func submitSend(_ index: UInt32) {
        let endpoint = unsafe endpoints + Int(index)
        if sendsInSlices, unsafe io_uring_sq_ready(ring) >= Self.sliceMax {
            _ = unsafe io_uring_submit(ring)
        }
        let sqe = unsafe nextSubmission()
        unsafe io_uring_prep_send(
            sqe, endpoint.pointee.fd, endpoint.pointee.sendBase, endpoint.pointee.sendCount,
            Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        unsafe endpoint.pointee.flags.remove(.writable)
        unsafe sqe.pointee.user_data =
            unsafe Operation(.send, index: index, generation: endpoint.pointee.generation).rawValue
    }

    private mutating func armWake() {
        let sqe = unsafe nextSubmission()
        unsafe io_uring_prep_read(sqe, waker.fd, wakeCount, 8, 0)
        unsafe sqe.pointee.user_data = Operation(.wake, index: 0, generation: 0).rawValue
    }

    private mutating func park(_ index: UInt32) {
        let endpoint = unsafe endpoints + Int(index)
        unsafe endpoint.pointee.flags.insert(.listed)
        parked.append(index)
    }

    /// Arms sockets that ran out of buffers, as many as there are buffers again.
    private mutating func armParked() {
        var free = buffersOffered - buffersOut
        while free > 0, let index = parked.popFirst() {
            let endpoint = unsafe endpoints + Int(index)
            unsafe endpoint.pointee.flags.remove(.listed)
            guard unsafe endpoint.pointee.flags.contains(.wantsReceive),
                unsafe !endpoint.pointee.flags.contains(.receiving)
            else { continue }
            arm(index)
            free -= 1
        }
    }

    private mutating func closeIfReaped(_ index: UInt32) {
        let endpoint = unsafe endpoints + Int(index)
        let pending: Endpoint.Flags = [.receiving, .sending, .watching, .cancelling]
        guard unsafe endpoint.pointee.flags.isDisjoint(with: pending) else { return }
        unsafe Glibc.close(endpoint.pointee.fd)
        // A parked number stays in its list and is passed over when its turn comes.
        unsafe endpoint.pointee.flags = unsafe endpoint.pointee.flags.intersection(.listed)
        own.append(Completion(.closed, index: index))
    }

    /// Offers so many more of the buffers, as far as there are any.
    private mutating func offerMore(_ count: Int) {
        for _ in 0..<count {
            guard let buffer = spareBuffers.take() else { break }
            offer(UInt16(buffer))
            buffersOffered += 1
        }
        buffersWanted = buffersOffered
    }

    private mutating func offer(_ buffer: UInt16) {
        unsafe io_uring_buf_ring_add(
            bufferRing, bytes(ofBuffer: buffer), UInt32(limits.receiveBufferBytes), buffer,
            bufferMask, buffersReturned)
        buffersReturned += 1
    }

    private mutating func showReturnedBuffers() {
        guard buffersReturned > 0 else { return }
        unsafe io_uring_buf_ring_advance(bufferRing, buffersReturned)
        buffersReturned = 0
    }
}
