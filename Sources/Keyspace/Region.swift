import Glibc

/// One stretch of address space, reserved whole and given memory piece by piece.
///
/// Because the stretch never moves, a record is named by 32 bits (its offset in units of eight
/// bytes) and found by one addition: no table of segments stands between the index and the
/// record. Address space that was never touched costs nothing; pages given back with
/// `MADV_DONTNEED` leave the process at once, which is what keeps the accounting honest.
///
/// Huge pages are declined: with them one touched byte could pin two megabytes, and giving back
/// one page would not shrink the process.
@safe
struct Region: ~Copyable {
    let base: UnsafeMutableRawPointer
    let bytes: Int

    /// Reserves the address space, or answers nil with `errno` set (an address-space limit).
    static func reserve(_ bytes: Int) -> UnsafeMutableRawPointer? {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        let base = unsafe mmap(nil, bytes, PROT_NONE, flags, -1, 0)
        guard let base = unsafe base, unsafe base != MAP_FAILED else { return nil }
        unsafe _ = madvise(base, bytes, MADV_NOHUGEPAGE)
        unsafe _ = madvise(base, bytes, MADV_DONTDUMP)
        return unsafe base
    }

    /// Takes over address space that `reserve` answered.
    init(owning base: UnsafeMutableRawPointer, bytes: Int) {
        unsafe self.base = unsafe base
        self.bytes = bytes
    }

    deinit {
        unsafe _ = munmap(base, bytes)
    }

    /// Makes bytes usable; false when the kernel refuses (strict overcommit).
    static func open(_ start: UnsafeMutableRawPointer, _ bytes: Int) -> Bool {
        unsafe mprotect(start, bytes, PROT_READ | PROT_WRITE) == 0
    }

    /// Gives these pages their memory now: for all at once that takes half as long as one by one, when
    /// they are touched. An older kernel that can't do it lets them be touched.
    static func fill(_ start: UnsafeMutableRawPointer, _ bytes: Int) {
        let populateWrite: Int32 = 23
        unsafe _ = madvise(start, bytes, populateWrite)
    }

    /// Gives the memory of these pages back; they read as zero when next touched.
    static func giveBack(_ start: UnsafeMutableRawPointer, _ bytes: Int) {
        unsafe _ = madvise(start, bytes, MADV_DONTNEED)
    }
}

/// `errno` of the call that just failed.
func currentErrno() -> Int32 { errno }
