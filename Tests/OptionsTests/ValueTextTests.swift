import Testing

@testable import Options

@Suite("Values as people write them") struct ValueTextTests {
    @Test(
        arguments: [
            ("0", 0), ("65536", 65536), ("64KiB", 65536), ("64k", 65536), ("8MiB", 8 << 20),
            ("1GiB", 1 << 30), ("1g", 1 << 30), ("2tib", 2 << 40), ("7b", 7),
        ] as [(String, Int)])
    func `a size is plain bytes or has a binary unit`(_ text: String, _ bytes: Int) {
        #expect(ValueText.bytes(text) == bytes)
    }

    @Test(
        arguments: [
            "", "KiB", "8MB", "8 MiB", "1.5GiB", "-1", "+1", "0x10", "8388608TiB",
            "99999999999999999999", "1KiB1",
        ])
    func `a size that could be misread is not read`(_ text: String) {
        #expect(ValueText.bytes(text) == nil)
    }

    @Test(
        arguments: [
            ("0", 0), ("10", 10_000), ("0.5", 500), ("1.5s", 1500), ("500ms", 500),
            ("2m", 120_000), ("1h", 3_600_000), ("1.5h", 5_400_000), ("1d", 86_400_000),
            ("0.001", 1),
        ] as [(String, Int)])
    func `a time is plain seconds or has a unit`(_ text: String, _ ms: Int) {
        #expect(ValueText.milliseconds(text) == ms)
    }

    @Test(
        arguments: [
            "", "s", ".5", "1.", "1..5", "1.5.5", "1 s", "-1", "1S", "1e3", "9223372036854775807",
            "1.0000000001",
        ])
    func `a time that could be misread is not read`(_ text: String) {
        #expect(ValueText.milliseconds(text) == nil)
    }

    @Test(arguments: [0, 1, 1023, 1024, 1 << 20, 3 << 20, (1 << 30) + 1, 1 << 40])
    func `a size reads back as it is written`(_ bytes: Int) {
        #expect(ValueText.bytes(ValueText.size(bytes)) == bytes)
    }

    @Test(arguments: [0, 1, 999, 1000, 1500, 60_000, 61_000, 3_600_000, 86_400_000])
    func `a time reads back as it is written`(_ ms: Int) {
        #expect(ValueText.milliseconds(ValueText.duration(ms)) == ms)
    }
}

@Suite("Addresses") struct AddressTests {
    @Test(
        arguments: [
            ("127.0.0.1:80", "127.0.0.1", 80), (":6660", "0.0.0.0", 6660),
            ("[::1]:6660", "::1", 6660), ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
            ("[::ffff:1.2.3.4]", "::ffff:1.2.3.4", 6660), ("localhost", "localhost", 6660),
            ("10.0.0.7", "10.0.0.7", 6660), ("node_1.svc:65535", "node_1.svc", 65535),
            ("h:0", "h", 0),
        ] as [(String, String, UInt16)])
    func `host and port are told apart`(_ text: String, _ host: String, _ port: UInt16) {
        #expect(Address(text) == Address(host: host, port: port))
    }

    @Test(
        arguments: [
            "", ":", "h:", "h:x", "h:65536", "h:-1", "h:+1", "::1", "::1:80", "[::1", "[::1]80",
            "[1.2.3.4]:1", "[h]:1", "1.2.3:1", "1.2.3.256:1", "chekc", "8080", "a b:1", "-a:1",
            "a..b:1", "http://h:1", "h:1/",
        ])
    func `what is no address is not taken for one`(_ text: String) {
        #expect(Address(text) == nil)
    }

    @Test(arguments: ["127.0.0.1:80", "[::1]:6660", "node.example:1"])
    func `an address is written as it is typed`(_ text: String) {
        #expect(Address(text)?.description == text)
    }

    @Test func `loopback and unspecified addresses are known`() {
        #expect(Address("127.9.9.9:1")?.isLoopback == true)
        #expect(Address("[::1]:1")?.isLoopback == true)
        #expect(Address("localhost")?.isLoopback == true)
        #expect(Address("127.example:1")?.isLoopback == false)
        #expect(Address(":1")?.isUnspecified == true)
        #expect(Address("[::]:1")?.isUnspecified == true)
        #expect(Address("10.0.0.1:1")?.isUnspecified == false)
    }
}
