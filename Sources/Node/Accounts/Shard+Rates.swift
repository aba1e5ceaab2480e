import Glibc
import Identity
import Keyspace
import Machine
import Wire

/// Holding requests to `--rate`, before anything else is done for them.
extension Shard {
    /// Counts the request whose head is understood, and answers it where it is one too many: then the
    /// result is how many bytes it was.
    ///
    /// Nothing of a body that has still to come is read: the connection ends with the answer.
    @inline(never)
    mutating func refuseOverRate(_ index: UInt32, _ raw: UnsafeRawBufferPointer) -> Int? {
        let connection = unsafe connections + Int(index)
        guard let rates, !isLoading, unsafe !connection.pointee.flags.contains(.refused) else {
            return nil
        }
        let nothing = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        let request = unsafe Request(head: head, bytes: raw, body: nothing)
        guard isCounted(request) else { return nil }
        let verdict = rates.take(subject(of: request, index), nowNs: turnStartNs)
        if verdict.allowed { return nil }

        var used = unsafe Int(head.pointee.headByteCount)
        switch unsafe head.pointee.body {
        case .none: break
        case .length(let length) where length <= UInt64(raw.count - used): used += Int(length)
        case .length, .chunked:
            unsafe connection.pointee.flags.insert(.closeAfterReply)
            used = raw.count
        }
        var shape = shape(index, request)
        if unsafe connection.pointee.flags.contains(.closeAfterReply) { shape.insert(.closes) }
        if asksForStream(request) {
            // Browsers never come back to a stream that was answered anything but 200.
            replyFarewell(index, shape)
        } else {
            var writer = beginReply(index, shape, .tooManyRequests)
            HTTPReplyHead.field("Retry-After", decimal: verdict.retryAfterS, into: &writer)
            HTTPReplyHead.field("RateLimit-Limit", decimal: verdict.limit, into: &writer)
            HTTPReplyHead.field("RateLimit-Remaining", decimal: verdict.remaining, into: &writer)
            HTTPReplyHead.field("RateLimit-Reset", decimal: verdict.resetS, into: &writer)
            finishError(index, shape, Self.overRate, writer)
        }
        return used
    }

    /// Counts an operation on `/ws`. False: it is one too many.
    @inline(never)
    mutating func mayAsk(_ session: UnsafeMutablePointer<WebSocketSession>) -> Bool {
        guard let rates else { return true }
        let (caller, owner) = unsafe session.pointee.caller(atS: wallMs / 1000)
        let subject: RateSubject =
            caller == .nobody
            ? unsafe .address(session.pointee.address)
            : .user(owners.identifier(of: owner.rawValue))
        return rates.take(subject, nowNs: turnStartNs).allowed
    }

    static var overRate: StaticString {
        "These are more requests than one user or address may make"
    }

    /// Probes are not counted, nor is a browser's question whether it may ask.
    private mutating func isCounted(_ request: borrowing Request) -> Bool {
        let path = request.path
        return request.method != .options
            && !(path.equals("/health") || path.equals("/ready") || path.equals("/metrics"))
    }

    private mutating func subject(of request: borrowing Request, _ index: UInt32) -> RateSubject {
        if let authorization = unsafe request.field(.authorization),
            case .user(let principal) = unsafe authenticator.caller(
                authorization: authorization.bytes, apiKey: nil, nowS: wallMs / 1000,
                owners: owners)
        {
            if let met = authenticator.takeNewOwner() { storeOwner(met.id, met.name) }
            return .user(principal.user)
        }
        return .address(client(of: request, from: PeerAddress.of(driver.fd(of: index))))
    }
}
