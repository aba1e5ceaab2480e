import TestClient
import Testing

@Suite(.serialized) struct `Races for a key` {
    @Test(arguments: NodeShape.allCases)
    func `of two who create a key, one does`(_ shape: NodeShape) throws {
        try race(shape, headers: "If-None-Match: *\r\n", lost: 412, sameUser: true)
    }

    @Test(arguments: NodeShape.allCases)
    func `of two users who create a key, one does and owns it`(_ shape: NodeShape) throws {
        try race(shape, headers: "If-None-Match: *\r\n", lost: 412, orLost: 401, sameUser: false)
    }

    @Test(arguments: NodeShape.allCases)
    func `of two users who write a key, one owns it`(_ shape: NodeShape) throws {
        try race(shape, headers: "", lost: 401, sameUser: false)
    }

    /// Two connections write the same keys in the same order at the same time, some at once so
    /// that they meet.
    private func race(
        _ shape: NodeShape, headers: String, lost: Int, orLost: Int? = nil, sameUser: Bool
    ) throws {
        let node = try TableNode.shared(shape)
        let table = node.table("race")
        let (rounds, together) = (isSoak ? 500 : 50, 20)
        let barrier = Barrier(2)
        let statuses = try atOnce(2) { number in
            let caller = try number == 0 || sameUser ? node.asAlice() : node.asBob()
            var statuses: [Int] = []
            var failure: (any Error)?
            for round in 0..<rounds {
                barrier.wait()
                if failure != nil { continue }
                do {
                    try caller.client.send(
                        (0..<together).flatMap {
                            Client.request(
                                "PUT", "/\(table)/key/\(round)-\($0)",
                                caller.credentials + headers,
                                body: Array("{\"value\":\(number)}".utf8))
                        })
                    for _ in 0..<together { statuses.append(try caller.client.reply().status) }
                } catch {
                    failure = error
                }
            }
            if let failure { throw failure }
            return statuses
        }
        let reader = try node.asStranger()
        var wins = [0, 0]
        for index in 0..<rounds * together {
            let pair = [statuses[0][index], statuses[1][index]]
            guard let winner = pair.firstIndex(of: 201),
                pair[1 - winner] == lost || pair[1 - winner] == orLost
            else {
                Issue.record("key \(index): \(pair)")
                return
            }
            wins[winner] += 1
            if index % 10 == 0 {
                let reply = try reader.get(
                    "/\(table)/key/\(index / together)-\(index % together)")
                expectRecord(
                    reply, "\(winner)", version: 1,
                    owner: winner == 0 || sameUser ? "alice" : "bob")
            }
        }
        #expect(wins[0] + wins[1] == rounds * together)
    }
}
