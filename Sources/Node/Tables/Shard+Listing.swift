import Glibc
import Keyspace
import Machine
import Wire

/// `GET /{t}/keys` and `GET /{t}/store`: a merge of all shards' records in the order of keys, a
/// page of each at a time, produced as fast as the reader takes it.
extension Shard {
    mutating func beginListing(
        _ index: UInt32, _ shape: ReplyShape, _ table: TableNumber?, path: UnsafeRawBufferPointer,
        withRecords: Bool, principal: UInt32, _ query: ListQuery,
        for question: SocketQuestion? = nil
    ) {
        guard let table else {
            return replyError(index, shape, .notFound, "There is no such table")
        }
        guard unsafe !connections[Int(index)].flags.contains(.diverted) else {
            return replyError(
                index, shape, .serviceUnavailable, "A listing can't wait behind other requests")
        }
        listingSerial &+= 1
        let shards = unsafe state.pointee.shardCount
        let listing = UnsafeMutablePointer<Listing>.allocate(capacity: 1)
        unsafe listing.initialize(
            to: Listing(
                table: table, withRecords: withRecords, isConfigured: tables[table].isConfigured,
                principal: principal, shape: shape, serial: listingSerial,
                path: Self.copy(path), prefix: Self.copy(query.prefix),
                after: Self.copy(query.after),
                limit: query.limit == ListQuery.unlimited ? 0 : query.limit, left: query.limit,
                pages: Array(repeating: ListingPage(), count: shards),
                isAsked: Array(repeating: false, count: shards), question: question))
        let connection = unsafe connections + Int(index)
        if case .webSocket(let session) = unsafe connection.pointee.session {
            unsafe session.pointee.listing = unsafe listing
        } else {
            unsafe connection.pointee.phase = .streaming
            unsafe connection.pointee.stream = unsafe .listing(listing)
        }
        unsafe goOnListing(index, listing)
    }

    /// The listing under way on a connection.
    mutating func listing(of index: UInt32) -> UnsafeMutablePointer<Listing>? {
        let connection = unsafe connections + Int(index)
        if case .listing(let listing) = unsafe connection.pointee.stream { return unsafe listing }
        if case .webSocket(let session) = unsafe connection.pointee.session {
            return unsafe session.pointee.listing
        }
        return nil
    }

    private static func copy(_ bytes: UnsafeRawBufferPointer) -> UnsafeMutableRawBufferPointer {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        unsafe copy.copyMemory(from: bytes)
        return unsafe copy
    }

    /// Goes on as far as pages and the reader allow.
    mutating func goOnListing(_ index: UInt32, _ listing: UnsafeMutablePointer<Listing>) {
        guard unsafe fillPages(index, listing) else { return }
        if unsafe listing.pointee.stage == .begun, unsafe !answerBegins(index, listing) { return }
        let connection = unsafe connections + Int(index)
        // What is gathered first takes no room of the connection's.
        let isMessage = unsafe listing.pointee.question != nil
        while unsafe isMessage || connection.pointee.blockCount < ShardSettings.streamBlocksMax {
            guard isMessage || hasReplyRoom(index) else { return makeRunnable(index) }
            guard unsafe fillPages(index, listing) else { return }
            guard let source = unsafe smallest(listing), unsafe listing.pointee.left > 0,
                unsafe !isFull(listing)
            else {
                return unsafe endListing(index, listing)
            }
            let entry = unsafe listing.pointee.pages[source].first
            let comma: StaticString = unsafe listing.pointee.written > 0 ? "," : ""
            let separator = unsafe UnsafeRawBufferPointer(
                start: comma.utf8Start, count: comma.utf8CodeUnitCount)
            guard unsafe say(index, listing, separator), unsafe say(index, listing, entry.text)
            else {
                return close(index)
            }
            if unsafe listing.pointee.limit > 0 {
                unsafe listing.pointee.lastKey = unsafe Array(entry.key)
            }
            unsafe listing.pointee.pages[source].dropFirst()
            unsafe listing.pointee.written += 1
            unsafe listing.pointee.left -= 1
        }
    }

    /// Asks for the next page of every shard whose last one is used up. True: none is missing.
    private mutating func fillPages(
        _ index: UInt32, _ listing: UnsafeMutablePointer<Listing>
    ) -> Bool {
        var isComplete = true
        for shard in unsafe 0..<state.pointee.shardCount {
            // An empty page that is not the last had only records nobody may see.
            while unsafe listing.pointee.pages[shard].isEmpty,
                unsafe !listing.pointee.pages[shard].isLast
            {
                if unsafe listing.pointee.isAsked[shard] {
                    isComplete = false
                    break
                }
                let before = unsafe listing.pointee.pages[shard].lastKey
                let after =
                    unsafe before.isEmpty ? UnsafeRawBufferPointer(listing.pointee.after) : before
                if shard == number {
                    var next = unsafe makePage(
                        listing.pointee.table,
                        prefix: UnsafeRawBufferPointer(listing.pointee.prefix),
                        after: after, withRecords: listing.pointee.withRecords,
                        principal: listing.pointee.principal)
                    unsafe swap(&next, &listing.pointee.pages[shard])
                    next.release()
                } else {
                    if unsafe postList(index, listing, after: after, to: shard) {
                        unsafe listing.pointee.isAsked[shard] = true
                    } else {
                        makeRunnable(index)
                    }
                    isComplete = false
                    break
                }
            }
        }
        return isComplete
    }

    private mutating func smallest(_ listing: UnsafeMutablePointer<Listing>) -> Int? {
        var best: Int? = nil
        for shard in unsafe 0..<listing.pointee.pages.count
        where unsafe !listing.pointee.pages[shard].isEmpty {
            guard let other = best else {
                best = shard
                continue
            }
            if unsafe listing.pointee.pages[shard].first.key
                .lexicographicallyPrecedes(listing.pointee.pages[other].first.key)
            {
                best = shard
            }
        }
        return best
    }

    private mutating func isFull(_ listing: UnsafeMutablePointer<Listing>) -> Bool {
        unsafe listing.pointee.stage == .gathering
            && listing.pointee.gathered.count >= Listing.gatheredBytesMax
    }

    // MARK: The answer

    /// Says whether there is such a table, and the head of the answer if it is streamed.
    private mutating func answerBegins(
        _ index: UInt32, _ listing: UnsafeMutablePointer<Listing>
    ) -> Bool {
        let shape = unsafe listing.pointee.shape
        var total = 0
        for page in unsafe listing.pointee.pages { total += page.tableCount }
        if total == 0, unsafe !listing.pointee.isConfigured {
            let question = unsafe listing.pointee.question
            dropListing(index)
            guard let question else {
                replyError(index, shape, .notFound, "There is no such table")
                return false
            }
            unsafe question.withID {
                unsafe sayError(index, id: $0, .notFound, "There is no such table")
            }
            return false
        }
        guard unsafe listing.pointee.limit == 0 else {
            unsafe listing.pointee.stage = .gathering
            unsafe listing.pointee.gathered = unsafe [
                UInt8(ascii: listing.pointee.withRecords ? "{" : "[")
            ]
            return true
        }
        unsafe listing.pointee.stage = .streaming
        let isFramed = !shape.contains(.version10)
        let connection = unsafe connections + Int(index)
        if !isFramed { unsafe connection.pointee.flags.formUnion([.unframed, .closeAfterReply]) }
        var writer = beginReply(index, isFramed ? shape : shape.union(.closes), .ok)
        HTTPReplyHead.field("Content-Type", "application/json", into: &writer)
        if isFramed { HTTPReplyHead.framing(.chunked, into: &writer) }
        HTTPReplyHead.finish(into: &writer)
        commit(index, writer)
        if shape.contains(.headOnly) {
            dropListing(index)
            return false
        }
        let opening: StaticString = unsafe listing.pointee.withRecords ? "{" : "["
        return unsafe say(
            index, listing,
            UnsafeRawBufferPointer(start: opening.utf8Start, count: opening.utf8CodeUnitCount))
    }

    private mutating func say(
        _ index: UInt32, _ listing: UnsafeMutablePointer<Listing>, _ bytes: UnsafeRawBufferPointer
    ) -> Bool {
        if unsafe bytes.isEmpty { return true }
        if unsafe listing.pointee.stage == .gathering {
            unsafe listing.pointee.gathered.append(contentsOf: bytes)
            return true
        }
        guard unsafe !connections[Int(index)].flags.contains(.unframed) else {
            _ = writer(index)
            return unsafe append(index, bytes)
        }
        var head = writer(index)
        HTTPChunkWriter.head(bytes.count, into: &head)
        commit(index, head)
        guard unsafe append(index, bytes), hasReplyRoom(index) else { return false }
        var tail = writer(index)
        HTTPChunkWriter.tail(into: &tail)
        commit(index, tail)
        return true
    }

    private mutating func endListing(
        _ index: UInt32, _ listing: UnsafeMutablePointer<Listing>
    ) {
        let closing: StaticString = unsafe listing.pointee.withRecords ? "}" : "]"
        guard
            unsafe say(
                index, listing,
                UnsafeRawBufferPointer(start: closing.utf8Start, count: closing.utf8CodeUnitCount)),
            hasReplyRoom(index)
        else { return close(index) }
        if unsafe listing.pointee.stage == .gathering {
            guard unsafe sendGathered(index, listing) else { return close(index) }
        } else if unsafe !connections[Int(index)].flags.contains(.unframed) {
            var writer = writer(index)
            HTTPChunkWriter.last(into: &writer)
            commit(index, writer)
        }
        dropListing(index)
    }

    /// A page with its length, and where the next one is found if there is more.
    private mutating func sendGathered(
        _ index: UInt32, _ listing: UnsafeMutablePointer<Listing>
    ) -> Bool {
        if let question = unsafe listing.pointee.question {
            let hasMore = unsafe smallest(listing) != nil
            return unsafe listing.pointee.gathered.withUnsafeBytes { keys in
                unsafe listing.pointee.lastKey.withUnsafeBytes { last in
                    unsafe sayKeys(question, keys, last: hasMore ? last : nil)
                }
            }
        }
        let shape = unsafe listing.pointee.shape
        var writer = beginReply(index, shape, .ok)
        HTTPReplyHead.field("Content-Type", "application/json", into: &writer)
        unsafe HTTPReplyHead.framing(.length(UInt64(listing.pointee.gathered.count)), into: &writer)
        if unsafe smallest(listing) != nil {
            HTTPReplyHead.begin("Link", into: &writer)
            commit(index, writer)
            guard unsafe appendLink(index, listing) else { return false }
            writer = self.writer(index)
        }
        HTTPReplyHead.finish(into: &writer)
        commit(index, writer)
        if shape.contains(.headOnly) { return true }
        return unsafe listing.pointee.gathered.withUnsafeBytes { unsafe append(index, $0) }
    }

    private mutating func appendLink(
        _ index: UInt32, _ listing: UnsafeMutablePointer<Listing>
    ) -> Bool {
        var query = ListQuery()
        unsafe query.prefix = unsafe UnsafeRawBufferPointer(listing.pointee.prefix)
        query.limit = unsafe listing.pointee.limit
        let path = unsafe UnsafeRawBufferPointer(listing.pointee.path)
        var writer = unsafe ByteWriter(scratch, capacity: Self.scratchBytes)
        unsafe listing.pointee.lastKey.withUnsafeBytes { last in
            unsafe query.writeLink(path: path, last: last, into: &writer)
        }
        return unsafe append(index, UnsafeRawBufferPointer(writer.written)) && hasReplyRoom(index)
    }

    /// Ends a listing, whether it came to its end or its reader went away.
    mutating func dropListing(_ index: UInt32) {
        let connection = unsafe connections + Int(index)
        guard let listing = unsafe listing(of: index) else { return }
        if case .webSocket(let session) = unsafe connection.pointee.session {
            unsafe session.pointee.listing = nil
        } else {
            unsafe connection.pointee.stream = .none
        }
        if unsafe connection.pointee.phase == .streaming { unsafe connection.pointee.phase = .head }
        for shard in unsafe 0..<listing.pointee.pages.count {
            unsafe listing.pointee.pages[shard].release()
        }
        unsafe listing.pointee.path.deallocate()
        unsafe listing.pointee.prefix.deallocate()
        unsafe listing.pointee.after.deallocate()
        unsafe listing.deinitialize(count: 1)
        unsafe listing.deallocate()
    }

    // MARK: Pages

    /// A page of this shard's own records.
    private mutating func makePage(
        _ table: TableNumber, prefix: UnsafeRawBufferPointer, after: UnsafeRawBufferPointer,
        withRecords: Bool, principal: UInt32
    ) -> ListingPage {
        var page = ListingPage()
        page.tableCount = keyspace.count(of: table)
        var way = unsafe keyspace.list(
            table, prefix: prefix, after: after, steps: ListingPage.stepsMax)
        while !page.isFull, let record = keyspace.next(&way, at: wallMs) {
            guard principal == Principal.system.rawValue || record.owner.rawValue == principal
            else { continue }
            let keyCount = unsafe LooseText.byteCount(record.key)
            let owner = unsafe owners.name(of: record.owner.rawValue)
            let recordCount =
                unsafe withRecords ? RecordText.byteCount(record, owner: owner) + 1 : 0
            unsafe page.add(record.key, textCount: keyCount + recordCount) { writer in
                unsafe LooseText.write(record.key, into: &writer)
                guard withRecords else { return }
                writer.write(byte: UInt8(ascii: ":"))
                unsafe RecordText.write(record, owner: owner, into: &writer)
            }
        }
        page.isLast = way.isAtEnd
        if let last = way.last { unsafe page.end(after: last.key) }
        return page
    }

    private mutating func postList(
        _ index: UInt32, _ listing: UnsafeMutablePointer<Listing>, after: UnsafeRawBufferPointer,
        to target: Int
    ) -> Bool {
        let size =
            unsafe MemoryLayout<Message.List>.size + listing.pointee.prefix.count + after.count
        guard let place = unsafe mailbox(to: target).reserve(size) else { return false }
        unsafe place.storeBytes(
            of: Message.List(
                connection: index, serial: listing.pointee.serial, table: listing.pointee.table,
                withRecords: listing.pointee.withRecords, principal: listing.pointee.principal,
                prefixCount: UInt32(listing.pointee.prefix.count), afterCount: UInt32(after.count)),
            as: Message.List.self)
        let names = unsafe place + MemoryLayout<Message.List>.size
        let prefix = unsafe UnsafeRawBufferPointer(listing.pointee.prefix)
        unsafe UnsafeMutableRawBufferPointer(start: names, count: prefix.count).copyMemory(
            from: prefix)
        unsafe UnsafeMutableRawBufferPointer(start: names + prefix.count, count: after.count)
            .copyMemory(from: after)
        return true
    }

    mutating func receiveList(_ message: UnsafeRawBufferPointer, from shard: Int) {
        let head = unsafe message.load(as: Message.List.self)
        let start = MemoryLayout<Message.List>.size
        let middle = start + Int(head.prefixCount)
        let page = unsafe makePage(
            head.table, prefix: UnsafeRawBufferPointer(rebasing: message[start..<middle]),
            after: UnsafeRawBufferPointer(
                rebasing: message[middle..<middle + Int(head.afterCount)]),
            withRecords: head.withRecords, principal: head.principal)
        let answer = Message.Page(connection: head.connection, serial: head.serial, page: page)
        unsafe withUnsafeBytes(of: answer) { unsafe postCopy($0, to: shard) }
    }

    mutating func receivePage(_ message: UnsafeRawBufferPointer, from shard: Int) {
        let head = unsafe message.load(as: Message.Page.self)
        var page = head.page
        guard Int(head.connection) < slotCount,
            let listing = unsafe listing(of: head.connection),
            unsafe listing.pointee.serial == head.serial
        else { return page.release() }
        unsafe listing.pointee.pages[shard].release()
        unsafe listing.pointee.pages[shard] = page
        unsafe listing.pointee.isAsked[shard] = false
        unsafe goOnListing(head.connection, listing)
        advance(head.connection)
    }
}
