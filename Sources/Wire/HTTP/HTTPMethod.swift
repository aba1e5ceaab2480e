/// The method of a request. Methods are case-sensitive (RFC 9110 9.1): `get` is `other`.
public enum HTTPMethod: UInt8, Sendable, BitwiseCopyable {
    case get
    case head
    case post
    case put
    case patch
    case delete
    case options
    case trace
    case connect
    /// A well-formed method that nobody here knows: 501.
    case other

    /// The name as it is sent, for `Allow` and for logs.
    public var name: StaticString {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .patch: "PATCH"
        case .delete: "DELETE"
        case .options: "OPTIONS"
        case .trace: "TRACE"
        case .connect: "CONNECT"
        case .other: "?"
        }
    }

    /// The method that `length` bytes at the start of `word` spell; whatever follows them in the
    /// word is disregarded.
    @inline(__always)
    init(word: UInt64, length: Int) {
        let spelled = length >= 8 ? word : word & ((1 &<< UInt64(length &* 8)) &- 1)
        // A name and zeros after it make the word of the name alone.
        guard length > 0, length <= 7, spelled &>> UInt64(length &* 8 &- 8) != 0 else {
            self = .other
            return
        }
        switch spelled {
        case 0x54_4547: self = .get
        case 0x44_4145_48: self = .head
        case 0x54_534F_50: self = .post
        case 0x54_5550: self = .put
        case 0x48_4354_4150: self = .patch
        case 0x4554_454C_4544: self = .delete
        case 0x53_4E4F_4954_504F: self = .options
        case 0x45_4341_5254: self = .trace
        case 0x54_4345_4E4E_4F43: self = .connect
        default: self = .other
        }
    }
}
