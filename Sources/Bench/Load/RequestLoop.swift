import Glibc
import Machine
import Synchronization

/// One thread that sends requests and times the replies, in a closed or an open loop.
///
/// It has the server's own shape, so that it is never the slower of the two: connections are slots
/// of plain data, requests are prepared once, replies are recognised by their head, nothing is
/// allocated. A closed loop sends the next batch of a connection when the last one is answered; an
/// open loop sends when `Arrivals` says so, on any free connection, and counts latency from there
/// also when no connection was free.
@safe struct RequestLoop: ~Copyable {
    /// One request that has no reply yet.
    struct Pending {
        var startNs: UInt64
        /// The number of a published event, with `eventMark`; 0 otherwise.
        var event: UInt32
        var isWrite: Bool
    }

    struct Slot {
        enum State: UInt8 { case none, open, closing }
        var state: State
        /// The driver has a send of this socket in flight.
        var isSending: Bool
        /// The replies are here, and the driver has still to say that the send is over.
        var isFreeAfterSend: Bool
        var owed: Int32
        var next: Int32
        var freeNs: UInt64
        var sentNs: UInt64
        var http: HTTPReplyReader
        var resp: RESPReplyReader
    }

    /// How often connections are looked over for replies that don't come.
    private static let sweepNs: UInt64 = 100_000_000
    private static let carryBytes = HTTPReplyReader.headBytesMax

    private let plan: LoadPlan
    private let peer: Peer
    private let driver: Driver
    /// Copied to a local before anything is added to it: ThreadSanitizer's build breaks otherwise.
    private let figures: UnsafeMutablePointer<ThreadFigures>
    private let control: UnsafeMutablePointer<RunControl>
    private let events: EventLog?

    private let read: RequestTemplate
    private let write: RequestTemplate
    /// Requests below it read, of random numbers of 32 bits.
    private let readBound: UInt64
    /// All requests of a batch at once, where they never differ.
    private let constant: UnsafeMutablePointer<UInt8>?

    private let slots: UnsafeMutablePointer<Slot>
    private let pending: UnsafeMutablePointer<Pending>
    private let out: UnsafeMutablePointer<UInt8>
    private let outBytes: Int
    private let carries: UnsafeMutablePointer<UInt8>
    private let idle: UnsafeMutablePointer<UInt32>
    private var idleCount = 0
    private let slotPages: Pages
    private let pendingPages: Pages
    private let outPages: Pages
    private let carryPages: Pages
    private let idlePages: Pages

    private var known = KnownHead()
    private var random: Random
    private var keys: KeyChoice
    private var arrivals: Arrivals
    private var fromNs: UInt64 = .max
    private var untilNs: UInt64 = .max
    private var sweepAtNs: UInt64 = 0
    private var isSending = false
    private var isMeasuring = false
    private var begun: UInt64 = 0
    private var owedTotal = 0
    private var openCount = 0
    private var cpuStartNs: UInt64 = 0

    static func make(
        plan: LoadPlan, peer: Peer, driver: Driver, read: consuming RequestTemplate,
        write: consuming RequestTemplate, events: EventLog?,
        figures: UnsafeMutablePointer<ThreadFigures>, control: UnsafeMutablePointer<RunControl>
    ) throws(SystemError) -> RequestLoop {
        let outBytes = plan.pipeline * max(read.count, write.count)
        let slotPages = try Pages(byteCount: plan.connections * MemoryLayout<Slot>.stride)
        let pendingPages = try Pages(
            byteCount: plan.connections * plan.pipeline * MemoryLayout<Pending>.stride)
        let outPages = try Pages(byteCount: plan.connections * outBytes)
        let carryPages = try Pages(byteCount: plan.connections * carryBytes)
        let idlePages = try Pages(byteCount: plan.connections * 4)
        return unsafe RequestLoop(
            plan: plan, peer: peer, driver: driver, read: read, write: write, events: events,
            figures: figures, control: control, outBytes: outBytes, slotPages: slotPages,
            pendingPages: pendingPages, outPages: outPages, carryPages: carryPages,
            idlePages: idlePages)
    }

    private init(
        plan: LoadPlan, peer: Peer, driver: Driver, read: consuming RequestTemplate,
        write: consuming RequestTemplate, events: EventLog?,
        figures: UnsafeMutablePointer<ThreadFigures>, control: UnsafeMutablePointer<RunControl>,
        outBytes: Int, slotPages: consuming Pages, pendingPages: consuming Pages,
        outPages: consuming Pages, carryPages: consuming Pages, idlePages: consuming Pages
    ) {
        self.plan = plan
        self.peer = peer
        self.driver = driver
        unsafe self.figures = unsafe figures
        unsafe self.control = unsafe control
        self.events = events
        readBound = UInt64(plan.readShare * 0x1p32)
        var constant: UnsafeMutablePointer<UInt8>? = nil
        if read.isConstant, plan.readShare >= 1 {
            let block = UnsafeMutablePointer<UInt8>.allocate(capacity: plan.pipeline * read.count)
            for place in 0..<plan.pipeline {
                unsafe memcpy(block + place * read.count, read.bytes, read.count)
            }
            unsafe constant = unsafe block
        }
        unsafe self.constant = unsafe constant
        self.read = read
        self.write = write
        unsafe slots = slotPages.bound(to: Slot.self)
        unsafe pending = pendingPages.bound(to: Pending.self)
        unsafe out = outPages.bound(to: UInt8.self)
        unsafe carries = carryPages.bound(to: UInt8.self)
        unsafe idle = idlePages.bound(to: UInt32.self)
        self.outBytes = outBytes
        self.slotPages = slotPages
        self.pendingPages = pendingPages
        self.outPages = outPages
        self.carryPages = carryPages
        self.idlePages = idlePages
        let own = plan.seed &+ UInt64(plan.thread) &* 0x1_0000_0001
        random = Random(seed: own)
        keys = KeyChoice(
            plan.distribution, count: plan.keys, exponent: plan.zipfExponent, thread: plan.thread,
            threads: plan.threads)
        arrivals = Arrivals(
            plan.arrivals, perSecond: plan.rate ?? 1, thread: plan.thread, threads: plan.threads,
            startNs: 0, random: Random(seed: ~own))
    }

    deinit { unsafe constant?.deallocate() }

    // MARK: The run

    /// Makes all connections. Throws only when the first cannot be made: the target is wrong then,
    /// and later ones are merely counted.
    mutating func connect() throws(SystemError) {
        for index in 0..<plan.connections {
            do throws(SystemError) {
                try open(UInt32(index))
            } catch {
                if index == 0 { throw error }
            }
        }
    }

    /// Sends from `startNs` until the plan is fulfilled and every reply is here or given up.
    mutating func run(startNs: UInt64) {
        fromNs = startNs + plan.warmupNs
        untilNs = plan.requestsMax == nil ? fromNs + plan.durationNs : .max
        arrivals = Arrivals(
            plan.arrivals, perSecond: plan.rate ?? 1, thread: plan.thread, threads: plan.threads,
            startNs: startNs, random: Random(seed: random.next()))
        isSending = true
        var nowNs = waitForStart(startNs)
        sweepAtNs = nowNs + Self.sweepNs
        beginMeasuringIfDue(nowNs)
        for index in 0..<plan.connections where unsafe slots[index].state == .open {
            isFree(UInt32(index), nowNs)
        }
        while true {
            if plan.rate != nil { nowNs = sendDue(nowNs) }
            let batch = unsafe driver.wait(timeoutNs: waitNs(nowNs))
            for place in 0..<batch.count { unsafe act(on: batch[place]) }
            nowNs = Clock.monotonicNs()
            unsafe figures.pointee.progress.store(figures.pointee.replied, ordering: .relaxed)
            beginMeasuringIfDue(nowNs)
            if nowNs >= sweepAtNs { sweep(nowNs) }
            if hasEnded(nowNs) { break }
        }
        finish(Clock.monotonicNs())
    }

    private func waitForStart(_ startNs: UInt64) -> UInt64 {
        while true {
            let nowNs = Clock.monotonicNs()
            guard nowNs < startNs else { return nowNs }
            usleep(UInt32((startNs - nowNs) / 1000) + 1)
        }
    }

    private mutating func beginMeasuringIfDue(_ nowNs: UInt64) {
        guard !isMeasuring, nowNs >= fromNs else { return }
        isMeasuring = true
        unsafe figures.pointee.startNs = fromNs
        cpuStartNs = ThreadClock.cpuNs()
    }

    /// How long there is nothing to do but listen.
    private func waitNs(_ nowNs: UInt64) -> UInt64 {
        var dueNs = min(sweepAtNs, isSending ? untilNs : .max)
        if plan.rate != nil, isSending, idleCount > 0 { dueNs = min(dueNs, arrivals.nextNs) }
        return dueNs > nowNs ? dueNs - nowNs : 0
    }

    private mutating func hasEnded(_ nowNs: UInt64) -> Bool {
        if unsafe control.pointee.interrupted.load(ordering: .relaxed), untilNs > nowNs {
            untilNs = nowNs
        }
        if isSending {
            guard nowNs >= untilNs || isSpent else { return false }
            isSending = false
            unsafe figures.pointee.endNs = min(nowNs, untilNs)
            unsafe figures.pointee.cpuNs = ThreadClock.cpuNs() - cpuStartNs
        }
        let isBehind = plan.rate != nil && arrivals.nextNs < untilNs && !isSpent
        if owedTotal == 0, !isBehind {
            // A run by number ends with its last reply.
            if plan.requestsMax != nil { endByNumber(nowNs) }
            return true
        }
        let lastNs = untilNs == .max ? UInt64.max : untilNs + plan.drainNs
        return nowNs >= lastNs
    }

    private mutating func endByNumber(_ nowNs: UInt64) {
        unsafe figures.pointee.endNs = nowNs
        unsafe figures.pointee.cpuNs = ThreadClock.cpuNs() - cpuStartNs
    }

    private var isSpent: Bool { plan.requestsMax.map { begun >= $0 } ?? false }

    /// What has no reply by now took at least this long; leaving it out would flatter the server.
    private mutating func finish(_ nowNs: UInt64) {
        let figures = unsafe self.figures
        for index in 0..<plan.connections where unsafe slots[index].owed > 0 {
            unsafe figures.pointee.unfinished += UInt64(slots[index].owed)
            giveUp(UInt32(index), nowNs)
        }
        while plan.rate != nil, arrivals.nextNs < untilNs, !isSpent {
            if arrivals.nextNs >= fromNs {
                unsafe figures.pointee.reads.record(nowNs - arrivals.nextNs)
                unsafe figures.pointee.unfinished += 1
                unsafe figures.pointee.intended += 1
            }
            arrivals.advance()
            begun += 1
        }
    }

    // MARK: What the driver says

    private mutating func act(on completion: Completion) {
        switch completion.kind {
        case .received: received(completion)
        case .sent: sent(completion.index, completion.result)
        case .ended: ended(completion.index)
        case .closed:
            unsafe slots[Int(completion.index)].state = .none
            if isSending || plan.rate != nil { reopen(completion.index) }
        case .woken, .accepted, .acceptStopped: break
        }
    }

    private mutating func received(_ completion: Completion) {
        let slot = unsafe slots + Int(completion.index)
        let bytes = unsafe UnsafePointer(driver.bytes(ofBuffer: completion.buffer))
        let count = Int(completion.result)
        if unsafe slot.pointee.state == .open {
            unsafe take(slot, completion.index, bytes, count)
        }
        driver.recycle(completion.buffer)
    }

    private mutating func take(
        _ slot: UnsafeMutablePointer<Slot>, _ index: UInt32, _ bytes: UnsafePointer<UInt8>,
        _ count: Int
    ) {
        let figures = unsafe self.figures
        let nowNs = Clock.monotonicNs()
        unsafe figures.pointee.bytesIn &+= UInt64(count)
        let carry = unsafe carries + Int(index) * Self.carryBytes
        var used = 0
        while used < count {
            let step: ReplyStep
            if plan.language == .http {
                unsafe step = slot.pointee.http.next(
                    bytes + used, count - used, carry: carry, known: &known)
            } else {
                unsafe step = slot.pointee.resp.next(bytes + used, count - used, carry: carry)
            }
            used += step.consumed
            switch step.kind {
            case .needMore, .piece: continue
            case .reply:
                guard unsafe slot.pointee.owed > 0 else { return violated(index) }
                unsafe answered(slot, index, nowNs)
            case .violation: return violated(index)
            }
        }
        if unsafe slot.pointee.owed == 0, unsafe slot.pointee.next > 0 {
            unsafe slot.pointee.next = 0
            isFree(index, nowNs)
        }
    }

    @inline(__always)
    private mutating func answered(
        _ slot: UnsafeMutablePointer<Slot>, _ index: UInt32, _ nowNs: UInt64
    ) {
        let figures = unsafe self.figures
        let request = unsafe pending[Int(index) * plan.pipeline + Int(slot.pointee.next)]
        unsafe slot.pointee.next &+= 1
        unsafe slot.pointee.owed &-= 1
        owedTotal &-= 1
        if nowNs >= fromNs, nowNs < untilNs { unsafe figures.pointee.replied &+= 1 }
        let digit: Int
        if plan.language == .http {
            digit = unsafe min(Int(slot.pointee.http.status) / 100, 5)
        } else {
            digit = unsafe slot.pointee.resp.isError ? 5 : 2
            if unsafe slot.pointee.resp.isNil { unsafe figures.pointee.absent &+= 1 }
        }
        if request.startNs >= fromNs, request.startNs < untilNs {
            unsafe figures.pointee.statuses[digit] &+= 1
            if request.isWrite {
                unsafe figures.pointee.writes.record(nowNs &- request.startNs)
            } else {
                unsafe figures.pointee.reads.record(nowNs &- request.startNs)
            }
        }
        if let events, request.isWrite {
            events.answered(request.event, isSuccess: digit == 2)
        }
    }

    private mutating func sent(_ index: UInt32, _ result: Int32) {
        let slot = unsafe slots + Int(index)
        unsafe slot.pointee.isSending = false
        guard unsafe slot.pointee.state == .open else { return }
        if result < 0 { return ended(index) }
        if unsafe slot.pointee.isFreeAfterSend {
            unsafe slot.pointee.isFreeAfterSend = false
            isFree(index, Clock.monotonicNs())
        }
    }

    // MARK: Sending

    /// A connection may take its next batch: at once in a closed loop, else when something is due.
    private mutating func isFree(_ index: UInt32, _ nowNs: UInt64) {
        let figures = unsafe self.figures
        let slot = unsafe slots + Int(index)
        if unsafe slot.pointee.isSending {
            unsafe slot.pointee.isFreeAfterSend = true
            return
        }
        if plan.rate != nil {
            unsafe slot.pointee.freeNs = nowNs
            unsafe idle[idleCount] = index
            idleCount += 1
            return
        }
        guard isSending, nowNs < untilNs else { return }
        var count = plan.pipeline
        if let limit = plan.requestsMax {
            guard begun < limit else { return }
            count = min(count, Int(limit - begun))
        }
        let first = unsafe pending + Int(index) * plan.pipeline
        for place in 0..<count { unsafe first[place].startNs = nowNs }
        if nowNs >= fromNs { unsafe figures.pointee.intended &+= UInt64(count) }
        send(index, count, nowNs)
    }

    /// Sends what is due, on free connections, as many requests together as the pipeline allows.
    /// Returns the time, which sending takes some of.
    private mutating func sendDue(_ earlierNs: UInt64) -> UInt64 {
        let figures = unsafe self.figures
        var nowNs = earlierNs
        while idleCount > 0, arrivals.nextNs <= nowNs, arrivals.nextNs < untilNs, !isSpent {
            idleCount -= 1
            let index = unsafe idle[idleCount]
            // One that closed while it was free is not in the list, see `close`.
            let slot = unsafe slots + Int(index)
            let first = unsafe pending + Int(index) * plan.pipeline
            var count = 0
            while count < plan.pipeline, arrivals.nextNs <= nowNs, arrivals.nextNs < untilNs,
                plan.requestsMax.map({ begun + UInt64(count) < $0 }) ?? true
            {
                unsafe first[count].startNs = arrivals.nextNs
                if arrivals.nextNs >= fromNs {
                    unsafe figures.pointee.intended &+= 1
                    let readyNs = unsafe max(arrivals.nextNs, slot.pointee.freeNs)
                    unsafe figures.pointee.lateness.record(nowNs > readyNs ? nowNs - readyNs : 0)
                }
                arrivals.advance()
                count += 1
            }
            send(index, count, nowNs)
            nowNs = Clock.monotonicNs()
        }
        return nowNs
    }

    private mutating func send(_ index: UInt32, _ count: Int, _ nowNs: UInt64) {
        let slot = unsafe slots + Int(index)
        begun &+= UInt64(count)
        owedTotal &+= count
        unsafe slot.pointee.owed = Int32(count)
        unsafe slot.pointee.next = 0
        unsafe slot.pointee.sentNs = nowNs
        let bytes: UnsafeMutablePointer<UInt8>
        var byteCount = 0
        if let constant = unsafe constant {
            unsafe bytes = unsafe constant
            byteCount = count * read.count
            let first = unsafe pending + Int(index) * plan.pipeline
            for place in 0..<count { unsafe first[place].isWrite = false }
        } else {
            unsafe bytes = unsafe out + Int(index) * outBytes
            unsafe byteCount = render(index, count, to: bytes)
        }
        if unsafe !driver.send(index, UnsafePointer(bytes), count: byteCount) {
            unsafe slot.pointee.isSending = true
        }
    }

    private mutating func render(
        _ index: UInt32, _ count: Int, to bytes: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var used = 0
        for place in 0..<count {
            let request = unsafe pending + Int(index) * plan.pipeline + place
            let key = keys.next(&random)
            let reads = readBound > 0 && (readBound >> 32 > 0 || random.next() >> 32 < readBound)
            unsafe request.pointee.isWrite = !reads
            if reads {
                unsafe read.write(to: bytes + used, key: key)
                used += read.count
                continue
            }
            unsafe write.write(to: bytes + used, key: key)
            if let events, write.stampPlace >= 0 {
                let stamp = unsafe events.next(key: key, sentNs: request.pointee.startNs)
                unsafe request.pointee.event = stamp.event
                unsafe stamp.write(to: bytes + used + write.stampPlace)
            }
            used += write.count
        }
        return used
    }

    // MARK: Connections

    private mutating func open(_ index: UInt32) throws(SystemError) {
        let figures = unsafe self.figures
        let fd: Int32
        do throws(SystemError) {
            fd = try peer.connect(number: plan.thread * plan.connections + Int(index))
        } catch {
            unsafe figures.pointee.connectFailures += 1
            throw error
        }
        unsafe slots[Int(index)] = Slot(
            state: .open, isSending: false, isFreeAfterSend: false, owed: 0, next: 0, freeNs: 0,
            sentNs: 0, http: HTTPReplyReader(), resp: RESPReplyReader())
        openCount += 1
        driver.open(index, fd: fd)
        driver.receive(index)
    }

    /// One that fails is tried again by the next sweep.
    private mutating func reopen(_ index: UInt32) {
        do throws(SystemError) {
            try open(index)
            isFree(index, Clock.monotonicNs())
        } catch {}
    }

    /// The server has ended the connection, or it broke. A reply without a length ends with it.
    private mutating func ended(_ index: UInt32) {
        let figures = unsafe self.figures
        let slot = unsafe slots + Int(index)
        guard unsafe slot.pointee.state == .open else { return }
        if plan.language == .http, unsafe slot.pointee.http.endsWithConnection,
            unsafe slot.pointee.owed > 0
        {
            unsafe answered(slot, index, Clock.monotonicNs())
        }
        unsafe figures.pointee.disconnects += 1
        unsafe figures.pointee.lost += UInt64(slot.pointee.owed)
        close(index)
    }

    private mutating func violated(_ index: UInt32) {
        let figures = unsafe self.figures
        unsafe figures.pointee.violations += 1
        unsafe figures.pointee.lost += UInt64(slots[Int(index)].owed)
        close(index)
    }

    private mutating func close(_ index: UInt32) {
        let slot = unsafe slots + Int(index)
        giveUp(index, Clock.monotonicNs())
        for place in 0..<idleCount where unsafe idle[place] == index {
            idleCount -= 1
            unsafe idle[place] = idle[idleCount]
            break
        }
        unsafe slot.pointee.state = .closing
        openCount -= 1
        driver.close(index)
    }

    /// Requests that will have no reply took at least as long as they have waited.
    private mutating func giveUp(_ index: UInt32, _ nowNs: UInt64) {
        let figures = unsafe self.figures
        let slot = unsafe slots + Int(index)
        while unsafe slot.pointee.owed > 0 {
            let request = unsafe pending[Int(index) * plan.pipeline + Int(slot.pointee.next)]
            if request.startNs >= fromNs, request.startNs < untilNs {
                let waitedNs = nowNs > request.startNs ? nowNs - request.startNs : 0
                if request.isWrite {
                    unsafe figures.pointee.writes.record(waitedNs)
                } else {
                    unsafe figures.pointee.reads.record(waitedNs)
                }
            }
            unsafe slot.pointee.next += 1
            unsafe slot.pointee.owed -= 1
            owedTotal -= 1
        }
    }

    private mutating func sweep(_ nowNs: UInt64) {
        let figures = unsafe self.figures
        sweepAtNs = nowNs + Self.sweepNs
        for index in 0..<plan.connections {
            let slot = unsafe slots + index
            if unsafe slot.pointee.state == .none, isSending {
                reopen(UInt32(index))
                continue
            }
            guard unsafe slot.pointee.state == .open, unsafe slot.pointee.owed > 0 else { continue }
            guard unsafe nowNs > slot.pointee.sentNs + plan.timeoutNs else { continue }
            unsafe figures.pointee.timedOut += UInt64(slot.pointee.owed)
            close(UInt32(index))
        }
    }
}
