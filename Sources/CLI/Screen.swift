/// What a line looks like on a terminal: bytes that draw it over what was drawn before.
///
/// A long line goes over several rows, and a line break in it begins one. Everything is drawn anew
/// at each key, in one write, so nothing depends on what the terminal did before.
struct Screen {
    private var rowOfCursor = 0

    /// Draws the prompt, the line and, behind it in grey, the hint.
    mutating func draw(
        prompt: String, line: [Character], cursor: Int, hint: String, columns: Int
    ) -> [UInt8] {
        var text = "\u{1B}[?25l\r"
        if rowOfCursor > 0 { text += "\u{1B}[\(rowOfCursor)A" }
        text += "\u{1B}[J"
        var pen = Pen(columns: max(2, columns))
        for character in prompt { pen.put(character, &text) }
        var atCursor = (pen.row, pen.column)
        for (place, character) in line.enumerated() {
            pen.put(character, &text)
            if place + 1 == cursor { atCursor = (pen.row, pen.column) }
        }
        if cursor == line.count, !hint.isEmpty {
            // A hint is no reason to take another row.
            let room = pen.columns - pen.column - 1
            var shown = ""
            var width = 0
            for character in hint {
                width += character.columns
                guard width <= room else { break }
                shown.append(character)
            }
            text += "\u{1B}[90m\(shown)\u{1B}[0m"
        }
        let up = pen.row - atCursor.0
        text += "\r"
        if up > 0 { text += "\u{1B}[\(up)A" }
        if atCursor.1 > 0 { text += "\u{1B}[\(atCursor.1)C" }
        text += "\u{1B}[?25h"
        rowOfCursor = atCursor.0
        return Array(text.utf8)
    }

    /// What is written next begins on a row of its own, below the line.
    mutating func leave(prompt: String, line: [Character], columns: Int) -> [UInt8] {
        let drawn = draw(prompt: prompt, line: line, cursor: line.count, hint: "", columns: columns)
        rowOfCursor = 0
        return drawn + Array("\r\n".utf8)
    }

    /// Everything gone; the line is drawn at the top.
    mutating func clear() -> [UInt8] {
        rowOfCursor = 0
        return Array("\u{1B}[H\u{1B}[2J".utf8)
    }

    /// Where the next character goes.
    private struct Pen {
        let columns: Int
        var row = 0
        var column = 0

        mutating func put(_ character: Character, _ text: inout String) {
            if character == "\n" {
                newRow(&text)
                return
            }
            let width = character.columns
            // A wide character does not stand over an edge.
            if column + width > columns { newRow(&text) }
            text.append(character)
            column += width
            // At the edge terminals differ in where they are: the row is ended for them.
            if column == columns { newRow(&text) }
        }

        private mutating func newRow(_ text: inout String) {
            text += "\r\n"
            row += 1
            column = 0
        }
    }
}

extension Character {
    /// How many columns terminals give it: none to marks that join what is before, two to the
    /// wide letters of East Asia and to emoji.
    var columns: Int {
        guard let first = unicodeScalars.first else { return 0 }
        if unicodeScalars.contains(where: { $0.value == 0xFE0F }) { return 2 }
        let value = first.value
        if value < 0x300 { return 1 }
        switch first.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        default: break
        }
        let wide: [ClosedRange<UInt32>] = [
            0x1100...0x115F, 0x231A...0x231B, 0x2329...0x232A, 0x23E9...0x23EC, 0x2E80...0x303E,
            0x3041...0xA4CF, 0xA960...0xA97C, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
            0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F1E6...0x1F202, 0x1F300...0x1F64F,
            0x1F680...0x1F6FF, 0x1F7E0...0x1F7EB, 0x1F900...0x1F9FF, 0x1FA70...0x1FAFF,
            0x20000...0x3FFFD,
        ]
        return wide.contains { $0.contains(value) } ? 2 : 1
    }
}
