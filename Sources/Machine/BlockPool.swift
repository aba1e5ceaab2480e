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
    private var free: FreeList
    /// Free blocks that stay warm: what a quiet shard works in.
    private static let warmBlocks = 4
    /// Blocks never handed out begin here.
    private var untouched = 0

    public static func make(byteCountMax: Int) throws(SystemError) -> BlockPool {
        let capacity = max(byteCountMax / Self.blockBytes, 16)
        let pages = try Pages(byteCount: capacity * Self.blockBytes)
        let linkPages = try Pages(byteCount: capacity * MemoryLayout<Link>.stride)
        let free = try FreeList(0, capacity: capacity, kept: Self.warmBlocks)
        return BlockPool(capacity: capacity, pages: pages, linkPages: linkPages, free: free)
    }

    private init(
        capacity: Int, pages: consuming Pages, linkPages: consuming Pages,
        free: consuming FreeList
    ) {
        self.capacity = capacity
        unsafe links = linkPages.bound(to: Link.self)
        self.linkPages = linkPages
        self.pages = pages
        self.free = free
    }

    public func canTake(isFirst: Bool) -> Bool {
        used < (isFirst ? capacity : capacity - capacity / Self.reservedShare)
    }

    /// A block's number, or nil at the bound: the connection then waits for its turn again.
    public mutating func take(isFirst: Bool) -> UInt32? {
        guard canTake(isFirst: isFirst) else { return nil }
        used += 1
        if let block = free.take() { return block }
        untouched += 1
        return UInt32(untouched - 1)
    }

    public var isExhausted: Bool { !canTake(isFirst: false) }

    public mutating func give(_ block: UInt32) {
        invariant(used > 0, "block \(block) is given back twice")
        free.give(block)
        used -= 1
    }

    /// Whether a burst has left memory that is not used now.
    public var mayGiveBack: Bool { free.isWarm }

    /// Gives the kernel what was not used since the call before, so many blocks at most. Whether
    /// there is more of it.
    public mutating func giveBack(most: Int) -> Bool {
        free.cool(pages, partBytes: Self.blockBytes, most: most)
    }

    /// Where what is written to a block begins. All beginnings at one place of a page would share
    /// the same few places of the processor's cache, and a turn's replies would drive each other
    /// out of it.
    @inline(__always)
    public static func firstByte(of block: UInt32) -> UInt32 { (block & 7) &* 448 }

    public func bytes(of block: UInt32) -> UnsafeMutablePointer<UInt8> {
        unsafe (pages.base + Int(block) * Self.blockBytes).assumingMemoryBound(to: UInt8.self)
    }
}
