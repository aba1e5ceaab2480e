import Glibc
import Keyspace
import Machine
import Wire

/// A plain read that another shard has handed on, as its message lies in the mailbox.
@safe struct AskedRead {
    let message: UnsafeRawBufferPointer
    let head: Message.Read
    var record: FetchedRecord?

    init(_ message: UnsafeRawBufferPointer) {
        unsafe self.message = unsafe message
        head = unsafe message.load(as: Message.Read.self)
    }

    var key: Key {
        let name = unsafe UnsafeRawBufferPointer(
            rebasing: message[MemoryLayout<Message.Read>.size...])
        return unsafe Key(head.table, name, hash: head.hash)
    }
}

/// Plain reads of another shard's keys. What the key's shard sends back is the reply as it will
/// leave, so the connection's shard only has to copy it when it is its turn.
///
/// Whatever turns out not to be plain there (no such key, a value that is no JSON, a record that the
/// disk does not have yet) is answered the general way, as if it had been asked so.
extension Shard {
    /// Hands a read on. False: it has to wait.
    mutating func askRead(
        _ index: UInt32, _ name: UnsafeRawBufferPointer, _ table: TableNumber, hash: UInt64,
        of target: Int
    ) -> Bool {
        let headBytes = MemoryLayout<Message.Read>.size
        guard awaited.hasFreeForRequest,
            unsafe connections[Int(index)].awaitedCount < settings.pipelineDepthMax,
            let place = unsafe mailbox(to: target).reserve(headBytes &+ name.count)
        else { return false }
        let ticket = awaitAnswer(index, [])
        unsafe place.storeBytes(
            of: Message.Read(table: table, hash: hash, ticket: ticket), as: Message.Read.self)
        unsafe (place + headBytes).copyMemory(
            from: name.baseAddress.unsafelyUnwrapped, byteCount: name.count)
        return true
    }

    /// Answers the first of `askedReads`, so many: all of their records are asked for before the first
    /// is needed.
    mutating func answerAskedReads(_ count: Int, from shard: Int) {
        guard count > 0 else { return }
        let asked = unsafe askedReads
        if isLoading {
            for place in 0..<count { unsafe receive(asked[place].message, from: shard) }
            return
        }
        for place in 0..<count { unsafe keyspace.prepare(asked[place].head.hash) }
        for place in 0..<count {
            let read = unsafe asked + place
            unsafe read.pointee.record = keyspace.fetch(read.pointee.head.hash)
        }
        // What was fetched is good until the keyspace changes.
        var isNear = true
        for place in 0..<count {
            let read = unsafe asked + place
            if !isNear { unsafe read.pointee.record = nil }
            if unsafe !answerAskedRead(read.pointee, from: shard) { isNear = false }
        }
    }

    /// False: the general way was taken, and the keyspace may have changed.
    @discardableResult
    mutating func answerAskedRead(_ read: AskedRead, from shard: Int) -> Bool {
        if hasHolds, mustWait(read.head.hash) {
            let claim = Holds.Claim(keys: [read.head.hash], isAll: false)
            unsafe putOff(read.message, claim, from: shard)
            return true
        }
        let key = read.key
        let found =
            if let near = read.record {
                keyspace.get(key, near: near, at: wallMs)
            } else {
                keyspace.get(key, at: wallMs)
            }
        let headBytes = MemoryLayout<Message.ReadAnswer>.size
        if let record = found, let size = plainSize(record), unsafe backlogs[shard].isEmpty,
            let place = unsafe mailbox(to: shard).reserve(headBytes &+ size.total)
        {
            unsafe place.storeBytes(
                of: Message.ReadAnswer(
                    count: UInt32(truncatingIfNeeded: size.count), ticket: read.head.ticket),
                as: Message.ReadAnswer.self)
            unsafe writePlainReply(record, size, to: place + headBytes)
            mailbox(to: shard).trim(to: headBytes &+ size.count)
            return true
        }
        let work = unsafe TableWork(
            kind: .get, table: read.head.table, hash: read.head.hash, key: key.bytes)
        postAnswer(carryOut(work), to: shard, ticket: read.head.ticket)
        return false
    }

    mutating func receiveReadAnswer(_ message: UnsafeRawBufferPointer) {
        let head = unsafe message.load(as: Message.ReadAnswer.self)
        let start = MemoryLayout<Message.ReadAnswer>.size
        let reply = unsafe UnsafeRawBufferPointer(
            rebasing: message[start..<start &+ Int(head.count)])
        tally.answers2xx &+= 1
        deliver(head.ticket) { shard, index, _ in
            // Opens a block where the last one is full.
            _ = shard.writer(index)
            if unsafe !shard.append(index, reply) { shard.close(index) }
        }
    }
}
