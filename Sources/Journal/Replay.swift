public import Keyspace

/// Puts what a recovery reads into a shard's keyspace: records as they became, and lists by what
/// was done to them.
///
/// A change of a part of a list is made on the list whose stamp it names, and on no other. When
/// that is not there, one of these is why:
///
/// - a snapshot's walk had more already, or found the list gone: then the change is past;
/// - the list was last changed by a transaction that never came to its end. Its records are kept
///   (`passOver`), and brought back now: a write that stands on another takes it along, as it does
///   where values are logged whole;
/// - memory was short, and the list made room;
/// - none of these: then something is wrong, and the answer is `changed`.
@safe
public struct Replay {
    private struct Passed {
        var record: Incoming
        var splice: ListSplice?
        var base: Stamp
        var key: [UInt8]
        var value: [UInt8]
    }

    /// By the hash of their keys, in their order.
    private var passed: [UInt64: [Passed]] = [:]

    public init() {}

    /// Keeps what a transaction without an end did to a list.
    public mutating func passOver(
        _ record: borrowing LogRecord, _ key: Key, owner: Principal, at now: Int64
    ) {
        let isSplice = record.kind == .spliced
        let isUpdate = record.kind == .updated
        let isList = record.valueKind == .list
        let isExpired = record.isExpired(at: now)
        guard isSplice || isUpdate && isList, !isExpired else { return }
        let one = unsafe Passed(
            record: Replay.incoming(record, key, owner), splice: isSplice ? record.splice : nil,
            base: record.base, key: Array(record.key), value: Array(record.value))
        passed[key.hash, default: []].append(one)
    }

    /// Takes a record into the keyspace.
    public mutating func take(
        _ record: borrowing LogRecord, _ key: Key, owner: Principal, at now: Int64,
        into keyspace: inout Keyspace
    ) -> Keyspace.Applied {
        if record.kind == .evicted {
            keyspace.forget(key, upTo: record.stamp)
            return .taken
        }
        var incoming = Replay.incoming(record, key, owner)
        let isExpired = record.isExpired(at: now)
        if isExpired { incoming.expire() }
        guard record.kind == .spliced, !isExpired else {
            return keyspace.apply(incoming, at: now, isLogged: false)
        }
        let splice = record.splice
        var applied = keyspace.apply(incoming, splicing: splice, on: record.base, at: now)
        if applied == .changed, bringBack(key, to: record.base, at: now, into: &keyspace) {
            applied = keyspace.apply(incoming, splicing: splice, on: record.base, at: now)
        }
        if applied == .changed, record.isOvertaken || keyspace.evicts { return .stale }
        return applied
    }

    private static func incoming(
        _ record: borrowing LogRecord, _ key: Key, _ owner: Principal
    ) -> Incoming {
        unsafe Incoming(
            key, Value(record.valueKind, record.value), version: record.version,
            stamp: record.stamp, created: record.created, owner: owner,
            expiresAt: record.expiresAt, isTombstone: record.kind == .deleted)
    }

    /// Whether anything was brought back. Only what led to the list with this stamp is: an earlier
    /// run may have left something else of the same list that came to nothing.
    private mutating func bringBack(
        _ key: Key, to stamp: Stamp, at now: Int64, into keyspace: inout Keyspace
    ) -> Bool {
        guard let all = passed[key.hash] else { return false }
        var steps: [Int] = []
        var wanted = stamp
        for place in all.indices.reversed() where all[place].record.stamp == wanted {
            guard all[place].record.key.table == key.table,
                unsafe all[place].key.elementsEqual(key.bytes)
            else { continue }
            steps.append(place)
            if all[place].splice == nil { break }
            wanted = all[place].base
        }
        for place in steps.reversed() {
            var record = all[place].record
            record.key = key
            unsafe all[place].value.withUnsafeBytes { bytes in
                if var splice = all[place].splice {
                    unsafe splice.inserted = unsafe bytes
                    _ = keyspace.apply(record, splicing: splice, on: all[place].base, at: now)
                } else {
                    unsafe record.value.bytes = unsafe bytes
                    _ = keyspace.apply(record, at: now, isLogged: false)
                }
            }
        }
        return !steps.isEmpty
    }
}

extension Incoming {
    /// Makes an expired record the tombstone that the keyspace would have left.
    fileprivate mutating func expire() {
        let none = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        value = unsafe Value(.json, none)
        version += 1
        created = stamp
        expiresAt = 0
        isTombstone = true
    }
}
