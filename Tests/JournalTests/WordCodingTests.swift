import Testing

@testable import Journal

@Suite("Words in few bytes") struct WordCodingTests {
    private func coded(_ text: [UInt8]) -> [UInt8]? {
        var coding = WordCoding()
        var room = Scratch(16)
        return unsafe text.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress,
                let count = unsafe coding.code(base, bytes.count, into: &room)
            else { return nil }
            return unsafe [UInt8](UnsafeRawBufferPointer(start: room.base, count: count))
        }
    }

    private func decoded(_ coded: [UInt8], size: Int) -> [UInt8]? {
        var text = [UInt8](repeating: 0, count: size)
        let isWhole = unsafe coded.withUnsafeBytes { bytes in
            unsafe text.withUnsafeMutableBytes {
                unsafe WordCoding.decode(bytes, into: $0.baseAddress.unsafelyUnwrapped, size: size)
            }
        }
        return isWhole ? text : nil
    }

    @Test(arguments: [200, 40_000, 200_000])
    func `a text takes less than half, and comes back`(_ size: Int) throws {
        let words = ["river ", "stone ", "a ", "evening ", "of ", "Light, ", "grün ", "42 "]
        var text: [UInt8] = []
        var seed = 7
        while text.count < size {
            seed = (seed &* 1_103_515_245 &+ 12_345) & 0x7FFF_FFFF
            text += Array(words[seed >> 16 & 7].utf8)
        }
        let packed = try #require(coded(text))
        #expect(packed.count < text.count / 2 || size < 1_000)
        #expect(decoded(packed, size: text.count) == text)
    }

    @Test(arguments: [1_000, 40_000, 500_000])
    func `letters by chance are left as they are`(_ size: Int) {
        var seed: UInt64 = 1
        let letters = (0..<size).map { _ -> UInt8 in
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(97 + seed >> 33 % 26)
        }
        #expect(coded(letters) == nil)
    }
}
