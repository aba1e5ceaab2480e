internal import Glibc

/// An IPv4 or IPv6 address as 128 bits; IPv4 in its mapped form `::ffff:a.b.c.d`, so that the
/// same client is the same value whichever socket it came through.
public struct IPAddress: Hashable, Sendable, BitwiseCopyable {
    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// `v4` in host order: 127.0.0.1 is `0x7f000001`.
    public init(v4: UInt32) { self.init(high: 0, low: 0xffff_0000_0000 | UInt64(v4)) }

    public var isV4: Bool { high == 0 && low >> 32 == 0xffff }

    /// Reads an address without port, brackets or zone.
    public init?(_ text: RawSpan, _ range: Range<Int>) {
        var terminated = InlineArray<46, CChar>(repeating: 0)
        guard !range.isEmpty, range.count < 46 else { return nil }
        var isV6 = false
        for (position, index) in range.enumerated() {
            let byte = text.byte(index)
            if byte == 0 { return nil }
            if byte == UInt8(ascii: ":") { isV6 = true }
            terminated[position] = CChar(bitPattern: byte)
        }
        var octets = InlineArray<16, UInt8>(repeating: 0)
        let family = isV6 ? AF_INET6 : AF_INET
        let done = unsafe withUnsafeBytes(of: &terminated) { text in
            unsafe withUnsafeMutableBytes(of: &octets) { octets in
                unsafe inet_pton(
                    family, text.baseAddress!.assumingMemoryBound(to: CChar.self),
                    octets.baseAddress!)
            }
        }
        guard done == 1 else { return nil }
        var high: UInt64 = 0
        var low: UInt64 = 0
        for index in 0..<8 {
            high = high << 8 | UInt64(octets[index])
            low = low << 8 | UInt64(octets[index + 8])
        }
        self = isV6 ? IPAddress(high: high, low: low) : IPAddress(v4: UInt32(high >> 32))
    }

    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        self.init(unsafe bytes.span.bytes, 0..<bytes.count)
    }

    /// What one subscriber of a provider holds: an IPv4 address, an IPv6 /64.
    public var subscriber: IPAddress { isV4 ? self : IPAddress(high: high, low: 0) }
}

/// A block of addresses: `10.0.0.0/8`, `fd00::/8`, or one address without a slash.
public struct AddressBlock: Hashable, Sendable, BitwiseCopyable {
    private let base: IPAddress
    private let mask: IPAddress

    /// nil where the address or the length isn't one, or bits beyond the length are set: that is
    /// a mistake in a setting that decides whom to trust.
    public init?(_ text: RawSpan) {
        var slash = text.byteCount
        for index in 0..<text.byteCount where text.byte(index) == UInt8(ascii: "/") {
            slash = index
            break
        }
        guard let base = IPAddress(text, 0..<slash) else { return nil }
        let isV4 = base.isV4
        var length = 128
        if slash < text.byteCount {
            let digits = slash + 1..<text.byteCount
            guard (1...3).contains(digits.count) else { return nil }
            length = 0
            for index in digits {
                let digit = text.byte(index) &- UInt8(ascii: "0")
                guard digit < 10 else { return nil }
                length = length * 10 + Int(digit)
            }
            guard length <= (isV4 ? 32 : 128) else { return nil }
            if isV4 { length += 96 }
        }
        mask = IPAddress(
            high: length >= 64 ? .max : ~(UInt64.max >> UInt64(length)),
            low: length <= 64 ? 0 : ~(length == 128 ? 0 : UInt64.max >> UInt64(length - 64)))
        guard base.high & ~mask.high == 0, base.low & ~mask.low == 0 else { return nil }
        self.base = base
    }

    public init?(_ text: String) { self.init(unsafe Array(text.utf8).span.bytes) }

    public func contains(_ address: IPAddress) -> Bool {
        address.high & mask.high == base.high && address.low & mask.low == base.low
    }
}
