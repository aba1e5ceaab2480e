import Glibc
import Identity
import Machine
import Options
import Synchronization

/// What the desk was told at start.
struct AccountSettings: Sendable {
    /// From `SigningKey`.
    var jwtKey: [UInt8]
    var jwtExpirationMs: UInt64 = 3_600_000
    /// nil: there is no admin over the network.
    var adminPassword: [UInt8]?
    /// What a new account's hash costs.
    var cost = PasswordHash.Cost.standard
    var throttle = LoginThrottle.Policy.standard
    /// Who may tell us where a login comes from.
    var trustedProxies = TrustedProxies([])!
    var accountsMax = Users.accountsMaxDefault
    /// Hashes waiting for the worker.
    var hashesQueuedMax = WorkerPool.queuedJobsMaxDefault

    init(jwtKey: [UInt8]) { self.jwtKey = jwtKey }

    init(_ configuration: Configuration, jwtKey: [UInt8]) {
        self.jwtKey = jwtKey
        jwtExpirationMs = UInt64(max(0, configuration.jwtExpirationMs))
        adminPassword = configuration.adminPassword.map { Array($0.exposed.utf8) }
        let blocks = configuration.trustedProxies.map { text in
            let block = AddressBlock(text)
            invariant(block != nil, "the options let through a network that is none: \(text)")
            return block!
        }
        trustedProxies = TrustedProxies(blocks)!
    }
}

/// What somebody who gave a name and a secret is told.
enum LoginAnswer: Equatable {
    /// 200 `{"status":"User created","token":…}`.
    case created(token: [UInt8])
    /// 200 `{"token":…}`.
    case accepted(token: [UInt8])
    /// 401.
    case wrongSecret
    /// 400: not a name.
    case badName
    /// 400: not 1 to 1024 bytes.
    case badSecret
    /// 401: nobody can log in under this name.
    case notAllowed
    /// 503 with `Retry-After`: too much under way.
    case busy
    /// 429 with `Retry-After`.
    case throttled(retryAfterS: Int)
    /// 507: no room for another account.
    case full

    /// For `Retry-After` of `busy`: about how long a full queue of hashes takes.
    static let busyRetryAfterS = 5
}

/// Where people log in and become users: one for the node, owned by shard 0, whose loop asks it for
/// answers after each wake-up.
///
/// It carries out what `Users` decides. A new account is handed out by `nextToStore`, to be written
/// to the store, and exists for its user once `storeEnded` says that it is safe there. Hashing goes to one worker, which is started by the first
/// login that needs it and is the bound on the memory: one derivation of 32 MiB at a time, given
/// back after each. What waits is bounded three times: by the queue of the worker, by
/// `Users.waitersMax` and, before either, by the throttle.
@safe struct AccountDesk: ~Copyable {
    private let settings: AccountSettings
    private let signer: TokenSigner
    private let admin: AdminSecret?
    private let inbox: CompletionInbox
    private var users: Users
    private var throttle: LoginThrottle
    private var pool: WorkerPool?
    /// Who waits for an answer, each with one login.
    private var underWay: [UInt64: LoginJob.Place] = unsafe [:]
    /// Jobs that have come back and aren't looked at yet, linked by `next`.
    private var returned: UnsafeMutablePointer<Job>?
    /// Logins whose accounts are on their way to the store, by the number the store was given.
    private var storing: [UInt64: LoginJob.Place] = unsafe [:]
    private var stores: UInt64 = 0
    /// Accounts to be stored and not yet handed out.
    private var toStore: [(number: UInt64, account: Account)] = []
    /// The latest monotonic time we were told, for what is told us without one.
    private var lastNs: UInt64 = 0

    /// `waker` ends the wait of the shard that owns the desk.
    init(_ settings: AccountSettings, waker: Waker) {
        self.settings = settings
        invariant(settings.jwtKey.count >= Token.keyBytesMin, "a signing key that is too short")
        signer = unsafe TokenSigner(key: settings.jwtKey.span.bytes)!
        if let password = settings.adminPassword,
            let secret = unsafe Identity.Secret(password.span.bytes)
        {
            admin = unsafe AdminSecret(secret, random: Randomness.bytes(32).span.bytes)
        } else {
            admin = nil
        }
        inbox = CompletionInbox(argument: UInt(waker.descriptor)) {
            Waker(descriptor: Int32($0)).wake()
        }
        users = Users(hasAdmin: settings.adminPassword != nil, accountsMax: settings.accountsMax)
        throttle = LoginThrottle(settings.throttle, seed: Randomness.sipKey())
    }

    deinit {
        // Waits for the hash that is being made, if any; then nothing touches the jobs any more.
        pool?.shutdown(.cancelQueued)
        unsafe AccountDesk.freeForgotten(returned)
        unsafe AccountDesk.freeForgotten(inbox.drain())
        unsafe underWay.values.forEach { unsafe LoginJob.free($0) }
        unsafe storing.values.forEach {
            if unsafe $0.pointee.isForgotten.load(ordering: .relaxed) { unsafe LoginJob.free($0) }
        }
        inbox.destroy()
    }

    /// For the metrics.
    var accountCount: Int { users.count }
    var loginsUnderWay: Int { unsafe underWay.count }
    /// Whether the thread that hashes has been started.
    var hasWorker: Bool { pool != nil }

    /// Somebody gave a name and a secret. nil: `nextAnswer` will have the answer, once, unless
    /// `forget` comes first. `asker` is the caller's number for them and has one login at a time.
    /// With `onlyKnown` a name that nobody has is refused, not given to whoever asks first.
    mutating func login(
        name: UnsafeRawBufferPointer, secret: UnsafeRawBufferPointer, from address: IPAddress,
        asker: UInt64, onlyKnown: Bool = false, nowMs: UInt64, monotonicNs: UInt64
    ) -> LoginAnswer? {
        guard let name = unsafe UserName(name.bytes) else { return .badName }
        guard let secret = unsafe Identity.Secret(secret.bytes) else { return .badSecret }
        unsafe invariant(underWay[asker] == nil, "asker \(asker) logs in twice at once")
        let attempt: LoginThrottle.Attempt
        switch throttle.begin(name, from: address, nowNs: monotonicNs) {
        case .attempt(let begun): attempt = begun
        case .wait(let seconds): return .throttled(retryAfterS: Int(clamping: seconds))
        }
        // The throttle has counted it as a guess that failed.
        if onlyKnown, name != .admin, users.account(named: name) == nil { return .wrongSecret }
        let place = unsafe LoginJob.make(
            inbox: inbox, asker: asker, name: name, attempt: attempt, secret: secret,
            cost: settings.cost)
        unsafe underWay[asker] = unsafe place
        return unsafe proceed(place, nowMs: nowMs, monotonicNs: monotonicNs)
    }

    /// Whether `nextAnswer` has something to do: a few loads, for a loop that asks each turn.
    var hasWork: Bool { unsafe returned != nil || !inbox.isEmpty || users.hasToAskAgain }

    /// An answer that has become known; nil when there is none for now. Called until it says nil
    /// after each wake-up.
    mutating func nextAnswer(
        nowMs: UInt64, monotonicNs: UInt64
    ) -> (asker: UInt64, answer: LoginAnswer)? {
        while true {
            if let asker = users.nextToAskAgain() {
                guard let place = unsafe underWay[asker] else { continue }
                if let answer = unsafe proceed(place, nowMs: nowMs, monotonicNs: monotonicNs) {
                    return (asker, answer)
                }
            } else if let place = unsafe nextReturned() {
                let asker = unsafe place.pointee.asker
                if let answer = unsafe finish(place, nowMs: nowMs, monotonicNs: monotonicNs) {
                    return (asker, answer)
                }
            } else {
                return nil
            }
        }
    }

    /// A new account to be written to the store, if it has none of that name yet. Asked for until it
    /// says nil after each `login` and each wake-up.
    mutating func nextToStore() -> (number: UInt64, account: Account)? { toStore.popLast() }

    /// What became of an account that was handed out: safe in the store, or refused by it. The answer
    /// to whoever asked for it; nil when they are gone.
    mutating func storeEnded(
        _ number: UInt64, isStored: Bool, nowMs: UInt64
    ) -> (asker: UInt64, answer: LoginAnswer)? {
        guard let place = unsafe storing.removeValue(forKey: number),
            case .store(let creation) = unsafe place.pointee.work
        else { return nil }
        let asker = unsafe place.pointee.asker
        guard isStored, case .created(let account) = users.stored(creation) else {
            users.abandoned(creation)
            return unsafe end(place, .busy, .withdrawn).map { (asker, $0) }
        }
        let token = token(for: account.id, account.name, nowMs: nowMs)
        return unsafe end(place, .created(token: token), .succeeded).map { (asker, $0) }
    }

    /// Takes an account that the store has: at start, or changed elsewhere.
    mutating func adopt(_ account: Account) { users.adopt(account) }

    /// The asker went away: there will be no answer. The number may be used again at once.
    mutating func forget(asker: UInt64) {
        guard let place = unsafe underWay.removeValue(forKey: asker) else { return }
        guard case .nothing = unsafe place.pointee.work else {
            // The worker has it. It comes back and is freed then.
            unsafe place.pointee.isForgotten.store(true, ordering: .relaxed)
            return
        }
        unsafe users.forget(asker: asker, waitingFor: place.pointee.name)
        unsafe throttle.withdrawn(place.pointee.attempt, nowNs: lastNs)
        unsafe LoginJob.free(place)
    }

    // MARK: One step of a login

    /// Does what `Users` says is next; nil where that takes time.
    private mutating func proceed(
        _ place: LoginJob.Place, nowMs: UInt64, monotonicNs: UInt64
    ) -> LoginAnswer? {
        lastNs = monotonicNs
        let name = unsafe place.pointee.name
        switch unsafe users.login(name, asker: place.pointee.asker) {
        case .derive(let creation):
            if unsafe submit(place, .derive(creation)) { return nil }
            users.abandoned(creation)
            return unsafe end(place, .busy, .withdrawn)
        case .verify(let account):
            return unsafe submit(place, .verify(account)) ? nil : end(place, .busy, .withdrawn)
        case .compareWithAdminSecret:
            guard let matches = unsafe admin?.matches(place.pointee.secret), matches else {
                return unsafe end(place, .wrongSecret, .failed)
            }
            let token = token(for: .admin, .admin, nowMs: nowMs)
            return unsafe end(place, .accepted(token: token), .succeeded)
        case .wait:
            unsafe place.pointee.work = .nothing
            return nil
        case .refuse(.notAllowed): return unsafe end(place, .notAllowed, .failed)
        case .refuse(.busy): return unsafe end(place, .busy, .withdrawn)
        case .refuse(.full): return unsafe end(place, .full, .withdrawn)
        }
    }

    /// Takes what the worker found; nil where the login goes on or nobody waits for its answer.
    private mutating func finish(
        _ place: LoginJob.Place, nowMs: UInt64, monotonicNs: UInt64
    ) -> LoginAnswer? {
        lastNs = monotonicNs
        switch unsafe (place.pointee.work, place.pointee.outcome) {
        case (.derive(let creation), .derived(let password)):
            let id = Randomness.identifier()
            guard case .store(let account) = users.derived(creation, password, id: id, nowMs: nowMs)
            else { return unsafe askAgain(place, nowMs: nowMs, monotonicNs: monotonicNs) }
            unsafe place.pointee.work = .store(creation)
            stores += 1
            unsafe storing[stores] = unsafe place
            toStore.insert((stores, account), at: 0)
            return nil
        case (.verify(let account), .compared(let matches)):
            guard matches else { return unsafe end(place, .wrongSecret, .failed) }
            // Not the account as it is now: its secret was changed, or its user shut out.
            guard users.account(named: account.name) == account else {
                return unsafe askAgain(place, nowMs: nowMs, monotonicNs: monotonicNs)
            }
            let token = token(for: account.id, account.name, nowMs: nowMs)
            return unsafe end(place, .accepted(token: token), .succeeded)
        case (.derive(let creation), _):
            users.abandoned(creation)
            return unsafe end(place, .busy, .withdrawn)
        default: return unsafe end(place, .busy, .withdrawn)
        }
    }

    private mutating func askAgain(
        _ place: LoginJob.Place, nowMs: UInt64, monotonicNs: UInt64
    ) -> LoginAnswer? {
        if unsafe place.pointee.isForgotten.load(ordering: .relaxed) {
            return unsafe end(place, .busy, .withdrawn)
        }
        return unsafe proceed(place, nowMs: nowMs, monotonicNs: monotonicNs)
    }

    private enum Charge {
        case succeeded, failed, withdrawn
    }

    /// Settles the throttle's charge and frees the login. nil where nobody waits for the answer.
    private mutating func end(
        _ place: LoginJob.Place, _ answer: LoginAnswer, _ charge: Charge
    ) -> LoginAnswer? {
        switch charge {
        case .succeeded: unsafe throttle.succeeded(place.pointee.attempt, nowNs: lastNs)
        case .withdrawn: unsafe throttle.withdrawn(place.pointee.attempt, nowNs: lastNs)
        case .failed: break
        }
        let isForgotten = unsafe place.pointee.isForgotten.load(ordering: .relaxed)
        if !isForgotten { unsafe underWay[place.pointee.asker] = nil }
        unsafe LoginJob.free(place)
        return isForgotten ? nil : answer
    }

    private func token(for id: Identifier, _ name: UserName, nowMs: UInt64) -> [UInt8] {
        let nowS = nowMs / 1000
        let lifetimeS = min(max(1, settings.jwtExpirationMs / 1000), Token.lifetimeMaxS)
        return signer.sign(
            Claims(
                subject: id, name: name, expiresAtS: nowS + lifetimeS, issuedAtS: nowS,
                token: Randomness.identifier(), login: Randomness.identifier(), use: .access))
    }

    // MARK: The worker

    /// Gives the login to the worker; false where there is too much for it to do already.
    private mutating func submit(_ place: LoginJob.Place, _ work: LoginJob.Work) -> Bool {
        if pool == nil {
            // Without a thread nobody can log in; whoever asks next tries again.
            pool = try? WorkerPool.start(
                name: "scrypt", threads: 1, queuedJobsMax: settings.hashesQueuedMax)
        }
        guard let pool else { return false }
        unsafe place.pointee.work = work
        unsafe place.pointee.outcome = .skipped
        return unsafe pool.submit(LoginJob.asJob(place))
    }

    private mutating func nextReturned() -> LoginJob.Place? {
        if unsafe returned == nil { unsafe returned = unsafe inbox.drain() }
        guard let job = unsafe returned else { return nil }
        unsafe returned = unsafe job.pointee.next
        return unsafe LoginJob.of(job)
    }

    /// At the end: the others are still in `underWay`.
    private static func freeForgotten(_ first: UnsafeMutablePointer<Job>?) {
        var job = unsafe first
        while let next = unsafe job {
            unsafe job = unsafe next.pointee.next
            let place = unsafe LoginJob.of(next)
            if unsafe place.pointee.isForgotten.load(ordering: .relaxed) {
                unsafe LoginJob.free(place)
            }
        }
    }
}
