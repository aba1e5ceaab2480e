/// Values as people write them: `8MiB`, `1.5s`, `500`.
///
/// Reading is strict. A number that overflows, a unit nobody defined or a stray space is a bad
/// value, never a guess: a timeout read as zero or a size read a thousand times too small would
/// be found in production.
enum ValueText {
    /// Binary units only. `KB` and `MB` mean 1000 to some and 1024 to others, so neither is read.
    private static let sizeUnits: [(names: [String], shift: Int)] = [
        (["tib", "t"], 40), (["gib", "g"], 30), (["mib", "m"], 20), (["kib", "k"], 10),
        (["b", ""], 0),
    ]

    private static let timeUnits: [(name: String, ms: Int)] = [
        ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("", 1000),
    ]

    /// More decimals than this say less than a millisecond of any unit above.
    private static let fractionDigitsMax = 9

    static func whole(_ text: some StringProtocol) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int(text)
    }

    static func bytes(_ text: String) -> Int? {
        let (digits, unit) = parted(text)
        guard let number = whole(digits),
            let shift = sizeUnits.first(where: { $0.names.contains(unit.lowercased()) })?.shift
        else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        return overflow ? nil : product
    }

    static func milliseconds(_ text: String) -> Int? {
        let (number, unit) = parted(text)
        guard let scale = timeUnits.first(where: { $0.name == unit })?.ms else { return nil }
        let pieces = number.split(separator: ".", omittingEmptySubsequences: false)
        guard pieces.count <= 2, let first = pieces.first, let units = whole(first) else {
            return nil
        }
        var fraction = 0
        if pieces.count == 2 {
            guard pieces[1].utf8.count <= fractionDigitsMax, let digits = whole(pieces[1]) else {
                return nil
            }
            var divisor = 1
            for _ in pieces[1].utf8 { divisor *= 10 }
            fraction = digits * scale / divisor
        }
        let (product, overflow) = units.multipliedReportingOverflow(by: scale)
        let (sum, carried) = product.addingReportingOverflow(fraction)
        return overflow || carried ? nil : sum
    }

    /// The shortest exact spelling, for ranges and the start-up report.
    static func size(_ bytes: Int) -> String {
        for (names, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)]
        where bytes != 0 && bytes % (1 << shift) == 0 { return "\(bytes >> shift)\(names)" }
        return "\(bytes)"
    }

    static func duration(_ ms: Int) -> String {
        for (name, scale) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)]
        where ms != 0 && ms % scale == 0 { return "\(ms / scale)\(name)" }
        return ms == 0 ? "0s" : "\(ms)ms"
    }

    static func oneOf(_ words: [String]) -> String {
        guard let last = words.last, words.count > 1 else { return words.joined() }
        return words.dropLast().joined(separator: ", ") + " or " + last
    }

    /// Quoted for a message: one line, printable, and not longer than a glance.
    static func quoted(_ text: String) -> String {
        let shownMax = 80
        var shown = ""
        for (count, scalar) in text.unicodeScalars.enumerated() {
            if count == shownMax {
                shown += "…"
                break
            }
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate:
                shown += "\\u{\(String(scalar.value, radix: 16))}"
            default:
                shown.unicodeScalars.append(scalar)
            }
        }
        return "\"\(shown)\""
    }

    /// The leading digits and dots, and what is left.
    private static func parted(_ text: String) -> (number: Substring, unit: Substring) {
        let end =
            text.firstIndex { !($0 == "." || ($0.isASCII && $0.isNumber)) } ?? text.endIndex
        return (text[..<end], text[end...])
    }
}
