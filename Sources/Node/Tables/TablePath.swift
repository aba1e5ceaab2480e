import Keyspace
import Wire

/// Where a path of the table API leads.
///
/// Segments are decoded each for itself, so `%2F` stays inside a key while a bare slash always
/// separates. A key is any bytes, as it is over RESP: what is not UTF-8 is asked for by its escapes, and
/// shown in JSON as `LooseText` does.
@safe
struct TablePath {
    enum Kind: UInt8, Sendable {
        /// `/{t}/key/{k}`, and `/key/{k}` of the table `default`.
        case key
        /// `/{t}/keys`
        case keys
        /// `/{t}/store`
        case store
        /// `/{t}`
        case table
        /// `/`
        case root
        /// `/{t}/subscribe`, and `/{t}/subscribe/{k}` with a key.
        case subscribe
        /// `/{t}/subscribers/{k}`
        case subscribers
        /// None of these; see `isReserved`.
        case none
        /// The table's name is malformed (400).
        case badTable
        /// The key is empty or longer than 1024 bytes (400).
        case badKey
        /// A `%` without two hexadecimal digits (400).
        case badEncoding
    }

    var kind: Kind
    /// Decoded. Lies in the path where that is plain, else in the scratch memory.
    var table: UnsafeRawBufferPointer
    var key: UnsafeRawBufferPointer

    /// The path has a form of this page, but its first segment is a name no table may have:
    /// nothing is there to be read (404), and making it is refused (400). The kind is `none`.
    var isReserved: Bool { unsafe kind == .none && table.count > 0 }

    /// What `parse` needs to decode into: each of three segments, every byte of it encoded.
    static let scratchBytesMin = 3 * (TableName.bytesMax + 2 * Key.bytesMax)

    /// Understands the path of a request, without its query. The answer points into `path` and
    /// `scratch`, so both have to stay as they are while it is used.
    @inline(__always)
    static func parse(
        _ path: UnsafeRawBufferPointer, scratch: UnsafeMutablePointer<UInt8>, scratchBytes: Int
    ) -> TablePath {
        if let plain = unsafe plainKey(path) { return plain }
        return unsafe decoded(path, ByteWriter(scratch, capacity: scratchBytes))
    }

    // MARK: The plain case

    /// `/{t}/key/{k}` or `/key/{k}` with nothing to decode and nothing wrong with it: nearly
    /// every request.
    @inline(__always)
    private static func plainKey(_ path: UnsafeRawBufferPointer) -> TablePath? {
        guard let base = path.baseAddress, path.count > 5, unsafe path[0] == 0x2F else {
            return nil
        }
        let end = path.count
        if unsafe base.loadUnaligned(fromByteOffset: 1, as: UInt32.self) == keyWord {
            guard end &- 5 <= Key.bytesMax, unsafe isPlain(base + 5, end &- 5) else { return nil }
            return unsafe TablePath(
                kind: .key, table: defaultTable,
                key: UnsafeRawBufferPointer(start: base + 5, count: end &- 5))
        }
        var tail: UInt64 = 0
        var at = 1
        while at < end {
            let byte = unsafe base.load(fromByteOffset: at, as: UInt8.self)
            guard TableName.allows(byte) else { break }
            tail = tail &<< 8 | UInt64(byte)
            at &+= 1
        }
        let keyAt = at &+ 5
        guard at > 1, at &- 1 <= TableName.bytesMax, keyAt < end,
            end &- keyAt <= Key.bytesMax, unsafe TableName.isFirst(path[1]),
            unsafe path[at] == 0x2F,
            unsafe base.loadUnaligned(fromByteOffset: at &+ 1, as: UInt32.self) == keyWord,
            unsafe isPlain(base + keyAt, end &- keyAt)
        else { return nil }
        let table = unsafe UnsafeRawBufferPointer(start: base + 1, count: at &- 1)
        if unsafe TableName.isReserved(table, tail: tail) { return nil }
        return unsafe TablePath(
            kind: .key, table: table,
            key: UnsafeRawBufferPointer(start: base + keyAt, count: end &- keyAt))
    }

    /// `key/` as it is loaded.
    @inline(__always)
    private static var keyWord: UInt32 { UInt32(littleEndian: 0x2F79_656B) }

    /// Whether there is no `%`, no slash and nothing but ASCII.
    @inline(__always)
    private static func isPlain(_ base: UnsafeRawPointer, _ count: Int) -> Bool {
        var marks: UInt64 = 0
        var at = 0
        if count >= 8 {
            while at &+ 8 <= count {
                unsafe marks |= marked(base.loadUnaligned(fromByteOffset: at, as: UInt64.self))
                at &+= 8
            }
            // The rest, with some bytes seen a second time.
            unsafe marks |= marked(base.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self))
            return marks == 0
        }
        while at < count {
            let byte = unsafe base.load(fromByteOffset: at, as: UInt8.self)
            if byte == 0x25 || byte == 0x2F || byte >= 0x80 { return false }
            at &+= 1
        }
        return true
    }

    /// Not zero where one of eight bytes is a `%`, a slash or not ASCII.
    @inline(__always)
    private static func marked(_ word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let percent = (word ^ (0x25 &* ones)) &- ones
        let slash = (word ^ (0x2F &* ones)) &- ones
        return (percent | slash | word) & (0x80 &* ones)
    }

    // MARK: Every other case

    private static var nothing: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    }

    private init(
        kind: Kind, table: UnsafeRawBufferPointer = unsafe nothing,
        key: UnsafeRawBufferPointer = unsafe nothing
    ) {
        self.kind = kind
        unsafe self.table = unsafe table
        unsafe self.key = unsafe key
    }

    @inline(never)
    private static func decoded(
        _ path: UnsafeRawBufferPointer, _ scratch: ByteWriter
    ) -> TablePath {
        guard unsafe path.first == 0x2F else { return unsafe TablePath(kind: .none) }
        var writer = scratch
        var rest = unsafe path
        let first = unsafe Segment.next(in: &rest, bytesMax: TableName.bytesMax, &writer)
        let hasSecond = unsafe !rest.isEmpty
        let second = unsafe Segment.next(in: &rest, bytesMax: Key.bytesMax, &writer)
        let hasThird = unsafe !rest.isEmpty
        let third = unsafe Segment.next(in: &rest, bytesMax: Key.bytesMax, &writer)
        if first.fault == .encoding || second.fault == .encoding || third.fault == .encoding {
            return unsafe TablePath(kind: .badEncoding)
        }
        if unsafe !rest.isEmpty { return unsafe TablePath(kind: .none) }
        if !hasSecond {
            return unsafe first.isEmpty ? TablePath(kind: .root) : TablePath(.table, first)
        }
        if !hasThird {
            if first.equals("key") { return unsafe TablePath(.key, Segment(defaultTable), second) }
            if second.equals("keys") { return TablePath(.keys, first) }
            if second.equals("store") { return TablePath(.store, first) }
            if second.equals("subscribe") { return TablePath(.subscribe, first) }
            return unsafe TablePath(kind: .none)
        }
        if second.equals("key") { return TablePath(.key, first, third) }
        if second.equals("subscribe") { return TablePath(.subscribe, first, third) }
        if second.equals("subscribers") { return TablePath(.subscribers, first, third) }
        return unsafe TablePath(kind: .none)
    }

    private static var defaultTable: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(
            start: TableName.defaultName.utf8Start,
            count: TableName.defaultName.utf8CodeUnitCount)
    }

    private init(_ kind: Kind, _ table: Segment) {
        switch unsafe table.fault == .length ? .malformed : TableName.judge(table.bytes) {
        case .good: unsafe self.init(kind: kind, table: table.bytes)
        case .reserved: unsafe self.init(kind: .none, table: table.bytes)
        case .malformed: unsafe self.init(kind: .badTable)
        }
    }

    private init(_ kind: Kind, _ table: Segment, _ key: Segment) {
        self.init(kind, table)
        guard self.kind == kind else { return }
        unsafe self.key = unsafe key.bytes
        if unsafe key.fault == .length || key.bytes.isEmpty || key.bytes.count > Key.bytesMax {
            unsafe self.init(kind: .badKey)
        }
    }
}

/// What stands between two slashes, decoded.
@safe
private struct Segment {
    enum Fault { case none, encoding, length }

    let bytes: UnsafeRawBufferPointer
    let fault: Fault

    init(_ bytes: UnsafeRawBufferPointer, _ fault: Fault = .none) {
        unsafe self.bytes = unsafe bytes
        self.fault = fault
    }

    /// Takes the segment that `rest` begins with, and the slash before it, off `rest`; an empty
    /// one when nothing is left. One that could not be `bytesMax` bytes even were each of them
    /// encoded is not decoded: so the room that is needed is known.
    ///
    /// Spans are made of constants only: of a variable that lives on, they cost a heap block.
    static func next(
        in rest: inout UnsafeRawBufferPointer, bytesMax: Int, _ writer: inout ByteWriter
    ) -> Segment {
        let path = unsafe rest
        guard path.count > 0 else { return unsafe Segment(path) }
        var end = 1
        while end < path.count, unsafe path[end] != 0x2F { end &+= 1 }
        let raw = unsafe UnsafeRawBufferPointer(rebasing: path[1..<end])
        unsafe rest = unsafe UnsafeRawBufferPointer(rebasing: path[end...])
        if raw.count > 3 * bytesMax { return unsafe Segment(raw, .length) }
        if unsafe Percent.isPlain(raw.bytes, as: .path) { return unsafe Segment(raw) }
        let before = writer.count
        guard unsafe Percent.decode(raw.bytes, as: .path, into: &writer) != nil else {
            return unsafe Segment(raw, .encoding)
        }
        let decoded = unsafe UnsafeRawBufferPointer(writer.written)
        return unsafe Segment(UnsafeRawBufferPointer(rebasing: decoded[before...]))
    }

    var isEmpty: Bool { unsafe bytes.isEmpty }

    func equals(_ text: StaticString) -> Bool { unsafe bytes.bytes.equals(text) }
}
