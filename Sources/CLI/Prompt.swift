import Glibc

/// The prompt: reads lines with the editor and hands them to the session, until it is told to end.
struct Prompt {
    let terminal: Terminal
    var session: Session
    var history: History
    private var editor = LineEditor()
    private var keys = KeyReader()
    private var screen = Screen()

    /// How long after an escape byte the rest of its sequence may take to come.
    private static let escapeMs: Int32 = 50

    init(terminal: Terminal, session: Session, history: History) {
        self.terminal = terminal
        self.session = session
        self.history = history
    }

    mutating func run() {
        Interrupt.listen()
        _ = session.connect()
        while let text = line() {
            terminal.enterWaiting()
            Interrupt.forget()
            let isOver = runCommands(Array(text.utf8))
            terminal.restore()
            if isOver { return }
        }
    }

    /// A text may be several lines, each a command. True when that was the last.
    private mutating func runCommands(_ text: [UInt8]) -> Bool {
        let commands = Words.commands(in: text)
        for command in commands {
            history.add(String(decoding: command, as: UTF8.self))
            switch Words.split(command) {
            case .open, .wrong: Program.tell("Invalid argument(s)")
            case .words(let words):
                // Of several, each is shown with what it answers.
                if commands.count > 1 {
                    Files.write(1, Array(session.prompt.utf8) + command + [10])
                }
                if session.run(words) == .quit { return true }
            }
        }
        return false
    }

    /// The next line; nil at the end.
    private mutating func line() -> String? {
        editor.begin(history: history.lines)
        screen = Screen()
        terminal.enterEditing()
        defer { terminal.leaveEditing() }
        draw()
        while true {
            // Several keys that came at once are drawn once.
            var isStale = false
            while let key = keys.next() ?? settled() {
                switch editor.press(key, completing: Completion.candidates) {
                case .redraw: isStale = true
                case .bell: Files.write(1, [7])
                case .clearScreen:
                    Files.write(1, screen.clear())
                    isStale = true
                case .submit(let text):
                    leave()
                    return text
                case .interrupt:
                    leave()
                    editor.begin(history: history.lines)
                    isStale = true
                case .end:
                    leave()
                    return nil
                }
            }
            if isStale { draw() }
            switch terminal.read(withinMs: keys.isPending ? Self.escapeMs : -1) {
            case .bytes(let bytes): keys.feed(bytes)
            case .nothing: isEscapeOver = keys.isPending
            case .ended: return nil
            }
        }
    }

    private var isEscapeOver = false

    private mutating func settled() -> Key? {
        guard isEscapeOver else { return nil }
        isEscapeOver = false
        return keys.settle()
    }

    private var shownPrompt: String {
        guard let search = editor.search else { return session.prompt }
        return "(\(search.isFailing ? "failing " : "")reverse-i-search)`\(search.query)': "
    }

    private mutating func draw() {
        let hint = editor.search == nil ? Completion.hint(for: editor.text) : ""
        Files.write(
            1,
            screen.draw(
                prompt: shownPrompt, line: editor.line, cursor: editor.cursor, hint: hint,
                columns: terminal.columns))
    }

    private mutating func leave() {
        Files.write(
            1,
            screen.leave(
                prompt: shownPrompt, line: editor.line, columns: terminal.columns))
    }
}
