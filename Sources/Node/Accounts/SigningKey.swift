import Glibc
import Identity
import Machine
import Options

/// The key that signs tokens: the operator's `JWT_SECRET`, or one made at the first start and kept
/// in `--dir`, so that tokens outlive a restart.
///
/// A damaged file stops the start, rather than make every user's token invalid without a word.
enum SigningKey {
    static let file = KeptSecret(
        name: "jwt-key", signature: Array("NTLJWT1\n".utf8), bytes: 32)

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
        guard case .secret(let key) = try file.open(directory) else {
            throw SystemError(
                "read \(directory)/\(file.name)", EBADMSG,
                hint: "the signing key is damaged: put back a copy of the file, or delete it, "
                    + "after which everybody has to log in again")
        }
        return key
    }
}
