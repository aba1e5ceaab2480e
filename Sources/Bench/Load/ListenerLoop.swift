import CMachine
import Glibc
import Machine
import Synchronization

/// One thread that holds event streams and notes what each of them hears, and when.
///
/// It uses epoll and recvmsg(2) itself instead of a driver: only so does the kernel tell when bytes
/// arrived, which is the server's time; when this thread gets to read them is the generator's.
@safe struct ListenerLoop: ~Copyable {
    struct Plan: Sendable {
        var thread = 0
        var threads = 1
        var listeners = 0
        var keys = 1
        var warmupNs: UInt64 = 0
        var durationNs: UInt64 = 0
        var drainNs: UInt64 = 0
        var staleNs: UInt64 = 0
        /// There are writers to wait for; without them the time decides.
        var hasWriters = true
    }

    private struct Slot {
        var fd: Int32
        var key: UInt32
        var http: HTTPReplyReader
        var stream: EventStreamReader
        var heard: Heard
        /// Distinct events of the measured time.
        var heardCount: UInt32
        var hasHeardSome: Bool
        var isSettled: Bool
        var retryNs: UInt64
    }

    private static let eventsPerTurn = 512
    private static let readBytes = 64 * 1024
    private static let retryAfterNs: UInt64 = 500_000_000
    private static let tickMs: Int32 = 50
    /// Replies to all requests for a stream are expected within this time.
    private static let settleNs: UInt64 = 30_000_000_000
    /// How many requests are out before the replies are looked at: below any listen backlog.
    private static let connectBurst = 100
    /// `SO_TIMESTAMPNS` and the control message of the same number; the header of one.
    private static let timestampNs: Int32 = 35
    private static let controlHeaderBytes = 16

    private let plan: Plan
    private let peer: Peer
    private let log: EventLog?
    /// Copied to a local before anything is added to it: ThreadSanitizer's build breaks otherwise.
    private let figures: UnsafeMutablePointer<ListenerFigures>
    private let control: UnsafeMutablePointer<RunControl>
    private let request: RequestTemplate
    private let epollFD: Int32
    private let slots: UnsafeMutablePointer<Slot>
    private let slotPages: Pages
    private let carryPages: Pages
    private let carries: UnsafeMutablePointer<UInt8>
    private let buffer: UnsafeMutablePointer<UInt8>
    private let ready: UnsafeMutablePointer<epoll_event>

    private var known = KnownHead()
    private var settled = 0
    private var fromNs: UInt64 = .max
    private var untilNs: UInt64 = .max
    /// Nobody is made anew while the run ends.
    private var isEnding = false
    /// What the wall clock is ahead of the monotonic one, read anew each turn.
    private var wallOffsetNs: UInt64 = 0

    static func make(
        plan: Plan, peer: Peer, log: EventLog?, request: consuming RequestTemplate,
        figures: UnsafeMutablePointer<ListenerFigures>, control: UnsafeMutablePointer<RunControl>
    ) throws(SystemError) -> ListenerLoop {
        let epollFD = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard epollFD >= 0 else {
            throw SystemError("epoll_create1", errno, hint: "raise ulimit -n")
        }
        let slotPages = try Pages(byteCount: plan.listeners * MemoryLayout<Slot>.stride)
        let carryPages = try Pages(byteCount: plan.listeners * HTTPReplyReader.headBytesMax)
        return unsafe ListenerLoop(
            plan: plan, peer: peer, log: log, request: request, figures: figures,
            control: control, epollFD: epollFD, slotPages: slotPages, carryPages: carryPages)
    }

    private init(
        plan: Plan, peer: Peer, log: EventLog?, request: consuming RequestTemplate,
        figures: UnsafeMutablePointer<ListenerFigures>,
        control: UnsafeMutablePointer<RunControl>, epollFD: Int32, slotPages: consuming Pages,
        carryPages: consuming Pages
    ) {
        self.plan = plan
        self.peer = peer
        self.log = log
        self.request = request
        unsafe self.figures = unsafe figures
        unsafe self.control = unsafe control
        self.epollFD = epollFD
        unsafe slots = slotPages.bound(to: Slot.self)
        unsafe carries = carryPages.bound(to: UInt8.self)
        self.slotPages = slotPages
        self.carryPages = carryPages
        unsafe buffer = .allocate(capacity: Self.readBytes)
        unsafe ready = .allocate(capacity: Self.eventsPerTurn)
        for index in 0..<plan.listeners {
            unsafe (slots + index).initialize(
                to: Slot(
                    fd: -1, key: UInt32((index * plan.threads + plan.thread) % plan.keys),
                    http: HTTPReplyReader(), stream: EventStreamReader(), heard: Heard(),
                    heardCount: 0, hasHeardSome: false, isSettled: false, retryNs: 0))
        }
    }

    deinit {
        for index in 0..<plan.listeners {
            let slot = unsafe slots + index
            if unsafe slot.pointee.fd >= 0 { _ = unsafe close(slot.pointee.fd) }
            unsafe slot.pointee.stream.reset()
        }
        close(epollFD)
        unsafe buffer.deallocate()
        unsafe ready.deallocate()
    }

    // MARK: The run

    /// Opens all streams and waits for the heads of their replies. Throws when the first cannot be
    /// opened; others are counted.
    mutating func connect() throws(SystemError) {
        let beganNs = Clock.monotonicNs()
        for index in 0..<plan.listeners {
            do throws(SystemError) {
                try open(index)
            } catch {
                if index == 0 { throw error }
                settle(index)
            }
            while index + 1 - settled > Self.connectBurst,
                Clock.monotonicNs() < beganNs + Self.settleNs
            {
                turn()
            }
        }
        while settled < plan.listeners, Clock.monotonicNs() < beganNs + Self.settleNs { turn() }
        unsafe figures.pointee.connectNs = Clock.monotonicNs() - beganNs
    }

    mutating func run(startNs: UInt64) {
        fromNs = startNs + plan.warmupNs
        untilNs = fromNs + plan.durationNs
        var cpuStartNs: UInt64 = 0
        var deadlineNs: UInt64?
        var expected: UInt64 = 0
        while true {
            turn()
            let nowNs = Clock.monotonicNs()
            if unsafe figures.pointee.startNs == 0, nowNs >= fromNs {
                unsafe figures.pointee.startNs = fromNs
                cpuStartNs = ThreadClock.cpuNs()
            }
            unsafe figures.pointee.progress.store(
                figures.pointee.deliveries, ordering: .relaxed)
            let isInterrupted = unsafe control.pointee.interrupted.load(ordering: .relaxed)
            if unsafe figures.pointee.endNs == 0, nowNs >= untilNs || isInterrupted {
                unsafe figures.pointee.endNs = nowNs
                unsafe figures.pointee.cpuNs = ThreadClock.cpuNs() - cpuStartNs
            }
            let isOver =
                plan.hasWriters
                ? unsafe control.pointee.sendersDone.load(ordering: .acquiring) > 0
                : unsafe figures.pointee.endNs > 0
            guard isOver else { continue }
            if deadlineNs == nil {
                deadlineNs = nowNs + (plan.hasWriters ? plan.drainNs : 0)
                expected = expectedDeliveries()
            }
            if nowNs >= deadlineNs ?? 0 { break }
            if unsafe figures.pointee.deliveries >= expected, unsafe figures.pointee.endNs > 0 {
                break
            }
        }
        isEnding = true
        countMissed()
    }

    // MARK: Accounts

    /// For each key, the events that the server took in the measured time.
    private func takenPerKey() -> [UInt32] {
        var taken = [UInt32](repeating: 0, count: plan.keys)
        guard let log else { return taken }
        for place in 0..<log.count {
            let event = unsafe log.events[place]
            if event.isAcknowledged, event.sentNs >= fromNs, event.sentNs < untilNs {
                taken[Int(event.key)] += 1
            }
        }
        return taken
    }

    private func expectedDeliveries() -> UInt64 {
        let taken = takenPerKey()
        var sum: UInt64 = 0
        for index in 0..<plan.listeners { sum += UInt64(taken[Int(unsafe slots[index].key)]) }
        return sum
    }

    private func countMissed() {
        let taken = takenPerKey()
        for index in 0..<plan.listeners {
            let expected = taken[Int(unsafe slots[index].key)]
            let heard = unsafe slots[index].heardCount
            if expected > heard { unsafe figures.pointee.missed += UInt64(expected - heard) }
        }
    }

    // MARK: Reading

    private mutating func turn() {
        let count = unsafe epoll_wait(epollFD, ready, Int32(Self.eventsPerTurn), Self.tickMs)
        let nowNs = Clock.monotonicNs()
        wallOffsetNs = WallClock.nowNs() &- nowNs
        for place in 0..<Int(max(count, 0)) {
            unsafe readOnce(Int(ready[place].data.u64))
        }
        guard count <= 0, !isEnding else { return }
        for index in 0..<plan.listeners
        where unsafe slots[index].fd < 0 && slots[index].retryNs > 0
            && slots[index].retryNs <= nowNs
        {
            do throws(SystemError) { try open(index) } catch {}
        }
    }

    private mutating func readOnce(_ index: Int) {
        let figures = unsafe self.figures
        let slot = unsafe slots + index
        var arrivedNs: UInt64 = 0
        let count = unsafe receive(slot.pointee.fd, arrivedNs: &arrivedNs)
        if count == 0 { return ended(index) }
        if count < 0 {
            if errno != EAGAIN, errno != EINTR { ended(index) }
            return
        }
        let nowNs = Clock.monotonicNs()
        unsafe figures.pointee.bytesIn += UInt64(count)
        let carry = unsafe carries + index * HTTPReplyReader.headBytesMax
        var used = 0
        while used < count {
            let step = unsafe slot.pointee.http.next(
                UnsafePointer(buffer + used), count - used, carry: carry, known: &known)
            if unsafe !slot.pointee.isSettled, unsafe slot.pointee.http.status > 0,
                unsafe slot.pointee.http.isInBody || step.kind == .reply
            {
                unsafe figures.pointee.connected += slot.pointee.http.status == 200 ? 1 : 0
                unsafe figures.pointee.refused += slot.pointee.http.status == 200 ? 0 : 1
                settle(index)
            }
            if step.kind == .violation {
                unsafe figures.pointee.violations += 1
                return ended(index)
            }
            if step.bodyCount > 0, unsafe slot.pointee.http.status == 200 {
                unsafe hear(slot, buffer + used + step.bodyStart, step.bodyCount, nowNs, arrivedNs)
            }
            used += step.consumed
        }
    }

    /// One recvmsg(2) into the buffer. `arrivedNs` is when the last of the bytes came to TCP.
    private func receive(_ fd: Int32, arrivedNs: inout UInt64) -> Int {
        unsafe withUnsafeTemporaryAllocation(byteCount: 128, alignment: 8) { room in
            var vector = unsafe iovec(iov_base: buffer, iov_len: Self.readBytes)
            return unsafe withUnsafeMutablePointer(to: &vector) { vector in
                var message = unsafe msghdr()
                unsafe message.msg_iov = unsafe vector
                unsafe message.msg_iovlen = 1
                unsafe message.msg_control = room.baseAddress
                unsafe message.msg_controllen = room.count
                let count = unsafe recvmsg(fd, &message, Int32(MSG_DONTWAIT))
                guard count > 0 else { return count }
                // A header (length, level, type), then its data; only this one is asked for.
                let wanted = Self.controlHeaderBytes + MemoryLayout<timespec>.size
                if unsafe message.msg_controllen >= wanted,
                    unsafe room.load(fromByteOffset: 12, as: Int32.self) == Self.timestampNs
                {
                    let time = unsafe room.load(
                        fromByteOffset: Self.controlHeaderBytes, as: timespec.self)
                    arrivedNs =
                        UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
                        &- wallOffsetNs
                }
                return count
            }
        }
    }

    private mutating func hear(
        _ slot: UnsafeMutablePointer<Slot>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int,
        _ nowNs: UInt64, _ arrivedNs: UInt64
    ) {
        let figures = unsafe self.figures
        var used = 0
        while used < count {
            let step = unsafe slot.pointee.stream.next(bytes + used, count - used)
            used += step.consumed
            switch step.kind {
            case .needMore: break
            case .idle: if step.hasComment { unsafe figures.pointee.comments += 1 }
            case .event: unsafe note(slot, step, nowNs, arrivedNs)
            case .violation:
                unsafe figures.pointee.violations += 1
                return
            }
        }
    }

    private func note(
        _ slot: UnsafeMutablePointer<Slot>, _ step: EventStreamReader.Step, _ nowNs: UInt64,
        _ arrivedNs: UInt64
    ) {
        if let name = unsafe step.name, step.nameCount > 0 {
            if unsafe Self.equal(name, step.nameCount, "lagged") {
                unsafe figures.pointee.lagged += 1
            } else if unsafe Self.equal(name, step.nameCount, "reset") {
                unsafe figures.pointee.resets += 1
            } else if unsafe Self.equal(name, step.nameCount, "bye") {
                unsafe figures.pointee.byes += 1
            }
        }
        guard let data = unsafe step.data, let log,
            let stamp = unsafe Stamp.find(in: UnsafePointer(data), step.dataCount),
            stamp.run == log.run, unsafe stamp.key == slot.pointee.key
        else {
            unsafe figures.pointee.foreign += 1
            return
        }
        // What a stream begins with is the state, not an event; only a first one can be that.
        if unsafe !slot.pointee.hasHeardSome {
            unsafe slot.pointee.hasHeardSome = true
            if unsafe Self.contains(data, step.dataCount, "\"initial\":true") {
                unsafe figures.pointee.initial += 1
                return
            }
        }
        let verdict = unsafe slot.pointee.heard.hear(
            stamp.sequence, settled: stamp.settled)
        guard stamp.sentNs >= fromNs, stamp.sentNs < untilNs else { return }
        switch verdict {
        case .duplicate:
            unsafe figures.pointee.duplicates += 1
            return
        case .outOfOrder: unsafe figures.pointee.outOfOrder += 1
        case .new, .overtaken: break
        }
        unsafe figures.pointee.deliveries += 1
        unsafe slot.pointee.heardCount += 1
        let tookNs = nowNs > stamp.sentNs ? nowNs - stamp.sentNs : 0
        unsafe figures.pointee.delivery.record(tookNs)
        if tookNs > plan.staleNs { unsafe figures.pointee.stale += 1 }
        var kernelNs = tookNs
        if arrivedNs > 0 {
            kernelNs = arrivedNs > stamp.sentNs ? min(arrivedNs - stamp.sentNs, tookNs) : 0
            unsafe figures.pointee.kernelDelivery.record(kernelNs)
            unsafe figures.pointee.readDelay.record(nowNs > arrivedNs ? nowNs - arrivedNs : 0)
        }
        guard stamp.event < EventLog.eventsMax else { return }
        let event = Int(stamp.event)
        let heardBy = unsafe figures.pointee.heardBy + event
        unsafe heardBy.pointee += 1
        let last = unsafe figures.pointee.lastNs + event
        unsafe last.pointee = unsafe max(last.pointee, Self.units(tookNs))
        let lastKernel = unsafe figures.pointee.lastKernelNs + event
        unsafe lastKernel.pointee = unsafe max(lastKernel.pointee, Self.units(kernelNs))
    }

    private static func units(_ ns: UInt64) -> UInt32 {
        UInt32(clamping: ns / ListenerFigures.lastUnitNs)
    }

    private static func equal(
        _ text: UnsafePointer<UInt8>, _ count: Int, _ word: StaticString
    ) -> Bool {
        unsafe count == word.utf8CodeUnitCount && memcmp(text, word.utf8Start, count) == 0
    }

    private static func contains(
        _ text: UnsafeMutablePointer<UInt8>, _ count: Int, _ word: StaticString
    ) -> Bool {
        let wordCount = word.utf8CodeUnitCount
        guard count >= wordCount else { return false }
        for place in 0...(count - wordCount)
        where unsafe memcmp(text + place, word.utf8Start, wordCount) == 0 { return true }
        return false
    }

    // MARK: Connections

    private mutating func open(_ index: Int) throws(SystemError) {
        let figures = unsafe self.figures
        let slot = unsafe slots + index
        unsafe slot.pointee.retryNs = Clock.monotonicNs() + Self.retryAfterNs
        let fd: Int32
        do throws(SystemError) {
            fd = try peer.connect(number: index * plan.threads + plan.thread)
        } catch {
            unsafe figures.pointee.connectFailures += 1
            throw error
        }
        var on: Int32 = 1
        unsafe setsockopt(
            fd, SOL_SOCKET, Self.timestampNs, &on, socklen_t(MemoryLayout<Int32>.size))
        unsafe request.write(to: buffer, key: slot.pointee.key)
        let sent = unsafe send(fd, buffer, request.count, Int32(MSG_NOSIGNAL))
        guard sent == request.count else {
            let code = errno
            close(fd)
            unsafe figures.pointee.connectFailures += 1
            throw SystemError("send", code, hint: "the server closed at once")
        }
        unsafe slot.pointee.fd = fd
        unsafe slot.pointee.http = HTTPReplyReader()
        unsafe slot.pointee.stream.reset()
        unsafe slot.pointee.hasHeardSome = false
        var event = unsafe epoll_event()
        unsafe event.events = EPOLLIN.rawValue
        unsafe event.data.u64 = UInt64(index)
        guard unsafe epoll_ctl(epollFD, EPOLL_CTL_ADD, fd, &event) == 0 else {
            throw SystemError("epoll_ctl", errno, hint: "raise fs.epoll.max_user_watches")
        }
    }

    private mutating func settle(_ index: Int) {
        let slot = unsafe slots + index
        guard unsafe !slot.pointee.isSettled else { return }
        unsafe slot.pointee.isSettled = true
        settled += 1
    }

    /// As a browser does, the stream is asked for again after a while.
    private mutating func ended(_ index: Int) {
        let figures = unsafe self.figures
        let slot = unsafe slots + index
        unsafe close(slot.pointee.fd)
        unsafe slot.pointee.fd = -1
        unsafe slot.pointee.retryNs = Clock.monotonicNs() + Self.retryAfterNs
        unsafe figures.pointee.disconnects += 1
        settle(index)
    }
}

/// The clock of the kernel's receive times, which an operator may set.
enum WallClock {
    static func nowNs() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}
