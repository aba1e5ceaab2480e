import Keyspace
import Testing

@testable import Node

struct PathExample: CustomTestStringConvertible, Sendable {
    var path: String
    var kind: TablePath.Kind
    var table = ""
    var key = ""

    var testDescription: String { String(path.prefix(60)) }

    static let all: [PathExample] = [
        .init(path: "/t/key/k", kind: .key, table: "t", key: "k"),
        .init(path: "/users/key/user:1000", kind: .key, table: "users", key: "user:1000"),
        .init(path: "/key/k", kind: .key, table: "default", key: "k"),
        .init(path: "/key/key", kind: .key, table: "default", key: "key"),
        .init(path: "/key/keys", kind: .key, table: "default", key: "keys"),
        .init(path: "/t/key/a%2Fb", kind: .key, table: "t", key: "a/b"),
        .init(path: "/t/key/%2f", kind: .key, table: "t", key: "/"),
        .init(path: "/t/key/a%00b", kind: .key, table: "t", key: "a\0b"),
        .init(path: "/t/key/a+b", kind: .key, table: "t", key: "a+b"),
        .init(path: "/t/key/.", kind: .key, table: "t", key: "."),
        .init(path: "/t/key/..", kind: .key, table: "t", key: ".."),
        .init(path: "/t/key/%C3%A4", kind: .key, table: "t", key: "ä"),
        .init(path: "/t/key/ä", kind: .key, table: "t", key: "ä"),
        .init(path: "/t/key/%25", kind: .key, table: "t", key: "%"),
        .init(path: "/%74/k%65y/%6b", kind: .key, table: "t", key: "k"),
        .init(path: "/t.-_9/key/k", kind: .key, table: "t.-_9", key: "k"),
        .init(path: "/-t/key/k", kind: .key, table: "-t", key: "k"),
        .init(path: "/keys/key/k", kind: .key, table: "keys", key: "k"),
        .init(path: "/t/keys", kind: .keys, table: "t"),
        .init(path: "/t/store", kind: .store, table: "t"),
        .init(path: "/t", kind: .table, table: "t"),
        .init(path: "/keys", kind: .table, table: "keys"),
        .init(path: "/favicon.ico", kind: .table, table: "favicon.ico"),
        .init(path: "/", kind: .root),
        .init(path: "/t/subscribe", kind: .subscribe, table: "t"),
        .init(path: "/t/subscribe/k%20k", kind: .subscribe, table: "t", key: "k k"),
        .init(path: "/t/subscribers/k", kind: .subscribers, table: "t", key: "k"),
        .init(path: "", kind: .none),
        .init(path: "t/key/k", kind: .none),
        .init(path: "*", kind: .none),
        .init(path: "/t/key", kind: .none),
        .init(path: "/t/", kind: .none),
        .init(path: "/t/keys/", kind: .none),
        .init(path: "/t/Keys", kind: .none),
        .init(path: "/t/subscribers", kind: .none),
        .init(path: "/t/key/a/b", kind: .none),
        .init(path: "/t/key/k/", kind: .none),
        .init(path: "/t/key/longerkey/b", kind: .none),
        .init(path: "//", kind: .none),
        .init(path: "//key/k", kind: .badTable),
        .init(path: "//keys", kind: .badTable),
        .init(path: "/.t/key/k", kind: .badTable),
        .init(path: "/_t/key/k", kind: .badTable),
        .init(path: "/_t", kind: .badTable),
        .init(path: "/t%2Fu/key/k", kind: .badTable),
        .init(path: "/a b/keys", kind: .badTable),
        .init(path: "/t~/key/k", kind: .badTable),
        .init(path: "/ä/key/k", kind: .badTable),
        .init(path: "/%5f/key/k", kind: .badTable),
        .init(path: "/t/key/", kind: .badKey),
        .init(path: "/key/", kind: .badKey),
        .init(path: "/t/subscribe/", kind: .badKey),
        .init(path: "/t/subscribers/", kind: .badKey),
        .init(path: "/t/key/%", kind: .badEncoding),
        .init(path: "/t/key/%4", kind: .badEncoding),
        .init(path: "/t/key/%zz", kind: .badEncoding),
        .init(path: "/%/key/k", kind: .badEncoding),
        .init(path: "/t/%/k", kind: .badEncoding),
    ]
}

struct Led: Equatable {
    var kind: TablePath.Kind
    var table: String
    var key: String

    init(_ kind: TablePath.Kind, _ table: String = "", _ key: String = "") {
        self.kind = kind
        self.table = table
        self.key = key
    }

    init(to path: [UInt8]) {
        self = withExact(path) { path in
            withScratch(TablePath.scratchBytesMin) { scratch in
                let found = TablePath.parse(
                    path, scratch: scratch, scratchBytes: TablePath.scratchBytesMin)
                return Led(found.kind, text(found.table), text(found.key))
            }
        }
    }
}

@Suite("Table paths") struct TablesPathTests {
    @Test(arguments: PathExample.all)
    func `a path leads where its segments say`(_ example: PathExample) {
        let wanted = Led(example.kind, example.table, example.key)
        #expect(Led(to: bytes(example.path)) == wanted)
    }

    @Test(arguments: PathExample.all)
    func `a path written all in percent signs leads to the same place`(_ example: PathExample) {
        guard example.kind != .badEncoding, example.path.first == "/" else { return }
        var encoded: [UInt8] = []
        var rest = bytes(example.path)[...]
        while let byte = rest.popFirst() {
            if byte == 0x2F {
                encoded.append(byte)
            } else if byte == 0x25 {
                encoded += [byte] + rest.prefix(2)
                rest = rest.dropFirst(2)
            } else {
                let digits = String(byte, radix: 16)
                encoded += bytes("%" + (byte < 16 ? "0" : "") + digits)
            }
        }
        #expect(Led(to: encoded) == Led(example.kind, example.table, example.key))
    }

    @Test(arguments: [
        "key", "auth", "signup", "login", "logout", "token", "apikeys", "usage", "v1",
        "subscribe", "ws", "client", "membership", "health", "ready", "metrics", "stats",
        "admin", "dashboard", "cluster", "store", "openapi.json", "assets",
    ])
    func `a reserved name is no table`(_ name: String) {
        for path in ["/\(name)", "/\(name)/store", "/\(name)/key/k", "/\(name)/subscribe/k"] {
            let (kind, isReserved) = withExact(bytes(path)) { path in
                withScratch(TablePath.scratchBytesMin) { scratch in
                    let found = TablePath.parse(
                        path, scratch: scratch, scratchBytes: TablePath.scratchBytesMin)
                    return (found.kind, found.isReserved)
                }
            }
            if path == "/key/store" {
                #expect(kind == .key)
            } else {
                #expect(kind == .none && isReserved, "\(path)")
            }
        }
        // Neither a longer name nor a shorter one is refused with it.
        #expect(Led(to: bytes("/\(name)x/key/k")) == Led(.key, "\(name)x", "k"))
        #expect(Led(to: bytes("/x\(name)/key/k")) == Led(.key, "x\(name)", "k"))
        let shorter = String(name.dropLast())
        #expect(Led(to: bytes("/\(shorter)/key/k")) == Led(.key, shorter, "k"))
        #expect(Led(to: bytes("/\(name.uppercased())")) == Led(.table, name.uppercased()))
    }

    @Test func `a table's name has at most 128 characters`() {
        let longest = String(repeating: "t", count: 128)
        #expect(Led(to: bytes("/\(longest)/key/k")) == Led(.key, longest, "k"))
        #expect(Led(to: bytes("/\(longest)/keys")) == Led(.keys, longest))
        let encoded = String(repeating: "%74", count: 128)
        #expect(Led(to: bytes("/\(encoded)/key/k")) == Led(.key, longest, "k"))
        for tooLong in [longest + "t", encoded + "t", encoded + encoded + encoded + "%zz"] {
            #expect(Led(to: bytes("/\(tooLong)/key/k")) == Led(.badTable))
            #expect(Led(to: bytes("/\(tooLong)")) == Led(.badTable))
        }
    }

    @Test func `a key has at most 1024 bytes, counted decoded`() {
        for count in [7, 8, 9, 15, 16, 17, 1023, 1024] {
            let key = String(repeating: "k", count: count)
            #expect(Led(to: bytes("/t/key/\(key)")) == Led(.key, "t", key))
            let encoded = String(repeating: "%6B", count: count)
            #expect(Led(to: bytes("/t/key/\(encoded)")) == Led(.key, "t", key))
        }
        let longest = String(repeating: "k", count: 1024)
        #expect(Led(to: bytes("/t/key/\(longest)k")) == Led(.badKey))
        #expect(Led(to: bytes("/t/key/\(String(repeating: "%6B", count: 1025))")) == Led(.badKey))
        #expect(Led(to: bytes("/key/\(longest)%2F")) == Led(.badKey))
    }

    @Test func `one odd byte anywhere in a key is seen`() {
        for count in 1...40 {
            for place in 0..<count {
                var key = [UInt8](repeating: 0x6B, count: count)
                key[place] = 0x2F
                #expect(Led(to: bytes("/t/key/") + key).kind != .key)
                key[place] = 0x80
                #expect(Led(to: bytes("/t/key/") + key).kind == .key)
                key[place] = 0x25
                #expect(Led(to: bytes("/t/key/") + key) == Led(.badEncoding))
                key[place] = 0x26
                #expect(Led(to: bytes("/t/key/") + key) == Led(.key, "t", text(key)))
            }
        }
    }

    @Test func `whatever a path is, the answer names a table and a key that may be`() {
        var random = SplitMix(state: 1)
        let alphabet = Array("/////key%%26tsubscriberoa._-\u{0}é~".utf8) + [0xFF]
        var kinds: Set<UInt8> = []
        for _ in 0..<20_000 {
            var path = bytes(
                ["/t/key/", "/", "/key/", "/t/subscribe", ""].randomElement(
                    using: &random) ?? "")
            path += random.bytes(upTo: 24, from: alphabet)
            let led = Led(to: path)
            kinds.insert(led.kind.rawValue)
            switch led.kind {
            case .key, .subscribers:
                #expect(!led.key.isEmpty && led.key.utf8.count <= 1024 && !led.table.isEmpty)
            case .keys, .store, .table: #expect(!led.table.isEmpty && led.key.isEmpty)
            case .subscribe: #expect(!led.table.isEmpty)
            default: #expect(led.key.isEmpty)
            }
        }
        #expect(kinds.count >= 7)
    }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}

@Suite("Table names") struct TablesNameTests {
    @Test func `each byte is allowed in a name or not, as the contract lists them`() {
        let allowed = Set(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-".utf8)
        for byte in UInt8.min...UInt8.max {
            let inside = withExact([0x74, byte]) { TableName.judge($0) }
            #expect(inside == (allowed.contains(byte) ? .good : .malformed), "\(byte)")
            let first = withExact([byte, 0x74]) { TableName.judge($0) }
            let mayBegin = allowed.contains(byte) && byte != 0x2E && byte != 0x5F
            #expect(first == (mayBegin ? .good : .malformed), "\(byte)")
        }
        #expect(withExact([]) { TableName.judge($0) } == .malformed)
    }
}
