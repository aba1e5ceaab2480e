import Testing
@testable import Machine
@Suite struct PlaceholderMachine { @Test func a() {} }
