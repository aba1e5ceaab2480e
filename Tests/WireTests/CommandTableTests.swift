import Glibc
import Testing

@testable import Wire

@Suite("Command table") struct CommandTableTests {
    @Test func `every command has one row and is found by its name in any case`() {
        let lookup = CommandLookup.make()
        for command in RESPCommand.allCases {
            let rows = CommandTable.rows.filter { $0.command == command }
            #expect(rows.count == 1, "\(command)")
            for name in [command.rawValue, command.rawValue.uppercased()] {
                let facts = Array(name.utf8).withUnsafeBytes { lookup.find($0) }
                #expect(facts?.command == command)
            }
        }
        for name in ["", "nothing", "gets", "ge", "averylongcommandname", "get\u{0}"] {
            #expect(Array(name.utf8).withUnsafeBytes { lookup.find($0) == nil }, "\(name)")
        }
    }

    @Test func `a syntax line becomes the tree that it means`() {
        let set = CommandArgument.read(CommandTable.row(.set).syntax)
        #expect(set.map(\.name) == ["key", "value", "condition", "get", "expiration"])
        #expect(set[2].kind == .oneOf && set[2].isOptional)
        #expect(set[4].parts.map(\.token) == ["EX", "PX", "EXAT", "PXAT", "KEEPTTL"])
        #expect(set[4].parts[0].kind == .integer && set[4].parts[2].kind == .unixTime)
        let del = CommandArgument.read(CommandTable.row(.del).syntax)
        #expect(del.count == 1 && del[0].isMultiple && del[0].kind == .key)
        let mset = CommandArgument.read(CommandTable.row(.mset).syntax)
        #expect(mset.count == 1 && mset[0].kind == .block && mset[0].isMultiple)
        #expect(mset[0].parts.map(\.name) == ["key", "value"])
        let lmove = CommandArgument.read(CommandTable.row(.lmove).syntax)
        #expect(lmove.count == 4 && lmove[2].kind == .oneOf)
    }

    /// `./dev docs` writes the page: it sets the variable and runs this test.
    @Test func `the commands page is what the table says`() throws {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let path = "/\(root)/docs/commands.md"
        if getenv("NEEDLETAIL_WRITE_DOCS") != nil {
            let page = Array(CommandsPage.markdown.utf8)
            let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
            try #require(file >= 0, "cannot write \(path)")
            #expect(write(file, page, page.count) == page.count)
            close(file)
        }
        let kept = try #require(contents(of: path), "\(path) is missing: run ./dev docs")
        #expect(kept == CommandsPage.markdown, "\(path) is stale: run ./dev docs")
    }

    private func contents(of path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 {
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
