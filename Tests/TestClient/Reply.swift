/// One HTTP answer as it came over the wire.
public struct Reply: Sendable {
    public var status: Int
    public var version: String
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]
    /// The 1xx answers that came before this one.
    public var interim: [Int]

    /// The value of a header, several of one name joined as RFC 9110 5.2 says.
    public func header(_ name: String) -> String? {
        let values = headers.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
        return values.isEmpty ? nil : values.joined(separator: ", ")
    }

    public var text: String { String(decoding: body, as: UTF8.self) }

    /// Whether the server said that it will close.
    public var saysClose: Bool { header("connection")?.lowercased() == "close" }

    /// The sentence of an error answer, or nil where the body is not `{"error":"…"}` as the
    /// contract promises it.
    public var errorSentence: String? {
        guard header("content-type")?.lowercased().hasPrefix("application/json") == true
        else { return nil }
        let opening = "{\"error\":\""
        let text = self.text
        guard text.hasPrefix(opening), text.hasSuffix("\"}") else { return nil }
        let sentence = text.dropFirst(opening.count).dropLast(2)
        return sentence.isEmpty || sentence.contains("\n") ? nil : String(sentence)
    }
}

/// Why an answer could not be read.
public enum ClientError: Error, CustomStringConvertible, Equatable {
    case system(String, Int32)
    case timedOut(String)
    /// The server closed in good order, with so many bytes of an unfinished answer received.
    case ended(unfinished: String)
    case reset
    /// The server's own framing is wrong.
    case malformed(String)

    public var description: String {
        switch self {
        case .system(let call, let code): "\(call) failed with errno \(code)"
        case .timedOut(let what): "timed out waiting for \(what)"
        case .ended(let unfinished):
            unfinished.isEmpty
                ? "closed without an answer" : "closed in the middle of an answer: \(unfinished)"
        case .reset: "connection reset"
        case .malformed(let what): "malformed answer: \(what)"
        }
    }
}

/// The head of an answer, read strictly: what a lenient client would repair is a defect to us.
struct ReplyHead {
    var version: String
    var status: Int
    var headers: [(name: String, value: String)] = []

    init(_ bytes: ArraySlice<UInt8>) throws(ClientError) {
        let text = String(decoding: bytes, as: UTF8.self)
        var lines = text.split(separator: "\r\n", omittingEmptySubsequences: false)
        let first = lines.removeFirst().split(
            separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard first.count == 3, first[0].hasPrefix("HTTP/1."), first[1].utf8.count == 3,
            let code = Int(first[1]), (100...599).contains(code)
        else { throw .malformed("status line \(first)") }
        version = String(first[0])
        status = code
        for line in lines {
            guard let colon = line.firstIndex(of: ":"), colon != line.startIndex,
                !line.contains(where: { $0 == "\n" || $0 == "\r" || $0 == "\0" })
            else { throw .malformed("header line \(line)") }
            let name = line[..<colon]
            guard !name.contains(where: { $0 == " " || $0 == "\t" })
            else { throw .malformed("header name \(name)") }
            var value = line[line.index(after: colon)...]
            while value.first == " " || value.first == "\t" { value.removeFirst() }
            while value.last == " " || value.last == "\t" { value.removeLast() }
            headers.append((String(name), String(value)))
        }
    }

    enum Framing: Equatable { case none, length(Int), chunked, untilEnd }

    /// RFC 9112 6.3, from the client's side.
    func framing(answersHead: Bool) throws(ClientError) -> Framing {
        let lengths = headers.filter { $0.name.lowercased() == "content-length" }
        let codings = headers.filter { $0.name.lowercased() == "transfer-encoding" }
        guard lengths.count <= 1, codings.count <= 1, lengths.isEmpty || codings.isEmpty
        else { throw .malformed("conflicting lengths in \(headers)") }
        if (100...199).contains(status) || status == 204 || status == 304 {
            guard lengths.isEmpty || status == 304, codings.isEmpty
            else { throw .malformed("a length in a \(status)") }
            return .none
        }
        if answersHead { return .none }
        if let coding = codings.first {
            guard coding.value.lowercased() == "chunked"
            else { throw .malformed("coding \(coding.value)") }
            return .chunked
        }
        if let length = lengths.first {
            guard let count = Int(length.value), count >= 0, length.value.first != "+"
            else { throw .malformed("length \(length.value)") }
            return .length(count)
        }
        return .untilEnd
    }
}
