/// Writes an RDB file that Redis 7.0 and later load: strings and lists, with their expiries, of
/// any number of databases.
///
/// ```swift
/// var writer = RDBWriter(at: nowSeconds)
/// writer.select(0, records: 2, expiring: 1)
/// writer.string(key, bytes, expiresAtMs: nil)
/// writer.beginList(); writer.element(bytes); …; writer.endList(key, expiresAtMs: nil)
/// file.write(writer.drain())           // as often as it suits, for instance at 64 KiB
/// writer.end()
/// file.write(writer.drain())
/// ```
public struct RDBWriter {
    /// What was written and not yet drained.
    private var bytes: [UInt8] = []
    private var checksum = CRC64()
    private let compresses: Bool

    /// The list being gathered: its finished nodes, and the elements of the one that is filled.
    private var nodes: [UInt8] = []
    private var nodeCount: UInt64 = 0
    private var listpack: [UInt8] = []
    private var listpackCount = 0

    /// A node holds about as much as Redis puts into one (list-max-listpack-size -2).
    private static let nodeBytesMax = 8 << 10
    private static let listpackHeaderCount = 6
    private static let listpackCountMax = 0xFFFE

    /// `compresses` is Redis' rdbcompression: strings and list nodes in LZF where that is
    /// shorter.
    public init(at seconds: Int64, compresses: Bool = true) {
        self.compresses = compresses
        bytes.append(contentsOf: RDBFormat.magic)
        for place in [1000, 100, 10, 1] {
            bytes.append(UInt8(0x30 + RDBFormat.versionWritten / place % 10))
        }
        // Tools read these; a server only logs them. The version is that of the format's server.
        aux("redis-ver", "7.0.0")
        aux("redis-bits", "64")
        aux("ctime", String(seconds))
    }

    /// How much waits to be drained.
    public var count: Int { bytes.count }

    /// Hands over what was written since the last time.
    public mutating func drain() -> [UInt8] {
        unsafe bytes.withUnsafeBytes { unsafe checksum.update($0) }
        defer { bytes.removeAll(keepingCapacity: true) }
        return bytes
    }

    /// What follows stands in this database. The counts let a server size its tables at once;
    /// they may be wrong.
    public mutating func select(_ database: UInt64, records: Int, expiring: Int) {
        bytes.append(RDBFormat.Opcode.select)
        length(database)
        bytes.append(RDBFormat.Opcode.resize)
        length(UInt64(records))
        length(UInt64(expiring))
    }

    public mutating func string(_ key: [UInt8], _ value: [UInt8], expiresAtMs: Int64?) {
        expiry(expiresAtMs)
        bytes.append(RDBFormat.Kind.string)
        string(key)
        string(value)
    }

    public mutating func write(_ entry: RDBEntry) {
        switch entry.value {
        case .string(let value): string(entry.key, value, expiresAtMs: entry.expiresAtMs)
        case .list(let elements):
            beginList()
            for element in elements { self.element(element) }
            endList(entry.key, expiresAtMs: entry.expiresAtMs)
        }
    }

    /// The end of the file, with its checksum.
    public mutating func end() {
        bytes.append(RDBFormat.Opcode.end)
        // The last drain has to sum what is before the checksum, and it alone.
        unsafe bytes.withUnsafeBytes { unsafe checksum.update($0) }
        let sum = checksum.value
        word(sum, 8)
    }

    // MARK: Lists

    /// A list's elements come before its key: the file begins it with the number of its nodes.
    public mutating func beginList() {
        nodes.removeAll(keepingCapacity: true)
        nodeCount = 0
        clearListpack()
    }

    public mutating func element(_ element: [UInt8]) {
        if element.count > Self.nodeBytesMax {
            endNode()
            Self.length(RDBFormat.Container.plain, &nodes)
            Self.string(element, compresses: compresses, into: &nodes)
            nodeCount += 1
            return
        }
        if listpack.count + element.count > Self.nodeBytesMax
            || listpackCount == Self.listpackCountMax
        {
            endNode()
        }
        let start = listpack.count
        if let number = Self.number(element, digitsMax: 19) {
            Self.listpack(number, &listpack)
        } else {
            Self.listpack(element, &listpack)
        }
        Self.listpackBack(listpack.count - start, &listpack)
        listpackCount += 1
    }

    /// A list without elements is not written: no server would have it.
    public mutating func endList(_ key: [UInt8], expiresAtMs: Int64?) {
        endNode()
        guard nodeCount > 0 else { return }
        expiry(expiresAtMs)
        bytes.append(RDBFormat.Kind.list)
        string(key)
        length(nodeCount)
        bytes.append(contentsOf: nodes)
    }

    private mutating func endNode() {
        guard listpackCount > 0 else { return }
        listpack.append(0xFF)
        for place in 0..<4 {
            listpack[place] = UInt8(truncatingIfNeeded: listpack.count >> (8 * place))
        }
        listpack[4] = UInt8(truncatingIfNeeded: listpackCount)
        listpack[5] = UInt8(truncatingIfNeeded: listpackCount >> 8)
        Self.length(RDBFormat.Container.packed, &nodes)
        Self.string(listpack, compresses: compresses, into: &nodes)
        nodeCount += 1
        clearListpack()
    }

    private mutating func clearListpack() {
        listpack.removeAll(keepingCapacity: true)
        listpack.append(contentsOf: repeatElement(0, count: Self.listpackHeaderCount))
        listpackCount = 0
    }

    private static func listpack(_ number: Int64, _ out: inout [UInt8]) {
        let width: Int
        switch number {
        case 0...127:
            out.append(UInt8(number))
            return
        case -4096...4095:
            out.append(0xC0 | UInt8(number >> 8 & 0x1F))
            out.append(UInt8(truncatingIfNeeded: number))
            return
        case -(1 << 15)..<1 << 15: (width, _) = (2, out.append(0xF1))
        case -(1 << 23)..<1 << 23: (width, _) = (3, out.append(0xF2))
        case -(1 << 31)..<1 << 31: (width, _) = (4, out.append(0xF3))
        default: (width, _) = (8, out.append(0xF4))
        }
        for place in 0..<width { out.append(UInt8(truncatingIfNeeded: number >> (8 * place))) }
    }

    private static func listpack(_ text: [UInt8], _ out: inout [UInt8]) {
        switch text.count {
        case ..<64: out.append(0x80 | UInt8(text.count))
        case ..<4096:
            out.append(0xE0 | UInt8(text.count >> 8))
            out.append(UInt8(truncatingIfNeeded: text.count))
        default:
            out.append(0xF0)
            for place in 0..<4 { out.append(UInt8(truncatingIfNeeded: text.count >> (8 * place))) }
        }
        out.append(contentsOf: text)
    }

    private static func listpackBack(_ length: Int, _ out: inout [UInt8]) {
        let count = RDBPacked.backCount(length)
        for place in 0..<count {
            let seven = UInt8(length >> (7 * (count - 1 - place)) & 0x7F)
            out.append(place == 0 ? seven : seven | 0x80)
        }
    }

    // MARK: Pieces

    private mutating func aux(_ name: String, _ value: String) {
        bytes.append(RDBFormat.Opcode.aux)
        string(Array(name.utf8))
        string(Array(value.utf8))
    }

    private mutating func expiry(_ expiresAtMs: Int64?) {
        guard let expiresAtMs else { return }
        bytes.append(RDBFormat.Opcode.expiresAtMs)
        word(UInt64(bitPattern: expiresAtMs), 8)
    }

    private mutating func word(_ value: UInt64, _ width: Int) {
        for place in 0..<width {
            bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * place)))
        }
    }

    private mutating func length(_ value: UInt64) { Self.length(value, &bytes) }

    private static func length(_ value: UInt64, _ out: inout [UInt8]) {
        let width: Int
        switch value {
        case ..<64:
            out.append(UInt8(value))
            return
        case ..<(1 << 14):
            out.append(0x40 | UInt8(value >> 8))
            out.append(UInt8(truncatingIfNeeded: value))
            return
        case ..<(1 << 32): (width, _) = (4, out.append(0x80))
        default: (width, _) = (8, out.append(0x81))
        }
        for place in (0..<width).reversed() {
            out.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * place)))
        }
    }

    private mutating func string(_ text: [UInt8]) {
        Self.string(text, compresses: compresses, into: &bytes)
    }

    /// Static: a method would hold a copy of the writer, and every append would copy what there is.
    private static func string(_ text: [UInt8], compresses: Bool, into out: inout [UInt8]) {
        if let number = number(text, digitsMax: 10), let small = Int32(exactly: number) {
            let width: Int
            switch small {
            case -(1 << 7)..<1 << 7: (width, _) = (1, out.append(0xC0))
            case -(1 << 15)..<1 << 15: (width, _) = (2, out.append(0xC1))
            default: (width, _) = (4, out.append(0xC2))
            }
            for place in 0..<width { out.append(UInt8(truncatingIfNeeded: small >> (8 * place))) }
            return
        }
        if compresses, let packed = LZF.pack(text) {
            out.append(0xC3)
            length(UInt64(packed.count), &out)
            length(UInt64(text.count), &out)
            out.append(contentsOf: packed)
            return
        }
        length(UInt64(text.count), &out)
        out.append(contentsOf: text)
    }

    /// The number that a text is, if writing it out gives that very text again.
    static func number(_ text: [UInt8], digitsMax: Int) -> Int64? {
        let isNegative = text.first == 0x2D
        let digits = text.dropFirst(isNegative ? 1 : 0)
        guard let first = digits.first, digits.count <= digitsMax else { return nil }
        guard first != 0x30 || (digits.count == 1 && !isNegative) else { return nil }
        var value: Int64 = 0
        for byte in digits {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            let (shifted, overflows) = value.multipliedReportingOverflow(by: 10)
            let digit = Int64(byte) - 0x30
            let (next, overflows2) =
                isNegative
                ? shifted.subtractingReportingOverflow(digit)
                : shifted.addingReportingOverflow(digit)
            guard !overflows, !overflows2 else { return nil }
            value = next
        }
        return value
    }
}
