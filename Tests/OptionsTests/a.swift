import Testing
@testable import Options
@Suite struct PlaceholderOptions { @Test func a() {} }
