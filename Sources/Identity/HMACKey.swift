internal import COpenSSL

/// One HMAC-SHA256 key (RFC 2104), expanded once: the state of the hash after the inner and the
/// outer pad.
///
/// The construction is ours, the hash OpenSSL's. OpenSSL's own HMAC goes through its providers,
/// which cost a node that merely idles 1.7 MB and each code several allocations
/// (docs/decisions/0005-openssl-for-identity.md).
@safe struct HMACKey: ~Copyable {
    private static let blockBytes = 64

    /// Two of them: the inner one, then the outer one. On the heap, so that no move leaves a copy.
    private let states: UnsafeMutablePointer<SHA256_CTX>

    init(_ key: RawSpan) {
        unsafe states = .allocate(capacity: 2)
        var block = InlineArray<64, UInt8>(repeating: 0)
        if key.byteCount > Self.blockBytes {
            let hashed = Digest.sha256(key)
            for index in 0..<Digest.byteCount { block[index] = hashed.bytes[index] }
        } else {
            for index in 0..<key.byteCount { block[index] = key.byte(index) }
        }
        for position in 0..<2 {
            // The second round undoes the first pad and applies the other.
            let pad: UInt8 = position == 0 ? 0x36 : 0x36 ^ 0x5c
            for index in 0..<Self.blockBytes { block[index] ^= pad }
            unsafe SHA256_Init(states + position)
            unsafe states[position].update(block.span.bytes)
        }
        unsafe withUnsafeMutableBytes(of: &block) { unsafe wipe($0.baseAddress!, $0.count) }
    }

    deinit {
        unsafe wipe(states, 2 * MemoryLayout<SHA256_CTX>.stride)
        unsafe states.deallocate()
    }

    func code(of message: RawSpan) -> Digest {
        var state = unsafe states[0]
        state.update(message)
        let hashed = state.finish()
        state = unsafe states[1]
        state.update(unsafe hashed.bytes.span.bytes)
        return state.finish()
    }
}
