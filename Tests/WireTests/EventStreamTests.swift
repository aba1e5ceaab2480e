import Testing
import Wire

@Suite struct `Event streams` {
    private func written(_ capacity: Int = 4096, _ write: (inout ByteWriter) -> Void) -> String {
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        defer { room.deallocate() }
        var writer = ByteWriter(room, capacity: capacity)
        write(&writer)
        return String(decoding: writer.written, as: UTF8.self)
    }

    private func parse(_ text: String) -> EventID.Parsed? {
        Array(text.utf8).withUnsafeBytes { EventID.parse($0.bytes) }
    }

    @Test func `messages are lines and an empty one`() {
        let data = Array("{\"a\":1}".utf8)
        let text = data.withUnsafeBytes { bytes in written { EventStream.data(bytes, into: &$0) } }
        #expect(text == "data: {\"a\":1}\n\n")
        #expect(text.utf8.count == data.count + EventStream.dataOverhead)
        #expect(
            written { EventStream.control("bye", "{}", into: &$0) } == "event: bye\ndata: {}\n\n")
        #expect(
            written { EventStream.lagged(17, into: &$0) }
                == "event: lagged\ndata: {\"skipped\":17}\n\n")
        #expect(
            written { EventStream.lagged(.max, into: &$0) }.utf8.count <= EventStream.laggedBytesMax
        )
        #expect(written { EventStream.retry(2000, into: &$0) } == "retry: 2000\n\n")
    }

    @Test func `raw line breaks become spaces, and nothing else changes`() {
        for text in [
            "", "a", "\n", "\r\n", "{\n\"a\":\r1}", "no breaks at all in sixteen", "x\n\n\n",
        ] {
            var bytes = Array(text.utf8)
            bytes.withUnsafeMutableBytes { EventStream.flatten($0) }
            let expected = text.utf8.map { $0 == 10 || $0 == 13 ? 32 : $0 }
            #expect(bytes == expected)
        }
    }

    @Test(arguments: [
        [(0, UInt64(1))], [(0, 0), (1, UInt64.max)], [(255, 0xABC)],
        (0..<64).map { ($0, UInt64($0) << 40) },
    ])
    func `an id is read as it was written`(_ positions: [(Int, UInt64)]) {
        let origin: UInt64 = 0x0123_4567_89AB_CDEF
        let text = written {
            EventID.write(origin: origin, into: &$0)
            for (place, position) in positions.enumerated() {
                EventID.write(position.0, position.1, isFirst: place == 0, into: &$0)
            }
        }
        #expect(text.utf8.count <= EventID.bytesMax(positions: positions.count))
        #expect(
            parse(text)
                == EventID.Parsed(
                    origin: origin,
                    positions: positions.map { EventID.Position(shard: $0.0, seq: $0.1) }))
        // A piece of one is another id or none, never a crash.
        for end in 0..<text.utf8.count { _ = parse(String(text.prefix(end))) }
    }

    @Test(arguments: [
        "", "x", "0123456789abcdef", "0123456789abcdef-", "0123456789abcdef-0",
        "0123456789abcdef-0.",
        "0123456789abcdef-.1", "0123456789abcdef-0.1_", "0123456789abcdef-0.1-1.2",
        "0123456789abcdef_0.1", "0123456789ABCDEF-0.1", "0123456789abcdef-0.1 ",
        "0123456789abcdef-0.10000000000000000", "0123456789abcdef-100.1", "0123456789abcdeg-0.1",
        "0123456789abcdef-0.1_1.2_", "-1", "0123456789abcdef-+0.1",
    ])
    func `what no node wrote is no id`(_ text: String) {
        #expect(parse(text) == nil)
    }
}
