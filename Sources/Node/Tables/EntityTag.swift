import Keyspace
import Wire

/// A record's entity tag, `"version-stamp"` in quotes, and the header fields that hold some
/// (RFC 9110 8.8.3, 13.1).
///
/// Clients take it as opaque. The version stands first, so that a tag tells a reader something,
/// and the stamp makes it right: after an eviction versions start again at 1.
/// A version alone in quotes, `"3"`, is taken as well: the record says it, so a client that never
/// kept the tag can still be careful.
enum EntityTag {
    /// Two quotes, 20 digits, a dash, 16 hexadecimal digits.
    static let bytesMax = 2 + 20 + 1 + 16

    static func write(version: UInt64, stamp: Stamp, into writer: inout ByteWriter) {
        writer.write(byte: 0x22)
        writer.write(decimal: version)
        writer.write(byte: 0x2D)
        writer.writeHex(stamp.rawValue, digits: 16)
        writer.write(byte: 0x22)
    }

    /// The field as the last of a head, with the head's end. It takes `fieldBytes` and the digits of
    /// the version; a few bytes more are written over for a moment. Answers where it ends.
    @unsafe @inline(__always)
    static func writeField(
        version: UInt64, stamp: Stamp, to start: UnsafeMutableRawPointer
    ) -> UnsafeMutableRawPointer {
        // CR LF `ETag: ` and the quote.
        unsafe start.storeBytes(of: 0x203A_6761_5445_0A0D, as: UInt64.self)
        unsafe start.storeBytes(of: 0x22, toByteOffset: 8, as: UInt8.self)
        var writer = unsafe ByteWriter(
            (start + 9).assumingMemoryBound(to: UInt8.self), capacity: 32)
        writer.write(decimal: version)
        let place = unsafe start + 9 + writer.count
        unsafe place.storeBytes(of: 0x2D, as: UInt8.self)
        unsafe place.storeBytes(
            of: DigitText.eightHexDigits(UInt32(truncatingIfNeeded: stamp.rawValue >> 32)),
            toByteOffset: 1, as: UInt64.self)
        unsafe place.storeBytes(
            of: DigitText.eightHexDigits(UInt32(truncatingIfNeeded: stamp.rawValue)),
            toByteOffset: 9, as: UInt64.self)
        // The quote, and two line ends.
        unsafe place.storeBytes(of: 0x0A_0D0A_0D22, toByteOffset: 17, as: UInt64.self)
        return unsafe place + 22
    }

    static var fieldBytes: Int { 31 }

    /// How many bytes `write` writes.
    static func byteCount(version: UInt64) -> Int {
        ByteWriter.decimalDigits(of: version) + bytesMax - 20
    }

    /// What a tag names.
    enum Named: Equatable, Sendable, BitwiseCopyable {
        /// A tag of ours.
        case exactly(UInt64, Stamp)
        /// A bare version.
        case version(UInt64)
        /// A tag that no record of ours can have.
        case foreign
    }

    /// Whether one of the tags in a field is the record's, or the field is `*`; nil when it is
    /// malformed, wherever in it that shows. A weak tag is compared by what is in its quotes for
    /// `If-None-Match`, and equals nothing for `If-Match` (`allowsWeak` false).
    static func matches(
        _ field: RawSpan, version: UInt64, stamp: Stamp, allowsWeak: Bool = true
    ) -> Bool? {
        unsafe field.withUnsafeBytes { field in
            var tags = unsafe Tags(field)
            var isMatch = false
            while true {
                switch tags.next() {
                case .tag(let tag):
                    if tag.isWeak && !allowsWeak { continue }
                    switch tag.named {
                    case .exactly(version, stamp), .version(version): isMatch = true
                    default: break
                    }
                case .any: return true
                case .malformed: return nil
                case .end: return isMatch
                }
            }
        }
    }
}

/// The entity tags of a field value, one after the other. Empty elements are passed over
/// (RFC 9110 5.6.1.2), but one tag there has to be.
@safe
private struct Tags {
    enum Step {
        case tag(Tag)
        /// The whole field is `*`.
        case any
        case malformed
        case end
    }

    struct Tag {
        var isWeak: Bool
        var named: EntityTag.Named
    }

    private let field: UnsafeRawBufferPointer
    private var at = 0
    private var count = 0

    init(_ field: UnsafeRawBufferPointer) { unsafe self.field = unsafe field }

    mutating func next() -> Step {
        while unsafe at < field.count, unsafe isBlank(field[at]) || field[at] == 0x2C { at += 1 }
        guard unsafe at < field.count else { return count > 0 ? .end : .malformed }
        if unsafe field[at] == 0x2A { return isOnlyStar() ? .any : .malformed }
        let isWeak = unsafe at + 1 < field.count && field[at] == 0x57 && field[at + 1] == 0x2F
        if isWeak { at += 2 }
        guard unsafe at < field.count, unsafe field[at] == 0x22 else { return .malformed }
        let start = at + 1
        at = start
        while unsafe at < field.count, unsafe isOpaque(field[at]) { at += 1 }
        guard unsafe at < field.count, unsafe field[at] == 0x22 else { return .malformed }
        let opaque = unsafe UnsafeRawBufferPointer(rebasing: field[start..<at])
        at += 1
        while unsafe at < field.count, unsafe isBlank(field[at]) { at += 1 }
        guard unsafe at == field.count || field[at] == 0x2C else { return .malformed }
        count += 1
        return unsafe .tag(Tag(isWeak: isWeak, named: understand(opaque)))
    }

    private func isOnlyStar() -> Bool {
        for index in unsafe 0..<field.count where unsafe index != at && !isBlank(field[index]) {
            return false
        }
        return true
    }

    private func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// RFC 9110 8.8.3 `etagc`.
    private func isOpaque(_ byte: UInt8) -> Bool { byte >= 0x21 && byte != 0x22 && byte != 0x7F }

    /// Only as we write them: another spelling was not ours, so it equals nothing.
    private func understand(_ opaque: UnsafeRawBufferPointer) -> EntityTag.Named {
        var version: UInt64 = 0
        var at = 0
        // 19 digits fit 64 bits; a version has 12 at most.
        while at < opaque.count, at < 19, unsafe opaque[at] &- 0x30 < 10 {
            version = unsafe version * 10 + UInt64(opaque[at] &- 0x30)
            at += 1
        }
        guard at > 0, unsafe opaque[0] != 0x30 else { return .foreign }
        if at == opaque.count { return .version(version) }
        guard opaque.count == at + 17, unsafe opaque[at] == 0x2D else { return .foreign }
        var stamp: UInt64 = 0
        for index in (at + 1)..<opaque.count {
            let byte = unsafe opaque[index]
            let digit: UInt8
            switch byte {
            case 0x30...0x39: digit = byte - 0x30
            case 0x61...0x66: digit = byte - 0x57
            default: return .foreign
            }
            stamp = stamp << 4 | UInt64(digit)
        }
        return .exactly(version, Stamp(rawValue: stamp))
    }
}
