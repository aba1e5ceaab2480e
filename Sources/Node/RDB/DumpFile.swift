import Glibc
import Journal
import Machine

/// An RDB file on the disk, read in windows, so that one larger than memory can be.
struct DumpFile {
    let path: String
    let limits: RDBLimits

    private static let windowBytes = 256 << 10

    /// Hands every entry to `take`; what was met. A damaged file throws where the damage is found,
    /// which may be after entries were handed over.
    func read(_ take: (RDBEntry) throws(LoadFailure) -> Void) throws(LoadFailure) -> RDBReader {
        let fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { throw failure("open", errno) }
        defer { close(fd) }
        var reader = RDBReader(limits: limits)
        var window = [UInt8](repeating: 0, count: Self.windowBytes)
        var hasEnded = false
        while true {
            switch reader.next() {
            case .entry(let entry): try take(entry)
            case .damage(let damage): throw self.failure(damage)
            case .end where hasEnded: return reader
            case .needMore where hasEnded:
                if case .damage(let damage) = reader.finish() { throw self.failure(damage) }
                return reader
            case .end, .needMore:
                let count = unsafe Glibc.read(fd, &window, window.count)
                if count < 0, errno == EINTR { continue }
                guard count >= 0 else { throw failure("read", errno) }
                hasEnded = count == 0
                unsafe window.withUnsafeBytes {
                    unsafe reader.feed(UnsafeRawBufferPointer(rebasing: $0[..<count]))
                }
            }
        }
    }

    /// Reads all of it for nothing but to know that it is whole.
    func verify() throws(LoadFailure) { _ = try read { (_) throws(LoadFailure) in } }

    private func failure(_ damage: RDBDamage) -> LoadFailure {
        LoadFailure(
            "\(path), \(damage); nothing of it was taken: fetch it again, or move it away")
    }

    private func failure(_ call: String, _ code: Int32) -> LoadFailure {
        LoadFailure("cannot \(call) \(path): \(SystemError.text(of: code))")
    }
}
