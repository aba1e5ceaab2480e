import Glibc
import Machine
import Synchronization
import Wire

/// The life of a connection: dealt to a shard, opened, timed, ended by either side, closed.
extension Shard {
    // MARK: Coming

    /// Hands an accepted socket to the shard with the fewest connections. Few connections are
    /// dealt evenly that way, which the kernel's own spreading over listeners does not do.
    mutating func deal(_ fd: Int32, listener: UInt32) {
        let target = unsafe state.pointee.leastBurdened
        // Counted here, so that a whole batch of accepts is spread as well.
        unsafe state.pointee.shardConnections[target].add(1, ordering: .relaxed)
        if target != number, post(fd, listener: listener, to: target) { return }
        if target != number {
            // The other shard's mailbox is full: it is busier than its count tells.
            unsafe state.pointee.shardConnections[target].subtract(1, ordering: .relaxed)
            unsafe state.pointee.shardConnections[number].add(1, ordering: .relaxed)
        }
        open(fd, listener: listener)
    }

    private mutating func post(_ fd: Int32, listener: UInt32, to target: Int) -> Bool {
        let writer = mailbox(to: target)
        guard let place = unsafe writer.reserve(MemoryLayout<Message.Connection>.size) else {
            return false
        }
        unsafe place.storeBytes(
            of: Message.Connection(fd: fd, listener: listener), as: Message.Connection.self)
        return true
    }

    /// Begins to serve a socket. Over the node's bound it is still let in, as long as there are
    /// slots for that, to be told so in words.
    mutating func open(_ fd: Int32, listener: UInt32) {
        let total = unsafe state.pointee.connections.add(1, ordering: .relaxed).newValue
        let isOver = total > settings.connectionsMax
        // A refused one takes nobody's place: else a crowd that comes back again and again would
        // keep out everybody, also once there is room.
        if isOver { unsafe state.pointee.connections.subtract(1, ordering: .relaxed) }
        let mayRefuse = refusedCount < settings.refusalsMax
        guard !acceptsNoMoreRequests, !isOver || mayRefuse, let index = takeSlot() else {
            if !isOver { unsafe state.pointee.connections.subtract(1, ordering: .relaxed) }
            tally.connectionsRefused &+= 1
            Glibc.close(fd)
            hasGone()
            return
        }
        openCount += 1
        let connection = unsafe connections + Int(index)
        // The slot may still stand in a list since its last connection.
        let listed = unsafe connection.pointee.flags.intersection([.runnable, .dirty, .corked])
        unsafe connection.initialize(to: Connection())
        unsafe connection.pointee.flags = listed
        unsafe connection.pointee.state = .open
        if listener == Self.respListener {
            unsafe connection.pointee.flags.insert(.respListener)
        }
        unsafe connection.pointee.deadlineMs = nowMs + settings.idleTimeoutMs
        if isOver {
            refusedCount += 1
            tally.connectionsRefused &+= 1
            unsafe connection.pointee.flags.insert(.refused)
            unsafe connection.pointee.deadlineMs = nowMs + ShardSettings.refusedMs
        } else {
            tally.connectionsAccepted &+= 1
        }
        unsafe connection.pointee.timerMs = unsafe connection.pointee.deadlineMs
        unsafe timers.schedule(index, at: connection.pointee.deadlineMs)
        driver.open(index, fd: fd)
        driver.receive(index)
    }

    mutating func acceptStopped(_ listener: UInt32, _ result: Int32) {
        if acceptsNoMoreRequests || result == -ECANCELED { return closeListener(listener) }
        log.warn("accept paused", ("error", SystemError.text(of: -result)))
        acceptRetryMs = nowMs + Self.acceptRetryAfterMs
    }

    /// Closing the listener refuses whoever is still in the kernel's queue, at once.
    mutating func closeListener(_ listener: UInt32) {
        guard unsafe listenerFDs[Int(listener)] >= 0 else { return }
        unsafe Glibc.close(listenerFDs[Int(listener)])
        unsafe listenerFDs[Int(listener)] = -1
        for other in 0..<Self.listenersMax where unsafe listenerFDs[other] >= 0 { return }
        // The other shards may end now: nobody deals them a socket any more.
        unsafe state.pointee.listens.store(false, ordering: .sequentiallyConsistent)
        unsafe state.pointee.wakeAll()
    }

    // MARK: Settling

    /// What follows from a connection's state after anything happened to it: whether it ends,
    /// whether its peer is read from, and what its timer means.
    mutating func settle(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        guard unsafe connection.pointee.state == .open else { return }
        if case .events = unsafe connection.pointee.stream, isHTTP(index) {
            return settleStream(index)
        }
        let flags = unsafe connection.pointee.flags
        let hasOutput =
            unsafe connection.pointee.firstBlock != Connection.noBlock
            || connection.pointee.awaitedCount > 0 || holdsEvents(index)

        if !hasOutput, unsafe connection.pointee.phase != .streaming, !flags.contains(.runnable) {
            if flags.contains(.closeAfterReply) { return linger(index) }
            if flags.contains(.peerEnded) { return close(index) }
            // A connection that a drain found busy goes when it is done.
            let isIdle = unsafe connection.pointee.phase == .head && pausesBetweenRequests(index)
            if acceptsNoMoreRequests, isIdle, unsafe connection.pointee.input.count == 0 {
                return linger(index)
            }
        }

        let unread = unsafe connection.pointee.input.count
        if unread >= ShardSettings.inputPauseBytes {
            if !flags.contains(.receivePaused) {
                unsafe connection.pointee.flags.insert(.receivePaused)
                driver.pause(index)
            }
        } else if flags.contains(.receivePaused), unread < ShardSettings.inputPauseBytes / 2 {
            unsafe connection.pointee.flags.remove(.receivePaused)
            if !flags.contains(.peerEnded) { driver.receive(index) }
        }

        if case .webSocket(let session) = unsafe connection.pointee.session {
            unsafe settleSocket(index, session)
        } else if hasOutput {
            // Set by `flush` when the send began. What other shards owe has as long.
            if unsafe connection.pointee.firstBlock == Connection.noBlock {
                setDeadline(index, .send, after: ShardSettings.sendStallMs)
            }
        } else if flags.contains(.refused) {
            // It has the time it got when it came, whatever it sends.
        } else if unsafe connection.pointee.phase == .body {
            if unsafe connection.pointee.deadlineMeaning != .body {
                setDeadline(index, .body, after: settings.bodyTimeoutMs)
            }
        } else if flags.contains(.awaitsLoading) {
            setDeadline(index, .idle, after: ShardSettings.loadingWaitMs)
        } else if unread > 0, !flags.contains(.runnable), unsafe connection.pointee.resp == nil {
            // Not extended by further bytes: the whole head has this long.
            if unsafe connection.pointee.deadlineMeaning != .head {
                setDeadline(index, .head, after: settings.headerTimeoutMs)
            }
        } else {
            setDeadline(index, .idle, after: settings.idleTimeoutMs)
        }
    }

    private mutating func awaitsSave(_ index: UInt32) -> Bool {
        guard let session = unsafe connections[Int(index)].resp else { return false }
        return unsafe session.pointee.awaitsSave
    }

    mutating func isHTTP(_ index: UInt32) -> Bool {
        if case .http = unsafe connections[Int(index)].session { return true }
        return false
    }

    /// What is spoken in requests and replies, so that there is a moment between two.
    private mutating func pausesBetweenRequests(_ index: UInt32) -> Bool {
        guard case .webSocket = unsafe connections[Int(index)].session else { return true }
        return false
    }

    /// The timer wheel is asked only when the new deadline is earlier than its entry: the entry
    /// for a later one is moved when it comes due. So a busy connection costs it nothing.
    mutating func setDeadline(
        _ index: UInt32, _ meaning: Connection.Deadline, after delayMs: UInt64
    ) {
        let connection = unsafe connections + Int(index)
        unsafe connection.pointee.deadlineMeaning = meaning
        unsafe connection.pointee.deadlineMs = nowMs &+ delayMs
        if unsafe connection.pointee.deadlineMs < connection.pointee.timerMs {
            unsafe connection.pointee.timerMs = unsafe connection.pointee.deadlineMs
            unsafe timers.schedule(index, at: connection.pointee.deadlineMs)
        }
    }

    mutating func expireTimers() {
        timers.advance(to: nowMs)
        while let index = timers.nextExpired() {
            let connection = unsafe connections + Int(index)
            guard unsafe connection.pointee.state == .open || connection.pointee.state == .lingering
            else { continue }
            if unsafe connection.pointee.deadlineMs > nowMs {
                unsafe connection.pointee.timerMs = unsafe connection.pointee.deadlineMs
                unsafe timers.schedule(index, at: connection.pointee.deadlineMs)
                continue
            }
            expired(index)
        }
    }

    private mutating func expired(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        // Whatever follows sets a deadline of its own, which has to find no entry in its way.
        unsafe connection.pointee.timerMs = UInt64.max
        switch unsafe connection.pointee.deadlineMeaning {
        // Clients of RESP keep connections for when they are needed, as they may with Redis.
        case .idle where unsafe connection.pointee.resp != nil:
            setDeadline(index, .idle, after: settings.idleTimeoutMs)
        case .send where awaitsSave(index):
            setDeadline(index, .send, after: ShardSettings.sendStallMs)
        case .idle, .send, .linger: close(index)
        case .beat:
            if case .webSocket(let session) = unsafe connection.pointee.session {
                unsafe socketIsDue(index, session)
            } else {
                beat(index)
            }
        case .head: refuse(index, .requestTimeout, "The request head took too long to arrive")
        case .body:
            // Each further span of that length has to bring its share: what came fast at first
            // buys no time to sit on the budget of all bodies.
            if let request = unsafe connection.pointee.arriving {
                let arrived =
                    unsafe request.pointee.receivedCount - request.pointee.receivedBefore
                let due =
                    UInt64(ShardSettings.bodyBytesPerSecondMin) * settings.bodyTimeoutMs / 1000
                if UInt64(arrived) >= max(due, 1) {
                    unsafe request.pointee.receivedBefore = request.pointee.receivedCount
                    return setDeadline(index, .body, after: settings.bodyTimeoutMs)
                }
            }
            refuse(index, .requestTimeout, "The request body took too long to arrive")
        }
    }

    // MARK: Going

    /// The peer sends no more, or is gone.
    mutating func peerEnded(_ index: UInt32, result: Int32) {
        let connection = unsafe connections + Int(index)
        switch unsafe connection.pointee.state {
        case .free, .closing: return
        case .lingering: return close(index)
        case .open: break
        }
        guard result == 0 else { return close(index) }
        unsafe connection.pointee.flags.insert(.peerEnded)
        settle(index)
    }

    /// Everything has been sent: ends our direction and waits a while for the peer's end.
    private mutating func linger(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        if unsafe connection.pointee.flags.contains(.peerEnded) { return close(index) }
        releaseInput(index)
        unsafe connection.pointee.state = .lingering
        driver.finishSending(index)
        if unsafe connection.pointee.flags.contains(.receivePaused) {
            unsafe connection.pointee.flags.remove(.receivePaused)
            driver.receive(index)
        }
        setDeadline(index, .linger, after: ShardSettings.lingerMs)
    }

    mutating func close(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        guard unsafe connection.pointee.state == .open || connection.pointee.state == .lingering
        else { return }
        unsafe connection.pointee.state = .closing
        // What is left of its input is not served any more.
        unsafe connection.pointee.flags.insert(.closeAfterReply)
        timers.cancel(index)
        driver.close(index)
    }

    /// The driver is done with the socket, so its memory can go and its slot be used again.
    mutating func closed(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        unsafe invariant(connection.pointee.state == .closing, "slot \(index) closed by itself")
        releaseInput(index)
        releaseOutput(index)
        abandonAwaited(index)
        dropListing(index)
        dropStream(index)
        dropArriving(index)
        dropSocket(index)
        endSession(index)
        if unsafe connection.pointee.flags.contains(.refused) {
            refusedCount -= 1
        } else {
            unsafe state.pointee.connections.subtract(1, ordering: .relaxed)
        }
        unsafe connection.pointee.state = .free
        openCount -= 1
        giveSlot(index)
        hasGone()
    }

    /// One connection fewer. The last one to go ends a drain of all shards.
    private mutating func hasGone() {
        unsafe state.pointee.shardConnections[number]
            .subtract(1, ordering: .sequentiallyConsistent)
        if acceptsNoMoreRequests, unsafe state.pointee.isDeserted {
            unsafe state.pointee.wakeAll()
        }
    }
}
