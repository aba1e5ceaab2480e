import Machine
import Wire

/// COMMAND: the command table as clients ask for it.
extension Shard {
    mutating func commandCommand(_ words: RESPWords, into out: inout RESPWriter) {
        guard words.count > 1 else {
            out.array(CommandTable.rows.count)
            for row in CommandTable.rows { describe(row, parent: nil, into: &out) }
            return
        }
        let name = unsafe words[1]
        guard let row = unsafe subcommand(.command, name) else {
            return unsafe unknownSubcommand(.command, name, into: &out)
        }
        guard row.takes(words.count) else {
            return unsafe wrongSubcommandArity(.command, name, into: &out)
        }
        switch row.name {
        case "count": out.integer(CommandTable.rows.count)
        case "info": commandInfo(words, into: &out)
        case "docs": commandDocs(words, into: &out)
        case "list": commandList(words, into: &out)
        case "getkeys": commandKeys(words, into: &out)
        default: help(.command, into: &out)
        }
    }

    private mutating func named(_ word: UnsafeRawBufferPointer) -> (
        CommandRow, parent: CommandRow?
    )? {
        let parts = unsafe String(decoding: word, as: UTF8.self).split(
            separator: "|", omittingEmptySubsequences: false)
        guard parts.count <= 2, let row = CommandTable.row(named: String(parts[0])) else {
            return nil
        }
        guard parts.count == 2 else { return (row, nil) }
        let name = parts[1].lowercased()
        return row.subcommands.first { $0.name == name }.map { ($0, row) }
    }

    private mutating func commandInfo(_ words: RESPWords, into out: inout RESPWriter) {
        guard words.count > 2 else {
            out.array(CommandTable.rows.count)
            for row in CommandTable.rows { describe(row, parent: nil, into: &out) }
            return
        }
        out.array(words.count - 2)
        for place in 2..<words.count {
            if let (row, parent) = unsafe named(words[place]) {
                describe(row, parent: parent, into: &out)
            } else {
                out.nullArray()
            }
        }
    }

    /// Ten values a command, in Redis 7's order.
    private mutating func describe(
        _ row: CommandRow, parent: CommandRow?, into out: inout RESPWriter
    ) {
        out.array(10)
        out.bulk(parent.map { "\($0.name)|\(row.name)" } ?? row.name)
        out.integer(row.arity)
        let flags = CommandFlags.named.filter { row.flags.contains($0.flag) }
        out.set(flags.count)
        for flag in flags { out.simple(flag.name) }
        out.integer(row.keys.first)
        out.integer(row.keys.last)
        out.integer(row.keys.step)
        let categories = row.categories
        out.set(categories.count)
        for category in categories { out.line(category) }
        out.array(0)
        describeKeys(row, into: &out)
        out.array(row.subcommands.count)
        for sub in row.subcommands { describe(sub, parent: row, into: &out) }
    }

    private mutating func describeKeys(_ row: CommandRow, into out: inout RESPWriter) {
        guard row.keys.first > 0 else { return out.array(0) }
        out.array(1)
        out.map(3)
        out.bulk("flags")
        out.set(1)
        out.simple(row.flags.contains(.write) ? "RW" : "RO")
        out.bulk("begin_search")
        out.map(2)
        out.bulk("type")
        out.bulk("index")
        out.bulk("spec")
        out.map(1)
        out.bulk("index")
        out.integer(row.keys.first)
        out.bulk("find_keys")
        out.map(2)
        out.bulk("type")
        out.bulk("range")
        out.bulk("spec")
        out.map(3)
        out.bulk("lastkey")
        // Counted from the first.
        out.integer(row.keys.last < 0 ? row.keys.last : row.keys.last - row.keys.first)
        out.bulk("keystep")
        out.integer(row.keys.step)
        out.bulk("limit")
        out.integer(0)
    }

    // MARK: DOCS

    private mutating func commandDocs(_ words: RESPWords, into out: inout RESPWriter) {
        var rows: [(CommandRow, parent: CommandRow?)] = []
        if words.count == 2 {
            rows = CommandTable.rows.map { ($0, nil) }
        } else {
            for place in 2..<words.count {
                if let found = unsafe named(words[place]) { rows.append(found) }
            }
        }
        out.map(rows.count)
        for (row, parent) in rows { document(row, parent: parent, into: &out) }
    }

    private mutating func document(
        _ row: CommandRow, parent: CommandRow?, into out: inout RESPWriter
    ) {
        out.bulk(parent.map { "\($0.name)|\(row.name)" } ?? row.name)
        let arguments = CommandArgument.read(row.syntax)
        out.map(
            4 + (arguments.isEmpty ? 0 : 1) + (row.subcommands.isEmpty ? 0 : 1))
        out.bulk("summary")
        out.bulk(row.summary)
        out.bulk("since")
        out.bulk(row.since)
        out.bulk("group")
        out.bulk(row.group.rawValue)
        out.bulk("complexity")
        out.bulk(row.complexity)
        if !arguments.isEmpty {
            out.bulk("arguments")
            document(arguments, into: &out)
        }
        if !row.subcommands.isEmpty {
            out.bulk("subcommands")
            out.map(row.subcommands.count)
            for sub in row.subcommands { document(sub, parent: row, into: &out) }
        }
    }

    private mutating func document(_ arguments: [CommandArgument], into out: inout RESPWriter) {
        out.array(arguments.count)
        for argument in arguments {
            let flags =
                (argument.isOptional ? ["optional"] : [])
                + (argument.isMultiple ? ["multiple"] : [])
            out.map(
                2 + (argument.token == nil ? 0 : 1) + (flags.isEmpty ? 0 : 1)
                    + (argument.kind == .key ? 1 : 0) + (argument.parts.isEmpty ? 0 : 1))
            out.bulk("name")
            out.bulk(argument.name)
            out.bulk("type")
            out.bulk(argument.kind.rawValue)
            if argument.kind == .key {
                out.bulk("key_spec_index")
                out.integer(0)
            }
            if let token = argument.token {
                out.bulk("token")
                out.bulk(token)
            }
            if !flags.isEmpty {
                out.bulk("flags")
                out.set(flags.count)
                for flag in flags { out.line(flag) }
            }
            if !argument.parts.isEmpty {
                out.bulk("arguments")
                document(argument.parts, into: &out)
            }
        }
    }

    // MARK: LIST and GETKEYS

    private mutating func commandList(_ words: RESPWords, into out: inout RESPWriter) {
        var names = CommandTable.rows.map(\.name)
        if words.count > 2 {
            guard words.count == 5, unsafe words[2].isOption("filterby") else {
                return out.error(Self.syntaxError)
            }
            let asked = unsafe words[4]
            if unsafe words[3].isOption("pattern") {
                names = names.filter { name in
                    unsafe Array(name.utf8).withUnsafeBytes {
                        unsafe Glob.matches(asked, $0, ignoringCase: true)
                    }
                }
            } else if unsafe words[3].isOption("aclcat") {
                let category = unsafe "@" + String(decoding: asked, as: UTF8.self).lowercased()
                names = CommandTable.rows.filter { $0.categories.contains(category) }.map(\.name)
            } else if unsafe words[3].isOption("module") {
                names = []
            } else {
                return out.error(Self.syntaxError)
            }
        }
        out.array(names.count)
        for name in names { out.bulk(name) }
    }

    private mutating func commandKeys(_ words: RESPWords, into out: inout RESPWriter) {
        guard let row = unsafe CommandTable.row(named: String(decoding: words[2], as: UTF8.self))
        else { return out.error("ERR Invalid command specified") }
        let count = words.count - 2
        guard row.keys.first > 0 else {
            return out.error("ERR The command has no key arguments")
        }
        guard row.takes(count) else {
            return out.error("ERR Invalid number of arguments specified for command")
        }
        let places = Array(
            stride(from: row.keys.first, through: row.keys.end(count), by: row.keys.step))
        out.array(places.count)
        for place in places { unsafe out.bulk(words[2 + place]) }
    }
}
