/// What a reply has to know of its request, small enough to be kept until the reply is made.
struct ReplyShape: OptionSet {
    let rawValue: UInt8
    /// To HEAD: the same head, and no body.
    static let headOnly = ReplyShape(rawValue: 1 << 0)
    static let version10 = ReplyShape(rawValue: 1 << 1)
    /// The last reply of its connection.
    static let closes = ReplyShape(rawValue: 1 << 2)
    /// The request came from a page of some origin, which has to be told that it may look.
    static let crossOrigin = ReplyShape(rawValue: 1 << 3)
}
