/// An open file of a `Disk`: a descriptor, or whatever number a simulated disk gives out.
public struct DiskFile: Hashable, Sendable, BitwiseCopyable {
    public var number: Int32

    public init(_ number: Int32) { self.number = number }
}

/// The disk refused: which call, on what, and errno.
public struct DiskFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Call: String, Sendable {
        case list, open, create, close, size, read, write, allocate, truncate, sync, rename, remove
        case makeDirectory = "make directory", syncDirectory = "sync directory"
    }

    public var call: Call
    /// Below the node's directory; empty where only an open file is known.
    public var path: String
    public var errno: Int32

    public init(_ call: Call, _ path: String, errno: Int32) {
        self.call = call
        self.path = path
        self.errno = errno
    }

    public var description: String {
        "cannot \(call.rawValue) \(path.isEmpty ? "a file of the journal" : path) (errno \(errno))"
    }
}

/// What the journal needs of a file system: the directory of one node, and nothing outside it.
///
/// Paths are relative to that directory; `""` is the directory itself. The node has an
/// implementation of system calls, tests have one in memory that loses, tears and fails. All
/// calls may come from several threads at once, for different files.
///
/// What an implementation has to promise: after `sync` a file's bytes and size survive a power
/// cut; after `syncDirectory` its entries do; a rename shows either the old file or the new one.
/// Nothing else is relied on.
public protocol Disk: Sendable {
    /// The names in a directory, in any order. A directory that isn't there has none.
    func list(_ directory: String) throws(DiskFailure) -> [String]
    /// Opens a file for reading, or for both.
    func open(_ path: String, forWriting: Bool) throws(DiskFailure) -> DiskFile
    /// Makes a new, empty file, open for both. One of that name must not be there.
    func create(_ path: String) throws(DiskFailure) -> DiskFile
    func close(_ file: DiskFile)
    func size(_ file: DiskFile) throws(DiskFailure) -> Int
    /// Reads until the buffer is full or the file ends, and answers how much that was.
    func read(
        _ file: DiskFile, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(DiskFailure) -> Int
    /// Writes all of the bytes, as often as the kernel takes only a part.
    func write(
        _ file: DiskFile, at offset: Int, _ bytes: UnsafeRawBufferPointer
    ) throws(DiskFailure)
    /// Makes the file at least this long, with zeros, and sees to it that the space is there.
    func allocate(_ file: DiskFile, bytes: Int) throws(DiskFailure)
    /// Makes the file exactly this long.
    func truncate(_ file: DiskFile, bytes: Int) throws(DiskFailure)
    /// The file's bytes and size survive a power cut.
    func sync(_ file: DiskFile) throws(DiskFailure)
    func rename(_ path: String, to other: String) throws(DiskFailure)
    func remove(_ path: String) throws(DiskFailure)
    /// Makes a directory where there is none yet.
    func makeDirectory(_ path: String) throws(DiskFailure)
    /// The directory's entries survive a power cut.
    func syncDirectory(_ path: String) throws(DiskFailure)
}

extension Disk {
    /// Writes a file beside, syncs it, and puts it in the place of another in one step.
    func replace(_ path: String, with bytes: [UInt8]) throws(DiskFailure) {
        let beside = path + FileNames.besideSuffix
        if try list("").contains(beside) { try remove(beside) }
        let file = try create(beside)
        do throws(DiskFailure) {
            try write(file, bytes)
            try sync(file)
        } catch {
            close(file)
            throw error
        }
        close(file)
        try rename(beside, to: path)
        try syncDirectory("")
    }

    /// Writes an array.
    func write(_ file: DiskFile, _ bytes: [UInt8], at offset: Int = 0) throws(DiskFailure) {
        var failure: DiskFailure?
        unsafe bytes.withUnsafeBytes { raw in
            do throws(DiskFailure) { unsafe try write(file, at: offset, raw) } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    /// A small file's bytes; nil when it is longer than `bytesMax`.
    func contents(_ path: String, bytesMax: Int) throws(DiskFailure) -> [UInt8]? {
        let file = try open(path, forWriting: false)
        defer { close(file) }
        let count = try size(file)
        guard count <= bytesMax else { return nil }
        return try bytes(file, at: 0, count: count)
    }

    /// Up to `count` bytes of a file, fewer where it ends before.
    func bytes(_ file: DiskFile, at offset: Int, count: Int) throws(DiskFailure) -> [UInt8] {
        var failure: DiskFailure?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            do throws(DiskFailure) {
                filled = unsafe try read(
                    file, at: offset, into: UnsafeMutableRawBufferPointer(buffer))
            } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }
}
