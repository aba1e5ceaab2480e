/// What a command line asks for.
///
/// A flag beats the environment, which beats the default. Of a flag given twice the last counts,
/// so that a wrapper script's own flags can be overridden by appending.
public enum Invocation: Sendable {
    case serve(Configuration)
    /// `import FILE`: takes an RDB file into the directory.
    case importDump(String, Configuration)
    /// `export FILE`: writes an RDB file of what is in the directory.
    case exportDump(String, Configuration)
    /// `check DIR`: says what a directory is worth.
    case check(CheckRequest)
    /// `--help` or `--version`: print this on stdout and exit 0.
    case print(String)

    /// `arguments` is argv without the program's name. An environment variable that is set to
    /// nothing counts as not set: that is how compose files and unit files switch one off.
    public static func read(
        _ arguments: [String], environment: (String) -> String?
    ) throws(OptionsError) -> Invocation {
        if arguments.first == "check" { return try CheckCommand.read(Array(arguments.dropFirst())) }
        let words = arguments.prefix { $0 != "--" }
        if words.contains("--help") || words.contains("-h") { return .print(OptionsText.help) }
        if words.contains("--version") { return .print(OptionsText.version) }

        var configuration = Configuration()
        let read = try Arguments(arguments)
        let given = read.given
        for option in Option.table {
            if let last = given.last(where: { $0.option.name == option.name }) {
                try set(option, last.value, as: option.spelling, &configuration)
                continue
            }
            for name in option.environment {
                guard let value = environment(name), !value.isEmpty else { continue }
                try set(option, value, as: name, &configuration)
                break
            }
        }
        if let contradiction = configuration.contradiction() {
            throw OptionsError(contradiction)
        }
        guard let subcommand = read.subcommand else { return .serve(configuration) }
        guard let file = read.file else {
            throw OptionsError(
                "\(subcommand.rawValue): needs a FILE, as in "
                    + "needletail \(subcommand.rawValue) dump.rdb --dir ./data")
        }
        return switch subcommand {
        case .importDump: .importDump(file, configuration)
        case .exportDump: .exportDump(file, configuration)
        }
    }

    private static func set(
        _ option: Option, _ value: String, as source: String, _ configuration: inout Configuration
    ) throws(OptionsError) {
        guard option.isCarriedOut else {
            let remedy = option.way == .environment ? "unset it" : "leave it out"
            throw OptionsError("\(source): not carried out by this version; \(remedy)")
        }
        guard !option.meaning.read(value, &configuration) else { return }
        let remedy =
            switch option.default {
            case .value(let text): "leave it out for the default, \(text)"
            case .automatic(let text): "leave it out for the default: \(text)"
            case .none: "see needletail --help"
            }
        if option.meaning.isSecret {
            throw OptionsError("\(source): must be \(option.meaning.expects); \(remedy)")
        }
        let quoted = ValueText.quoted(value)
        throw OptionsError("\(source): \(quoted) is not \(option.meaning.expects); \(remedy)")
    }
}

/// Why the node does not start: one line for stderr, without a line break.
public struct OptionsError: Error, Sendable, Equatable, CustomStringConvertible {
    public let message: String
    /// EX_USAGE of sysexits.h: the command was used wrongly, and repeating it will not help.
    public static let exitCode: Int32 = 64

    init(_ message: String) { self.message = "needletail: \(message)" }

    public var description: String { message }
}

/// Flags and positions as given, each matched to its row and not yet read.
private struct Arguments {
    var given: [(option: Option, value: String)] = []
    private var positions = Option.table.filter { $0.way == .position }[...]

    enum Subcommand: String {
        case importDump = "import"
        case exportDump = "export"
    }

    private(set) var subcommand: Subcommand?
    private(set) var file: String?

    /// Promised by the contract, so that they are refused by name and not as a strange address.
    private static let later = ["migrate"]

    init(_ arguments: [String]) throws(OptionsError) {
        var rest = arguments[...]
        var flagsEnded = false
        while let word = rest.popFirst() {
            if word == "--", !flagsEnded {
                flagsEnded = true
            } else if word.hasPrefix("-"), !flagsEnded {
                try takeFlag(word, &rest)
            } else {
                try takePosition(word)
            }
        }
    }

    private mutating func takeFlag(
        _ word: String, _ rest: inout ArraySlice<String>
    ) throws(OptionsError) {
        let equals = word.firstIndex(of: "=")
        let flag = String(word[..<(equals ?? word.endIndex)])
        guard let option = Option.table.first(where: { $0.way == .flag && $0.spelling == flag })
        else { throw Arguments.unknown(flag) }
        let attached = equals.map { String(word[word.index(after: $0)...]) }
        guard option.meaning.takesValue else {
            if attached != nil { throw OptionsError("\(flag): takes no value") }
            given.append((option, "1"))
            return
        }
        if let attached {
            given.append((option, attached))
        } else if !option.isCarriedOut {
            given.append((option, ""))
            if let next = rest.first, !next.hasPrefix("--") { rest.removeFirst() }
        } else if let next = rest.first, !next.hasPrefix("--") {
            given.append((option, next))
            rest.removeFirst()
        } else {
            throw OptionsError("\(flag): needs a value: \(option.meaning.expects)")
        }
    }

    private mutating func takePosition(_ word: String) throws(OptionsError) {
        if given.allSatisfy({ $0.option.way != .position }), subcommand == nil {
            if Arguments.later.contains(word) {
                throw OptionsError("\(word): not carried out by this version")
            }
            if let known = Subcommand(rawValue: word) {
                subcommand = known
                return
            }
        }
        if let subcommand {
            guard file == nil else {
                throw OptionsError(
                    "\(ValueText.quoted(word)): one word too many; \(subcommand.rawValue) takes "
                        + "one FILE")
            }
            file = word
            return
        }
        guard let option = positions.popFirst() else {
            throw OptionsError(
                "\(ValueText.quoted(word)): one word too many; needletail takes [LISTEN] [JOIN] "
                    + "and flags that begin with --")
        }
        given.append((option, word))
    }

    private static func unknown(_ flag: String) -> OptionsError {
        let quoted = ValueText.quoted(flag)
        if let position = Option.table.first(where: {
            $0.way == .position && "--\($0.name.lowercased())" == flag
        }) {
            return OptionsError(
                "\(quoted): give \(position.name) without a flag: needletail "
                    + Option.table.filter { $0.way == .position }.map { "[\($0.name)]" }
                    .joined(separator: " "))
        }
        if let secret = Option.table.first(where: {
            $0.way == .environment
                && flag == "--" + $0.name.lowercased().split(separator: "_").joined(separator: "-")
        }) {
            return OptionsError(
                "\(quoted): a secret is set in the environment only, as \(secret.name)")
        }
        let known = Option.table.filter { $0.way == .flag }.map(\.spelling)
        guard let near = Spelling.nearest(to: flag, in: known + ["--help", "--version"]) else {
            return OptionsError("\(quoted): no such flag; see needletail --help")
        }
        return OptionsError("\(quoted): no such flag; did you mean \(near)?")
    }
}

/// Which known word a mistyped one was meant to be.
enum Spelling {
    /// Nothing longer is measured: the cost grows with the square of the length.
    private static let lengthMax = 40

    /// The nearest by edits, where at most a third of its letters differ.
    static func nearest(to word: String, in known: [String]) -> String? {
        guard word.utf8.count <= lengthMax else { return nil }
        var best: (word: String, edits: Int)?
        for candidate in known {
            let edits = edits(from: Array(word.utf8), to: Array(candidate.utf8))
            if edits * 3 <= candidate.utf8.count, edits < best?.edits ?? Int.max {
                best = (candidate, edits)
            }
        }
        return best?.word
    }

    /// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
    private static func edits(from a: [UInt8], to b: [UInt8]) -> Int {
        var rows = [Array(0...b.count)]
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var least = min(rows[i][j + 1], row[j]) + 1
                least = min(least, rows[i][j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                    least = min(least, rows[i - 1][j - 1] + 1)
                }
                row.append(least)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}
