import Testing

@testable import Identity

private func secret(_ text: String) -> Secret { Secret(Array(text.utf8).span.bytes)! }

private let quick = PasswordHash.Cost(logN: 10, r: 1, p: 1)!
private let salt: [UInt8] = Array(0..<16)

private func encoded(_ text: String) -> PasswordHash? {
    PasswordHash(encoded: Array(text.utf8).span.bytes)
}

@Suite("Password hashes") struct PasswordHashTests {
    /// RFC 7914 section 12, without the one that takes 1 GiB.
    @Test(arguments: [
        (
            "", "", 16, 1, 1,
            "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
                + "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906"
        ),
        (
            "password", "NaCl", 1024, 8, 16,
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
                + "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"
        ),
        (
            "pleaseletmein", "SodiumChloride", 16384, 8, 1,
            "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
                + "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
        ),
    ])
    func `scrypt is the standard's`(_ example: (String, String, UInt64, UInt64, UInt64, String)) {
        var output = [UInt8](repeating: 0, count: 64)
        let done = output.withUnsafeMutableBufferPointer {
            PasswordHash.scrypt(
                Array(example.0.utf8).span.bytes, Array(example.1.utf8).span.bytes, n: example.2,
                r: example.3, p: example.4, into: $0.baseAddress!, count: 64)
        }
        #expect(done)
        #expect(output == hex(example.5))
    }

    @Test func `the contract's cost works and its written form reads back`() throws {
        let hash = try PasswordHash.derive(secret("hunter2 hunter2"), salt: salt.span.bytes)
        let text = String(decoding: hash.encoded, as: UTF8.self)
        #expect(text.hasPrefix("$scrypt$ln=15,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$"))
        #expect(encoded(text) == hash)
        #expect(try hash.matches(secret("hunter2 hunter2")))
        #expect(try !hash.matches(secret("hunter2 hunter3")))
    }

    @Test(arguments: [1, 2, 64, 1023, 1024])
    func `a secret of any length counts to its last byte`(_ count: Int) throws {
        var bytes = [UInt8](repeating: 0x61, count: count)
        let hash = try PasswordHash.derive(
            Secret(bytes.span.bytes)!, salt: salt.span.bytes, cost: quick)
        #expect(try hash.matches(Secret(bytes.span.bytes)!))
        bytes[count - 1] ^= 1
        #expect(try !hash.matches(Secret(bytes.span.bytes)!))
    }

    @Test func `secrets hold any bytes, from 1 to 1024 of them`() {
        for (count, taken) in [(0, false), (1, true), (1024, true), (1025, false)] {
            let made = Secret([UInt8](repeating: 0, count: count).span.bytes) != nil
            #expect(made == taken, "\(count) bytes")
        }
    }

    @Test func `the same secret under another salt is another hash`() throws {
        let other: [UInt8] = Array(1..<17)
        let one = try PasswordHash.derive(secret("same"), salt: salt.span.bytes, cost: quick)
        let two = try PasswordHash.derive(secret("same"), salt: other.span.bytes, cost: quick)
        #expect(one != two)
    }

    @Test(arguments: [
        "", "$", "$$$$", "scrypt", "$scrypt$", "$bcrypt$ln=15,r=8,p=1$SALT$HASH",
        "$scrypt$ln=21,r=8,p=1$SALT$HASH", "$scrypt$ln=16,r=8,p=1$SALT$HASH",
        "$scrypt$ln=9,r=8,p=1$SALT$HASH", "$scrypt$ln=015,r=8,p=1$SALT$HASH",
        "$scrypt$ln=271,r=8,p=1$SALT$HASH", "$scrypt$ln=15,r=9,p=1$SALT$HASH",
        "$scrypt$ln=15,r=0,p=1$SALT$HASH", "$scrypt$ln=15,r=8,p=5$SALT$HASH",
        "$scrypt$ln=15,r=8,p=0$SALT$HASH", "$scrypt$ln=15,r=8$SALT$HASH",
        "$scrypt$r=8,ln=15,p=1$SALT$HASH", "$scrypt$ln=15,r=8,p=1,x=1$SALT$HASH",
        "$scrypt$ln=15,r=8,p=1$$HASH", "$scrypt$ln=15,r=8,p=1$SALT$", "$scrypt$ln=15,r=8,p=1$SALT",
        "$scrypt$ln=15,r=8,p=1$SALT$HASH$", "$scrypt$ln=15,r=8,p=1$SALTA$HASH",
        "$scrypt$ln=15,r=8,p=1$SALT$HASH=", " $scrypt$ln=15,r=8,p=1$SALT$HASH",
        "$scrypt$ln=,r=8,p=1$SALT$HASH", "$scrypt$ln=-1,r=8,p=1$SALT$HASH",
    ])
    func `a written form that isn't ours is refused`(_ text: String) {
        let salt = String(repeating: "A", count: 22)
        let hash = String(repeating: "A", count: 43)
        #expect(encoded("$scrypt$ln=15,r=8,p=1$\(salt)$\(hash)") != nil)
        #expect(encoded(text.replacing("SALT", with: salt).replacing("HASH", with: hash)) == nil)
    }

    @Test func `the operator's secret is matched whole`() {
        let random = [UInt8](repeating: 9, count: 32)
        let admin = AdminSecret(secret("correct horse"), random: random.span.bytes)
        let answers = ["correct horse", "correct hors", "correct horse ", "x"].map {
            admin.matches(secret($0))
        }
        #expect(answers == [true, false, false, false])
    }
}
