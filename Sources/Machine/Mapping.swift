import Glibc

/// Anonymous zeroed memory that costs address space only, page by page becoming real when touched.
///
/// Tables sized for the largest allowed load (a slot a connection, a ring a pair of shards) are
/// mapped whole at start, so they never move and an idle process stays small.
@safe struct Mapping: ~Copyable {
    let base: UnsafeMutableRawPointer
    let byteCount: Int

    init(byteCount: Int) throws(SystemError) {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        let address = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, flags, -1, 0)
        guard let address = unsafe address, unsafe address != MAP_FAILED else {
            throw SystemError(
                "mmap of \(byteCount) bytes", errno,
                hint: "the address space is limited (ulimit -v) or memory is exhausted")
        }
        unsafe base = address
        self.byteCount = byteCount
    }

    deinit { unsafe munmap(base, byteCount) }
}
