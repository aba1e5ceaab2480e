public import Journal

/// A disk in memory that does to files what the worst permitted one would.
///
/// What was written and not synced is lost by a power cut, or isn't, a sector of 512 bytes at a
/// time and in no order; file sizes and directory entries likewise, each by itself. Calls fail or
/// are cut short on demand. Everything that is left to chance comes from a seed.
///
/// One thread uses it at a time: a simulation is a loop.
public final class SimulatedDisk: Disk, @unchecked Sendable {
    public static let sectorBytes = 512
    /// What a kernel answers about a file that isn't there.
    public static let noEntry: Int32 = 2

    private final class Inode {
        var bytes: [UInt8] = []
        /// What a power cut leaves for certain: the bytes as of the last sync.
        var durable: [UInt8] = []
        /// Sectors written since.
        var dirty: Set<Int> = []
        var isDirty: Bool { !dirty.isEmpty || bytes.count != durable.count }
        /// Space given to it beyond its bytes counts too.
        var allocated = 0
    }

    private enum Entry {
        case link(String, Inode)
        case unlink(String)
        case rename(String, String, Inode)
    }

    /// What fails, and how. Answers errno, or 0 to let the call be.
    public typealias Fault = (DiskFailure.Call, String) -> Int32

    private var names: [String: Inode] = [:]
    private var durableNames: [String: Inode] = [:]
    /// Changes of directories that are not synced, oldest first, with their directory.
    private var pending: [(directory: String, entry: Entry)] = []
    private var open: [Int32: (inode: Inode, path: String)] = [:]
    private var nextFile: Int32 = 3
    private var random: Random
    public var fault: Fault?
    /// How much all files may take together.
    public var capacity = Int.max
    public private(set) var calls = 0
    public private(set) var syncs = 0

    public init(seed: UInt64) { random = Random(seed: seed) }

    /// A disk with the same files, all of them safe: what a test cuts and bends.
    public func copy(seed: UInt64 = 0) -> SimulatedDisk {
        let other = SimulatedDisk(seed: seed)
        for (path, inode) in names {
            let twin = Inode()
            twin.bytes = inode.bytes
            twin.durable = inode.bytes
            twin.allocated = inode.allocated
            other.names[path] = twin
            other.durableNames[path] = twin
        }
        return other
    }

    // MARK: What tests do to it

    /// The power goes and comes back. Open files are gone.
    public func cutPower() {
        var after = durableNames
        // Entries of a directory become durable in any order and number; what builds on one that
        // was lost is lost too.
        for (_, entry) in pending where random.once(in: 2) {
            switch entry {
            case .link(let path, let inode): after[path] = inode
            case .unlink(let path): after[path] = nil
            case .rename(let from, let to, let inode):
                guard after[from] === inode else { continue }
                after[from] = nil
                after[to] = inode
            }
        }
        names = after
        durableNames = after
        pending = []
        open = [:]
        var seen: Set<ObjectIdentifier> = []
        for path in names.keys.sorted() {
            guard let inode = names[path], seen.insert(ObjectIdentifier(inode)).inserted,
                inode.isDirty
            else { continue }
            tear(inode)
        }
    }

    private func tear(_ inode: Inode) {
        var after = inode.durable
        if inode.bytes.count != after.count, random.once(in: 2) {
            resize(&after, inode.bytes.count)
        }
        // Sometimes all is lost, sometimes nothing; mostly some is.
        let mood = random.below(4)
        for sector in inode.dirty.sorted() {
            let survives =
                switch mood {
                case 0: false
                case 1: true
                default: random.once(in: 2)
                }
            let from = sector * Self.sectorBytes
            let to = min(from + Self.sectorBytes, min(inode.bytes.count, after.count))
            if survives, from < to {
                after.replaceSubrange(from..<to, with: inode.bytes[from..<to])
            }
        }
        inode.bytes = after
        inode.durable = after
        inode.dirty = []
        inode.allocated = min(inode.allocated, after.count)
    }

    /// The process is killed: files are closed, and nothing is lost.
    public func kill() { open = [:] }

    public var paths: [String] { names.keys.sorted() }

    public func contents(of path: String) -> [UInt8] { names[path]?.bytes ?? [] }

    /// Puts a file there, whole and safe.
    public func place(_ path: String, _ bytes: [UInt8]) {
        let inode = Inode()
        inode.bytes = bytes
        inode.durable = bytes
        names[path] = inode
        durableNames[path] = inode
    }

    public func erase(_ path: String) {
        names[path] = nil
        durableNames[path] = nil
    }

    /// Turns one bit of a file around, as a failing disk does.
    public func flip(_ path: String, bit: Int) {
        guard let inode = names[path] else { return }
        inode.bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        inode.durable = inode.bytes
    }

    public var bytesUsed: Int {
        names.values.reduce(0) { $0 + max($1.bytes.count, $1.allocated) }
    }

    // MARK: Disk

    private func ask(_ call: DiskFailure.Call, _ path: String) throws(DiskFailure) {
        calls += 1
        if let errno = fault?(call, path), errno != 0 {
            throw DiskFailure(call, path, errno: errno)
        }
    }

    private func inode(
        _ file: DiskFile, _ call: DiskFailure.Call
    ) throws(DiskFailure) -> Inode {
        let path = open[file.number]?.path ?? ""
        try ask(call, path)
        guard let inode = open[file.number]?.inode else {
            throw DiskFailure(call, path, errno: 9)
        }
        return inode
    }

    public func list(_ directory: String) throws(DiskFailure) -> [String] {
        try ask(.list, directory)
        let prefix = directory.isEmpty ? "" : directory + "/"
        var found: Set<String> = []
        for path in names.keys where path.hasPrefix(prefix) {
            found.insert(String(path.dropFirst(prefix.count).prefix { $0 != "/" }))
        }
        return found.sorted()
    }

    public func open(_ path: String, forWriting: Bool) throws(DiskFailure) -> DiskFile {
        try ask(.open, path)
        guard let inode = names[path] else { throw DiskFailure(.open, path, errno: Self.noEntry) }
        return opened(inode, path)
    }

    private func opened(_ inode: Inode, _ path: String) -> DiskFile {
        nextFile += 1
        open[nextFile] = (inode, path)
        return DiskFile(nextFile)
    }

    public func create(_ path: String) throws(DiskFailure) -> DiskFile {
        try ask(.create, path)
        guard names[path] == nil else { throw DiskFailure(.create, path, errno: 17) }
        let inode = Inode()
        names[path] = inode
        pending.append((Self.directory(path), .link(path, inode)))
        return opened(inode, path)
    }

    public func close(_ file: DiskFile) { open[file.number] = nil }

    public func size(_ file: DiskFile) throws(DiskFailure) -> Int {
        try inode(file, .size).bytes.count
    }

    public func read(
        _ file: DiskFile, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(DiskFailure) -> Int {
        let inode = try inode(file, .read)
        let count = max(0, min(buffer.count, inode.bytes.count - offset))
        guard count > 0 else { return 0 }
        unsafe inode.bytes.withUnsafeBytes { bytes in
            unsafe buffer.copyMemory(
                from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]))
        }
        return count
    }

    public func write(
        _ file: DiskFile, at offset: Int, _ bytes: UnsafeRawBufferPointer
    ) throws(DiskFailure) {
        let path = open[file.number]?.path ?? ""
        do throws(DiskFailure) {
            let inode = try inode(file, .write)
            try grow(inode, to: offset + bytes.count, .write, path)
            unsafe store(inode, offset, bytes, bytes.count)
        } catch {
            // Some of it may have arrived before the failure.
            if let inode = open[file.number]?.inode, offset <= inode.bytes.count {
                let part = min(random.below(bytes.count + 1), inode.bytes.count - offset)
                unsafe store(inode, offset, bytes, part)
            }
            throw error
        }
    }

    private func store(
        _ inode: Inode, _ offset: Int, _ bytes: UnsafeRawBufferPointer, _ count: Int
    ) {
        guard count > 0 else { return }
        if offset + count > inode.bytes.count { resize(&inode.bytes, offset + count) }
        unsafe inode.bytes.withUnsafeMutableBytes { room in
            unsafe UnsafeMutableRawBufferPointer(rebasing: room[offset..<offset + count])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        }
        for sector in offset / Self.sectorBytes...(offset + count - 1) / Self.sectorBytes {
            inode.dirty.insert(sector)
        }
    }

    private func grow(
        _ inode: Inode, to bytes: Int, _ call: DiskFailure.Call, _ path: String
    ) throws(DiskFailure) {
        let has = max(inode.bytes.count, inode.allocated)
        guard bytes > has else { return }
        guard bytesUsed + bytes - has <= capacity else {
            throw DiskFailure(call, path, errno: 28)
        }
        inode.allocated = bytes
    }

    private func resize(_ bytes: inout [UInt8], _ count: Int) {
        if count < bytes.count {
            bytes.removeLast(bytes.count - count)
        } else {
            bytes.append(contentsOf: repeatElement(0, count: count - bytes.count))
        }
    }

    public func allocate(_ file: DiskFile, bytes: Int) throws(DiskFailure) {
        let inode = try inode(file, .allocate)
        try grow(inode, to: bytes, .allocate, open[file.number]?.path ?? "")
        if bytes > inode.bytes.count { resize(&inode.bytes, bytes) }
    }

    public func truncate(_ file: DiskFile, bytes: Int) throws(DiskFailure) {
        let inode = try inode(file, .truncate)
        resize(&inode.bytes, bytes)
        inode.allocated = min(inode.allocated, bytes)
    }

    public func sync(_ file: DiskFile) throws(DiskFailure) {
        let inode = try inode(file, .sync)
        // As the node's own disk sees it, which tells a deleted log from a safe one so.
        guard names.values.contains(where: { $0 === inode }) else {
            throw DiskFailure(.sync, open[file.number]?.path ?? "", errno: Self.noEntry)
        }
        syncs += 1
        inode.durable = inode.bytes
        inode.dirty = []
    }

    public func rename(_ path: String, to other: String) throws(DiskFailure) {
        try ask(.rename, path)
        guard let inode = names[path] else { throw DiskFailure(.rename, path, errno: Self.noEntry) }
        names[path] = nil
        names[other] = inode
        pending.append((Self.directory(other), .rename(path, other, inode)))
    }

    public func remove(_ path: String) throws(DiskFailure) {
        try ask(.remove, path)
        guard names[path] != nil else { throw DiskFailure(.remove, path, errno: Self.noEntry) }
        names[path] = nil
        pending.append((Self.directory(path), .unlink(path)))
    }

    /// Directories need no making here: a path brings its own.
    public func makeDirectory(_ path: String) throws(DiskFailure) { try ask(.makeDirectory, path) }

    public func syncDirectory(_ path: String) throws(DiskFailure) {
        try ask(.syncDirectory, path)
        for (directory, entry) in pending where directory == path {
            switch entry {
            case .link(let path, let inode): durableNames[path] = inode
            case .unlink(let path): durableNames[path] = nil
            case .rename(let from, let to, let inode):
                durableNames[to] = inode
                durableNames[from] = nil
            }
        }
        pending.removeAll { $0.directory == path }
    }

    private static func directory(_ path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
    }
}
