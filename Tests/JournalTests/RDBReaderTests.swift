import Testing

@testable import Journal

@Suite("RDB reader") struct RDBReaderTests {
    private func check(_ reading: RDBReading, _ example: RDBExample, _ count: Int) {
        switch example.expected {
        case .entries(let entries, let totals):
            #expect(reading.damage == nil)
            #expect(reading.entries == entries)
            #expect(reading.totals == totals)
        case .damage(let what):
            let damage = reading.damage
            #expect(damage?.what.contains(what) == true, "\(damage?.what ?? "no damage")")
            #expect(damage.map { $0.offset <= UInt64(count) } == true)
        }
    }

    @Test(arguments: RDBExample.all)
    func `reads every form there is or was`(_ example: RDBExample) {
        for isSummed in [true, false] {
            let file = example.file(isSummed: isSummed)
            check(RDBReading(file), example, file.count)
        }
    }

    @Test(arguments: RDBExample.all)
    func `says the same wherever the file is split`(_ example: RDBExample) {
        let file = example.file()
        let whole = RDBReading(file)
        for place in 1..<file.count { #expect(RDBReading(file, window: place) == whole) }
    }

    @Test func `reads its own writer's files, in windows of any size`() {
        var dice = Dice(5)
        let entries = dice.entries(12)
        let file = RDBWriter.file(entries)
        let whole = RDBReading(file)
        #expect(whole.damage == nil)
        let isSame = whole.entries.inOrder == entries.inOrder
        #expect(isSame)
        for window in [3, 17, 1000] {
            let isSplitAlike = RDBReading(file, window: window) == whole
            #expect(isSplitAlike)
        }
    }

    @Test func `a changed byte is seen by the checksum`() {
        var file = RDBExample.good("", [0] + RDBExample.string("k") + RDBExample.string("v")).file()
        file[13] ^= 1
        #expect(RDBReading(file).damage?.what.contains("checksum does not match") == true)
    }

    @Test(arguments: [
        ("", "ends in the middle"), ("REDIS00", "ends in the middle"),
        ("GIF89a...", "no RDB file"), ("REDIS00x1", "version is no number"),
        ("REDIS0013", "version 13 is not one of 1 to 12"), ("REDIS0000", "version 0 is not"),
    ])
    func `what is no file of ours to read is refused by name`(_ text: String, _ what: String) {
        let damage = RDBReading(Array(text.utf8)).damage
        #expect(damage?.what.contains(what) == true)
    }

    @Test func `what follows the end is not passed over in silence`() {
        let file = RDBExample.good("", []).file() + Array("*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n".utf8)
        #expect(RDBReading(file).damage?.what.contains("something follows the end") == true)
    }

    @Test(arguments: RDBFiles.samples.filter { $0.count < 1000 })
    func `a file that is cut anywhere ends in the middle of something`(_ file: [UInt8]) {
        for count in 0..<file.count {
            let reading = RDBReading(Array(file[..<count]))
            #expect(reading.damage?.what.contains("ends in the middle") == true)
        }
    }

    @Test func `values and keys beyond the limits are passed over and counted`() {
        var dice = Dice(8)
        let elements = (0..<40).map { _ in dice.bytes(10) }
        var entries = [
            RDBEntry(database: 0, key: [1], value: .string(dice.bytes(101))),
            RDBEntry(database: 0, key: [2], value: .string([UInt8](repeating: 7, count: 101))),
            RDBEntry(database: 0, key: [3], value: .list(elements)),
            RDBEntry(database: 0, key: [4], value: .list([dice.bytes(9000)])),
            RDBEntry(database: 0, key: dice.bytes(11), value: .list([[1]])),
            RDBEntry(database: 0, key: dice.bytes(11), value: .string([1]), expiresAtMs: 5),
        ]
        let kept = [
            RDBEntry(database: 0, key: dice.bytes(10), value: .string(dice.bytes(100))),
            RDBEntry(database: 0, key: [6], value: .list([dice.bytes(10)])),
        ]
        entries += kept
        for window in [1, 50, 1 << 16] {
            let reading = RDBReading(
                RDBWriter.file(entries), window: window,
                limits: RDBLimits(valueBytesMax: 100, keyBytesMax: 10))
            #expect(reading.damage == nil)
            #expect(reading.entries == kept)
            #expect(reading.totals.longValues == 4 && reading.totals.longKeys == 2)
            #expect(
                reading.totals.warning == "4 values that are too long, 2 keys that are too long")
        }
    }

    @Test func `a thousand broken files are each refused or read, and nothing stops`() {
        let files = RDBFiles.samples
        #expect(files.count >= 4)
        var refused = 0
        for seed in 0..<UInt64(1000) {
            var dice = Dice(seed + 1)
            let reading = RDBReading(RDBFiles.broken(files[dice.below(files.count)], &dice))
            guard let damage = reading.damage else { continue }
            refused += 1
            #expect(!damage.what.isEmpty)
        }
        // Without a checksum a changed letter in a value is a good file; most changes are not.
        #expect(refused > 500)
    }
}

/// Whole files to break: what redis-server 7.0 wrote, and what stands in the examples.
enum RDBFiles {
    static let samples: [[UInt8]] = {
        var dice = Dice(9)
        return [
            RDBWriter.file(dice.entries(8)), RDBWriter.file(dice.entries(8), compresses: false),
        ]
            + RDBExample.all.compactMap { example in
                if case .damage = example.expected { return nil }
                return example.file()
            }
    }()

    /// The file with some of its bytes changed, or cut, or with a piece of it twice. In half of
    /// the cases it carries no checksum, so that the damage has to be seen where it is.
    static func broken(_ file: [UInt8], _ dice: inout Dice) -> [UInt8] {
        var file = file
        if dice.below(2) == 0, file.count > 17 {
            for place in file.count - 8..<file.count { file[place] = 0 }
        }
        switch dice.below(4) {
        case 0: file.removeLast(dice.below(file.count))
        case 1:
            let from = dice.below(file.count)
            let piece = file[from..<min(file.count, from + dice.below(40))]
            file.insert(contentsOf: piece, at: dice.below(file.count))
        default:
            for _ in 0...dice.below(6) {
                file[dice.below(file.count)] = UInt8(truncatingIfNeeded: dice.next() >> 30)
            }
        }
        return file
    }
}
