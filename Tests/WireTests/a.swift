import Testing
@testable import Wire
@Suite struct PlaceholderWire { @Test func a() {} }
