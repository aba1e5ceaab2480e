import Testing

@testable import Journal

/// Bodies of RDB files made by hand: forms that today's servers no longer write, and damage.
struct RDBExample: CustomTestStringConvertible {
    var name: String
    var version = 11
    /// What stands between the header and the end.
    var body: [UInt8]
    /// The entries of a good file, or a part of what is said of a bad one.
    var expected: Expected

    enum Expected {
        case entries([RDBEntry], RDBTotals)
        case damage(String)
    }

    var testDescription: String { name }

    /// The whole file; its checksum is right where `isSummed`, and absent otherwise.
    func file(isSummed: Bool = true) -> [UInt8] {
        let digits = String(version + 10_000).dropFirst()
        var file = Array("REDIS\(digits)".utf8) + body + [0xFF]
        guard version >= 5 else { return file }
        var sum = CRC64()
        sum.update(file)
        for place in 0..<8 {
            file.append(
                isSummed ? UInt8(truncatingIfNeeded: sum.value >> UInt64(8 * place)) : 0)
        }
        return file
    }

    static func good(
        _ name: String, version: Int = 11, _ body: [UInt8], _ entries: [RDBEntry] = [],
        _ note: (inout RDBTotals) -> Void = { _ in }
    ) -> RDBExample {
        var totals = RDBTotals()
        for entry in entries {
            if case .string = entry.value { totals.strings += 1 } else { totals.lists += 1 }
        }
        note(&totals)
        return RDBExample(
            name: name, version: version, body: body, expected: .entries(entries, totals))
    }

    static func bad(_ name: String, _ body: [UInt8], _ what: String) -> RDBExample {
        RDBExample(name: name, body: body, expected: .damage(what))
    }

    static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    /// A string with its length before it.
    static func string(_ text: String) -> [UInt8] { string(bytes(text)) }
    static func string(_ bytes: [UInt8]) -> [UInt8] {
        bytes.count < 64
            ? [UInt8(bytes.count)] + bytes
            : [0x40 | UInt8(bytes.count >> 8), UInt8(bytes.count & 0xFF)] + bytes
    }

    private static func text(
        _ value: String, key: String = "k", _ database: UInt64 = 0, expires: Int64? = nil
    ) -> RDBEntry {
        RDBEntry(
            database: database, key: bytes(key), value: .string(bytes(value)),
            expiresAtMs: expires)
    }

    private static func list(_ elements: [String]) -> RDBEntry {
        RDBEntry(database: 0, key: bytes("k"), value: .list(elements.map { bytes($0) }))
    }

    /// A ziplist of entries that stand there as they are, each behind its predecessor's length.
    static func ziplist(_ entries: [[UInt8]]) -> [UInt8] {
        var body: [UInt8] = []
        var before = 0
        var tail = 10
        for entry in entries {
            tail = 10 + body.count
            let head =
                before < 254
                ? [UInt8(before)] : [254, UInt8(before & 0xFF), UInt8(before >> 8), 0, 0]
            body += head + entry
            before = head.count + entry.count
        }
        let count = body.count + 11
        return [UInt8(count & 0xFF), UInt8(count >> 8), 0, 0, UInt8(tail & 0xFF), UInt8(tail >> 8)]
            + [0, 0, UInt8(entries.count), 0] + body + [0xFF]
    }

    /// A listpack of entries that stand there as they are, each with its length behind it.
    static func listpack(_ entries: [[UInt8]]) -> [UInt8] {
        var body: [UInt8] = []
        for entry in entries {
            body += entry
            body +=
                entry.count < 128
                ? [UInt8(entry.count)]
                : [UInt8(entry.count >> 7), UInt8(entry.count & 0x7F) | 0x80]
        }
        let count = body.count + 7
        return [UInt8(count & 0xFF), UInt8(count >> 8), 0, 0, UInt8(entries.count), 0] + body
            + [0xFF]
    }

    private static let k = string("k")
    private static let v = string("v")
    private static let long = String(repeating: "ab", count: 150)

    static let all: [RDBExample] = strings + lists + others + damaged

    private static let strings: [RDBExample] = [
        good("nothing at all", []),
        good("a string of version 1", version: 1, [0] + k + v, [text("v")]),
        good("a string", [0] + k + v, [text("v")]),
        good("an empty value", [0] + k + [0], [text("")]),
        good("a number of one byte", [0] + k + [0xC0, 0x80], [text("-128")]),
        good("a number of two bytes", [0] + k + [0xC1, 0x39, 0x30], [text("12345")]),
        good(
            "a number of four bytes", [0] + k + [0xC2, 0xFF, 0xFF, 0xFF, 0x7F],
            [text("2147483647")]),
        good("a number as key", [0, 0xC0, 7] + v, [text("v", key: "7")]),
        good("a length of 14 bits", [0] + k + string(long), [text(long)]),
        good("a length of 32 bits", [0] + k + [0x80, 0, 0, 0, 1, 0x76], [text("v")]),
        good("a length of 64 bits", [0] + k + [0x81, 0, 0, 0, 0, 0, 0, 0, 1, 0x76], [text("v")]),
        good(
            "a compressed string", [0] + k + [0xC3, 6, 30, 1, 0x61, 0x62, 0xE0, 19, 1],
            [text(String(repeating: "ab", count: 15))]),
        good("seconds", [0xFD, 0, 0, 0, 0x40, 0] + k + v, [text("v", expires: 1_073_741_824_000)]),
        good(
            "milliseconds", [0xFC, 0, 0, 0, 0, 0, 1, 0, 0, 0] + k + v,
            [text("v", expires: 1_099_511_627_776)]),
        good(
            "an expiry holds for one key",
            [0xFC, 1, 0, 0, 0, 0, 0, 0, 0, 0] + k + v
                + [0] + string("l") + v, [text("v", expires: 1), text("v", key: "l")]),
        good(
            "recency and frequency", [0xF8, 0x40, 200, 0] + k + v + [0xF9, 5, 0] + k + v,
            [text("v"), text("v")]),
        good(
            "databases", [0xFE, 3, 0xFB, 1, 0, 0] + k + v + [0xFE, 0x40, 100, 0] + k + v,
            [text("v", 3), text("v", 100)]),
        good(
            "words of the writer",
            [0xFA] + string("redis-ver") + string("6.2.1") + [0xFA]
                + string("redis-bits") + [0xC0, 64, 0] + k + v, [text("v")]),
        good("an empty key", [0, 0] + v + [0] + k + v, [text("v")]) { $0.emptyKeys = 1 },
    ]

    private static let lists: [RDBExample] = [
        good(
            "a linked list", [1] + k + [3] + v + [0xC0, 5] + string(long),
            [list(["v", "5", long])]),
        good("an empty list", [1] + k + [0]) { $0.emptyLists = 1 },
        good(
            "a ziplist of texts",
            [10] + k + string(ziplist([[1, 0x61], [0x41, 0x2C] + bytes(long), [0]])),
            [list(["a", long, ""])]),
        good(
            "a ziplist of numbers",
            [10] + k
                + string(
                    ziplist([
                        [0xF1], [0xFD], [0xFE, 0xFF], [0xC0, 0, 0x80], [0xF0, 0xFF, 0xFF, 0x7F],
                        [0xD0, 0, 0, 0, 0x80], [0xE0, 0, 0, 0, 0, 0, 0, 0, 0x80],
                    ])),
            [list(["0", "12", "-1", "-32768", "8388607", "-2147483648", "-9223372036854775808"])]),
        good(
            "a ziplist with a length of 32 bits",
            [10] + k + string(ziplist([[0x80, 0, 0, 0, 2, 0x61, 0x62]])), [list(["ab"])]),
        good(
            "a quicklist of ziplists",
            [14] + k + [2] + string(ziplist([[1, 0x61]])) + string(ziplist([[0xF3], [1, 0x62]])),
            [list(["a", "2", "b"])]),
        good(
            "a quicklist of listpacks and plain nodes",
            [18] + k + [3, 2] + string(listpack([[0x81, 0x61], [5]])) + [1] + string(long) + [2]
                + string(listpack([[0xE1, 0x2C] + bytes(long)])),
            [list(["a", "5", long, long])]),
        good(
            "a listpack of numbers",
            [18] + k + [1, 2]
                + string(
                    listpack([
                        [0], [127], [0xDF, 0xFF], [0xD0, 0], [0xCF, 0xFF], [0xF1, 0, 0x80],
                        [0xF2, 0, 0, 0x80], [0xF3, 0, 0, 0, 0x80],
                        [0xF4, 255, 255, 255, 255, 255, 255, 255, 127],
                        [0xF0, 1, 0, 0, 0, 0x61],
                    ])),
            [
                list([
                    "0", "127", "-1", "-4096", "4095", "-32768", "-8388608", "-2147483648",
                    "9223372036854775807", "a",
                ])
            ]),
    ]

    private static let others: [RDBExample] = [
        good("sets", [2] + k + [2] + v + v + [11] + k + v + [20] + k + v) { $0.sets = 3 },
        good("hashes", [4] + k + [1] + v + v + [9] + k + v + [13] + k + v + [16] + k + v) {
            $0.hashes = 4
        },
        good(
            "hashes whose fields expire",
            [22] + k + [1, 0] + v + v + [23] + k + v
                + [24] + k + [0, 0, 0, 0, 0, 0, 0, 0, 1, 5] + v + v
                + [25] + k + [0, 0, 0, 0, 0, 0, 0, 0] + v
        ) { $0.hashes = 4 },
        good(
            "sorted sets",
            [3] + k + [4] + v + [3] + bytes("1.5") + v + [253] + v + [254] + v + [255]
                + [5] + k + [1] + v + [0, 0, 0, 0, 0, 0, 0, 0] + [12] + k + v + [17] + k + v
        ) {
            $0.sortedSets = 4
        },
        good(
            "a stream of the first form",
            [15] + k + [1] + v + v + [1, 5, 0, 1] + v + [5, 0, 1]
                + [UInt8](repeating: 7, count: 24) + [1, 1] + v
                + [UInt8](repeating: 7, count: 8) + [1] + [UInt8](repeating: 7, count: 16)
        ) {
            $0.streams = 1
        },
        good(
            "a stream of the third form",
            [21] + k + [0, 1, 5, 0, 5, 0, 0, 0, 1, 1] + v + [5, 0, 1, 0, 1] + v
                + [UInt8](repeating: 7, count: 16) + [0]
        ) { $0.streams = 1 },
        good(
            "a module's value",
            [7] + k + [0x81, 1, 2, 3, 4, 5, 6, 7, 8] + [1, 5, 2, 0x40, 9, 3, 0, 0, 0, 0, 4]
                + [UInt8](repeating: 1, count: 8) + [5] + v + [0] + [0] + k + v, [text("v")]
        ) {
            $0.modules = 1
        },
        good(
            "a module's words beside the keys",
            [0xF7, 0x81, 1, 2, 3, 4, 5, 6, 7, 8, 2, 1, 5] + v + [0, 0] + k + v, [text("v")]),
        good(
            "a function library and a slot's size", [0xF5] + v + [0xF4, 1, 2, 3, 0] + k + v,
            [text("v")]
        ) { $0.functions = 1 },
    ]

    private static let damaged: [RDBExample] = [
        bad("a type of tomorrow", [99] + k + v, "99 is neither a type nor an instruction"),
        bad("a module's value of a release candidate", [6] + k + v, "6 is neither"),
        bad("a length of no form", [0, 0xBF], "a length of no known form"),
        bad("a string of no form", [0, 0xC4], "a string of no known form (4)"),
        bad("a string where a number should be", [0xFE, 0xC0, 1], "a string where a length"),
        bad(
            "a compressed string that is too short", [0] + k + [0xC3, 2, 9, 0, 0x61],
            "does not unpack"),
        bad(
            "a compressed string that looks before its start",
            [0] + k + [0xC3, 4, 9, 0, 0x61, 0xC0, 9], "does not unpack"),
        bad(
            "a compressed string that claims a gigabyte",
            [0] + k + [0xC3, 2, 0x80, 3, 0, 0, 0, 0, 0x61], "does not unpack"),
        bad("a list held in no known form", [18] + k + [1, 3] + v, "in no known form (3)"),
        bad(
            "a listpack of another length", [18] + k + [1, 2] + string([9, 0, 0, 0, 0, 0, 0xFF]),
            "contradicts itself"),
        bad(
            "a listpack whose entry leaves it",
            [18] + k + [1, 2] + string(listpack([[0x8A, 0x61]])), "contradicts itself"),
        bad(
            "a listpack that miscounts",
            [18] + k + [1, 2] + string([8, 0, 0, 0, 2, 0, 5, 1, 0xFF].dropLast() + [0xFF]),
            "contradicts itself"),
        bad(
            "a ziplist whose entry leaves it",
            [10] + k + string(ziplist([[9, 0x61]])), "contradicts itself"),
        bad(
            "a ziplist that lies about what was before",
            [10] + k + string([15, 0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0xF1, 3, 0xF1, 0xFF]),
            "contradicts itself"),
        bad("a module's part of no kind", [7] + k + [1, 9], "a part of no known kind (9)"),
        bad(
            "a string of exabytes", [0] + k + [0x81] + [UInt8](repeating: 0xFF, count: 8),
            "ends in the middle"),
        bad(
            "a set of exabytes", [2] + k + [0x81] + [UInt8](repeating: 0xFF, count: 8),
            "a string of no known form (63)"),
    ]
}
