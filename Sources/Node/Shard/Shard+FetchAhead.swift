import Keyspace
import Machine
import Wire

/// Records are asked for before what asks for them is looked at; see docs/decisions/0011.
extension Shard {
    /// So many keys of a turn, or of a pipeline of RESP, are asked for; the others when they are needed.
    static var fetchedAheadMax: Int { 64 }
    /// Of a longer key no record is found ahead, and nothing but that is lost.
    private static var keyLookedAtMax: Int { 64 }

    /// Has the processor fetch the records that what just came asks for, before the first of it is
    /// looked at: many connections with one request each are a pipeline, too.
    mutating func fetchAhead(_ batch: UnsafeBufferPointer<Completion>) {
        guard batch.count > 1, unsafe state.pointee.shardCount == 1 else { return }
        let hashes = unsafe aheadHashes
        var count = 0
        for place in 0..<batch.count where count < Self.fetchedAheadMax {
            let completion = unsafe batch[place]
            guard completion.kind == .received,
                let hash = unsafe hashOfFirstKey(
                    completion.index, driver.bytes(ofBuffer: completion.buffer),
                    Int(completion.result))
            else { continue }
            keyspace.prepare(hash)
            unsafe hashes[count] = hash
            count &+= 1
        }
        for place in 0..<count { unsafe keyspace.fetch(hashes[place]) }
    }

    /// Of the first request in what a connection has received, if it is plain and its path whole.
    @inline(__always)
    private mutating func hashOfFirstKey(
        _ index: UInt32, _ bytes: UnsafePointer<UInt8>, _ count: Int
    ) -> UInt64? {
        if let session = unsafe connections[Int(index)].resp {
            let all = unsafe UnsafeRawBufferPointer(start: bytes, count: count)
            guard let (key, _) = unsafe RESPLookahead.key(all, at: 0) else { return nil }
            let name = unsafe UnsafeRawBufferPointer(rebasing: all[key])
            return unsafe keyspace.hashing.hash(session.pointee.context.table, name)
        }
        let start = unsafe plainTable.anyKeyPlace(in: bytes, count: count)
        guard start > 0 else { return nil }
        var end = start
        let bound = min(count, start &+ Self.keyLookedAtMax)
        while end < bound, unsafe bytes[end] != 0x20 { end &+= 1 }
        let name = unsafe UnsafeRawBufferPointer(start: bytes + start, count: end &- start)
        return unsafe keyspace.hashing.hash(plainTable.number, name)
    }
}
