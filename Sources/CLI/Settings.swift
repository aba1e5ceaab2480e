/// What the command line asks for.
struct Settings: Equatable, Sendable {
    var host = "127.0.0.1"
    var port: UInt16 = 6660
    var database = 0
    var user: String?
    var password: String?
    /// 2 or 3.
    var protocolVersion = 2
    var form: ReplyText.Form?
    /// How often the command runs; negative: for ever.
    var times = 1
    var pauseMs = 0
    var lastWordFromInput = false
    var stopsAtError = false
    var words: [[UInt8]] = []
    /// A password on the command line can be read by every process of the machine.
    var showsPassword = false
    var warnsOfPassword = true

    enum Reading: Equatable {
        case run(Settings)
        case print(String)
        case refused(String)
    }

    static let version = "needletail-cli 0.1"

    static let help = """
        needletail-cli [options] [command [argument …]]

        Without a command: a prompt, or the commands on standard input, a line each.

          -h HOST            where the server is (127.0.0.1)
          -p PORT            its port (6660)
          -u URL             redis://[user:password@]host[:port][/database]
          -a PASSWORD        a password or an API key; better in NEEDLETAILCLI_AUTH or REDISCLI_AUTH
          --user NAME        the user the password belongs to
          --pass PASSWORD    the same as -a
          --askpass          asks for the password
          --no-auth-warning  does not warn of a password on the command line
          -n NUMBER          the database
          -2, -3             RESP2 (the default) or RESP3
          -r TIMES           the command so many times; -1 is for ever
          -i SECONDS         waits so long between them; 0.1 is allowed
          -x                 takes the last argument from standard input
          -e                 ends at the first command that fails
          --raw              replies for programs; the default when the output is no terminal
          --no-raw           replies for people, in any case
          --csv, --json      replies as CSV, as JSON
          --help, --version

        watch table/key [table/prefix* …] prints live updates, a line of JSON each.

        Exit status: 0; 1 when a command failed or there is no server; 64 for a wrong option.
        The history is kept in ~/.needletailcli_history, or where NEEDLETAILCLI_HISTFILE says.

        """

    static func read(
        _ arguments: [[UInt8]], environment: (String) -> String?
    ) -> Reading {
        var settings = Settings()
        settings.password = environment("NEEDLETAILCLI_AUTH") ?? environment("REDISCLI_AUTH")
        var rest = arguments[...]
        while let word = rest.first {
            let flag = String(decoding: word, as: UTF8.self)
            guard flag.hasPrefix("-"), flag.count > 1 else { break }
            rest.removeFirst()
            if flag == "--" { break }
            switch flag {
            case "--help": return .print(help)
            case "--version", "-v": return .print(version + "\n")
            case "--raw": settings.form = .raw
            case "--no-raw": settings.form = .standard
            case "--csv": settings.form = .csv
            case "--json": settings.form = .json
            case "--no-auth-warning": settings.warnsOfPassword = false
            case "--askpass": settings.password = nil; settings.asksPassword = true
            case "-2": settings.protocolVersion = 2
            case "-3": settings.protocolVersion = 3
            case "-x": settings.lastWordFromInput = true
            case "-e": settings.stopsAtError = true
            // Redirections are always followed.
            case "-c": break
            default:
                guard takesValue.contains(flag) else {
                    return .refused("\(flag): no such option; see needletail-cli --help")
                }
                guard let value = rest.popFirst() else {
                    return .refused("\(flag): needs a value; see needletail-cli --help")
                }
                if let refusal = settings.set(flag, String(decoding: value, as: UTF8.self)) {
                    return .refused(refusal)
                }
            }
        }
        settings.words = Array(rest)
        return .run(settings)
    }

    var asksPassword = false

    private static let takesValue: Set<String> = [
        "-h", "-p", "-u", "-a", "--user", "--pass", "-n", "-r", "-i",
    ]

    /// The refusal, if the value is none the option takes.
    private mutating func set(_ flag: String, _ value: String) -> String? {
        switch flag {
        case "-h": host = value
        case "-p":
            guard let number = UInt16(value), number > 0 else {
                return "-p: \(value) is no port from 1 to 65535"
            }
            port = number
        case "-u":
            guard readURL(value) else {
                return "-u: \(value) is not redis://[user:password@]host[:port][/database]"
            }
        case "-a", "--pass":
            password = value
            showsPassword = true
        case "--user": user = value
        case "-n":
            guard let number = Int(value), number >= 0 else {
                return "-n: \(value) is no number of a database"
            }
            database = number
        case "-r":
            guard let number = Int(value) else { return "-r: \(value) is no number" }
            times = number
        default:
            guard let seconds = Double(value), seconds >= 0, seconds < 1e6 else {
                return "-i: \(value) is no number of seconds"
            }
            pauseMs = Int(seconds * 1000)
        }
        return nil
    }

    private mutating func readURL(_ url: String) -> Bool {
        let scheme = ["redis://", "needletail://"].first { url.hasPrefix($0) }
        guard let scheme else { return false }
        var rest = url.dropFirst(scheme.count)
        if let at = rest.lastIndex(of: "@") {
            let who = rest[..<at]
            rest = rest[rest.index(after: at)...]
            if let colon = who.firstIndex(of: ":") {
                let name = unescaped(who[..<colon])
                user = name.isEmpty ? nil : name
                password = unescaped(who[who.index(after: colon)...])
            } else {
                password = unescaped(who)
            }
            showsPassword = true
        }
        if let slash = rest.firstIndex(of: "/") {
            let number = rest[rest.index(after: slash)...]
            rest = rest[..<slash]
            if !number.isEmpty {
                guard let number = Int(number), number >= 0 else { return false }
                database = number
            }
        }
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]") else { return false }
            host = String(rest[rest.index(after: rest.startIndex)..<end])
            rest = rest[rest.index(after: end)...]
        } else {
            let end = rest.lastIndex(of: ":") ?? rest.endIndex
            if end > rest.startIndex { host = String(rest[..<end]) }
            rest = rest[end...]
        }
        guard rest.hasPrefix(":") else { return rest.isEmpty }
        guard let number = UInt16(rest.dropFirst()), number > 0 else { return false }
        port = number
        return true
    }

    /// With `%40` and the like read back.
    private func unescaped(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
