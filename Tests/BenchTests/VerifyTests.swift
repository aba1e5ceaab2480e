import Testing

@testable import Bench

@Suite("The promises") struct VerifyTests {
    private func promise(_ name: String) throws -> Promise {
        try #require(Promise.table.first { $0.name == name })
    }

    @Test(arguments: Promise.table.indices)
    func `ours are harder than those of what is replaced`(_ index: Int) {
        let promise = Promise.table[index]
        if let promised = promise.promised { #expect(promise.ours < promised) }
    }

    @Test func `a promise is kept by what was measured whole, up to the figure itself`() throws {
        let get = try promise("get")
        func holds(_ measured: Double?, isWhole: Bool = true) -> Bool {
            Verdicts.Line(promise: get, measured: measured, remark: "", isWhole: isWhole).holds
        }
        #expect(holds(0.99) && holds(1) && !holds(1.01))
        // What could not be measured, or only by leaving something out, is not kept.
        #expect(!holds(nil) && !holds(0.5, isWhole: false))
    }

    @Test func `one promise that is not kept decides, and the table and JSON say which`() throws {
        var verdicts = Verdicts()
        #expect(!verdicts.hold)
        let memory = try promise("memory")
        let get = try promise("get")
        verdicts.lines = [
            Verdicts.Line(promise: memory, measured: 54.9e6, remark: "", isWhole: true)
        ]
        #expect(verdicts.hold)
        verdicts.lines.append(
            Verdicts.Line(promise: get, measured: 1.5, remark: "why", isWhole: true))
        #expect(!verdicts.hold)
        let lines = verdicts.table.split(separator: "\n")
        #expect(lines.contains { $0.hasPrefix("memory ") && $0.hasSuffix("54.9 MB  PASS") })
        #expect(lines.contains { $0.hasPrefix("get ") && $0.hasSuffix("1.50 ms  FAIL  why") })
        #expect(lines.last == "1 PASS, 1 FAIL")
        #expect(verdicts.json["holds"] == .bool(false))
        let json = try #require(JSONValue.parse(Array(verdicts.json.text.utf8)))
        guard case .array(let all)? = json["lines"] else {
            Issue.record("no lines")
            return
        }
        #expect(all.map { $0["holds"] } == [.bool(true), .bool(false)])
        #expect(all[0]["measured"]?.number == 54.9e6)
    }

    @Test func `a node that does not start is said to be the reason`() throws {
        guard
            case .run(let settings) = try Invocation.read(
                ["verify", "--needletail", "/bin/false", "--quiet"])
        else {
            Issue.record("not a run")
            return
        }
        do throws(RunError) {
            _ = try VerifyRun(settings: settings).verdicts()
            Issue.record("it ran")
        } catch {
            #expect(error.description.contains("ended before it was ready"))
        }
    }
}
