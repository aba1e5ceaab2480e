/// One account, as the store keeps it.
public struct Account: Equatable, Sendable, BitwiseCopyable {
    /// The `sub` of every token of this user, for ever.
    public let id: Identifier
    public let name: UserName
    public var password: PasswordHash
    /// A user who was shut out is told 401, whatever the secret.
    public var isActive: Bool
    public let createdAtMs: UInt64

    public init(
        id: Identifier, name: UserName, password: PasswordHash, isActive: Bool = true,
        createdAtMs: UInt64
    ) {
        self.id = id
        self.name = name
        self.password = password
        self.isActive = isActive
        self.createdAtMs = createdAtMs
    }
}

/// The accounts, and who is just being made: the decisions behind `POST /auth/{user}`.
///
/// A state machine that is told what happened and answers what to do next. Hashing and storing
/// take time, so a name goes from absent over *deriving* (somebody's hash is being made) and
/// *storing* (it is on its way to the store) to existing. Whoever asks for the name in between
/// waits, and asks again once it is settled: then there is an account to verify against, or, where
/// the creation came to nothing, the first to ask begins the next. So exactly one creation of a
/// name ever succeeds, and nobody's secret is hashed in vain.
///
/// The caller keeps each asker's secret and hands the hashing to its workers.
public struct Users: ~Copyable {
    /// A million accounts are about 250 MB; a node for more keeps them in PostgreSQL.
    public static let accountsMaxDefault = 1_000_000
    /// Names being made at once. The queue of the hash worker is shorter than this.
    public static let creationsMax = 256
    /// Askers waiting for somebody's creation, over all names.
    public static let waitersMax = 1024

    /// One creation under way. Stale once its name is settled.
    public struct Creation: Equatable, Sendable, BitwiseCopyable {
        public let name: UserName
        fileprivate let serial: UInt64
    }

    /// What to do for somebody who gave a name and a secret.
    public enum Step: Equatable, Sendable {
        /// Derive a hash of the secret, then tell `derived`.
        case derive(Creation)
        /// Check the secret against this account on a worker; a match is a login.
        case verify(Account)
        /// Compare with the `AdminSecret`; a match is a login of `Identifier.admin`.
        case compareWithAdminSecret
        /// Keep the secret; `nextToAskAgain` will name the asker.
        case wait
        case refuse(Refusal)
    }

    public enum Refusal: Equatable, Sendable {
        /// 401: nobody can log in under this name.
        case notAllowed
        /// 503 with `Retry-After`: too much under way.
        case busy
        /// 507: no room for another account.
        case full
    }

    /// What to do with a hash that was derived.
    public enum Derived: Equatable, Sendable {
        /// Write this account if there is none of its name yet; then tell `stored` or `abandoned`.
        case store(Account)
        /// The name was settled without this creation: `login` again.
        case askAgain
    }

    /// What became of a creation that the store has taken.
    public enum Stored: Equatable, Sendable {
        case created(Account)
        case askAgain
    }

    private struct Pending {
        let serial: UInt64
        var account: Account?
        var waiters: [UInt64] = []
    }

    private let accountsMax: Int
    private let hasAdmin: Bool
    private var accounts: [Account] = []
    private var indexByName: [UserName: UInt32] = [:]
    private var indexByID: [Identifier: UInt32] = [:]
    private var pending: [UserName: Pending] = [:]
    private var waiting = 0
    private var serial: UInt64 = 0
    private var askAgain: [UInt64] = []

    /// `hasAdmin`: there is an `ADMIN_PASSWORD`.
    public init(hasAdmin: Bool, accountsMax: Int = accountsMaxDefault) {
        self.hasAdmin = hasAdmin
        self.accountsMax = accountsMax
    }

    public var count: Int { accounts.count }

    /// Names under way and askers waiting, for the metrics.
    public var creationsUnderWay: Int { pending.count }
    public var waitersUnderWay: Int { waiting }

    /// Somebody gave `name` and a secret. `asker` is the caller's own number for them.
    public mutating func login(_ name: UserName, asker: UInt64) -> Step {
        if name == .admin { return hasAdmin ? .compareWithAdminSecret : .refuse(.notAllowed) }
        if name == .default { return .refuse(.notAllowed) }
        if let account = account(named: name) {
            return account.isActive ? .verify(account) : .refuse(.notAllowed)
        }
        if pending[name] != nil {
            guard waiting < Self.waitersMax else { return .refuse(.busy) }
            pending[name]!.waiters.append(asker)
            waiting += 1
            return .wait
        }
        guard accounts.count + pending.count < accountsMax else { return .refuse(.full) }
        guard pending.count < Self.creationsMax else { return .refuse(.busy) }
        serial += 1
        pending[name] = Pending(serial: serial)
        return .derive(Creation(name: name, serial: serial))
    }

    /// The hash of a creation is there. `id` is random and becomes the user's for ever.
    public mutating func derived(
        _ creation: Creation, _ password: PasswordHash, id: Identifier, nowMs: UInt64
    ) -> Derived {
        guard isCurrent(creation) else { return .askAgain }
        let account = Account(
            id: id, name: creation.name, password: password, createdAtMs: nowMs)
        pending[creation.name]!.account = account
        return .store(account)
    }

    /// The store has the account and had none of its name before.
    public mutating func stored(_ creation: Creation) -> Stored {
        guard isCurrent(creation), let account = pending[creation.name]!.account else {
            return .askAgain
        }
        adopt(account)
        return .created(account)
    }

    /// The creation came to nothing: the queue was full, memory or the store refused.
    public mutating func abandoned(_ creation: Creation) {
        if isCurrent(creation) { settle(creation.name) }
    }

    /// Takes an account from the store: at start, from another node, or changed. It is the truth,
    /// also for a creation of its name that is under way, and is taken even past the bound, which
    /// holds for creations only.
    public mutating func adopt(_ account: Account) {
        if let index = indexByName[account.name] {
            indexByID[accounts[Int(index)].id] = nil
            indexByID[account.id] = index
            accounts[Int(index)] = account
        } else {
            let index = UInt32(accounts.count)
            accounts.append(account)
            indexByName[account.name] = index
            indexByID[account.id] = index
        }
        settle(account.name)
    }

    /// Whether `nextToAskAgain` has somebody.
    public var hasToAskAgain: Bool { !askAgain.isEmpty }

    /// An asker to put through `login` again because what they waited for is settled.
    public mutating func nextToAskAgain() -> UInt64? { askAgain.popLast() }

    /// An asker went away. The creation they may have begun goes on; a place in a queue is freed.
    public mutating func forget(asker: UInt64, waitingFor name: UserName) {
        if let index = askAgain.firstIndex(of: asker) { askAgain.remove(at: index) }
        guard let index = pending[name]?.waiters.firstIndex(of: asker) else { return }
        pending[name]!.waiters.remove(at: index)
        waiting -= 1
    }

    public func account(named name: UserName) -> Account? {
        indexByName[name].map { accounts[Int($0)] }
    }

    public func account(_ id: Identifier) -> Account? {
        indexByID[id].map { accounts[Int($0)] }
    }

    /// The name behind a `sub`, the built-in ones included.
    public func name(of id: Identifier) -> UserName? {
        if id == .admin { return .admin }
        if id == .default { return .default }
        return account(id)?.name
    }

    private func isCurrent(_ creation: Creation) -> Bool {
        pending[creation.name]?.serial == creation.serial
    }

    private mutating func settle(_ name: UserName) {
        guard let settled = pending.removeValue(forKey: name) else { return }
        waiting -= settled.waiters.count
        // Popped from the end: who waited longest asks first.
        askAgain.insert(contentsOf: settled.waiters.reversed(), at: 0)
    }
}
