/// The bounded queue of completions that a driver made itself, outside the kernel's own queue:
/// sockets closed at once, sends that failed at once. Grows as far as there are sockets.
@safe struct CompletionList: ~Copyable {
    private(set) var base: UnsafeMutablePointer<Completion>
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int) {
        self.capacity = capacity
        unsafe base = .allocate(capacity: capacity)
    }

    mutating func append(_ completion: Completion) {
        if count == capacity {
            let larger = UnsafeMutablePointer<Completion>.allocate(capacity: capacity * 2)
            unsafe larger.update(from: base, count: count)
            unsafe base.deallocate()
            unsafe base = unsafe larger
            capacity *= 2
        }
        unsafe base[count] = completion
        count += 1
    }

    mutating func removeAll() { count = 0 }

    var all: UnsafeBufferPointer<Completion> {
        unsafe UnsafeBufferPointer(start: base, count: count)
    }

    deinit { unsafe base.deallocate() }
}

/// Numbers of sockets or slots that wait for their turn, in order of arrival, each at most once (a
/// flag where the number leads to sees to that), so the capacity is how many there are.
@safe public struct IndexQueue: ~Copyable {
    private let pages: Pages
    @usableFromInline let base: UnsafeMutablePointer<UInt32>
    @usableFromInline let capacity: Int
    @usableFromInline var head = 0
    @usableFromInline var waiting = 0

    @inlinable public var count: Int { waiting }

    public init(capacity: Int) throws(SystemError) {
        self.capacity = capacity
        pages = try Pages(byteCount: capacity * 4)
        unsafe base = unsafe pages.bound(to: UInt32.self)
    }

    @inlinable
    public mutating func append(_ index: UInt32) {
        invariant(waiting < capacity, "a socket is queued twice")
        var tail = head + waiting
        if tail >= capacity { tail -= capacity }
        unsafe base[tail] = index
        waiting += 1
    }

    @inlinable
    public mutating func popFirst() -> UInt32? {
        guard waiting > 0 else { return nil }
        let index = unsafe base[head]
        head += 1
        if head == capacity { head = 0 }
        waiting -= 1
        return index
    }

    /// Lets the last so many go before all others, in their order.
    public mutating func bringForward(_ count: Int) {
        guard count < waiting else { return }
        for _ in 0..<count {
            var tail = head + waiting - 1
            if tail >= capacity { tail -= capacity }
            head = head == 0 ? capacity - 1 : head - 1
            // The queue is as long as before: where it is full, both are one place.
            unsafe base[head] = base[tail]
        }
    }
}
