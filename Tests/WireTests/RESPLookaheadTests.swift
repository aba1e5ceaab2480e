import Testing
import Wire

@Suite("A look ahead in a pipeline") struct RESPLookaheadTests {
    /// A pipeline of commands of many shapes, and the first word after each name.
    private static func pipeline() -> (bytes: [UInt8], keys: [String]) {
        var bytes: [UInt8] = []
        var keys: [String] = []
        for length in [0, 1, 9, 10, 99, 100, 348, 999] {
            for words in 2...12 {
                let key = String(repeating: "k", count: length)
                let all = ["SET", key] + Array(repeating: "value", count: words - 2)
                bytes += Array("*\(words)\r\n".utf8)
                for word in all { bytes += Array("$\(word.utf8.count)\r\n\(word)\r\n".utf8) }
                keys.append(key)
            }
        }
        return (bytes, keys)
    }

    private static func keys(_ bytes: [UInt8]) -> [String] {
        unsafe bytes.withUnsafeBytes { bytes in
            var found: [String] = []
            var at = 0
            while let (key, next) = unsafe RESPLookahead.key(bytes, at: at) {
                found.append(unsafe String(decoding: bytes[key], as: UTF8.self))
                at = next
            }
            return found
        }
    }

    @Test func `finds the key of every command`() {
        let (bytes, keys) = Self.pipeline()
        // What is behind a length must be there to be read at once; the last one's may not be.
        #expect(Self.keys(bytes + Array("*1\r\n".utf8)) == keys)
    }

    @Test func `ends where a pipeline is cut, wherever that is`() {
        let (bytes, keys) = Self.pipeline()
        for count in stride(from: 0, through: bytes.count, by: 7) {
            let found = Self.keys(Array(bytes[..<count]))
            #expect(found == Array(keys[..<found.count]), "\(count) bytes")
        }
    }

    @Test(arguments: [
        "", "PING\r\n", "*1\r\n$4\r\nPING\r\n", "*2\r\n$03\r\nGET\r\n$1\r\nk\r\n",
        "*-1\r\n", "*2\r\n:3\r\n$1\r\nk\r\n", "*2\r\n$3\r\nGET\r\n$1000\r\nk\r\n",
        "*99999\r\n$1\r\nk\r\n",
    ])
    func `finds nothing in what is not plain`(_ text: String) {
        #expect(Self.keys(Array(text.utf8)) == [])
    }
}
