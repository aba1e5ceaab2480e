import Keyspace
import Wire

/// A change as subscribers read it:
/// `{"event":"Updated","table":"t","key":"k","value":{the record}}`; the other events have the
/// `version` they count as, and no value. A record that is told because somebody came, and not
/// because it changed, says `"initial":true`.
@safe struct EventText {
    private static let eventName: StaticString = "{\"event\":\""
    private static let tableName: StaticString = "\",\"table\":"
    private static let keyName: StaticString = ",\"key\":"
    private static let initial: StaticString = ",\"initial\":true"
    private static let valueName: StaticString = ",\"value\":"
    private static let versionName: StaticString = ",\"version\":"

    let kind: Change.Kind
    let table: UnsafeRawBufferPointer
    let key: UnsafeRawBufferPointer
    /// What an update came to.
    let record: Record?
    let owner: UnsafeRawBufferPointer
    let version: UInt64
    let isInitial: Bool

    init(
        _ kind: Change.Kind, table: UnsafeRawBufferPointer, record: Record,
        owner: UnsafeRawBufferPointer, version: UInt64, isInitial: Bool = false
    ) {
        self.kind = kind
        unsafe self.table = unsafe table
        unsafe key = unsafe record.key
        self.record = kind == .updated ? record : nil
        unsafe self.owner = unsafe owner
        self.version = version
        self.isInitial = isInitial
    }

    /// A key that is not there any more.
    init(gone key: UnsafeRawBufferPointer, table: UnsafeRawBufferPointer, version: UInt64) {
        kind = .deleted
        unsafe self.table = unsafe table
        unsafe self.key = unsafe key
        record = nil
        unsafe owner = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        self.version = version
        isInitial = false
    }

    private var word: StaticString {
        switch kind {
        case .updated: "Updated"
        case .deleted: "Deleted"
        case .expired: "Expired"
        case .evicted: "Evicted"
        }
    }

    /// How many bytes `write` writes, exactly.
    var byteCount: Int {
        var count =
            unsafe Self.eventName.utf8CodeUnitCount + word.utf8CodeUnitCount
            + Self.tableName.utf8CodeUnitCount + LooseText.byteCount(table)
            + Self.keyName.utf8CodeUnitCount + LooseText.byteCount(key) + 1
        if isInitial { count += Self.initial.utf8CodeUnitCount }
        if let record {
            unsafe count +=
                Self.valueName.utf8CodeUnitCount + RecordText.byteCount(record, owner: owner)
        } else {
            count += Self.versionName.utf8CodeUnitCount + ByteWriter.decimalDigits(of: version)
        }
        return count
    }

    /// Writes it as one line: raw line breaks of a value, which can only stand between its tokens,
    /// become spaces.
    func write(into writer: inout ByteWriter) {
        let start = writer.count
        writer.write(Self.eventName)
        writer.write(word)
        writer.write(Self.tableName)
        unsafe LooseText.write(table, into: &writer)
        writer.write(Self.keyName)
        unsafe LooseText.write(key, into: &writer)
        if isInitial { writer.write(Self.initial) }
        if let record {
            writer.write(Self.valueName)
            unsafe RecordText.write(record, owner: owner, into: &writer)
        } else {
            writer.write(Self.versionName)
            writer.write(decimal: version)
        }
        writer.write(byte: 0x7D)
        let written = unsafe UnsafeMutableRawBufferPointer(
            mutating: UnsafeRawBufferPointer(writer.written))
        unsafe EventStream.flatten(UnsafeMutableRawBufferPointer(rebasing: written[start...]))
    }
}
