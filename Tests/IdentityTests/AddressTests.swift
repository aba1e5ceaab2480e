import Testing

@testable import Identity

/// Who is behind `peer` when the lines of the two headers are these, from the first to the last.
private func client(
    peer: String, trusting blocks: [String], plain: [String] = [], forwarded: [String] = []
) -> IPAddress {
    let trusted = TrustedProxies(blocks.map { AddressBlock($0)! })!
    var walk = ForwardedAddress(peer: address(peer), trusted: trusted)
    for line in plain.reversed() {
        walk.hear(xForwardedFor: Array(line.utf8).span.bytes, trusted: trusted)
    }
    for line in forwarded.reversed() {
        walk.hear(forwarded: Array(line.utf8).span.bytes, trusted: trusted)
    }
    return walk.client
}

@Suite("Addresses") struct AddressTests {
    @Test(arguments: [
        ("127.0.0.1", 0, 0xffff_7f00_0001), ("0.0.0.0", 0, 0xffff_0000_0000),
        ("255.255.255.255", 0, 0xffff_ffff_ffff), ("::1", 0, 1), ("::", 0, 0),
        ("2001:db8::7", 0x2001_0db8_0000_0000, 7), ("::ffff:127.0.0.1", 0, 0xffff_7f00_0001),
        ("fe80:1:2:3:4:5:6:7", 0xfe80_0001_0002_0003, 0x0004_0005_0006_0007),
    ])
    func `reads an address`(_ example: (String, UInt64, UInt64)) {
        #expect(IPAddress(example.0) == IPAddress(high: example.1, low: example.2))
    }

    @Test(arguments: [
        "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "1.2.3.4:80", "[::1]",
        "fe80::1%eth0", ":::", "1::2::3", "12345::", "localhost", "1.2.3.4\0",
        String(repeating: "1", count: 60), "0x7f.1", "2130706433",
    ])
    func `refuses what is no address`(_ text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.0", false),
        ("10.0.0.0/8", "::ffff:10.1.1.1", true), ("0.0.0.0/0", "9.9.9.9", true),
        ("0.0.0.0/0", "::1", false), ("192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7", "192.0.2.6", false), ("192.0.2.6/31", "192.0.2.7", true),
        ("::/0", "1.2.3.4", true), ("fd00::/8", "fdff::1", true), ("fd00::/8", "fe00::1", false),
        ("2001:db8::/64", "2001:db8::ffff:1", true), ("2001:db8::/64", "2001:db8:0:1::", false),
        ("2001:db8::/65", "2001:db8::8000:0:0:1", false), ("::1/128", "::1", true),
        ("::1/128", "::", false), ("2001:db8::/127", "2001:db8::1", true),
    ])
    func `a block holds what its prefix covers`(_ example: (String, String, Bool)) {
        #expect(AddressBlock(example.0)!.contains(address(example.1)) == example.2)
    }

    @Test(arguments: [
        "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8", "::1/129", "::1/64", "10.0.0.0/-1",
        "10.0.0.0/8/8", "10.0.0.0/0008", "10.0.0.0/ 8", "10/8",
    ])
    func `refuses what is no block`(_ text: String) {
        #expect(AddressBlock(text) == nil)
    }

    @Test func `a stranger's headers mean nothing`() {
        #expect(
            client(peer: "9.9.9.9", trusting: ["10.0.0.0/8"], plain: ["1.1.1.1"])
                == address("9.9.9.9"))
        #expect(client(peer: "9.9.9.9", trusting: [], plain: ["1.1.1.1"]) == address("9.9.9.9"))
        #expect(
            client(peer: "9.9.9.9", trusting: [], forwarded: ["for=1.1.1.1"]) == address("9.9.9.9"))
    }

    @Test(arguments: [
        (["1.1.1.1"], "1.1.1.1"), (["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
        (["6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1"), (["6.6.6.6, 1.1.1.1", "10.0.0.2"], "1.1.1.1"),
        (["6.6.6.6", "1.1.1.1,10.0.0.2 ,\t10.0.0.3"], "1.1.1.1"),
        (["10.0.0.4, 10.0.0.5"], "10.0.0.4"),
        (["6.6.6.6, junk, 10.0.0.2"], "10.0.0.2"), (["unknown"], "10.0.0.1"), ([""], "10.0.0.1"),
        (["6.6.6.6,"], "10.0.0.1"), ([",,,,"], "10.0.0.1"), (["1.1.1.1:4711"], "1.1.1.1"),
        (["2001:db8::1"], "2001:db8::1"), (["[2001:db8::1]"], "2001:db8::1"),
        (["[2001:db8::1]:443"], "2001:db8::1"), (["[1.1.1.1]"], "10.0.0.1"),
        (["1.1.1.1:"], "10.0.0.1"), (["1.1.1.1:123456"], "10.0.0.1"),
        (["[2001:db8::1"], "10.0.0.1"),
        (["[2001:db8::1]x"], "10.0.0.1"), (["::ffff:1.1.1.1"], "1.1.1.1"),
    ])
    func `X-Forwarded-For is read from the right as far as the proxies are ours`(
        _ example: ([String], String)
    ) {
        #expect(
            client(peer: "10.0.0.1", trusting: ["10.0.0.0/8"], plain: example.0)
                == address(example.1))
    }

    @Test(arguments: [
        (["for=1.1.1.1"], "1.1.1.1"), (["For=1.1.1.1;proto=https;by=10.0.0.1"], "1.1.1.1"),
        ([#"proto=https;for="[2001:db8::1]:4711""#], "2001:db8::1"),
        (["for=6.6.6.6, for=1.1.1.1"], "1.1.1.1"),
        (["for=6.6.6.6", "for=1.1.1.1, for=10.0.0.9"], "1.1.1.1"),
        (["for=unknown"], "10.0.0.1"), (["for=_hidden, for=10.0.0.9"], "10.0.0.9"),
        (["proto=https"], "10.0.0.1"), (["for=1.1.1.1;for=2.2.2.2"], "10.0.0.1"),
        ([#"for="1.1.1.1"#], "10.0.0.1"), ([#"host="a,b;c";for=1.1.1.1"#], "1.1.1.1"),
        ([#"for="6.6.6.6, for=1.1.1.1"#], "10.0.0.1"), ([#"for=1.1.1.1;x="\"""#], "10.0.0.1"),
        (["for="], "10.0.0.1"), ([""], "10.0.0.1"),
    ])
    func `Forwarded is read likewise`(_ example: ([String], String)) {
        #expect(
            client(peer: "10.0.0.1", trusting: ["10.0.0.0/8"], forwarded: example.0)
                == address(example.1))
    }

    @Test func `two headers that disagree are both not believed`() {
        let blocks = ["10.0.0.0/8"]
        #expect(
            client(
                peer: "10.0.0.1", trusting: blocks, plain: ["1.1.1.1"], forwarded: ["for=1.1.1.1"])
                == address("1.1.1.1"))
        #expect(
            client(
                peer: "10.0.0.1", trusting: blocks, plain: ["1.1.1.1"], forwarded: ["for=6.6.6.6"])
                == address("10.0.0.1"))
    }

    @Test func `an endless chain of proxies isn't followed`() {
        let chain = Array(repeating: "10.0.0.2", count: 5000).joined(separator: ",")
        #expect(
            client(peer: "10.0.0.1", trusting: ["10.0.0.0/8"], plain: ["1.1.1.1," + chain])
                == address("10.0.0.2"))
    }
}
