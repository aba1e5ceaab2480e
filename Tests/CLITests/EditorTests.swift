import Testing

@testable import CLI

/// A line editor with a keyboard: what was typed, as a terminal sends it.
private struct Typist {
    var editor = LineEditor()
    var keys = KeyReader()
    var last: LineEditor.Action?

    init(history: [String] = []) { editor.begin(history: history) }

    /// `splitAt` hands the bytes over one by one.
    mutating func type(_ text: String, inPieces: Bool = false) {
        let bytes = Array(text.utf8)
        for piece in inPieces ? bytes.map({ [$0] }) : [bytes] {
            keys.feed(piece)
            while let key = keys.next() {
                last = editor.press(key) { text in
                    ["get", "getrange", "getset"].filter { $0.hasPrefix(text) && !text.isEmpty }
                }
            }
        }
    }
}

private let esc = "\u{1B}"
private let left = "\u{1B}[D"
private let up = "\u{1B}[A"
private let down = "\u{1B}[B"

@Suite("Line editor") struct EditorTests {
    struct Example: CustomTestStringConvertible {
        var typed: String
        var line: String
        var cursor: Int
        var history: [String] = []
        var testDescription: String { typed.debugDescription }

        init(_ typed: String, _ line: String, history: [String] = []) {
            self.typed = typed
            self.line = line.split(separator: "|", omittingEmptySubsequences: false).joined()
            cursor = Array(line).firstIndex(of: "|") ?? 0
            self.history = history
        }
    }

    /// The bar is the cursor.
    static let examples: [Example] = [
        Example("abc", "abc|"), Example("abc\(left)\(left)X", "aX|bc"),
        Example("abc\u{01}X\u{05}Y", "XabcY|"), Example("ab\u{02}\u{02}\u{06}X", "aX|b"),
        Example("abc\u{7F}\u{08}", "a|"), Example("abc\(left)\u{04}", "ab|"),
        Example("abc\u{01}\(esc)[3~", "|bc"), Example("\(esc)OHa\(esc)OFb", "ab|"),
        Example("get one two\u{17}", "get one |"), Example("a b\u{17}\u{17}\u{19}", "a b|"),
        Example("abc def\(esc)b\u{0B}", "abc |"), Example("abc def\u{01}\(esc)d", "| def"),
        Example("abc def\(esc)\u{7F}", "abc |"), Example("abc\u{15}x\u{19}", "xabc|"),
        Example("abc def\(esc)b\u{15}\u{05}\u{19}", "defabc |"),
        Example("abc\u{14}", "acb|"), Example("ab\(esc)[1;5D\(esc)[1;5C!", "ab!|"),
        Example("日本語\(left)\u{7F}", "日|語"), Example("e\u{301}x\u{7F}\u{7F}", "|"),
        Example("👩‍👩‍👧!\(left)\(left)a", "a|👩‍👩‍👧!"),
        Example("\(esc)[200~get a\r\nget b\(esc)[201~", "get a\nget b|"),
        Example("x\(esc)[200~a\tb\u{1B}c\u{07}\(esc)[201~y", "xa bcy|"),
        Example(up, "two|", history: ["one", "two"]),
        Example(up + up + up, "one|", history: ["one", "two"]),
        Example("new" + up + up + down + down, "new|", history: ["one", "two"]),
        Example(up + "x" + up + down, "two|", history: ["one", "two"]),
        Example("\u{12}on\u{05}", "one long|", history: ["one long", "two"]),
        Example("\u{12}get\u{12}\u{05}", "get a|", history: ["get a", "set b", "get c"]),
        Example("draft\u{12}on\u{07}", "draft|", history: ["one"]),
        Example("ge\t", "get|"), Example("ge\t\t", "getrange|"), Example("ge\t\t\t\t", "get|"),
        Example("ge\t\(esc)[Z", "getset|"), Example("ge\t a", "get a|"),
        Example("set a \"b\r", "set a \"b\n|"),
    ]

    @Test(arguments: examples)
    func `keys do what hands expect`(_ example: Example) {
        for inPieces in [false, true] {
            var typist = Typist(history: example.history)
            typist.type(example.typed, inPieces: inPieces)
            #expect(typist.editor.text == example.line)
            #expect(typist.editor.cursor == example.cursor)
        }
    }

    @Test func `a line is submitted, given up or ended`() {
        var typist = Typist()
        typist.type("get a\r")
        #expect(typist.last == .submit("get a"))
        typist = Typist()
        typist.type("get a\u{03}")
        #expect(typist.last == .interrupt)
        typist = Typist()
        typist.type("\u{04}")
        #expect(typist.last == .end)
        typist = Typist()
        typist.type("set a \"b\rc\"\r")
        #expect(typist.last == .submit("set a \"b\nc\""))
    }

    @Test func `a search that finds nothing says so and keeps the line`() {
        var typist = Typist(history: ["one", "two"])
        typist.type("\u{12}onx")
        #expect(typist.editor.search?.isFailing == true)
        #expect(typist.editor.text == "one")
        typist.type("\u{7F}")
        #expect(typist.editor.search?.isFailing == false)
    }

    @Test func `an escape alone is a key once nothing follows`() {
        var keys = KeyReader()
        keys.feed([0x1B])
        #expect(keys.next() == nil)
        #expect(keys.isPending)
        #expect(keys.settle() == .escape)
        #expect(!keys.isPending)
    }

    @Test func `bytes that are no text or no key of ours stop nothing`() {
        var keys = KeyReader()
        keys.feed([0xFF, 0xC3, 0x41, 0x1B, 0x5B, 0x39, 0x39, 0x7E, 0x42])
        #expect(keys.next() == .character("\u{FFFD}"))
        #expect(keys.next() == .character("\u{FFFD}"))
        #expect(keys.next() == .character("A"))
        #expect(keys.next() == .character("B"))
        #expect(keys.next() == nil)
    }
}

@Suite("Screen") struct ScreenTests {
    @Test func `a long line goes over rows, and the cursor is where it belongs`() {
        let grid = Grid(columns: 10, rows: 6)
        var screen = Screen()
        let line = Array("abcdefghijkl")
        grid.feed(screen.draw(prompt: "> ", line: line, cursor: 12, hint: "hint", columns: 10))
        #expect(grid.text == "> abcdefgh\nijklhint")
        #expect(grid.cursor == (1, 4))
        grid.feed(screen.draw(prompt: "> ", line: line, cursor: 3, hint: "", columns: 10))
        #expect(grid.text == "> abcdefgh\nijkl")
        #expect(grid.cursor == (0, 5))
        grid.feed(screen.draw(prompt: "> ", line: Array("a\nb"), cursor: 3, hint: "", columns: 10))
        #expect(grid.text == "> a\nb")
        grid.feed(screen.leave(prompt: "> ", line: Array("a\nb"), columns: 10))
        #expect(grid.cursor == (2, 0))
    }

    @Test func `wide letters take two columns and never stand over the edge`() {
        let grid = Grid(columns: 7, rows: 4)
        var screen = Screen()
        let line = Array("日本語e\u{301}")
        grid.feed(screen.draw(prompt: "> ", line: line, cursor: 2, hint: "", columns: 7))
        #expect(grid.text == "> 日本\n語e\u{301}")
        #expect(grid.cursor == (0, 6))
    }

    @Test func `a line that ends at the edge leaves the cursor on the next row`() {
        let grid = Grid(columns: 8, rows: 4)
        var screen = Screen()
        grid.feed(screen.draw(prompt: "> ", line: Array("abcdef"), cursor: 6, hint: "", columns: 8))
        #expect(grid.cursor == (1, 0))
        grid.feed(screen.draw(prompt: "> ", line: Array("abcdef"), cursor: 5, hint: "", columns: 8))
        #expect(grid.text == "> abcdef")
        #expect(grid.cursor == (0, 7))
    }
}
