internal import COpenSSL

/// 32 bytes of SHA-256 or HMAC-SHA256, compared without saying where two of them differ.
public struct Digest: Equatable, Sendable, BitwiseCopyable {
    public static let byteCount = 32

    /// The bytes in the order they are written, whatever the machine's byte order.
    private(set) var bytes: InlineArray<32, UInt8>

    init() { bytes = InlineArray(repeating: 0) }

    /// The 32 bytes as they came from a store.
    public init?(_ stored: RawSpan) {
        guard stored.byteCount == Self.byteCount else { return nil }
        self.init()
        for index in 0..<Self.byteCount { bytes[index] = stored.byte(index) }
    }

    public static func sha256(_ message: RawSpan) -> Digest {
        var state = SHA256_CTX()
        unsafe SHA256_Init(&state)
        state.update(message)
        return state.finish()
    }

    public static func == (left: Digest, right: Digest) -> Bool {
        var difference: UInt8 = 0
        for index in 0..<byteCount { difference |= left.bytes[index] ^ right.bytes[index] }
        return difference == 0
    }

    public func append(to output: inout [UInt8]) {
        for index in 0..<Self.byteCount { output.append(bytes[index]) }
    }

    mutating func fill(_ write: (UnsafeMutablePointer<UInt8>) -> Void) {
        unsafe withUnsafeMutableBytes(of: &bytes) { bytes in
            unsafe write(bytes.baseAddress!.assumingMemoryBound(to: UInt8.self))
        }
    }

    mutating func wipe() {
        unsafe withUnsafeMutableBytes(of: &bytes) { bytes in
            unsafe OPENSSL_cleanse(bytes.baseAddress!, bytes.count)
        }
    }
}

extension SHA256_CTX {
    mutating func update(_ message: RawSpan) {
        unsafe message.withUnsafeBytes { message in
            _ = unsafe SHA256_Update(&self, message.baseAddress, message.count)
        }
    }

    mutating func finish() -> Digest {
        var digest = Digest()
        unsafe digest.fill { output in _ = unsafe SHA256_Final(output, &self) }
        return digest
    }
}
