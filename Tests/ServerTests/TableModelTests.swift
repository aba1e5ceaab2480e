import TestClient
import Testing

@Suite(.serialized) struct `A table is a dictionary` {
    @Test(arguments: NodeShape.allCases)
    func `pipelines of two hundred over all shards are answered in order`(
        _ shape: NodeShape
    ) throws {
        for seed in 1...(isSoak ? 500 : 5) {
            try play(shape, seed: UInt64(seed), commands: 200, pipeline: 200, keys: 12) {
                $0.recordCommand(&$1)
            }
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `random commands have the answers a dictionary would give`(
        _ shape: NodeShape
    ) throws {
        let commands = isSoak ? 250_000 : 5000
        try play(shape, seed: 7, commands: commands, pipeline: 60, keys: 150) { $0.command(&$1) }
    }

    @Test(arguments: NodeShape.allCases)
    func `one command at a time has them too`(_ shape: NodeShape) throws {
        let commands = isSoak ? 100_000 : 1000
        try play(shape, seed: 11, commands: commands, pipeline: 1, keys: 40) { $0.command(&$1) }
    }

    @Test(arguments: NodeShape.allCases)
    func `what follows a write of many keys sees all of it`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        let keys = (0..<20).map { "k\($0)" }
        for round in 0..<20 {
            let members = keys.map { "\"\($0)\":\(round)" }.joined(separator: ",")
            let list = "[\(keys.map(JSON.quoted).joined(separator: ","))]"
            try alice.client.sendWhileHearing(
                Client.request(
                    "POST", "/\(table)/store", alice.credentials, body: Array("{\(members)}".utf8))
                    + keys.flatMap { Client.request("GET", "/\(table)/key/\($0)") }
                    + Client.request("POST", "/\(table)/keys", body: Array(list.utf8))
                    + Client.request("GET", "/\(table)/store"))
            expect(200, try alice.client.reply())
            for _ in keys { expectRecord(try alice.client.reply(), "\(round)") }
            for _ in 0..<2 {
                let records = try alice.client.reply().json
                for key in keys { #expect(records?[key]?["value"]?.int == round) }
            }
        }
    }

    private func play(
        _ shape: NodeShape, seed: UInt64, commands: Int, pipeline: Int, keys: Int,
        _ command: (inout TableModel, inout Dice) -> TableModel.Exchange
    ) throws {
        let node = try TableNode.shared(shape)
        var model = TableModel(
            table: node.table("model"),
            writers: [
                .init(name: "alice", token: node.alice), .init(name: "bob", token: node.bob),
            ],
            keys: keys)
        var dice = Dice(seed: seed)
        let client = try node.server.connect()
        var done = 0
        while done < commands {
            let count = pipeline == 200 ? 200 : 1 + dice.roll(pipeline)
            let exchanges = (0..<count).map { _ in command(&model, &dice) }
            try client.sendWhileHearing(exchanges.flatMap(\.bytes))
            for (index, exchange) in exchanges.enumerated() {
                let reply = try client.reply(toHead: exchange.isHead)
                if let fault = model.judge(exchange, reply) {
                    Issue.record("seed \(seed), command \(done + index): \(fault)")
                    return
                }
            }
            model.settle()
            done += count
        }
        #expect(done >= commands)
    }
}
