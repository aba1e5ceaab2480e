import Wire

/// `help`, `help @group` and `help command`, from the command table.
enum HelpText {
    static func page(for words: [String], colors: Bool) -> String {
        let paint = Paint(isOn: colors)
        guard let first = words.first else { return general }
        if first.hasPrefix("@") {
            guard let group = CommandGroup(rawValue: String(first.dropFirst().lowercased())) else {
                let names = CommandGroup.allCases.map { "@" + $0.rawValue }.joined(separator: " ")
                return "\nNo such group. There are: \(names)\n\n"
            }
            let rows = CommandTable.rows.filter { $0.group == group }
            return "\n" + rows.map { short($0, paint) }.joined()
        }
        guard let row = CommandTable.row(named: first) else {
            return "\nNo such command: \(first). `help` says how to find one.\n\n"
        }
        if words.count > 1,
            let sub = row.subcommands.first(where: { $0.name == words[1].lowercased() })
        {
            return "\n" + long(sub, row.name + " " + sub.name, paint)
        }
        var text = "\n" + long(row, row.name, paint)
        for sub in row.subcommands { text += short(sub, paint, before: row.name + " ") }
        return text
    }

    private struct Paint {
        let isOn: Bool

        func bold(_ text: String) -> String { isOn ? "\u{1B}[1m\(text)\u{1B}[0m" : text }
        func grey(_ text: String) -> String { isOn ? "\u{1B}[90m\(text)\u{1B}[0m" : text }
        func label(_ text: String) -> String { isOn ? "\u{1B}[33m\(text)\u{1B}[0m" : text }
    }

    private static func head(_ row: CommandRow, _ name: String, _ paint: Paint) -> String {
        let syntax = row.syntax.isEmpty ? "" : " " + paint.grey(row.syntax)
        return "  " + paint.bold(name.uppercased()) + syntax + "\n"
    }

    private static func short(_ row: CommandRow, _ paint: Paint, before: String = "") -> String {
        head(row, before + row.name, paint) + "  " + paint.label("summary:") + " \(row.summary)\n"
            + "  " + paint.label("since:") + " \(row.since)\n\n"
    }

    private static func long(_ row: CommandRow, _ name: String, _ paint: Paint) -> String {
        head(row, name, paint) + "  " + paint.label("summary:") + " \(row.summary)\n"
            + "  " + paint.label("complexity:") + " \(row.complexity)\n"
            + "  " + paint.label("since:") + " \(row.since)\n"
            + "  " + paint.label("group:") + " \(row.group.rawValue)\n\n"
    }

    static let general = """

        help @<group>     the commands of a group: \
        \(CommandGroup.allCases.map(\.rawValue).joined(separator: ", "))
        help <command>    one command
        help <Tab>        what help knows

        watch table/key   live updates of a key, or with table/prefix* of many; Ctrl-C ends it
        connect host port another server
        <n> command       the command n times
        clear · quit

        Tab completes, Up and Ctrl-R find lines of the past, an open quote goes on in the next line.


        """
}
