import Glibc

/// A request prepared once: sending it is a copy and, where it has a key or a stamp, overwriting a
/// few digits of fixed width.
@safe struct RequestTemplate: ~Copyable {
    /// `key00000042`: every key has the same length, so every request for one has too.
    static let keyDigits = 8
    static let keysMax = 99_999_999
    static let keyPlaceholder = "{key}"
    private static let keySample = "key00000000"
    /// Stands for words in a prepared value: a byte that is in no request otherwise.
    private static let wordsMark: UInt8 = 0x01

    let bytes: UnsafeMutablePointer<UInt8>
    let count: Int
    /// Where the key's digits and the stamp stand, or -1.
    let keyPlace: Int
    let stampPlace: Int
    /// Where words are filled in that differ from key to key, or -1, and how many bytes of them.
    private let wordsPlace: Int
    private let wordsCount: Int

    private init(_ text: [UInt8], isStamped: Bool) {
        count = text.count
        unsafe bytes = .allocate(capacity: max(text.count, 1))
        for (place, byte) in text.enumerated() { unsafe bytes[place] = byte }
        let key = Self.place(of: Array(Self.keySample.utf8), in: text)
        keyPlace = key.map { $0 + Self.keySample.utf8.count - Self.keyDigits } ?? -1
        let zeroes = [UInt8](repeating: 0x30, count: Stamp.byteCount - 4)
        let words = text.reversed().drop { $0 != Self.wordsMark }.prefix { $0 == Self.wordsMark }
        wordsCount = words.count
        wordsPlace = text.firstIndex(of: Self.wordsMark) ?? -1
        stampPlace = isStamped ? Self.place(of: Array("ntb1".utf8) + zeroes, in: text) ?? -1 : -1
    }

    deinit { unsafe bytes.deallocate() }

    var isConstant: Bool { keyPlace < 0 && stampPlace < 0 && wordsPlace < 0 }

    /// An HTTP request. `{key}` in the path is where keys go.
    static func http(
        method: String, path: String, host: String, headers: [String], contentType: String? = nil,
        body: [UInt8]? = nil, isStamped: Bool = false
    ) -> RequestTemplate {
        var head = "\(method) \(withKey(path)) HTTP/1.1\r\nHost: \(host)\r\n"
        for header in headers { head += header + "\r\n" }
        if let body {
            if let contentType { head += "Content-Type: \(contentType)\r\n" }
            head += "Content-Length: \(body.count)\r\n"
        }
        return RequestTemplate(Array((head + "\r\n").utf8) + (body ?? []), isStamped: isStamped)
    }

    /// A RESP command. A word that `withKey` made is where keys go.
    static func resp(_ words: [[UInt8]]) -> RequestTemplate {
        var text = Array("*\(words.count)\r\n".utf8)
        for word in words { text += Array("$\(word.count)\r\n".utf8) + word + [0x0D, 0x0A] }
        return RequestTemplate(text, isStamped: false)
    }

    /// The text with a key in the place of `{key}`.
    static func withKey(_ text: String) -> String {
        guard let range = place(of: Array(keyPlaceholder.utf8), in: Array(text.utf8)) else {
            return text
        }
        let bytes = Array(text.utf8)
        return String(decoding: bytes[..<range], as: UTF8.self) + keySample
            + String(decoding: bytes[(range + keyPlaceholder.utf8.count)...], as: UTF8.self)
    }

    /// A value of `size` bytes: a stamp's place first where one is wanted, then letters that
    /// neither compress to nothing nor need an escape, or the places of words.
    static func value(size: Int, isStamped: Bool, isWords: Bool = false) -> [UInt8] {
        var random = Random(seed: 42)
        var bytes: [UInt8] = []
        if isStamped {
            bytes += Array("ntb1".utf8) + [UInt8](repeating: 0x30, count: Stamp.byteCount - 4)
        }
        while bytes.count < size {
            bytes.append(isWords ? wordsMark : 0x61 + UInt8(random.below(26)))
        }
        return bytes
    }

    /// Copies the request to `place` with its key filled in.
    @inline(__always)
    func write(to place: UnsafeMutablePointer<UInt8>, key: UInt32) {
        unsafe memcpy(place, bytes, count)
        if wordsPlace >= 0 {
            unsafe Words.shared.fill(place + wordsPlace, wordsCount, seed: UInt64(key))
        }
        guard keyPlace >= 0 else { return }
        var rest = key
        var digit = Self.keyDigits
        // The template's own digits are zeroes.
        while rest > 0 {
            digit -= 1
            let next = rest / 10
            unsafe place[keyPlace + digit] = 0x30 + UInt8(truncatingIfNeeded: rest - next * 10)
            rest = next
        }
    }

    private static func place(of wanted: [UInt8], in text: [UInt8]) -> Int? {
        guard text.count >= wanted.count else { return nil }
        return (0...(text.count - wanted.count)).first {
            text[$0..<($0 + wanted.count)].elementsEqual(wanted)
        }
    }
}
