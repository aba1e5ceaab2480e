import Identity
import Machine

/// Who a request speaks for.
enum Caller: Equatable {
    /// No credential was given.
    case nobody
    /// `owner` inside is what the keyspace compares; an admin's `scopes` say so.
    case user(Identity.Principal)
    /// A credential was given and is not in force: 401 where one is needed, ignored on open reads.
    case invalid
}

/// One shard's answer to 'who is this?'.
///
/// A token that verified before is found in the cache; another costs an HMAC and, once, the
/// registry's lock for the owner's number. Nothing is remembered of what did not verify.
struct Authenticator: ~Copyable {
    /// Users active on one shard at a time. 521 bytes each, which the kernel provides as they come.
    static let cachedTokensMax = 4096

    private let verifier: TokenVerifier
    private let hasAdmin: Bool
    private var cache: TokenCache
    /// A user whom the node had not met before this token, until somebody takes note of them.
    private var newOwner: (id: Identifier, name: UserName)?

    /// `key` is from `SigningKey`. `hasAdmin`: there is an `ADMIN_PASSWORD`. A node that was started
    /// again without it has no admin, whoever still holds a token of one.
    init(
        key: [UInt8], hasAdmin: Bool, cachedTokensMax: Int = Authenticator.cachedTokensMax
    ) {
        self.hasAdmin = hasAdmin
        invariant(key.count >= Token.keyBytesMin, "a signing key that is too short")
        verifier = unsafe TokenVerifier(key: key.span.bytes)!
        cache = TokenCache(capacity: cachedTokensMax, seed: Randomness.sipKey())
    }

    /// Whoever was met for the first time since this was last asked: to be written down, since a
    /// record's owner is kept by identifier.
    mutating func takeNewOwner() -> (id: Identifier, name: UserName)? {
        guard newOwner != nil else { return nil }
        defer { newOwner = nil }
        return newOwner
    }

    /// The values of the two headers, nil where the request has none.
    mutating func caller(
        authorization: RawSpan?, apiKey: RawSpan?, nowS: Int64, owners: OwnerNumbers
    ) -> Caller {
        // No key has been issued yet, so none is in force.
        if apiKey != nil { return .invalid }
        guard let authorization else { return .nobody }
        switch AuthorizationHeader.parse(authorization) {
        case .none: return .nobody
        case .other: return .invalid
        case .bearer(let place):
            return caller(token: authorization.extracting(place), nowS: nowS, owners: owners)
        }
    }

    /// The token alone, as `?access_token=` has it.
    mutating func caller(token: RawSpan, nowS: Int64, owners: OwnerNumbers) -> Caller {
        let nowS = UInt64(clamping: nowS)
        if let principal = cache.principal(for: token, nowS: nowS) { return .user(principal) }
        return verified(token, nowS: nowS, owners: owners)
    }

    @inline(never)
    private mutating func verified(
        _ token: RawSpan, nowS: UInt64, owners: OwnerNumbers
    ) -> Caller {
        let ticket = cache.ticket
        guard case .valid(let claims) = verifier.verify(token, for: .access, nowS: nowS) else {
            return .invalid
        }
        let isAdmin = claims.subject == .admin
        // The two say the same in a token of ours; a name alone must not make a system of anybody.
        guard isAdmin == (claims.name == .admin), hasAdmin || !isAdmin else { return .invalid }
        var name: [UInt8] = []
        claims.name.append(to: &name)
        let known = owners.count
        guard
            let owner = unsafe name.withUnsafeBytes({
                unsafe owners.number(adding: claims.subject, name: $0)
            })
        else { return .invalid }
        // That another shard has met somebody else meanwhile does no harm.
        if owners.count > known { newOwner = (claims.subject, claims.name) }
        let principal = Identity.Principal(
            claims, owner: owner, scopes: isAdmin ? [.read, .write, .admin] : [.read, .write])
        cache.remember(token, as: principal, asOf: ticket, nowS: nowS)
        return .user(principal)
    }
}
