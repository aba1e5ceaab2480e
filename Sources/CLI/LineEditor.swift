/// The line that is being written: keys in, what to do out. It draws nothing and reads nothing.
///
/// Positions count characters as people see them, so a letter with its accents or an emoji of
/// several scalars is one step.
struct LineEditor {
    enum Action: Equatable {
        /// The line may look different now.
        case redraw
        /// It is finished.
        case submit(String)
        /// It was given up (Ctrl-C).
        case interrupt
        /// There is no more to come (Ctrl-D on an empty line).
        case end
        case clearScreen
        case bell
    }

    private(set) var line: [Character] = []
    private(set) var cursor = 0
    /// The search for a line of the past, while there is one.
    private(set) var search: Search?

    private var history: [String]
    /// Which line of the past is shown; one beyond the last is the line that is being written.
    private var place: Int
    private var draft: [Character] = []
    private var killed: [Character] = []
    private var lastKilled = false
    private var completing: Completing?

    struct Search: Equatable {
        var query = ""
        var found: Int?
        var before: [Character]
        var isFailing = false
    }

    private struct Completing {
        var original: [Character]
        var candidates: [String]
        var shown: Int
    }

    /// What may stand in place of the text before the cursor.
    typealias Candidates = (String) -> [String]

    init(history: [String] = []) {
        self.history = history
        place = history.count
    }

    var text: String { String(line) }

    /// Begins an empty line.
    mutating func begin(history: [String]) {
        self.history = history
        place = history.count
        line = []
        cursor = 0
        draft = []
        search = nil
        completing = nil
        lastKilled = false
    }

    mutating func press(_ key: Key, completing candidates: Candidates) -> Action {
        if search != nil {
            if let action = pressInSearch(key) { return action }
        }
        if key == .tab || key == .backTab { return complete(candidates, isBack: key == .backTab) }
        if key == .escape, let tried = completing {
            replace(tried.original)
            completing = nil
            return .redraw
        }
        completing = nil
        let wasKilled = lastKilled
        lastKilled = false
        switch key {
        case .character(let character): insert([character])
        case .pasted(let text):
            // Other control characters would act on the terminal when they are shown.
            insert(text.map { $0 == "\t" ? " " : $0 }.filter { $0 == "\n" || !$0.isControl })
        case .enter: return enter()
        case .control(let letter): return pressControl(letter, wasKilled)
        case .meta(let letter): return pressMeta(letter, wasKilled)
        case .backspace:
            guard cursor > 0 else { return .bell }
            cursor -= 1
            line.remove(at: cursor)
        case .delete:
            guard cursor < line.count else { return .bell }
            line.remove(at: cursor)
        case .left: cursor = max(0, cursor - 1)
        case .right: cursor = min(line.count, cursor + 1)
        case .home: cursor = 0
        case .end: cursor = line.count
        case .wordLeft: cursor = wordStart
        case .wordRight: cursor = wordEnd
        case .up: return recall(place - 1)
        case .down: return recall(place + 1)
        case .tab, .backTab, .escape: break
        }
        return .redraw
    }

    private mutating func pressControl(_ letter: Character, _ wasKilled: Bool) -> Action {
        switch letter {
        case "a": cursor = 0
        case "b": cursor = max(0, cursor - 1)
        case "c": return .interrupt
        case "d":
            guard !line.isEmpty else { return .end }
            guard cursor < line.count else { return .bell }
            line.remove(at: cursor)
        case "e": cursor = line.count
        case "f": cursor = min(line.count, cursor + 1)
        case "k": kill(cursor..<line.count, wasKilled)
        case "l": return .clearScreen
        case "n": return recall(place + 1)
        case "p": return recall(place - 1)
        case "r": search = Search(before: line)
        case "t":
            guard cursor > 0, line.count > 1 else { return .bell }
            let second = min(cursor, line.count - 1)
            line.swapAt(second - 1, second)
            cursor = min(line.count, second + 1)
        case "u": kill(0..<cursor, wasKilled)
        case "w": kill(blankWordStart..<cursor, wasKilled)
        case "y": insert(killed)
        default: return .bell
        }
        return .redraw
    }

    private mutating func pressMeta(_ letter: Character, _ wasKilled: Bool) -> Action {
        switch letter {
        case "b": cursor = wordStart
        case "f": cursor = wordEnd
        case "d": kill(cursor..<wordEnd, wasKilled)
        case "\u{7F}": kill(wordStart..<cursor, wasKilled)
        default: return .bell
        }
        return .redraw
    }

    /// An open quote holds the line open: its rest follows on the next.
    private mutating func enter() -> Action {
        if Words.commands(in: Array(text.utf8)).contains(where: { Words.split($0) == .open }) {
            cursor = line.count
            insert(["\n"])
            return .redraw
        }
        cursor = line.count
        return .submit(text)
    }

    // MARK: Text

    private mutating func insert(_ characters: [Character]) {
        // Joined as text, so that an accent that follows its letter becomes one with it.
        let before = String(line[..<cursor]) + String(characters)
        let rest = line[cursor...]
        line = Array(before)
        cursor = line.count
        line += rest
    }

    private mutating func replace(_ characters: [Character]) {
        line = characters
        cursor = line.count
    }

    private mutating func kill(_ range: Range<Int>, _ wasKilled: Bool) {
        guard !range.isEmpty else {
            lastKilled = wasKilled
            return
        }
        // What is killed in one go comes back in one go.
        let piece = Array(line[range])
        if !wasKilled {
            killed = piece
        } else if range.lowerBound < cursor {
            killed = piece + killed
        } else {
            killed += piece
        }
        line.removeSubrange(range)
        cursor = range.lowerBound
        lastKilled = true
    }

    private var wordStart: Int {
        var at = cursor
        while at > 0, !line[at - 1].isWord { at -= 1 }
        while at > 0, line[at - 1].isWord { at -= 1 }
        return at
    }

    private var blankWordStart: Int {
        var at = cursor
        while at > 0, line[at - 1].isWhitespace { at -= 1 }
        while at > 0, !line[at - 1].isWhitespace { at -= 1 }
        return at
    }

    private var wordEnd: Int {
        var at = cursor
        while at < line.count, !line[at].isWord { at += 1 }
        while at < line.count, line[at].isWord { at += 1 }
        return at
    }

    // MARK: The past

    private mutating func recall(_ wanted: Int) -> Action {
        guard wanted >= 0, wanted <= history.count, wanted != place else { return .bell }
        if place == history.count { draft = line }
        place = wanted
        replace(wanted == history.count ? draft : Array(history[wanted]))
        return .redraw
    }

    /// Keys that are the search's own; nil ends it and the key is the line's.
    private mutating func pressInSearch(_ key: Key) -> Action? {
        guard var search else { return nil }
        switch key {
        case .character(let character):
            search.query.append(character)
            self.search = look(search, before: history.count)
        case .pasted(let text):
            search.query += text.prefix { $0 != "\n" }
            self.search = look(search, before: history.count)
        case .backspace:
            if !search.query.isEmpty { search.query.removeLast() }
            self.search = look(search, before: history.count)
        case .control("r"):
            let next = look(search, before: search.found ?? history.count)
            self.search = next
            return next.isFailing ? .bell : .redraw
        case .control("g"), .control("c"), .escape:
            replace(search.before)
            self.search = nil
        default:
            if let found = search.found { place = found }
            self.search = nil
            return nil
        }
        return .redraw
    }

    private mutating func look(_ search: Search, before limit: Int) -> Search {
        var search = search
        guard !search.query.isEmpty else {
            search.found = nil
            search.isFailing = false
            replace(search.before)
            return search
        }
        let found = history[..<limit].lastIndex { $0.contains(search.query) }
        search.isFailing = found == nil
        if let found {
            search.found = found
            replace(Array(history[found]))
        }
        return search
    }

    // MARK: Completion

    private mutating func complete(_ candidates: Candidates, isBack: Bool) -> Action {
        if var tried = completing {
            let count = tried.candidates.count
            tried.shown = (tried.shown + (isBack ? count - 1 : 1)) % count
            completing = tried
            replace(Array(tried.candidates[tried.shown]))
            return .redraw
        }
        guard cursor == line.count else { return .bell }
        let found = candidates(text)
        guard let first = found.first else { return .bell }
        if found.count > 1 {
            completing = Completing(original: line, candidates: found, shown: 0)
        }
        replace(Array(first))
        return .redraw
    }
}

extension Character {
    /// A part of a word, for moving by words.
    fileprivate var isWord: Bool { isLetter || isNumber || self == "_" }

    fileprivate var isControl: Bool {
        unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7F }
    }
}
