import Testing

@Suite("The tree") struct TreeTests {
    /// A file is one idea; 600 lines are comfortable, and past this it is two ideas.
    private static let linesMax = 900

    /// A folder with more files than this needs a page that says where to begin.
    private static let filesWithoutReadme = 7

    private static let sources = Tree.files(
        below: "Sources", endingIn: [".swift", ".c", ".h"])

    @Test func `no source file is longer than one idea`() {
        #expect(!TreeTests.sources.isEmpty)
        for path in TreeTests.sources {
            let count = Tree.lines(path).count
            #expect(count <= TreeTests.linesMax, "\(path) has \(count) lines")
        }
    }

    @Test func `a large folder opens with a README`() {
        for folder in Tree.folders(below: "Sources") {
            let names = Tree.names(in: folder)
            let sources = names.filter { $0.hasSuffix(".swift") }
            if sources.count > TreeTests.filesWithoutReadme {
                #expect(names.contains("README.md"), "\(folder) has \(sources.count) files")
            }
        }
    }

    /// What was left for later belongs in an issue, where somebody finds it.
    @Test func `nothing is left as a note to oneself`() {
        let marks = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]
        for path in TreeTests.sources + Tree.files(below: "Tests", endingIn: [".swift"]) {
            for (number, line) in Tree.lines(path).enumerated() {
                for mark in marks {
                    #expect(!line.contains(mark), "\(path):\(number + 1): \(mark)")
                }
            }
        }
    }

    /// A path of somebody's machine works nowhere else. A file with a NUL was built, not written.
    @Test func `no file names a path of one machine`() {
        let places = ["/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/Us" + "ers/", "/tmp/" + "nt"]
        for path in Tree.files() where !Tree.text(path).contains("\0") {
            for (number, line) in Tree.lines(path).enumerated() {
                for place in places {
                    #expect(!line.contains(place), "\(path):\(number + 1): \(place)")
                }
            }
        }
    }

    @Test func `decisions are numbered from 1 without a gap`() {
        let pages = Tree.names(in: "docs/decisions").filter { $0.hasSuffix(".md") }
        #expect(!pages.isEmpty)
        for (index, name) in pages.enumerated() {
            let number = String(index + 1)
            let expected = String(repeating: "0", count: 4 - number.count) + number + "-"
            #expect(name.hasPrefix(expected), "\(name) should begin with \(expected)")
        }
    }

    /// A decision is worth keeping for what it refused and for what would reopen it.
    @Test func `a decision says what was chosen, what was refused and what would change it`() {
        for name in Tree.names(in: "docs/decisions") where name.hasSuffix(".md") {
            let text = Tree.text("docs/decisions/\(name)").lowercased()
            for part in ["chosen", "refused", "change our mind"] {
                #expect(text.contains(part), "\(name) says nothing under \"\(part)\"")
            }
        }
    }

    /// Links that lead nowhere are the first thing a newcomer meets.
    @Test func `links between pages lead to files`() {
        for path in Tree.files(endingIn: [".md"]) {
            let folder = path.split(separator: "/").dropLast().joined(separator: "/")
            for link in Tree.text(path).matches(of: /\]\(([^)\s#]+)(#[^)]*)?\)/) {
                let target = String(link.output.1)
                if target.contains("://") || target.hasPrefix("mailto:") { continue }
                let full = folder.isEmpty ? target : "\(folder)/\(target)"
                let exists = Tree.exists(full)
                #expect(exists, "\(path): \(target)")
            }
        }
    }
}
