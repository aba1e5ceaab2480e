import Glibc
import Journal
import Machine

/// The node's directory as the journal sees it: system calls below one open directory.
///
/// Everything is named from that descriptor, so a directory that was moved is still ours, and one
/// that was put in its place by somebody is not.
struct FileDisk: Disk {
    private let directory: Int32

    /// `directory` is an open descriptor, which stays open as long as the disk is used.
    init(directory: Int32) { self.directory = directory }

    func list(_ directory: String) throws(DiskFailure) -> [String] {
        let fd = unsafe openat(
            self.directory, directory.isEmpty ? "." : directory,
            O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard fd >= 0 else {
            if errno == ENOENT { return [] }
            throw DiskFailure(.list, directory, errno: errno)
        }
        guard let stream = unsafe fdopendir(fd) else {
            let code = errno
            Glibc.close(fd)
            throw DiskFailure(.list, directory, errno: code)
        }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = unsafe readdir(stream) else { break }
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        if errno != 0 { throw DiskFailure(.list, directory, errno: errno) }
        return names
    }

    func open(_ path: String, forWriting: Bool) throws(DiskFailure) -> DiskFile {
        try opened(.open, path, (forWriting ? O_RDWR : O_RDONLY) | O_CLOEXEC)
    }

    func create(_ path: String) throws(DiskFailure) -> DiskFile {
        try opened(.create, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC)
    }

    private func opened(
        _ call: DiskFailure.Call, _ path: String, _ flags: Int32
    ) throws(DiskFailure) -> DiskFile {
        let fd = unsafe openat(directory, path, flags, 0o600)
        guard fd >= 0 else { throw DiskFailure(call, path, errno: errno) }
        return DiskFile(fd)
    }

    func close(_ file: DiskFile) { Glibc.close(file.number) }

    func size(_ file: DiskFile) throws(DiskFailure) -> Int {
        var status = stat()
        guard unsafe fstat(file.number, &status) == 0 else {
            throw DiskFailure(.size, "", errno: errno)
        }
        return Int(status.st_size)
    }

    func read(
        _ file: DiskFile, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(DiskFailure) -> Int {
        var done = 0
        while done < buffer.count {
            let count = unsafe pread(
                file.number, buffer.baseAddress.unsafelyUnwrapped + done, buffer.count - done,
                offset + done)
            if count == 0 { break }
            if count > 0 {
                done += count
            } else if errno != EINTR {
                throw DiskFailure(.read, "", errno: errno)
            }
        }
        return done
    }

    func write(
        _ file: DiskFile, at offset: Int, _ bytes: UnsafeRawBufferPointer
    ) throws(DiskFailure) {
        var done = 0
        while done < bytes.count {
            let count = unsafe pwrite(
                file.number, bytes.baseAddress.unsafelyUnwrapped + done, bytes.count - done,
                offset + done)
            if count > 0 {
                done += count
            } else if count == 0 {
                // No file system of ours answers so; going on would be for ever.
                throw DiskFailure(.write, "", errno: EIO)
            } else if errno != EINTR {
                throw DiskFailure(.write, "", errno: errno)
            }
        }
    }

    func allocate(_ file: DiskFile, bytes: Int) throws(DiskFailure) {
        // Where the file system has no way to promise space, the C library writes it.
        while true {
            let code = posix_fallocate(file.number, 0, bytes)
            if code == 0 { return }
            if code != EINTR { throw DiskFailure(.allocate, "", errno: code) }
        }
    }

    func truncate(_ file: DiskFile, bytes: Int) throws(DiskFailure) {
        while ftruncate(file.number, bytes) != 0 {
            if errno != EINTR { throw DiskFailure(.truncate, "", errno: errno) }
        }
    }

    func sync(_ file: DiskFile) throws(DiskFailure) {
        // Not again after a failure: the kernel may have thrown away what it could not write, and
        // a second call would say that all is well.
        guard fdatasync(file.number) == 0 else { throw DiskFailure(.sync, "", errno: errno) }
        // A file that somebody has deleted is synced without complaint, and gone all the same.
        guard FileName.isThere(file.number) else {
            throw DiskFailure(.sync, "", errno: ENOENT)
        }
    }

    func rename(_ path: String, to other: String) throws(DiskFailure) {
        guard unsafe renameat(directory, path, directory, other) == 0 else {
            throw DiskFailure(.rename, path, errno: errno)
        }
    }

    func remove(_ path: String) throws(DiskFailure) {
        guard unsafe unlinkat(directory, path, 0) == 0 else {
            throw DiskFailure(.remove, path, errno: errno)
        }
    }

    func makeDirectory(_ path: String) throws(DiskFailure) {
        guard unsafe mkdirat(directory, path, 0o700) == 0 || errno == EEXIST else {
            throw DiskFailure(.makeDirectory, path, errno: errno)
        }
    }

    func syncDirectory(_ path: String) throws(DiskFailure) {
        let fd = unsafe openat(
            directory, path.isEmpty ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard fd >= 0 else { throw DiskFailure(.syncDirectory, path, errno: errno) }
        defer { Glibc.close(fd) }
        guard fsync(fd) == 0 else { throw DiskFailure(.syncDirectory, path, errno: errno) }
    }
}
