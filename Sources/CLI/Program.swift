import Glibc

/// The program: one command, the commands of standard input, or a prompt.
public enum Program {
    private static let usageError: Int32 = 64

    /// Ends with the exit status.
    public static func main(_ arguments: [[UInt8]]) -> Int32 {
        let environment = { (name: String) -> String? in
            guard let value = unsafe getenv(name) else { return nil }
            let text = unsafe String(cString: value)
            return text.isEmpty ? nil : text
        }
        var settings: Settings
        switch Settings.read(arguments, environment: environment) {
        case .print(let text):
            Files.write(1, Array(text.utf8))
            return 0
        case .refused(let why):
            tell("needletail-cli: \(why)")
            return usageError
        case .run(let read): settings = read
        }
        // A pipe that nobody reads any more is an error of write's, not the end.
        signal(SIGPIPE, SIG_IGN)
        if settings.showsPassword, settings.warnsOfPassword {
            tell(
                "Warning: a password on the command line can be seen by others; "
                    + "better set NEEDLETAILCLI_AUTH")
        }
        let terminal = Terminal()
        if settings.asksPassword, let terminal { settings.password = askPassword(terminal) }
        let form = settings.form ?? (Terminal.isOutput ? .standard : .raw)
        if settings.lastWordFromInput { settings.words.append(Files.readAll(0)) }
        if !settings.words.isEmpty { return runOnce(settings, form) }
        guard let terminal else { return runInput(settings, form) }
        let path =
            environment("NEEDLETAILCLI_HISTFILE")
            ?? environment("HOME").map { $0 + "/.needletailcli_history" }
        var prompt = Prompt(
            terminal: terminal, session: Session(settings, form: form, isInteractive: true),
            history: History(path: path))
        prompt.run()
        return 0
    }

    static func tell(_ text: String) { Files.write(2, Array((text + "\n").utf8)) }

    private static func askPassword(_ terminal: Terminal) -> String {
        Files.write(2, Array("Please input password: ".utf8))
        terminal.enterSecret()
        defer { terminal.restore() }
        let line = readLine(strippingNewline: true) ?? ""
        tell("")
        return line
    }

    /// The command of the command line, as often as was asked.
    private static func runOnce(_ settings: Settings, _ form: ReplyText.Form) -> Int32 {
        var session = Session(settings, form: form, isInteractive: false)
        var status: Int32 = 0
        var turn = 0
        while settings.times < 0 || turn < settings.times {
            if turn > 0, settings.pauseMs > 0 { _ = Watch.pause(ms: settings.pauseMs) }
            if session.run(settings.words) == .failed {
                status = 1
                if settings.stopsAtError || !session.isConnected { break }
            }
            turn += 1
        }
        return status
    }

    /// A command a line. An empty line is none; a line that can't be read is an error, not the
    /// end.
    private static func runInput(_ settings: Settings, _ form: ReplyText.Form) -> Int32 {
        // Live updates have no end that the next line could wait for.
        var session = Session(settings, form: form, isInteractive: false, watches: false)
        var status: Int32 = 0
        var unread: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        var hasEnded = false
        while !hasEnded {
            let count = unsafe read(0, &piece, piece.count)
            if count < 0, errno == EINTR { continue }
            hasEnded = count <= 0
            if count > 0 { unread += piece[..<count] }
            var lines = unread.split(
                separator: 0x0A, omittingEmptySubsequences: false
            ).map { Array($0) }
            unread = hasEnded ? [] : lines.removeLast()
            for line in lines {
                switch Words.split(line) {
                case .words(let words) where words.isEmpty: continue
                case .words(let words):
                    guard session.run(words) == .failed else { continue }
                    guard session.isConnected else { return 1 }
                case .open, .wrong: tell("Invalid argument(s)")
                }
                status = 1
                if settings.stopsAtError { return 1 }
            }
        }
        return status
    }
}
