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

    let run: UInt32
    let events: UnsafeMutablePointer<Event>
    let sequences: UnsafeMutablePointer<UInt32>
    private let published: UnsafeMutablePointer<Int>

    /// The memory lasts as long as the process. The kernel gives it zeroed and when it is touched.
    static func make(run: UInt32, keys: Int) -> EventLog {
        unsafe EventLog(
            run: run, events: zeroed(eventsMax, of: Event.self),
            sequences: zeroed(keys, of: UInt32.self), published: zeroed(1, of: Int.self))
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
        unsafe sequences[Int(key)] += 1
        if number < Self.eventsMax {
            unsafe events[number] = Event(key: key, isAcknowledged: false, sentNs: sentNs)
        }
        return unsafe Stamp(
            run: run, event: UInt32(number), key: key, sequence: sequences[Int(key)],
            sentNs: sentNs)
    }

    func acknowledged(_ event: UInt32) {
        guard event < Self.eventsMax else { return }
        unsafe events[Int(event)].isAcknowledged = true
    }
}
