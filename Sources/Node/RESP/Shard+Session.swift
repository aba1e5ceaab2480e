import Identity
import Keyspace
import Machine
import Wire

/// Commands about the connection itself: who it is, which database, which protocol.
extension Shard {
    mutating func sessionCommand(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, _ facts: CommandFacts,
        _ words: RESPWords
    ) {
        let state = unsafe resp
        switch facts.command {
        case .select: unsafe select(session, words, into: &state.pointee.out)
        case .quit:
            unsafe state.pointee.out.ok()
            let connection = unsafe connections + Int(index)
            unsafe connection.pointee.flags.insert(.closeAfterReply)
        case .reset: unsafe reset(index, session, into: &state.pointee.out)
        case .auth: unsafe auth(index, session, words)
        case .hello: unsafe hello(index, session, words)
        case .client: unsafe client(index, session, words)
        default: invariant(false, "not a command about the session")
        }
    }

    private mutating func select(
        _ session: UnsafeMutablePointer<RESPSession>, _ words: RESPWords,
        into out: inout RESPWriter
    ) {
        guard let number = unsafe integer(words[1], into: &out) else { return }
        guard let table = databaseTable(number) else {
            return out.error("ERR DB index is out of range")
        }
        unsafe session.pointee.context.table = table
        unsafe session.pointee.context.database = UInt8(number)
        unsafe session.pointee.context.readRule = tables[table].readRule
        out.ok()
    }

    private mutating func reset(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, into out: inout RESPWriter
    ) {
        unsafe dropSubscriptions(index, session)
        unsafe session.pointee.queue = nil
        unsafe session.pointee.watched = []
        unsafe session.pointee.name = []
        unsafe session.pointee.user = []
        unsafe session.pointee.replies = .on
        unsafe session.pointee.context.version = 2
        unsafe session.pointee.context.principal = .anonymous
        unsafe session.pointee.context.caller = .nobody
        unsafe session.pointee.context.database = 0
        if let table = databaseTable(0) { unsafe session.pointee.context.table = table }
        unsafe setLimits(
            &session.pointee, allowsInline: session.pointee.limits.allowsInline)
        out.version = 2
        out.simple("RESET")
    }

    // MARK: Who it is

    private mutating func auth(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, _ words: RESPWords
    ) {
        let state = unsafe resp
        switch words.count {
        case 2:
            unsafe state.pointee.out.error(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
            )
        case 3: unsafe logIn(index, session, name: words[1], secret: words[2])
        default: unsafe state.pointee.out.error(Self.syntaxError)
        }
    }

    static var wrongPassword: StaticString {
        "WRONGPASS invalid username-password pair or user is disabled."
    }

    private static var secretBytesMax: Int { 1024 }

    /// Brings a name and a secret before the desk. What follows on the connection waits for the
    /// answer: it may depend on who the client is.
    private mutating func logIn(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>,
        name: UnsafeRawBufferPointer, secret: UnsafeRawBufferPointer
    ) {
        // Nobody has such a name or secret, and the way to the desk is not made for it.
        guard name.count <= OwnerNumbers.nameBytesMax, secret.count <= Self.secretBytesMax else {
            unsafe session.pointee.helloAsked = nil
            let resp = unsafe resp
            return unsafe resp.pointee.out.error(Self.wrongPassword)
        }
        flushReplies(index)
        unsafe session.pointee.userAsked = unsafe Array(name)
        let address = PeerAddress.of(driver.fd(of: index))
        let ticket = awaitAnswer(index, [])
        let connection = unsafe connections + Int(index)
        unsafe connection.pointee.flags.insert(.gathering)
        if unsafe !askDesk(name, secret, from: address, ticket: ticket, onlyKnown: true) {
            deliver(ticket) { shard, index, _ in shard.logInEnded(index, .busy) }
        }
    }

    /// What the desk decided about a client of RESP.
    enum LoginVerdict { case accepted, refused, busy, throttled }

    /// The desk's answer, which is made for HTTP: a status, and JSON with a token that says who it is.
    mutating func logInAnswered(
        _ index: UInt32, _ status: HTTPStatus, _ body: UnsafeRawBufferPointer
    ) {
        switch status {
        case .ok:
            var caller = Caller.invalid
            if case .found(let range) = unsafe JSONScanner.find("token", in: body), range.count > 2
            {
                let token = unsafe UnsafeRawBufferPointer(
                    rebasing: body[(range.lowerBound + 1)..<(range.upperBound - 1)])
                caller = unsafe authenticator.caller(
                    token: token.bytes, nowS: wallMs / 1000, owners: owners)
            }
            logInEnded(index, .accepted, caller)
        case .serviceUnavailable: logInEnded(index, .busy)
        case .tooManyRequests: logInEnded(index, .throttled)
        default: logInEnded(index, .refused)
        }
    }

    mutating func logInEnded(
        _ index: UInt32, _ verdict: LoginVerdict, _ caller: Caller = .invalid
    ) {
        let connection = unsafe connections + Int(index)
        unsafe connection.pointee.flags.remove(.gathering)
        guard let session = unsafe connection.pointee.resp else { return }
        let state = unsafe resp
        let hello = unsafe session.pointee.helloAsked
        unsafe session.pointee.helloAsked = nil
        unsafe state.pointee.out.version = session.pointee.context.version
        switch verdict {
        case .accepted:
            guard case .user(let principal) = caller else {
                unsafe state.pointee.out.error(Self.wrongPassword)
                break
            }
            unsafe session.pointee.user = unsafe session.pointee.userAsked
            unsafe session.pointee.context.caller = principal.user == .admin ? .admin : .user
            unsafe session.pointee.context.principal = RecordOwner(rawValue: principal.owner)
            unsafe setLimits(
                &session.pointee, allowsInline: session.pointee.limits.allowsInline)
            if let hello {
                unsafe greet(session, version: hello.version, name: hello.name)
            } else {
                unsafe state.pointee.out.ok()
            }
        case .refused: unsafe state.pointee.out.error(Self.wrongPassword)
        case .busy: unsafe state.pointee.out.error("ERR Too many logins are under way, try again")
        case .throttled:
            unsafe state.pointee.out.error("ERR Too many logins have failed, try later")
        }
        flushReplies(index)
        makeRunnable(index)
    }

    // MARK: Which protocol

    private mutating func hello(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, _ words: RESPWords
    ) {
        let state = unsafe resp
        var version = unsafe session.pointee.context.version
        if words.count > 1 {
            guard let number = unsafe RESPNumber.integer(words[1]) else {
                return unsafe state.pointee.out.error(
                    "ERR Protocol version is not an integer or out of range")
            }
            guard number == 2 || number == 3 else {
                return unsafe state.pointee.out.error("NOPROTO unsupported protocol version")
            }
            version = UInt8(number)
        }
        var name: [UInt8]? = nil
        var login: Int? = nil
        var place = 2
        while place < words.count {
            let left = words.count - 1 - place
            if unsafe words[place].isOption("auth"), left >= 2 {
                login = place + 1
                place += 3
            } else if unsafe words[place].isOption("setname"), left >= 1 {
                guard unsafe Self.isName(words[place + 1]) else {
                    return unsafe state.pointee.out.error(Self.badName)
                }
                name = unsafe Array(words[place + 1])
                place += 2
            } else {
                unsafe state.pointee.out.begin(error: "ERR Syntax error in HELLO option '")
                unsafe state.pointee.out.addPrintable(words[place])
                unsafe state.pointee.out.add("'")
                return unsafe state.pointee.out.endLine()
            }
        }
        if let login {
            unsafe session.pointee.helloAsked = (version, name)
            return unsafe logIn(
                index, session, name: words[login], secret: words[login + 1])
        }
        guard unsafe session.pointee.isServed else {
            return unsafe state.pointee.out.error(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
            )
        }
        unsafe greet(session, version: version, name: name)
    }

    private mutating func greet(
        _ session: UnsafeMutablePointer<RESPSession>, version: UInt8, name: [UInt8]?
    ) {
        let state = unsafe resp
        unsafe session.pointee.context.version = version
        if let name { unsafe session.pointee.name = name }
        unsafe state.pointee.out.version = version
        unsafe state.pointee.out.map(7)
        unsafe state.pointee.out.bulk("server")
        unsafe state.pointee.out.bulk("redis")
        unsafe state.pointee.out.bulk("version")
        unsafe state.pointee.out.bulk(ServerFacts.redisVersion)
        unsafe state.pointee.out.bulk("proto")
        unsafe state.pointee.out.integer(Int(version))
        unsafe state.pointee.out.bulk("id")
        unsafe state.pointee.out.integer(Int64(session.pointee.id))
        unsafe state.pointee.out.bulk("mode")
        unsafe state.pointee.out.bulk("standalone")
        unsafe state.pointee.out.bulk("role")
        unsafe state.pointee.out.bulk("master")
        unsafe state.pointee.out.bulk("modules")
        unsafe state.pointee.out.array(0)
    }

    static var badName: StaticString {
        "ERR Client names cannot contain spaces, newlines or special characters."
    }

    static func isName(_ word: UnsafeRawBufferPointer) -> Bool {
        for place in 0..<word.count where unsafe !(0x21...0x7E).contains(word[place]) {
            return false
        }
        return true
    }
}

/// What clients are told of the server.
enum ServerFacts {
    /// The Redis whose commands and replies these are; clients choose by it what to send.
    static let redisVersion = "7.0.15"
}
