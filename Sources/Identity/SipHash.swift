/// 128 secret bits that make where a key falls in a table unpredictable to whoever chooses keys.
public struct SipKey: Sendable, BitwiseCopyable {
    public let low: UInt64
    public let high: UInt64

    /// `low` and `high` are random, from the caller.
    public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }
}

/// SipHash-2-4 (Aumasson and Bernstein, 2012) over whole words.
///
/// Tables of fixed size keep only this 64-bit hash of a name or an address; with a seed nobody
/// knows, an attacker can neither aim at somebody's entry nor fill one set on purpose. OpenSSL
/// has it only behind a context that allocates; the standard library's `Hasher` has a seed that
/// can't be passed in.
struct SipHash {
    private var v0: UInt64
    private var v1: UInt64
    private var v2: UInt64
    private var v3: UInt64

    init(_ key: SipKey) {
        v0 = key.low ^ 0x736f_6d65_7073_6575
        v1 = key.high ^ 0x646f_7261_6e64_6f6d
        v2 = key.low ^ 0x6c79_6765_6e65_7261
        v3 = key.high ^ 0x7465_6462_7974_6573
    }

    mutating func mix(_ word: UInt64) {
        v3 ^= word
        round()
        round()
        v0 ^= word
    }

    /// The last word is the one that carries the length, in whatever form the caller has it.
    consuming func finish(_ last: UInt64) -> UInt64 {
        mix(last)
        v2 ^= 0xff
        round()
        round()
        round()
        round()
        return v0 ^ v1 ^ v2 ^ v3
    }

    private mutating func round() {
        v0 &+= v1
        v1 = v1 << 13 | v1 >> 51
        v1 ^= v0
        v0 = v0 << 32 | v0 >> 32
        v2 &+= v3
        v3 = v3 << 16 | v3 >> 48
        v3 ^= v2
        v0 &+= v3
        v3 = v3 << 21 | v3 >> 43
        v3 ^= v0
        v2 &+= v1
        v1 = v1 << 17 | v1 >> 47
        v1 ^= v2
        v2 = v2 << 32 | v2 >> 32
    }
}
