import Glibc
import Machine

/// Random bytes made at a node's first start and kept in its directory, in a file that only its user
/// may read.
///
/// The file begins with eight bytes that name its format. It comes into being by a rename after a
/// sync: it is whole or not there, so anything else is damage.
struct KeptSecret {
    let name: String
    let signature: [UInt8]
    let bytes: Int

    enum Found {
        case secret([UInt8])
        case damaged
    }

    /// What the file in `directory` holds; it is made where there is none.
    func open(_ directory: String) throws(SystemError) -> Found {
        let path = directory + "/" + name
        let fd = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        if fd < 0 {
            guard errno == ENOENT else {
                throw SystemError("open \(path)", errno, hint: "give the file back to this user")
            }
            return .secret(try make(directory))
        }
        defer { close(fd) }
        // One byte more than there may be, so that a longer file is seen to be one.
        var content = [UInt8](repeating: 0, count: signature.count + bytes + 1)
        let count = unsafe content.withUnsafeMutableBytes {
            unsafe read(fd, $0.baseAddress, $0.count)
        }
        guard count >= 0 else {
            throw SystemError("read \(path)", errno, hint: "check the disk")
        }
        let secret = Array(content[signature.count...].prefix(bytes))
        guard count == signature.count + bytes, content.starts(with: signature),
            secret.contains(where: { $0 != 0 })
        else { return .damaged }
        return .secret(secret)
    }

    /// Makes another one, in the place of any that is there. Only the process that holds the
    /// directory's lock gets here, so the name beside is ours.
    func make(_ directory: String) throws(SystemError) -> [UInt8] {
        let path = directory + "/" + name
        let secret = Randomness.bytes(bytes)
        let content = signature + secret
        let beside = path + ".new"
        let hint = "give --dir a directory that this user may write to, with space on its disk"
        _ = unsafe unlink(beside)
        let fd = unsafe Glibc.open(
            beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard fd >= 0 else { throw SystemError("create \(beside)", errno, hint: hint) }
        let written = unsafe content.withUnsafeBytes { unsafe write(fd, $0.baseAddress, $0.count) }
        let failure = written == content.count ? (fsync(fd) == 0 ? 0 : errno) : errno
        close(fd)
        guard written == content.count, failure == 0 else {
            _ = unsafe unlink(beside)
            throw SystemError("write \(beside)", failure == 0 ? ENOSPC : failure, hint: hint)
        }
        guard unsafe rename(beside, path) == 0 else {
            throw SystemError("rename \(beside)", errno, hint: hint)
        }
        let folder = unsafe Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw SystemError("open \(directory)", errno, hint: hint) }
        defer { close(folder) }
        guard fsync(folder) == 0 else {
            throw SystemError("sync \(directory)", errno, hint: "check the disk")
        }
        return secret
    }
}
