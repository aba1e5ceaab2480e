import Testing

@testable import Identity

private let hash = PasswordHash(
    encoded: Array(
        ("$scrypt$ln=15,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + String(repeating: "A", count: 43)).utf8
    ).span.bytes)!

extension Users {
    fileprivate mutating func begins(_ name: String, asker: UInt64 = 0) -> Creation? {
        guard case .derive(let creation) = login(Identity.UserName(name)!, asker: asker) else {
            return nil
        }
        return creation
    }

    fileprivate mutating func asksAgain() -> [UInt64] {
        var askers: [UInt64] = []
        while let asker = nextToAskAgain() { askers.append(asker) }
        return askers
    }
}

private func account(_ text: String, id: UInt64, isActive: Bool = true) -> Account {
    Account(
        id: identifier(id), name: name(text), password: hash, isActive: isActive, createdAtMs: 1000)
}

@Suite("Users") struct UsersTests {
    @Test func `the first to come makes the account, the next logs in`() {
        var users = Users(hasAdmin: false)
        let creation = users.begins("alice")!
        let alice = account("alice", id: 7)
        #expect(
            users.derived(creation, hash, id: identifier(7), nowMs: 1000) == .store(alice))
        #expect(users.account(named: name("alice")) == nil)
        #expect(users.stored(creation) == .created(alice))
        #expect(users.login(name("alice"), asker: 2) == .verify(alice))
        #expect(users.account(identifier(7)) == alice)
        #expect(users.name(of: identifier(7)) == name("alice"))
        #expect(users.name(of: identifier(8)) == nil)
        #expect(users.count == 1)
    }

    @Test func `of many who make the same name at once exactly one does, the others verify`() {
        var users = Users(hasAdmin: false)
        for round in 0..<UInt64(1000) {
            let text = "user\(round)"
            let creation = users.begins(text, asker: 1)!
            #expect(users.login(name(text), asker: 2) == .wait)
            #expect(users.login(name(text), asker: 3) == .wait)
            let made = account(text, id: round)
            #expect(
                users.derived(creation, hash, id: identifier(round), nowMs: 1000) == .store(made))
            #expect(users.login(name(text), asker: 4) == .wait)
            #expect(users.stored(creation) == .created(made))
            #expect(users.asksAgain() == [2, 3, 4])
            #expect(users.login(name(text), asker: 2) == .verify(made))
        }
        #expect(users.count == 1000)
        #expect(users.waitersUnderWay == 0)
        #expect(users.creationsUnderWay == 0)
    }

    @Test func `when a creation comes to nothing the longest waiting makes the account`() {
        var users = Users(hasAdmin: false)
        let first = users.begins("alice", asker: 1)!
        #expect(users.login(name("alice"), asker: 2) == .wait)
        #expect(users.login(name("alice"), asker: 3) == .wait)
        users.abandoned(first)
        #expect(users.asksAgain() == [2, 3])
        let second = users.begins("alice", asker: 2)!
        #expect(users.login(name("alice"), asker: 3) == .wait)
        #expect(users.derived(first, hash, id: identifier(1), nowMs: 1000) == .askAgain)
        #expect(users.stored(first) == .askAgain)
        users.abandoned(first)
        #expect(users.creationsUnderWay == 1)
        let alice = account("alice", id: 2)
        #expect(users.derived(second, hash, id: identifier(2), nowMs: 1000) == .store(alice))
        #expect(users.stored(second) == .created(alice))
        #expect(users.asksAgain() == [3])
    }

    @Test func `an account that another node made first wins over ours`() {
        for derivedFirst in [false, true] {
            var users = Users(hasAdmin: false)
            let creation = users.begins("alice", asker: 1)!
            #expect(users.login(name("alice"), asker: 2) == .wait)
            if derivedFirst {
                _ = users.derived(creation, hash, id: identifier(1), nowMs: 1000)
            }
            let theirs = account("alice", id: 99)
            users.adopt(theirs)
            #expect(users.asksAgain() == [2])
            if !derivedFirst {
                #expect(
                    users.derived(creation, hash, id: identifier(1), nowMs: 1000) == .askAgain)
            }
            #expect(users.stored(creation) == .askAgain)
            #expect(users.login(name("alice"), asker: 1) == .verify(theirs))
            #expect(users.account(identifier(1)) == nil)
        }
    }

    @Test func `stored before it was derived is no account`() {
        var users = Users(hasAdmin: false)
        let creation = users.begins("alice")!
        #expect(users.stored(creation) == .askAgain)
        #expect(users.count == 0)
    }

    @Test func `admin is compared with the operator's secret and can't be made`() {
        var with = Users(hasAdmin: true)
        #expect(with.login(.admin, asker: 1) == .compareWithAdminSecret)
        var without = Users(hasAdmin: false)
        #expect(without.login(.admin, asker: 1) == .refuse(.notAllowed))
        #expect(with.name(of: .admin) == .admin)
    }

    @Test func `nobody can become the user of unauthenticated RESP`() {
        var users = Users(hasAdmin: true)
        #expect(users.login(.default, asker: 1) == .refuse(.notAllowed))
    }

    @Test func `a user who was shut out is refused`() {
        var users = Users(hasAdmin: false)
        users.adopt(account("bob", id: 5))
        users.adopt(account("bob", id: 5, isActive: false))
        #expect(users.login(name("bob"), asker: 1) == .refuse(.notAllowed))
        #expect(users.count == 1)
    }

    @Test func `an account replaced under its name leaves no trace of the old identifier`() {
        var users = Users(hasAdmin: false)
        users.adopt(account("bob", id: 5))
        users.adopt(account("bob", id: 6))
        #expect(users.account(identifier(5)) == nil)
        #expect(users.account(identifier(6))?.name == name("bob"))
    }

    @Test func `accounts under way count against the bound, and those there still log in`() {
        var users = Users(hasAdmin: false, accountsMax: 2)
        users.adopt(account("a", id: 1))
        let creation = users.begins("b")!
        #expect(users.login(name("c"), asker: 3) == .refuse(.full))
        #expect(users.login(name("a"), asker: 3) == .verify(account("a", id: 1)))
        users.abandoned(creation)
        #expect((users.begins("c") != nil) == true)
    }

    @Test func `creations and waiters are bounded`() {
        var users = Users(hasAdmin: false)
        for number in 0..<Users.creationsMax {
            #expect((users.begins("u\(number)") != nil) == true)
        }
        #expect(users.login(name("more"), asker: 1) == .refuse(.busy))
        for asker in 0..<Users.waitersMax {
            #expect(users.login(name("u0"), asker: UInt64(asker)) == .wait)
        }
        #expect(users.login(name("u1"), asker: 1) == .refuse(.busy))
        users.forget(asker: 17, waitingFor: name("u0"))
        #expect(users.login(name("u1"), asker: 1) == .wait)
    }

    @Test func `who went away isn't asked again`() {
        var users = Users(hasAdmin: false)
        let creation = users.begins("alice", asker: 1)!
        for asker in 2...4 { #expect(users.login(name("alice"), asker: UInt64(asker)) == .wait) }
        users.forget(asker: 3, waitingFor: name("alice"))
        users.abandoned(creation)
        users.forget(asker: 4, waitingFor: name("alice"))
        #expect(users.asksAgain() == [2])
    }

    @Test(arguments: [
        "a", "Alice", "0", "user_1", "a.b-c_d", String(repeating: "x", count: 64),
    ])
    func `takes a name`(_ text: String) {
        #expect(UserName(text)?.text == text)
    }

    @Test(arguments: [
        "", ".", "..", ".hidden", "_x", "-x", "a b", "a/b", "a@b", "é", "a\0", "a\n", "a:b",
        String(repeating: "x", count: 65),
    ])
    func `refuses a name`(_ text: String) {
        #expect(UserName(text) == nil)
    }

    @Test func `names differ by case, by length and by their last letter`() {
        let names = ["alice", "Alice", "alic", "alicf", "alice0"].map(name)
        #expect(Set(names).count == names.count)
    }
}

@Suite("An account in the store") struct AccountRecordTests {
    private let alice = Account(
        id: Identifier(high: 3, low: 9), name: UserName("alice")!,
        password: PasswordHash(
            encoded: Array(
                "$scrypt$ln=15,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
                    .utf8
            ).span.bytes)!, createdAtMs: 1_795_236_826_592)

    @Test func `it is read as it was written`() {
        var account = alice
        #expect(Account(encoded: account.encoded.span.bytes) == account)
        account.isActive = false
        #expect(Account(encoded: account.encoded.span.bytes) == account)
    }

    @Test func `one that is cut short, or says more than is known, is none`() {
        let text = alice.encoded
        for count in 0..<text.count {
            #expect(Account(encoded: Array(text[..<count]).span.bytes) == nil)
        }
        let more = Array(text.dropLast()) + Array(#","locked":"yes"}"#.utf8)
        #expect(Account(encoded: more.span.bytes) == nil)
    }
}
