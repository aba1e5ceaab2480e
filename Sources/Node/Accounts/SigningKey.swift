import Glibc
import Identity
import Machine
import Options

/// The key that signs tokens: the operator's `JWT_SECRET`, or one made at the first start and kept
/// in `--dir`, so that tokens outlive a restart.
///
/// The file holds eight bytes that name its format and 32 random ones, and comes into being by a
/// rename after a sync: it is whole or not there. So anything else is damage, and stops the start
/// rather than make every user's token invalid without a word.
enum SigningKey {
    static let fileName = "jwt-key"
    static let keyBytes = 32

    /// `NTLJWT` and the version of the format.
    static let signature: [UInt8] = Array("NTLJWT1\n".utf8)

    static func open(
        configured: Options.Secret?, directory: String
    ) throws(SystemError) -> [UInt8] {
        guard let configured else { return try kept(directory) }
        let key = Array(configured.exposed.utf8)
        guard key.count >= Token.keyBytesMin else {
            throw SystemError(
                "JWT_SECRET", EINVAL,
                hint: "a key for HS256 has at least \(Token.keyBytesMin) bytes (RFC 7518 section "
                    + "3.2): take the output of `openssl rand -hex 32`")
        }
        return key
    }

    private static func kept(_ directory: String) throws(SystemError) -> [UInt8] {
        let path = directory + "/" + fileName
        let fd = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        if fd < 0 {
            guard errno == ENOENT else {
                throw SystemError("open \(path)", errno, hint: "give the file back to this user")
            }
            return try make(path, in: directory)
        }
        defer { close(fd) }
        // One byte more than there may be, so that a longer file is seen to be one.
        var content = [UInt8](repeating: 0, count: signature.count + keyBytes + 1)
        let count = unsafe content.withUnsafeMutableBytes {
            unsafe read(fd, $0.baseAddress, $0.count)
        }
        guard count >= 0 else {
            throw SystemError("read \(path)", errno, hint: "check the disk")
        }
        let key = Array(content[signature.count...].prefix(keyBytes))
        guard count == signature.count + keyBytes, content.starts(with: signature),
            key.contains(where: { $0 != 0 })
        else {
            throw SystemError(
                "read \(path)", EBADMSG,
                hint: "the signing key is damaged: put back a copy of the file, or delete it, "
                    + "after which everybody has to log in again")
        }
        return key
    }

    /// Only the process that holds the directory's lock gets here, so the name beside is ours.
    private static func make(_ path: String, in directory: String) throws(SystemError) -> [UInt8] {
        let key = Randomness.bytes(keyBytes)
        let content = signature + key
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
        return key
    }
}
