/// Feeds whatever libFuzzer thinks of to everything here that reads JSON, and compares with the slow
/// reading in the tests. The first byte of an input chooses what the rest is for.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzJSON(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let start = unsafe start, count > 0 else { return 0 }
    // A copy of exactly its size, so that the address sanitizer sees one byte too far.
    let input = unsafe [UInt8](UnsafeBufferPointer(start: start + 1, count: count - 1))
    switch unsafe start.pointee % 5 {
    case 0: validate(input)
    case 1: mergePatch(input)
    case 2: strings(input)
    case 3: scan(input)
    default: base64(input)
    }
    return 0
}

private func check(_ condition: Bool, _ broken: StaticString) {
    if !condition { fatalError("\(broken)") }
}

private func isValid(_ bytes: [UInt8]) -> Bool {
    unsafe bytes.withUnsafeBytes { unsafe JSONValidator.validate($0) == .valid }
}

private func validate(_ input: [UInt8]) {
    check(isValid(input) == (JSONTree(input) != nil), "the validator and the reference disagree")
    let isUTF8 = unsafe input.withUnsafeBytes { unsafe UTF8Text.isValid($0) }
    check(
        isUTF8 == (String(validating: input, as: UTF8.self) != nil),
        "the standard library disagrees on what UTF-8 is")
}

/// The input is a target and a patch with a zero byte between.
private func mergePatch(_ input: [UInt8]) {
    let split = input.firstIndex(of: 0) ?? input.count
    let target = Array(input[..<split])
    let patch = Array(input[split...].dropFirst())
    let (outcome, result) = merged(target, patch)
    check(outcome != .tooLarge, "a merge did not fit the room it asked for")
    guard let patchTree = JSONTree(patch) else {
        if case .invalidPatch = outcome { return }
        fatalError("a patch that is no JSON was applied")
    }
    guard let targetTree = JSONTree(target) else {
        if case .merged = outcome { return }
        if case .invalidTarget = outcome { return }
        fatalError("a target that is no JSON was called something else")
    }
    guard case .merged = outcome else { fatalError("a merge of two documents was refused") }
    check(
        JSONTree(result) == targetTree.merged(with: patchTree),
        "the merge and the RFC's pseudo code disagree")
    let again = merged(result, patch)
    check(
        JSONTree(again.result) == JSONTree(result), "the same patch twice is not the patch once")
}

private func merged(
    _ target: [UInt8], _ patch: [UInt8]
) -> (outcome: JSONMergePatch.Outcome, result: [UInt8]) {
    var output = [UInt8](repeating: 0, count: target.count + patch.count)
    let outcome = unsafe target.withUnsafeBytes { target in
        unsafe patch.withUnsafeBytes { patch in
            unsafe output.withUnsafeMutableBytes {
                unsafe JSONMergePatch.apply(patch, to: target, into: $0)
            }
        }
    }
    guard case .merged(let count) = outcome else { return (outcome, []) }
    return (outcome, Array(output[..<count]))
}

private func strings(_ input: [UInt8]) {
    let decoded = decode(input)
    if isValid(input), input.first == 0x22, input.last == 0x22 {
        guard case .string(let text) = JSONTree(input) else { fatalError("a string is none") }
        check(decoded == Array(text.utf8), "a string decodes to something else")
    }
    let isUTF8 = String(validating: input, as: UTF8.self) != nil
    let raw = encode(input)
    check(isValid(raw) == isUTF8, "what was encoded is not JSON")
    check(decode(raw) == input, "what was encoded does not decode to the same")
    _ = unsafe input.withUnsafeBytes { unsafe JSONNumber.integer($0) }
    if let text = String(validating: input, as: UTF8.self), let number = Int64(text),
        isValid(input)
    {
        let read = unsafe input.withUnsafeBytes { unsafe JSONNumber.integer($0) }
        // White space around a number is valid JSON, but not to the exact reader.
        check(read == .exact(number), "an integer was read as another")
    }
}

private func decode(_ raw: [UInt8]) -> [UInt8]? {
    var output = [UInt8](
        repeating: 0, count: unsafe raw.withUnsafeBytes { unsafe JSONString.decodedCountMax($0) })
    let count = unsafe raw.withUnsafeBytes { raw in
        unsafe output.withUnsafeMutableBytes { unsafe JSONString.decode(raw, into: $0) }
    }
    return count.map { Array(output[..<$0]) }
}

private func encode(_ text: [UInt8]) -> [UInt8] {
    var output = [UInt8](
        repeating: 0, count: unsafe text.withUnsafeBytes { unsafe JSONString.encodedCount($0) })
    let count = unsafe text.withUnsafeBytes { text in
        unsafe output.withUnsafeMutableBytes { unsafe JSONString.encode(text, into: $0) }
    }
    check(count == output.count, "encoding took other room than it asked for")
    return output
}

private func scan(_ input: [UInt8]) {
    unsafe input.withUnsafeBytes { bytes in
        let isWhole = isValid(input)
        var members = unsafe JSONMembers(bytes)
        var repeats = 0
        var last: Range<Int>?
        while case .member(let member) = members.next() {
            check(isValid(Array(input[member.name])), "a name is no string")
            check(isValid(Array(input[member.value])), "a member is no value")
            if unsafe member.isNamed("value", in: bytes) {
                repeats += 1
                last = member.value
            }
        }
        let isObject = members.next() == .end
        if isObject { check(isWhole, "the scanner accepts what the validator refuses") }
        let found = unsafe JSONScanner.find("value", in: bytes)
        if isObject {
            check(
                found == (repeats == 0 ? .absent : repeats == 1 ? .found(last!) : .repeated),
                "the member that was looked for is another")
        }
        var elements = unsafe JSONElements(bytes)
        while case .element(let element) = elements.next() {
            check(isValid(Array(input[element])), "an element is no value")
        }
        let isArray = elements.next() == .end
        if isArray { check(isWhole, "the scanner accepts what the validator refuses") }
        let kind = unsafe JSONKind(of: bytes)
        if isWhole {
            check(isObject == (kind == .object), "an object was not walked to its end")
            check(isArray == (kind == .array), "an array was not walked to its end")
        }
    }
}

private func base64(_ input: [UInt8]) {
    for alphabet in [Base64.Alphabet.standard, .urlSafe] {
        let text = base64Encode(input, alphabet)
        check(base64Decode(text, alphabet) == input, "base64 does not bring back its bytes")
        if let bytes = base64Decode(input, alphabet) {
            check(base64Encode(bytes, alphabet) == input, "bytes have two spellings in base64")
        }
    }
}

private func base64Encode(_ bytes: [UInt8], _ alphabet: Base64.Alphabet) -> [UInt8] {
    var output = [UInt8](repeating: 0, count: Base64.encodedCount(bytes.count, alphabet))
    let count = unsafe bytes.withUnsafeBytes { bytes in
        unsafe output.withUnsafeMutableBytes { unsafe Base64.encode(bytes, alphabet, into: $0) }
    }
    check(count == output.count, "base64 took other room than it asked for")
    return output
}

private func base64Decode(_ text: [UInt8], _ alphabet: Base64.Alphabet) -> [UInt8]? {
    var output = [UInt8](repeating: 0, count: Base64.decodedCountMax(text.count))
    let count = unsafe text.withUnsafeBytes { text in
        unsafe output.withUnsafeMutableBytes { unsafe Base64.decode(text, alphabet, into: $0) }
    }
    return count.map { Array(output[..<$0]) }
}
