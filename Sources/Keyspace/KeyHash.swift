/// The hash of a table and a key, keyed by a secret seed.
///
/// Whoever can't learn the seed can't choose keys that collide. Each step multiplies two words,
/// both mixed with secret material, to 128 bits and folds the halves together, so every bit of
/// the key reaches every bit of the hash. A short key costs about 30 instructions; SipHash-1-3
/// about four times as many, which would be half of a GET.
public struct KeyHash: Sendable, BitwiseCopyable {
    @usableFromInline let secret0: UInt64
    @usableFromInline let secret1: UInt64
    @usableFromInline let secret2: UInt64

    /// Every shard of a node has to be given the same seed: the hash is computed where the
    /// request arrives and used where the record lives.
    public init(seed: UInt64) {
        var state = seed
        func draw() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var word = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
            word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
            return word ^ word >> 31
        }
        secret0 = draw() | 1
        secret1 = draw() | 1
        secret2 = draw() | 1
    }

    @inlinable @inline(__always)
    static func fold(_ one: UInt64, _ other: UInt64) -> UInt64 {
        let product = one.multipliedFullWidth(by: other)
        return product.high ^ product.low
    }

    @inlinable @inline(__always)
    public func hash(_ table: TableNumber, _ key: UnsafeRawBufferPointer) -> UInt64 {
        let count = key.count
        var state = KeyHash.fold(
            secret0 ^ UInt64(table), secret2 ^ UInt64(truncatingIfNeeded: count))
        guard let start = key.baseAddress else { return state }
        @inline(__always) func word(_ offset: Int) -> UInt64 {
            unsafe start.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        }
        let first: UInt64
        let last: UInt64
        if count >= 8 {
            var offset = 0
            while count - offset > 16 {
                state = KeyHash.fold(
                    word(offset) ^ secret1, word(offset + 8) ^ state)
                offset += 16
            }
            // The last sixteen bytes or fewer; they may overlap what was already taken in.
            first = word(count >= 16 ? count - 16 : 0)
            last = word(count - 8)
        } else if count >= 4 {
            first = UInt64(unsafe start.loadUnaligned(as: UInt32.self))
            last = UInt64(
                unsafe start.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self))
        } else if count > 0 {
            first = UInt64(unsafe start.load(as: UInt8.self))
            let middle = unsafe start.load(fromByteOffset: count >> 1, as: UInt8.self)
            let end = unsafe start.load(fromByteOffset: count - 1, as: UInt8.self)
            last = UInt64(middle) << 8 | UInt64(end)
        } else {
            first = 0
            last = 0
        }
        state = KeyHash.fold(first ^ secret1, last ^ state)
        return KeyHash.fold(state ^ secret2, secret0)
    }
}
