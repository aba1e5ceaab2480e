import Glibc

/// How a list lies in its record's value: its elements side by side in one block, with room left at
/// both ends.
///
/// ```
/// count u32 · front u32 · used u32 · … room … · elements · … room …
/// element:  length (7 bits a byte, lowest first) · bytes · length again, to be read backwards
/// ```
///
/// Adding to an end or taking from one touches that end alone as long as there is room, so it costs
/// what the element costs, however long the list is. Where an end's room is used up the elements
/// slide to the middle, if a quarter of their bytes is free beyond the other end, or the list is
/// written anew with half as much again (a long one: as much again). Either is paid for by a part of
/// the list's own length in additions, so over many of them it is a constant each, at both ends and
/// for queues too. An element in the middle is found by walking from the nearer end, as in Redis. Two
/// bytes an element and twelve a list is what it takes beyond the elements and the room.
@safe
public struct ListForm {
    public static let headBytes = 12
    /// What a short list is left free beside its elements.
    private static let roomMin = 16
    /// What a list takes at most that is no more than twice its elements.
    public static let roomBytesMin = headBytes + roomMin

    let value: UnsafeRawBufferPointer
    public let count: Int
    /// Where the elements begin in the value.
    let front: Int
    /// The bytes of all elements.
    public let used: Int

    /// A look at a list's value.
    @inline(__always)
    public init(_ value: UnsafeRawBufferPointer) {
        unsafe self.value = unsafe value
        guard value.count >= Self.headBytes else {
            count = 0
            front = Self.headBytes
            used = 0
            return
        }
        count = unsafe Int(value.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
        front = unsafe Int(value.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        used = unsafe Int(value.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
    }

    /// Whether a value that came from outside is a list from end to end.
    public static func isValid(_ value: UnsafeRawBufferPointer) -> Bool {
        guard value.count >= headBytes else { return false }
        let form = unsafe ListForm(value)
        guard form.count > 0, form.front >= headBytes, form.front + form.used <= value.count
        else { return false }
        var place = 0
        var seen = 0
        while place < form.used {
            guard let bytes = form.size(at: place) else { return false }
            place += bytes
            seen += 1
        }
        return place == form.used && seen == form.count
    }

    // MARK: Reading. Places count bytes from the first element on.

    /// The element at a place, and the place after it.
    @inline(__always)
    public func element(at place: Int) -> (bytes: UnsafeRawBufferPointer, next: Int) {
        invariant(place >= 0 && place < used, "an element outside of its list")
        var at = front + place
        var length = 0
        var shift = 0
        while true {
            let byte = unsafe Int(value[at])
            at += 1
            length |= (byte & 127) << shift
            if byte < 128 { break }
            shift += 7
        }
        let bytes = unsafe UnsafeRawBufferPointer(rebasing: value[at..<(at + length)])
        return unsafe (bytes, at + length + Self.lengthBytes(length) - front)
    }

    /// Copies the elements between two places.
    public func copy(_ places: Range<Int>, to target: UnsafeMutableRawBufferPointer) {
        let from = front + places.lowerBound
        unsafe target.copyMemory(
            from: UnsafeRawBufferPointer(rebasing: value[from..<(from + places.count)]))
    }

    /// Where the element that ends at a place begins.
    @inline(__always)
    public func place(before end: Int) -> Int {
        invariant(end > 0 && end <= used, "an element outside of its list")
        var at = front + end - 1
        var length = 0
        var shift = 0
        while true {
            let byte = unsafe Int(value[at])
            length |= (byte & 127) << shift
            if byte < 128 { break }
            shift += 7
            at -= 1
        }
        return end - length - 2 * Self.lengthBytes(length)
    }

    /// Where an element begins, by its index from 0 on; the end for the count.
    public func place(of index: Int) -> Int {
        invariant(index >= 0 && index <= count, "an index outside of its list")
        if index <= count / 2 {
            var place = 0
            for _ in 0..<index { place = unsafe element(at: place).next }
            return place
        }
        var end = used
        for _ in 0..<(count - index) { end = place(before: end) }
        return end
    }

    /// What an element at a place takes; nil when it doesn't fit in the list.
    private func size(at place: Int) -> Int? {
        var length = 0
        var shift = 0
        var at = place
        while true {
            guard at < used, shift < 32 else { return nil }
            let byte = unsafe Int(value[front + at])
            at += 1
            length |= (byte & 127) << shift
            if byte < 128 { break }
            shift += 7
        }
        let lengthBytes = Self.lengthBytes(length)
        let total = length + 2 * lengthBytes
        guard at - place == lengthBytes, place + total <= used else { return nil }
        // Behind it the length again, in reverse order.
        for byte in 0..<lengthBytes {
            let last = front + place + total - 1
            guard unsafe value[last - byte] == value[front + place + byte] else { return nil }
        }
        return total
    }

    /// How many whole elements lie between two places; nil when they don't begin and end there.
    func elements(between places: Range<Int>) -> Int? {
        var place = places.lowerBound
        var seen = 0
        while place < places.upperBound {
            guard let bytes = size(at: place) else { return nil }
            place += bytes
            seen += 1
        }
        return place == places.upperBound ? seen : nil
    }

    /// Whether a splice that comes from outside fits this list: within it, of whole elements, and
    /// leaving some.
    func fits(_ splice: ListSplice) -> Bool {
        let inserted = unsafe splice.inserted
        let spare = Keyspace.valueBytesMax / 2 - used
        guard front >= Self.headBytes, unsafe front + used <= value.count else { return false }
        guard splice.place >= 0, splice.removed >= 0, splice.place <= used,
            splice.removed <= used - splice.place, inserted.count <= spare,
            let gone = elements(between: splice.place..<(splice.place + splice.removed)),
            let come = unsafe ListForm(bare: inserted).elements(between: 0..<inserted.count)
        else { return false }
        return come - gone == splice.countChange && count + splice.countChange > 0
    }

    /// Elements alone, without a head before them.
    private init(bare elements: UnsafeRawBufferPointer) {
        unsafe value = unsafe elements
        count = 0
        front = 0
        used = elements.count
    }

    // MARK: Writing

    @inline(__always)
    static func lengthBytes(_ length: Int) -> Int {
        if length < 128 { return 1 }
        return (70 - UInt64(length).leadingZeroBitCount) / 7
    }

    /// What an element of so many bytes takes.
    @inlinable
    public static func elementBytes(_ length: Int) -> Int { length + 2 * _lengthBytes(length) }

    @usableFromInline
    static func _lengthBytes(_ length: Int) -> Int { lengthBytes(length) }

    /// Writes an element and answers how many bytes it took. There has to be room.
    @discardableResult
    public static func write(
        _ element: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer, at start: Int
    ) -> Int {
        let length = element.count
        let bytes = lengthBytes(length)
        var rest = length
        for place in 0..<bytes {
            let more: UInt8 = place + 1 < bytes ? 128 : 0
            let part = UInt8(rest & 127) | more
            unsafe target[start + place] = part
            rest >>= 7
        }
        unsafe UnsafeMutableRawBufferPointer(rebasing: target[(start + bytes)...])
            .copyMemory(from: element)
        rest = length
        for place in 0..<bytes {
            let more: UInt8 = place + 1 < bytes ? 128 : 0
            unsafe target[start + 2 * bytes + length - 1 - place] = UInt8(rest & 127) | more
            rest >>= 7
        }
        return length + 2 * bytes
    }

    /// Writes a list's head.
    public static func writeHead(
        count: Int, front: Int, used: Int, to target: UnsafeMutableRawPointer
    ) {
        unsafe target.storeBytes(of: UInt32(count), as: UInt32.self)
        unsafe target.storeBytes(of: UInt32(front), toByteOffset: 4, as: UInt32.self)
        unsafe target.storeBytes(of: UInt32(used), toByteOffset: 8, as: UInt32.self)
    }

    /// The room a list of so many bytes is written anew with.
    static func spare(_ used: Int) -> Int {
        if used < 64 { return roomMin }
        return used < longFrom ? used / 2 : used
    }

    /// A list of so many bytes is left as much room as it takes: nothing is written there, so it is
    /// address space and no memory, and the list is copied half as often.
    private static let longFrom = 64 << 10
}
