/// What is printed about the options: `--help`, `--version` and docs/options.md.
public enum OptionsText {
    /// Bumped by the commit that releases it; CHANGELOG.md has the same heading.
    public static let number = "0.1.0-dev"
    public static let version = "needletail \(number)\n"

    /// Sections of `--help`, in its order. Test rows are left to docs/options.md.
    private static let helpSections: [Option.Section] = [.node, .http, .log, .secret, .expert]

    private static let helpColumns = 100
    private static let docColumn = 36

    public static let help: String = {
        var text = """
            Needletail: an event server with keys, live updates and one port.

            Usage: needletail [LISTEN] [JOIN] [options]
                   needletail import FILE [options]    an RDB file of Redis into a new --dir
                   needletail export FILE [options]    an RDB file out of --dir
                   \(CheckCommand.usage)
                   needletail --help | --version

            Every flag can be set in the environment: --max-value is NEEDLETAIL_MAX_VALUE. A flag beats
            the environment. Sizes are plain bytes or 64KiB, 8MiB, 1GiB; times are plain seconds or 500ms,
            1.5s, 2m.

            """
        for section in helpSections {
            text += "\n\(section.rawValue)\n"
            for option in rows(section) { text += helpLines(option) }
        }
        let later = rows(.later).map(\.spelling).joined(separator: ", ")
        text += "\nNot carried out by this version, and refused:\n"
        text += wrapped(later, indent: 2)
        return text
    }()

    /// The whole of docs/options.md.
    public static let markdown: String = {
        var text = """
            # Options

            This page is made from the option table in Sources/Options by `./dev docs`; a test fails
            where the two differ.

            ```
            needletail [LISTEN] [JOIN] [options]
            needletail import FILE [options]
            needletail export FILE [options]
            \(CheckCommand.usage)
            needletail --help | --version
            ```

            `--flag value` and `--flag=value` are the same; of a flag given twice the last counts; `--` ends
            the flags. A flag beats the environment, which beats the default. A variable set to nothing
            counts as not set. Sizes are plain bytes or carry a binary unit (`64KiB`, `8MiB`, `1GiB`, or
            `64k`, `8m`, `1g`); times are plain seconds or carry `ms`, `s`, `m`, `h` or `d` and may have
            decimals (`1.5s`).

            A value that cannot be used is answered with one line on stderr that names the option, the value
            and the range, and exit code 64. So is an option that this version does not carry out: it is
            refused, never ignored. The subcommand `migrate` is refused likewise; for `check` see
            [durability.md](durability.md).

            """
        for section in Option.Section.allCases {
            text += "\n## \(section.rawValue)\n\n"
            if section == .later {
                text += "| option | environment | meaning |\n|---|---|---|\n"
                for option in rows(section) {
                    text += "| \(usage(option)) | \(environment(option)) | \(cell(option.doc)) |\n"
                }
                continue
            }
            text +=
                "| option | environment | default | allowed | meaning |\n|---|---|---|---|---|\n"
            for option in rows(section) {
                text += "| \(usage(option)) | \(environment(option)) | \(defaultText(option)) "
                text += "| \(cell(option.meaning.expects)) | \(cell(option.doc)) |\n"
            }
        }
        return text
    }()

    private static func rows(_ section: Option.Section) -> [Option] {
        Option.table.filter { $0.section == section }
    }

    private static func helpLines(_ option: Option) -> String {
        var head = "  \(option.spelling)"
        if option.way == .flag, option.meaning.takesValue { head += " \(option.meaning.form)" }
        var doc = option.doc
        switch option.default {
        case .value(let text): doc += " Default: \(text)."
        case .automatic(let text): doc += " Default: \(text)."
        case .none: break
        }
        if option.environment.count > 1 { doc += " Also \(option.environment[1])." }
        if option.section == .expert { doc += " Takes \(option.meaning.expects)." }
        let body = wrapped(doc, indent: docColumn)
        guard head.count + 2 <= docColumn else { return head + "\n" + body }
        return head + body.dropFirst(head.count)
    }

    private static func wrapped(_ text: String, indent: Int) -> String {
        let margin = String(repeating: " ", count: indent)
        var lines = ""
        var line = margin
        for word in text.split(separator: " ") {
            if line.count > indent, line.count + 1 + word.count > helpColumns {
                lines += line + "\n"
                line = margin
            }
            line += (line.count > indent ? " " : "") + word
        }
        return lines + line + "\n"
    }

    private static func usage(_ option: Option) -> String {
        let takes = option.way == .flag && option.meaning.takesValue
        return code(takes ? "\(option.spelling) \(option.meaning.form)" : option.spelling)
    }

    private static func environment(_ option: Option) -> String {
        option.environment.map(code).joined(separator: ", ")
    }

    private static func defaultText(_ option: Option) -> String {
        switch option.default {
        case .value(let text): code(text)
        case .automatic(let text): cell(text)
        case .none: "none"
        }
    }

    private static func code(_ text: String) -> String { "`\(cell(text))`" }

    /// A bar would end the table's cell, inside code marks too.
    private static func cell(_ text: String) -> String {
        text.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
    }
}
