import Glibc
import Journal
import Keyspace
import Machine
import Wire

/// From a keyspace to an RDB file that redis-server loads.
///
/// A JSON string is written as its characters, other JSON as its text, bytes as bytes, a list as a
/// list: what a client of the Redis protocol sees. Only tables that are Redis databases have a
/// place in the file; the others are counted.
struct DumpExport: ~Copyable {
    private var writer: RDBWriter
    private let fd: Int32
    private let beside: String
    private let path: String
    private(set) var written = 0
    /// Records of tables that are no database of Redis.
    var leftOut = 0

    private static let bufferBytes = 256 << 10

    /// Begins a file beside `path`.
    static func begin(_ path: String, compresses: Bool = true) throws(SystemError) -> DumpExport {
        let beside = path + ".new"
        let fd = unsafe open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard fd >= 0 else {
            throw SystemError("open \(beside)", errno, hint: "give a path that can be written")
        }
        return DumpExport(
            writer: RDBWriter(at: Int64(Clock.wallMs()) / 1000, compresses: compresses), fd: fd,
            beside: beside, path: path)
    }

    private init(writer: RDBWriter, fd: Int32, beside: String, path: String) {
        self.writer = writer
        self.fd = fd
        self.beside = beside
        self.path = path
    }

    deinit { close(fd) }

    mutating func select(_ database: UInt64, records: Int) {
        writer.select(database, records: records, expiring: 0)
    }

    mutating func add(_ record: Record) throws(SystemError) {
        let key = unsafe Array(record.key)
        let expiresAtMs = record.expiresAt == 0 ? nil : record.expiresAt
        switch record.kind {
        case .list:
            let list = unsafe ListForm(record.value)
            var place = 0
            writer.beginList()
            while place < list.used {
                let (element, next) = unsafe list.element(at: place)
                unsafe writer.element(Array(element))
                place = next
            }
            writer.endList(key, expiresAtMs: expiresAtMs)
        case .json:
            writer.string(key, unsafe Self.text(record.value), expiresAtMs: expiresAtMs)
        case .bytes: writer.string(key, unsafe Array(record.value), expiresAtMs: expiresAtMs)
        }
        written += 1
        if writer.count >= Self.bufferBytes { try drain() }
    }

    /// The file is whole: it is synced, and takes the place of the one before.
    mutating func end() throws(SystemError) {
        writer.end()
        try drain()
        guard fsync(fd) == 0 else { throw SystemError("sync \(beside)", errno) }
        guard unsafe rename(beside, path) == 0 else {
            throw SystemError("rename \(beside)", errno)
        }
    }

    private mutating func drain() throws(SystemError) {
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
