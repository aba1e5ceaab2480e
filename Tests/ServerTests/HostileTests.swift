import Glibc
import TestClient
import Testing

/// How the bytes of a row reach the server.
enum Delivery: CaseIterable, Sendable {
    case whole
    case byteByByte
}

@Suite(.serialized) struct `Hostile requests` {
    @Test func `the table holds two hundred and more rows, each named once`() {
        #expect(Hostile.all.count >= 200)
        let names = Hostile.all.map(\.name)
        let twice = Dictionary(grouping: names, by: { $0 }).filter { $0.value.count > 1 }.keys
        #expect(twice.isEmpty, "named twice: \(twice.sorted())")
    }

    @Test(arguments: IODriver.allCases, Delivery.allCases)
    func `each gets its verdict and leaves nothing behind`(
        _ io: IODriver, _ delivery: Delivery
    ) throws {
        let server = try Server.start(
            io: io,
            [
                "--test-routes", "--max-value", "65536", "--header-timeout", "5",
                "--idle-timeout", "10",
            ])
        #expect(server.answers)
        let descriptors = server.figures.descriptors
        for row in Hostile.all {
            for complaint in complaints(about: row, delivery, server) {
                Issue.record("\(row.name) [\(io), \(delivery)]: \(complaint)")
            }
            guard server.exitNow() == .stillRunning else {
                Issue.record(
                    "the server ended (\(server.exitNow())) at: \(row.name)\n\(server.log)")
                return
            }
        }
        #expect(server.answers)
        #expect(
            becomes(withinMs: 3000) { server.figures.descriptors <= descriptors },
            "descriptors went from \(descriptors) to \(server.figures.descriptors)")
    }

    @Test(arguments: IODriver.allCases)
    func `a refusal arrives even while the client is still sending`(_ io: IODriver) throws {
        let server = try Server.start(io: io, ["--test-routes", "--max-value", "65536"])
        for _ in 0..<20 {
            let client = try server.connect()
            try client.send(
                "POST /_test/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n")
            do throws(ClientError) {
                for _ in 0..<10 { try client.send([UInt8](repeating: 120, count: 100_000)) }
            } catch .reset {}
            let reply = try client.reply()
            #expect(reply.status == 413)
            #expect(reply.errorSentence != nil)
            client.finishSending()
            // A reset could overtake the answer on a real network (RFC 9112 9.6).
            #expect(client.ending() == .closed)
        }
    }

    /// Plays a row; what was wrong.
    private func complaints(
        about row: Hostile, _ delivery: Delivery, _ server: Server
    ) -> [String] {
        var found: [String] = []
        do throws(ClientError) {
            let client = try server.connect()
            do throws(ClientError) {
                switch delivery {
                case .whole: try client.send(row.bytes)
                case .byteByByte: try client.sendByteByByte(row.bytes)
                }
            } catch .reset {}
            if row.ends { client.finishSending() }
            for (index, answer) in row.answers.enumerated() {
                do throws(ClientError) {
                    let reply = try client.reply(toHead: answer.toHead, withinMs: 2000)
                    let isLast = index == row.answers.count - 1
                    found += complaints(
                        about: reply, answer, closes: isLast && row.after == .closes && !row.ends)
                } catch .ended(unfinished: "") where row.mayStaySilent {
                    return found
                } catch .reset where row.mayStaySilent {
                    return found
                }
            }
            switch row.after {
            case .closes:
                let ending = client.ending()
                if !ending.isOver { found.append("had to close, but: \(ending)") }
            case .serves:
                let reply = try client.ask("GET", "/health", withinMs: 2000)
                if reply.status != 200 || !reply.text.contains("healthy") {
                    found.append("the request behind it got \(reply.status) \(reply.text)")
                }
            case .either: break
            }
        } catch {
            found.append(error.description)
        }
        return found
    }

    private func complaints(
        about reply: Reply, _ answer: Hostile.Answer, closes: Bool
    ) -> [String] {
        var found: [String] = []
        if !answer.statuses.contains(reply.status) {
            found.append("expected \(answer.statuses), got \(reply.status) \(reply.text)")
        }
        if reply.status >= 400 && !answer.toHead && reply.errorSentence == nil {
            found.append(
                "a \(reply.status) without {\"error\":…}: \(reply.headers) \(reply.text)")
        }
        if reply.status == 405 && reply.header("allow") == nil {
            found.append("a 405 without Allow")
        }
        if closes && !reply.saysClose {
            found.append("closes without saying so: \(reply.status) \(reply.headers)")
        }
        return found
    }
}
