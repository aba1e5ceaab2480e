/// Where a node listens or is found: a host and a port, as typed.
///
/// Names are not resolved here: that is I/O, and belongs to whoever opens the socket.
public struct Address: Sendable, Equatable, CustomStringConvertible {
    /// Without brackets: `127.0.0.1`, `::1`, `node-2.example`.
    public var host: String
    public var port: UInt16

    /// What a host without a port means.
    public static let portDefault: UInt16 = 6660

    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Reads `host:port`, `[ipv6]:port`, `:port` (every IPv4 address of the machine), and a bare
    /// IPv4 address, bracketed IPv6 address or `localhost` with the default port.
    ///
    /// A bare word is not taken for a host: it is more likely a mistyped subcommand, and listening
    /// on some name by accident is hard to notice. A bare IPv6 address is refused because
    /// `::1:6660` could be read in two ways.
    public init?(_ text: String) {
        let hostText: Substring
        var portText: Substring?
        if text.hasPrefix("[") {
            guard let close = text.firstIndex(of: "]") else { return nil }
            hostText = text[text.index(after: text.startIndex)..<close]
            let rest = text[text.index(after: close)...]
            if !rest.isEmpty {
                guard rest.hasPrefix(":") else { return nil }
                portText = rest.dropFirst()
            }
            guard Address.isIPv6(hostText) else { return nil }
        } else if let colon = text.lastIndex(of: ":") {
            hostText = text[..<colon]
            portText = text[text.index(after: colon)...]
            guard hostText.isEmpty || Address.isIPv4(hostText) || Address.isName(hostText) else {
                return nil
            }
        } else {
            hostText = text[...]
            guard Address.isIPv4(hostText) || hostText == "localhost" else { return nil }
        }
        var port = Address.portDefault
        if let portText {
            guard let number = ValueText.whole(portText), let small = UInt16(exactly: number) else {
                return nil
            }
            port = small
        }
        self.init(host: hostText.isEmpty ? "0.0.0.0" : String(hostText), port: port)
    }

    public var description: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// Only this machine can reach it.
    public var isLoopback: Bool {
        host == "localhost" || host == "::1"
            || (Address.isIPv4(host[...]) && host.hasPrefix("127."))
    }

    /// Every address of the machine: nothing another node could connect to.
    public var isUnspecified: Bool { host == "0.0.0.0" || host == "::" }

    private static func isIPv4(_ text: Substring) -> Bool {
        let pieces = text.split(separator: ".", omittingEmptySubsequences: false)
        return pieces.count == 4
            && pieces.allSatisfy { piece in
                piece.utf8.count <= 3 && ValueText.whole(piece).map { $0 <= 255 } ?? false
            }
    }

    /// Only what tells it apart from a name: the kernel's own reader decides in the end.
    private static func isIPv6(_ text: Substring) -> Bool {
        let address = text.prefix { $0 != "%" }
        return address.filter { $0 == ":" }.count >= 2
            && address.allSatisfy { $0.isASCII && ($0.isHexDigit || $0 == ":" || $0 == ".") }
            && text.dropFirst(address.count).allSatisfy {
                $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "%")
            }
    }

    /// A DNS name (RFC 1123), underscores allowed as container networks use them. Digits and dots
    /// alone are a mistyped IPv4 address, not a name.
    private static func isName(_ text: Substring) -> Bool {
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        return text.utf8.count <= 253
            && labels.allSatisfy { label in
                (1...63).contains(label.utf8.count)
                    && label.allSatisfy {
                        $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_")
                    }
                    && !label.hasPrefix("-") && !label.hasSuffix("-")
            }
            && labels.last.map { !$0.allSatisfy(\.isNumber) } ?? false
    }
}
