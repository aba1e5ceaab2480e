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
}
