import Identity
import Keyspace
import Machine
import Wire

/// The node's own records: written to the shard of their key as a user's are.
extension Shard {
    /// Writes a record of the node's own. The answer comes to a place of its own, which `note` marks
    /// with what it is for. False: there is no room to ask.
    mutating func store(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, in table: TableNumber,
        onlyNew: Bool, _ note: (UnsafeMutablePointer<Awaited>) -> Void
    ) -> Bool {
        guard awaited.hasFree else { return false }
        let place = awaited.take(for: Connection.noBlock, [])
        unsafe note(awaited.places + Int(place))
        if unsafe store(key, value, in: table, onlyNew: onlyNew, ticket: awaited.ticket(place)) {
            return true
        }
        awaited.give(place)
        return false
    }

    /// Writes down what a user is called, for when the node is started again: their token may have been
    /// signed elsewhere, so that there is no account of theirs here. Nobody waits for it.
    mutating func storeOwner(_ id: Identifier, _ name: UserName) {
        var key: [UInt8] = []
        id.append(to: &key)
        var value = [UInt8(ascii: "\"")]
        name.append(to: &value)
        value.append(UInt8(ascii: "\""))
        unsafe key.withUnsafeBytes { key in
            unsafe value.withUnsafeBytes { value in
                _ = unsafe store(
                    key, value, in: ReservedTable.owners, onlyNew: true,
                    ticket: AwaitedPool.noTicket)
            }
        }
    }

    /// The same, for the answer to a ticket.
    mutating func store(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, in table: TableNumber,
        onlyNew: Bool, ticket: UInt64
    ) -> Bool {
        let any: StaticString = "*"
        let work = unsafe TableWork(
            kind: .put, caller: .admin, table: table, hash: keyspace.hashing.hash(table, key),
            principal: .system, key: key, value: value,
            ifNoneMatch: onlyNew
                ? UnsafeRawBufferPointer(start: any.utf8Start, count: any.utf8CodeUnitCount) : nil)
        let target = unsafe shard(of: key, in: table)
        guard target == number else { return post(work, to: target, ticket: ticket) }
        postAnswer(carryOut(work), to: number, ticket: ticket)
        return true
    }
}

extension Shard {
    // MARK: What tables are set to

    /// Stores what the admin sets for a table; it holds, and is answered, when the disk has it.
    mutating func storeSettings(
        _ index: UInt32, _ shape: ReplyShape, _ table: TableNumber,
        _ settings: TableSettingsBody.Settings
    ) {
        var info = tables[table]
        settings.apply(to: &info)
        var room = InlineArray<128, UInt8>(repeating: 0)
        var span = room.mutableSpan
        let ticket = awaitAnswer(index, shape)
        if let place = awaited.place(of: ticket) {
            unsafe awaited.places[Int(place)].settings = (table, settings)
        }
        let isPosted = unsafe span.withUnsafeMutableBufferPointer { place in
            var writer = unsafe ByteWriter(
                place.baseAddress.unsafelyUnwrapped, capacity: place.count)
            TableSettingsBody.writeStored(info, into: &writer)
            let name = unsafe tables.name(table) ?? UnsafeRawBufferPointer(start: nil, count: 0)
            return unsafe store(
                name, UnsafeRawBufferPointer(writer.written), in: ReservedTable.settings,
                onlyNew: false, ticket: ticket)
        }
        if !isPosted {
            deliver(ticket) { shard, index, shape in
                shard.replyError(
                    index, shape, .serviceUnavailable, "The table's shard has too much to do")
            }
        }
    }

    /// The disk has a table's settings: from now on they hold.
    mutating func settingsStored(
        _ ticket: UInt64, _ table: TableNumber, _ settings: TableSettingsBody.Settings
    ) {
        registry.change(table) { settings.apply(to: &$0) }
        registry.update(&tables)
        deliver(ticket) { shard, index, shape in shard.replySettings(index, shape, table) }
    }
}
