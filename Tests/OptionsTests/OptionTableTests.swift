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
}
