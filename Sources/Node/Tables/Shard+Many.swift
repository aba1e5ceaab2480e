import Keyspace
import Machine
import Wire

/// A request about many keys under way: a walk over its body, so many keys at a time.
@safe struct Gather {
    enum Kind { case read, store }

    /// Keys asked about at a time: enough to keep the other shards busy, and a bound on what one
    /// request takes of the places for answers.
    static let windowMax = 256
    /// What an answer may hold; who asks for more is told to ask for fewer keys.
    static let answerBytesMax = 64 << 20

    let kind: Kind
    /// The connection's place for the answer.
    let ticket: UInt64
    let work: TableWork
    let body: UnsafeMutableRawBufferPointer
    let scratch: UnsafeMutablePointer<UInt8>
    var walk: ManyBody
    var walkEnded = false
    /// Items of the body that another with the same key follows: they are passed over. With the place
    /// of the item that comes next, and how many of these are before it.
    let overridden: [Int]
    var itemPlace = 0
    var passed = 0
    /// A put of many first asks every key's shard whether it may.
    var isChecking: Bool
    /// An item that found a mailbox full.
    var pending: (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)? = nil
    var inFlight = 0
    var stored = 0
    /// The last position that this shard's own part tells of.
    var position: CommitPosition = 0
    var refusal: (status: HTTPStatus, body: [UInt8])? = nil
    /// One text for each key of the window, in order.
    var window: [[UInt8]] = []
    var answer: [UInt8] = []
}

/// `POST /{t}/keys`, `POST /{t}/store` and `POST /`.
extension Shard {
    mutating func routeMany(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape, kind: Gather.Kind,
        table name: UnsafeRawBufferPointer
    ) {
        var work = unsafe TableWork(
            kind: kind == .read ? .get : .check, table: 0, hash: 0,
            key: UnsafeRawBufferPointer(start: nil, count: 0))
        let isKnown = identify(request, &work)
        if kind == .store, !isKnown {
            return replyError(index, shape, .unauthorized, "A valid token is needed for this")
        }
        if let type = unsafe request.field(.contentType), unsafe !Self.isJSON(type.bytes, .put) {
            return replyError(
                index, shape, .unsupportedMediaType, "The content type has to be JSON")
        }
        guard let table = unsafe table(name, adding: kind == .store) else {
            return kind == .store
                ? replyError(index, shape, .insufficientStorage, "There are too many tables")
                : replyError(index, shape, .notFound, "There is no such table")
        }
        work.table = table
        work.readRule = tables[table].readRule
        let body = unsafe UnsafeMutableRawBufferPointer.allocate(
            byteCount: request.body.count, alignment: 1)
        unsafe body.copyMemory(from: request.body)
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: ManyBody.scratchBytesMin)
        let walk = unsafe Self.walk(kind, body, room)
        let keyCount: Int
        switch walk.check() {
        case .success(let count): keyCount = count
        case .failure(let refusal):
            unsafe body.deallocate()
            unsafe room.deallocate()
            let status: HTTPStatus = refusal == .tooMany ? .contentTooLarge : .badRequest
            return replyError(index, shape, status, refusal.sentence)
        }
        let gather = UnsafeMutablePointer<Gather>.allocate(capacity: 1)
        unsafe gather.initialize(
            to: Gather(
                kind: kind, ticket: awaitAnswer(index, shape), work: work, body: body,
                scratch: room, walk: walk,
                overridden: walk.overridden(count: keyCount, hashing: keyspace.hashing),
                isChecking: kind == .store,
                answer: kind == .read ? [UInt8(ascii: "{")] : []))
        let connection = unsafe connections + Int(index)
        unsafe connection.pointee.flags.insert(.gathering)
        unsafe goOn(gather)
    }

    private static func walk(
        _ kind: Gather.Kind, _ body: UnsafeMutableRawBufferPointer,
        _ room: UnsafeMutablePointer<UInt8>
    ) -> ManyBody {
        let bytes = UnsafeRawBufferPointer(body)
        return switch kind {
        case .read:
            unsafe ManyBody.keys(bytes, scratch: room, scratchBytes: ManyBody.scratchBytesMin)
        case .store:
            unsafe ManyBody.store(bytes, scratch: room, scratchBytes: ManyBody.scratchBytesMin)
        }
    }

    /// Gathers that found a mailbox full go on with the next turn.
    mutating func resumeGathers() {
        guard unsafe !stalledGathers.isEmpty else { return }
        let stalled = unsafe stalledGathers
        unsafe stalledGathers = unsafe []
        for place in unsafe stalled.indices { unsafe goOn(stalled[place]) }
    }

    /// Asks about as many keys as the window allows; answers when all have been asked about.
    private mutating func goOn(_ gather: UnsafeMutablePointer<Gather>) {
        while true {
            while unsafe !gather.pointee.walkEnded, unsafe gather.pointee.refusal == nil,
                unsafe gather.pointee.window.count < Gather.windowMax
            {
                guard let item = unsafe nextItem(gather) else { break }
                guard unsafe ask(gather, item) else {
                    unsafe gather.pointee.pending = unsafe item
                    if unsafe gather.pointee.inFlight == 0 { unsafe stalledGathers.append(gather) }
                    return
                }
            }
            guard unsafe gather.pointee.inFlight == 0 else { return }
            for text in unsafe gather.pointee.window where !text.isEmpty {
                if unsafe gather.pointee.answer.count > 1 {
                    unsafe gather.pointee.answer.append(UInt8(ascii: ","))
                }
                unsafe gather.pointee.answer.append(contentsOf: text)
            }
            unsafe gather.pointee.window.removeAll(keepingCapacity: true)
            if unsafe gather.pointee.answer.count > Gather.answerBytesMax {
                unsafe gather.pointee.refusal = (
                    .contentTooLarge, Array("{\"error\":\"Ask for fewer keys at a time\"}".utf8)
                )
            }
            if unsafe gather.pointee.refusal != nil { return unsafe finish(gather) }
            guard unsafe gather.pointee.walkEnded else { continue }
            guard unsafe gather.pointee.isChecking else { return unsafe finish(gather) }
            unsafe gather.pointee.isChecking = false
            unsafe gather.pointee.walkEnded = false
            unsafe gather.pointee.itemPlace = 0
            unsafe gather.pointee.passed = 0
            unsafe gather.pointee.walk = unsafe Self.walk(
                gather.pointee.kind, gather.pointee.body, gather.pointee.scratch)
        }
    }

    private mutating func nextItem(
        _ gather: UnsafeMutablePointer<Gather>
    ) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)? {
        if let item = unsafe gather.pointee.pending {
            unsafe gather.pointee.pending = nil
            return unsafe item
        }
        while case .item(let key, let value) = unsafe gather.pointee.walk.next() {
            let place = unsafe gather.pointee.itemPlace
            unsafe gather.pointee.itemPlace += 1
            let passed = unsafe gather.pointee.passed
            guard unsafe passed < gather.pointee.overridden.count,
                unsafe gather.pointee.overridden[passed] == place
            else { return unsafe (key, value) }
            unsafe gather.pointee.passed += 1
        }
        unsafe gather.pointee.walkEnded = true
        return nil
    }

    /// False: the key's shard can't be asked now.
    private mutating func ask(
        _ gather: UnsafeMutablePointer<Gather>,
        _ item: (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)
    ) -> Bool {
        var work = unsafe gather.pointee.work
        if unsafe gather.pointee.kind == .store {
            work.kind = unsafe gather.pointee.isChecking ? .check : .put
            unsafe work.value = unsafe item.value
            if unsafe item.value.count > settings.valueBytesMax {
                unsafe gather.pointee.refusal = (
                    .contentTooLarge,
                    Array("{\"error\":\"A value is larger than may be stored\"}".utf8)
                )
                return true
            }
        }
        unsafe work.key = unsafe item.key
        work.hash = unsafe keyspace.hashing.hash(work.table, work.key)
        let slot = unsafe gather.pointee.window.count
        let target = unsafe shard(of: work.key, in: work.table)
        guard target != number else {
            unsafe gather.pointee.window.append(text(gather, work.key))
            let outcome = carryOut(work)
            unsafe gather.pointee.position = unsafe max(gather.pointee.position, outcome.position)
            let count = outcome.bodyCount(owners)
            let body = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 8)
            defer { unsafe body.deallocate() }
            if count > 0 {
                var writer = unsafe ByteWriter(
                    body.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self),
                    capacity: count)
                outcome.writeBody(owners, into: &writer)
            }
            unsafe heard(gather, slot, outcome.status, UnsafeRawBufferPointer(body))
            return true
        }
        guard awaited.hasFreeForRequest else { return false }
        let place = awaited.take(for: Connection.noBlock, [])
        unsafe awaited.places[Int(place)].gather = unsafe gather
        unsafe awaited.places[Int(place)].slot = UInt32(slot)
        guard post(work, to: target, ticket: awaited.ticket(place)) else {
            awaited.give(place)
            return false
        }
        unsafe gather.pointee.window.append(text(gather, work.key))
        unsafe gather.pointee.inFlight += 1
        return true
    }

    /// What precedes a record in the answer to a read; nothing for a store.
    private mutating func text(
        _ gather: UnsafeMutablePointer<Gather>, _ key: UnsafeRawBufferPointer
    ) -> [UInt8] {
        guard unsafe gather.pointee.kind == .read else { return [] }
        let count = unsafe JSONString.encodedCount(key)
        return unsafe Array(unsafeUninitializedCapacity: count + 1) { place, initialized in
            let room = unsafe UnsafeMutableRawBufferPointer(start: place.baseAddress, count: count)
            let written = unsafe JSONString.encode(key, into: room) ?? 0
            unsafe place[written] = UInt8(ascii: ":")
            initialized = written + 1
        }
    }

    /// An answer from another shard to a part of a gather.
    mutating func heardElsewhere(
        _ gather: UnsafeMutablePointer<Gather>, _ slot: Int, _ status: HTTPStatus,
        _ body: UnsafeRawBufferPointer
    ) {
        unsafe gather.pointee.inFlight -= 1
        unsafe heard(gather, slot, status, body)
        unsafe goOn(gather)
    }

    private mutating func heard(
        _ gather: UnsafeMutablePointer<Gather>, _ slot: Int, _ status: HTTPStatus,
        _ body: UnsafeRawBufferPointer
    ) {
        switch unsafe (gather.pointee.kind, status) {
        case (.read, .ok): unsafe gather.pointee.window[slot].append(contentsOf: body)
        case (.read, .notFound): unsafe gather.pointee.window[slot] = []
        case (.store, .ok): break
        case (.store, .created): unsafe gather.pointee.stored += 1
        default:
            // Of a store each key is for itself once all were allowed; the first refusal is told
            // only where nothing was stored at all.
            if unsafe gather.pointee.isChecking || gather.pointee.kind == .read
                || gather.pointee.stored == 0
            {
                unsafe gather.pointee.refusal = unsafe (status, Array(body))
            }
        }
    }

    private mutating func finish(_ gather: UnsafeMutablePointer<Gather>) {
        if let place = unsafe awaited.place(of: gather.pointee.ticket),
            case let index = unsafe awaited.places[Int(place)].connection,
            index != Connection.noBlock
        {
            let connection = unsafe connections + Int(index)
            unsafe connection.pointee.flags.remove(.gathering)
        }
        var status = HTTPStatus.ok
        if let refusal = unsafe gather.pointee.refusal {
            status = refusal.status
            unsafe gather.pointee.answer = refusal.body
        } else if unsafe gather.pointee.kind == .store {
            unsafe gather.pointee.answer = Array(
                unsafe "{\"stored\":\(gather.pointee.stored)}".utf8)
        } else {
            unsafe gather.pointee.answer.append(UInt8(ascii: "}"))
        }
        // What this shard did itself may have to wait for the disk.
        if unsafe commitPoint.mustHold(gather.pointee.position) {
            unsafe gather.pointee.answer.withUnsafeBytes { body in
                unsafe holdAnswer(
                    status, body, telling: gather.pointee.position, to: number,
                    ticket: gather.pointee.ticket)
            }
        } else {
            unsafe deliver(gather.pointee.ticket) { shard, index, shape in
                if unsafe gather.pointee.position > 0 {
                    let connection = unsafe shard.connections + Int(index)
                    unsafe connection.pointee.toldTurn = shard.turn
                }
                unsafe gather.pointee.answer.withUnsafeBytes { body in
                    unsafe shard.replyAnswer(index, shape, status, tag: nil, .none, body)
                }
            }
        }
        unsafe gather.pointee.body.deallocate()
        unsafe gather.pointee.scratch.deallocate()
        unsafe gather.deinitialize(count: 1)
        unsafe gather.deallocate()
    }
}
