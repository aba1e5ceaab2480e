import Testing
import Wire

@testable import CLI

@Suite("Replies as text") struct ReplyTextTests {
    private func bulk(_ text: String) -> RESPValue { .bulk(Array(text.utf8)) }

    private func text(_ value: RESPValue, _ form: ReplyText.Form) -> String {
        String(decoding: ReplyText.render(value, form), as: UTF8.self)
    }

    @Test func `people see types, quotes and rows`() {
        #expect(text(.integer(1), .standard) == "(integer) 1\n")
        #expect(text(bulk("a\u{01}\""), .standard) == "\"a\\x01\\\"\"\n")
        #expect(text(.null, .standard) == "(nil)\n")
        #expect(text(.simple(Array("OK".utf8)), .standard) == "OK\n")
        #expect(text(.error(Array("ERR no".utf8)), .standard) == "(error) ERR no\n")
        #expect(text(.boolean(true), .standard) == "(true)\n")
        #expect(text(.double(1.5, text: Array("1.5".utf8)), .standard) == "(double) 1.5\n")
        #expect(text(.verbatim(kind: Array("txt".utf8), [65]), .standard) == "A\n")
        #expect(text(.array([]), .standard) == "(empty array)\n")
        #expect(text(.set([]), .standard) == "(empty set)\n")
        #expect(text(.map([]), .standard) == "(empty hash)\n")
    }

    @Test func `nested replies are indented as redis-cli has it`() {
        let nested = RESPValue.array([
            bulk("a"), .array([.integer(1), .array([.null, bulk("b")])]),
        ])
        #expect(
            text(nested, .standard) == """
                1) "a"
                2) 1) (integer) 1
                   2) 1) (nil)
                      2) "b"

                """)
        let ten = RESPValue.array((1...10).map { .integer($0) })
        #expect(text(ten, .standard).hasPrefix(" 1) (integer) 1\n 2) "))
        let map = RESPValue.map([
            (bulk("one"), .set([.integer(1)])), (bulk("two"), .array([.integer(1), .integer(2)])),
        ])
        #expect(
            text(map, .standard) == """
                1# "one" => 1~ (integer) 1
                2# "two" => \n   1) (integer) 1
                   2) (integer) 2

                """)
    }

    @Test func `programs get values, CSV or JSON`() {
        let value = RESPValue.array([bulk("a,\""), .integer(2), .null, .boolean(false)])
        #expect(text(value, .raw) == "a,\"\n2\n\n(false)\n")
        #expect(text(value, .csv) == "\"a,\\\"\",2,NULL,false\n")
        #expect(text(value, .json) == "[\"a,\\\"\",2,null,false]\n")
        let map = RESPValue.map([(bulk("k"), .bulk([0xFF, 0x0A])), (.integer(1), .map([]))])
        #expect(text(map, .json) == #"{"k":"\\xff\\n","1":{}}"# + "\n")
    }
}

@Suite("Completion, hints, help") struct CompletionTests {
    @Test(arguments: [
        ("getr", ["getrange"]), ("GETR", ["GETRANGE"]), ("hel", ["hello", "help"]),
        ("", []), ("nonsense", []), ("help @st", ["help @string"]),
        ("client setn", ["client setname"]), ("set a b px", ["set a b px", "set a b pxat"]),
        ("set a b NX x", []), ("get a\nmse", ["get a\nmset", "get a\nmsetnx"]),
    ])
    func `Tab offers what may follow`(_ text: String, _ expected: [String]) {
        #expect(Completion.candidates(for: text) == expected)
    }

    @Test(arguments: [
        ("get", " key"), ("get ", "key"), ("get a", ""), ("get a b", ""),
        ("lrange l", " start stop"),
        ("lrange l 0 ", "stop"), ("del a b", " [key ...]"), ("expire k 10 ", "[NX|XX|GT|LT]"),
        ("expire k 10 nx", ""), ("scan 0 match a* ", "[COUNT count] [TYPE type]"),
        ("nonsense a", ""), ("set \"a", ""),
    ])
    func `a hint says what is still to come`(_ text: String, _ expected: String) {
        #expect(Completion.hint(for: text) == expected)
    }

    @Test func `help knows every group and command`() {
        for group in CommandGroup.allCases {
            let page = HelpText.page(for: ["@" + group.rawValue], colors: false)
            let row = CommandTable.rows.first { $0.group == group }
            if let row { #expect(page.contains("  \(row.name.uppercased())")) }
        }
        let page = HelpText.page(for: ["get"], colors: false)
        #expect(page.contains("  GET key\n  summary: ") && page.contains("  group: string\n"))
        #expect(HelpText.page(for: ["@nothing"], colors: false).contains("No such group"))
        #expect(HelpText.page(for: ["nothing"], colors: false).contains("No such command"))
        #expect(HelpText.page(for: [], colors: false).contains("help @<group>"))
    }
}

@Suite("Command line of needletail-cli") struct SettingsTests {
    private func read(_ words: String..., environment: [String: String] = [:]) -> Settings.Reading {
        Settings.read(words.map { Array($0.utf8) }) { environment[$0] }
    }

    private func settings(_ change: (inout Settings) -> Void) -> Settings.Reading {
        var settings = Settings()
        change(&settings)
        return .run(settings)
    }

    @Test func `options come before the command, whose words are its own`() {
        #expect(
            read("-h", "::1", "-p", "7000", "-n", "3", "-3", "--raw", "get", "-h")
                == settings {
                    ($0.host, $0.port, $0.database) = ("::1", 7000, 3)
                    ($0.protocolVersion, $0.form) = (3, .raw)
                    $0.words = [Array("get".utf8), Array("-h".utf8)]
                })
        #expect(read("-r", "-1", "-i", "0.25") == settings { ($0.times, $0.pauseMs) = (-1, 250) })
        #expect(
            read("set", "a", environment: ["NEEDLETAILCLI_AUTH": "s", "REDISCLI_AUTH": "t"])
                == settings {
                    $0.password = "s"
                    $0.words = [Array("set".utf8), [97]]
                })
        #expect(read(environment: ["REDISCLI_AUTH": "t"]) == settings { $0.password = "t" })
    }

    @Test func `a URL names user, password, host, port and database`() {
        #expect(
            read("-u", "redis://al%40ice:p%3Aw@[::1]:7000/2")
                == settings {
                    ($0.user, $0.password, $0.host) = ("al@ice", "p:w", "::1")
                    ($0.port, $0.database, $0.showsPassword) = (7000, 2, true)
                })
        #expect(read("-u", "redis://example") == settings { $0.host = "example" })
        #expect(
            read("-u", "redis://secret@example:1/")
                == settings {
                    ($0.password, $0.host, $0.port, $0.showsPassword) = (
                        "secret", "example", 1, true
                    )
                })
    }

    @Test(arguments: [
        (["-p", "0"], "no port"), (["-p"], "needs a value"), (["-n", "x"], "no number"),
        (["-u", "http://a"], "is not redis://"), (["-u", "rediss://a"], "is not redis://"),
        (["--wrong"], "no such option"), (["-i", "-1"], "no number of seconds"),
    ])
    func `what can't be meant is refused by name`(_ words: [String], _ why: String) {
        guard
            case .refused(let said) = Settings.read(
                words.map { Array($0.utf8) }, environment: { _ in nil })
        else {
            Issue.record("was not refused")
            return
        }
        #expect(said.contains(why) && said.hasPrefix(words[0]))
    }

    @Test func `passwords are not kept in the history`() {
        for line in [
            "AUTH secret", "hello 3 AUTH a b", "config set requirepass x", "acl setuser a >b",
        ] { #expect(History.isSecret(line)) }
        for line in ["get auth", "hello 3", "config get requirepass", "set a b"] {
            #expect(!History.isSecret(line))
        }
    }
}

@Suite("Server-sent events") struct EventReaderTests {
    @Test func `events are the same however they are split`() {
        let stream = Array(
            "retry: 50\r\n\r\n: beat\n\nid: 7\ndata: {\"a\":1}\n\nevent: reset\ndata:x\ndata: y\r\rid: 8\n\n"
                .utf8)
        var whole = EventReader()
        let events = whole.feed(stream)
        #expect(
            events == [
                EventReader.Event(data: "{\"a\":1}", id: "7"),
                EventReader.Event(name: "reset", data: "x\ny"),
            ])
        #expect(whole.retryMs == 50 && whole.lastID == "8")
        for place in 0...stream.count {
            var split = EventReader()
            let found = split.feed(Array(stream[..<place])) + split.feed(Array(stream[place...]))
            #expect(found == events)
        }
    }
}
