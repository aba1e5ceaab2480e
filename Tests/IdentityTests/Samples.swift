import Identity

let key = [UInt8]("a signing key of thirty-two bytes, at least".utf8)
let otherKey = [UInt8]("another signing key, just as long as that".utf8)
let noonS: UInt64 = 1_800_000_000
let second: UInt64 = 1_000_000_000

func identifier(_ number: UInt64) -> Identifier {
    Identifier(high: number &* 0x9e37_79b9_7f4a_7c15, low: ~number)
}

func claims(
    name: String = "alice", expiresAtS: UInt64 = noonS + 3600, issuedAtS: UInt64 = noonS,
    number: UInt64 = 1, use: TokenUse = .access
) -> Claims {
    Claims(
        subject: identifier(number), name: UserName(name)!, expiresAtS: expiresAtS,
        issuedAtS: issuedAtS, token: identifier(number + 1_000_000),
        login: identifier(number + 2_000_000), use: use)
}

func signed(_ claims: Claims, with key: [UInt8] = key) -> [UInt8] {
    TokenSigner(key: key.span.bytes)!.sign(claims)
}

func verify(
    _ token: [UInt8], with key: [UInt8] = key, for use: TokenUse = .access, nowS: UInt64 = noonS
) -> TokenVerdict {
    TokenVerifier(key: key.span.bytes)!.verify(token.span.bytes, for: use, nowS: nowS)
}

func name(_ text: String) -> UserName { UserName(text)! }

func address(_ text: String) -> IPAddress { IPAddress(text)! }

func hex(_ text: String) -> [UInt8] {
    let digits = text.utf8.compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}
