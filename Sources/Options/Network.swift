/// Addresses as people write them in a list of those they trust: one address, or a block such as
/// `10.0.0.0/8`.
///
/// Only whether a text is one is decided here, and strictly: bits beyond the length of a block are
/// a mistake in a setting that says whom to believe. What is done with it belongs to whoever
/// compares addresses.
enum Network {
    /// As many as anybody lists by hand; each is looked at for each hop of a request.
    static let listCountMax = 64

    /// The texts between commas, blanks around them taken off; nil where one is no network.
    static func list(_ text: String) -> [String]? {
        let pieces = text.split(separator: ",", omittingEmptySubsequences: false)
        guard pieces.count <= listCountMax else { return nil }
        var networks: [String] = []
        for piece in pieces {
            var network = piece
            while network.first == " " { network.removeFirst() }
            while network.last == " " { network.removeLast() }
            guard isNetwork(String(network)) else { return nil }
            networks.append(String(network))
        }
        return networks
    }

    static func isNetwork(_ text: String) -> Bool {
        let pieces = text.split(separator: "/", omittingEmptySubsequences: false)
        guard (1...2).contains(pieces.count), let octets = octets(String(pieces[0])) else {
            return false
        }
        guard pieces.count == 2 else { return true }
        guard pieces[1].utf8.count <= 3, let length = ValueText.whole(pieces[1]),
            length <= octets.count * 8, !isMapped(octets)
        else { return false }
        return octets.indices.allSatisfy { place in
            let kept = min(max(length - place * 8, 0), 8)
            return octets[place] & ~(UInt8(truncatingIfNeeded: 0xFF00 >> kept)) == 0
        }
    }

    /// `::ffff:10.0.0.0`: a block of these has a length that readers count differently.
    private static func isMapped(_ octets: [UInt8]) -> Bool {
        octets.count == 16 && octets[..<10].allSatisfy { $0 == 0 } && octets[10] == 0xFF
            && octets[11] == 0xFF
    }

    /// Four or sixteen bytes; nil where the text is no address.
    private static func octets(_ text: String) -> [UInt8]? {
        text.contains(":") ? octetsV6(text) : octetsV4(text)
    }

    /// Four numbers without leading zeros, which some readers take for octal ones.
    private static func octetsV4(_ text: String) -> [UInt8]? {
        let pieces = text.split(separator: ".", omittingEmptySubsequences: false)
        let octets = pieces.compactMap { piece in
            piece.utf8.count > 1 && piece.hasPrefix("0")
                ? nil : ValueText.whole(piece).flatMap { UInt8(exactly: $0) }
        }
        return pieces.count == 4 && octets.count == 4 ? octets : nil
    }

    /// Eight groups, or fewer around one `::` (RFC 4291 2.2). The form that ends in an IPv4 address
    /// is not read: nobody's proxies have it.
    private static func octetsV6(_ text: String) -> [UInt8]? {
        var sides: [[UInt8]] = [[]]
        var rest = text[...]
        if rest.hasPrefix("::") {
            rest = rest.dropFirst(2)
            sides.append([])
        }
        while let digit = rest.first, digit != ":" {
            let group = rest.prefix { $0.isASCII && $0.isHexDigit }
            guard (1...4).contains(group.count), let word = UInt16(group, radix: 16) else {
                return nil
            }
            sides[sides.count - 1] += [UInt8(word >> 8), UInt8(word & 0xFF)]
            rest = rest.dropFirst(group.count)
            if rest.isEmpty { break }
            if rest.hasPrefix("::") {
                guard sides.count == 1 else { return nil }
                sides.append([])
                rest = rest.dropFirst(2)
            } else {
                guard rest.first == ":", rest.count > 1 else { return nil }
                rest = rest.dropFirst()
            }
        }
        let count = sides.reduce(0) { $0 + $1.count }
        guard rest.isEmpty, sides.count == 1 ? count == 16 : count <= 14 else { return nil }
        return sides[0] + [UInt8](repeating: 0, count: 16 - count)
            + (sides.count > 1 ? sides[1] : [])
    }
}
