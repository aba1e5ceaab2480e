/// Feeds whatever libFuzzer thinks of to the two parsers of RESP, and checks that what they make of
/// it does not depend on how it was split. The first byte of an input chooses what the rest is for.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzRESP(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let start = unsafe start, count > 1 else { return 0 }
    let input = unsafe [UInt8](UnsafeBufferPointer(start: start + 2, count: count - 2))
    let split = unsafe Int(start[1]) % (input.count + 1)
    switch unsafe start.pointee % 4 {
    case 0: requests(input, split, inline: false)
    case 1: requests(input, split, inline: true)
    case 2: replies(input, split)
    default: globs(input, split)
    }
    return 0
}

private func check(_ condition: Bool, _ broken: StaticString) {
    if !condition { fatalError("\(broken)") }
}

private func read(_ pieces: [[UInt8]], inline: Bool, gathering: Bool) -> [[UInt8]] {
    var limits = RESPLimits()
    limits.allowsInline = inline
    var arguments = RESPArguments()
    var parser = RESPRequestParser()
    var unread: [UInt8] = []
    var said: [[UInt8]] = []
    for piece in pieces {
        unread += piece
        reading: while !unread.isEmpty {
            if !gathering { parser = RESPRequestParser() }
            // A copy of exactly its size, so that the address sanitizer sees one byte too far.
            let bytes = Array(unread)
            let step = unsafe bytes.withUnsafeBytes {
                unsafe parser.parse($0, limits, into: &arguments)
            }
            switch step {
            case .needMore(let missing):
                check(missing > 0, "nothing is missing and it is not whole")
                break reading
            case .command(let size):
                check(size > 0 && size <= bytes.count, "a command is longer than its bytes")
                unsafe bytes.withUnsafeBytes { raw in
                    for number in 0..<arguments.count {
                        unsafe said.append(Array(arguments.bytes(number, of: raw.baseAddress!)))
                    }
                }
                said.append([0])
                unread.removeFirst(size)
                parser = RESPRequestParser()
            case .violation(let violation):
                var out = RESPWriter()
                violation.write(into: &out)
                said.append(unsafe Array(out.written))
                return said
            }
        }
    }
    said.append(unread)
    return said
}

private func requests(_ input: [UInt8], _ split: Int, inline: Bool) {
    let pieces = [Array(input[..<split]), Array(input[split...])]
    let whole = read([input], inline: inline, gathering: false)
    check(read(pieces, inline: inline, gathering: false) == whole, "a split changes a command")
    check(read(pieces, inline: inline, gathering: true) == whole, "gathering changes a command")
}

private func replies(_ input: [UInt8], _ split: Int) {
    func read(_ pieces: [[UInt8]]) -> [RESPReplyParser.Step] {
        var parser = RESPReplyParser()
        var steps: [RESPReplyParser.Step] = []
        for piece in pieces {
            parser.feed(piece)
            while case let step = parser.next(), step != .needMore {
                steps.append(step)
                if case .violation = step { return steps }
            }
        }
        return steps
    }
    check(
        read([Array(input[..<split]), Array(input[split...])]) == read([input]),
        "a split changes a reply")
}

private func globs(_ input: [UInt8], _ split: Int) {
    let pattern = Array(input[..<split])
    let text = Array(input[split...])
    unsafe pattern.withUnsafeBytes { pattern in
        unsafe text.withUnsafeBytes { text in
            _ = unsafe Glob.matches(pattern, text)
            _ = unsafe Glob.matches(pattern, text, ignoringCase: true)
        }
    }
}
