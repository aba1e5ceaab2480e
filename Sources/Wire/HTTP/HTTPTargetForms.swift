/// The forms of a request target besides a path (RFC 9112 3.2.2 to 3.2.4), and what a host is
/// made of: a target's and a Host field's follow the same grammar.
enum HTTPTargetForms {
    /// Reads a target that is no path, up to and with the space after it.
    @inline(never)
    static func read(
        _ bytes: RawSpan, _ end: Int, _ place: inout Int, _ head: inout HTTPRequestHead
    ) -> HTTPRequestParser.Step {
        if head.method == .connect { return authorityForm(bytes, end, &place, &head) }
        if bytes.byte(place) == 0x2A { return asteriskForm(bytes, end, &place, &head) }
        return absoluteForm(bytes, end, &place, &head)
    }

    /// Whether the bytes are `uri-host [ ":" port ]` (RFC 9110 7.2) with a host that is not empty:
    /// RFC 9110 4.2.1 has an `http` URI without a host rejected.
    @inline(__always)
    static func isHost(_ bytes: RawSpan, from start: Int, to end: Int) -> Bool {
        let nameEnd = ByteScan.plainHostEnd(bytes, from: start, to: end)
        if nameEnd == end { return nameEnd > start }
        if bytes.byte(nameEnd) == 0x3A, nameEnd > start {
            return ByteScan.digitsEnd(bytes, from: nameEnd &+ 1, to: end) == end
        }
        return isUnusualHost(bytes, from: start, to: end)
    }

    // MARK: Forms

    private static func asteriskForm(
        _ bytes: RawSpan, _ end: Int, _ place: inout Int, _ head: inout HTTPRequestHead
    ) -> HTTPRequestParser.Step {
        guard place + 1 < end else { return .ranOut }
        guard bytes.byte(place + 1) == 0x20 else { return .wrong(.malformedTarget) }
        head.target = .asterisk
        head.path = ByteRange(place, upTo: place + 1)
        place += 2
        return .done
    }

    private static func authorityForm(
        _ bytes: RawSpan, _ end: Int, _ place: inout Int, _ head: inout HTTPRequestHead
    ) -> HTTPRequestParser.Step {
        let start = place
        let stop = ByteScan.targetStop(bytes, from: start, to: end)
        guard stop < end else { return .ranOut }
        guard bytes.byte(stop) == 0x20, isHost(bytes, from: start, to: stop) else {
            return .wrong(.malformedTarget)
        }
        head.target = .authority
        head.path = ByteRange(start, upTo: stop)
        place = stop + 1
        return .done
    }

    /// `http://host/path?query`: what proxies send, and what a server has to accept.
    private static func absoluteForm(
        _ bytes: RawSpan, _ end: Int, _ place: inout Int, _ head: inout HTTPRequestHead
    ) -> HTTPRequestParser.Step {
        var index = place
        var step = scheme(bytes, end, &index)
        guard step == .done else { return step }
        let host = index
        while index < end, !endsAuthority(bytes.byte(index)) { index += 1 }
        guard index < end else { return .ranOut }
        guard isHost(bytes, from: host, to: index) else { return .wrong(.malformedTarget) }

        let hostEnd = index
        if bytes.byte(index) == 0x2F {
            step = HTTPRequestParser.pathAndQuery(bytes, end, &index, &head)
        } else {
            // No path means "/" (RFC 9110 4.2.3). Reading on from here finds the query or the
            // space; the path is then borrowed from the slashes before the host.
            step = HTTPRequestParser.pathAndQuery(bytes, end, &index, &head)
            head.path = ByteRange(host - 1, upTo: host)
        }
        guard step == .done else { return step }
        head.target = .absolute
        head.place(.host, from: host, to: hostEnd)
        place = index
        return .done
    }

    /// `http://` or `https://` in any case: TLS may have ended at a proxy before us.
    private static func scheme(
        _ bytes: RawSpan, _ end: Int, _ index: inout Int
    ) -> HTTPRequestParser.Step {
        let name: StaticString = "http"
        for letter in 0..<name.utf8CodeUnitCount {
            guard index < end else { return .ranOut }
            guard unsafe bytes.byte(index) | 0x20 == name.utf8Start[letter] else {
                return .wrong(.malformedTarget)
            }
            index += 1
        }
        guard index < end else { return .ranOut }
        if bytes.byte(index) | 0x20 == 0x73 { index += 1 }
        let mark: StaticString = "://"
        for letter in 0..<mark.utf8CodeUnitCount {
            guard index < end else { return .ranOut }
            guard unsafe bytes.byte(index) == mark.utf8Start[letter] else {
                return .wrong(.malformedTarget)
            }
            index += 1
        }
        return .done
    }

    private static func endsAuthority(_ byte: UInt8) -> Bool {
        byte == 0x2F || byte == 0x3F || byte == 0x23 || byte <= 0x20 || byte == 0x7F
    }

    // MARK: Hosts

    /// An IPv6 address in brackets, or a registered name with characters beyond the plain ones.
    @inline(never)
    private static func isUnusualHost(_ bytes: RawSpan, from start: Int, to end: Int) -> Bool {
        guard start < end else { return false }
        var index = start
        if bytes.byte(start) == 0x5B {
            index += 1
            while index < end, isAddressByte(bytes.byte(index)) { index += 1 }
            // The shortest address is "::".
            guard index < end, bytes.byte(index) == 0x5D, index - start >= 3 else { return false }
            index += 1
        } else {
            while index < end, bytes.byte(index) != 0x3A {
                if bytes.byte(index) == 0x25 {
                    guard index + 2 < end, ByteScan.hexValue(bytes.byte(index + 1)) < 16,
                        ByteScan.hexValue(bytes.byte(index + 2)) < 16
                    else { return false }
                    index += 3
                } else {
                    guard ASCIISet.registeredName.contains(bytes.byte(index)) else { return false }
                    index += 1
                }
            }
            guard index > start else { return false }
        }
        if index == end { return true }
        return bytes.byte(index) == 0x3A
            && ByteScan.digitsEnd(bytes, from: index + 1, to: end) == end
    }

    private static func isAddressByte(_ byte: UInt8) -> Bool {
        ByteScan.hexValue(byte) < 16 || byte == 0x3A || byte == 0x2E
    }
}
