import Journal
import Keyspace
import Simulation
import Wire

/// What the counted functions work on: always the same, so that their counts repeat.
struct Samples: ~Copyable {
    static let records = 10_000
    static let valueBytes = 348
    static let start: Int64 = 1_700_000_000_000
    private static let keyBytes = 10

    let shortHead = Array("GET /t/key/key00000042 HTTP/1.1\r\nHost: 127.0.0.1:6660\r\n\r\n".utf8)
    let browserHead = Array(
        """
        GET /scores/subscribe/final?initial=false HTTP/1.1\r
        Host: example.org\r
        User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
        Chrome/120.0.0.0 Safari/537.36\r
        Accept: text/event-stream\r
        Accept-Language: en-GB,en;q=0.9,de;q=0.8\r
        Accept-Encoding: gzip, deflate, br\r
        Cache-Control: no-cache\r
        Connection: keep-alive\r
        Referer: https://example.org/board\r
        Sec-Fetch-Dest: empty\r
        Sec-Fetch-Mode: cors\r
        Sec-Fetch-Site: same-origin\r
        Last-Event-ID: 511889691346fe6f-12-345\r
        \r

        """.utf8)
    let json: [UInt8]
    let respSet: [UInt8]
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
    var resp = RESPWriter()
    var space: Keyspace
    var log: LogWriter
    private let key = UnsafeMutableRawBufferPointer.allocate(byteCount: keyBytes, alignment: 8)

    /// Made when it is first asked for, and never again.
    nonisolated(unsafe) static let shared: UnsafeMutablePointer<Samples> = {
        let pointer = UnsafeMutablePointer<Samples>.allocate(capacity: 1)
        pointer.initialize(to: Samples())
        for number in 0..<records { pointer.pointee.put(number) }
        return pointer
    }()

    private init() {
        var text = "{\"text\":\""
        while text.utf8.count < Self.valueBytes - 2 {
            text +=
                ["the ", "event ", "of ", "one ", "listener ", "is ", "heard "][text.utf8.count % 7]
        }
        json = Array(text.utf8.prefix(Self.valueBytes - 2)) + Array("\"}".utf8)
        respSet =
            Array("*3\r\n$3\r\nSET\r\n$11\r\nkey00000042\r\n$348\r\n".utf8) + json
            + Array("\r\n".utf8)
        room.initializeMemory(as: UInt8.self, repeating: UInt8(ascii: "x"))
        var settings = Keyspace.Settings(seed: 12_345)
        settings.addressBytes = 1 << 30
        guard let space = try? Keyspace.make(settings) else { fatalError("no memory") }
        self.space = space
        let disk = SimulatedDisk(seed: 1)
        let epoch = Epoch(node: NodeID(high: 1, low: 2), number: 1, salt: 3, shards: 1)
        let sizes = LogWriter.Sizes(firstBytes: 64 << 20, bytesMax: 1 << 40, growthBytes: 1 << 20)
        let wish = LogWriter.firstSegment(epoch, shard: 0, sizes: sizes)
        guard let file = try? wish.make(disk) else { fatalError("no log") }
        log = LogWriter(wish, file: file, sizes: sizes)
    }

    /// The key of a record: ten digits, in no order.
    func key(_ number: Int) -> Key {
        var left = UInt64(number) &* 0x9E37_79B9_7F4A_7C15 >> 31
        for place in stride(from: Self.keyBytes - 1, through: 0, by: -1) {
            key[place] = UInt8(ascii: "0") + UInt8(left % 10)
            left /= 10
        }
        return Key(0, UnsafeRawBufferPointer(key), space.hashing)
    }

    mutating func put(_ number: Int) {
        json.withUnsafeBytes { value in
            let reply = space.run(
                Command(
                    .put, key(number), by: Principal(rawValue: 2), value: Value(.json, value),
                    expiry: .never), at: Self.start)
            if reply.status != .created, reply.status != .updated {
                fatalError("function-counts: a put was refused")
            }
        }
    }

    func record(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> LogRecord {
        let table: StaticString = "default"
        var record = LogRecord()
        record.table = UnsafeRawBufferPointer(start: table.utf8Start, count: 7)
        record.key = key
        record.value = value
        record.slot = Slot.of(key)
        record.stamp = Stamp(milliseconds: Self.start, counter: 1, origin: 7)
        record.created = record.stamp
        record.version = 1
        record.owner = OwnerID(high: 0xAAAA_BBBB_CCCC_DDDD, low: 0x1234_5678_9ABC_DEF0)
        return record
    }
}
