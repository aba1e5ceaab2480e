import Glibc

/// The records of one table in the order of their keys: a tree of 512-byte blocks that hold
/// refs and no keys.
///
/// A leaf holds up to 126 refs in order; an inner block up to 31 children, each with the first
/// record under it and eight bytes of that record's key. Keys are read from the records, so a
/// listing costs four bytes a record plus the room its blocks leave, and a record that moves has
/// to be found by its key and replaced.
///
/// Reading a key is a cache miss, so inner blocks carry the eight bytes that tell their children
/// apart: those behind the prefix that all their keys share (`skip` bytes long). Searching one
/// reads one key to check the prefix, and others only where eight bytes don't decide.
///
/// ```
/// block:  count u16 · level u8 · unused u8 · skip u16 · unused u16
///         leaf: refs u32 | inner: (first u32, child u32, head u64)
/// ```
@safe
struct Listing {
    static let leafMax = 126
    static let innerMax = 31
    /// Blocks are joined with a neighbour when both would fill less than three quarters of one.
    static let leafJoin = 96
    static let innerJoin = 24
    /// Inner blocks keep six children or more each: 12 levels are more than refs can fill.
    static let levelsMax = 12

    /// The way from the root to a place in a leaf: at each level a block and a position in it.
    private struct Path {
        var blocks = InlineArray<12, UInt32>(repeating: 0)
        var places = InlineArray<12, Int>(repeating: 0)
        var height = 0
    }

    /// The root block; 0 for an empty table.
    private(set) var root: UInt32 = 0

    /// The blocks an insertion may need at most: one a level and a new root.
    static let pagesForInsertion = levelsMax + 1

    // MARK: Changing

    mutating func insert(_ ref: Ref, _ records: RecordSpace, _ pages: inout Pages) {
        if root == 0 {
            root = Listing.makeBlock(level: 0, &pages)
            Block(root, pages).insertRef(ref, at: 0)
            return
        }
        var path = unsafe descend(to: records[ref].key, records, pages)
        let leaf = Block(path.blocks[0], pages)
        let place = unsafe leaf.lowerBound(records[ref].key, records)
        path.places[0] = place
        if leaf.count < Listing.leafMax {
            leaf.insertRef(ref, at: place)
        } else {
            let right = splitLeaf(path, pages: &pages)
            if place > leaf.count || (place == leaf.count && Block(right, pages).count == 0) {
                Block(right, pages).insertRef(ref, at: place - leaf.count)
            } else {
                leaf.insertRef(ref, at: place)
            }
            addSibling(right, above: 0, path, records, &pages)
        }
        mendFirsts(path, records, pages)
    }

    mutating func remove(_ ref: Ref, _ records: RecordSpace, _ pages: inout Pages) {
        var path = unsafe descend(to: records[ref].key, records, pages)
        let leaf = Block(path.blocks[0], pages)
        let place = leaf.find(ref)
        invariant(place >= 0, "a record to remove is not in its table's listing")
        path.places[0] = place
        leaf.removeRef(at: place)
        mendFirsts(path, records, pages)
        mendSparse(path, records, &pages)
    }

    /// The record moved; both its old and its new place still hold the key.
    func replace(_ old: Ref, with new: Ref, _ records: RecordSpace, _ pages: borrowing Pages) {
        var path = unsafe descend(to: records[new].key, records, pages)
        let leaf = Block(path.blocks[0], pages)
        let place = leaf.find(old)
        invariant(place >= 0, "a record that moved is not in its table's listing")
        path.places[0] = place
        leaf.setRef(new, at: place)
        mendFirsts(path, records, pages)
    }

    /// Makes the tree of an empty table at once, of records in order.
    mutating func fill(
        _ sorted: UnsafeBufferPointer<KeyOrder.Entry>, _ records: RecordSpace,
        _ pages: inout Pages
    ) {
        invariant(root == 0, "a listing that has records was to be filled anew")
        var blocks: [UInt32] = []
        Listing.spread(sorted.count, Listing.leafFill) { range in
            let number = Listing.makeBlock(level: 0, &pages)
            unsafe Block(number, pages).takeRefs(sorted, range)
            blocks.append(number)
        }
        var level = 0
        while blocks.count > 1 {
            level += 1
            let below = blocks
            blocks.removeAll(keepingCapacity: true)
            Listing.spread(below.count, Listing.innerFill) { range in
                let number = Listing.makeBlock(level: level, &pages)
                Block(number, pages).takeChildren(below[range], records, pages)
                blocks.append(number)
            }
        }
        root = blocks.first ?? 0
    }

    /// Leaves room for a few more: where every block is full, the next records would split nearly
    /// all of them.
    private static let leafFill = 112
    private static let innerFill = 28

    /// Deals places out evenly to as few blocks as have room for them.
    private static func spread(_ count: Int, _ most: Int, _ body: (Range<Int>) -> Void) {
        let blocks = (count + most - 1) / most
        for block in 0..<blocks { body(count * block / blocks..<count * (block + 1) / blocks) }
    }

    /// Copies a block to another and tells its parent; the old one is no longer needed.
    mutating func relocate(
        _ old: UInt32, to new: UInt32, _ records: RecordSpace, _ pages: borrowing Pages
    ) {
        let block = Block(old, pages)
        let path = unsafe descend(to: records[block.first].key, records, pages)
        let level = block.level
        invariant(path.blocks[level] == old, "a block to relocate is not in its table's listing")
        Block(new, pages).copy(block)
        if level + 1 == path.height {
            root = new
        } else {
            Block(path.blocks[level + 1], pages).setChild(new, at: path.places[level + 1])
        }
    }

    /// A record in or below a block: it tells whose listing the block belongs to.
    static func firstRecord(_ block: UInt32, _ pages: borrowing Pages) -> Ref {
        Block(block, pages).first
    }

    // MARK: Reading

    /// The leaf and the place in it of the first key at or behind `key`; the block is 0 at the
    /// end.
    func seek(
        _ key: UnsafeRawBufferPointer, past isPast: Bool, _ records: RecordSpace,
        _ pages: borrowing Pages
    ) -> (block: UInt32, place: Int) {
        guard root != 0 else { return (0, 0) }
        var path = unsafe descend(to: key, records, pages)
        let leaf = Block(path.blocks[0], pages)
        var place = unsafe leaf.lowerBound(key, records)
        if isPast, place < leaf.count, unsafe records[leaf.ref(place)].compareKey(with: key) == 0 {
            place += 1
        }
        if place < leaf.count { return (path.blocks[0], place) }
        // The next leaf: up to the first block with a later child, then down its first children.
        var level = 1
        while level < path.height {
            let block = Block(path.blocks[level], pages)
            if path.places[level] + 1 < block.count {
                path.places[level] += 1
                var below = block.child(path.places[level])
                while Block(below, pages).level > 0 { below = Block(below, pages).child(0) }
                return (below, 0)
            }
            level += 1
        }
        return (0, 0)
    }

    /// The ref at a place of a leaf, and whether the leaf goes on behind it.
    @inline(__always)
    static func entry(
        _ block: UInt32, _ place: Int, _ pages: borrowing Pages
    ) -> (ref: Ref, isLast: Bool) {
        let leaf = Block(block, pages)
        return (leaf.ref(place), place + 1 == leaf.count)
    }

    /// Walks the tree, checks its order, its counts and its first records, visits every ref and
    /// answers how many blocks there are.
    func audit(
        _ records: RecordSpace, _ pages: borrowing Pages, _ visit: (Ref) -> Void
    ) -> Int {
        guard root != 0 else { return 0 }
        var previous: Ref = 0
        return audit(root, records, pages) { ref in
            if previous != 0 {
                invariant(
                    unsafe records[previous].compareKey(with: records[ref].key) < 0,
                    "a listing is out of order")
            }
            previous = ref
            visit(ref)
        }
    }

    private func audit(
        _ number: UInt32, _ records: RecordSpace, _ pages: borrowing Pages,
        _ visit: (Ref) -> Void
    ) -> Int {
        let block = Block(number, pages)
        var blocks = 1
        invariant(block.count > 0, "a block of a listing is empty")
        for place in 0..<block.count {
            if block.level == 0 {
                visit(block.ref(place))
            } else {
                let child = Block(block.child(place), pages)
                invariant(child.level == block.level - 1, "a listing's levels are mixed up")
                invariant(
                    child.first == block.firstBelow(place), "a listing's first record is stale")
                blocks += audit(block.child(place), records, pages, visit)
            }
        }
        if block.level > 0 {
            invariant(block.headsAreRight(records), "a listing's heads are stale")
        }
        return blocks
    }

    // MARK: Private parts

    private static func makeBlock(level: Int, _ pages: inout Pages) -> UInt32 {
        let number = pages.takeBlock()
        Block(number, pages).start(level: level)
        return number
    }

    @inline(__always)
    private func descend(
        to key: UnsafeRawBufferPointer, _ records: RecordSpace, _ pages: borrowing Pages
    ) -> Path {
        var path = Path()
        var number = root
        var block = Block(number, pages)
        var level = block.level
        path.height = level + 1
        path.blocks[level] = number
        while level > 0 {
            let place = unsafe block.childFor(key, records)
            path.places[level] = place
            number = block.child(place)
            block = Block(number, pages)
            level -= 1
            path.blocks[level] = number
        }
        return path
    }

    /// Splits a full leaf and answers the right half. Keys that arrive in order leave full
    /// leaves behind: at the end of the table nothing moves over.
    private func splitLeaf(_ path: Path, pages: inout Pages) -> UInt32 {
        let right = Listing.makeBlock(level: 0, &pages)
        let leaf = Block(path.blocks[0], pages)
        let isAtEnd = path.places[0] == leaf.count && isRightmost(path, pages)
        leaf.moveTail(from: isAtEnd ? leaf.count : leaf.count / 2, to: Block(right, pages))
        return right
    }

    private func isRightmost(_ path: Path, _ pages: borrowing Pages) -> Bool {
        var level = 1
        while level < path.height {
            if path.places[level] + 1 != Block(path.blocks[level], pages).count { return false }
            level += 1
        }
        return true
    }

    /// `sibling` is a new block right of the path's block at `level`: its parent has to know.
    private mutating func addSibling(
        _ sibling: UInt32, above level: Int, _ path: Path, _ records: RecordSpace,
        _ pages: inout Pages
    ) {
        let first = Block(sibling, pages).first
        if level + 1 == path.height {
            let left = path.blocks[level]
            root = Listing.makeBlock(level: level + 1, &pages)
            let top = Block(root, pages)
            top.insertChild(left, first: Block(left, pages).first, at: 0, records)
            top.insertChild(sibling, first: first, at: 1, records)
            return
        }
        let parent = Block(path.blocks[level + 1], pages)
        let place = path.places[level + 1] + 1
        if parent.count < Listing.innerMax {
            parent.insertChild(sibling, first: first, at: place, records)
            return
        }
        let right = Listing.makeBlock(level: level + 1, &pages)
        let rightBlock = Block(right, pages)
        let isAtEnd = place == parent.count
        parent.moveTail(from: isAtEnd ? parent.count - 1 : parent.count / 2, to: rightBlock)
        parent.findHeads(records)
        rightBlock.findHeads(records)
        if place > parent.count {
            rightBlock.insertChild(sibling, first: first, at: place - parent.count, records)
        } else {
            parent.insertChild(sibling, first: first, at: place, records)
        }
        addSibling(right, above: level + 1, path, records, &pages)
    }

    /// Writes anew what the path's inner blocks say of the first records below them.
    private func mendFirsts(
        _ path: Path, _ records: RecordSpace, _ pages: borrowing Pages
    ) {
        var level = 0
        while level + 1 < path.height {
            let block = Block(path.blocks[level], pages)
            let parent = Block(path.blocks[level + 1], pages)
            let place = path.places[level + 1]
            // A split may have moved the path's child into the new sibling, which already
            // carries the right first record.
            if block.count > 0, place < parent.count, parent.child(place) == path.blocks[level] {
                parent.setFirst(block.first, at: place, records)
            }
            level += 1
        }
    }

    /// Drops what became empty and joins what became sparse, from the leaf upwards.
    private mutating func mendSparse(
        _ path: Path, _ records: RecordSpace, _ pages: inout Pages
    ) {
        var level = 0
        while level + 1 < path.height {
            let number = path.blocks[level]
            let block = Block(number, pages)
            let parent = Block(path.blocks[level + 1], pages)
            let place = path.places[level + 1]
            if block.count == 0 {
                parent.removeChild(at: place)
                pages.giveBlock(number)
            } else {
                let limit = level == 0 ? Listing.leafJoin : Listing.innerJoin
                guard block.count <= limit / 2 else { break }
                if place + 1 < parent.count {
                    let right = parent.child(place + 1)
                    guard block.count + Block(right, pages).count <= limit else { break }
                    Block(right, pages).moveTail(from: 0, to: block)
                    if level > 0 { block.findHeads(records) }
                    parent.removeChild(at: place + 1)
                    pages.giveBlock(right)
                } else if place > 0 {
                    let left = Block(parent.child(place - 1), pages)
                    guard block.count + left.count <= limit else { break }
                    block.moveTail(from: 0, to: left)
                    if level > 0 { left.findHeads(records) }
                    parent.removeChild(at: place)
                    pages.giveBlock(number)
                } else {
                    break
                }
            }
            level += 1
            // The first child of a block may be another one now.
            var above = level
            while above + 1 < path.height {
                let child = Block(path.blocks[above], pages)
                guard child.count > 0 else { break }
                Block(path.blocks[above + 1], pages).setFirst(
                    child.first, at: path.places[above + 1], records)
                above += 1
            }
        }
        // A root with one child gives way to it; an empty one leaves the table empty.
        while root != 0 {
            let top = Block(root, pages)
            if top.count == 0 {
                pages.giveBlock(root)
                root = 0
            } else if top.level > 0, top.count == 1 {
                let child = top.child(0)
                pages.giveBlock(root)
                root = child
            } else {
                break
            }
        }
    }
}

/// One block of a listing, read and changed in place.
@safe
private struct Block {
    private let base: UnsafeMutableRawPointer

    @inline(__always)
    init(_ number: UInt32, _ pages: borrowing Pages) {
        unsafe base = unsafe pages.block(number)
    }

    private static let headBytes = 8

    @inline(__always) var count: Int { Int(unsafe base.load(as: UInt16.self)) }
    @inline(__always) var level: Int {
        Int(unsafe base.load(fromByteOffset: 2, as: UInt8.self))
    }

    private func setCount(_ count: Int) {
        unsafe base.storeBytes(of: UInt16(truncatingIfNeeded: count), as: UInt16.self)
    }

    func start(level: Int) {
        setCount(0)
        unsafe base.storeBytes(
            of: UInt8(truncatingIfNeeded: level), toByteOffset: 2, as: UInt8.self)
        setSkip(0)
    }

    func copy(_ other: Block) {
        unsafe base.copyMemory(from: other.base, byteCount: Pages.blockBytes)
    }

    private var entryBytes: Int { level == 0 ? 4 : 16 }

    @inline(__always)
    private func entry(_ place: Int) -> UnsafeMutableRawPointer {
        unsafe base + (Block.headBytes + place * entryBytes)
    }

    /// The first record in or below the block.
    var first: Ref { unsafe entry(0).load(as: Ref.self) }

    /// Moves the entries from `place` on to the end of `other`, a block of the same level.
    func moveTail(from place: Int, to other: Block) {
        let moved = count - place
        unsafe other.entry(other.count).copyMemory(
            from: entry(place), byteCount: moved * entryBytes)
        other.setCount(other.count + moved)
        setCount(place)
    }

    private func openGap(at place: Int) {
        let bytes = (count - place) * entryBytes
        unsafe (entry(place) + entryBytes).copyMemory(from: entry(place), byteCount: bytes)
        setCount(count + 1)
    }

    private func closeGap(at place: Int) {
        let bytes = (count - place - 1) * entryBytes
        unsafe entry(place).copyMemory(from: entry(place + 1), byteCount: bytes)
        setCount(count - 1)
    }

    // MARK: Leaves

    @inline(__always)
    func ref(_ place: Int) -> Ref {
        unsafe base.load(fromByteOffset: Block.headBytes + place << 2, as: Ref.self)
    }

    func setRef(_ ref: Ref, at place: Int) {
        unsafe base.storeBytes(of: ref, toByteOffset: Block.headBytes + place << 2, as: Ref.self)
    }

    func insertRef(_ ref: Ref, at place: Int) {
        openGap(at: place)
        setRef(ref, at: place)
    }

    func removeRef(at place: Int) { closeGap(at: place) }

    /// An empty leaf's refs.
    func takeRefs(_ sorted: UnsafeBufferPointer<KeyOrder.Entry>, _ range: Range<Int>) {
        setCount(range.count)
        for place in range {
            setRef(unsafe sorted[place].ref, at: place - range.lowerBound)
        }
    }

    /// Where this very ref stands; -1 when it doesn't.
    func find(_ ref: Ref) -> Int {
        let count = count
        for place in 0..<count where self.ref(place) == ref { return place }
        return -1
    }

    /// The first place whose key is not before `key`.
    func lowerBound(_ key: UnsafeRawBufferPointer, _ records: RecordSpace) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) >> 1
            if unsafe records[ref(middle)].compareKey(with: key) < 0 {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    // MARK: Inner blocks

    /// How many bytes the keys of the firsts at places 1... share. Place 0 is never searched for:
    /// whatever comes before place 1 belongs there.
    private var skip: Int { Int(unsafe base.load(fromByteOffset: 4, as: UInt16.self)) }

    private func setSkip(_ skip: Int) {
        unsafe base.storeBytes(
            of: UInt16(truncatingIfNeeded: skip), toByteOffset: 4, as: UInt16.self)
    }

    @inline(__always)
    func firstBelow(_ place: Int) -> Ref {
        unsafe base.load(fromByteOffset: Block.headBytes + place << 4, as: Ref.self)
    }

    @inline(__always)
    func child(_ place: Int) -> UInt32 {
        unsafe base.load(fromByteOffset: Block.headBytes + 4 + place << 4, as: UInt32.self)
    }

    @inline(__always)
    private func head(_ place: Int) -> UInt64 {
        unsafe base.load(fromByteOffset: Block.headBytes + 8 + place << 4, as: UInt64.self)
    }

    private func setHead(_ head: UInt64, at place: Int) {
        unsafe base.storeBytes(
            of: head, toByteOffset: Block.headBytes + 8 + place << 4, as: UInt64.self)
    }

    func setChild(_ child: UInt32, at place: Int) {
        unsafe base.storeBytes(
            of: child, toByteOffset: Block.headBytes + 4 + place << 4, as: UInt32.self)
    }

    func setFirst(_ ref: Ref, at place: Int, _ records: RecordSpace) {
        guard firstBelow(place) != ref else { return }
        writeFirst(ref, at: place)
        findHead(at: place, records)
    }

    private func writeFirst(_ ref: Ref, at place: Int) {
        unsafe base.storeBytes(of: ref, toByteOffset: Block.headBytes + place << 4, as: Ref.self)
    }

    func insertChild(_ child: UInt32, first: Ref, at place: Int, _ records: RecordSpace) {
        openGap(at: place)
        writeFirst(first, at: place)
        setChild(child, at: place)
        // Now and then all heads are found anew: what the keys share may have grown.
        if count & (count - 1) == 0 {
            findHeads(records)
        } else {
            findHead(at: place, records)
        }
    }

    func removeChild(at place: Int) { closeGap(at: place) }

    /// An empty inner block's children.
    func takeChildren(
        _ children: ArraySlice<UInt32>, _ records: RecordSpace, _ pages: borrowing Pages
    ) {
        setCount(children.count)
        var place = 0
        for number in children {
            writeFirst(Block(number, pages).first, at: place)
            setChild(number, at: place)
            setHead(0, at: place)
            place += 1
        }
        findHeads(records)
    }

    /// The child under which `key` belongs: the last whose first key is not behind it.
    func childFor(_ key: UnsafeRawBufferPointer, _ records: RecordSpace) -> Int {
        let count = count
        guard count > 1 else { return 0 }
        let skip = skip
        if skip > 0 {
            let order = unsafe Block.order(key, against: records[firstBelow(1)].key, first: skip)
            if order != 0 { return order < 0 ? 0 : count - 1 }
        }
        let wanted = unsafe Record.head(of: key, behind: skip)
        var low = 1
        var high = count
        while low < high {
            let middle = (low + high) >> 1
            let head = head(middle)
            let isBehind =
                head == wanted
                ? unsafe records[firstBelow(middle)].compareKey(with: key) > 0 : head > wanted
            if isBehind {
                high = middle
            } else {
                low = middle + 1
            }
        }
        return low - 1
    }

    /// Finds anew what all keys share and the heads behind it.
    func findHeads(_ records: RecordSpace) {
        let count = count
        setSkip(0)
        guard count > 1 else { return }
        // Keys are in order: what the first and the last share, all share.
        if count > 2 {
            setSkip(
                unsafe Block.shared(
                    records[firstBelow(1)].key, records[firstBelow(count - 1)].key))
        }
        for place in 1..<count {
            setHead(
                unsafe Record.head(of: records[firstBelow(place)].key, behind: skip), at: place)
        }
    }

    /// The first at a place is another one.
    private func findHead(at place: Int, _ records: RecordSpace) {
        guard place > 0 else { return }
        let key = unsafe records[firstBelow(place)].key
        if skip > 0 {
            let other = unsafe records[firstBelow(place == 1 ? count - 1 : 1)].key
            if unsafe Block.shared(key, other) < skip { return findHeads(records) }
        }
        setHead(unsafe Record.head(of: key, behind: skip), at: place)
    }

    func headsAreRight(_ records: RecordSpace) -> Bool {
        for place in 1..<max(1, count) {
            let key = unsafe records[firstBelow(place)].key
            guard unsafe Block.shared(key, records[firstBelow(1)].key) >= skip,
                unsafe Record.head(of: key, behind: skip) == head(place)
            else { return false }
        }
        return true
    }

    private static func shared(
        _ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer
    ) -> Int {
        let most = min(one.count, other.count)
        var count = 0
        while count < most, unsafe one[count] == other[count] { count += 1 }
        return count
    }

    /// Orders a key against the first bytes of another; 0 when it begins with them.
    @inline(__always)
    private static func order(
        _ key: UnsafeRawBufferPointer, against other: UnsafeRawBufferPointer, first bytes: Int
    ) -> Int {
        guard let left = key.baseAddress, let right = other.baseAddress else { return -1 }
        let order = unsafe memcmp(left, right, min(key.count, bytes))
        return order != 0 ? Int(order) : (key.count < bytes ? -1 : 0)
    }
}
