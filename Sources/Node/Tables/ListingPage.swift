import Keyspace
import Wire

/// Some of a shard's records of one table, as text, in the order of their keys: what a listing
/// over several shards is merged from.
///
/// The memory belongs to whoever holds the page. An entry is the key's length and the text's
/// length, then both.
@safe struct ListingPage {
    /// A page ends at the first entry past this, so one large record still fits.
    static let bytesMax = 64 * 1024
    /// Records looked at for one page: a table of expired records must not hold the shard up.
    static let stepsMax = 512
    private static let entryHead = 8

    private var memory: UnsafeMutableRawPointer? = nil
    private var count = 0
    private var capacity = 0
    private var at = 0
    /// No record comes after these.
    var isLast = false
    /// Live records of the table on that shard, whatever the prefix.
    var tableCount = 0
    /// The last key that was looked at, listed or not: where the next page begins.
    private var lastKeyCount = 0

    /// Adds an entry; `write` writes exactly `textCount` bytes.
    mutating func add(
        _ key: UnsafeRawBufferPointer, textCount: Int, _ write: (inout ByteWriter) -> Void
    ) {
        let start = unsafe grow(by: Self.entryHead + key.count + textCount)
        unsafe start.storeBytes(of: UInt32(key.count), as: UInt32.self)
        unsafe start.storeBytes(of: UInt32(textCount), toByteOffset: 4, as: UInt32.self)
        let keyPlace = unsafe start + Self.entryHead
        if let base = key.baseAddress {
            unsafe keyPlace.copyMemory(from: base, byteCount: key.count)
        }
        let text = unsafe (keyPlace + key.count).assumingMemoryBound(to: UInt8.self)
        var writer = unsafe ByteWriter(text, capacity: textCount)
        write(&writer)
    }

    /// Notes where the next page begins, behind all entries.
    mutating func end(after key: UnsafeRawBufferPointer) {
        guard let base = key.baseAddress else { return }
        unsafe grow(by: key.count).copyMemory(from: base, byteCount: key.count)
        count -= key.count
        lastKeyCount = key.count
    }

    var isFull: Bool { count >= Self.bytesMax }
    var isEmpty: Bool { at >= count }

    var lastKey: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: memory.map { unsafe $0 + count }, count: lastKeyCount)
    }

    /// The entry whose turn it is; there has to be one.
    var first: (key: UnsafeRawBufferPointer, text: UnsafeRawBufferPointer) {
        let start = unsafe memory.unsafelyUnwrapped + at
        let keyCount = unsafe Int(start.loadUnaligned(as: UInt32.self))
        let textCount = unsafe Int(start.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        let key = unsafe start + Self.entryHead
        return unsafe (
            UnsafeRawBufferPointer(start: key, count: keyCount),
            UnsafeRawBufferPointer(start: key + keyCount, count: textCount)
        )
    }

    mutating func dropFirst() {
        let entry = unsafe first
        unsafe at += Self.entryHead + entry.key.count + entry.text.count
    }

    mutating func release() {
        unsafe memory?.deallocate()
        self = ListingPage()
    }

    private mutating func grow(by size: Int) -> UnsafeMutableRawPointer {
        if count + size > capacity {
            let larger = max(count + size, 2 * capacity, 4096)
            let grown = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 8)
            if let memory = unsafe memory {
                unsafe grown.copyMemory(from: memory, byteCount: count)
                unsafe memory.deallocate()
            }
            unsafe memory = unsafe grown
            capacity = larger
        }
        defer { count += size }
        return unsafe memory.unsafelyUnwrapped + count
    }
}

/// A listing under way: one page of each shard, and what is still wanted.
@safe struct Listing {
    enum Stage { case begun, streaming, gathering, ended }

    /// With a limit the answer is made whole before it is sent, because its head names the cursor
    /// of the next; so its text is bounded as well.
    static let gatheredBytesMax = 1 << 20

    let table: TableNumber
    let withRecords: Bool
    let isConfigured: Bool
    let principal: UInt32
    let shape: ReplyShape
    let serial: UInt32
    /// The request's path, for the link to the next page.
    let path: UnsafeMutableRawBufferPointer
    let prefix: UnsafeMutableRawBufferPointer
    let after: UnsafeMutableRawBufferPointer
    let limit: Int
    var stage = Stage.begun
    var left: Int
    var written = 0
    var pages: [ListingPage]
    var isAsked: [Bool]
    /// The answer so far, where there is a limit.
    var gathered: [UInt8] = []
    var lastKey: [UInt8] = []
    /// Asked on a WebSocket: the answer is one message.
    var question: SocketQuestion? = nil
}
