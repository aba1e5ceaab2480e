import Glibc
import Identity
import Testing

@testable import Node

extension OwnerNumbers {
    /// A user whose identifier follows from the name.
    func number(_ name: String) -> UInt32? {
        if name == "admin" { return number(.admin, name) }
        var sum: UInt64 = 1469598103934665603
        for byte in name.utf8 { sum = (sum ^ UInt64(byte)) &* 1099511628211 }
        return number(Identifier(high: UInt64(name.utf8.count), low: sum), name)
    }

    func number(_ id: Identifier, _ name: String) -> UInt32? {
        Array(name.utf8).withUnsafeBytes { number(adding: id, name: $0) }
    }

    func text(_ number: UInt32) -> String { String(decoding: name(of: number), as: UTF8.self) }
}

@Suite("Numbers of owners") struct OwnerNumberTests {
    @Test func `a name keeps its number, and numbers begin after the built-in ones`() {
        let owners = OwnerNumbers.make()
        #expect(owners.number("alice") == 2)
        #expect(owners.number("bob") == 3)
        #expect(owners.number("alice") == 2)
        #expect(owners.number("Alice") == 4)
        #expect(owners.text(2) == "alice")
        #expect(owners.text(3) == "bob")
        #expect(owners.count == 3)
    }

    @Test func `the admin is the system and nobody has the empty name`() {
        let owners = OwnerNumbers.make()
        #expect(owners.number("admin") == 1)
        #expect(owners.text(1) == "admin")
        #expect(owners.text(0) == "")
        #expect(owners.count == 0)
    }

    @Test func `a name that is too long has no number`() {
        let owners = OwnerNumbers.make()
        #expect(owners.number(String(repeating: "a", count: 65)) == nil)
        let longest = String(repeating: "a", count: 64)
        #expect(owners.number(longest).map { owners.text($0) } == longest)
    }

    @Test func `two users of one name are two owners, whatever they are called`() {
        let owners = OwnerNumbers.make()
        let one = Identifier(high: 7, low: 1)
        let other = Identifier(high: 7, low: 2)
        #expect(owners.number(one, "alice") == 2)
        #expect(owners.number(other, "alice") == 3)
        #expect(owners.identifier(of: 2) == one)
        #expect(owners.identifier(of: 3) == other)
        #expect(owners.identifier(of: 1) == .admin)
        #expect(owners.identifier(of: 0) == OwnerNumbers.nobody)
    }

    @Test func `a user known by identifier alone gets the name from the first to tell it`() {
        let owners = OwnerNumbers.make()
        let id = Identifier(high: 1, low: 2)
        #expect(owners.number(id, "") == 2)
        #expect(owners.text(2) == "")
        #expect(owners.number(id, "alice") == 2)
        #expect(owners.text(2) == "alice")
        #expect(owners.number(id, "bob") == 2)
        #expect(owners.text(2) == "alice")
    }

    @Test func `a full registry adds nobody and still knows everybody`() {
        let owners = OwnerNumbers.make(namesMax: 3)
        #expect(["a", "b", "c"].map { owners.number($0) } == [2, 3, 4])
        #expect(owners.number("d") == nil)
        #expect(owners.number("b") == 3)
        #expect(owners.count == 3)
    }

    @Test func `fifty thousand names of every length keep their numbers`() {
        let owners = OwnerNumbers.make()
        let names = (0..<50_000).map { "\($0)" + String(repeating: "x", count: $0 % 59) }
        let numbers = names.map { owners.number($0)! }
        #expect(numbers == Array(2..<50_002))
        #expect(numbers.map { owners.text($0) } == names)
        #expect(names.map { owners.number($0)! } == numbers)
    }

    @Test func `two threads that meet the same names agree on them`() async {
        let owners = OwnerNumbers.make()
        let names = (0..<20_000).map { "user\($0)" }
        // Each asks in its own order and reads what it was told at once.
        async let forward = names.map { name in
            let number = owners.number(name)!
            return owners.text(number) == name ? number : 0
        }
        async let backward = names.reversed().map { name in
            let number = owners.number(name)!
            return owners.text(number) == name ? number : 0
        }
        let (one, other) = await (forward, Array(backward.reversed()))
        #expect(one == other)
        #expect(Set(one) == Set(2..<20_002))
        #expect(owners.count == names.count)
    }
}
