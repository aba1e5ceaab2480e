/// Percent-encoding (RFC 3986 2.1), and the query's older habit of writing a space as `+`.
public enum Percent {
    /// Whose rules hold for `+`: in a path it is itself, in a query (as browsers' forms and curl's
    /// `--data-urlencode` send it) a space.
    public enum Part: Sendable {
        case path
        case query
    }

    /// Writes the decoded bytes and answers with how many there are, or with nil when a `%` is not
    /// followed by two hexadecimal digits; then nothing is counted as written.
    ///
    /// Needs room for as many bytes as come in. `writer` may write over `bytes` themselves, from
    /// their first byte or earlier, because decoding never gets ahead of reading.
    public static func decode(
        _ bytes: RawSpan, as part: Part, into writer: inout ByteWriter
    ) -> Int? {
        invariant(writer.hasRoom(bytes.byteCount), "no room for the decoded bytes")
        let before = writer.count
        let end = bytes.byteCount
        let plus: UInt8 = part == .query ? 0x2B : 0x25
        var index = 0
        while index < end {
            let stop = ByteScan.first(of: 0x25, or: plus, in: bytes, from: index, to: end)
            copy(bytes, from: index, to: stop, into: &writer)
            if stop == end { break }
            index = stop
            if bytes.byte(index) == 0x25 {
                guard index + 2 < end else {
                    writer.rewind(to: before)
                    return nil
                }
                let high = ByteScan.hexValue(bytes.byte(index + 1))
                let low = ByteScan.hexValue(bytes.byte(index + 2))
                guard high | low < 16 else {
                    writer.rewind(to: before)
                    return nil
                }
                writer.write(byte: high &<< 4 | low)
                index += 3
            } else {
                writer.write(byte: 0x20)
                index += 1
            }
        }
        return writer.count - before
    }

    /// Whether decoding would change or refuse anything: where it would not, the bytes can be used
    /// where they lie.
    public static func isPlain(_ bytes: RawSpan, as part: Part) -> Bool {
        let end = bytes.byteCount
        let plus: UInt8 = part == .query ? 0x2B : 0x25
        return ByteScan.first(of: 0x25, or: plus, in: bytes, from: 0, to: end) == end
    }

    /// Writes every byte that is not a letter, a digit or one of `-._~` as `%XX`: right in any
    /// part of a URI. Needs room for three times as many bytes as come in.
    public static func encode(_ bytes: RawSpan, into writer: inout ByteWriter) {
        for index in 0..<bytes.byteCount {
            let byte = bytes.byte(index)
            if ASCIISet.unreserved.contains(byte) {
                writer.write(byte: byte)
            } else {
                writer.write(byte: 0x25)
                writer.write(byte: upperHex(byte &>> 4))
                writer.write(byte: upperHex(byte & 15))
            }
        }
    }

    private static func upperHex(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? 0x30 + nibble : 0x37 + nibble
    }

    /// Source and target may be the same memory, which `copyMemory` allows.
    @inline(__always)
    private static func copy(
        _ bytes: RawSpan, from start: Int, to end: Int, into writer: inout ByteWriter
    ) {
        let size = end &- start
        if size == 0 { return }
        let target = unsafe writer.reserve(size)
        unsafe bytes.withUnsafeBytes { source in
            unsafe UnsafeMutableRawPointer(target).copyMemory(
                from: source.baseAddress! + start, byteCount: size)
        }
    }
}
