/// An account as it lies in the store: a flat JSON object, so that whoever has to look at one by
/// hand can read it.
///
///     {"id":"…","name":"alice","password":"$scrypt$…","state":"active","created_at":1795236826592}
///
/// The password is the hash's own text, which says what it cost.
extension Account {
    /// What `init(encoded:)` looks at, at most: far more than any account takes.
    public static let encodedBytesMax = 1024

    public var encoded: [UInt8] {
        var output: [UInt8] = []
        output.append(ascii: #"{"id":""#)
        id.append(to: &output)
        output.append(ascii: #"","name":""#)
        name.append(to: &output)
        output.append(ascii: #"","password":""#)
        output.append(contentsOf: password.encoded)
        output.append(ascii: isActive ? #"","state":"active""# : #"","state":"inactive""#)
        output.append(ascii: #","created_at":"#)
        output.append(decimal: createdAtMs)
        output.append(ascii: "}")
        return output
    }

    /// Reads an account; nil where it is not whole, or says something this version doesn't know: an
    /// account read in part could let somebody in whom a later version keeps out.
    public init?(encoded: RawSpan) {
        guard encoded.byteCount <= Self.encodedBytesMax else { return nil }
        var id: Identifier?
        var name: UserName?
        var password: PasswordHash?
        var isActive: Bool?
        var createdAtMs: UInt64?
        var object = FlatObject(encoded)
        walk: while true {
            switch object.next() {
            case .malformed: return nil
            case .end: break walk
            case .member(let member, .number(let number)):
                guard encoded.matches("created_at", at: member) else { return nil }
                createdAtMs = number
            case .member(let member, .text(let text)):
                if encoded.matches("id", at: member) {
                    id = Identifier(encoded, text)
                } else if encoded.matches("name", at: member) {
                    name = UserName(encoded, text)
                } else if encoded.matches("password", at: member) {
                    password = PasswordHash(encoded: encoded.extracting(text))
                } else if encoded.matches("state", at: member) {
                    if encoded.matches("active", at: text) { isActive = true }
                    if encoded.matches("inactive", at: text) { isActive = false }
                } else {
                    return nil
                }
            }
        }
        guard let id, let name, let password, let isActive, let createdAtMs else { return nil }
        self.init(
            id: id, name: name, password: password, isActive: isActive, createdAtMs: createdAtMs)
    }
}
