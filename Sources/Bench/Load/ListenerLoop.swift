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
        /// Threads that write, to be waited for; without them the time decides.
        var writers = 1
        var isWebSocket = false
        /// Listeners of all threads from this number on stop reading while events are written.
        var stoppedFrom = Int.max
    }

    private struct Slot {
        var fd: Int32
        var key: UInt32
        var http: HTTPReplyReader
        var stream: EventStreamReader
        var webSocket: WebSocketReader
        var account: Account
        /// Reads nothing while events are written.
        var isStopped: Bool
        var wasTold: Bool
        var isSettled: Bool
        /// Of the id it had last, in `ids`.
        var idCount: UInt16
        /// What the server asks to wait before connecting again, and when that is over.
        var retryMs: UInt32
        var retryNs: UInt64
    }

    /// When bytes were read, and when the last of them came to TCP.
    private struct Moment {
        var nowNs: UInt64
        var arrivedNs: UInt64
    }

    private static let eventsPerTurn = 512
    private static let readBytes = 64 * 1024
    /// After it has read, the thread lets events gather for so long. One that waits in
    /// epoll_wait(2) is woken for each that comes, and where the server is on this machine its CPU
    /// does that: two fifths of what a delivery cost. The kernel's receive times don't change.
    private static let gatherNs = 100_000
    /// Until a stream says otherwise.
    private static let retryMs: UInt32 = 500
    private static let reopenEveryNs: UInt64 = 50_000_000
    private static let tickMs: Int32 = 50
    /// How often all listeners are looked over for having heard everything.
    private static let lookEveryNs: UInt64 = 20_000_000
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
    private let subscription: SubscriptionText
    private let request: RequestTemplate
    private let epollFD: Int32
    private let slots: UnsafeMutablePointer<Slot>
    private let slotPages: Pages
    private let carryPages: Pages
    private let idPages: Pages
    private let carries: UnsafeMutablePointer<UInt8>
    private let ids: UnsafeMutablePointer<UInt8>
    private let buffer: UnsafeMutablePointer<UInt8>
    private let ready: UnsafeMutablePointer<epoll_event>

    private var known = KnownHead()
    private var settled = 0
    private var fromNs: UInt64 = .max
    private var untilNs: UInt64 = .max
    private var reopenAtNs: UInt64 = 0
    /// Nobody is made anew while the run ends.
    private var isEnding = false
    /// What the wall clock is ahead of the monotonic one, read anew each turn.
    private var wallOffsetNs: UInt64 = 0

    static func make(
        plan: Plan, peer: Peer, log: EventLog?, subscription: SubscriptionText,
        figures: UnsafeMutablePointer<ListenerFigures>, control: UnsafeMutablePointer<RunControl>
    ) throws(SystemError) -> ListenerLoop {
        let epollFD = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard epollFD >= 0 else {
            throw SystemError("epoll_create1", errno, hint: "raise ulimit -n")
        }
        let slotPages = try Pages(byteCount: plan.listeners * MemoryLayout<Slot>.stride)
        let carryPages = try Pages(byteCount: plan.listeners * HTTPReplyReader.headBytesMax)
        let idPages = try Pages(byteCount: plan.listeners * SubscriptionText.idBytesMax)
        return unsafe ListenerLoop(
            plan: plan, peer: peer, log: log, subscription: subscription, figures: figures,
            control: control, epollFD: epollFD, slotPages: slotPages, carryPages: carryPages,
            idPages: idPages)
    }

    private init(
        plan: Plan, peer: Peer, log: EventLog?, subscription: SubscriptionText,
        figures: UnsafeMutablePointer<ListenerFigures>,
        control: UnsafeMutablePointer<RunControl>, epollFD: Int32, slotPages: consuming Pages,
        carryPages: consuming Pages, idPages: consuming Pages
    ) {
        self.plan = plan
        self.peer = peer
        self.log = log
        self.subscription = subscription
        request = subscription.template
        unsafe self.figures = unsafe figures
        unsafe self.control = unsafe control
        self.epollFD = epollFD
        unsafe slots = slotPages.bound(to: Slot.self)
        unsafe carries = carryPages.bound(to: UInt8.self)
        unsafe ids = idPages.bound(to: UInt8.self)
        self.slotPages = slotPages
        self.carryPages = carryPages
        self.idPages = idPages
        unsafe buffer = .allocate(capacity: Self.readBytes)
        unsafe ready = .allocate(capacity: Self.eventsPerTurn)
        for index in 0..<plan.listeners {
            unsafe (slots + index).initialize(
                to: Slot(
                    fd: -1, key: UInt32((index * plan.threads + plan.thread) % plan.keys),
                    http: HTTPReplyReader(), stream: EventStreamReader(),
                    webSocket: WebSocketReader(), account: Account(),
                    isStopped: index * plan.threads + plan.thread >= plan.stoppedFrom,
                    wasTold: false, isSettled: false, idCount: 0, retryMs: Self.retryMs,
                    retryNs: 0))
        }
    }

    deinit {
        for index in 0..<plan.listeners {
            let slot = unsafe slots + index
            if unsafe slot.pointee.fd >= 0 { _ = unsafe close(slot.pointee.fd) }
            unsafe slot.pointee.stream.reset()
            unsafe slot.pointee.webSocket.reset()
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
        var taken: [UInt32] = []
        var lookAtNs: UInt64 = 0
        listen(false)
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
                plan.writers > 0
                ? unsafe control.pointee.sendersDone.load(ordering: .acquiring) >= plan.writers
                : unsafe figures.pointee.endNs > 0
            guard isOver else { continue }
            if deadlineNs == nil {
                deadlineNs = nowNs + (plan.writers > 0 ? plan.drainNs : 0)
                taken = takenPerKey()
                listen(true)
            }
            if nowNs >= deadlineNs ?? 0 { break }
            if nowNs >= lookAtNs, unsafe figures.pointee.endNs > 0 {
                if isComplete(taken) { break }
                lookAtNs = nowNs + Self.lookEveryNs
            }
        }
        isEnding = true
        settleAccounts()
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

    /// Every listener has heard, or has been told of, all that there was, and is at the newest
    /// state. What it was told of may be events of others, so both are asked.
    private func isComplete(_ taken: [UInt32]) -> Bool {
        for index in 0..<plan.listeners {
            let account = unsafe (slots + index).pointee.account
            let key = unsafe slots[index].key
            guard account.unheard(of: taken[Int(key)]).missed == 0,
                log?.isFinal(account.highest, ofKey: key) ?? true
            else { return false }
        }
        return true
    }

    private func settleAccounts() {
        let figures = unsafe self.figures
        let taken = takenPerKey()
        for index in 0..<plan.listeners {
            let slot = unsafe slots + index
            let key = unsafe slot.pointee.key
            let unheard = unsafe slot.pointee.account.unheard(of: taken[Int(key)])
            let isFinal = unsafe log?.isFinal(slot.pointee.account.highest, ofKey: key) ?? true
            if unsafe slot.pointee.isStopped {
                unsafe figures.pointee.stopped.listeners += 1
                unsafe figures.pointee.stopped.missed += UInt64(unheard.missed)
                unsafe figures.pointee.stopped.conflated += UInt64(unheard.conflated)
                unsafe figures.pointee.stopped.told += slot.pointee.wasTold ? 1 : 0
                unsafe figures.pointee.stopped.behindAtEnd += isFinal ? 0 : 1
            } else {
                unsafe figures.pointee.missed += UInt64(unheard.missed)
                unsafe figures.pointee.conflated += UInt64(unheard.conflated)
                unsafe figures.pointee.behindAtEnd += isFinal ? 0 : 1
            }
        }
    }

    /// Lets those that are to stop reading stop, or read on.
    private func listen(_ isListening: Bool) {
        for index in 0..<plan.listeners {
            let slot = unsafe slots + index
            guard unsafe slot.pointee.isStopped, unsafe slot.pointee.fd >= 0 else { continue }
            var event = unsafe epoll_event()
            unsafe event.events = isListening ? EPOLLIN.rawValue : 0
            unsafe event.data.u64 = UInt64(index)
            // An end of the connection shows all the same where it may, and must not be read.
            let call = isListening ? EPOLL_CTL_ADD : EPOLL_CTL_DEL
            _ = unsafe epoll_ctl(epollFD, call, slot.pointee.fd, &event)
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
        if count > 0, count < Self.eventsPerTurn { gather() }
        guard nowNs >= reopenAtNs, !isEnding else { return }
        reopenAtNs = nowNs + Self.reopenEveryNs
        for index in 0..<plan.listeners
        where unsafe slots[index].fd < 0 && slots[index].retryNs > 0
            && slots[index].retryNs <= nowNs
        {
            do throws(SystemError) { try open(index) } catch {}
        }
    }

    private func gather() {
        var span = timespec(tv_sec: 0, tv_nsec: Self.gatherNs)
        unsafe nanosleep(&span, nil)
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
        let moment = Moment(nowNs: Clock.monotonicNs(), arrivedNs: arrivedNs)
        unsafe figures.pointee.bytesIn += UInt64(count)
        let carry = unsafe carries + index * HTTPReplyReader.headBytesMax
        var used = 0
        while used < count {
            let step = unsafe slot.pointee.http.next(
                UnsafePointer(buffer + used), count - used, carry: carry, known: &known)
            if unsafe !slot.pointee.isSettled, unsafe slot.pointee.http.status > 0,
                unsafe slot.pointee.http.isInBody || step.kind == .reply
            {
                let isOpen = unsafe slot.pointee.http.status == subscription.status
                unsafe figures.pointee.connected += isOpen ? 1 : 0
                unsafe figures.pointee.refused += isOpen ? 0 : 1
                settle(index)
            }
            if step.kind == .violation {
                unsafe figures.pointee.violations += 1
                return ended(index)
            }
            if step.bodyCount > 0, unsafe slot.pointee.http.status == subscription.status {
                unsafe hear(slot, index, buffer + used + step.bodyStart, step.bodyCount, moment)
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
        _ slot: UnsafeMutablePointer<Slot>, _ index: Int, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int, _ moment: Moment
    ) {
        var used = 0
        while used < count {
            let rest = unsafe bytes + used
            used +=
                plan.isWebSocket
                ? unsafe hearMessage(slot, index, rest, count - used, moment)
                : unsafe hearEvent(slot, index, rest, count - used, moment)
        }
    }

    private func hearEvent(
        _ slot: UnsafeMutablePointer<Slot>, _ index: Int, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int, _ moment: Moment
    ) -> Int {
        let figures = unsafe self.figures
        let step = unsafe slot.pointee.stream.next(bytes, count)
        if let retryMs = step.retryMs { unsafe slot.pointee.retryMs = retryMs }
        switch step.kind {
        case .needMore: break
        case .idle:
            if step.hasComment { unsafe figures.pointee.comments += 1 }
        case .event:
            if let data = unsafe step.data {
                unsafe note(slot, index, LiveMessage(step, data: data), moment)
            }
        case .violation:
            unsafe figures.pointee.violations += 1
            return count
        }
        return step.consumed
    }

    private func hearMessage(
        _ slot: UnsafeMutablePointer<Slot>, _ index: Int, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int, _ moment: Moment
    ) -> Int {
        let figures = unsafe self.figures
        let step = unsafe slot.pointee.webSocket.next(bytes, count)
        switch step.kind {
        case .needMore, .close: break
        case .pong: unsafe figures.pointee.comments += 1
        case .ping:
            unsafe figures.pointee.comments += 1
            if let data = unsafe step.data {
                unsafe pong(slot.pointee.fd, data, step.dataCount)
            }
        case .message:
            if let data = unsafe step.data {
                let message = unsafe LiveMessage(webSocket: data, step.dataCount)
                unsafe note(slot, index, message, moment)
            }
        case .violation:
            unsafe figures.pointee.violations += 1
            return count
        }
        return step.consumed
    }

    /// A client's frames are masked; a mask of zeroes leaves the bytes as they are.
    private func pong(_ fd: Int32, _ data: UnsafeMutablePointer<UInt8>, _ count: Int) {
        unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 6 + count) { frame in
            guard let place = frame.baseAddress else { return }
            for byte in 0..<6 { unsafe place[byte] = 0 }
            unsafe place[0] = 0x8A
            unsafe place[1] = 0x80 | UInt8(count)
            unsafe memcpy(place + 6, data, count)
            _ = unsafe send(fd, place, 6 + count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
        }
    }

    private func note(
        _ slot: UnsafeMutablePointer<Slot>, _ index: Int, _ message: LiveMessage, _ moment: Moment
    ) {
        let figures = unsafe self.figures
        if message.idCount > 0 { unsafe keep(message, slot, index) }
        switch message.kind {
        case .change: break
        case .lagged:
            unsafe figures.pointee.lagged += 1
            let skipped = message.skipped
            unsafe figures.pointee.skippedSaid += UInt64(skipped)
            unsafe slot.pointee.account.lagged(skipped: skipped)
            unsafe slot.pointee.wasTold = true
            return
        case .reset:
            unsafe figures.pointee.resets += 1
            unsafe slot.pointee.account.reset()
            return
        case .bye:
            unsafe figures.pointee.byes += 1
            return
        }
        guard let log,
            let stamp = unsafe Stamp.find(in: UnsafePointer(message.data), message.dataCount),
            stamp.run == log.run, unsafe stamp.key == slot.pointee.key
        else {
            unsafe figures.pointee.foreign += 1
            return
        }
        let isMeasured = stamp.sentNs >= fromNs && stamp.sentNs < untilNs
        let isState = unsafe slot.pointee.account.awaitsState && message.isInitial
        let newestBefore = unsafe slot.pointee.account.newestEvent
        let verdict = unsafe slot.pointee.account.hear(
            stamp, isState: isState, isMeasured: isMeasured)
        if isState { unsafe figures.pointee.initial += 1 }
        guard isMeasured || (isState && verdict == .outOfOrder) else { return }
        let isStopped = unsafe slot.pointee.isStopped
        switch verdict {
        case .duplicate where isStopped: unsafe figures.pointee.stopped.duplicates += 1
        case .duplicate: unsafe figures.pointee.duplicates += 1
        case .outOfOrder where isStopped: unsafe figures.pointee.stopped.outOfOrder += 1
        case .outOfOrder: unsafe figures.pointee.outOfOrder += 1
        case .new, .overtaken, .state: break
        }
        guard verdict != .duplicate, !isState else { return }
        guard !isStopped else {
            unsafe figures.pointee.stopped.deliveries += 1
            return
        }
        unsafe figures.pointee.deliveries += 1
        time(stamp, newestBefore: newestBefore, isNew: verdict == .new, moment, log)
    }

    private func time(
        _ stamp: Stamp, newestBefore: UInt32, isNew: Bool, _ moment: Moment, _ log: EventLog
    ) {
        let figures = unsafe self.figures
        let (nowNs, arrivedNs) = (moment.nowNs, moment.arrivedNs)
        let tookNs = nowNs > stamp.sentNs ? nowNs - stamp.sentNs : 0
        unsafe figures.pointee.delivery.record(tookNs)
        if tookNs > plan.staleNs { unsafe figures.pointee.stale += 1 }
        if isNew {
            // Of what had been told before, the next change is how long ago?
            let sinceNs = newestBefore > 0 ? log.behindSinceNs(event: newestBefore - 1) : nil
            let sinceOrSentNs = sinceNs ?? stamp.sentNs
            unsafe figures.pointee.behind.record(
                nowNs > sinceOrSentNs ? nowNs - sinceOrSentNs : 0)
        }
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

    /// The id to go on from.
    private func keep(_ message: LiveMessage, _ slot: UnsafeMutablePointer<Slot>, _ index: Int) {
        guard let id = unsafe message.id, message.idCount <= SubscriptionText.idBytesMax else {
            unsafe slot.pointee.idCount = 0
            return
        }
        unsafe slot.pointee.idCount = UInt16(message.idCount)
        unsafe memcpy(ids + index * SubscriptionText.idBytesMax, id, message.idCount)
    }

    // MARK: Connections

    private mutating func open(_ index: Int) throws(SystemError) {
        let figures = unsafe self.figures
        let slot = unsafe slots + index
        unsafe slot.pointee.retryNs = retryTime(slot)
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
        let count = unsafe ask(slot, index)
        let sent = unsafe send(fd, buffer, count, Int32(MSG_NOSIGNAL))
        guard sent == count else {
            let code = errno
            close(fd)
            unsafe figures.pointee.connectFailures += 1
            throw SystemError("send", code, hint: "the server closed at once")
        }
        unsafe slot.pointee.fd = fd
        unsafe slot.pointee.http = HTTPReplyReader()
        unsafe slot.pointee.stream.reset()
        unsafe slot.pointee.webSocket.reset()
        unsafe slot.pointee.account.connected(isResuming: slot.pointee.idCount > 0)
        var event = unsafe epoll_event()
        unsafe event.events = EPOLLIN.rawValue
        unsafe event.data.u64 = UInt64(index)
        guard unsafe epoll_ctl(epollFD, EPOLL_CTL_ADD, fd, &event) == 0 else {
            throw SystemError("epoll_ctl", errno, hint: "raise fs.epoll.max_user_watches")
        }
    }

    /// Leaves the request in the buffer: the prepared one, or where there is an id to go on from
    /// one with that in it.
    private func ask(_ slot: UnsafeMutablePointer<Slot>, _ index: Int) -> Int {
        unsafe request.write(to: buffer, key: slot.pointee.key)
        let figures = unsafe self.figures
        if unsafe slot.pointee.isSettled { unsafe figures.pointee.reconnects += 1 }
        guard unsafe slot.pointee.idCount > 0 else { return request.count }
        unsafe figures.pointee.resumed += 1
        let id = unsafe UnsafeBufferPointer(
            start: ids + index * SubscriptionText.idBytesMax, count: Int(slot.pointee.idCount))
        let first = unsafe Array(UnsafeBufferPointer(start: buffer, count: request.count))
        let text = unsafe subscription.resuming(first, from: Array(id))
        for (place, byte) in text.enumerated() { unsafe buffer[place] = byte }
        return text.count
    }

    private func retryTime(_ slot: UnsafeMutablePointer<Slot>) -> UInt64 {
        unsafe Clock.monotonicNs() + UInt64(slot.pointee.retryMs) * 1_000_000
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
        unsafe slot.pointee.retryNs = retryTime(slot)
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
