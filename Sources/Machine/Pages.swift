import Glibc

/// Zeroed memory straight from the kernel, which costs nothing until it is touched.
///
/// Tables that are sized for the most connections there can be (slots, timers, buffers) live in
/// such reservations: 20,000 slots are an address range on an idle node, not resident memory.
@safe public struct Pages: ~Copyable {
    public let base: UnsafeMutableRawPointer
    public let byteCount: Int

    public init(byteCount: Int) throws(SystemError) {
        let rounded = (max(byteCount, 1) + 4095) & ~4095
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        let memory = unsafe mmap(nil, rounded, PROT_READ | PROT_WRITE, flags, -1, 0)
        guard let memory = unsafe memory, unsafe memory != MAP_FAILED else {
            throw SystemError(
                "mmap \(rounded) bytes", errno,
                hint: "lower --max-connections or give the process more memory")
        }
        unsafe base = unsafe memory
        self.byteCount = rounded
    }

    public func bound<T>(to type: T.Type) -> UnsafeMutablePointer<T> {
        unsafe base.bindMemory(to: type, capacity: byteCount / MemoryLayout<T>.stride)
    }

    /// Whole pages of a reservation that hold nothing worth keeping: they cost nothing again, and are
    /// zero when they are touched next.
    func giveBack(_ offset: Int, _ byteCount: Int) {
        invariant(offset >= 0 && offset + byteCount <= self.byteCount, "gives back too much")
        unsafe _ = madvise(base + offset, byteCount, MADV_DONTNEED)
    }

    deinit { unsafe munmap(base, byteCount) }
}
