/// `needletail check DIR [--repair OUT]`.
public struct CheckRequest: Sendable, Equatable {
    public var directory: String
    /// Where what can be read is to go; nil: only a report.
    public var repairInto: String?
}

/// The words after `check`.
enum CheckCommand {
    static let usage = "needletail check DIR [--repair OUT]"

    static let help = """
        Usage: \(usage)

        Reads everything a node keeps in DIR, changes nothing, and names what is not as it was written.
        Exits 0 when a node can start there, 1 when it can't, 64 when asked wrongly.

          --repair OUT                      Writes what precedes the damage into OUT, a new directory.
                                            No node may run in DIR meanwhile. DIR stays as it is.

        """

    static func read(_ words: [String]) throws(OptionsError) -> Invocation {
        if words.contains("--help") || words.contains("-h") { return .print(help) }
        var request = CheckRequest(directory: "")
        var rest = words[...]
        var flagsEnded = false
        while let word = rest.popFirst() {
            if word == "--", !flagsEnded {
                flagsEnded = true
            } else if word.hasPrefix("-"), !flagsEnded {
                request.repairInto = try repairTarget(word, &rest)
            } else if request.directory.isEmpty, !word.isEmpty {
                request.directory = word
            } else {
                throw OptionsError("check: \(ValueText.quoted(word)): one word too many; \(remedy)")
            }
        }
        if request.directory.isEmpty { throw OptionsError("check: which directory? \(remedy)") }
        if request.directory == request.repairInto {
            throw OptionsError(
                "check: --repair needs another directory: nothing is repaired in place")
        }
        return .check(request)
    }

    private static let remedy = "use it so: \(usage)"

    private static func repairTarget(
        _ word: String, _ rest: inout ArraySlice<String>
    ) throws(OptionsError) -> String {
        let flag = word.prefix { $0 != "=" }
        guard flag == "--repair" else {
            throw OptionsError("check: \(ValueText.quoted(word)): no such flag; \(remedy)")
        }
        let value =
            flag == word ? rest.popFirst() ?? "" : String(word.dropFirst(flag.count + 1))
        if value.isEmpty || flag == word && value.hasPrefix("--") {
            throw OptionsError("check: --repair needs a value: the path of a new directory")
        }
        return value
    }
}
