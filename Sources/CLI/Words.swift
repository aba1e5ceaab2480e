/// A line as people write it, taken apart into the words of a command.
///
/// The rules are redis-cli's: words stand between blanks; `"…"` may hold blanks and the escapes
/// `\n \r \t \b \a \\ \" \xFF`; `'…'` holds everything as it is but `\'`. A closing quote has to be
/// followed by a blank or the end.
enum Words {
    enum Split: Equatable {
        case words([[UInt8]])
        /// A quote is open at the end.
        case open
        /// Something other than a blank follows a closing quote.
        case wrong
    }

    static func split(_ line: [UInt8]) -> Split {
        var words: [[UInt8]] = []
        var at = 0
        while true {
            while at < line.count, isBlank(line[at]) { at += 1 }
            guard at < line.count else { return .words(words) }
            var word: [UInt8] = []
            scanning: while at < line.count, !isBlank(line[at]) {
                let quote = line[at]
                guard quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") else {
                    word.append(quote)
                    at += 1
                    continue
                }
                at += 1
                while true {
                    guard at < line.count else { return .open }
                    if line[at] == quote {
                        at += 1
                        guard at == line.count || isBlank(line[at]) else { return .wrong }
                        break scanning
                    }
                    at += take(line, at, in: quote, &word)
                }
            }
            words.append(word)
        }
    }

    /// Appends the character at `at`, which may be an escape; how many bytes it took.
    private static func take(
        _ line: [UInt8], _ at: Int, in quote: UInt8, _ word: inout [UInt8]
    ) -> Int {
        guard line[at] == UInt8(ascii: "\\"), at + 1 < line.count else {
            word.append(line[at])
            return 1
        }
        let next = line[at + 1]
        if quote == UInt8(ascii: "'") {
            word.append(next == quote ? quote : line[at])
            return next == quote ? 2 : 1
        }
        if next == UInt8(ascii: "x"), at + 3 < line.count, let high = digit(line[at + 2]),
            let low = digit(line[at + 3])
        {
            word.append(high << 4 | low)
            return 4
        }
        switch next {
        case UInt8(ascii: "n"): word.append(0x0A)
        case UInt8(ascii: "r"): word.append(0x0D)
        case UInt8(ascii: "t"): word.append(0x09)
        case UInt8(ascii: "b"): word.append(0x08)
        case UInt8(ascii: "a"): word.append(0x07)
        default: word.append(next)
        }
        return 2
    }

    static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (byte >= 0x09 && byte <= 0x0D) }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// The bytes in quotes, as redis-cli shows a string: what is not printable ASCII is escaped.
    static func quoted(_ bytes: [UInt8]) -> [UInt8] {
        var text: [UInt8] = [UInt8(ascii: "\"")]
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\\"), UInt8(ascii: "\""): text += [UInt8(ascii: "\\"), byte]
            case 0x0A: text += Array("\\n".utf8)
            case 0x0D: text += Array("\\r".utf8)
            case 0x09: text += Array("\\t".utf8)
            case 0x07: text += Array("\\a".utf8)
            case 0x08: text += Array("\\b".utf8)
            case 0x20...0x7E: text.append(byte)
            default:
                let digits = Array("0123456789abcdef".utf8)
                text += Array("\\x".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return text + [UInt8(ascii: "\"")]
    }

    /// The lines of a text that are commands of their own: a line break within quotes is part of
    /// a word.
    static func commands(in text: [UInt8]) -> [[UInt8]] {
        var commands: [[UInt8]] = []
        var pending: [UInt8] = []
        for line in text.split(separator: 0x0A, omittingEmptySubsequences: false) {
            if !pending.isEmpty { pending.append(0x0A) }
            pending += line
            if split(pending) == .open { continue }
            if !pending.allSatisfy(isBlank) { commands.append(pending) }
            pending = []
        }
        if !pending.isEmpty { commands.append(pending) }
        return commands
    }
}
