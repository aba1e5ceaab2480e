import Keyspace
import Machine
import Wire

/// CLIENT and its subcommands.
extension Shard {
    mutating func client(
        _ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>, _ words: RESPWords
    ) {
        let state = unsafe resp
        let name = unsafe words[1]
        guard let row = unsafe subcommand(.client, name) else {
            return unsafe unknownSubcommand(.client, name, into: &state.pointee.out)
        }
        guard row.takes(words.count) else {
            return unsafe wrongSubcommandArity(.client, name, into: &state.pointee.out)
        }
        switch row.name {
        case "id": unsafe state.pointee.out.integer(Int64(session.pointee.id))
        case "getname":
            if unsafe session.pointee.name.isEmpty {
                unsafe state.pointee.out.null()
            } else {
                unsafe session.pointee.name.withUnsafeBytes {
                    unsafe state.pointee.out.bulk($0)
                }
            }
        case "setname":
            guard unsafe Self.isName(words[2]) else {
                return unsafe state.pointee.out.error(Self.badName)
            }
            unsafe session.pointee.name = unsafe Array(words[2])
            unsafe state.pointee.out.ok()
        case "setinfo": unsafe setInfo(session, words, into: &state.pointee.out)
        case "getredir": unsafe state.pointee.out.integer(-1)
        case "trackinginfo":
            unsafe state.pointee.out.map(3)
            unsafe state.pointee.out.bulk("flags")
            unsafe state.pointee.out.set(1)
            unsafe state.pointee.out.bulk("off")
            unsafe state.pointee.out.bulk("redirect")
            unsafe state.pointee.out.integer(-1)
            unsafe state.pointee.out.bulk("prefixes")
            unsafe state.pointee.out.array(0)
        case "no-evict", "no-touch":
            let word = unsafe words[2]
            guard unsafe word.isOption("on") || word.isOption("off") else {
                return unsafe state.pointee.out.error(Self.syntaxError)
            }
            unsafe state.pointee.out.ok()
        case "reply":
            let word = unsafe words[2]
            if unsafe word.isOption("on") {
                unsafe session.pointee.replies = .on
                unsafe state.pointee.out.ok()
            } else if unsafe word.isOption("off") {
                unsafe session.pointee.replies = .off
            } else if unsafe word.isOption("skip") {
                if unsafe session.pointee.replies == .on {
                    unsafe session.pointee.replies = .skip
                }
            } else {
                unsafe state.pointee.out.error(Self.syntaxError)
            }
        case "info":
            let line = unsafe clientLine(index, session)
            unsafe state.pointee.out.verbatim("txt", line + "\n")
        case "list", "kill": unsafe aboutClients(session, words, into: &state.pointee.out)
        case "help": unsafe help(.client, into: &state.pointee.out)
        default: unsafe unknownSubcommand(.client, name, into: &state.pointee.out)
        }
    }

    private mutating func setInfo(
        _ session: UnsafeMutablePointer<RESPSession>, _ words: RESPWords,
        into out: inout RESPWriter
    ) {
        guard unsafe Self.isName(words[3]) else {
            let isName = unsafe words[2].isOption("lib-name")
            return out.error(
                isName
                    ? "ERR lib-name cannot contain spaces, newlines or special characters."
                    : "ERR lib-ver cannot contain spaces, newlines or special characters.")
        }
        if unsafe words[2].isOption("lib-name") {
            unsafe session.pointee.libName = unsafe Array(words[3])
        } else if unsafe words[2].isOption("lib-ver") {
            unsafe session.pointee.libVersion = unsafe Array(words[3])
        } else {
            out.begin(error: "ERR Unrecognized option '")
            unsafe out.addPrintable(words[2])
            out.add("'")
            return out.endLine()
        }
        out.ok()
    }

    mutating func clientLine(_ index: UInt32, _ session: UnsafeMutablePointer<RESPSession>)
        -> String
    {
        let age = unsafe (nowMs - session.pointee.createdMs) / 1000
        let idle = unsafe (nowMs - session.pointee.lastMs) / 1000
        let queued = unsafe session.pointee.queue.map { $0.entries.count } ?? -1
        let user =
            unsafe session.pointee.user.isEmpty
            ? "default" : String(decoding: session.pointee.user, as: UTF8.self)
        var line = "id=\(unsafe session.pointee.id) addr=\(unsafe session.pointee.address)"
        line += " laddr=\(unsafe session.pointee.local) fd=\(driver.fd(of: index))"
        line += " name=\(unsafe String(decoding: session.pointee.name, as: UTF8.self))"
        line += " age=\(age) idle=\(idle)"
        line +=
            unsafe session.pointee.isSubscribed ? " flags=P" : queued >= 0 ? " flags=x" : " flags=N"
        line += " db=\(unsafe session.pointee.context.database)"
        line += " sub=\(unsafe session.pointee.channels.count)"
        line += " psub=\(unsafe session.pointee.patterns.count) ssub=0 multi=\(queued)"
        line += " cmd=\(unsafe session.pointee.lastCommand.rawValue) user=\(user)"
        line += " resp=\(unsafe session.pointee.context.version)"
        line += " lib-name=\(unsafe String(decoding: session.pointee.libName, as: UTF8.self))"
        line += " lib-ver=\(unsafe String(decoding: session.pointee.libVersion, as: UTF8.self))"
        return line
    }

    // MARK: Subcommands

    mutating func subcommand(_ command: RESPCommand, _ name: UnsafeRawBufferPointer) -> CommandRow?
    {
        let asked = unsafe String(decoding: name, as: UTF8.self).lowercased()
        return CommandTable.row(command).subcommands.first { $0.name == asked }
    }

    mutating func unknownSubcommand(
        _ command: RESPCommand, _ name: UnsafeRawBufferPointer, into out: inout RESPWriter
    ) {
        out.begin(error: "ERR unknown subcommand '")
        unsafe out.addPrintable(
            UnsafeRawBufferPointer(rebasing: name[..<min(name.count, 128)]))
        out.add("'. Try ")
        out.add(command.rawValue.uppercased())
        out.add(" HELP.")
        out.endLine()
    }

    mutating func wrongSubcommandArity(
        _ command: RESPCommand, _ name: UnsafeRawBufferPointer, into out: inout RESPWriter
    ) {
        out.begin(error: "ERR wrong number of arguments for '")
        out.add(command.rawValue)
        out.add("|")
        out.add(unsafe String(decoding: name, as: UTF8.self).lowercased())
        out.add("' command")
        out.endLine()
    }

    /// `HELP`: a line for each subcommand and one for what it does.
    mutating func help(_ command: RESPCommand, into out: inout RESPWriter) {
        let row = CommandTable.row(command)
        let name = row.name.uppercased()
        out.array(1 + row.subcommands.count * 2)
        out.simple("<subcommand> [<arg> [value] [opt] ...]. Subcommands are:", of: name)
        for sub in row.subcommands {
            out.line(sub.name.uppercased() + (sub.syntax.isEmpty ? "" : " " + sub.syntax))
            out.line("    " + sub.summary)
        }
    }
}

extension RESPWriter {
    /// `+NAME text`
    mutating func simple(_ text: StaticString, of name: String) {
        add(byte: UInt8(ascii: "+"))
        add(name)
        add(" ")
        add(text)
        endLine()
    }

    mutating func line(_ text: String) {
        add(byte: UInt8(ascii: "+"))
        add(text)
        endLine()
    }
}
