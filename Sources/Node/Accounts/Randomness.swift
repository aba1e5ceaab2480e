import Identity

/// Random bits for whatever nobody may guess: straight from the kernel, since the pure modules
/// take them as arguments.
enum Randomness {
    static func word() -> UInt64 {
        var system = SystemRandomNumberGenerator()
        return system.next()
    }

    static func identifier() -> Identifier { Identifier(high: word(), low: word()) }

    static func sipKey() -> SipKey { SipKey(low: word(), high: word()) }

    /// `count` random bytes; a multiple of eight.
    static func bytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        for _ in 0..<count / 8 {
            var word = word()
            for _ in 0..<8 {
                bytes.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
            }
        }
        return bytes
    }
}
