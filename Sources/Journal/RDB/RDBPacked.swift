/// The two packings in which Redis keeps a small list in one piece of memory, read back.
///
/// Both are dumps of memory, so every length in them is distrusted: it has to stay within the
/// piece, and what is said twice has to be said alike. An answer of nil is damage.
enum RDBPacked {
    /// Hands out each element; false when there is no more room for it.
    typealias Taking = (consuming [UInt8]) -> Bool

    enum Verdict { case whole, damaged, tooLong }

    // MARK: Listpack

    private static let listpackHeaderCount = 6
    private static let ziplistHeaderCount = 10
    private static let terminator: UInt8 = 0xFF
    /// A count that did not fit its two bytes: the elements have to be counted.
    private static let countUnknown = 0xFFFF

    static func listpack(_ bytes: [UInt8], _ take: Taking) -> Verdict {
        guard bytes.count > listpackHeaderCount, little(bytes, 0, 4) == UInt64(bytes.count),
            bytes[bytes.count - 1] == terminator
        else { return .damaged }
        let counted = Int(little(bytes, 4, 2))
        let end = bytes.count - 1
        var at = listpackHeaderCount
        var count = 0
        while at < end {
            guard let entry = listpackEntry(bytes, at, end) else { return .damaged }
            let backAt = at + entry.head + entry.body
            let back = backCount(entry.head + entry.body)
            guard backAt + back <= end, isBack(bytes, backAt, entry.head + entry.body)
            else { return .damaged }
            let element =
                if let number = entry.number { Array(String(number).utf8) } else {
                    Array(bytes[at + entry.head..<backAt])
                }
            guard take(element) else { return .tooLong }
            at = backAt + back
            count += 1
        }
        return counted == countUnknown || counted == count ? .whole : .damaged
    }

    /// How long an entry's head and its body are, and its value where it is a number.
    private typealias Entry = (head: Int, body: Int, number: Int64?)

    private static func listpackEntry(_ bytes: [UInt8], _ at: Int, _ end: Int) -> Entry? {
        let code = bytes[at]
        let entry: Entry
        if code & 0x80 == 0 { return (1, 0, Int64(code)) }
        if code & 0xC0 == 0x80 {
            entry = (1, Int(code & 0x3F), nil)
        } else if code & 0xE0 == 0xC0 {
            guard at + 1 < end else { return nil }
            let value = Int64(code & 0x1F) << 8 | Int64(bytes[at + 1])
            return (2, 0, value >= 1 << 12 ? value - 1 << 13 : value)
        } else if code & 0xF0 == 0xE0 {
            guard at + 1 < end else { return nil }
            entry = (2, Int(code & 0x0F) << 8 | Int(bytes[at + 1]), nil)
        } else if code == 0xF0 {
            guard at + 5 <= end else { return nil }
            entry = (5, Int(little(bytes, at + 1, 4)), nil)
        } else {
            let width =
                switch code {
                case 0xF1: 2
                case 0xF2: 3
                case 0xF3: 4
                case 0xF4: 8
                default: end
                }
            guard at + 1 + width <= end else { return nil }
            return (1, width, signed(bytes, at + 1, width))
        }
        guard at + entry.head + entry.body <= end else { return nil }
        return entry
    }

    /// Behind each entry stands its length, so that it can be walked backwards: seven bits a
    /// byte, the highest first, all but the first byte marked.
    static func backCount(_ length: Int) -> Int {
        switch length {
        case ...127: 1
        case ...16_382: 2
        case ...2_097_150: 3
        case ...268_435_454: 4
        default: 5
        }
    }

    private static func isBack(_ bytes: [UInt8], _ at: Int, _ length: Int) -> Bool {
        let count = backCount(length)
        for place in 0..<count {
            let seven = UInt8(length >> (7 * (count - 1 - place)) & 0x7F)
            guard bytes[at + place] == (place == 0 ? seven : seven | 0x80) else { return false }
        }
        return true
    }

    // MARK: Ziplist

    static func ziplist(_ bytes: [UInt8], _ take: Taking) -> Verdict {
        guard bytes.count > ziplistHeaderCount, little(bytes, 0, 4) == UInt64(bytes.count),
            bytes[bytes.count - 1] == terminator
        else { return .damaged }
        let tail = Int(little(bytes, 4, 4))
        let counted = Int(little(bytes, 8, 2))
        let end = bytes.count - 1
        var at = ziplistHeaderCount
        var before = 0
        var count = 0
        var last = ziplistHeaderCount
        while at < end {
            last = at
            var head = 1
            var said = Int(bytes[at])
            if said >= 0xFE {
                guard said == 0xFE, at + 5 <= end else { return .damaged }
                said = Int(little(bytes, at + 1, 4))
                head = 5
            }
            guard said == before, at + head < end,
                let entry = ziplistEntry(bytes, at + head, end)
            else { return .damaged }
            let bodyAt = at + head + entry.head
            let element =
                if let number = entry.number { Array(String(number).utf8) } else {
                    Array(bytes[bodyAt..<bodyAt + entry.body])
                }
            guard take(element) else { return .tooLong }
            before = bodyAt + entry.body - at
            at += before
            count += 1
        }
        guard tail == last else { return .damaged }
        return counted == countUnknown || counted == count ? .whole : .damaged
    }

    private static func ziplistEntry(_ bytes: [UInt8], _ at: Int, _ end: Int) -> Entry? {
        let code = bytes[at]
        let entry: Entry
        switch code >> 6 {
        case 0: entry = (1, Int(code & 0x3F), nil)
        case 1:
            guard at + 1 < end else { return nil }
            entry = (2, Int(code & 0x3F) << 8 | Int(bytes[at + 1]), nil)
        case 2:
            guard code == 0x80, at + 5 <= end else { return nil }
            entry = (5, Int(UInt32(truncatingIfNeeded: little(bytes, at + 1, 4)).byteSwapped), nil)
        default:
            if code >= 0xF1, code <= 0xFD { return (1, 0, Int64(code & 0x0F) - 1) }
            let width =
                switch code {
                case 0xFE: 1
                case 0xC0: 2
                case 0xF0: 3
                case 0xD0: 4
                case 0xE0: 8
                default: end
                }
            guard at + 1 + width <= end else { return nil }
            return (1, width, signed(bytes, at + 1, width))
        }
        guard at + entry.head + entry.body <= end else { return nil }
        return entry
    }

    // MARK: Numbers

    private static func little(_ bytes: [UInt8], _ at: Int, _ width: Int) -> UInt64 {
        var value: UInt64 = 0
        for place in 0..<width { value |= UInt64(bytes[at + place]) << UInt64(8 * place) }
        return value
    }

    private static func signed(_ bytes: [UInt8], _ at: Int, _ width: Int) -> Int64 {
        let unused = UInt64(64 - 8 * width)
        return Int64(bitPattern: little(bytes, at, width) << unused) >> Int64(unused)
    }
}
