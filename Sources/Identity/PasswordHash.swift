internal import COpenSSL

/// Makes OpenSSL's providers ready, once. No configuration file is read: a statically linked
/// library must not load whatever modules the machine's `openssl.cnf` names.
private func startCryptography() {
    invariant(
        OPENSSL_init_crypto(UInt64(OPENSSL_INIT_NO_LOAD_CONFIG), nil) == 1,
        "OpenSSL can't start")
}

/// What is kept of a password: scrypt's parameters (RFC 7914), the salt and what it derived.
///
/// Written as `$scrypt$ln=15,r=8,p=1$salt$hash` in unpadded base64. A derivation takes tens of
/// milliseconds and 32 MiB, so `derive` and `matches` are called on a worker thread, as many at a
/// time as there are workers: that is the bound on the memory.
public struct PasswordHash: Equatable, Sendable, BitwiseCopyable {
    /// N = 2^`logN`, block size `r`, parallelism `p`.
    public struct Cost: Equatable, Sendable, BitwiseCopyable {
        public let logN: UInt8
        public let r: UInt8
        public let p: UInt8

        /// Interactive logins: 32 MiB.
        public static let standard = Cost(logN: 15, r: 8, p: 1)!

        /// What `128 * N * r` may come to: a stored hash can't make us ask for more.
        public static let memoryBytesMax = 32 << 20
        public static let pMax = 4

        /// nil outside the bounds: memory as above, N from 2^10 (below, hashing protects nothing).
        public init?(logN: UInt8, r: UInt8, p: UInt8) {
            guard logN >= 10, logN <= 20, r >= 1, r <= 32, p >= 1, p <= Self.pMax,
                128 * Int(r) << Int(logN) <= Self.memoryBytesMax
            else { return nil }
            self.logN = logN
            self.r = r
            self.p = p
        }
    }

    /// The library could not: in practice, memory for the derivation was refused.
    public struct Failure: Error, Equatable {}

    public static let saltBytes = 16
    public static let encodedBytesMax = 128

    public let cost: Cost
    private let salt: InlineArray<16, UInt8>
    private let derived: Digest

    /// Hashes `secret`; blocks. `salt` is 16 random bytes.
    public static func derive(
        _ secret: borrowing Secret, salt: RawSpan, cost: Cost = .standard
    ) throws(Failure) -> PasswordHash {
        invariant(salt.byteCount == saltBytes, "a salt is 16 bytes")
        var kept = InlineArray<16, UInt8>(repeating: 0)
        for index in 0..<saltBytes { kept[index] = salt.byte(index) }
        return PasswordHash(
            cost: cost, salt: kept, derived: try scrypt(secret.bytes, salt, cost))
    }

    /// Whether this is the hash of `secret`; blocks. Compared in constant time.
    public func matches(_ secret: borrowing Secret) throws(Failure) -> Bool {
        var derived = try Self.scrypt(secret.bytes, unsafe salt.span.bytes, cost)
        defer { derived.wipe() }
        return derived == self.derived
    }

    /// Reads the written form; nil where it isn't canonical or is out of bounds.
    public init?(encoded: RawSpan) {
        guard encoded.byteCount <= Self.encodedBytesMax else { return nil }
        var dollars = InlineArray<5, Int>(repeating: encoded.byteCount)
        var count = 0
        for index in 0..<encoded.byteCount where encoded.byte(index) == UInt8(ascii: "$") {
            guard count < 4 else { return nil }
            dollars[count] = index
            count += 1
        }
        guard count == 4, dollars[0] == 0, encoded.matches("scrypt", at: 1..<dollars[1]),
            let cost = Self.cost(encoded, dollars[1] + 1..<dollars[2])
        else { return nil }
        var salt = InlineArray<16, UInt8>(repeating: 0)
        var saltSpan = salt.mutableSpan
        var saltBytes = unsafe saltSpan.mutableBytes
        guard
            Base64.standard.decode(encoded, dollars[2] + 1..<dollars[3], into: &saltBytes)
                == Self.saltBytes
        else { return nil }
        var hash = InlineArray<32, UInt8>(repeating: 0)
        var hashSpan = hash.mutableSpan
        var hashBytes = unsafe hashSpan.mutableBytes
        guard
            Base64.standard.decode(encoded, dollars[3] + 1..<dollars[4], into: &hashBytes)
                == Digest.byteCount, let derived = Digest(hashBytes.bytes)
        else { return nil }
        self.init(cost: cost, salt: salt, derived: derived)
    }

    public var encoded: [UInt8] {
        var output: [UInt8] = []
        output.append(ascii: "$scrypt$ln=")
        output.append(decimal: UInt64(cost.logN))
        output.append(ascii: ",r=")
        output.append(decimal: UInt64(cost.r))
        output.append(ascii: ",p=")
        output.append(decimal: UInt64(cost.p))
        output.append(UInt8(ascii: "$"))
        Base64.standard.append(unsafe salt.span.bytes, to: &output)
        output.append(UInt8(ascii: "$"))
        var hash: [UInt8] = []
        derived.append(to: &hash)
        Base64.standard.append(unsafe hash.span.bytes, to: &output)
        return output
    }

    public static func == (left: PasswordHash, right: PasswordHash) -> Bool {
        var difference: UInt8 = 0
        for index in 0..<saltBytes { difference |= left.salt[index] ^ right.salt[index] }
        return difference == 0 && left.cost == right.cost && left.derived == right.derived
    }

    private init(cost: Cost, salt: InlineArray<16, UInt8>, derived: Digest) {
        self.cost = cost
        self.salt = salt
        self.derived = derived
    }

    private static func scrypt(
        _ secret: RawSpan, _ salt: RawSpan, _ cost: Cost
    ) throws(Failure) -> Digest {
        var derived = Digest()
        var done = false
        unsafe derived.fill { output in
            unsafe done = scrypt(
                secret, salt, n: 1 << UInt64(cost.logN), r: UInt64(cost.r), p: UInt64(cost.p),
                into: output, count: Digest.byteCount)
        }
        guard done else { throw Failure() }
        return derived
    }

    /// Scrypt itself. OpenSSL refuses more than 32 MiB in all unless told otherwise, and N = 2^15
    /// with r = 8 needs 32 MiB and a little.
    @unsafe static func scrypt(
        _ secret: RawSpan, _ salt: RawSpan, n: UInt64, r: UInt64, p: UInt64,
        into output: UnsafeMutablePointer<UInt8>, count: Int
    ) -> Bool {
        startCryptography()
        let memoryBytesMax = 128 * r * (n + p + 2) + 4096
        return unsafe secret.withUnsafeBytes { secret in
            unsafe salt.withUnsafeBytes { salt in
                // A null password means 'only check the parameters' to OpenSSL.
                var nothing: CChar = 0
                return unsafe withUnsafePointer(to: &nothing) { nothing in
                    unsafe EVP_PBE_scrypt(
                        secret.baseAddress?.assumingMemoryBound(to: CChar.self) ?? nothing,
                        secret.count, salt.baseAddress?.assumingMemoryBound(to: UInt8.self),
                        salt.count, n, r, p, memoryBytesMax, output, count) == 1
                }
            }
        }
    }

    /// `ln=15,r=8,p=1`, in this order, each of one or two digits without a leading zero.
    private static func cost(_ text: RawSpan, _ range: Range<Int>) -> Cost? {
        var at = range.lowerBound
        func value(_ name: StaticString) -> UInt8? {
            let count = name.utf8CodeUnitCount
            guard at + count < range.upperBound, text.matches(name, at: at..<at + count) else {
                return nil
            }
            at += count
            var number = 0
            var digits = 0
            while at < range.upperBound, digits < 3 {
                let digit = text.byte(at) &- UInt8(ascii: "0")
                guard digit < 10 else { break }
                if digits == 0 && digit == 0 { return nil }
                number = number * 10 + Int(digit)
                digits += 1
                at += 1
            }
            return digits == 0 ? nil : UInt8(exactly: number)
        }
        guard let logN = value("ln="), let r = value(",r="), let p = value(",p="),
            at == range.upperBound
        else { return nil }
        return Cost(logN: logN, r: r, p: p)
    }
}
