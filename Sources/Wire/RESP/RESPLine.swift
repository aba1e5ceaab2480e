/// A line of words with Redis' quoting, as people type it: `SET "a key" 'it''s'`.
///
/// In double quotes `\n \r \t \b \a \xHH` stand for what they stand for in C, and a backslash
/// before another character for that character; in single quotes only `\'` is special. A closing
/// quote has to be followed by a space or the end.
public enum RESPLine {
    /// The words of a line into the list's own memory; false where a quote is not closed.
    public static func split(
        _ line: UnsafeRawBufferPointer, into arguments: inout RESPArguments
    ) -> Bool {
        arguments.removeAll()
        let room = unsafe arguments.beginWords(line.count)
        var written = 0
        var at = 0
        while true {
            while at < line.count, isSpace(unsafe line[at]) { at += 1 }
            guard at < line.count, unsafe line[at] != 0 else { return true }
            let start = written
            var isOpen = true
            while isOpen, at < line.count {
                let byte = unsafe line[at]
                switch byte {
                case UInt8(ascii: "\""), UInt8(ascii: "'"):
                    guard
                        let end = unsafe quoted(line, from: at + 1, by: byte, into: room, &written)
                    else { return false }
                    at = end
                    isOpen = false
                    if at < line.count, !isSpace(unsafe line[at]) { return false }
                case 0x20, 0x0A, 0x0D, 0x09, 0x00: isOpen = false
                default:
                    unsafe room.storeBytes(of: byte, toByteOffset: written, as: UInt8.self)
                    written += 1
                    at += 1
                }
            }
            arguments.append(start, written - start)
        }
    }

    /// What stands in quotes; answers with the place after the closing one.
    private static func quoted(
        _ line: UnsafeRawBufferPointer, from start: Int, by quote: UInt8,
        into room: UnsafeMutableRawPointer, _ written: inout Int
    ) -> Int? {
        var at = start
        func put(_ byte: UInt8) {
            unsafe room.storeBytes(of: byte, toByteOffset: written, as: UInt8.self)
            written += 1
        }
        while at < line.count {
            let byte = unsafe line[at]
            if byte == 0 { return nil }
            if byte == quote { return at + 1 }
            guard byte == UInt8(ascii: "\\"), at + 1 < line.count else {
                put(byte)
                at += 1
                continue
            }
            let next = unsafe line[at + 1]
            if quote == UInt8(ascii: "'") {
                if next == quote {
                    put(quote)
                    at += 2
                } else {
                    put(byte)
                    at += 1
                }
                continue
            }
            if next == UInt8(ascii: "x"), at + 3 < line.count,
                case let high = unsafe ByteScan.hexValue(line[at + 2]), high < 16,
                case let low = unsafe ByteScan.hexValue(line[at + 3]), low < 16
            {
                put(high << 4 | low)
                at += 4
                continue
            }
            switch next {
            case UInt8(ascii: "n"): put(0x0A)
            case UInt8(ascii: "r"): put(0x0D)
            case UInt8(ascii: "t"): put(0x09)
            case UInt8(ascii: "b"): put(0x08)
            case UInt8(ascii: "a"): put(0x07)
            default: put(next)
            }
            at += 2
        }
        return nil
    }

    /// C's `isspace`.
    @inline(__always)
    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || (byte >= 0x09 && byte <= 0x0D)
    }
}
