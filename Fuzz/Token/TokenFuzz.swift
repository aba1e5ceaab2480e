// What a stranger's bytes reach in Identity, under libFuzzer: tokens, their headers and claims
// (also rightly signed, or no input would ever get past the signature), `Authorization`,
// forwarding headers, and the forms that come from settings or a store.
//
//     swiftc -O -enable-experimental-feature Lifetimes \
//         -parse-as-library -sanitize=fuzzer,address \
//         -I Sources/COpenSSL Sources/Identity/*.swift Fuzz/Token/TokenFuzz.swift -l:libcrypto.a \
//         -o token-fuzz
//     ./token-fuzz -max_total_time=120 -dict=Fuzz/Token/words.dict Fuzz/Token/seeds

private let key = [UInt8](repeating: 0x6b, count: 32)
private let noonS: UInt64 = 1_800_000_000

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count > 0 else { return 0 }
    let input = Array(UnsafeBufferPointer(start: start + 1, count: count - 1))
    switch start[0] % 8 {
    case 0: fuzzToken(input)
    case 1: fuzzClaims(input)
    case 2: fuzzHeader(input)
    case 3: fuzzPasswordHash(input)
    case 4: fuzzForwarded(input)
    case 5: fuzzSettings(input)
    case 6: fuzzBase64(input)
    default: fuzzCache(input)
    }
    return 0
}

private func verify(_ token: [UInt8]) -> TokenVerdict {
    TokenVerifier(key: key.span.bytes)!.verify(token.span.bytes, for: .access, nowS: noonS)
}

private func forged(_ header: [UInt8], _ payload: [UInt8]) -> [UInt8] {
    var token: [UInt8] = []
    Base64.url.append(header.span.bytes, to: &token)
    token.append(UInt8(ascii: "."))
    Base64.url.append(payload.span.bytes, to: &token)
    var signature: [UInt8] = []
    HMACKey(key.span.bytes).code(of: token.span.bytes).append(to: &signature)
    token.append(UInt8(ascii: "."))
    Base64.url.append(signature.span.bytes, to: &token)
    return token
}

/// A token that is accepted is one that signing its claims could have led to.
private func fuzzToken(_ input: [UInt8]) {
    guard case .valid(let claims) = verify(input) else { return }
    let again = TokenSigner(key: key.span.bytes)!.sign(claims)
    invariant(verify(again) == .valid(claims), "a token doesn't survive being signed again")
}

/// Claims that are accepted mean the same when written by us.
private func fuzzClaims(_ input: [UInt8]) {
    if let claims = Claims(input.span.bytes) {
        var written: [UInt8] = []
        claims.append(to: &written)
        invariant(Claims(written.span.bytes) == claims, "claims change when written")
        invariant(written.count <= max(input.count, 0), "claims grow when written")
    }
    fuzzToken(forged(Array(#"{"alg":"HS256","typ":"JWT"}"#.utf8), input))
}

/// A header that is accepted has HS256 in it, and nothing of what could change its meaning.
private func fuzzHeader(_ input: [UInt8]) {
    let claims = Claims(
        subject: .admin, name: .admin, expiresAtS: noonS + 60, issuedAtS: noonS, token: .admin,
        login: .admin, use: .access)
    var payload: [UInt8] = []
    claims.append(to: &payload)
    guard case .valid = verify(forged(input, payload)) else { return }
    let text = String(decoding: input, as: UTF8.self)
    invariant(text.contains("\"alg\"") && text.contains("\"HS256\""), "a header without HS256")
    invariant(text.utf8.filter { $0 == UInt8(ascii: "\"") }.count <= 8, "a header with more")
}

private func fuzzPasswordHash(_ input: [UInt8]) {
    guard let hash = PasswordHash(encoded: input.span.bytes) else { return }
    invariant(hash.encoded == input, "a password hash has two spellings")
}

private func fuzzForwarded(_ input: [UInt8]) {
    let trusted = TrustedProxies([AddressBlock("10.0.0.0/8")!, AddressBlock("fd00::/8")!])!
    var walk = ForwardedAddress(peer: IPAddress("10.0.0.1")!, trusted: trusted)
    walk.hear(forwarded: input.span.bytes, trusted: trusted)
    walk.hear(xForwardedFor: input.span.bytes, trusted: trusted)
    _ = walk.client
    if case .bearer(let range) = AuthorizationHeader.parse(input.span.bytes) {
        invariant(!range.isEmpty && range.upperBound <= input.count, "a bearer token out of range")
    }
}

private func fuzzSettings(_ input: [UInt8]) {
    if let block = AddressBlock(input.span.bytes) {
        let slash = input.firstIndex(of: UInt8(ascii: "/")) ?? input.count
        let base = IPAddress(input.span.bytes, 0..<slash)!
        invariant(block.contains(base), "a block without its own base")
    }
    if let name = UserName(input.span.bytes) {
        invariant(Array(name.text.utf8) == input, "a name has two spellings")
    }
    if let identifier = Identifier(input.span.bytes) {
        invariant(Array(identifier.text.utf8) == input, "an identifier has two spellings")
    }
}

private func fuzzBase64(_ input: [UInt8]) {
    for alphabet in [Base64.url, .standard] {
        var output = [UInt8](repeating: 0, count: input.count)
        var count: Int?
        do {
            var span = output.mutableSpan
            var raw = span.mutableBytes
            count = alphabet.decode(input.span.bytes, 0..<input.count, into: &raw)
        }
        guard let count else { continue }
        var text: [UInt8] = []
        let decoded = Array(output[..<count])
        alphabet.append(decoded.span.bytes, to: &text)
        invariant(text == input, "base64 has two spellings")
    }
}

private func fuzzCache(_ input: [UInt8]) {
    var cache = TokenCache(capacity: 8, seed: SipKey(low: 1, high: 2))
    let principal = Principal(
        user: .admin, login: .admin, credential: .admin, expiresAtS: noonS + 60, owner: 1,
        scopes: .read)
    cache.remember(input.span.bytes, as: principal, asOf: cache.ticket, nowS: noonS)
    let fits = input.count >= TokenCache.tokenBytesMin && input.count <= TokenCache.tokenBytesMax
    invariant(
        (cache.principal(for: input.span.bytes, nowS: noonS) == principal) == fits,
        "a token isn't remembered as its length says")
    guard fits else { return }
    var changed = input
    changed[Int(input[0]) % input.count] ^= 1
    invariant(
        cache.principal(for: changed.span.bytes, nowS: noonS) == nil,
        "another token is taken for a remembered one")
}
