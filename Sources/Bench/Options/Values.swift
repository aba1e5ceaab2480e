/// Values as people write them. Reading is strict: what is not understood is refused, not guessed.
enum Values {
    static func whole(_ text: some StringProtocol) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int(text)
    }

    /// `10` and `10s`, `1.5s`, `500ms`, `2m`, `1h`.
    static func milliseconds(_ text: String) -> Int? {
        let scales = [("ms", 1.0), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("", 1000)]
        for (unit, scale) in scales where text.hasSuffix(unit) {
            let digits = text.dropLast(unit.count)
            guard digits.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }),
                let value = Double(digits), value * scale < 1e12
            else { return nil }
            return Int((value * scale).rounded())
        }
        return nil
    }

    /// `100`, `4KiB`, `1MiB`, and the same with a bare letter.
    static func bytes(_ text: String) -> Int? {
        let lower = text.lowercased()
        for (units, shift) in [(["kib", "k"], 10), (["mib", "m"], 20), (["b", ""], 0)] {
            for unit in units where lower.hasSuffix(unit) {
                guard let value = whole(lower.dropLast(unit.count)), value < 1 << 40 else {
                    continue
                }
                return value << shift
            }
        }
        return nil
    }

    /// What may stand in a request line or a field: printable, in one line, not empty.
    static func isLine(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
    }

    /// `host:port` with an optional scheme and path; the scheme can only be http.
    static func target(_ text: String, _ settings: inout Settings) -> Bool {
        var rest = text[...]
        if rest.hasPrefix("http://") { rest = rest.dropFirst(7) }
        if let slash = rest.firstIndex(of: "/") {
            let path = String(rest[slash...])
            guard isLine(path), !path.contains(" ") else { return false }
            settings.path = path == "/" && settings.command != .get ? nil : path
            rest = rest[..<slash]
        }
        if rest.hasPrefix("[") {
            guard let close = rest.firstIndex(of: "]") else { return false }
            settings.host = String(rest[rest.index(after: rest.startIndex)..<close])
            rest = rest[rest.index(after: close)...]
        } else {
            let host = rest.prefix { $0 != ":" }
            if !host.isEmpty { settings.host = String(host) }
            rest = rest[host.endIndex...]
        }
        if rest.isEmpty { return !settings.host.isEmpty }
        guard rest.hasPrefix(":"), let port = whole(rest.dropFirst()),
            let small = UInt16(exactly: port), small > 0
        else { return false }
        settings.port = small
        return isLine(settings.host) && !settings.host.contains(" ")
    }

    static func quoted(_ text: String) -> String {
        let shownMax = 80
        let safe = text.unicodeScalars.prefix(shownMax).map {
            $0.value < 0x20 || $0.value == 0x7F ? "?" : String($0)
        }
        return "\"\(safe.joined())\(text.unicodeScalars.count > shownMax ? "…" : "")\""
    }
}
