import Journal
import Keyspace
import Simulation
import Testing

/// Journals that were bent after they were safe: a start refuses them or loses nothing.
@Suite("Damage") struct DamageTests {
    /// A small run that was drained: a snapshot, a log behind it, and the last frame says that
    /// all was synced.
    static func small(closed: Bool = false) throws -> SimulatedDisk {
        let disk = SimulatedDisk(seed: 1)
        let scribe = try Scribe(disk)
        try scribe.write([Sample(1, bytes: 20)])
        try SnapshotTests.take(scribe, [Sample(1, bytes: 20)])
        for number in 2..<6 {
            try scribe.write([Sample(number, bytes: 20)])
            try scribe.sync()
        }
        scribe.logs[0].writer.appendWatermark()
        try scribe.flush()
        try scribe.sync()
        let trim = scribe.logs[0].writer.lastTrim
        try disk.truncate(trim.file, bytes: trim.bytes)
        if closed { try Recovery.open(disk).manifest!.closed(at: [5]).write(disk) }
        return disk.copy()
    }

    static let all = (1..<6).map { Sample($0, bytes: 20) }

    /// What a bent directory gives: its records, or nil when it is refused.
    static func outcome(_ disk: SimulatedDisk) throws -> [Sample]? {
        do {
            return try recovered(disk)[0]
        } catch let failure as JournalFailure {
            guard case .damage(let damage) = failure else { throw failure }
            #expect(!damage.file.isEmpty && !damage.remedy.isEmpty)
            return nil
        }
    }

    @Test(arguments: [false, true]) func `any single bit that turns is refused or harmless`(
        _ closed: Bool
    ) throws {
        let whole = try Self.small(closed: closed)
        #expect(try Self.outcome(whole) == Self.all)
        var refused = 0
        var harmless = 0
        for path in whole.paths {
            for bit in 0..<whole.contents(of: path).count * 8 {
                whole.flip(path, bit: bit)
                if let found = try Self.outcome(whole) {
                    harmless += 1
                    if found != Self.all { Issue.record("bit \(bit) of \(path): \(found)") }
                } else {
                    refused += 1
                }
                whole.flip(path, bit: bit)
            }
        }
        print("single bits: \(refused) refused, \(harmless) harmless")
        #expect(refused > 1000)
    }

    @Test func `a log that ends anywhere gives what precedes, a closed one is refused`() throws {
        for closed in [false, true] {
            let whole = try Self.small(closed: closed)
            for path in whole.paths {
                let bytes = whole.contents(of: path)
                for count in 0..<bytes.count {
                    let cut = whole.copy()
                    cut.place(path, Array(bytes[..<count]))
                    guard let found = try Self.outcome(cut) else { continue }
                    let isLog = path.hasSuffix(".log")
                    #expect(found == Array(Self.all.prefix(found.count)), "\(path) of \(count)")
                    #expect(isLog && found.count >= 1, "\(path) of \(count)")
                    if closed { #expect(found == Self.all, "\(path) of \(count)") }
                }
            }
        }
    }

    @Test func `a long log cut at every byte of its last four kibibytes gives what precedes`()
        throws
    {
        let disk = SimulatedDisk(seed: 1)
        let scribe = try Scribe(disk, sizes: LogWriter.Sizes())
        let samples = (0..<60).map { Sample($0, bytes: 40 + $0 * 3) }
        for sample in samples { try scribe.write([sample]) }
        let path = disk.paths.first { $0.hasSuffix(".log") }!
        let used = scribe.logs[0].writer.lastTrim.bytes
        #expect(used > 8192)
        var last = samples.count
        for count in stride(from: used, to: used - 4096, by: -1) {
            let cut = disk.copy()
            cut.place(path, Array(disk.contents(of: path)[..<count]))
            let found = try recovered(cut)[0]
            #expect(found == Array(samples.prefix(found.count)))
            #expect(found.count <= last && found.count >= last - 1)
            last = found.count
        }
        #expect(last < samples.count - 10)
    }

    @Test func `says which file, where, and what to do`() throws {
        let disk = try Self.small()
        let path = disk.paths.first { $0.hasSuffix(".log") }!
        disk.flip(path, bit: (disk.contents(of: path).count - 100) * 8)
        let failure = #expect(throws: JournalFailure.self) { try recovered(disk) }
        let text = failure?.description ?? ""
        #expect(text.contains(path) && text.contains("at byte") && text.contains("--repair"))
    }

    @Test func `a format of a later version is refused as such`() throws {
        for path in try Self.small().paths {
            let disk = try Self.small()
            var bytes = disk.contents(of: path)
            bytes[8] = 2
            disk.place(path, bytes)
            let failure = #expect(throws: JournalFailure.self) { try recovered(disk) }
            #expect(failure?.description.contains("newer version") == true, "\(path)")
        }
    }

    @Test func `a missing file is refused`() throws {
        for path in try Self.small().paths {
            let disk = try Self.small()
            disk.erase(path)
            let found = try Self.outcome(disk)
            #expect(found == nil, "without \(path): \(found ?? [])")
        }
    }
}

@Suite("A check of a directory") struct CheckTests {
    @Test func `finds nothing in a sound one, and counts what is there`() throws {
        let report = try Salvage(DamageTests.small()).report
        #expect(report.isSound && report.damage.isEmpty && report.cuts.isEmpty)
        #expect(report.snapshotRecords == 1 && report.changes == 4 && report.logs == 1)
        #expect(report.node == node)
    }

    @Test func `of a bent one leads to a directory that starts with what precedes the damage`()
        throws
    {
        let whole = try DamageTests.small()
        var repaired = 0
        for path in whole.paths {
            for place in 0..<whole.contents(of: path).count {
                whole.flip(path, bit: place * 8 + place % 8)
                let salvage = try Salvage(whole)
                let isRefused = try DamageTests.outcome(whole) == nil
                #expect(salvage.report.isSound == !isRefused, "byte \(place) of \(path)")
                let other = SimulatedDisk(seed: 2)
                try salvage.write(from: whole, into: other)
                let found = try recovered(other)[0]
                if path.hasSuffix(".log") {
                    #expect(found == Array(DamageTests.all.prefix(found.count)))
                    #expect(found.count >= 1)
                } else if path == FileNames.manifest {
                    #expect(found == DamageTests.all, "byte \(place) of \(path)")
                } else {
                    #expect(
                        found.suffix(4) == DamageTests.all.suffix(4), "byte \(place) of \(path)")
                }
                repaired += isRefused ? 1 : 0
                whole.flip(path, bit: place * 8 + place % 8)
            }
        }
        #expect(repaired > 300)
    }

    @Test func `of an empty directory has nothing to say`() throws {
        let report = try Salvage(SimulatedDisk(seed: 1)).report
        #expect(report.isSound && report.logs == 0)
    }
}
