import Machine

/// The secret that keys are hashed with, the same at every start of a node.
///
/// A snapshot holds the records in the order of their hashes. With the same seed they come back in
/// that order, and a start fills the index from its beginning to its end; with another each record
/// would cost a wait for memory. Nothing else depends on it, so one that is lost or damaged is made
/// anew.
enum KeyspaceSeed {
    static let file = KeptSecret(
        name: "hash-seed", signature: Array("NTLSEED1".utf8), bytes: 8)

    static func open(_ directory: String) throws(SystemError) -> UInt64 {
        let bytes: [UInt8]
        switch try file.open(directory) {
        case .secret(let kept): bytes = kept
        case .damaged: bytes = try file.make(directory)
        }
        return bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }
}
