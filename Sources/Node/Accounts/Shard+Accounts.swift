import Glibc
import Identity
import Machine
import Wire

extension Message {
    /// A login for the desk, behind it the name and the secret.
    struct Login {
        var kind = Kind.login
        var ticket: UInt64
        var address: IPAddress
        var nameCount: UInt32
        var secretCount: UInt32
        /// Whether a name that nobody has is refused rather than given to the asker.
        var onlyKnown: Bool
    }

    /// Whoever asked with this ticket is gone.
    struct ForgetLogin {
        var kind = Kind.forgetLogin
        var ticket: UInt64
    }
}

/// `POST /auth/{user}`: who asks on any shard is brought before the one desk, on the first shard,
/// and the desk's answer, which may have to wait for a password hash, back to the asker's place.
extension Shard {
    /// Askers are numbered by their shard and the place that waits for the answer.
    struct Asker {
        let shard: Int
        let ticket: UInt64

        init(shard: Int, ticket: UInt64) {
            self.shard = shard
            self.ticket = ticket
        }

        /// A place's number takes 16 bits of a ticket, its serial 32.
        var number: UInt64 {
            UInt64(shard) << 48 | (ticket >> 32) << 16 | ticket & 0xffff
        }

        init(number: UInt64) {
            shard = Int(number >> 48)
            ticket = (number >> 16 & 0xffff_ffff) << 32 | number & 0xffff
        }
    }

    /// A secret has at most 1,024 bytes, each of which may be written as six.
    private static var secretTextBytesMax: Int { 6 * 1024 + 2 }

    mutating func routeLogin(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape,
        user: UnsafeRawBufferPointer
    ) {
        switch request.method {
        case .post: break
        case .options: return replyOptions(index, request, shape, allow: "POST, OPTIONS")
        default: return replyNotAllowed(index, shape, allow: "POST, OPTIONS")
        }
        if let type = unsafe request.field(.contentType), unsafe !Self.isJSON(type.bytes, .put) {
            return replyError(
                index, shape, .unsupportedMediaType, "The content type has to be JSON")
        }
        var room = unsafe ByteWriter(scratch, capacity: Self.scratchBytes)
        guard unsafe Percent.decode(user.bytes, as: .path, into: &room) != nil else {
            return replyError(index, shape, .badRequest, "The name is malformed")
        }
        let name = unsafe UnsafeRawBufferPointer(room.written)
        guard case .found(let range) = unsafe JSONScanner.find("secret", in: request.body),
            case let raw = unsafe UnsafeRawBufferPointer(rebasing: request.body[range]),
            unsafe JSONKind(of: raw) == .string
        else {
            return replyError(
                index, shape, .badRequest, "The body has to be an object with a string secret")
        }
        let place = unsafe UnsafeMutableRawBufferPointer(
            start: scratch + name.count, count: Self.scratchBytes - name.count)
        guard raw.count <= Self.secretTextBytesMax,
            let count = unsafe JSONString.decode(raw, into: place)
        else { return replyError(index, shape, .badRequest, "A secret is 1 to 1024 bytes") }
        let secret = unsafe UnsafeRawBufferPointer(
            rebasing: UnsafeRawBufferPointer(place)[..<count])
        let address = client(of: request, from: PeerAddress.of(driver.fd(of: index)))

        let ticket = awaitAnswer(index, shape)
        // Whichever way it goes on from here, it has a copy of the secret.
        defer { unsafe explicit_bzero(scratch + name.count, count) }
        if unsafe !askDesk(name, secret, from: address, ticket: ticket, onlyKnown: false) {
            deliver(ticket) { shard, index, shape in
                shard.replyError(
                    index, shape, .serviceUnavailable, "Too many logins are under way")
            }
        }
    }

    /// Whom the throttle and `--rate` count: the peer, or, where it is a proxy whose word we take, whom
    /// it names.
    mutating func client(of request: borrowing Request, from peer: IPAddress) -> IPAddress {
        guard trustedProxies.contains(peer) else { return peer }
        var walk = ForwardedAddress(peer: peer, trusted: trustedProxies)
        // Lines are heard from the last to the first, and can only be found from the first on. A head
        // has a hundred of them at most.
        var lines: [(isPlain: Bool, value: ByteRange)] = []
        var rest = request.fieldLines
        while let line = unsafe rest.next(in: request.bytes.bytes) {
            let name = request.slice(line.name)
            if name.equalsIgnoringCase("x-forwarded-for") { lines.append((true, line.value)) }
            if name.equalsIgnoringCase("forwarded") { lines.append((false, line.value)) }
        }
        for line in lines.reversed() {
            let value = request.slice(line.value)
            if line.isPlain {
                walk.hear(xForwardedFor: value, trusted: trustedProxies)
            } else {
                walk.hear(forwarded: value, trusted: trustedProxies)
            }
        }
        return walk.client
    }

    /// Brings a name and a secret before the desk, wherever that is. False: its mailbox is full.
    mutating func askDesk(
        _ name: UnsafeRawBufferPointer, _ secret: UnsafeRawBufferPointer, from address: IPAddress,
        ticket: UInt64, onlyKnown: Bool
    ) -> Bool {
        if let place = awaited.place(of: ticket) {
            unsafe awaited.places[Int(place)].isLogin = true
        }
        if unsafe desk != nil {
            unsafe login(
                name, secret, from: address, asker: Asker(shard: number, ticket: ticket),
                onlyKnown: onlyKnown)
            return true
        }
        return unsafe post(name, secret, from: address, ticket: ticket, onlyKnown: onlyKnown)
    }

    /// A connection with a login under way is gone: a password is not hashed for nobody.
    mutating func forgetLogin(_ ticket: UInt64) {
        if unsafe desk != nil { return forgetLogin(Asker(shard: number, ticket: ticket)) }
        var message = Message.ForgetLogin(ticket: ticket)
        unsafe withUnsafeBytes(of: &message) { unsafe postCopy($0, to: 0) }
    }

    mutating func forgetLogin(_ asker: Asker) {
        guard let desk = unsafe desk else { return }
        unsafe desk.pointee.forget(asker: asker.number)
    }

    // MARK: The desk's side

    private mutating func login(
        _ name: UnsafeRawBufferPointer, _ secret: UnsafeRawBufferPointer, from address: IPAddress,
        asker: Asker, onlyKnown: Bool
    ) {
        guard let desk = unsafe desk else { return }
        let answer = unsafe desk.pointee.login(
            name: name, secret: secret, from: address, asker: asker.number,
            onlyKnown: onlyKnown, nowMs: UInt64(wallMs), monotonicNs: Clock.monotonicNs())
        if let answer { deliver(answer, to: asker) }
        storeAccounts()
    }

    /// Hands out what the password worker has decided since.
    mutating func readLogins() {
        guard let desk = unsafe desk, unsafe desk.pointee.hasWork else { return }
        while let (asker, answer) = unsafe desk.pointee.nextAnswer(
            nowMs: UInt64(wallMs), monotonicNs: Clock.monotonicNs())
        {
            deliver(answer, to: Asker(number: asker))
        }
        storeAccounts()
    }

    /// Brings new accounts to the shards that keep them. The desk hears of each when the disk has
    /// it.
    private mutating func storeAccounts() {
        guard let desk = unsafe desk else { return }
        while let (serial, account) = unsafe desk.pointee.nextToStore() {
            var name: [UInt8] = []
            account.name.append(to: &name)
            let isPosted = unsafe name.withUnsafeBytes { key in
                unsafe account.encoded.withUnsafeBytes { value in
                    unsafe store(key, value, in: ReservedTable.accounts, onlyNew: true) {
                        unsafe $0.pointee.account = serial
                    }
                }
            }
            if !isPosted { accountStored(serial, .serviceUnavailable) }
        }
    }

    /// The store has an account, or refuses it.
    mutating func accountStored(_ serial: UInt64, _ status: HTTPStatus) {
        guard let desk = unsafe desk else { return }
        if let (asker, answer) = unsafe desk.pointee.storeEnded(
            serial, isStored: status == .created, nowMs: UInt64(wallMs))
        {
            deliver(answer, to: Asker(number: asker))
        }
        // Others may have waited for this name.
        readLogins()
    }

    mutating func receiveLogin(_ message: UnsafeRawBufferPointer, from shard: Int) {
        let head = unsafe message.load(as: Message.Login.self)
        let start = MemoryLayout<Message.Login>.size
        let middle = start + Int(head.nameCount)
        unsafe login(
            UnsafeRawBufferPointer(rebasing: message[start..<middle]),
            UnsafeRawBufferPointer(rebasing: message[middle..<middle + Int(head.secretCount)]),
            from: head.address, asker: Asker(shard: shard, ticket: head.ticket),
            onlyKnown: head.onlyKnown)
        // The mailbox's memory is written over only when the ring comes round.
        unsafe explicit_bzero(
            UnsafeMutableRawPointer(mutating: message.baseAddress.unsafelyUnwrapped) + middle,
            Int(head.secretCount))
    }

    private mutating func post(
        _ name: UnsafeRawBufferPointer, _ secret: UnsafeRawBufferPointer, from address: IPAddress,
        ticket: UInt64, onlyKnown: Bool
    ) -> Bool {
        let size = MemoryLayout<Message.Login>.size + name.count + secret.count
        guard let place = unsafe mailbox(to: 0).reserve(size) else { return false }
        unsafe place.storeBytes(
            of: Message.Login(
                ticket: ticket, address: address, nameCount: UInt32(name.count),
                secretCount: UInt32(secret.count), onlyKnown: onlyKnown),
            as: Message.Login.self)
        let names = unsafe place + MemoryLayout<Message.Login>.size
        unsafe UnsafeMutableRawBufferPointer(start: names, count: name.count).copyMemory(from: name)
        unsafe UnsafeMutableRawBufferPointer(start: names + name.count, count: secret.count)
            .copyMemory(from: secret)
        return true
    }

    private mutating func deliver(_ answer: LoginAnswer, to asker: Asker) {
        tally.count(answer)
        let reply = LoginReply(answer)
        if asker.shard == number {
            deliver(asker.ticket) { shard, index, shape in
                unsafe reply.body.withUnsafeBytes { body in
                    unsafe shard.replyAnswer(
                        index, shape, reply.status, tag: nil, reply.extras, body)
                }
            }
        } else {
            unsafe reply.body.withUnsafeBytes { body in
                unsafe postAnswer(
                    reply.status, reply.extras, body, to: asker.shard,
                    ticket: asker.ticket)
            }
        }
    }
}
