import Testing

@testable import CLI

@Suite("Words of a command line") struct WordsTests {
    private func split(_ text: String) -> Words.Split { Words.split(Array(text.utf8)) }

    private func words(_ words: String...) -> Words.Split {
        .words(words.map { Array($0.utf8) })
    }

    @Test func `blanks part words, quotes keep them together`() {
        #expect(split("") == words())
        #expect(split("  get   a\tb ") == words("get", "a", "b"))
        #expect(split("set a \"b c\"") == words("set", "a", "b c"))
        #expect(split("set a 'b \"c\" d'") == words("set", "a", "b \"c\" d"))
        #expect(split("a \"\" ''") == words("a", "", ""))
        #expect(split("ab\"c d\"") == words("abc d"))
        #expect(split("über \"日本 語\"") == words("über", "日本 語"))
    }

    @Test func `double quotes know escapes, single quotes only their own`() {
        #expect(split(#""a\n\r\t\b\a\\\"\q""#) == .words([[97, 10, 13, 9, 8, 7, 92, 34, 113]]))
        #expect(split(#""\x00\xfF\xg0""#) == .words([[0, 255, 120, 103, 48]]))
        #expect(split(#"'a\n\'b'"#) == words(#"a\n'b"#))
    }

    @Test func `what is not closed is open, what goes on behind a quote is wrong`() {
        for line in ["\"", "'", "a \"b", "a 'b\\'", "\"a\\\""] { #expect(split(line) == .open) }
        for line in ["\"a\"b", "'a'\"b\"", "a \"b\"c d"] { #expect(split(line) == .wrong) }
    }

    @Test func `a text is as many commands as it has lines outside of quotes`() {
        let text = "set a \"1\n2\"\n\n  \nget a\nset b '"
        let commands = Words.commands(in: Array(text.utf8)).map {
            String(decoding: $0, as: UTF8.self)
        }
        #expect(commands == ["set a \"1\n2\"", "get a", "set b '"])
    }

    @Test func `a quoted string reads back as what it was`() {
        let bytes = (0...255).map { UInt8($0) }
        #expect(Words.split(Words.quoted(bytes)) == .words([bytes]))
        #expect(
            String(decoding: Words.quoted([0, 34, 92, 10, 65, 255]), as: UTF8.self)
                == #""\x00\"\\\nA\xff""#)
    }
}
