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
/// what the element costs, however long the list is. Where the room is used up the list is written
/// anew with half as much again: over many additions that is a constant each. An element in the
/// middle is found by walking from the nearer end, as in Redis. Two bytes an element and twelve a
/// list is what it takes beyond the elements and the room.
@safe
public struct ListForm {
    public static let headBytes = 12
    /// What is left free beyond half of the elements.
    private static let roomMin = 16

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
        let total = length + 2 * Self.lengthBytes(length)
        guard at - place == Self.lengthBytes(length), place + total <= used,
            self.place(before: place + total) == place
        else { return nil }
        return total
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
    static func spare(_ used: Int) -> Int { used < 64 ? roomMin : used / 2 }
}

/// A change of a list: at a place, so many bytes of whole elements are replaced by others.
@safe
public struct ListSplice {
    public var place: Int
    public var removed: Int
    /// Elements as `ListForm.write` makes them; not in the arena.
    public var inserted: UnsafeRawBufferPointer
    /// By how many elements the list grows; negative: shrinks.
    public var countChange: Int

    @inlinable
    public init(
        place: Int, removed: Int, inserted: UnsafeRawBufferPointer, countChange: Int
    ) {
        self.place = place
        self.removed = removed
        unsafe self.inserted = unsafe inserted
        self.countChange = countChange
    }

    @inlinable public static var none: ListSplice {
        unsafe ListSplice(
            place: 0, removed: 0, inserted: UnsafeRawBufferPointer(start: nil, count: 0),
            countChange: 0)
    }
}

/// Lists are changed in place where that is possible.
extension Keyspace {
    /// Carries out `command.splice` on the key's list, making one where there is none; a list that
    /// loses its last element is deleted. The key has no other kind of value: whoever asks has
    /// looked.
    public mutating func splice(_ command: borrowing Command, at now: Int64) -> Reply {
        let splice = command.splice
        let keyCount = unsafe command.key.bytes.count
        guard keyCount > 0, keyCount <= Key.bytesMax else { return Reply(.tooLarge) }
        let before = get(command.key, at: now).map { unsafe ListForm($0.value) }
        let inserted = unsafe splice.inserted.count
        let used = (before?.used ?? 0) - splice.removed + inserted
        let count = (before?.count ?? 0) + splice.countChange
        if count == 0 { return delete(command, at: now) }
        guard used <= Keyspace.valueBytesMax / 2 else { return Reply(.tooLarge) }

        begin(expecting: Record.fixedBytes + 32 + keyCount + 2 * used)
        let ref = liveOrTombstone(command.key, at: now)
        let live = ref == 0 || records[ref].isTombstone ? nil : records[ref]
        if let refusal = refusal(command, live) { return refusal }
        if let live {
            invariant(live.kind == .list, "a splice into something that is no list")
            if live.has(Record.Flag.created), shift(live, splice, used: used, count: count) {
                let version = min(live.version + 1, Record.versionMax)
                let stamp = clock.next(at: now)
                live.renew(stamp, version, recency)
                age(inserted + Record.fixedBytes)
                let position = note(.updated, live, version: version, stamp: stamp)
                return Reply(.updated, live, position: position)
            }
        }
        return rebuild(command, ref, live, used: used, count: count, at: now)
    }

    /// Makes the change in the value's own block, moving the side that is shorter. False: there is
    /// no room, or far too much.
    private func shift(_ record: Record, _ splice: ListSplice, used: Int, count: Int) -> Bool {
        let form = unsafe ListForm(record.value)
        let capacity = record.valueCount
        let spareMax = 1024
        if capacity > spareMax, used < capacity / 4 { return false }
        let inserted = unsafe splice.inserted.count
        let growth = inserted - splice.removed
        let head = splice.place
        let tail = form.used - splice.place - splice.removed
        let fitsFront = form.front - growth >= ListForm.headBytes
        let fitsBack = form.front + used <= capacity
        let start = unsafe UnsafeMutableRawPointer(
            mutating: record.value.baseAddress.unsafelyUnwrapped)
        var front = form.front
        if fitsFront, head <= tail || !fitsBack {
            front -= growth
            unsafe memmove(start + front, start + form.front, head)
        } else if fitsBack {
            let from = form.front + splice.place + splice.removed
            unsafe memmove(start + from + growth, start + from, tail)
        } else {
            return false
        }
        if let bytes = unsafe splice.inserted.baseAddress {
            unsafe memcpy(start + front + splice.place, bytes, inserted)
        }
        unsafe ListForm.writeHead(count: count, front: front, used: used, to: start)
        return true
    }

    /// Writes the list anew, with room at the end that grows.
    private mutating func rebuild(
        _ command: borrowing Command, _ ref: Ref, _ live: Record?, used: Int, count: Int,
        at now: Int64
    ) -> Reply {
        let splice = command.splice
        let spare = ListForm.spare(used)
        let capacity = ListForm.headBytes + used + spare
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 8)
        defer { unsafe room.deallocate() }
        let start = unsafe room.baseAddress.unsafelyUnwrapped
        let empty = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        let form = unsafe ListForm(live?.value ?? empty)
        let tail = form.used - splice.place - splice.removed
        let growsAtFront = splice.place == 0 && tail > 0
        let front = ListForm.headBytes + (growsAtFront ? spare : 0)
        unsafe memset(start, 0, capacity)
        var at = front
        if splice.place > 0, let old = unsafe form.value.baseAddress {
            unsafe memcpy(start + at, old + form.front, splice.place)
        }
        at += splice.place
        if let bytes = unsafe splice.inserted.baseAddress {
            unsafe memcpy(start + at, bytes, splice.inserted.count)
            unsafe at += splice.inserted.count
        }
        if tail > 0, let old = unsafe form.value.baseAddress {
            unsafe memcpy(start + at, old + form.front + splice.place + splice.removed, tail)
        }
        unsafe ListForm.writeHead(count: count, front: front, used: used, to: start)

        let stamp = clock.next(at: now)
        let old = ref == 0 ? nil : records[ref]
        var head = Record.Head()
        head.kind = .list
        head.stamp = stamp
        head.created = live?.created ?? stamp
        head.version = min((old?.version ?? 0) + 1, Record.versionMax)
        head.owner = command.principal
        if let live { head.owner = live.owner }
        head.table = command.key.table
        head.expiresAt = live?.expiresAt ?? 0
        let new = unsafe store(
            head, command.key.hash, command.key.bytes, UnsafeRawBufferPointer(room), over: ref)
        guard new != 0 else { return Reply(.outOfMemory) }
        let record = records[new]
        let position = note(.updated, record, version: head.version, stamp: stamp)
        return Reply(live == nil ? .created : .updated, record, position: position)
    }
}
