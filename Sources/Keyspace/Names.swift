import Glibc

/// Names and the small numbers that stand for them in memory: owners, content types, tables.
///
/// Numbers are given in order of arrival, from `firstNumber`, and are never taken back: a record
/// may still carry one. They mean something within one run of one node only; whatever leaves the
/// process carries the name. Looking a name up allocates nothing.
@safe
public struct Names: ~Copyable {
    private struct Entry {
        var offset: UInt32
        var count: UInt32
    }

    /// How many names there can be; beyond, `number(adding:)` answers nil.
    public let namesMax: Int
    public let firstNumber: UInt32
    private let hashing: KeyHash
    private var entries: UnsafeMutablePointer<Entry>
    private var entriesCapacity = 16
    public private(set) var count = 0
    /// Open addressing over entry numbers plus one; twice as many places as entries.
    private var places: UnsafeMutablePointer<UInt32>
    private var bytes: UnsafeMutableRawPointer
    private var bytesCount = 0
    private var bytesCapacity = 256

    public init(namesMax: Int, firstNumber: UInt32 = 0, seed: UInt64) {
        self.namesMax = namesMax
        self.firstNumber = firstNumber
        hashing = KeyHash(seed: seed)
        unsafe entries = .allocate(capacity: entriesCapacity)
        unsafe places = .allocate(capacity: entriesCapacity * 2)
        unsafe places.initialize(repeating: 0, count: entriesCapacity * 2)
        unsafe bytes = .allocate(byteCount: bytesCapacity, alignment: 8)
    }

    deinit {
        unsafe entries.deallocate()
        unsafe places.deallocate()
        unsafe bytes.deallocate()
    }

    /// The number of a known name.
    public func number(of name: UnsafeRawBufferPointer) -> UInt32? {
        let place = unsafe self.place(of: name)
        let entry = unsafe places[place]
        return entry == 0 ? nil : entry - 1 + firstNumber
    }

    /// The number of a name, new or known; nil when there is no room for another.
    public mutating func number(adding name: UnsafeRawBufferPointer) -> UInt32? {
        if let known = unsafe number(of: name) { return known }
        guard count < namesMax, bytesCount + name.count < Int(UInt32.max) else { return nil }
        if count == entriesCapacity { grow() }
        unsafe keep(name)
        count += 1
        unsafe places[place(of: name)] = UInt32(count)
        return UInt32(count - 1) + firstNumber
    }

    /// The name behind a number; good until the next name is added.
    public func name(_ number: UInt32) -> UnsafeRawBufferPointer? {
        guard number >= firstNumber, Int(number - firstNumber) < count else { return nil }
        return unsafe entry(Int(number - firstNumber))
    }

    private func entry(_ number: Int) -> UnsafeRawBufferPointer {
        let entry = unsafe entries[number]
        return unsafe UnsafeRawBufferPointer(
            start: bytes + Int(entry.offset), count: Int(entry.count))
    }

    private func place(of name: UnsafeRawBufferPointer) -> Int {
        let mask = entriesCapacity * 2 - 1
        var place = Int(truncatingIfNeeded: unsafe hashing.hash(0, name) >> 20) & mask
        while true {
            let number = unsafe places[place]
            if number == 0 { return place }
            let known = unsafe entry(Int(number) - 1)
            if known.count == name.count {
                guard let one = known.baseAddress, let other = name.baseAddress,
                    name.count > 0
                else { return place }
                if unsafe memcmp(one, other, name.count) == 0 { return place }
            }
            place = (place + 1) & mask
        }
    }

    private mutating func keep(_ name: UnsafeRawBufferPointer) {
        if bytesCount + name.count > bytesCapacity {
            let capacity = max(bytesCapacity * 2, bytesCount + name.count)
            let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 8)
            unsafe larger.copyMemory(from: bytes, byteCount: bytesCount)
            unsafe bytes.deallocate()
            unsafe bytes = unsafe larger
            bytesCapacity = capacity
        }
        if let start = name.baseAddress {
            unsafe (bytes + bytesCount).copyMemory(from: start, byteCount: name.count)
        }
        unsafe entries[count] = Entry(offset: UInt32(bytesCount), count: UInt32(name.count))
        bytesCount += name.count
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Entry>.allocate(capacity: entriesCapacity * 2)
        unsafe larger.update(from: entries, count: count)
        unsafe entries.deallocate()
        unsafe entries = unsafe larger
        entriesCapacity *= 2
        unsafe places.deallocate()
        unsafe places = .allocate(capacity: entriesCapacity * 2)
        unsafe places.initialize(repeating: 0, count: entriesCapacity * 2)
        for number in 0..<count {
            unsafe places[place(of: entry(number))] = UInt32(number + 1)
        }
    }
}
