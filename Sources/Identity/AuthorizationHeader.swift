/// What an `Authorization` header asks for (RFC 9110 section 11.4, RFC 6750 section 2.1).
///
/// A bearer token's own characters aren't looked at: what verified before is found by comparing
/// all of them, and anything else has to get past `TokenVerifier` or `APIKey`.
public enum AuthorizationHeader: Equatable, Sendable {
    case none
    /// The token's place in the value.
    case bearer(Range<Int>)
    /// Another scheme, or a scheme without a credential.
    case other

    public static func parse(_ value: RawSpan) -> AuthorizationHeader {
        var end = value.byteCount
        while end > 0, isSpace(value.byte(end - 1)) { end -= 1 }
        var start = 0
        while start < end, isSpace(value.byte(start)) { start += 1 }
        guard start < end else { return .none }
        guard end - start > 7 else { return .other }
        // Seven of eight bytes as one word; setting 0x20 makes letters small, and no byte but a
        // letter becomes one by it.
        let word = unsafe value.unsafeLoadUnaligned(fromByteOffset: start, as: UInt64.self)
        guard UInt64(littleEndian: word) << 8 | 0x2020_2020_2020 << 8 == Self.bearer else {
            return .other
        }
        start += 7
        while start < end, value.byte(start) == 0x20 { start += 1 }
        guard start < end else { return .other }
        return .bearer(start..<end)
    }

    /// `bearer ` as a little-endian word, one byte up.
    private static let bearer: UInt64 = 0x2072_6572_6165_6200

    @inline(__always)
    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}
