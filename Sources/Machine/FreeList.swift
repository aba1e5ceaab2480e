/// Numbers of equal parts of a reservation that nobody uses now. What was given back last is taken
/// first, so that little is touched. What was not taken between two looks is cold, and its memory
/// goes back to the kernel: a burst costs memory for as long as it lasts.
@safe struct FreeList: ~Copyable {
    private let pages: Pages
    private let numbers: UnsafeMutablePointer<UInt32>
    /// So many on top keep their memory however long they are not taken.
    private let kept: Int
    private(set) var count = 0
    /// The fewest there were since the last look: those at the bottom were not taken since.
    private var fewest = 0
    /// So many at the bottom have no memory.
    private var bare = 0

    /// With so many numbers in it, the lowest on top, that nobody has touched yet.
    init(_ count: Int, capacity: Int, kept: Int) throws(SystemError) {
        pages = try Pages(byteCount: capacity * MemoryLayout<UInt32>.stride)
        unsafe numbers = unsafe pages.bound(to: UInt32.self)
        self.kept = kept
        self.count = count
        fewest = count
        bare = count
        for place in 0..<count { unsafe numbers[place] = UInt32(count - 1 - place) }
    }

    mutating func take() -> UInt32? {
        guard count > 0 else { return nil }
        count -= 1
        if count < fewest { fewest = count }
        return unsafe numbers[count]
    }

    mutating func give(_ number: UInt32) {
        unsafe numbers[count] = number
        count += 1
    }

    /// Whether there is memory that may turn out to be cold.
    var isWarm: Bool { min(bare, fewest) < count - kept }

    /// A look: gives back what is cold, so many parts at most. Whether it stopped at that.
    mutating func cool(_ reservation: borrowing Pages, partBytes: Int, most: Int) -> Bool {
        // What was taken since the last look has been used again.
        if fewest < bare { bare = fewest }
        let cold = min(fewest, count - kept)
        let end = min(cold, bare + most)
        while bare < end {
            unsafe reservation.giveBack(Int(numbers[bare]) * partBytes, partBytes)
            bare += 1
        }
        if bare < cold { return true }
        fewest = count
        return false
    }
}
