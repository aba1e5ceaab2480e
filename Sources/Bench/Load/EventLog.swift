import CMachine
import Glibc
import Synchronization

/// What was published, event by event: its key and whether the server took it.
///
/// The threads that publish write it, under a lock that they rarely meet at; listeners keep what
/// they heard to themselves, and the main thread joins the two after all have ended.
@safe struct EventLog: @unchecked Sendable {
    /// A day at 90 events a second. Events past it are published and heard, and not accounted for.
    static let eventsMax = 8 << 20

    struct Event {
        var key: UInt32
        var sequence: UInt32
        var isAcknowledged: Bool
        var sentNs: UInt64
    }

    private struct Key {
        /// The number of its last event, and that event's own.
        var last: UInt32
        var lastEvent: UInt32
        /// The last of them that the server took.
        var lastTaken: UInt32
        /// Those without an answer. One that is lost stays: it may still take effect.
        var underWay: UInt32
        var settled: UInt32
    }

    let run: UInt32
    let events: UnsafeMutablePointer<Event>
    /// When the next event of the same key was sent: since then a listener that knows only this one
    /// is behind. Listeners look at it while others are written.
    private let nextNs: UnsafeMutablePointer<Atomic<UInt64>>
    private let keys: UnsafeMutablePointer<Key>
    private let published: UnsafeMutablePointer<Int>
    /// One that ThreadSanitizer knows.
    private let lock: UnsafeMutablePointer<pthread_mutex_t>

    /// The memory lasts as long as the process. The kernel gives it zeroed and when it is touched.
    static func make(run: UInt32, keys: Int) -> EventLog {
        let lock = unsafe zeroed(1, of: pthread_mutex_t.self)
        unsafe pthread_mutex_init(lock, nil)
        return unsafe EventLog(
            run: run, events: zeroed(eventsMax, of: Event.self),
            nextNs: zeroed(eventsMax, of: Atomic<UInt64>.self),
            keys: zeroed(keys, of: Key.self), published: zeroed(1, of: Int.self), lock: lock)
    }

    static func zeroed<T: ~Copyable>(_ count: Int, of type: T.Type) -> UnsafeMutablePointer<T> {
        let memory = unsafe calloc(max(count, 1), MemoryLayout<T>.stride)
        guard let memory = unsafe memory else { fatalError("no memory for \(count) events") }
        return unsafe memory.bindMemory(to: type, capacity: count)
    }

    var count: Int { unsafe min(published.pointee, Self.eventsMax) }

    func next(key: UInt32, sentNs: UInt64) -> Stamp {
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        let number = unsafe published.pointee
        unsafe published.pointee += 1
        let place = unsafe keys + Int(key)
        if unsafe place.pointee.underWay == 0 {
            unsafe place.pointee.settled = unsafe place.pointee.last
        }
        if unsafe place.pointee.last > 0 {
            let before = unsafe Int(place.pointee.lastEvent)
            unsafe nextNs[before].store(sentNs, ordering: .relaxed)
        }
        unsafe place.pointee.underWay += 1
        unsafe place.pointee.last += 1
        if number < Self.eventsMax {
            unsafe place.pointee.lastEvent = UInt32(number)
            unsafe events[number] = Event(
                key: key, sequence: place.pointee.last, isAcknowledged: false, sentNs: sentNs)
        }
        return unsafe Stamp(
            run: run, event: UInt32(number), key: key, sequence: place.pointee.last,
            settled: place.pointee.settled, sentNs: sentNs)
    }

    func answered(_ event: UInt32, isSuccess: Bool) {
        guard event < Self.eventsMax else { return }
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        let place = unsafe events + Int(event)
        unsafe place.pointee.isAcknowledged = isSuccess
        let key = unsafe keys + Int(place.pointee.key)
        unsafe key.pointee.underWay -= 1
        if isSuccess {
            unsafe key.pointee.lastTaken = unsafe max(
                key.pointee.lastTaken, place.pointee.sequence)
        }
    }

    /// Since when a listener has been behind that knows no later event than this one; nil when
    /// there is none.
    func behindSinceNs(event: UInt32) -> UInt64? {
        guard event < Self.eventsMax else { return nil }
        let sentNs = unsafe nextNs[Int(event)].load(ordering: .relaxed)
        return sentNs > 0 ? sentNs : nil
    }

    /// After the run: has who heard no more than this number ended at the truth? Writes that were
    /// under way together have no order, so any of the last of them may have stayed.
    func isFinal(_ highest: UInt32, ofKey key: UInt32) -> Bool {
        let key = unsafe keys[Int(key)]
        return highest >= key.lastTaken || highest > key.settled
    }
}
