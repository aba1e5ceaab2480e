@testable import CLI

/// A terminal's screen, as far as this program draws on one.
final class Grid: @unchecked Sendable {
    let columns: Int
    let rowCount: Int
    private var rows: [[String]]
    private var row = 0
    private var column = 0
    private var pending: [UInt8] = []
    /// Everything that scrolled out at the top.
    private(set) var scrolled: [String] = []

    init(columns: Int, rows: Int) {
        self.columns = columns
        rowCount = rows
        self.rows = Array(repeating: [], count: rows)
    }

    var cursor: (Int, Int) { (row, column) }

    /// What stands there, without blanks at the end of a row and empty rows at the end.
    var text: String {
        var lines = rows.map { row in
            String(row.joined().reversed().drop { $0 == " " }.reversed())
        }
        while lines.last == "" { lines.removeLast() }
        return lines.joined(separator: "\n")
    }

    func feed(_ bytes: [UInt8]) {
        pending += bytes
        var text = String(validating: pending, as: UTF8.self)
        var rest: [UInt8] = []
        // A character may have come in part.
        while text == nil, !pending.isEmpty {
            rest.insert(pending.removeLast(), at: 0)
            text = String(validating: pending, as: UTF8.self)
        }
        pending = rest
        var characters = Array(text ?? "")[...]
        while let next = characters.popFirst() {
            switch next {
            case "\r": column = 0
            case "\n": lineFeed()
            case "\r\n":
                column = 0
                lineFeed()
            case "\u{07}": break
            case "\u{1B}": escape(&characters)
            default: put(next)
            }
        }
    }

    private func lineFeed() {
        row += 1
        guard row == rowCount else { return }
        row -= 1
        scrolled.append(rows.removeFirst().joined())
        rows.append([])
    }

    private func put(_ character: Character) {
        let width = character.columns
        if column + width > columns {
            column = 0
            lineFeed()
        }
        while rows[row].count < column + width { rows[row].append(" ") }
        rows[row][column] = String(character)
        if width == 2 { rows[row][column + 1] = "" }
        column += width
    }

    private func escape(_ characters: inout ArraySlice<Character>) {
        guard characters.popFirst() == "[" else { return }
        var numbers = ""
        while let next = characters.popFirst() {
            guard next.isLetter || next == "~" else {
                numbers.append(next)
                continue
            }
            let number = Int(numbers) ?? 1
            switch next {
            case "A": row = max(0, row - number)
            case "C": column = min(columns - 1, column + number)
            case "H": (row, column) = (0, 0)
            case "J":
                if numbers == "2" {
                    rows = Array(repeating: [], count: rowCount)
                } else {
                    rows[row] = Array(rows[row].prefix(column))
                    for below in row + 1..<max(row + 1, rowCount) { rows[below] = [] }
                }
            default: break
            }
            return
        }
    }
}
