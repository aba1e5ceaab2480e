import Keyspace
import Machine
import Wire

/// The table API over more than one key: lists, many keys at once, a table's settings.
extension Shard {
    /// `/{t}/keys` and `/{t}/store`.
    mutating func routeTable(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape, _ path: TablePath
    ) {
        switch request.method {
        case .get, .head: break
        case .post:
            return unsafe routeMany(
                index, request, shape, kind: path.kind == .keys ? .read : .store,
                table: path.table)
        case .options:
            return replyOptions(index, request, shape, allow: "GET, HEAD, POST, OPTIONS")
        default: return replyNotAllowed(index, shape, allow: "GET, HEAD, POST, OPTIONS")
        }
        var work = unsafe TableWork(kind: .get, table: 0, hash: 0, key: path.key)
        _ = identify(request, &work)
        let table = unsafe table(path.table, adding: false)
        var principal = RecordOwner.system
        if let table, tables[table].readRule != .open {
            if work.caller == .nobody {
                return replyError(
                    index, shape, .unauthorized, "A valid token is needed to read this table")
            }
            if tables[table].readRule == .owner, work.caller == .user { principal = work.principal }
        }
        // The path's own parts are not needed any more, so the scratch memory is free again.
        switch unsafe ListQuery.parse(
            request.queryItems, request.bytes, scratch: scratch, scratchBytes: Self.scratchBytes)
        {
        case .malformed(let sentence): replyError(index, shape, .badRequest, sentence)
        case .query(let query):
            unsafe beginListing(
                index, shape, table, path: request.rawPath, withRecords: path.kind == .store,
                principal: principal.rawValue, query)
        }
    }

    /// `/{t}`: what the table is set to, and the admin's way to set it.
    mutating func routeSettings(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape, _ path: TablePath
    ) {
        switch request.method {
        case .get, .head:
            guard let table = unsafe table(path.table, adding: false) else {
                return replyError(index, shape, .notFound, "There is no such table")
            }
            replySettings(index, shape, table)
        case .put:
            guard isAdmin(index, request, shape) else { return }
            switch unsafe TableSettingsBody.parse(request.body) {
            case .refused(let refusal):
                replyError(index, shape, .badRequest, refusal.sentence)
            case .settings(let settings):
                guard let table = unsafe table(path.table, adding: true) else {
                    return replyError(
                        index, shape, .insufficientStorage, "There are too many tables")
                }
                storeSettings(index, shape, table, settings)
            }
        case .options:
            replyOptions(index, request, shape, allow: "GET, HEAD, PUT, OPTIONS")
        default: replyNotAllowed(index, shape, allow: "GET, HEAD, PUT, OPTIONS")
        }
    }

    /// Whether the admin asks; anybody else has been answered.
    mutating func isAdmin(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape
    ) -> Bool {
        let nothing = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        var work = unsafe TableWork(kind: .put, table: 0, hash: 0, key: nothing)
        if !identify(request, &work) {
            replyError(index, shape, .unauthorized, "A valid token is needed for this")
            return false
        }
        if work.caller != .admin {
            replyError(index, shape, .forbidden, "Only the admin may do this")
            return false
        }
        return true
    }

    mutating func replySettings(
        _ index: UInt32, _ shape: ReplyShape, _ table: TableNumber
    ) {
        var writer = unsafe ByteWriter(scratch, capacity: Self.scratchBytes)
        unsafe TableSettingsBody.write(
            tables.name(table) ?? UnsafeRawBufferPointer(start: nil, count: 0),
            read: tables[table].readRule,
            consistency: tables[table].consistency, into: &writer)
        unsafe replyJSON(index, shape, UnsafeRawBufferPointer(writer.written))
    }
}
