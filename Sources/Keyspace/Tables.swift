/// The number that stands for a table in memory; 20 bits.
public typealias TableNumber = UInt32

/// Who may read a table's records, by any protocol.
public enum ReadRule: UInt8, Sendable, BitwiseCopyable {
    case open, owner, authenticated
}

/// What an operator set a table's consistency to; `inherited` follows `--consistency`.
public enum TableConsistency: UInt8, Sendable {
    case inherited, eventual, strong
}

/// What is known of a table besides its records.
public struct TableInfo: Sendable {
    public var space: Space
    /// Added to the CRC16 of a key to give its slot.
    public var slotOffset: UInt16
    public var readRule = ReadRule.open
    public var consistency = TableConsistency.inherited
    /// Set by an operator's `PUT /{t}`: such a table exists even with no record in it.
    public var isConfigured = false
}

/// The tables a node has heard of: space and name on one side, a number on the other.
///
/// A table *exists* for a client when it has a live record on any shard or was configured; a
/// name that was only ever asked about needs no entry here (`number(of:)` doesn't make one).
/// Every shard keeps a copy of its own and all make the same entries in the same order, which the
/// node sees to by having one shard hand out the numbers.
@safe
public struct Tables: ~Copyable {
    /// Each table costs a few dozen bytes a shard and 20 bits of every record name it.
    public static let tablesMax = 1 << 20
    /// The longest name of a table (CONTRACT: 1-128 characters).
    public static let nameBytesMax = 128

    private var names: Names
    private var infos: UnsafeMutablePointer<TableInfo>
    private var capacity = 16

    public init(seed: UInt64) {
        names = Names(namesMax: Tables.tablesMax, seed: seed)
        unsafe infos = .allocate(capacity: capacity)
    }

    deinit { unsafe infos.deallocate() }

    public var count: Int { names.count }

    public func number(of name: UnsafeRawBufferPointer, in space: Space) -> TableNumber? {
        unsafe Tables.spell(space, name) { unsafe names.number(of: $0) }
    }

    /// The table's number, making an entry where there is none; nil at `tablesMax` or for a name
    /// that is too long or empty.
    public mutating func number(
        adding name: UnsafeRawBufferPointer, in space: Space
    ) -> TableNumber? {
        guard name.count > 0, name.count <= Tables.nameBytesMax else { return nil }
        let before = names.count
        let number = unsafe Tables.spell(space, name) { unsafe names.number(adding: $0) }
        guard let number, names.count > before else { return number }
        if before == capacity {
            let larger = UnsafeMutablePointer<TableInfo>.allocate(capacity: capacity * 2)
            unsafe larger.moveInitialize(from: infos, count: before)
            unsafe infos.deallocate()
            unsafe infos = unsafe larger
            capacity *= 2
        }
        let offset = unsafe Slot.offset(space, table: name)
        unsafe (infos + before).initialize(to: TableInfo(space: space, slotOffset: offset))
        return number
    }

    /// A table's name; good until the next table is added.
    public func name(_ number: TableNumber) -> UnsafeRawBufferPointer? {
        guard let spelled = unsafe names.name(number) else { return nil }
        return unsafe UnsafeRawBufferPointer(rebasing: spelled[8...])
    }

    public subscript(_ number: TableNumber) -> TableInfo {
        get {
            invariant(Int(number) < names.count, "a table number nobody gave out")
            return unsafe infos[Int(number)]
        }
        set {
            invariant(Int(number) < names.count, "a table number nobody gave out")
            unsafe infos[Int(number)] = newValue
        }
    }

    /// A name as it is kept: the space in eight bytes, then the table's own.
    private static func spell<Answer>(
        _ space: Space, _ name: UnsafeRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) -> Answer?
    ) -> Answer? {
        guard name.count <= nameBytesMax else { return nil }
        return unsafe withUnsafeTemporaryAllocation(
            byteCount: 8 + nameBytesMax, alignment: 8
        ) { spelled in
            unsafe spelled.storeBytes(of: space.rawValue, as: UInt64.self)
            unsafe UnsafeMutableRawBufferPointer(rebasing: spelled[8...]).copyMemory(from: name)
            return unsafe body(UnsafeRawBufferPointer(rebasing: spelled[..<(8 + name.count)]))
        }
    }
}
