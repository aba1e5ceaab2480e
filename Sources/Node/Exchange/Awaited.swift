import Keyspace
import Machine

/// A place in a connection's order of answers, kept for one that is not here yet or that came
/// before its turn.
///
/// While a connection has such places, everything that is answered to it goes into one of them, so
/// that pipelined requests are answered in their order whichever shards they went to.
@safe struct Awaited {
    /// Whose answer it is; `Connection.noBlock` when the connection went away.
    var connection: UInt32
    var next: UInt32
    /// Distinguishes this use of the place from earlier ones: an answer names both.
    var serial: UInt32
    var shape: ReplyShape
    var isReady: Bool
    /// Kept for an answer from elsewhere, not for replies made here.
    var isRemote: Bool
    /// A part of a request about many keys, and which.
    var gather: UnsafeMutablePointer<Gather>? = nil
    var slot: UInt32 = 0
    /// A part of a transaction over shards; `slot` says which.
    var transaction: UnsafeMutablePointer<RESPTransaction>? = nil
    /// A login, which the desk forgets when its asker goes away.
    var isLogin = false
    /// The number of an account on its way to the store; 0: of none.
    var account: UInt64 = 0
    /// What was asked on a WebSocket, where answers come in any order.
    var question: UnsafeMutablePointer<SocketQuestion>? = nil
    /// What a table is set to once its record is stored.
    var settings: (table: TableNumber, TableSettingsBody.Settings)? = nil
    /// The whole reply, once it is ready and not yet its turn.
    var bytes: UnsafeMutablePointer<UInt8>?
    var count: Int
    var capacity: Int
}

/// The places of one shard, a bounded slab. With none left a connection's next request waits.
@safe struct AwaitedPool: ~Copyable {
    /// Requests of one shard that can be under way on others at a time.
    static let capacity = 16 * 1024
    static let none = UInt32.max
    /// Requests leave so many places free for transactions: what has its keys may wait for no
    /// place that is taken by what waits for those keys.
    private static let keptForTransactions = 1024
    /// And of those, transactions that still ask for their keys leave so many to those that have them.
    static let keptForHolders = 512
    /// What a request may need: a place for itself, and one for replies gathered before it.
    private static let placesPerRequest = 2
    /// Replies made here follow each other in one place, so it is a few. 32 MiB of a shard at most, when
    /// all of its places were in use at a time.
    private static let keptBytesMax = 2048
    /// For work whose answer nobody waits for: no place has it.
    static let noTicket = UInt64.max

    private let pages: Pages
    private let freePages: Pages
    let places: UnsafeMutablePointer<Awaited>
    private let free: UnsafeMutablePointer<UInt32>
    private var freeCount = 0
    private var untouched = 0
    private var serial: UInt32 = 0

    static func make() throws(SystemError) -> AwaitedPool {
        let pages = try Pages(byteCount: capacity * MemoryLayout<Awaited>.stride)
        let freePages = try Pages(byteCount: capacity * 4)
        return AwaitedPool(pages: pages, freePages: freePages)
    }

    private init(pages: consuming Pages, freePages: consuming Pages) {
        unsafe places = unsafe pages.bound(to: Awaited.self)
        unsafe free = unsafe freePages.bound(to: UInt32.self)
        self.pages = pages
        self.freePages = freePages
    }

    var hasFree: Bool { freeCount > 0 || untouched < Self.capacity }

    /// Whether a request may be looked at that may need places.
    var hasFreeForRequest: Bool { hasFree(Self.keptForTransactions + Self.placesPerRequest) }

    /// Whether so many can be taken.
    func hasFree(_ count: Int) -> Bool { freeCount + Self.capacity - untouched >= count }

    mutating func take(for connection: UInt32, _ shape: ReplyShape) -> UInt32 {
        invariant(hasFree, "no place for an answer")
        let place: UInt32
        var kept: UnsafeMutablePointer<UInt8>? = nil
        var capacity = 0
        if freeCount > 0 {
            freeCount -= 1
            place = unsafe free[freeCount]
            unsafe kept = unsafe places[Int(place)].bytes
            capacity = unsafe places[Int(place)].capacity
        } else {
            place = UInt32(untouched)
            untouched += 1
        }
        serial &+= 1
        unsafe (places + Int(place)).initialize(
            to: Awaited(
                connection: connection, next: Self.none, serial: serial, shape: shape,
                isReady: false, isRemote: true, bytes: kept, count: 0, capacity: capacity))
        return place
    }

    mutating func give(_ place: UInt32) {
        let entry = unsafe places + Int(place)
        // A short reply's memory stays for the next one.
        if unsafe entry.pointee.capacity > Self.keptBytesMax {
            unsafe entry.pointee.bytes?.deallocate()
            unsafe entry.pointee.bytes = nil
            unsafe entry.pointee.capacity = 0
        }
        unsafe entry.pointee.count = 0
        unsafe entry.pointee.serial = 0
        unsafe free[freeCount] = place
        freeCount += 1
    }

    /// What an answer has to bring back.
    func ticket(_ place: UInt32) -> UInt64 {
        unsafe UInt64(places[Int(place)].serial) << 32 | UInt64(place)
    }

    /// The place a ticket was given for, if it still waits.
    func place(of ticket: UInt64) -> UInt32? {
        let place = UInt32(truncatingIfNeeded: ticket)
        guard Int(place) < untouched, unsafe places[Int(place)].serial == UInt32(ticket >> 32)
        else { return nil }
        return place
    }

    /// Adds bytes to a reply that waits for its turn.
    func append(_ place: UInt32, _ bytes: UnsafeRawBufferPointer) {
        let entry = unsafe places + Int(place)
        let needed = unsafe entry.pointee.count + bytes.count
        if unsafe needed > entry.pointee.capacity {
            let capacity = unsafe max(needed, 2 * entry.pointee.capacity, 512)
            let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
            if let old = unsafe entry.pointee.bytes {
                unsafe larger.update(from: old, count: entry.pointee.count)
                unsafe old.deallocate()
            }
            unsafe entry.pointee.bytes = unsafe larger
            unsafe entry.pointee.capacity = capacity
        }
        guard let start = bytes.baseAddress else { return }
        let target = unsafe UnsafeMutableRawPointer(entry.pointee.bytes.unsafelyUnwrapped)
        unsafe (target + entry.pointee.count).copyMemory(from: start, byteCount: bytes.count)
        unsafe entry.pointee.count = needed
    }
}
