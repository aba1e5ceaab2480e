internal import COpenSSL

/// Overwrites memory that held a secret, in a way the compiler can't leave out.
@unsafe public func wipe(_ memory: UnsafeMutableRawPointer, _ count: Int) {
    unsafe OPENSSL_cleanse(memory, count)
}

/// A password or key on its way to whoever checks it: its own memory, gone when this is.
@safe public struct Secret: ~Copyable, @unchecked Sendable {
    /// Longer ones are refused before any hashing: PBKDF2 inside scrypt reads all of it.
    public static let bytesMax = 1024

    private let memory: UnsafeMutableRawPointer
    public let count: Int

    /// nil unless it has 1 to 1024 bytes.
    public init?(_ bytes: RawSpan) {
        guard bytes.byteCount >= 1, bytes.byteCount <= Self.bytesMax else { return nil }
        count = bytes.byteCount
        unsafe memory = .allocate(byteCount: count, alignment: 8)
        unsafe bytes.withUnsafeBytes { bytes in
            unsafe memory.copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
        }
    }

    deinit {
        unsafe wipe(memory, count)
        unsafe memory.deallocate()
    }

    public var bytes: RawSpan {
        @_lifetime(borrow self)
        borrowing get {
            let span = unsafe RawSpan(
                _unsafeStart: UnsafeRawPointer(memory), byteCount: count)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }
}

/// The operator's secret from `ADMIN_PASSWORD`, kept only as its HMAC under a random key of this
/// process.
///
/// It needs no scrypt: nothing of it is stored, and the guesser is held by `LoginThrottle`. The two
/// HMACs are compared in constant time and are equally long whatever the secrets' lengths.
public struct AdminSecret: ~Copyable {
    private let key: HMACKey
    private let expected: Digest

    /// `random` is 32 random bytes.
    public init(_ secret: borrowing Secret, random: RawSpan) {
        key = HMACKey(random)
        expected = key.code(of: secret.bytes)
    }

    public func matches(_ secret: borrowing Secret) -> Bool {
        key.code(of: secret.bytes) == expected
    }
}
