import Glibc
import Identity
import Keyspace
import Machine
import Synchronization

/// The users, and the numbers that records in memory keep instead of them, the same on every shard.
///
/// A user is an identifier that never changes, the `sub` of their tokens, and a name to show. They
/// get their number when they are first seen and keep it for the life of the process: records refer
/// to it, so nothing is ever taken out or freed. What leaves the process, the log above all,
/// carries the identifier. Users lie in memory that never moves and are counted in only once they
/// are whole, so that any shard reads them without a lock; only finding a number takes one, which
/// happens when a token is seen for the first time.
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
        /// Chunks of pointers to users: the identifier, a byte that says how long the name is, and
        /// its bytes.
        let chunks: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeRawPointer>?>
        let namesMax: Int
        /// How many names are whole: stored after the last of them, read before any.
        let published = Atomic<Int>(0)
        let adding: Guarded<Adding>
    }

    /// What only the holder of the lock touches.
    @safe private struct Adding: ~Copyable, @unchecked Sendable {
        var arena: UnsafeMutableRawPointer?
        var arenaLeft = 0
        /// Open addressing, at most three quarters full. A slot is zero or the upper half of an
        /// identifier's hash and its place plus one: growing needn't read the users again.
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
                adding: Guarded(
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

    /// The identifier behind a record's owner.
    func identifier(of number: UInt32) -> Identifier {
        let place = Int(number) - Int(Principal.firstNamed)
        guard place >= 0 else {
            return number == Principal.system.rawValue ? .admin : Self.nobody
        }
        let published = unsafe state.pointee.published.load(ordering: .acquiring)
        invariant(place < published, "owner \(number) of \(published)")
        return unsafe Self.identifier(
            state.pointee.chunks[place / Self.chunkNames]![
                place % Self.chunkNames])
    }

    /// Stands for `Principal.anonymous` where a record leaves the process.
    static let nobody = Identifier(high: 0, low: 0)

    /// The number of a user, given to them now if they have none yet; nil where the name is none or
    /// there are as many as there may be.
    ///
    /// An empty name is one that isn't known yet: records come back from the log before the
    /// accounts that say who their owners are. It is filled in by the first to know it, which has
    /// to be before anybody asks for names.
    func number(adding id: Identifier, name: UnsafeRawBufferPointer) -> UInt32? {
        guard name.count <= Self.nameBytesMax else { return nil }
        if id == .admin { return Principal.system.rawValue }
        if id == Self.nobody { return Principal.anonymous.rawValue }
        var hasher = Hasher()
        hasher.combine(id)
        let tag = UInt64(UInt(bitPattern: hasher.finalize())) >> 32
        let state = unsafe self.state
        let place: Int? = unsafe state.pointee.adding.withLock { adding in
            var slot = Int(tag) & adding.slotMask
            while unsafe adding.slots[slot] != 0 {
                let found = unsafe adding.slots[slot]
                let place = Int(found & 0xffff_ffff) - 1
                let chunk = unsafe state.pointee.chunks[place / Self.chunkNames]!
                let kept = unsafe chunk + place % Self.chunkNames
                if found >> 32 == tag, unsafe Self.identifier(kept.pointee) == id {
                    if name.count > 0, unsafe Self.bytes(kept.pointee).isEmpty {
                        unsafe kept.pointee = unsafe Self.keep(id, name, &adding)
                    }
                    return place
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
                .initialize(to: Self.keep(id, name, &adding))
            unsafe adding.slots[slot] = tag << 32 | UInt64(place + 1)
            unsafe state.pointee.published.store(place + 1, ordering: .releasing)
            if (place + 1) * 4 > (adding.slotMask + 1) * 3 { Self.grow(&adding, count: place + 1) }
            return place
        }
        return place.map { UInt32($0) + Principal.firstNamed }
    }

    // MARK: Under the lock

    private static func keep(
        _ id: Identifier, _ name: UnsafeRawBufferPointer, _ adding: inout Adding
    ) -> UnsafeRawPointer {
        let bytes = nameOffset + name.count
        if adding.arenaLeft < bytes {
            unsafe adding.arena = .allocate(byteCount: arenaBytes, alignment: 8)
            adding.arenaLeft = arenaBytes
        }
        let start = unsafe adding.arena!
        unsafe start.storeBytes(of: id, as: Identifier.self)
        unsafe start.storeBytes(of: UInt8(name.count), toByteOffset: lengthOffset, as: UInt8.self)
        if let from = name.baseAddress {
            unsafe (start + nameOffset).copyMemory(from: from, byteCount: name.count)
        }
        unsafe adding.arena = unsafe start + bytes
        adding.arenaLeft -= bytes
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

    private static var lengthOffset: Int { MemoryLayout<Identifier>.size }
    private static var nameOffset: Int { lengthOffset + 1 }

    private static func identifier(_ kept: UnsafeRawPointer) -> Identifier {
        unsafe kept.loadUnaligned(as: Identifier.self)
    }

    private static func bytes(_ kept: UnsafeRawPointer) -> UnsafeRawBufferPointer {
        let count = unsafe Int(kept.load(fromByteOffset: lengthOffset, as: UInt8.self))
        return unsafe UnsafeRawBufferPointer(start: kept + nameOffset, count: count)
    }

    private static func builtIn(_ name: StaticString) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
    }
}
