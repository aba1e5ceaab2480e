import Testing

@testable import Options

@Suite("The check subcommand") struct CheckCommandTests {
    private func invocation(_ words: [String]) throws -> Invocation {
        try Invocation.read(words, environment: { _ in nil })
    }

    private func complaint(_ words: [String]) -> String? {
        do throws(OptionsError) {
            _ = try Invocation.read(words, environment: { _ in nil })
            return nil
        } catch {
            return error.message
        }
    }

    @Test(arguments: [
        (["check", "/data"], "/data", nil),
        (["check", "/data", "--repair", "/new"], "/data", "/new"),
        (["check", "--repair=/new", "/data"], "/data", "/new"),
        (["check", "--", "--odd"], "--odd", nil),
    ])
    func `check takes a directory, and another one to repair into`(
        _ words: [String], _ directory: String, _ target: String?
    ) throws {
        guard case .check(let request) = try invocation(words) else {
            Issue.record("\(words) is no check")
            return
        }
        #expect(request == CheckRequest(directory: directory, repairInto: target))
    }

    @Test(arguments: [
        (["check"], "which directory?"),
        (["check", "a", "b"], "one word too many"),
        (["check", "a", "--repair"], "--repair needs a value"),
        (["check", "a", "--repair", "--x"], "--repair needs a value"),
        (["check", "a", "--repair="], "--repair needs a value"),
        (["check", "a", "--fix"], "no such flag"),
        (["check", "a", "--repair", "a"], "nothing is repaired in place"),
    ])
    func `a check asked for wrongly is answered with how to ask`(_ words: [String], _ part: String)
    {
        #expect(complaint(words)?.contains(part) == true, "\(complaint(words) ?? "accepted")")
    }

    @Test func `check has a help of its own, and the node's help names it`() throws {
        guard case .print(let own) = try invocation(["check", "--help"]),
            case .print(let node) = try invocation(["--help"])
        else {
            Issue.record("help is not printed")
            return
        }
        #expect(own.hasPrefix("Usage: needletail check DIR [--repair OUT]\n"))
        #expect(node.contains("needletail check DIR [--repair OUT]\n"))
    }
}
