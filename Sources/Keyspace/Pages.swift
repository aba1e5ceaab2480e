/// Memory for the index and the listings: pages of 4 KiB, and blocks of 512 bytes cut from them.
///
/// Both structures grow one piece at a time, so nothing is ever copied into something twice its
/// size. A page nobody uses goes back to the system.
@safe
struct Pages: ~Copyable {
    static let pageBytes = 4096
    static let blockBytes = 512
    static let blocksPerPage = pageBytes / blockBytes
    /// Freed pages kept for the next taker, so that a table which grows and shrinks by one page
    /// doesn't ask the kernel each time.
    static let warmMax = 64

    let base: UnsafeMutableRawPointer
    let pagesMax: Int

    /// Page 0 is nobody.
    private var used = 1
    private var opened = 0
    private(set) var inUse = 0
    private var free: UnsafeMutablePointer<UInt32>
    private var freeCount = 0
    private var freeCapacity = 1024
    /// One bit for each free block of a page that was cut up.
    private let freeBlocks: UnsafeMutablePointer<UInt8>
    /// The first of the free blocks; each holds the next and the previous one.
    private var firstFreeBlock: UInt32 = 0
    private var freeBlockCount = 0
    private var cutPages = 0
    /// Where the search for a page with few blocks goes on.
    private var sparseCursor = 1

    /// `notes` is room for one byte a page, already usable and zero.
    init(base: UnsafeMutableRawPointer, pagesMax: Int, notes: UnsafeMutableRawPointer) {
        unsafe self.base = unsafe base
        self.pagesMax = pagesMax
        unsafe freeBlocks = unsafe notes.bindMemory(to: UInt8.self, capacity: pagesMax)
        unsafe free = .allocate(capacity: freeCapacity)
    }

    deinit { unsafe free.deallocate() }

    /// What the pages really take, those kept warm included.
    var residentBytes: Int {
        (inUse + min(freeCount, Pages.warmMax)) * Pages.pageBytes + freeCapacity * 4
    }

    /// Blocks that were taken and not given back, and whole pages likewise; for the audit.
    var blocksInUse: Int { cutPages * Pages.blocksPerPage - freeBlockCount }
    var wholePagesInUse: Int { inUse - cutPages }

    /// Whether so many pages can still be taken; asked before a change that must not stop half.
    func canTake(_ pages: Int) -> Bool { pagesMax - used + freeCount >= pages }

    @inline(__always)
    func page(_ number: UInt32) -> UnsafeMutableRawPointer {
        unsafe base + Int(number) << 12
    }

    @inline(__always)
    func block(_ number: UInt32) -> UnsafeMutableRawPointer {
        unsafe base + Int(number) << 9
    }

    /// A page of unknown content.
    mutating func takePage() -> UInt32 {
        inUse += 1
        if freeCount > 0 {
            freeCount -= 1
            return unsafe free[freeCount]
        }
        invariant(used < pagesMax, "a page was taken without asking whether there is one")
        if used >= opened {
            // Opening costs a system call, not memory: 4 MiB at once.
            let count = min(1024, pagesMax - opened)
            let done = unsafe Region.open(base + opened << 12, count << 12)
            invariant(done, "the kernel refused to open reserved address space (overcommit?)")
            opened += count
        }
        used += 1
        return UInt32(truncatingIfNeeded: used - 1)
    }

    mutating func givePage(_ number: UInt32) {
        inUse -= 1
        if freeCount == freeCapacity {
            let larger = UnsafeMutablePointer<UInt32>.allocate(capacity: freeCapacity * 2)
            unsafe larger.update(from: free, count: freeCount)
            unsafe free.deallocate()
            unsafe free = unsafe larger
            freeCapacity *= 2
        }
        if freeCount >= Pages.warmMax { unsafe Region.giveBack(page(number), Pages.pageBytes) }
        unsafe free[freeCount] = number
        freeCount += 1
    }

    /// A block of unknown content.
    mutating func takeBlock() -> UInt32 {
        if firstFreeBlock == 0 {
            let page = takePage()
            cutPages += 1
            for place in (0..<UInt32(Pages.blocksPerPage)).reversed() {
                putFree(page << 3 | place)
            }
        }
        let taken = firstFreeBlock
        dropFree(taken)
        return taken
    }

    mutating func giveBlock(_ number: UInt32) {
        putFree(number)
        let page = number >> 3
        guard unsafe freeBlocks[Int(page)] == 0xFF else { return }
        for place in 0..<UInt32(Pages.blocksPerPage) { dropFree(page << 3 | place) }
        cutPages -= 1
        givePage(page)
    }

    /// Whether more than a fifth of the blocks that were cut is unused: then blocks are worth
    /// moving together, since pages go back only as a whole.
    var wantsFewerPages: Bool {
        freeBlockCount > cutPages * Pages.blocksPerPage / 5 + 2 * Pages.blocksPerPage
    }

    /// Looks at some pages for one with at least two unused blocks (when a fifth is unused, there
    /// is one), and withdraws these; the answer is the page and its blocks in use as bits, or page
    /// 0. Once the caller has moved the latter, it gives the page back with `giveEmptied`.
    mutating func isolateSparsePage() -> (page: UInt32, inUse: UInt8) {
        for _ in 0..<Pages.sparseSearchMax {
            sparseCursor += 1
            if sparseCursor >= used { sparseCursor = 1 }
            let free = unsafe freeBlocks[sparseCursor]
            let unused = free.nonzeroBitCount
            guard unused >= 2,
                freeBlockCount - unused >= Pages.blocksPerPage - unused
            else { continue }
            let page = UInt32(truncatingIfNeeded: sparseCursor)
            for place in 0..<UInt32(Pages.blocksPerPage) where free & (1 << UInt8(place)) != 0 {
                dropFree(page << 3 | place)
            }
            return (page, ~free)
        }
        return (0, 0)
    }

    static let sparseSearchMax = 64

    mutating func giveEmptied(_ page: UInt32) {
        cutPages -= 1
        givePage(page)
    }

    private mutating func putFree(_ number: UInt32) {
        let links = unsafe block(number)
        unsafe links.storeBytes(of: firstFreeBlock, as: UInt32.self)
        unsafe links.storeBytes(of: 0, toByteOffset: 4, as: UInt32.self)
        if firstFreeBlock != 0 {
            unsafe block(firstFreeBlock).storeBytes(of: number, toByteOffset: 4, as: UInt32.self)
        }
        firstFreeBlock = number
        freeBlockCount += 1
        unsafe freeBlocks[Int(number >> 3)] |= 1 << UInt8(number & 7)
    }

    private mutating func dropFree(_ number: UInt32) {
        let links = unsafe block(number)
        let next = unsafe links.load(as: UInt32.self)
        let previous = unsafe links.load(fromByteOffset: 4, as: UInt32.self)
        if previous == 0 {
            firstFreeBlock = next
        } else {
            unsafe block(previous).storeBytes(of: next, as: UInt32.self)
        }
        if next != 0 {
            unsafe block(next).storeBytes(of: previous, toByteOffset: 4, as: UInt32.self)
        }
        freeBlockCount -= 1
        unsafe freeBlocks[Int(number >> 3)] &= ~(1 << UInt8(number & 7))
    }
}
