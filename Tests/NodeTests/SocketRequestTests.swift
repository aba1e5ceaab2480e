import Testing
import Wire

@testable import Node

@Suite("Messages of /ws") struct SocketRequestTests {
    /// A message in words: the operation and what it says, or `! id: sentence`.
    private func parse(_ message: [UInt8]) -> String {
        withExact(message) { message in
            withScratch(SocketRequest.scratchBytesMin) { scratch in
                let size = SocketRequest.scratchBytesMin
                switch SocketRequest.parse(message, scratch: scratch, scratchBytes: size) {
                case .refused(let id, let sentence): return "! \(text(id)): \(sentence)"
                case .request(let request): return words(request)
                }
            }
        }
    }

    private func parse(_ message: String) -> String { parse(bytes(message)) }

    private func words(_ request: SocketRequest) -> String {
        var words = "\(request.operation) \(text(request.id)) \(text(request.table))"
        switch request.operation {
        case .ping: break
        case .get: words += " \(text(request.key))"
        case .put, .delete:
            words += " \(text(request.key)) \(text(request.value)) ttl \(request.ttlMs)"
            if let condition = request.ifMatch { words += " match \(text(condition))" }
            if let condition = request.ifNoneMatch { words += " none \(text(condition))" }
        case .keys:
            words += " [\(text(request.prefix))] \(request.limit) after [\(text(request.after))]"
        case .subscribe, .unsubscribe:
            switch request.topics {
            case .key(let key): words += " key \(text(key))"
            case .prefix(let prefix): words += " prefix [\(text(prefix))]"
            case .keys(let raw):
                withScratch(4096) { base in
                    var names = KeyNames(raw)
                    var writer = ByteWriter(base, capacity: 4096)
                    while let key = names.next(into: &writer) { words += " +\(text(key))" }
                }
            }
            if !request.initial { words += " silent" }
            if let id = request.lastEventID { words += " since \(text(id))" }
        }
        return words
    }

    @Test func `operations are understood with their members in any order`() {
        #expect(parse("{\"id\":1,\"op\":\"ping\"}") == "ping 1 default")
        #expect(
            parse(" { \"key\" : \"k\" , \"op\" : \"get\" , \"id\" : \"a b\" } ")
                == "get \"a b\" default k")
        #expect(
            parse(
                "{\"id\":-1.5e3,\"op\":\"put\",\"table\":\"t\",\"key\":\"k\",\"value\":{\"a\": [1]}}"
            )
                == "put -1.5e3 t k {\"a\": [1]} ttl 0")
        #expect(
            parse(
                "{\"id\":1,\"op\":\"put\",\"key\":\"k\",\"value\":null,\"ttl\":\"1m30s\",\"ifMatch\":3}"
            )
                == "put 1 default k null ttl 90000 match \"3\"")
        #expect(
            parse(
                "{\"id\":1,\"op\":\"put\",\"key\":\"k\",\"value\":1,\"ttl\":30,\"ifNoneMatch\":\"*\"}"
            )
                == "put 1 default k 1 ttl 30000 none *")
        #expect(
            parse(
                "{\"id\":1,\"op\":\"delete\",\"key\":\"k\\n\\u00e4\",\"ifMatch\":\"\\\"3-ab\\\"\"}")
                == "delete 1 default k\nä  ttl 0 match \"3-ab\"")
        #expect(parse("{\"id\":1,\"op\":\"keys\"}") == "keys 1 default [] 1000 after []")
        #expect(
            parse("{\"id\":1,\"op\":\"keys\",\"prefix\":\"p\",\"limit\":10000,\"cursor\":\"azE\"}")
                == "keys 1 default [p] 10000 after [k1]")
        #expect(parse("{\"i\\u0064\":1,\"op\":\"p\\u0069ng\"}") == "ping 1 default")
    }

    @Test func `a subscription is to a key, to keys, to a prefix or to all of a table`() {
        let start = "{\"id\":1,\"op\":\"subscribe\",\"table\":\"t\""
        #expect(parse(start + "}") == "subscribe 1 t prefix []")
        #expect(parse(start + ",\"key\":\"k\"}") == "subscribe 1 t key k")
        #expect(parse(start + ",\"keys\":[\"a\", \"b\\/c\"]}") == "subscribe 1 t +a +b/c")
        #expect(
            parse(start + ",\"prefix\":\"p\",\"initial\":false}")
                == "subscribe 1 t prefix [p] silent")
        #expect(
            parse(start + ",\"key\":\"k\",\"initial\":true,\"lastEventId\":\"5f-0.1\"}")
                == "subscribe 1 t key k since 5f-0.1")
        #expect(
            parse(start + ",\"keys\":[]}") == "! 1: keys is a list of strings of 1 to 1024 bytes")
        #expect(parse(start + ",\"keys\":[\"\"]}").hasPrefix("! 1: keys is"))
        #expect(parse(start + ",\"keys\":[1]}").hasPrefix("! 1: keys is"))
        #expect(parse(start + ",\"keys\":\"a\"}").hasPrefix("! 1: keys is"))
        #expect(
            parse(start + ",\"key\":\"k\",\"prefix\":\"p\"}")
                == "! 1: Only one of key, keys and prefix may be given")
        #expect(parse(start + ",\"initial\":0}") == "! 1: initial is true or false")
        let many = (0..<1024).map { "\"k\($0)\"" }.joined(separator: ",")
        #expect(parse(start + ",\"keys\":[\(many)]}").hasPrefix("subscribe"))
        #expect(parse(start + ",\"keys\":[\(many),\"one\"]}").hasPrefix("! 1: keys is"))
    }

    @Test func `what is wrong is told with the id, where there is one`() {
        #expect(parse("") == "! : JSON ends too early")
        #expect(parse("1") == "! : a JSON object is wanted here")
        #expect(parse("{\"id\":7,").hasPrefix("! 7: "))
        #expect(parse("{}") == "! : The message has no id")
        #expect(parse("{\"op\":\"ping\"}") == "! : The message has no id")
        #expect(parse("{\"id\":null,\"op\":\"ping\"}").hasPrefix("! : id is a number or a string"))
        let long = String(repeating: "1", count: 65)
        #expect(parse("{\"id\":\(long),\"op\":\"ping\"}").hasPrefix("! : id is a number"))
        #expect(parse("{\"id\":1}").hasPrefix("! 1: op is subscribe"))
        #expect(parse("{\"id\":1,\"op\":\"PING\"}").hasPrefix("! 1: op is subscribe"))
        #expect(
            parse("{\"id\":1,\"op\":\"ping\",\"key\":\"k\"}")
                == "! 1: The operation has no such member")
        #expect(
            parse("{\"id\":1,\"op\":\"get\",\"key\":\"k\",\"ifMatch\":1}").hasSuffix(
                "no such member"))
        #expect(
            parse("{\"id\":1,\"op\":\"ping\",\"x\":1}")
                == "! 1: The message has a member that is not known")
        #expect(
            parse("{\"id\":1,\"op\":\"ping\",\"op\":\"ping\"}") == "! 1: A member is given twice")
        #expect(parse("{\"id\":1,\"op\":\"get\"}") == "! 1: The operation needs a key")
        #expect(
            parse("{\"id\":1,\"op\":\"get\",\"key\":1}")
                == "! 1: A key is a string of 1 to 1024 bytes")
        #expect(
            parse("{\"id\":1,\"op\":\"get\",\"key\":\"k\",\"table\":\"_t\"}")
                == "! 1: The table name is malformed")
        #expect(
            parse("{\"id\":1,\"op\":\"put\",\"key\":\"k\"}") == "! 1: The operation needs a value")
        #expect(
            parse("{\"id\":1,\"op\":\"put\",\"key\":\"k\",\"value\":1,\"ttl\":-1}").hasPrefix(
                "! 1: The ttl"))
        #expect(
            parse("{\"id\":1,\"op\":\"put\",\"key\":\"k\",\"value\":1,\"ttl\":null}").hasPrefix(
                "! 1: The ttl"))
        #expect(
            parse("{\"id\":1,\"op\":\"put\",\"key\":\"k\",\"value\":1,\"ifMatch\":0}").hasPrefix(
                "! 1: A condition"))
        #expect(parse("{\"id\":1,\"op\":\"keys\",\"limit\":0}").hasPrefix("! 1: limit"))
        #expect(parse("{\"id\":1,\"op\":\"keys\",\"limit\":10001}").hasPrefix("! 1: limit"))
        #expect(parse("{\"id\":1,\"op\":\"keys\",\"cursor\":\"!\"}").hasPrefix("! 1: cursor"))
    }

    @Test func `every name fits at its longest, and none is taken that is longer`() {
        let key = String(repeating: "\\u00e4", count: 512)
        let table = String(repeating: "t", count: 128)
        let message = "{\"id\":1,\"op\":\"get\",\"table\":\"\(table)\",\"key\":\"\(key)"
        #expect(parse(message + "\"}").hasPrefix("get 1 ttt"))
        #expect(parse(message + "x\"}") == "! 1: A key is a string of 1 to 1024 bytes")
        let prefix = String(repeating: "p", count: 1024)
        let cursor = written { writer in
            bytes(prefix).withUnsafeBytes { Cursor.write($0, into: &writer) }
        }
        #expect(
            parse(
                "{\"id\":1,\"op\":\"keys\",\"table\":\"\(table)\",\"prefix\":\"\(prefix)\",\"cursor\":\"\(cursor)\"}"
            ).hasPrefix("keys 1 ttt"))
        let condition = String(repeating: "c", count: 1024)
        #expect(
            parse(
                "{\"id\":1,\"op\":\"put\",\"table\":\"\(table)\",\"key\":\"\(key)\",\"value\":1,"
                    + "\"ttl\":\"\(String(repeating: "0", count: 63))1\","
                    + "\"ifMatch\":\"\(condition)\",\"ifNoneMatch\":\"\(condition)\"}"
            ).hasPrefix("put 1 ttt"))
    }

    @Test func `no beginning of a message is one`() {
        let whole = bytes(
            "{\"id\":\"\\u00e4\",\"op\":\"put\",\"table\":\"t\",\"key\":\"k\",\"value\":[1,{\"a\":2}],\"ttl\":\"1s\"}"
        )
        #expect(parse(whole).hasPrefix("put"))
        for count in 0..<whole.count { #expect(parse(Array(whole[..<count])).hasPrefix("! ")) }
    }

    @Test func `answers are JSON of exactly the length they announce`() {
        func answer(_ id: String, _ status: HTTPStatus, _ body: String) -> String {
            withExact(bytes(id)) { id in
                withExact(bytes(body)) { body in
                    let answer = SocketAnswer(id: id, status: status, body: body)
                    let text = written { writer in
                        answer.writeHead(into: &writer)
                        writer.write(answer.rest)
                        writer.write(SocketAnswer.tail)
                    }
                    #expect(text.utf8.count == answer.byteCount)
                    return text
                }
            }
        }
        #expect(answer("1", .ok, "") == "{\"id\":1,\"status\":200}")
        #expect(
            answer("\"a\"", .created, "{\"value\":1}")
                == "{\"id\":\"a\",\"status\":201,\"record\":{\"value\":1}}")
        #expect(
            answer("", .notFound, "{\"error\":\"Key not found\"}")
                == "{\"id\":null,\"error\":\"Key not found\",\"status\":404}")
        #expect(
            answer("1", .ok, "{\"message\":\"Deleted locally\"}")
                == "{\"id\":1,\"message\":\"Deleted locally\",\"status\":200}")
        #expect(
            answer("1", .preconditionFailed, "{\"value\":1}")
                == "{\"id\":1,\"error\":\"The precondition failed\",\"status\":412,\"record\":{\"value\":1}}"
        )
        #expect(
            answer("1", .preconditionFailed, "{\"error\":\"There is no such record\"}")
                == "{\"id\":1,\"error\":\"There is no such record\",\"status\":412}")
    }
}
