import Testing

@testable import Journal

/// How a file reads: everything it holds, or where it is damaged.
struct RDBReading: Equatable {
    var entries: [RDBEntry] = []
    var totals = RDBTotals()
    var damage: RDBDamage?

    static let limits = RDBLimits(valueBytesMax: 64 << 20, keyBytesMax: 1024)

    /// Reads a file that comes in pieces of `window` bytes.
    init(_ file: [UInt8], window: Int = 1 << 16, limits: RDBLimits = Self.limits) {
        var reader = RDBReader(limits: limits)
        var fed = 0
        while true {
            switch reader.next() {
            case .entry(let entry): entries.append(entry)
            case .needMore where fed < file.count:
                let piece = min(window, file.count - fed)
                reader.feed(Array(file[fed..<fed + piece]))
                fed += piece
                continue
            case .end where fed < file.count:
                reader.feed(Array(file[fed...]))
                fed = file.count
                continue
            case .needMore:
                if case .damage(let found) = reader.finish() { damage = found }
                totals = reader.totals
                return
            case .damage(let found):
                damage = found
                totals = reader.totals
                return
            case .end:
                #expect(reader.finish() == .end)
                totals = reader.totals
                return
            }
        }
    }
}

/// Numbers that are the same in every run.
struct Dice {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_F491_4F6C_DD1D
    }

    mutating func below(_ limit: Int) -> Int { Int(next() >> 33) % max(1, limit) }

    mutating func bytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            var word = next()
            for _ in 0..<min(8, count - bytes.count) {
                bytes.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
            }
        }
        return bytes
    }

    /// A string as people and programs keep them: numbers of every width and what only looks like
    /// one, text that compresses, bytes that do not, lengths around each encoding's limit.
    mutating func text() -> [UInt8] {
        switch below(12) {
        case 0: return []
        case 1: return bytes(1)
        case 2: return Array(String(Int64(bitPattern: next()) >> Int64(below(64))).utf8)
        case 3:
            let edges: [Int64] = [
                0, -1, 12, 13, 63, 64, 127, 128, -128, -129, 4095, 4096, -4096, -4097, 8191,
                32767, 32768, -32768, -32769, 8_388_607, 8_388_608, -8_388_608, 2_147_483_647,
                2_147_483_648, -2_147_483_648, .max, .min, 9_999_999_999,
            ]
            return Array(String(edges[below(edges.count)]).utf8)
        case 4:
            let odd = ["-0", "007", "+1", " 1", "1 ", "1.0", "-", "9223372036854775808", "1e3"]
            return Array(odd[below(odd.count)].utf8)
        case 5: return [UInt8](repeating: UInt8(below(256)), count: below(2000))
        case 6: return bytes([62, 63, 64, 65, 253, 254, 255, 256][below(8)])
        case 7: return bytes([4094, 4095, 4096, 8180, 8192, 16383, 16384, 20000][below(8)])
        case 8:
            let word = "{\"gate\":\(below(40)),\"state\":\"boarding\"},"
            return Array(String(repeating: word, count: 1 + below(60)).utf8)
        default: return bytes(below(60))
        }
    }

    mutating func entries(_ count: Int, databases: Int = 3) -> [RDBEntry] {
        (0..<count).map { number in
            let key = Array("key:\(number):".utf8) + text().prefix(200)
            let value: RDBValue
            if below(3) == 0 {
                value = .list((0...below(below(8) == 0 ? 200 : 12)).map { _ in text() })
            } else {
                value = .string(text())
            }
            // Far enough ahead for the slowest run.
            let expiry: Int64? = below(3) == 0 ? 4_000_000_000_000 + Int64(below(1 << 30)) : nil
            return RDBEntry(
                database: UInt64(below(databases)), key: key, value: value, expiresAtMs: expiry)
        }
    }
}

extension RDBWriter {
    /// A whole file with these entries, database after database.
    static func file(_ entries: [RDBEntry], compresses: Bool = true) -> [UInt8] {
        var writer = RDBWriter(at: 1_700_000_000, compresses: compresses)
        var file: [UInt8] = []
        for database in Set(entries.map(\.database)).sorted() {
            let own = entries.filter { $0.database == database }
            writer.select(
                database, records: own.count,
                expiring: own.count { $0.expiresAtMs != nil })
            for entry in own {
                writer.write(entry)
                if writer.count > 4096 { file += writer.drain() }
            }
        }
        writer.end()
        return file + writer.drain()
    }
}

extension Array where Element == RDBEntry {
    /// By database and key: files have their entries in any order.
    var inOrder: [RDBEntry] {
        sorted {
            $0.database != $1.database
                ? $0.database < $1.database : $0.key.lexicographicallyPrecedes($1.key)
        }
    }
}
