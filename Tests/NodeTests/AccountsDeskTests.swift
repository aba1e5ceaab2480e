import Glibc
import Identity
import Machine
import Synchronization
import Testing

@testable import Node

let accountKey = Array("a signing key of thirty-two bytes, at least".utf8)
let noonMs: UInt64 = 1_800_000_000_000
let home = IPAddress("192.0.2.1")!
let abroad = IPAddress("198.51.100.7")!

/// A desk, the eventfd that its shard would wait at, and a clock that stands still.
struct Front: ~Copyable {
    var desk: AccountDesk
    let waker: Waker
    var elapsedS: UInt64 = 1000
    /// Whether the store takes what it is given.
    var takes = true

    /// 2^10 rounds: a millisecond or two. What takes part is the same.
    static let cheap = PasswordHash.Cost(logN: 10, r: 8, p: 1)!

    init(cost: PasswordHash.Cost = cheap, _ change: (inout AccountSettings) -> Void = { _ in }) {
        var settings = AccountSettings(jwtKey: accountKey)
        settings.cost = cost
        change(&settings)
        waker = try! Waker.make()
        desk = AccountDesk(settings, waker: waker)
    }

    mutating func login(
        _ name: String, _ secret: String, from address: IPAddress = home, asker: UInt64 = 1
    ) -> LoginAnswer? {
        let name = Array(name.utf8)
        let secret = Array(secret.utf8)
        return name.withUnsafeBytes { name in
            secret.withUnsafeBytes { secret in
                desk.login(
                    name: name, secret: secret, from: address, asker: asker, nowMs: noonMs,
                    monotonicNs: elapsedS * 1_000_000_000)
            }
        }
    }

    /// The answers to `count` askers, waited for as a shard does: by its eventfd.
    mutating func answers(_ count: Int) -> [UInt64: LoginAnswer] {
        var answers: [UInt64: LoginAnswer] = [:]
        while true {
            store(into: &answers)
            while let (asker, answer) = desk.nextAnswer(
                nowMs: noonMs, monotonicNs: elapsedS * 1_000_000_000)
            {
                #expect(answers[asker] == nil, "asker \(asker) was answered twice")
                answers[asker] = answer
            }
            store(into: &answers)
            if answers.count >= count { return answers }
            if desk.hasWork { continue }
            var wait = pollfd(fd: waker.descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&wait, 1, 20_000) == 1 else {
                Issue.record("no wake-up in 20 s; \(answers.count) of \(count) answers")
                return answers
            }
            var wakes: UInt64 = 0
            _ = read(waker.descriptor, &wakes, 8)
        }
    }

    /// Plays the store, which takes every account unless it is told otherwise.
    private mutating func store(into answers: inout [UInt64: LoginAnswer]) {
        while let (number, _) = desk.nextToStore() {
            if let (asker, answer) = desk.storeEnded(number, isStored: takes, nowMs: noonMs) {
                answers[asker] = answer
            }
        }
    }

    /// One login from start to end.
    mutating func ask(
        _ name: String, _ secret: String, from address: IPAddress = home
    ) -> LoginAnswer? {
        login(name, secret, from: address) ?? answers(1)[1]
    }
}

private func end(_ front: consuming Front) { _ = consume front }

extension LoginAnswer {
    var token: [UInt8]? {
        switch self {
        case .created(let token), .accepted(let token): token
        default: nil
        }
    }

    var isCreated: Bool { if case .created = self { true } else { false } }
    var isAccepted: Bool { if case .accepted = self { true } else { false } }
}

@Suite("The desk for accounts") struct AccountDeskTests {
    @Test func `the first login makes the user, later ones need the same secret`() {
        var front = Front()
        #expect(front.ask("alice", "horse")?.isCreated == true)
        #expect(front.ask("alice", "horse")?.isAccepted == true)
        #expect(front.ask("alice", "Horse") == .wrongSecret)
        #expect(front.ask("alice", "horse")?.isAccepted == true)
        #expect(front.desk.accountCount == 1)
        #expect(front.desk.loginsUnderWay == 0)
    }

    @Test func `of eight who ask for a new name at once exactly one makes it`() {
        for round in 0..<20 {
            var front = Front()
            for asker in 0..<UInt64(8) {
                #expect(front.login("user\(round)", "same", asker: asker) == nil)
            }
            let answers = front.answers(8).values
            #expect(answers.filter(\.isCreated).count == 1)
            #expect(answers.filter(\.isAccepted).count == 7)
            #expect(front.desk.accountCount == 1)
        }
    }

    /// `./dev soak` plays the ten thousand.
    @Test func `of two who race for each of many names exactly one makes it each time`() {
        let rounds = getenv("NEEDLETAIL_SOAK") == nil ? 300 : 10_000
        var front = Front { $0.accountsMax = rounds }
        var wins = [0, 0]
        for round in 0..<rounds {
            front.elapsedS += 1
            let first = UInt64(round % 2)
            for asker in [first, 1 - first] {
                #expect(front.login("user\(round)", "same", asker: asker) == nil)
            }
            let answers = front.answers(2)
            let made = answers.filter { $0.value.isCreated }
            guard made.count == 1, answers.values.count(where: \.isAccepted) == 1 else {
                Issue.record("user\(round): \(answers.mapValues(\.isCreated))")
                return
            }
            wins[Int(made.first!.key)] += 1
        }
        #expect(wins[0] + wins[1] == rounds)
        #expect(front.desk.accountCount == rounds)
    }

    @Test func `an account that the store refuses is none, and its name stays free`() {
        var front = Front()
        front.takes = false
        #expect(front.ask("alice", "horse") == .busy)
        #expect(front.desk.accountCount == 0)
        front.takes = true
        #expect(front.ask("alice", "other")?.isCreated == true)
        #expect(front.ask("alice", "horse") == .wrongSecret)
    }

    @Test func `whoever leaves while the account is stored has made it all the same`() {
        var front = Front()
        #expect(front.login("alice", "horse") == nil)
        while true {
            _ = front.desk.nextAnswer(nowMs: noonMs, monotonicNs: 1)
            if let (number, account) = front.desk.nextToStore() {
                #expect(Account(encoded: account.encoded.span.bytes) == account)
                front.desk.forget(asker: 1)
                #expect(front.desk.storeEnded(number, isStored: true, nowMs: noonMs) == nil)
                break
            }
            var wait = pollfd(fd: front.waker.descriptor, events: Int16(POLLIN), revents: 0)
            #expect(poll(&wait, 1, 20_000) == 1)
        }
        #expect(front.desk.accountCount == 1)
        #expect(front.ask("alice", "horse")?.isAccepted == true)
    }

    @Test func `whoever loses the race for a name with another secret is shut out`() {
        var front = Front()
        for asker in 0..<UInt64(8) {
            #expect(front.login("alice", "secret \(asker)", asker: asker) == nil)
        }
        let answers = front.answers(8)
        #expect(answers[0]?.isCreated == true)
        for asker in 1..<UInt64(8) { #expect(answers[asker] == .wrongSecret) }
        front.elapsedS += 3600
        #expect(front.ask("alice", "secret 0")?.isAccepted == true)
    }

    @Test(arguments: [
        "", ".alice", "-a", "al ice", "alice/", "älice", String(repeating: "a", count: 65),
    ])
    func `what is no name is refused`(_ name: String) {
        var front = Front()
        #expect(front.login(name, "horse") == .badName)
    }

    @Test func `a secret has 1 to 1024 bytes`() {
        var front = Front()
        #expect(front.login("alice", "") == .badSecret)
        #expect(front.login("alice", String(repeating: "s", count: 1025)) == .badSecret)
        #expect(front.ask("alice", String(repeating: "s", count: 1024))?.isCreated == true)
        #expect(front.ask("bob", "s")?.isCreated == true)
    }

    @Test func `without an admin password nobody is admin, and nobody is ever default`() {
        var front = Front()
        #expect(front.login("admin", "horse") == .notAllowed)
        #expect(front.login("default", "horse") == .notAllowed)
        #expect(front.desk.accountCount == 0)
    }

    @Test func `the admin logs in with the operator's password at once`() {
        var front = Front { $0.adminPassword = Array("correct horse".utf8) }
        #expect(front.login("admin", "correct horse")?.isAccepted == true)
        #expect(front.login("admin", "correct hors") == .wrongSecret)
        #expect(front.desk.accountCount == 0)
    }

    @Test func `who fails ten times waits as told, others and the user at home don't`() {
        var front = Front()
        #expect(front.ask("alice", "horse", from: home)?.isCreated == true)
        for _ in 0..<10 { #expect(front.ask("alice", "guess", from: abroad) == .wrongSecret) }
        #expect(front.login("alice", "horse", from: abroad) == .throttled(retryAfterS: 30))
        #expect(front.ask("alice", "horse", from: home)?.isAccepted == true)
        #expect(front.ask("bob", "battery", from: abroad)?.isCreated == true)
        front.elapsedS += 29
        #expect(front.login("alice", "guess", from: abroad) == .throttled(retryAfterS: 1))
        front.elapsedS += 1
        #expect(front.ask("alice", "horse", from: abroad)?.isAccepted == true)
    }

    @Test func `an address that tries many names runs dry itself`() {
        var front = Front { $0.adminPassword = Array("correct horse".utf8) }
        var refused = 0
        for guess in 0..<40 {
            let answer = front.login("default", "guess \(guess)", from: abroad)
            let other = front.login("admin", "guess \(guess)", from: abroad)
            for answer in [answer, other] {
                if case .throttled = answer { refused += 1 }
            }
        }
        // Ten for each name.
        #expect(refused == 60)
        #expect(front.login("admin", "correct horse", from: home) == .throttled(retryAfterS: 30))
    }

    @Test func `a forgotten asker is never answered and its number is free`() {
        var front = Front(cost: .standard)
        #expect(front.login("alice", "horse", asker: 1) == nil)
        front.desk.forget(asker: 1)
        #expect(front.desk.loginsUnderWay == 0)
        #expect(front.login("bob", "battery", asker: 1) == nil)
        let answers = front.answers(1)
        #expect(answers.count == 1)
        #expect(answers[1]?.isCreated == true)
        // It was bob's answer: alice may be made or not, bob is.
        #expect(front.ask("bob", "battery")?.isAccepted == true)
        #expect(front.ask("bob", "horse") == .wrongSecret)
    }

    @Test func `whoever waited for a creation whose asker left is answered`() {
        var front = Front(cost: .standard)
        for asker in 0..<UInt64(4) {
            #expect(front.login("alice", "horse", asker: asker) == nil)
        }
        front.desk.forget(asker: 0)
        front.desk.forget(asker: 2)
        let answers = front.answers(2)
        #expect(Set(answers.keys) == [1, 3])
        #expect(answers.values.filter { $0.token != nil }.count == 2)
        #expect(answers.values.filter(\.isCreated).count <= 1)
        #expect(front.desk.accountCount == 1)
    }

    @Test func `a place in the queue that is given up isn't held against the user`() {
        var front = Front(cost: .standard) {
            $0.throttle = LoginThrottle.Policy(
                userBurst: 2, userIntervalS: 30, addressBurst: 30, addressIntervalS: 6)
        }
        #expect(front.login("alice", "horse", asker: 1) == nil)
        #expect(front.login("alice", "horse", asker: 2) == nil)
        #expect(front.login("alice", "horse", asker: 3) == .throttled(retryAfterS: 30))
        front.desk.forget(asker: 2)
        #expect(front.login("alice", "horse", asker: 3) == nil)
        #expect(front.answers(2).values.filter { $0.token != nil }.count == 2)
    }

    @Test func `a full queue says busy at once and costs nothing`() {
        var front = Front(cost: .standard) { $0.hashesQueuedMax = 1 }
        var busy: [UInt64] = []
        for asker in 0..<UInt64(16) {
            switch front.login("user\(asker)", "horse", asker: asker) {
            case nil: break
            case .busy: busy.append(asker)
            case let other: Issue.record("\(String(describing: other))")
            }
        }
        #expect(!busy.isEmpty)
        let answers = front.answers(16 - busy.count)
        #expect(answers.values.filter(\.isCreated).count == 16 - busy.count)
        #expect(front.desk.accountCount == 16 - busy.count)
        // The name is free again for whoever was turned away.
        if let asker = busy.first {
            #expect(front.ask("user\(asker)", "horse")?.isCreated == true)
        }
    }

    @Test func `a node with no room for more accounts says so, and knows its own`() {
        var front = Front { $0.accountsMax = 1 }
        #expect(front.ask("alice", "horse")?.isCreated == true)
        for _ in 0..<40 { #expect(front.login("bob", "battery") == .full) }
        #expect(front.ask("alice", "horse")?.isAccepted == true)
    }

    @Test func `the thread that hashes is started by the first hash`() {
        var front = Front { $0.adminPassword = Array("correct horse".utf8) }
        #expect(front.login("admin", "correct horse")?.isAccepted == true)
        #expect(front.desk.hasWorker == false)
        #expect(front.ask("alice", "horse")?.isCreated == true)
        #expect(front.desk.hasWorker == true)
    }

    @Test func `a desk ends with hashes queued and waits for one at most`() {
        let clock = ContinuousClock()
        var front = Front(cost: .standard)
        // How long one hash takes here and now.
        let one = clock.measure { _ = front.ask("alice", "horse") }
        for asker in 0..<UInt64(14) {
            #expect(front.login("user\(asker)", "battery", asker: asker) == nil)
            #expect(front.login("user\(asker)", "battery", asker: 100 + asker) == nil)
        }
        for asker in [UInt64(0), 3, 100, 105] { front.desk.forget(asker: asker) }
        #expect(front.desk.loginsUnderWay == 24)
        let start = clock.now
        end(front)
        #expect(clock.now - start < one * 7)
    }
}
