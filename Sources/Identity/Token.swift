/// Bounds and the shape that signing and verifying share (RFC 7515 compact form, HS256).
public enum Token {
    /// Ours are under 400 bytes (a name of 64); what is longer than this isn't looked at.
    public static let bytesMax = 2048

    /// RFC 7518 section 3.2: an HS256 key has at least as many bits as its hash.
    public static let keyBytesMin = 32

    /// How far another node's clock may be ahead of ours when it issues a token.
    public static let clockSkewMaxS: UInt64 = 60

    /// No token of ours lives longer, whatever `JWT_EXPIRATION` says: a year. It keeps a forged
    /// or mistyped `exp` from meaning 'for ever'.
    public static let lifetimeMaxS: UInt64 = 366 * 86_400

    /// `{"alg":"HS256","typ":"JWT"}`, encoded.
    static let header: StaticString = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
}

/// Why a token was not accepted. For logs and metrics: the peer hears 401 for all of them.
public enum TokenRefusal: Sendable {
    case tooLong, malformed, unsupportedHeader, wrongSignature, wrongClaims
    case expired, notYetValid, wrongUse
}

public enum TokenVerdict: Equatable, Sendable {
    case valid(Claims)
    case refused(TokenRefusal)
}

/// Issues tokens.
public struct TokenSigner: ~Copyable {
    private let key: HMACKey

    /// nil where the key is shorter than `Token.keyBytesMin`.
    public init?(key: RawSpan) {
        guard key.byteCount >= Token.keyBytesMin else { return nil }
        self.key = HMACKey(key)
    }

    public func sign(_ claims: Claims) -> [UInt8] {
        var payload: [UInt8] = []
        claims.append(to: &payload)
        var token: [UInt8] = []
        token.reserveCapacity(512)
        token.append(ascii: Token.header)
        token.append(UInt8(ascii: "."))
        Base64.url.append(unsafe payload.span.bytes, to: &token)
        var signature: [UInt8] = []
        key.code(of: unsafe token.span.bytes).append(to: &signature)
        token.append(UInt8(ascii: "."))
        Base64.url.append(unsafe signature.span.bytes, to: &token)
        return token
    }
}

/// Decides whether a token is one we issued, still in force and meant for this use.
///
/// The signature is judged before a byte of the claims is read, so that a stranger reaches little
/// code. Whether the login was revoked is the store's knowledge and asked after this.
public struct TokenVerifier: ~Copyable {
    private let key: HMACKey

    /// nil where the key is shorter than `Token.keyBytesMin`.
    public init?(key: RawSpan) {
        guard key.byteCount >= Token.keyBytesMin else { return nil }
        self.key = HMACKey(key)
    }

    public func verify(_ token: RawSpan, for use: TokenUse, nowS: UInt64) -> TokenVerdict {
        guard token.byteCount <= Token.bytesMax else { return .refused(.tooLong) }
        guard let parts = Parts(token) else { return .refused(.malformed) }
        guard Self.isHS256(token, parts.header) else { return .refused(.unsupportedHeader) }
        guard signatureHolds(token, parts) else { return .refused(.wrongSignature) }
        var scratch = InlineArray<1536, UInt8>(repeating: 0)
        var output = scratch.mutableSpan
        var raw = unsafe output.mutableBytes
        guard let count = Base64.url.decode(token, parts.payload, into: &raw) else {
            return .refused(.malformed)
        }
        guard let claims = Claims(raw.bytes.extracting(0..<count)) else {
            return .refused(.wrongClaims)
        }
        guard claims.use == use else { return .refused(.wrongUse) }
        guard claims.issuedAtS < claims.expiresAtS,
            claims.expiresAtS - claims.issuedAtS <= Token.lifetimeMaxS
        else { return .refused(.wrongClaims) }
        guard claims.issuedAtS <= nowS &+ Token.clockSkewMaxS else {
            return .refused(.notYetValid)
        }
        guard nowS < claims.expiresAtS else { return .refused(.expired) }
        return .valid(claims)
    }

    /// Where the three parts of a compact token lie.
    struct Parts {
        let header: Range<Int>
        let payload: Range<Int>
        let signature: Range<Int>

        init?(_ token: RawSpan) {
            var first: Int?
            var second: Int?
            for index in 0..<token.byteCount where token.byte(index) == UInt8(ascii: ".") {
                if first == nil {
                    first = index
                } else if second == nil {
                    second = index
                } else {
                    return nil
                }
            }
            guard let first, let second else { return nil }
            header = 0..<first
            payload = first + 1..<second
            signature = second + 1..<token.byteCount
        }
    }

    func signatureHolds(_ token: RawSpan, _ parts: Parts) -> Bool {
        var given = InlineArray<32, UInt8>(repeating: 0)
        var span = given.mutableSpan
        var raw = unsafe span.mutableBytes
        guard Base64.url.decode(token, parts.signature, into: &raw) == Digest.byteCount,
            let signature = Digest(raw.bytes)
        else { return false }
        return key.code(of: token.extracting(0..<parts.payload.upperBound)) == signature
    }

    /// Whether the header names HS256 and nothing that would change how the token is read: `typ`
    /// is absent or `JWT`, and any other member (`crit`, `kid`, `jwk`, `zip`…) refuses the token.
    static func isHS256(_ token: RawSpan, _ range: Range<Int>) -> Bool {
        if token.matches(Token.header, at: range) { return true }
        var scratch = InlineArray<192, UInt8>(repeating: 0)
        var span = scratch.mutableSpan
        var raw = unsafe span.mutableBytes
        guard let count = Base64.url.decode(token, range, into: &raw) else { return false }
        let header = raw.bytes.extracting(0..<count)
        var object = FlatObject(header)
        var algorithmSeen = false
        var typeSeen = false
        while true {
            switch object.next() {
            case .end: return algorithmSeen
            case .member(let name, .text(let value))
            where header.matches("alg", at: name) && !algorithmSeen:
                guard header.matches("HS256", at: value) else { return false }
                algorithmSeen = true
            case .member(let name, .text(let value))
            where header.matches("typ", at: name) && !typeSeen:
                guard header.matchesAnyCase("jwt", at: value) else { return false }
                typeSeen = true
            case .member, .malformed: return false
            }
        }
    }
}
