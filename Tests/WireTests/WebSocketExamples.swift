import Testing

@testable import Wire

/// A client's frame, byte by byte as the test wants it.
struct ClientFrame {
    enum Form { case shortest, two, eight }

    var opcode: UInt8
    var payload: [UInt8] = []
    var isFinal = true
    var reserved: UInt8 = 0
    var key: [UInt8]? = [0x37, 0xFA, 0x21, 0x3D]
    var form = Form.shortest

    var bytes: [UInt8] {
        var bytes = [(isFinal ? 0x80 : 0) | reserved << 4 | opcode]
        let count = payload.count
        let bit: UInt8 = key == nil ? 0 : 0x80
        switch form {
        case .shortest where count < 126: bytes.append(bit | UInt8(count))
        case .shortest where count >= 65536, .eight:
            bytes.append(bit | 127)
            for shift in stride(from: 56, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: count >> shift))
            }
        default: bytes += [bit | 126, UInt8(truncatingIfNeeded: count >> 8), UInt8(count & 255)]
        }
        guard let key else { return bytes + payload }
        return bytes + key + payload.enumerated().map { $1 ^ key[$0 % 4] }
    }

    static func text(_ text: String, isFinal: Bool = true) -> ClientFrame {
        ClientFrame(opcode: 1, payload: Array(text.utf8), isFinal: isFinal)
    }
    static func raw(_ payload: [UInt8], isFinal: Bool = true) -> ClientFrame {
        ClientFrame(opcode: 1, payload: payload, isFinal: isFinal)
    }
    static func data(_ payload: [UInt8], isFinal: Bool = true) -> ClientFrame {
        ClientFrame(opcode: 2, payload: payload, isFinal: isFinal)
    }
    static func more(_ text: String, isFinal: Bool = true) -> ClientFrame {
        ClientFrame(opcode: 0, payload: Array(text.utf8), isFinal: isFinal)
    }
    static func more(_ payload: [UInt8], isFinal: Bool = true) -> ClientFrame {
        ClientFrame(opcode: 0, payload: payload, isFinal: isFinal)
    }
    static func ping(_ text: String = "") -> ClientFrame {
        ClientFrame(opcode: 9, payload: Array(text.utf8))
    }
    static func pong(_ text: String = "") -> ClientFrame {
        ClientFrame(opcode: 10, payload: Array(text.utf8))
    }
    static func close(_ code: Int? = nil, _ reason: [UInt8] = []) -> ClientFrame {
        let bytes = code.map { [UInt8($0 >> 8), UInt8($0 & 255)] } ?? []
        return ClientFrame(opcode: 8, payload: bytes + reason)
    }
}

/// What a client sends, and what the server hears of it in the end.
struct WebSocketExample: CustomTestStringConvertible, Sendable {
    var name: String
    var bytes: [UInt8]
    var heard: [String]

    init(_ name: String, _ frames: [ClientFrame], _ heard: [String]) {
        self.name = name
        bytes = frames.flatMap(\.bytes)
        self.heard = heard
    }

    init(_ name: String, bytes: [UInt8], _ heard: [String]) {
        self.name = name
        self.bytes = bytes
        self.heard = heard
    }

    var testDescription: String { name }

    /// Messages of the examples are at most this long.
    static let messageBytesMax = 70_000

    static var all: [WebSocketExample] {
        framing + pings + reserved + opcodes + fragments + texts + closes + bounds
    }

    // The sections follow those of the Autobahn test suite.

    private static func letters(_ count: Int) -> String { String(repeating: "*", count: count) }

    static let framing: [WebSocketExample] = {
        var examples: [WebSocketExample] = []
        for count in [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 125, 126, 127, 128, 65535, 65536] {
            let text = letters(count)
            examples.append(.init("1.1 a text of \(count)", [.text(text)], ["text \(text)"]))
            let data = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            examples.append(
                .init("1.2 \(count) bytes", [.data(data)], ["bytes \(data)"]))
        }
        var other = ClientFrame.text("Hello")
        other.key = [0, 0, 0, 0]
        examples.append(.init("1.3 a mask of zeros", [other], ["text Hello"]))
        other.key = [255, 0, 255, 1]
        examples.append(
            .init(
                "1.4 each frame with its own mask", [.text("a"), other], ["text a", "text Hello"])
        )
        examples.append(
            .init(
                "1.5 the masked Hello of RFC 6455 5.7",
                bytes: [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58],
                ["text Hello"]))
        return examples
    }()

    static let pings: [WebSocketExample] = [
        .init("2.1 an empty ping", [.ping()], ["ping "]),
        .init("2.2 a ping with a payload", [.ping("Hello")], ["ping Hello"]),
        .init("2.4 a ping of 125 bytes", [.ping(letters(125))], ["ping \(letters(125))"]),
        .init("2.5 a ping of 126 bytes", [.ping(letters(126))], ["violation longControl"]),
        .init("2.7 a pong nobody asked for", [.pong()], ["pong "]),
        .init(
            "2.9 a pong and a ping", [.pong("a"), .ping("b")], ["pong a", "ping b"]),
        .init(
            "2.10 ten pings", (0..<10).map { .ping("\($0)") }, (0..<10).map { "ping \($0)" }),
        .init(
            "2.12 a ping whose length is not in its shortest form",
            [ClientFrame(opcode: 9, payload: [1], form: .two)], ["violation longControl"]),
    ]

    static let reserved: [WebSocketExample] =
        (1...7).map {
            .init(
                "3.\($0) reserved bits \($0)",
                [.text("a"), ClientFrame(opcode: 1, payload: [65], reserved: $0), .ping()],
                ["text a", "violation reservedBit"])
        } + [
            .init(
                "3.8 a reserved bit of a ping", [ClientFrame(opcode: 9, reserved: 4)],
                ["violation reservedBit"]),
            .init(
                "3.9 a reserved bit of a continuation",
                [.text("a", isFinal: false), ClientFrame(opcode: 0, reserved: 1)],
                ["violation reservedBit"]),
        ]

    static let opcodes: [WebSocketExample] = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].flatMap { opcode in
        [
            .init(
                "4 opcode \(opcode)", [ClientFrame(opcode: opcode)], ["violation unknownOpcode"]),
            .init(
                "4 opcode \(opcode) within a message",
                [
                    .text("a", isFinal: false),
                    ClientFrame(opcode: opcode, payload: [1], isFinal: false),
                ],
                ["violation unknownOpcode"]),
        ]
    }

    static let fragments: [WebSocketExample] = [
        .init(
            "5.1 a fragmented ping",
            [ClientFrame(opcode: 9, payload: [65], isFinal: false), .more("b")],
            ["violation fragmentedControl"]),
        .init(
            "5.2 a fragmented pong",
            [ClientFrame(opcode: 10, payload: [65], isFinal: false)],
            ["violation fragmentedControl"]),
        .init(
            "5.3 two fragments", [.text("frag", isFinal: false), .more("ment")],
            ["text fragment"]),
        .init(
            "5.6 a ping between fragments",
            [.text("frag", isFinal: false), .ping("p"), .more("ment")],
            ["ping p", "text fragment"]),
        .init(
            "5.9 a continuation of nothing", [.more("a"), .text("b")],
            ["violation nothingToContinue"]),
        .init(
            "5.10 a continuation after the message",
            [.text("a"), .more("b")], ["text a", "violation nothingToContinue"]),
        .init(
            "5.12 an unfinished continuation of nothing", [.more("a", isFinal: false)],
            ["violation nothingToContinue"]),
        .init(
            "5.15 a message, then a continuation",
            [.text("a", isFinal: false), .more("b"), .more("c", isFinal: false)],
            ["text ab", "violation nothingToContinue"]),
        .init(
            "5.18 a text within a text", [.text("a", isFinal: false), .text("b")],
            ["violation messageInterrupted"]),
        .init(
            "5.18 bytes within a text", [.text("a", isFinal: false), .data([1])],
            ["violation messageInterrupted"]),
        .init(
            "5.19 five fragments and two pings",
            [
                .text("a", isFinal: false), .more("b", isFinal: false), .ping("1"),
                .more("c", isFinal: false), .more("d", isFinal: false), .ping("2"), .more("e"),
            ],
            ["ping 1", "ping 2", "text abcde"]),
        .init(
            "5.21 empty fragments",
            [.text("", isFinal: false), .more("", isFinal: false), .more("")], ["text "]),
        .init(
            "5.22 an empty fragment around something",
            [.data([], isFinal: false), .more([1, 2], isFinal: false), .more([])],
            ["bytes [1, 2]"]),
        .init(
            "5.23 a hundred fragments of a byte",
            [.text("", isFinal: false)] + (0..<99).map { _ in .more("x", isFinal: false) }
                + [.more("!")],
            ["text " + String(repeating: "x", count: 99) + "!"]),
    ]

    static let texts: [WebSocketExample] = {
        // The word κόσμε, a smile, and where each may be cut.
        let words = Array("Hello-µ@ßöäüàá-UTF-8!!κόσμε😀\u{10FFFF}".utf8)
        let whole = "text " + String(decoding: words, as: UTF8.self)
        var examples: [WebSocketExample] = [.init("6.2 text", [.raw(words)], [whole])]
        for cut in 0...words.count {
            let first = Array(words[..<cut])
            let second = Array(words[cut...])
            examples.append(
                .init(
                    "6.2 text in two frames, cut at \(cut)",
                    [.raw(first, isFinal: false), .more(second)], [whole]))
        }
        examples.append(
            .init(
                "6.2 a byte a frame",
                [.raw([], isFinal: false)] + words.map { .more([$0], isFinal: false) } + [
                    .more("")
                ],
                [whole]))
        for (name, bytes) in invalid {
            examples.append(
                .init("6.6 \(name)", [.raw(Array("a".utf8) + bytes)], ["violation badText"]))
            examples.append(
                .init(
                    "6.3 \(name), in its own frame, and the rest never comes",
                    [.text("a", isFinal: false), .more(bytes), .text("b")],
                    ["violation badText"]))
        }
        for (name, bytes) in hopeless {
            examples.append(
                .init(
                    "6.4 \(name) fails before its frame ends",
                    bytes: ClientFrame.raw(bytes + [0x20, 0x20, 0x20]).bytes.dropLast(3),
                    ["violation badText"]))
        }
        examples.append(
            .init("6.5 bytes need not be text", [.data([0xFF, 0xC0])], ["bytes [255, 192]"]))
        return examples
    }()

    /// Never the beginning of UTF-8.
    static let hopeless: [(String, [UInt8])] = [
        ("a continuation byte", [0x80]), ("the last continuation byte", [0xBF]),
        ("an overlong slash", [0xC0, 0xAF]), ("an overlong DEL", [0xC1, 0xBF]),
        ("an overlong form of three", [0xE0, 0x9F]), ("an overlong form of four", [0xF0, 0x8F]),
        ("a high surrogate", [0xED, 0xA0]), ("a low surrogate", [0xED, 0xBF]),
        ("beyond U+10FFFF", [0xF4, 0x90]), ("a lead byte of five", [0xF8]),
        ("a lead byte of six", [0xFC]), ("FE", [0xFE]), ("FF", [0xFF]),
        ("a lead byte, then ASCII", [0xC3, 0x28]),
        ("half of three, then ASCII", [0xE2, 0x82, 0x28]),
        ("most of four, then a lead byte", [0xF0, 0x9F, 0x98, 0xC3]),
    ]

    /// Those, and what is cut off at its end.
    static let invalid: [(String, [UInt8])] =
        hopeless + [
            ("a lead byte and no more", [0xC3]), ("two of three", [0xE2, 0x82]),
            ("three of four", [0xF0, 0x9F, 0x98]),
        ]

    static let closes: [WebSocketExample] = {
        var examples: [WebSocketExample] = [
            .init(
                "7.1.1 a message, then a close", [.text("a"), .close(1000)],
                ["text a", "close 1000 "]),
            .init(
                "7.1.4 a message after a close", [.close(1000), .text("b")],
                ["close 1000 ", "text b"]),
            .init(
                "7.1.5 a close within a message", [.text("a", isFinal: false), .close(1000)],
                ["close 1000 "]),
            .init("7.3.1 an empty close", [.close()], ["close none "]),
            .init(
                "7.3.2 a close of one byte", [ClientFrame(opcode: 8, payload: [3])],
                ["violation halfCode"]),
            .init(
                "7.3.4 a reason", [.close(1000, Array("bye, κόσμε".utf8))],
                ["close 1000 bye, κόσμε"]),
            .init(
                "7.3.5 a reason of 123 bytes", [.close(1000, Array(letters(123).utf8))],
                ["close 1000 \(letters(123))"]),
            .init(
                "7.3.6 a reason of 124 bytes", [.close(1000, Array(letters(124).utf8))],
                ["violation longControl"]),
            .init(
                "7.5.1 a reason that is not UTF-8", [.close(1000, [0xCE, 0xBA, 0xE1, 0xBD])],
                ["violation badReason"]),
            .init(
                "a fragmented close", [ClientFrame(opcode: 8, isFinal: false)],
                ["violation fragmentedControl"]),
        ]
        for code in [
            1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999,
            4000, 4999,
        ] {
            examples.append(.init("7.7 code \(code)", [.close(code)], ["close \(code) "]))
        }
        for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            examples.append(.init("7.9 code \(code)", [.close(code)], ["violation badCode"]))
        }
        return examples
    }()

    static let bounds: [WebSocketExample] = [
        .init(
            "a frame that is not masked", [ClientFrame(opcode: 1, payload: [65], key: nil)],
            ["violation unmasked"]),
        .init(
            "a ping that is not masked", [ClientFrame(opcode: 9, key: nil)],
            ["violation unmasked"]),
        .init(
            "125 in two bytes",
            [ClientFrame(opcode: 1, payload: Array(letters(125).utf8), form: .two)],
            ["violation lengthNotMinimal"]),
        .init(
            "126 in eight bytes",
            [ClientFrame(opcode: 2, payload: Array(letters(126).utf8), form: .eight)],
            ["violation lengthNotMinimal"]),
        .init(
            "65535 in eight bytes", bytes: [0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
            ["violation lengthNotMinimal"]),
        .init(
            "a length with its highest bit set, at its first byte", bytes: [0x82, 0xFF, 0x80],
            ["violation lengthTooLong"]),
        .init(
            "a length beyond any memory",
            bytes: [0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            ["violation tooLarge"]),
        .init(
            "a message one byte too long, before it comes",
            bytes: [0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0x11, 0x71], ["violation tooLarge"]),
        .init(
            "a message as long as it may be",
            [.data(Array(repeating: 0, count: 69_999), isFinal: false), .more([1])],
            ["bytes \(Array(repeating: UInt8(0), count: 69_999) + [1])"]),
        .init(
            "fragments that are too long together",
            [.data(Array(repeating: 0, count: 69_999), isFinal: false), .more([1, 2])],
            ["violation tooLarge"]),
        .init(
            "fragments whose lengths together overflow",
            bytes: ClientFrame.data([1], isFinal: false).bytes + [
                0x80, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
            ], ["violation tooLarge"]),
    ]
}
