import Glibc

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

/// How the change at a position came about, where it was one of a part of a list: whoever has the
/// list as it was needs no more than this.
@safe
public struct SplicedChange {
    /// The change's position; 0 is none.
    public var position: CommitPosition
    /// The stamp of the list that was changed.
    public var base: Stamp
    /// Its bytes are those of the command.
    public var splice: ListSplice

    static var none: SplicedChange {
        SplicedChange(position: 0, base: Stamp(rawValue: 0), splice: .none)
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
        let old = ref == 0 ? nil : records[ref]
        var head = Record.Head()
        head.kind = .list
        head.version = min((old?.version ?? 0) + 1, Record.versionMax)
        head.owner = command.principal
        if let live { head.owner = live.owner }
        head.table = command.key.table
        head.expiresAt = live?.expiresAt ?? 0
        head.stamp = clock.next(at: now)
        head.created = live?.created ?? head.stamp
        let base = live?.stamp
        guard let record = make(splice, head, command.key, over: ref, live)
        else { return Reply(.outOfMemory) }
        let position = note(.updated, record, version: head.version, stamp: head.stamp)
        if let base {
            spliced = SplicedChange(position: position, base: base, splice: splice)
        }
        return Reply(base == nil ? .created : .updated, record, position: position)
    }

    /// Brings a list to what `incoming` says by a splice (the value is not looked at), if `base` is
    /// what it was made from. `changed` when it is not.
    public mutating func apply(
        _ incoming: borrowing Incoming, splicing splice: ListSplice, on base: Stamp, at now: Int64
    ) -> Applied {
        let key = incoming.key
        let before = get(key, at: now)?.valueCount ?? 0
        begin(
            expecting: unsafe Record.fixedBytes + 32 + key.bytes.count
                + 2 * (before + splice.inserted.count))
        clock.restore(incoming.stamp)
        let ref = unsafe index.find(key.hash, key.table, key.bytes)
        if ref != 0, records[ref].stamp >= incoming.stamp { return .stale }
        guard ref != 0, case let live = records[ref], !live.isTombstone, live.kind == .list,
            live.stamp == base, unsafe ListForm(live.value).fits(splice)
        else { return .changed }
        var head = live.head
        head.stamp = incoming.stamp
        head.version = min(incoming.version, Record.versionMax)
        guard let record = make(splice, head, key, over: ref, live) else { return .outOfMemory }
        note(.updated, record, version: head.version, stamp: head.stamp, logged: false)
        return .taken
    }

    /// The list with the change made, in place or elsewhere; nil when there is no memory for it.
    private mutating func make(
        _ splice: ListSplice, _ head: Record.Head, _ key: Key, over ref: Ref, _ live: Record?
    ) -> Record? {
        if let live {
            invariant(live.kind == .list, "a splice into something that is no list")
            if live.has(Record.Flag.created), shift(live, splice) {
                live.renew(head.stamp, head.version, recency)
                age(unsafe splice.inserted.count + Record.fixedBytes)
                return live
            }
        }
        return rebuild(splice, head, key, over: ref, live)
    }

    /// Makes the change in the value's own block, moving the side that is shorter. False: there is
    /// no room, or far too much.
    private func shift(_ record: Record, _ splice: ListSplice) -> Bool {
        let form = unsafe ListForm(record.value)
        let inserted = unsafe splice.inserted.count
        let growth = inserted - splice.removed
        let used = form.used + growth
        let capacity = record.valueCount
        let spareMax = 1024
        if capacity > spareMax, used < capacity / 4 { return false }
        let head = splice.place
        let tail = form.used - splice.place - splice.removed
        let fitsFront = form.front - growth >= ListForm.headBytes
        let fitsBack = form.front + used <= capacity
        let start = unsafe UnsafeMutableRawPointer(
            mutating: record.value.baseAddress.unsafelyUnwrapped)
        var front = form.front
        if fitsFront, head <= tail {
            front -= growth
            unsafe memmove(start + front, start + form.front, head)
        } else if fitsBack, tail <= head {
            let from = form.front + head + splice.removed
            unsafe memmove(start + from + growth, start + from, tail)
        } else {
            // All of it moves: that is worth its while if it leaves room for many more.
            let spare = capacity - ListForm.headBytes - used
            guard spare >= max(used / 4, 1) else { return false }
            front = ListForm.headBytes + spare / 2
            let from = form.front + head + splice.removed
            let to = front + head + inserted
            // Whichever goes where the other lies now waits for it.
            if to > from {
                unsafe memmove(start + to, start + from, tail)
                unsafe memmove(start + front, start + form.front, head)
            } else {
                unsafe memmove(start + front, start + form.front, head)
                unsafe memmove(start + to, start + from, tail)
            }
        }
        if let bytes = unsafe splice.inserted.baseAddress {
            unsafe memcpy(start + front + head, bytes, inserted)
        }
        unsafe ListForm.writeHead(
            count: form.count + splice.countChange, front: front, used: used, to: start)
        return true
    }

    /// Writes the list anew, with room at the end that grows.
    private mutating func rebuild(
        _ splice: ListSplice, _ head: Record.Head, _ key: Key, over ref: Ref, _ live: Record?
    ) -> Record? {
        let empty = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        let form = unsafe ListForm(live?.value ?? empty)
        let inserted = unsafe splice.inserted.count
        let used = form.used - splice.removed + inserted
        let spare = ListForm.spare(used)
        let capacity = ListForm.headBytes + used + spare
        let growsAtFront = splice.place == 0 && form.used > splice.removed
        let front = ListForm.headBytes + (growsAtFront ? spare : 0)
        let new: Ref
        if isLarge(head, keyBytes: unsafe key.bytes.count, valueBytes: capacity) {
            new = unsafe storeLarge(
                head, key.hash, key.bytes, valueBytes: capacity, over: ref
            ) { unsafe form.lay(splice, front: front, to: $0) }
        } else {
            let room = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 8)
            defer { unsafe room.deallocate() }
            let start = unsafe room.baseAddress.unsafelyUnwrapped
            unsafe memset(start, 0, front)
            unsafe memset(start + front + used, 0, capacity - front - used)
            unsafe form.lay(splice, front: front, to: start)
            new = unsafe store(head, key.hash, key.bytes, UnsafeRawBufferPointer(room), over: ref)
        }
        return new == 0 ? nil : records[new]
    }
}

extension ListForm {
    /// Writes a list with the change made elsewhere, its elements from `front` on.
    fileprivate func lay(
        _ splice: ListSplice, front newFront: Int, to start: UnsafeMutableRawPointer
    ) {
        let tail = used - splice.place - splice.removed
        var at = newFront
        func put(_ bytes: UnsafeRawPointer?, _ count: Int) {
            guard count > 0, let bytes = unsafe bytes else { return }
            unsafe memcpy(start + at, bytes, count)
            at += count
        }
        let old = unsafe value.baseAddress.map { unsafe $0 + front }
        unsafe put(old, splice.place)
        unsafe put(splice.inserted.baseAddress, splice.inserted.count)
        unsafe put(old.map { unsafe $0 + splice.place + splice.removed }, tail)
        unsafe ListForm.writeHead(
            count: count + splice.countChange, front: newFront, used: at - newFront, to: start)
    }
}
