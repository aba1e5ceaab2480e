/// A record as it comes from the journal, a snapshot or another node: the result of a write that
/// was decided elsewhere or earlier.
@safe
public struct Incoming {
    public var key: Key
    public var value: Value
    public var version: UInt64
    public var stamp: Stamp
    public var created: Stamp
    public var owner: Principal
    public var expiresAt: Int64
    public var isTombstone: Bool

    @inlinable
    public init(
        _ key: Key, _ value: Value, version: UInt64, stamp: Stamp, created: Stamp,
        owner: Principal, expiresAt: Int64 = 0, isTombstone: Bool = false
    ) {
        self.key = key
        self.value = value
        self.version = version
        self.stamp = stamp
        self.created = created
        self.owner = owner
        self.expiresAt = expiresAt
        self.isTombstone = isTombstone
    }
}

/// Taking in what was decided elsewhere. The highest stamp wins, so anything may be applied in
/// any order and any number of times.
extension Keyspace {
    public enum Applied: Sendable {
        case taken
        /// What is there is as new or newer.
        case stale
        case outOfMemory
        /// Of a splice: the list it was made on is not what is there.
        case changed
    }

    /// Takes a peer's stamp into account before its record is applied; false when its clock is
    /// too far ahead to be followed.
    public mutating func observe(_ stamp: Stamp, at now: Int64) -> Bool {
        clock.observe(stamp, at: now)
    }

    /// Goes on counting positions where an earlier run stopped.
    public mutating func resume(at position: CommitPosition) {
        self.position = max(self.position, position)
    }

    /// Takes a stamp of the node's own past into account: no later one is smaller.
    public mutating func restore(_ stamp: Stamp) { clock.restore(stamp) }

    /// Brings a record to what `incoming` says, if that is newer. Owners and conditions were
    /// looked at where the write was decided. `isLogged` is false while the journal is read:
    /// it has the record already.
    public mutating func apply(
        _ incoming: borrowing Incoming, at now: Int64, isLogged: Bool
    ) -> Applied {
        let bytes = unsafe incoming.key.bytes.count + incoming.value.bytes.count
        begin(expecting: Record.fixedBytes + 32 + bytes)
        clock.restore(incoming.stamp)
        let key = incoming.key
        let ref = unsafe index.find(key.hash, key.table, key.bytes)
        if ref != 0, records[ref].stamp >= incoming.stamp { return .stale }
        if incoming.isTombstone {
            guard let tombstone = placeTombstone(incoming, over: ref, at: now)
            else { return .outOfMemory }
            note(
                .deleted, tombstone, version: incoming.version, stamp: incoming.stamp,
                logged: isLogged)
            return .taken
        }
        var head = Record.Head()
        head.kind = incoming.value.kind
        head.contentType = incoming.value.contentType
        head.stamp = incoming.stamp
        head.created = incoming.created
        head.version = min(incoming.version, Record.versionMax)
        head.owner = incoming.owner
        head.table = key.table
        head.expiresAt = incoming.expiresAt
        var new = unsafe store(head, key.hash, key.bytes, incoming.value.bytes, over: ref)
        if new == 0, isLoading {
            finishLoading()
            new = unsafe store(head, key.hash, key.bytes, incoming.value.bytes, over: ref)
        }
        guard new != 0 else { return .outOfMemory }
        note(
            .updated, records[new], version: head.version, stamp: head.stamp, logged: isLogged)
        return .taken
    }

    /// Lets go of a record that was evicted, unless it was written since.
    public mutating func forget(_ key: Key, upTo stamp: Stamp) {
        begin(expecting: 0)
        let ref = unsafe index.find(key.hash, key.table, key.bytes)
        guard ref != 0, records[ref].stamp <= stamp, !records[ref].isTombstone else { return }
        detach(ref)
        index.remove(key.hash, ref, &pages)
        cleaningDebt += records[ref].blockBytes * 2
        arena.markDead(ref, records[ref])
    }

    private mutating func placeTombstone(
        _ incoming: borrowing Incoming, over ref: Ref, at now: Int64
    ) -> Record? {
        let key = incoming.key
        if ref != 0, !records[ref].isTombstone {
            return bury(
                ref, key.hash, version: incoming.version, stamp: incoming.stamp, at: now)
        }
        var head = Record.Head()
        head.stamp = incoming.stamp
        head.created = incoming.stamp
        head.version = min(incoming.version, Record.versionMax)
        head.owner = incoming.owner
        head.table = key.table
        head.isTombstone = true
        let none = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        if ref != 0 {
            unsafe records[ref].write(head, recency: recency, key: records[ref].key, value: none)
            remember(key.hash, incoming.stamp, at: now)
            return records[ref]
        }
        open(key.table)
        let bytes = unsafe head.blockBytes(key.bytes.count, 0)
        guard pages.canTake(Keyspace.pagesPerInsertion), makeRoom(bytes, sparing: 0)
        else { return nil }
        let new = arena.allocate(bytes, limit: writeLimit)
        guard new != 0 else { return nil }
        unsafe records[new].write(head, recency: recency, key: key.bytes, value: none)
        index.insert(key.hash, new, &pages)
        remember(key.hash, incoming.stamp, at: now)
        return records[new]
    }
}
