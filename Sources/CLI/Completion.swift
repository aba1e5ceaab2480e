import Wire

/// What a line may go on with: names on Tab, and in grey the arguments that are still to come. All
/// of it is read from the command table.
enum Completion {
    /// Words that this program itself understands.
    static let ownWords = ["clear", "connect", "exit", "help", "quit", "watch"]

    // MARK: Tab

    /// Whole lines that may stand in place of `text`.
    static func candidates(for text: String) -> [String] {
        let start = text.lastIndex { $0.isWhitespace }.map { text.index(after: $0) }
        let before = String(text[..<(start ?? text.startIndex)])
        let word = String(text[(start ?? text.startIndex)...])
        // Only of the line the cursor is on.
        let line = before.split(separator: "\n", omittingEmptySubsequences: false).last ?? ""
        return words(after: line.split(separator: " ").map(String.init), beginningWith: word)
            .map { before + $0 }
    }

    private static func words(after words: [String], beginningWith word: String) -> [String] {
        if words.isEmpty {
            guard !word.isEmpty else { return [] }
            return matches(CommandTable.rows.map(\.name), word)
                + ownWords.filter { $0.hasPrefix(word) && CommandTable.row(named: $0) == nil }
        }
        if words[0].lowercased() == "help" {
            guard words.count == 1 else { return [] }
            let groups = CommandGroup.allCases.map { "@" + $0.rawValue }.sorted()
            return groups.filter { $0.hasPrefix(word) }
                + (word.hasPrefix("@") ? [] : matches(CommandTable.rows.map(\.name), word))
        }
        guard let row = CommandTable.row(named: words[0]) else { return [] }
        if words.count == 1, !row.subcommands.isEmpty {
            return matches(row.subcommands.map(\.name), word)
        }
        guard !word.isEmpty else { return [] }
        let sub = row.subcommands.first { $0.name == words[1].lowercased() }
        let rest = remaining(
            of: parts(of: (sub ?? row).syntax), after: Array(words.dropFirst(sub == nil ? 1 : 2)))
        return matches(tokens(of: rest.joined(separator: " ")).map { $0.lowercased() }, word)
    }

    /// In capitals unless small letters were begun with.
    private static func matches(_ names: [String], _ word: String) -> [String] {
        let lower = word.lowercased()
        let found = Set(names.filter { $0.hasPrefix(lower) }).sorted()
        let isSmall = word.contains { $0.isLowercase }
        return isSmall ? found : found.map { $0.uppercased() }
    }

    /// The words of a syntax that are to be typed as they stand.
    private static func tokens(of syntax: String) -> [String] {
        syntax.split { " []|".contains($0) }.map(String.init)
            .filter { $0.count > 1 && $0.allSatisfy { $0.isUppercase || $0.isNumber } }
    }

    // MARK: Hints

    /// What is still to be typed, with a blank before it where one is missing.
    static func hint(for text: String) -> String {
        let line = text.split(separator: "\n", omittingEmptySubsequences: false).last ?? ""
        guard case .words(let split) = Words.split(Array(line.utf8)), !split.isEmpty else {
            return ""
        }
        var words = split.map { String(decoding: $0, as: UTF8.self) }
        let isWordOver = line.last.map(\.isWhitespace) ?? true
        guard let first = CommandTable.row(named: words[0]) else { return "" }
        var row = first
        var typed = 1
        if !first.subcommands.isEmpty, words.count > 1,
            let sub = first.subcommands.first(where: { $0.name == words[1].lowercased() })
        {
            row = sub
            typed = 2
        } else if !first.subcommands.isEmpty, words.count == 1 {
            return (isWordOver ? "" : " ")
                + first.subcommands.map { $0.name.uppercased() }
                .joined(separator: "|")
        }
        words.removeFirst(typed)
        let rest = remaining(of: parts(of: row.syntax), after: words)
        guard !rest.isEmpty else { return "" }
        return (isWordOver ? "" : " ") + rest.joined(separator: " ")
    }

    /// A syntax line in parts: names, and what stands in brackets as one.
    static func parts(of syntax: String) -> [String] {
        var parts: [String] = []
        var part = ""
        var depth = 0
        for character in syntax {
            if character == "[" { depth += 1 }
            if character == "]" { depth -= 1 }
            if character == " ", depth == 0 {
                if !part.isEmpty { parts.append(part) }
                part = ""
            } else {
                part.append(character)
            }
        }
        return part.isEmpty ? parts : parts + [part]
    }

    private static func remaining(of parts: [String], after words: [String]) -> [String] {
        var parts = parts
        /// Words that belong to an option typed before.
        var owed = 0
        for word in words {
            if owed > 0 {
                owed -= 1
                continue
            }
            guard let first = parts.first else { return [] }
            if !first.hasPrefix("[") {
                parts.removeFirst()
                continue
            }
            let token = word.uppercased()
            guard let place = parts.firstIndex(where: { tokens(of: $0).contains(token) }) else {
                // One more of what may come any number of times.
                if !first.contains("...") { parts.removeFirst() }
                continue
            }
            let option = parts.remove(at: place).dropFirst().dropLast()
            let choice = option.split(separator: "|").first {
                $0.split(separator: " ").first ?? "" == token
            }
            owed = max(0, (choice ?? option).split(separator: " ").count - 1)
        }
        return parts
    }
}
