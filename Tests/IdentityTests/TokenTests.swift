import Testing

@testable import Identity

/// Makes tokens nobody would issue: any header, any payload, rightly signed.
private func forged(header: String, payload: String, with key: [UInt8] = key) -> [UInt8] {
    var token: [UInt8] = []
    Base64.url.append(Array(header.utf8).span.bytes, to: &token)
    token.append(UInt8(ascii: "."))
    Base64.url.append(Array(payload.utf8).span.bytes, to: &token)
    var signature: [UInt8] = []
    HMACKey(key.span.bytes).code(of: token.span.bytes).append(to: &signature)
    token.append(UInt8(ascii: "."))
    Base64.url.append(signature.span.bytes, to: &token)
    return token
}

private let goodHeader = #"{"alg":"HS256","typ":"JWT"}"#
private var goodPayload: String {
    var bytes: [UInt8] = []
    claims().append(to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
}

@Suite("Tokens") struct TokenTests {
    @Test(arguments: [TokenUse.access, .refresh])
    func `says what was signed`(_ use: TokenUse) {
        let claims = claims(use: use)
        #expect(verify(signed(claims), for: use) == .valid(claims))
    }

    @Test func `names the seven members, in a compact form anybody can read`() {
        #expect(
            goodPayload
                == #"{"sub":""# + identifier(1).text + #"","name":"alice","exp":1800003600,"#
                + #""iat":1800000000,"jti":""# + identifier(1_000_001).text + #"","sid":""#
                + identifier(2_000_001).text + #"","typ":"access"}"#)
        #expect(forged(header: goodHeader, payload: goodPayload) == signed(claims()))
    }

    @Test func `a refresh token is no access token, nor the other way round`() {
        #expect(verify(signed(claims(use: .refresh)), for: .access) == .refused(.wrongUse))
        #expect(verify(signed(claims(use: .access)), for: .refresh) == .refused(.wrongUse))
    }

    @Test func `another key's token is refused`() {
        #expect(verify(signed(claims(), with: otherKey)) == .refused(.wrongSignature))
    }

    @Test func `a key shorter than 256 bits is refused`() {
        let short = [UInt8](repeating: 7, count: 31)
        let long = [UInt8](repeating: 7, count: 32)
        var accepted = TokenSigner(key: short.span.bytes) != nil
        #expect(!accepted)
        accepted = TokenVerifier(key: long.span.bytes) != nil
        #expect(accepted)
    }

    @Test func `is in force from its issue to the second before its end`() {
        let token = signed(claims())
        #expect(verify(token, nowS: noonS + 3599) == .valid(claims()))
        #expect(verify(token, nowS: noonS + 3600) == .refused(.expired))
        #expect(verify(token, nowS: .max - 100) == .refused(.expired))
    }

    @Test func `another node's clock may be a minute ahead, not more`() {
        let token = signed(claims())
        #expect(verify(token, nowS: noonS - 60) == .valid(claims()))
        #expect(verify(token, nowS: noonS - 61) == .refused(.notYetValid))
    }

    @Test func `no token lives for ever`() {
        let year = Token.lifetimeMaxS
        let long = claims(expiresAtS: noonS + year)
        #expect(verify(signed(long)) == .valid(long))
        #expect(verify(signed(claims(expiresAtS: noonS + year + 1))) == .refused(.wrongClaims))
        #expect(verify(signed(claims(expiresAtS: noonS))) == .refused(.wrongClaims))
    }

    @Test func `is refused when cut at any byte`() {
        let token = signed(claims())
        for count in 0..<token.count {
            #expect(verify(Array(token.prefix(count))) != .valid(claims()), "cut at \(count)")
        }
    }

    @Test func `is refused when any bit is flipped`() {
        let token = signed(claims())
        for bit in 0..<token.count * 8 {
            var flipped = token
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            guard case .refused = verify(flipped) else {
                Issue.record("accepted with bit \(bit) flipped")
                return
            }
        }
    }

    @Test func `is refused with anything before or after it`() {
        let token = signed(claims())
        for extra in [" ", ".", "=", "\n", "\0", "A"] {
            for changed in [token + Array(extra.utf8), Array(extra.utf8) + token] {
                guard case .refused = verify(changed) else {
                    Issue.record("accepted with \(extra.debugDescription)")
                    return
                }
            }
        }
    }

    @Test func `too long a token isn't looked at`() {
        let token = [UInt8](repeating: UInt8(ascii: "."), count: Token.bytesMax + 1)
        #expect(verify(token) == .refused(.tooLong))
        #expect(verify(Array(token.dropLast())) == .refused(.malformed))
    }

    @Test(arguments: [
        #"{"alg":"none","typ":"JWT"}"#, #"{"alg":"None"}"#, #"{"alg":"NONE"}"#, #"{"alg":""}"#,
        #"{"alg":"HS384"}"#, #"{"alg":"HS512"}"#, #"{"alg":"RS256"}"#, #"{"alg":"ES256"}"#,
        #"{"alg":"hs256"}"#, #"{"alg":"HS256 "}"#, #"{"alg":"HS256","alg":"none"}"#,
        #"{"alg":"none","alg":"HS256"}"#, #"{"alg":"HS256","typ":"JWE"}"#,
        #"{"alg":"HS256","typ":"JWT","typ":"JWT"}"#, #"{"alg":"HS256","typ":"at+jwt"}"#,
        #"{"alg":"HS256","crit":["exp"]}"#, #"{"alg":"HS256","crit":"exp"}"#,
        #"{"alg":"HS256","kid":"1"}"#, #"{"alg":"HS256","zip":"DEF"}"#,
        #"{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}"#, #"{"alg":["HS256"]}"#,
        #"{"alg":{"alg":"HS256"}}"#, #"{"x":{"alg":"HS256"},"alg":"HS256"}"#,
        #"{"typ":"JWT"}"#, "{}", "", "null", "[]", #""HS256""#, #"{"alg":"HS256"}{}"#,
        #"{"alg":"HS256",}"#, #"{"alg":"HS256""#, #"{"\u0061lg":"HS256"}"#, #"{"alg":256}"#,
        #"{"alg" "HS256"}"#, #"{alg:"HS256"}"#, "\u{feff}{\"alg\":\"HS256\"}",
    ])
    func `any header but plain HS256 is refused, however well signed`(_ header: String) {
        #expect(
            verify(forged(header: header, payload: goodPayload)) == .refused(.unsupportedHeader))
    }

    @Test(arguments: [
        #"{"alg":"HS256"}"#, #"{"typ":"JWT","alg":"HS256"}"#, #"{"typ":"jwt","alg":"HS256"}"#,
        "{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}", " {\t\"alg\" : \"HS256\" } ",
    ])
    func `white space and order in the header don't matter`(_ header: String) {
        #expect(verify(forged(header: header, payload: goodPayload)) == .valid(claims()))
    }

    @Test func `an unsigned token is refused`() {
        var token: [UInt8] = []
        Base64.url.append(Array(#"{"alg":"none"}"#.utf8).span.bytes, to: &token)
        token.append(UInt8(ascii: "."))
        Base64.url.append(Array(goodPayload.utf8).span.bytes, to: &token)
        token.append(UInt8(ascii: "."))
        #expect(verify(token) == .refused(.unsupportedHeader))
        let good = signed(claims())
        let unsigned = good.prefix(through: good.lastIndex(of: UInt8(ascii: "."))!)
        #expect(verify(Array(unsigned)) == .refused(.wrongSignature))
    }

    /// Each changes one thing in a good payload.
    @Test(arguments: [
        (#""exp":1800003600"#, #""exp":"1800003600""#), (#""exp":1800003600"#, #""exp":-1"#),
        (#""exp":1800003600"#, #""exp":1800003600.0"#), (#""exp":1800003600"#, #""exp":1.8e9"#),
        (#""exp":1800003600"#, #""exp":01800003600"#), (#""exp":1800003600"#, #""exp":null"#),
        (#""exp":1800003600"#, #""exp":99999999999999999999999999999999"#),
        (#""exp":1800003600"#, #""exp":18446744073709551617"#),
        (#""exp":1800003600"#, #""exp":9007199254740993"#), (#""exp":1800003600"#, #""exp":"#),
        (#""exp":1800003600"#, #""exp":{"exp":1800003600}"#),
        (#""exp":1800003600"#, #""exp":1800003600,"exp":1800003600"#),
        (#""exp":1800003600,"#, ""), (#""iat":1800000000,"#, ""),
        (#""iat":1800000000"#, #""iat":true"#),
        (#""name":"alice""#, #""name":"alice","name":"bob""#),
        (#""name":"alice""#, #""name":"""#), (#""name":"alice""#, #""name":"al ice""#),
        (#""name":"alice""#, #""name":"al\u0069ce""#), (#""name":"alice""#, #""name":"alicé""#),
        (#""name":"alice""#, #""name":["alice"]"#), (#""name":"alice","#, ""),
        (#""typ":"access""#, #""typ":"Access""#), (#""typ":"access""#, #""typ":"admin""#),
        (#""typ":"access""#, #""typ":"access","typ":"refresh""#),
        (#""typ":"access""#, #""typ":"access","nbf":1"#),
        (#""typ":"access""#, #""typ":"access","aud":"other""#),
        (#","typ":"access""#, ""), ("}", ""), ("}", "}}"), ("}", ",}"), ("}", "} x"), ("{", "[{"),
        ("{", #"{"sub":"00000000000000000000000000","#), ("\"sub\":\"", "\"sub\":\"8"),
        ("\"jti\"", "\"jtI\""), ("\"sid\"", "\"sub\""),
    ])
    func `claims that aren't exactly ours are refused, however well signed`(
        _ change: (String, String)
    ) {
        let parts = goodPayload.split(
            separator: change.0, maxSplits: 1, omittingEmptySubsequences: false)
        #expect(parts.count == 2)
        let payload = parts.joined(separator: change.1)
        #expect(verify(forged(header: goodHeader, payload: payload)) == .refused(.wrongClaims))
    }

    @Test func `the order of claims and white space among them don't matter`() {
        let payload = goodPayload.replacing(",", with: " ,\r\n\t").replacing(":", with: " : ")
        #expect(verify(forged(header: goodHeader, payload: payload)) == .valid(claims()))
    }

    /// RFC 7515 appendix A.1: the key, the signing input and the signature of the standard.
    @Test func `signs as the standard's example does`() {
        let key = hexOfExampleKey
        let input =
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAs"
            + "DQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        let token = Array((input + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").utf8)
        let parts = TokenVerifier.Parts(token.span.bytes)!
        #expect(TokenVerifier.isHS256(token.span.bytes, parts.header) == true)
        let verifier = TokenVerifier(key: key.span.bytes)!
        var holds = verifier.signatureHolds(token.span.bytes, parts)
        #expect(holds)
        var changed = token
        changed[50] ^= 1
        holds = verifier.signatureHolds(changed.span.bytes, parts)
        #expect(!holds)
        #expect(verify(token, with: key) == .refused(.wrongClaims))
    }

    /// RFC 4231 test cases 1, 2 and 6 (a key longer than a block).
    @Test(arguments: [
        (
            [UInt8](repeating: 0x0b, count: 20), "Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        ),
        (
            Array("Jefe".utf8), "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        ),
        (
            [UInt8](repeating: 0xaa, count: 131),
            "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        ),
    ])
    func `HMAC-SHA256 is the standard's`(_ example: ([UInt8], String, String)) {
        let key = HMACKey(example.0.span.bytes)
        for _ in 0..<2 {
            var code: [UInt8] = []
            key.code(of: Array(example.1.utf8).span.bytes).append(to: &code)
            #expect(code == hex(example.2))
        }
    }

    private var hexOfExampleKey: [UInt8] {
        let text = Array(
            "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
                .utf8)
        var output = [UInt8](repeating: 0, count: 64)
        var span = output.mutableSpan
        var raw = span.mutableBytes
        #expect(Base64.url.decode(text.span.bytes, 0..<text.count, into: &raw) == 64)
        return output
    }
}
