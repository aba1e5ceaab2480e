/// docs/commands.md, made from the command table.
public enum CommandsPage {
    public static let markdown: String = {
        var text = """
            # Commands

            This page is made from the command table in Sources/Wire/RESP/Commands by `./dev docs`; a test
            fails where the two differ. Where a command does not do what it does in Redis stands in
            [differences from Redis](differences-from-redis.md).

            """
        for group in CommandGroup.allCases {
            text += "\n## \(title(group))\n\n"
            text += "| command | what it does | cost | Redis |\n|---|---|---|---|\n"
            for row in CommandTable.rows where row.group == group {
                if row.subcommands.isEmpty {
                    text += line(row.name.uppercased(), row)
                }
                for sub in row.subcommands {
                    text += line("\(row.name) \(sub.name)".uppercased(), sub)
                }
            }
        }
        return text
    }()

    private static func line(_ name: String, _ row: CommandRow) -> String {
        let usage = row.syntax.isEmpty ? name : "\(name) \(row.syntax)"
        return "| `\(cell(usage))` | \(cell(row.summary)) | \(cell(row.complexity)) "
            + "| \(row.since) |\n"
    }

    private static func title(_ group: CommandGroup) -> String {
        switch group {
        case .string: "Strings"
        case .generic: "Keys"
        case .list: "Lists"
        case .pubsub: "Channels"
        case .transactions: "Transactions"
        case .connection: "The connection"
        case .server: "The server"
        case .cluster: "The cluster"
        }
    }

    /// A bar would end the table's cell, inside code marks too.
    private static func cell(_ text: String) -> String {
        text.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
    }
}
