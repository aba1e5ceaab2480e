import Foundation
import Options
import Testing
import Wire

@Suite("Generated pages") struct PageTests {
    /// `./dev docs` writes the pages: it sets the variable and runs this test.
    @Test(arguments: [
        ("docs/options.md", OptionsText.markdown), ("docs/commands.md", CommandsPage.markdown),
    ])
    func `a page is what its table in the code says`(_ path: String, _ page: String) throws {
        if ProcessInfo.processInfo.environment["NEEDLETAIL_WRITE_DOCS"] != nil {
            let file = Tree.root.appendingPathComponent(path)
            try page.write(to: file, atomically: true, encoding: .utf8)
        }
        #expect(Tree.text(path) == page, "\(path) is missing or stale: run ./dev docs")
    }
}
