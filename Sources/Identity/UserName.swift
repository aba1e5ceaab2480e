/// A user's name: 1 to 64 of `A-Za-z0-9._-`, beginning with a letter or a digit.
///
/// The set is the one of table names, so a name goes unescaped through URLs, JSON, RESP, log
/// lines and file names; no leading `.`, `_` or `-`, so that it is never a hidden file, one of our
/// reserved names or an option. Case matters: `Alice` is not `alice`. Kept inline, padded with
/// zeros, so that names cost no allocation and compare by words.
public struct UserName: Hashable, Sendable, BitwiseCopyable {
    public static let bytesMax = 64

    private var words: InlineArray<8, UInt64>
    private var length: UInt8

    public init?(_ text: RawSpan, _ range: Range<Int>) {
        guard !range.isEmpty, range.count <= Self.bytesMax else { return nil }
        words = InlineArray(repeating: 0)
        length = UInt8(range.count)
        for (position, index) in range.enumerated() {
            let byte = text.byte(index)
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                break
            case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                if position == 0 { return nil }
            default: return nil
            }
            words[position / 8] |= UInt64(byte) << UInt64(8 * (position % 8))
        }
    }

    public init?(_ text: RawSpan) { self.init(text, 0..<text.byteCount) }

    public init?(_ text: String) { self.init(unsafe Array(text.utf8).span.bytes) }

    public var count: Int { Int(length) }

    public func append(to output: inout [UInt8]) {
        for index in 0..<count {
            output.append(UInt8(truncatingIfNeeded: words[index / 8] >> UInt64(8 * (index % 8))))
        }
    }

    public var text: String {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    public static func == (left: UserName, right: UserName) -> Bool {
        var difference = UInt64(left.length ^ right.length)
        for index in 0..<8 { difference |= left.words[index] ^ right.words[index] }
        return difference == 0
    }

    public func hash(into hasher: inout Hasher) {
        for index in 0..<(count + 7) / 8 { hasher.combine(words[index]) }
    }

    /// A keyed hash for tables of fixed size.
    func hashed(with key: SipKey) -> UInt64 {
        var hasher = SipHash(key)
        for index in 0..<(count + 7) / 8 { hasher.mix(words[index]) }
        return hasher.finish(UInt64(length))
    }

    /// Known to every node without being created: the operator, and whoever speaks RESP without
    /// AUTH. Were they free, the first visitor could take them and own what others wrote.
    public static let admin = UserName("admin")!
    public static let `default` = UserName("default")!
}
