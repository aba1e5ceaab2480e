/// What a command's syntax line says, as COMMAND DOCS tells it: a tree of arguments.
///
/// The line is what people read (`key value [NX|XX] [EX seconds|KEEPTTL]`), and the only source:
/// brackets are optional, bars choose, capitals are words to be typed, the rest are names of what is
/// to be put there, and `name [name ...]` is one or more.
public struct CommandArgument: Equatable, Sendable {
    public enum Kind: String, Sendable {
        case string, integer, double, key, pattern
        case unixTime = "unix-time"
        case pureToken = "pure-token"
        case oneOf = "oneof"
        case block
    }

    public var name: String
    public var kind: Kind
    /// The word that comes before it, or that it is.
    public var token: String? = nil
    public var isOptional = false
    public var isMultiple = false
    public var parts: [CommandArgument] = []

    public static func read(_ syntax: String) -> [CommandArgument] {
        var reader = Reader(Array(syntax.utf8))
        return reader.sequence(isInside: false)
    }

    private struct Reader {
        let text: [UInt8]
        var at = 0

        init(_ text: [UInt8]) { self.text = text }

        /// Alternatives of sequences up to the closing bracket or the end.
        mutating func sequence(isInside: Bool) -> [CommandArgument] {
            var arguments: [CommandArgument] = []
            while at < text.count, text[at] != UInt8(ascii: "]") {
                if text[at] == 0x20 {
                    at += 1
                    continue
                }
                if text[at] == UInt8(ascii: "[") {
                    at += 1
                    let inner = sequence(isInside: true)
                    at += 1
                    add(optional: inner, to: &arguments)
                    continue
                }
                if rest.starts(with: Array("...".utf8)) {
                    at += 3
                    // Marked by the bracket around it.
                    arguments.append(CommandArgument(name: "...", kind: .pureToken))
                    continue
                }
                var choices = [choice()]
                while at < text.count, text[at] == UInt8(ascii: "|") {
                    at += 1
                    choices.append(choice())
                }
                arguments.append(
                    choices.count == 1
                        ? choices[0]
                        : CommandArgument(
                            name: CommandArgument.name(ofChoice: choices), kind: .oneOf,
                            parts: choices))
            }
            return arguments
        }

        private var rest: ArraySlice<UInt8> { text[at...] }

        private mutating func word() -> String {
            let start = at
            while at < text.count, ![0x20, 0x5B, 0x5D, 0x7C].contains(text[at]) { at += 1 }
            return String(decoding: text[start..<at], as: UTF8.self)
        }

        /// A word to be typed, a name, or a word and the names that belong to it.
        private mutating func choice() -> CommandArgument {
            let word = word()
            guard CommandArgument.isToken(word) else {
                return CommandArgument(name: word, kind: CommandArgument.kind(of: word))
            }
            var names: [String] = []
            while at + 1 < text.count, text[at] == 0x20, text[at + 1] != UInt8(ascii: "[") {
                let before = at
                at += 1
                let next = self.word()
                if next.isEmpty || CommandArgument.isToken(next) || next == "..." {
                    at = before
                    break
                }
                names.append(next)
            }
            if names.isEmpty {
                return CommandArgument(name: word.lowercased(), kind: .pureToken, token: word)
            }
            if names.count == 1 {
                return CommandArgument(
                    name: names[0], kind: CommandArgument.kind(of: names[0]), token: word)
            }
            return CommandArgument(
                name: word.lowercased(), kind: .block, token: word,
                parts: names.map { CommandArgument(name: $0, kind: CommandArgument.kind(of: $0)) })
        }

        private func add(
            optional inner: [CommandArgument], to arguments: inout [CommandArgument]
        ) {
            guard inner.last?.name == "..." else {
                if inner.count == 1 {
                    var only = inner[0]
                    only.isOptional = true
                    arguments.append(only)
                } else if !inner.isEmpty {
                    var block = CommandArgument(name: inner[0].name, kind: .block, parts: inner)
                    block.isOptional = true
                    arguments.append(block)
                }
                return
            }
            // `a b [a b ...]`: what stands before is meant once or more.
            let repeated = inner.count - 1
            guard repeated > 0, arguments.count >= repeated else { return }
            if repeated == 1 {
                arguments[arguments.count - 1].isMultiple = true
                return
            }
            let parts = Array(arguments.suffix(repeated))
            arguments.removeLast(repeated)
            var block = CommandArgument(name: "data", kind: .block, parts: parts)
            block.isMultiple = true
            arguments.append(block)
        }
    }

    private static func isToken(_ word: String) -> Bool {
        !word.isEmpty && word.utf8.allSatisfy { (0x41...0x5A).contains($0) || $0 == 0x2D }
    }

    private static func name(ofChoice choices: [CommandArgument]) -> String {
        let names = choices.map(\.name)
        if names.contains("seconds") || names.contains("milliseconds") { return "expiration" }
        if names == ["nx", "xx"] || names.contains("gt") { return "condition" }
        if names == ["left", "right"] { return "where" }
        return names.joined(separator: "-or-")
    }

    private static func kind(of name: String) -> Kind {
        switch name {
        case "key", "newkey", "source", "destination": .key
        case "pattern": .pattern
        case "unix-time-seconds", "unix-time-milliseconds": .unixTime
        case "seconds", "milliseconds", "index", "count", "start", "stop", "end", "offset",
            "increment", "decrement", "destination-db", "cursor", "rank", "num-matches", "len",
            "numreplicas", "timeout", "protover", "client-id", "slot", "port":
            .integer
        default: .string
        }
    }
}
