/// The proxies whose word about their clients we take (`--trusted-proxy`).
public struct TrustedProxies: Sendable {
    /// As many as anybody lists by hand; each is looked at for each hop of each request.
    public static let blocksMax = 64

    private let blocks: [AddressBlock]

    /// nil above `blocksMax`.
    public init?(_ blocks: [AddressBlock]) {
        guard blocks.count <= Self.blocksMax else { return nil }
        self.blocks = blocks
    }

    public var isEmpty: Bool { blocks.isEmpty }

    public func contains(_ address: IPAddress) -> Bool {
        for block in blocks where block.contains(address) { return true }
        return false
    }
}

/// Finds the client behind trusted proxies from `X-Forwarded-For` or `Forwarded` (RFC 7239).
///
/// Each proxy appends whom it heard from, so the list is read from the right, as long as the one
/// who speaks is trusted: anything further left a client may have made up. What isn't an address
/// (`unknown`, an obfuscated name, junk) ends the walk at the last hop that is known.
///
/// A proxy usually writes one of the two headers and passes the other on as the client sent it. If
/// both are there and disagree nobody can tell which is the client's invention, so neither is
/// believed and the proxy's own address stands.
public struct ForwardedAddress: ~Copyable {
    /// A longer chain of proxies isn't followed.
    public static let hopsMax = 16

    private struct Walk {
        var address: IPAddress
        var isOpen: Bool
        var hops = 0
        var heard = false
    }

    private let peer: IPAddress
    private var plain: Walk
    private var forwarded: Walk

    /// Begins at the address the connection really comes from.
    public init(peer: IPAddress, trusted: borrowing TrustedProxies) {
        self.peer = peer
        let isOpen = trusted.contains(peer)
        plain = Walk(address: peer, isOpen: isOpen)
        forwarded = Walk(address: peer, isOpen: isOpen)
    }

    /// One `X-Forwarded-For` line. A request's lines are heard from the last to the first.
    public mutating func hear(xForwardedFor value: RawSpan, trusted: borrowing TrustedProxies) {
        plain.heard = true
        var end = value.byteCount
        while plain.isOpen, end >= 0 {
            var start = end
            while start > 0, value.byte(start - 1) != UInt8(ascii: ",") { start -= 1 }
            Self.step(&plain, Self.node(value, trim(value, start..<end)), trusted)
            end = start - 1
        }
    }

    /// One `Forwarded` line, likewise.
    public mutating func hear(forwarded value: RawSpan, trusted: borrowing TrustedProxies) {
        forwarded.heard = true
        var end = value.byteCount
        while forwarded.isOpen, end >= 0 {
            guard let start = elementStart(value, before: end) else {
                forwarded.isOpen = false
                return
            }
            Self.step(&forwarded, node(inElement: trim(value, start..<end), of: value), trusted)
            end = start - 1
        }
    }

    public var client: IPAddress {
        if plain.heard && forwarded.heard {
            return plain.address == forwarded.address ? plain.address : peer
        }
        return plain.heard ? plain.address : forwarded.address
    }

    private static func step(
        _ walk: inout Walk, _ node: IPAddress?, _ trusted: borrowing TrustedProxies
    ) {
        walk.hops += 1
        guard let node, walk.hops <= hopsMax else {
            walk.isOpen = false
            return
        }
        walk.address = node
        walk.isOpen = trusted.contains(node)
    }

    /// Where the last element of `value` before `end` begins; nil where quotes don't pair up. A
    /// comma between quotes is no separator, and quotes are counted from the left because that is
    /// how they were written.
    private func elementStart(_ value: RawSpan, before end: Int) -> Int? {
        var start = 0
        var quoted = false
        for index in 0..<end {
            switch value.byte(index) {
            case UInt8(ascii: "\""): quoted.toggle()
            case UInt8(ascii: "\\") where quoted: return nil
            case UInt8(ascii: ",") where !quoted: start = index + 1
            default: break
            }
        }
        return quoted ? nil : start
    }

    /// The address of the one `for=` in an element.
    private func node(inElement element: Range<Int>, of value: RawSpan) -> IPAddress? {
        var found: IPAddress?
        var start = element.lowerBound
        while start < element.upperBound {
            var end = start
            var quoted = false
            while end < element.upperBound, quoted || value.byte(end) != UInt8(ascii: ";") {
                if value.byte(end) == UInt8(ascii: "\"") { quoted.toggle() }
                end += 1
            }
            let pair = trim(value, start..<end)
            if pair.count >= 4,
                value.matchesAnyCase("for=", at: pair.lowerBound..<pair.lowerBound + 4)
            {
                var name = pair.lowerBound + 4..<pair.upperBound
                if name.count >= 2, value.byte(name.lowerBound) == UInt8(ascii: "\""),
                    value.byte(name.upperBound - 1) == UInt8(ascii: "\"")
                {
                    name = name.lowerBound + 1..<name.upperBound - 1
                }
                guard found == nil, let address = Self.node(value, name) else { return nil }
                found = address
            }
            start = end + 1
        }
        return found
    }

    /// `1.2.3.4`, `1.2.3.4:5`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:5`.
    private static func node(_ value: RawSpan, _ range: Range<Int>) -> IPAddress? {
        guard let first = range.first else { return nil }
        if value.byte(first) == UInt8(ascii: "[") {
            guard let close = range.first(where: { value.byte($0) == UInt8(ascii: "]") }) else {
                return nil
            }
            guard isPort(value, close + 1..<range.upperBound),
                let address = IPAddress(value, first + 1..<close)
            else { return nil }
            // Brackets are for IPv6 only; an address with a colon in it is one.
            return (first + 1..<close).contains { value.byte($0) == UInt8(ascii: ":") }
                ? address : nil
        }
        if let address = IPAddress(value, range) { return address }
        guard let colon = range.first(where: { value.byte($0) == UInt8(ascii: ":") }),
            isPort(value, colon..<range.upperBound)
        else { return nil }
        return IPAddress(value, first..<colon)
    }

    /// Nothing, or a colon and up to five digits.
    private static func isPort(_ value: RawSpan, _ range: Range<Int>) -> Bool {
        guard let first = range.first else { return true }
        guard value.byte(first) == UInt8(ascii: ":"), (2...6).contains(range.count) else {
            return false
        }
        return range.dropFirst().allSatisfy { value.byte($0) &- UInt8(ascii: "0") < 10 }
    }
}

/// `range` without spaces and tabs at its ends.
private func trim(_ value: RawSpan, _ range: Range<Int>) -> Range<Int> {
    var start = range.lowerBound
    var end = range.upperBound
    while start < end, value.byte(start) == 0x20 || value.byte(start) == 0x09 { start += 1 }
    while end > start, value.byte(end - 1) == 0x20 || value.byte(end - 1) == 0x09 { end -= 1 }
    return start..<end
}
