/// The commands, a row each, in the order of docs/commands.md.
public enum CommandTable {
    public static let rows: [CommandRow] =
        strings + keys + lists + channels + transactions + connection + server

    /// The row of a command by its name, in whatever case.
    public static func row(named name: String) -> CommandRow? {
        RESPCommand(rawValue: name.lowercased()).map { row($0) }
    }

    public static func row(_ command: RESPCommand) -> CommandRow {
        guard let row = byCommand[command] else {
            fatalError("the command \(command.rawValue) has no row")
        }
        return row
    }

    private static let byCommand = Dictionary(
        uniqueKeysWithValues: rows.compactMap { row in row.command.map { ($0, row) } })
}

/// What carrying out a command looks at for each request, as plain data.
public struct CommandFacts: BitwiseCopyable, Sendable {
    public let command: RESPCommand
    public let arity: Int16
    public let flags: CommandFlags
    public let firstKey: Int8
    public let lastKey: Int8
    public let keyStep: Int8

    /// Whether a command of so many arguments, its name counted, is well formed.
    @inlinable @inline(__always)
    public func takes(_ count: Int) -> Bool {
        arity >= 0 ? count == Int(arity) : count >= -Int(arity)
    }

    /// One key at a fixed place: what most commands are.
    @inlinable @inline(__always)
    public var hasOneKey: Bool { firstKey != 0 && firstKey == lastKey }

    @inlinable
    public func lastKey(_ count: Int) -> Int { lastKey < 0 ? count + Int(lastKey) : Int(lastKey) }
}

/// From a name as it was sent to a command, in a few instructions: the names, folded to lower case
/// and packed into two words, in a small open table.
///
/// A handle: the memory lives as long as the process, and every shard has a copy of the pointer.
@safe
public struct CommandLookup: @unchecked Sendable, BitwiseCopyable {
    private struct Entry {
        var low: UInt64 = 0
        var high: UInt64 = 0
        var facts: CommandFacts? = nil
    }

    private static let entriesCount = 512
    private let entries: UnsafeMutablePointer<Entry>

    public static func make() -> CommandLookup {
        let entries = UnsafeMutablePointer<Entry>.allocate(capacity: entriesCount)
        unsafe entries.initialize(repeating: Entry(), count: entriesCount)
        for row in CommandTable.rows {
            guard let command = row.command else { continue }
            var name = row.name
            let key = name.withUTF8 { unsafe pack(UnsafeRawBufferPointer($0)) }
            guard let key else { fatalError("the command \(row.name) has too long a name") }
            var place = place(key.low, key.high)
            while unsafe entries[place].low != 0 { place = (place + 1) & (entriesCount - 1) }
            unsafe entries[place] = Entry(
                low: key.low, high: key.high,
                facts: CommandFacts(
                    command: command, arity: Int16(row.arity), flags: row.flags,
                    firstKey: Int8(row.keys.first), lastKey: Int8(row.keys.last),
                    keyStep: Int8(row.keys.step)))
        }
        return unsafe CommandLookup(entries)
    }

    private init(_ entries: UnsafeMutablePointer<Entry>) { unsafe self.entries = unsafe entries }

    @inline(__always)
    public func find(_ name: UnsafeRawBufferPointer) -> CommandFacts? {
        guard let key = unsafe CommandLookup.pack(name) else { return nil }
        var place = CommandLookup.place(key.low, key.high)
        while true {
            let entry = unsafe entries + place
            if unsafe entry.pointee.low == key.low, unsafe entry.pointee.high == key.high {
                return unsafe entry.pointee.facts
            }
            if unsafe entry.pointee.low == 0 { return nil }
            place = (place + 1) & (CommandLookup.entriesCount - 1)
        }
    }

    @inline(__always)
    private static func place(_ low: UInt64, _ high: UInt64) -> Int {
        let mixed = (low ^ high &* 0x9E37_79B9_7F4A_7C15) &* 0xD6E8_FEB8_6659_FD93
        return Int(truncatingIfNeeded: mixed >> 40) & (entriesCount - 1)
    }

    /// Names have 1 to 15 letters; how many stands in the last byte.
    @inline(__always)
    private static func pack(_ name: UnsafeRawBufferPointer) -> (low: UInt64, high: UInt64)? {
        guard name.count > 0, name.count <= 15 else { return nil }
        if name.count <= 8 { return unsafe packShort(name) }
        var low: UInt64 = 0
        var high = UInt64(name.count) << 56
        for place in 0..<name.count {
            let byte = unsafe name[place]
            let folded = UInt64(byte &- 0x41 < 26 ? byte | 0x20 : byte)
            if place < 8 {
                low |= folded << UInt64(place * 8)
            } else {
                high |= folded << UInt64((place - 8) * 8)
            }
        }
        return low == 0 ? nil : (low, high)
    }

    /// Nearly all names fit into one word, which is read in two loads that overlap and folded whole.
    @inline(__always)
    private static func packShort(
        _ name: UnsafeRawBufferPointer
    ) -> (low: UInt64, high: UInt64)? {
        let count = name.count
        let start = unsafe name.baseAddress.unsafelyUnwrapped
        var word: UInt64
        if count >= 4 {
            word = UInt64(unsafe start.loadUnaligned(as: UInt32.self))
            let last = unsafe start.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self)
            word |= UInt64(last) &<< UInt64((count &- 4) &* 8)
        } else {
            word = UInt64(unsafe start.load(as: UInt8.self))
            let middle = unsafe start.load(fromByteOffset: count &>> 1, as: UInt8.self)
            let last = unsafe start.load(fromByteOffset: count &- 1, as: UInt8.self)
            word |= UInt64(middle) &<< UInt64((count &>> 1) &* 8)
            word |= UInt64(last) &<< UInt64((count &- 1) &* 8)
        }
        // The top bit of each byte tells, after the sum, whether the byte reached a letter.
        let ones: UInt64 = 0x0101_0101_0101_0101
        let low = word & (0x7F &* ones)
        let fromA = low &+ 0x3F &* ones
        let pastZ = low &+ 0x25 &* ones
        word |= ((fromA ^ pastZ) & ~word & (0x80 &* ones)) &>> 2
        return word == 0 ? nil : (word, UInt64(count) &<< 56)
    }
}
