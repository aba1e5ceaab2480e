/// Blocks of one size for bytes on their way out, and for requests that arrived in part.
///
/// A connection holds blocks only while it has something in flight, so an idle one costs none.
/// Blocks are handed out last-in first-out: a quiet shard works in a few warm pages. The pool is a
/// reservation; its bound is what slow readers of one shard can make us hold.
@safe public struct BlockPool: ~Copyable {
    /// Sixteen pipelined replies of a small record, or the longest request head by default.
    public static let blockBytes = 16 * 1024
    /// The last part of the pool is for connections that hold no block yet, so that readers who
    /// don't read can't stop everybody else's replies.
    private static let reservedShare = 4

    public struct Link {
        public var next: UInt32
        public var start: UInt32
        public var end: UInt32

        @inlinable
        public init(next: UInt32, start: UInt32, end: UInt32) {
            self.next = next
            self.start = start
            self.end = end
        }
    }

    public let capacity: Int
    public private(set) var used = 0

    /// What each block holds and which one follows it in its connection's chain.
    public let links: UnsafeMutablePointer<Link>

    private let pages: Pages
    private let linkPages: Pages
    private let freePages: Pages
    private let free: UnsafeMutablePointer<UInt32>
    private var freeCount = 0
    /// Blocks never handed out begin here.
    private var untouched = 0

    public static func make(byteCountMax: Int) throws(SystemError) -> BlockPool {
        let capacity = max(byteCountMax / Self.blockBytes, 16)
        let pages = try Pages(byteCount: capacity * Self.blockBytes)
        let freePages = try Pages(byteCount: capacity * 4)
        let linkPages = try Pages(byteCount: capacity * MemoryLayout<Link>.stride)
        return BlockPool(
            capacity: capacity, pages: pages, linkPages: linkPages, freePages: freePages)
    }

    private init(
        capacity: Int, pages: consuming Pages, linkPages: consuming Pages,
        freePages: consuming Pages
    ) {
        self.capacity = capacity
        unsafe links = linkPages.bound(to: Link.self)
        self.linkPages = linkPages
        unsafe free = freePages.bound(to: UInt32.self)
        self.pages = pages
        self.freePages = freePages
    }

    public func canTake(isFirst: Bool) -> Bool {
        used < (isFirst ? capacity : capacity - capacity / Self.reservedShare)
    }

    /// A block's number, or nil at the bound: the connection then waits for its turn again.
    public mutating func take(isFirst: Bool) -> UInt32? {
        guard canTake(isFirst: isFirst) else { return nil }
        if freeCount > 0 {
            freeCount -= 1
            used += 1
            return unsafe free[freeCount]
        }
        untouched += 1
        used += 1
        return UInt32(untouched - 1)
    }

    public var isExhausted: Bool { !canTake(isFirst: false) }

    public mutating func give(_ block: UInt32) {
        invariant(used > 0, "block \(block) is given back twice")
        unsafe free[freeCount] = block
        freeCount += 1
        used -= 1
    }

    public func bytes(of block: UInt32) -> UnsafeMutablePointer<UInt8> {
        unsafe (pages.base + Int(block) * Self.blockBytes).assumingMemoryBound(to: UInt8.self)
    }
}
