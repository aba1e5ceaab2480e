import Glibc

/// What was published, event by event: its key and whether the server took it.
///
/// One thread publishes, so it alone writes; listeners keep what they heard to themselves, and the
/// main thread joins the two after all have ended.
@safe struct EventLog: @unchecked Sendable {
    /// A day at 90 events a second. Events past it are published and heard, and not accounted for.
    static let eventsMax = 8 << 20

    struct Event {
        var key: UInt32
        var isAcknowledged: Bool
        var sentNs: UInt64
    }

    private struct Key {
        /// The number of its last event.
        var last: UInt32
        /// Those without an answer. One that is lost stays: it may still take effect.
        var underWay: UInt32
        var settled: UInt32
    }

    let run: UInt32
    let events: UnsafeMutablePointer<Event>
    private let keys: UnsafeMutablePointer<Key>
    private let published: UnsafeMutablePointer<Int>

    /// The memory lasts as long as the process. The kernel gives it zeroed and when it is touched.
    static func make(run: UInt32, keys: Int) -> EventLog {
        unsafe EventLog(
            run: run, events: zeroed(eventsMax, of: Event.self),
            keys: zeroed(keys, of: Key.self), published: zeroed(1, of: Int.self))
    }

    static func zeroed<T>(_ count: Int, of type: T.Type) -> UnsafeMutablePointer<T> {
        let memory = unsafe calloc(max(count, 1), MemoryLayout<T>.stride)
        guard let memory = unsafe memory else { fatalError("no memory for \(count) events") }
        return unsafe memory.bindMemory(to: type, capacity: count)
    }

    var count: Int { unsafe min(published.pointee, Self.eventsMax) }

    func next(key: UInt32, sentNs: UInt64) -> Stamp {
        let number = unsafe published.pointee
        unsafe published.pointee += 1
        let place = unsafe keys + Int(key)
        if unsafe place.pointee.underWay == 0 {
            unsafe place.pointee.settled = unsafe place.pointee.last
        }
        unsafe place.pointee.underWay += 1
        unsafe place.pointee.last += 1
        if number < Self.eventsMax {
            unsafe events[number] = Event(key: key, isAcknowledged: false, sentNs: sentNs)
        }
        return unsafe Stamp(
            run: run, event: UInt32(number), key: key, sequence: place.pointee.last,
            settled: place.pointee.settled, sentNs: sentNs)
    }

    func answered(_ event: UInt32, isSuccess: Bool) {
        guard event < Self.eventsMax else { return }
        let place = unsafe events + Int(event)
        unsafe place.pointee.isAcknowledged = isSuccess
        let key = unsafe keys + Int(place.pointee.key)
        unsafe key.pointee.underWay -= 1
    }
}
