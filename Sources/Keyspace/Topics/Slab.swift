import Glibc

/// Places of plain data, named by a number, that are taken and given back in any order.
///
/// The memory grows by doubling and never moves a number, so whoever keeps one keeps it for as long
/// as the place is taken. A place given back is the next one taken: a quiet shard works in few
/// pages. Pointers into the slab are good until the next `take`.
@safe
public struct Slab<Element: BitwiseCopyable>: ~Copyable {
    /// No place.
    @inlinable public static var none: UInt32 { UInt32.max }

    @usableFromInline var base: UnsafeMutablePointer<Element>
    @usableFromInline var capacity: Int
    /// Places never taken begin here.
    @usableFromInline var untouched = 0
    /// The first of those given back; each holds the number of the next.
    @usableFromInline var firstFree = UInt32.max
    /// Places taken now.
    public private(set) var count = 0
    public let countMax: Int

    public init(countMax: Int, capacity: Int = 16) {
        invariant(
            MemoryLayout<Element>.stride >= 4 && countMax < Int(UInt32.max),
            "a slab whose places can't hold a number")
        self.countMax = countMax
        self.capacity = min(capacity, countMax)
        unsafe base = .allocate(capacity: self.capacity)
    }

    deinit { unsafe base.deallocate() }

    /// A place that holds `element` now; nil at the bound.
    public mutating func take(_ element: Element) -> UInt32? {
        let number: UInt32
        if firstFree != UInt32.max {
            number = firstFree
            firstFree = unsafe UnsafeRawPointer(base + Int(number)).load(as: UInt32.self)
        } else {
            guard untouched < countMax else { return nil }
            if untouched == capacity { grow() }
            number = UInt32(untouched)
            untouched += 1
        }
        count += 1
        unsafe (base + Int(number)).initialize(to: element)
        return number
    }

    public mutating func give(_ number: UInt32) {
        invariant(Int(number) < untouched, "a place that was never taken is given back")
        unsafe UnsafeMutableRawPointer(base + Int(number)).storeBytes(
            of: firstFree, as: UInt32.self)
        firstFree = number
        count -= 1
    }

    @inlinable @inline(__always)
    public func place(_ number: UInt32) -> UnsafeMutablePointer<Element> {
        unsafe base + Int(number)
    }

    /// One more than the highest number that was ever taken: for walks over all places.
    @inlinable public var reach: Int { untouched }

    /// What it takes of the machine, at most.
    public var bytes: Int { capacity * MemoryLayout<Element>.stride }

    private mutating func grow() {
        let larger = min(capacity * 2, countMax)
        // The old places are moved, pages and all, by the kernel once they are many.
        let memory = unsafe realloc(base, larger * MemoryLayout<Element>.stride)
        unsafe invariant(memory != nil, "no memory for more places")
        unsafe base = unsafe memory.unsafelyUnwrapped.bindMemory(
            to: Element.self, capacity: larger)
        capacity = larger
    }
}
