/// What a credential may do. A user's own token has them all but `admin`.
public struct Scopes: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let read = Scopes(rawValue: 1)
    public static let write = Scopes(rawValue: 2)
    public static let admin = Scopes(rawValue: 4)

    /// The scope of this name, or nil: an unknown scope is the asker's mistake, never ignored.
    public init?(name: RawSpan) {
        let whole = 0..<name.byteCount
        if name.matches("read", at: whole) {
            self = .read
        } else if name.matches("write", at: whole) {
            self = .write
        } else if name.matches("admin", at: whole) {
            self = .admin
        } else {
            return nil
        }
    }
}

/// `ntl_` and 256 random bits in base64url: 47 characters.
///
/// The store keeps `digest` and `displayPrefix`, never the key. One round of SHA-256 is enough for
/// a secret nobody chose. Digests are compared in constant time.
public enum APIKey {
    public static let randomBytes = 32
    public static let textCount = 47

    /// `ntl_` and 8 characters: enough to tell one's keys apart, 208 bits stay unknown.
    public static let displayPrefixCount = 12

    /// The key to show once, from 32 random bytes.
    public static func make(random: RawSpan) -> [UInt8] {
        invariant(random.byteCount == randomBytes, "an API key is 32 random bytes")
        var text: [UInt8] = []
        text.append(ascii: "ntl_")
        Base64.url.append(random, to: &text)
        return text
    }

    /// What to look a key up by, or nil where this can't be a key and nothing needs hashing.
    public static func digest(of text: RawSpan) -> Digest? {
        guard text.byteCount == textCount, text.matches("ntl_", at: 0..<4) else { return nil }
        var scratch = InlineArray<32, UInt8>(repeating: 0)
        var span = scratch.mutableSpan
        var raw = unsafe span.mutableBytes
        guard Base64.url.decode(text, 4..<textCount, into: &raw) == randomBytes else { return nil }
        return .sha256(text)
    }
}
