/// What a token is for. A refresh token buys new tokens and nothing else.
public enum TokenUse: Sendable, BitwiseCopyable {
    case access, refresh

    var text: StaticString {
        switch self {
        case .access: "access"
        case .refresh: "refresh"
        }
    }
}

/// What a token says: the members `sub`, `name`, `exp`, `iat`, `jti`, `sid`, `typ`, all of them
/// and no others.
///
/// A member we don't know might narrow what the token allows, so a token that has one is refused
/// rather than read in part. Times are whole seconds since 1970 (RFC 7519 section 2).
public struct Claims: Equatable, Sendable, BitwiseCopyable {
    public var subject: Identifier
    public var name: UserName
    public var expiresAtS: UInt64
    public var issuedAtS: UInt64
    public var token: Identifier
    public var login: Identifier
    public var use: TokenUse

    public init(
        subject: Identifier, name: UserName, expiresAtS: UInt64, issuedAtS: UInt64,
        token: Identifier, login: Identifier, use: TokenUse
    ) {
        self.subject = subject
        self.name = name
        self.expiresAtS = expiresAtS
        self.issuedAtS = issuedAtS
        self.token = token
        self.login = login
        self.use = use
    }

    /// Reads a payload; nil where it isn't exactly what we write, give or take white space and
    /// the order of members. A member said twice is refused (RFC 7519 section 4 leaves the choice).
    init?(_ payload: RawSpan) {
        var subject: Identifier?
        var name: UserName?
        var expiresAtS: UInt64?
        var issuedAtS: UInt64?
        var token: Identifier?
        var login: Identifier?
        var use: TokenUse?
        var object = FlatObject(payload)
        walk: while true {
            switch object.next() {
            case .malformed: return nil
            case .end: break walk
            case .member(let member, .number(let number)):
                if payload.matches("exp", at: member), expiresAtS == nil {
                    expiresAtS = number
                } else if payload.matches("iat", at: member), issuedAtS == nil {
                    issuedAtS = number
                } else {
                    return nil
                }
            case .member(let member, .text(let text)):
                if payload.matches("sub", at: member), subject == nil {
                    subject = Identifier(payload, text)
                    if subject == nil { return nil }
                } else if payload.matches("name", at: member), name == nil {
                    name = UserName(payload, text)
                    if name == nil { return nil }
                } else if payload.matches("jti", at: member), token == nil {
                    token = Identifier(payload, text)
                    if token == nil { return nil }
                } else if payload.matches("sid", at: member), login == nil {
                    login = Identifier(payload, text)
                    if login == nil { return nil }
                } else if payload.matches("typ", at: member), use == nil {
                    if payload.matches(TokenUse.access.text, at: text) {
                        use = .access
                    } else if payload.matches(TokenUse.refresh.text, at: text) {
                        use = .refresh
                    } else {
                        return nil
                    }
                } else {
                    return nil
                }
            }
        }
        guard let subject, let name, let expiresAtS, let issuedAtS, let token, let login, let use
        else { return nil }
        self.init(
            subject: subject, name: name, expiresAtS: expiresAtS, issuedAtS: issuedAtS,
            token: token, login: login, use: use)
    }

    /// Writes the payload. Nothing needs escaping: every part has its own narrow alphabet.
    func append(to output: inout [UInt8]) {
        output.append(ascii: #"{"sub":""#)
        subject.append(to: &output)
        output.append(ascii: #"","name":""#)
        name.append(to: &output)
        output.append(ascii: #"","exp":"#)
        output.append(decimal: expiresAtS)
        output.append(ascii: #","iat":"#)
        output.append(decimal: issuedAtS)
        output.append(ascii: #","jti":""#)
        token.append(to: &output)
        output.append(ascii: #"","sid":""#)
        login.append(to: &output)
        output.append(ascii: #"","typ":""#)
        output.append(ascii: use.text)
        output.append(ascii: #""}"#)
    }
}
