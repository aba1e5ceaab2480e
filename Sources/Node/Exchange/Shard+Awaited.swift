import Machine
import Wire

/// Keeping pipelined answers in order when some of them come from other threads.
extension Shard {
    /// Reserves the connection's next place in the order; the ticket names it. There has to be
    /// room for a reply.
    mutating func awaitAnswer(_ index: UInt32, _ shape: ReplyShape) -> UInt64 {
        awaited.ticket(appendPlace(index, shape))
    }

    /// An answer has come. It is sent at once if it is its turn, and with it those behind it that
    /// were ready before; else it is laid aside. `render` writes it with the ordinary means.
    mutating func deliver(
        _ ticket: UInt64, _ render: (inout Shard, UInt32, ReplyShape) -> Void
    ) {
        guard let place = awaited.place(of: ticket) else { return }
        let entry = unsafe awaited.places + Int(place)
        let index = unsafe entry.pointee.connection
        guard index != Connection.noBlock else { return awaited.give(place) }
        let connection = unsafe connections + Int(index)
        unsafe entry.pointee.isReady = true
        guard unsafe connection.pointee.firstAwaited == place else {
            asidePlace = place
            unsafe render(&self, index, entry.pointee.shape)
            asidePlace = AwaitedPool.none
            return
        }

        let shape = unsafe entry.pointee.shape
        removeFirstPlace(index)
        unsafe connection.pointee.flags.remove(.diverted)
        if hasReplyRoom(index) {
            render(&self, index, shape)
        } else {
            close(index)
        }
        while unsafe connection.pointee.state == .open,
            unsafe connection.pointee.firstAwaited != AwaitedPool.none
        {
            let next = unsafe awaited.places + Int(connection.pointee.firstAwaited)
            guard unsafe next.pointee.isReady else {
                unsafe connection.pointee.flags.insert(.diverted)
                break
            }
            if unsafe !sendAside(index, next) { close(index) }
            removeFirstPlace(index)
        }
        // What came meanwhile; not at once: this may be in the middle of serving it. What follows from
        // having answered comes when the answer has left, unless there was nothing to say.
        if unsafe connection.pointee.input.count > 0
            || connection.pointee.firstBlock == Connection.noBlock
        {
            makeRunnable(index)
        }
    }

    /// Keeps a reply, or a part of one, that is not to be sent before earlier ones.
    mutating func layAside(_ index: UInt32, _ bytes: UnsafeRawBufferPointer) {
        let connection = unsafe connections + Int(index)
        var place = asidePlace
        if place == AwaitedPool.none {
            place = unsafe connection.pointee.lastAwaited
            // Replies made here follow each other, so they share a place.
            if unsafe awaited.places[Int(place)].isReady == false
                || awaited.places[Int(place)].isRemote
            {
                place = appendPlace(index, [])
                unsafe awaited.places[Int(place)].isReady = true
                unsafe awaited.places[Int(place)].isRemote = false
            }
        }
        unsafe awaited.append(place, bytes)
        unsafe connection.pointee.asideBytes &+= UInt32(truncatingIfNeeded: bytes.count)
    }

    /// The connection is gone: its places stay until their answers have come, for nobody.
    mutating func abandonAwaited(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        var place = unsafe connection.pointee.firstAwaited
        while place != AwaitedPool.none {
            let entry = unsafe awaited.places + Int(place)
            let next = unsafe entry.pointee.next
            if unsafe entry.pointee.isReady {
                awaited.give(place)
            } else if unsafe entry.pointee.isLogin {
                // There will be no answer, and one that is on its way finds the place taken by
                // somebody else or by nobody.
                forgetLogin(awaited.ticket(place))
                awaited.give(place)
            } else {
                unsafe entry.pointee.connection = Connection.noBlock
            }
            place = next
        }
        unsafe connection.pointee.firstAwaited = AwaitedPool.none
        unsafe connection.pointee.lastAwaited = AwaitedPool.none
        unsafe connection.pointee.awaitedCount = 0
        unsafe connection.pointee.asideBytes = 0
        unsafe connection.pointee.flags.remove(.diverted)
    }

    private mutating func appendPlace(_ index: UInt32, _ shape: ReplyShape) -> UInt32 {
        let connection = unsafe connections + Int(index)
        let place = awaited.take(for: index, shape)
        if unsafe connection.pointee.lastAwaited == AwaitedPool.none {
            unsafe connection.pointee.firstAwaited = place
        } else {
            unsafe awaited.places[Int(connection.pointee.lastAwaited)].next = place
        }
        unsafe connection.pointee.lastAwaited = place
        unsafe connection.pointee.awaitedCount &+= 1
        unsafe connection.pointee.flags.insert(.diverted)
        return place
    }

    private mutating func removeFirstPlace(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        let place = unsafe connection.pointee.firstAwaited
        let entry = unsafe awaited.places + Int(place)
        unsafe connection.pointee.firstAwaited = unsafe entry.pointee.next
        if unsafe entry.pointee.next == AwaitedPool.none {
            unsafe connection.pointee.lastAwaited = AwaitedPool.none
        }
        unsafe connection.pointee.awaitedCount &-= 1
        unsafe connection.pointee.asideBytes &-= UInt32(truncatingIfNeeded: entry.pointee.count)
        awaited.give(place)
    }

    private mutating func sendAside(
        _ index: UInt32, _ entry: UnsafeMutablePointer<Awaited>
    ) -> Bool {
        guard hasReplyRoom(index) else { return false }
        let bytes = unsafe UnsafeRawBufferPointer(
            start: entry.pointee.bytes, count: entry.pointee.count)
        _ = writer(index)
        return unsafe append(index, bytes)
    }
}
