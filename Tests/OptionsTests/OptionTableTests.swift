import Glibc
import Testing

@testable import Options

@Suite("Option table") struct OptionTableTests {
    @Test func `no two options share a name or a variable`() {
        let names = Option.table.map(\.spelling)
        #expect(Set(names).count == names.count)
        let variables = Option.table.flatMap(\.environment)
        #expect(Set(variables).count == variables.count)
    }

    @Test func `every default is within its own range`() {
        for option in Option.table {
            guard case .value(let text) = option.default else { continue }
            var configuration = Configuration()
            #expect(option.meaning.read(text, &configuration), "\(option.spelling) \(text)")
        }
    }

    @Test func `every option says what it is for in a sentence`() {
        for option in Option.table {
            #expect(option.doc.hasSuffix("."), "\(option.spelling)")
            #expect(!option.doc.contains("\n"), "\(option.spelling)")
        }
    }

    @Test func `secrets have no flag`() {
        for option in Option.table where option.meaning.isSecret {
            #expect(option.way == .environment, "\(option.spelling)")
        }
    }

    @Test func `help shows every option within 100 columns`() {
        for option in Option.table where option.section != .test {
            #expect(OptionsText.help.contains(option.spelling), "\(option.spelling)")
        }
        for line in OptionsText.help.split(separator: "\n") {
            #expect(line.count <= 100, "\(line)")
        }
    }

    /// `./dev docs` writes the page: it sets the variable and runs this test.
    @Test func `the options page is what the table says`() throws {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let path = "/\(root)/docs/options.md"
        if getenv("NEEDLETAIL_WRITE_DOCS") != nil {
            let page = Array(OptionsText.markdown.utf8)
            let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
            try #require(file >= 0, "cannot write \(path)")
            #expect(write(file, page, page.count) == page.count)
            close(file)
        }
        let kept = try #require(contents(of: path), "\(path) is missing: run ./dev docs")
        #expect(kept == OptionsText.markdown, "\(path) is stale: run ./dev docs")
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
