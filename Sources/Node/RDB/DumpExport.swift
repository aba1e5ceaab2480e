import Glibc
import Journal
import Keyspace
import Machine
import Wire

/// From records to an RDB file that redis-server loads.
///
/// A JSON string is written as its characters, other JSON as its text, bytes as bytes, a list as a
/// list: what a client of the Redis protocol sees. Only tables that are Redis databases have a
/// place in the file.
final class DumpExport {
    private var writer: RDBWriter
    private let fd: Int32
    private let beside: String
    private let path: String
    /// Where the next record goes.
    private(set) var database: UInt64?
    private(set) var written = 0

    private static let bufferBytes = 256 << 10

    /// Begins a file beside `path`.
    init(_ path: String, compresses: Bool = true) throws(SystemError) {
        self.path = path
        beside = path + ".new"
        fd = unsafe open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        writer = RDBWriter(at: Int64(Clock.wallMs()) / 1000, compresses: compresses)
        guard fd >= 0 else {
            throw SystemError("open \(beside)", errno, hint: "give a path that can be written")
        }
    }

    deinit { if fd >= 0 { close(fd) } }

    /// What follows is in this database; `records` tells a reader how many are to be expected.
    func select(_ database: UInt64, records: Int) {
        self.database = database
        writer.select(database, records: records, expiring: 0)
    }

    func add(_ row: DumpRow) throws(SystemError) {
        let key = unsafe Array(row.key)
        let expiresAtMs = row.expiresAtMs == 0 ? nil : row.expiresAtMs
        switch row.kind {
        case .list:
            let list = unsafe ListForm(row.value)
            var place = 0
            writer.beginList()
            while place < list.used {
                let (element, next) = unsafe list.element(at: place)
                unsafe writer.element(Array(element))
                place = next
            }
            writer.endList(key, expiresAtMs: expiresAtMs)
        case .json: writer.string(key, unsafe Self.text(row.value), expiresAtMs: expiresAtMs)
        case .bytes: writer.string(key, unsafe Array(row.value), expiresAtMs: expiresAtMs)
        }
        written += 1
        if writer.count >= Self.bufferBytes { try drain() }
    }

    /// The file is whole: it is synced, and takes the place of the one before.
    func end() throws(SystemError) {
        writer.end()
        try drain()
        guard fsync(fd) == 0 else { throw SystemError("sync \(beside)", errno) }
        guard unsafe rename(beside, path) == 0 else {
            throw SystemError("rename \(beside)", errno)
        }
        let directory = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        let parent = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard parent >= 0 else { throw SystemError("open \(directory)", errno) }
        defer { close(parent) }
        guard fsync(parent) == 0 else { throw SystemError("sync \(directory)", errno) }
    }

    /// Takes away what was written; the file of before stays.
    func abandon() { _ = unsafe unlink(beside) }

    private func drain() throws(SystemError) {
        let bytes = writer.drain()
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { all in
                unsafe write(fd, all.baseAddress.unsafelyUnwrapped + done, bytes.count - done)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw SystemError("write \(beside)", errno, hint: "free space on the disk")
            }
            done += count
        }
    }

    private static func text(_ json: UnsafeRawBufferPointer) -> [UInt8] {
        guard unsafe json.first == UInt8(ascii: "\"") else { return unsafe Array(json) }
        return unsafe [UInt8](
            unsafeUninitializedCapacity: JSONString.decodedCountMax(json)
        ) { room, count in
            count = unsafe JSONString.decode(json, into: UnsafeMutableRawBufferPointer(room)) ?? 0
        }
    }
}
