import Keyspace
import Machine
import Wire

/// The keys of this shard that transactions hold, and what waits for them. See docs/transactions.md.
@safe struct Holds: ~Copyable {
    /// What is held or wanted: the hashes of keys, or the whole shard.
    struct Claim {
        var keys: [UInt64]
        var isAll: Bool

        func meets(_ other: Claim) -> Bool {
            if isAll || other.isAll { return true }
            if keys.count > 8, other.keys.count > 8 {
                return !Set(keys).isDisjoint(with: other.keys)
            }
            return keys.contains { other.keys.contains($0) }
        }
    }

    struct Held {
        let transaction: UInt64
        let claim: Claim
    }

    /// Something that waits: a hold that is asked for, or a message that is to be carried out.
    @safe struct Waiting {
        let claim: Claim
        let transaction: UInt64
        /// Who hears of the hold.
        let asker: Int
        let ticket: UInt64
        /// nil: it is a hold.
        let message: UnsafeMutableRawBufferPointer?
    }

    private(set) var held: [Held] = []
    private(set) var waiting: [Waiting] = []

    var isEmpty: Bool { held.isEmpty && waiting.isEmpty }

    /// Whether something has to wait for what is held or has waited longer.
    func blocks(_ claim: Claim) -> Bool {
        held.contains { $0.claim.meets(claim) } || waiting.contains { $0.claim.meets(claim) }
    }

    mutating func hold(_ claim: Claim, for transaction: UInt64) {
        held.append(Held(transaction: transaction, claim: claim))
    }

    mutating func wait(_ waiting: Waiting) { self.waiting.append(waiting) }

    mutating func release(_ transaction: UInt64) {
        held.removeAll { $0.transaction == transaction }
    }

    /// The first of those that wait and need wait no longer.
    mutating func next() -> Waiting? {
        for place in waiting.indices {
            let claim = waiting[place].claim
            if held.contains(where: { $0.claim.meets(claim) }) { continue }
            if waiting[..<place].contains(where: { $0.claim.meets(claim) }) { continue }
            return waiting.remove(at: place)
        }
        return nil
    }
}

extension Message {
    /// Asks for a hold, behind it the hashes of the keys.
    struct Hold {
        var kind = Kind.hold
        var transaction: UInt64
        var ticket: UInt64
        var isAll: Bool
        var keyCount: UInt32
    }

    struct Release {
        var kind = Kind.release
        var transaction: UInt64
    }
}

extension Shard {
    var hasHolds: Bool {
        mutating get { unsafe !resp.pointee.holds.isEmpty }
    }

    // MARK: Asking

    /// Asks a shard for a hold; the ticket's transaction hears when it is granted.
    mutating func askHold(
        _ claim: Holds.Claim, for transaction: UInt64, of target: Int, ticket: UInt64
    ) {
        if target == number {
            return takeHold(claim, for: transaction, asker: number, ticket: ticket)
        }
        let headBytes = MemoryLayout<Message.Hold>.stride
        let size = headBytes + claim.keys.count * 8
        let message = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
        let start = unsafe message.baseAddress.unsafelyUnwrapped
        unsafe start.storeBytes(
            of: Message.Hold(
                transaction: transaction, ticket: ticket, isAll: claim.isAll,
                keyCount: UInt32(claim.keys.count)),
            as: Message.Hold.self)
        unsafe claim.keys.withUnsafeBytes { keys in
            unsafe UnsafeMutableRawBufferPointer(rebasing: message[headBytes...])
                .copyMemory(from: keys)
        }
        unsafe postCopy(UnsafeRawBufferPointer(message), to: target)
        unsafe message.deallocate()
    }

    mutating func askRelease(_ transaction: UInt64, of target: Int) {
        if target == number { return releaseHold(transaction) }
        var release = Message.Release(transaction: transaction)
        unsafe withUnsafeBytes(of: &release) { unsafe postCopy($0, to: target) }
    }

    // MARK: Granting

    mutating func receiveHold(_ message: UnsafeRawBufferPointer, from shard: Int) {
        let head = unsafe message.load(as: Message.Hold.self)
        let start = MemoryLayout<Message.Hold>.stride
        let keys = (0..<Int(head.keyCount)).map {
            unsafe message.load(fromByteOffset: start + $0 * 8, as: UInt64.self)
        }
        takeHold(
            Holds.Claim(keys: keys, isAll: head.isAll), for: head.transaction, asker: shard,
            ticket: head.ticket)
    }

    private mutating func takeHold(
        _ claim: Holds.Claim, for transaction: UInt64, asker: Int, ticket: UInt64
    ) {
        let state = unsafe resp
        if unsafe state.pointee.holds.blocks(claim) {
            return unsafe state.pointee.holds.wait(
                Holds.Waiting(
                    claim: claim, transaction: transaction, asker: asker, ticket: ticket,
                    message: nil))
        }
        unsafe state.pointee.holds.hold(claim, for: transaction)
        grant(asker, ticket)
    }

    private mutating func grant(_ asker: Int, _ ticket: UInt64) {
        unsafe postReply(
            UnsafeRawBufferPointer(start: nil, count: 0), telling: 0, to: asker, ticket: ticket)
    }

    mutating func releaseHold(_ transaction: UInt64) {
        let state = unsafe resp
        unsafe state.pointee.holds.release(transaction)
        unsafe state.pointee.undecided.removeAll { $0.id == transaction }
        // What goes on may be a transaction that ends at once, and so on for as many as wait.
        guard unsafe !state.pointee.isReleasing else { return }
        unsafe state.pointee.isReleasing = true
        defer { unsafe state.pointee.isReleasing = false }
        while let next = unsafe state.pointee.holds.next() {
            guard let message = unsafe next.message else {
                unsafe state.pointee.holds.hold(next.claim, for: next.transaction)
                grant(next.asker, next.ticket)
                continue
            }
            unsafe resp.pointee.passesHolds = true
            unsafe receive(UnsafeRawBufferPointer(message), from: next.asker)
            unsafe resp.pointee.passesHolds = false
            unsafe message.deallocate()
        }
    }

    // MARK: Waiting

    /// What a command concerns.
    mutating func claim(
        _ facts: CommandFacts, _ words: RESPWords, _ context: RESPContext
    ) -> Holds.Claim {
        var claim = Holds.Claim(keys: [], isAll: false)
        switch facts.command {
        case .keys, .dbsize, .flushdb, .flushall: claim.isAll = true
        case .object:
            if words.count == 3 {
                unsafe claim.keys.append(keyspace.hashing.hash(context.table, words[2]))
            }
        default:
            guard facts.firstKey > 0 else { break }
            let last = min(facts.lastKey(words.count), words.count - 1)
            for place in stride(from: Int(facts.firstKey), through: last, by: Int(facts.keyStep)) {
                let table =
                    facts.command == .copy && place == 2
                    ? copyTarget(words, context) ?? context.table : context.table
                unsafe claim.keys.append(keyspace.hashing.hash(table, words[place]))
            }
        }
        return claim
    }

    /// Whether a command of somebody else's has to wait for a transaction.
    mutating func mustWait(
        _ facts: CommandFacts, _ words: RESPWords, _ context: RESPContext
    ) -> Bool {
        let state = unsafe resp
        if unsafe state.pointee.passesHolds { return false }
        let claim = claim(facts, words, context)
        guard claim.isAll || !claim.keys.isEmpty else { return false }
        return unsafe state.pointee.holds.blocks(claim)
    }

    /// Whether a request over HTTP for a key has to wait.
    mutating func mustWait(_ hash: UInt64) -> Bool {
        let state = unsafe resp
        if unsafe state.pointee.passesHolds { return false }
        return unsafe state.pointee.holds.blocks(Holds.Claim(keys: [hash], isAll: false))
    }

    /// Keeps a message until what it concerns is free.
    mutating func putOff(
        _ message: UnsafeRawBufferPointer, _ claim: Holds.Claim, from shard: Int
    ) {
        let copy = UnsafeMutableRawBufferPointer.allocate(
            byteCount: message.count, alignment: 8)
        unsafe copy.copyMemory(from: message)
        let resp = unsafe resp
        unsafe resp.pointee.holds.wait(
            Holds.Waiting(
                claim: claim, transaction: 0, asker: shard, ticket: 0, message: copy))
    }
}
