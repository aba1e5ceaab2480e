import Glibc
import Keyspace
import Machine
import Synchronization

/// The users' names and the numbers that records keep instead of them, the same on every shard.
///
/// A name gets its number when it is first seen and keeps it for the life of the process: records
/// refer to it, so nothing is ever taken out or freed. Names lie in memory that never moves and are
/// counted in only once they are whole, so that any shard reads them without a lock; only finding
/// the number of a name takes one, which happens when a token is seen for the first time.
///
/// A handle: every shard has a copy, all copies are the same registry. `admin` is
/// `Principal.system`, who may overwrite whatever is there; nobody in particular has the empty
/// name.
@safe struct OwnerNumbers: @unchecked Sendable, BitwiseCopyable {
    /// As many as a record can tell apart.
    static let namesMax = Principal.principalsMax - Int(Principal.firstNamed)
    /// As long as a user's name may be; its length is kept in one byte.
    static let nameBytesMax = 64

    private static let chunkNames = 4096
    private static let arenaBytes = 64 * 1024
    private static let slotsAtFirst = 1024

    @safe private struct State: ~Copyable {
        /// Chunks of pointers to names, each a byte that says how long it is and its bytes.
        let chunks: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeRawPointer>?>
        let namesMax: Int
        /// How many names are whole: stored after the last of them, read before any.
        let published = Atomic<Int>(0)
        let adding: Mutex<Adding>
    }

    /// What only the holder of the lock touches.
    @safe private struct Adding: ~Copyable, @unchecked Sendable {
        var arena: UnsafeMutableRawPointer?
        var arenaLeft = 0
        /// Open addressing, at most three quarters full. A slot is zero or the upper half of a
        /// name's hash and its place plus one: growing needn't read the names again.
        var slots: UnsafeMutablePointer<UInt64>
        var slotMask: Int
    }

    private let state: UnsafeMutablePointer<State>
    private static let adminName: StaticString = "admin"

    static func make(namesMax: Int = OwnerNumbers.namesMax) -> OwnerNumbers {
        let namesMax = min(namesMax, Self.namesMax)
        let chunkCount = (namesMax + chunkNames - 1) / chunkNames
        let chunks = unsafe calloc(max(1, chunkCount), MemoryLayout<UnsafeRawPointer?>.stride)
        let slots = unsafe calloc(slotsAtFirst, MemoryLayout<UInt64>.stride)
        unsafe invariant(chunks != nil && slots != nil, "out of memory for the names of owners")
        let state = UnsafeMutablePointer<State>.allocate(capacity: 1)
        unsafe state.initialize(
            to: State(
                chunks: chunks!.bindMemory(
                    to: UnsafeMutablePointer<UnsafeRawPointer>?.self, capacity: chunkCount),
                namesMax: namesMax,
                adding: Mutex(
                    Adding(
                        slots: slots!.bindMemory(to: UInt64.self, capacity: slotsAtFirst),
                        slotMask: slotsAtFirst - 1))))
        return unsafe OwnerNumbers(state: state)
    }

    private init(state: UnsafeMutablePointer<State>) { unsafe self.state = unsafe state }

    /// How many names there are, for the metrics.
    var count: Int { unsafe state.pointee.published.load(ordering: .relaxed) }

    /// The name behind a record's owner. The bytes stay where they are to the end of the process.
    func name(of number: UInt32) -> UnsafeRawBufferPointer {
        let place = Int(number) - Int(Principal.firstNamed)
        guard place >= 0 else {
            return unsafe number == Principal.system.rawValue
                ? Self.builtIn(Self.adminName) : UnsafeRawBufferPointer(start: nil, count: 0)
        }
        let published = unsafe state.pointee.published.load(ordering: .acquiring)
        invariant(place < published, "owner \(number) of \(published)")
        let chunk = unsafe state.pointee.chunks[place / Self.chunkNames]!
        return unsafe Self.bytes(chunk[place % Self.chunkNames])
    }

    /// The number of a name, given to it now if it has none yet; nil where it is no name or there
    /// are as many as there may be.
    func number(adding name: UnsafeRawBufferPointer) -> UInt32? {
        guard name.count >= 1, name.count <= Self.nameBytesMax else { return nil }
        if unsafe Self.isSame(name, Self.builtIn(Self.adminName)) {
            return Principal.system.rawValue
        }
        var hasher = Hasher()
        unsafe hasher.combine(bytes: name)
        let tag = UInt64(UInt(bitPattern: hasher.finalize())) >> 32
        let state = unsafe self.state
        let place: Int? = unsafe state.pointee.adding.withLock { adding in
            var slot = Int(tag) & adding.slotMask
            while unsafe adding.slots[slot] != 0 {
                let found = unsafe adding.slots[slot]
                let place = Int(found & 0xffff_ffff) - 1
                if found >> 32 == tag {
                    let chunk = unsafe state.pointee.chunks[place / Self.chunkNames]!
                    if unsafe Self.isSame(name, Self.bytes(chunk[place % Self.chunkNames])) {
                        return place
                    }
                }
                slot = (slot + 1) & adding.slotMask
            }
            let place = unsafe state.pointee.published.load(ordering: .relaxed)
            guard unsafe place < state.pointee.namesMax else { return nil }
            let chunkNumber = place / Self.chunkNames
            if unsafe state.pointee.chunks[chunkNumber] == nil {
                unsafe state.pointee.chunks[chunkNumber] = .allocate(capacity: Self.chunkNames)
            }
            unsafe (state.pointee.chunks[chunkNumber]! + place % Self.chunkNames)
                .initialize(to: Self.keep(name, &adding))
            unsafe adding.slots[slot] = tag << 32 | UInt64(place + 1)
            unsafe state.pointee.published.store(place + 1, ordering: .releasing)
            if (place + 1) * 4 > (adding.slotMask + 1) * 3 { Self.grow(&adding, count: place + 1) }
            return place
        }
        return place.map { UInt32($0) + Principal.firstNamed }
    }

    // MARK: Under the lock

    private static func keep(
        _ name: UnsafeRawBufferPointer, _ adding: inout Adding
    ) -> UnsafeRawPointer {
        if adding.arenaLeft < name.count + 1 {
            unsafe adding.arena = .allocate(byteCount: arenaBytes, alignment: 8)
            adding.arenaLeft = arenaBytes
        }
        let start = unsafe adding.arena!
        unsafe start.storeBytes(of: UInt8(name.count), as: UInt8.self)
        unsafe (start + 1).copyMemory(from: name.baseAddress!, byteCount: name.count)
        unsafe adding.arena = unsafe start + name.count + 1
        adding.arenaLeft -= name.count + 1
        return UnsafeRawPointer(start)
    }

    private static func grow(_ adding: inout Adding, count: Int) {
        let slotCount = (adding.slotMask + 1) * 2
        let memory = unsafe calloc(slotCount, MemoryLayout<UInt64>.stride)
        unsafe invariant(memory != nil, "out of memory for the names of owners")
        let slots = unsafe memory!.bindMemory(to: UInt64.self, capacity: slotCount)
        for old in 0...adding.slotMask where unsafe adding.slots[old] != 0 {
            var slot = unsafe Int(adding.slots[old] >> 32) & (slotCount - 1)
            while unsafe slots[slot] != 0 { slot = (slot + 1) & (slotCount - 1) }
            unsafe slots[slot] = unsafe adding.slots[old]
        }
        unsafe free(adding.slots)
        unsafe adding.slots = unsafe slots
        adding.slotMask = slotCount - 1
    }

    // MARK: Names

    private static func bytes(_ kept: UnsafeRawPointer) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: kept + 1, count: Int(kept.load(as: UInt8.self)))
    }

    private static func isSame(
        _ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer
    ) -> Bool {
        unsafe one.count == other.count
            && memcmp(one.baseAddress!, other.baseAddress!, one.count) == 0
    }

    private static func builtIn(_ name: StaticString) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
    }
}
