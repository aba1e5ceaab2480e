import Testing

@testable import Journal

@Suite("CRC-64 of RDB files") struct CRC64Tests {
    @Test func `agrees with Redis on the nine digits`() {
        var crc = CRC64()
        crc.update(Array("123456789".utf8))
        #expect(crc.value == 0xE9C6_D914_C4B8_D9CA)
    }

    @Test func `is the same however the bytes are split`() {
        let bytes = (0..<100).map { UInt8(truncatingIfNeeded: $0 * 37) }
        var whole = CRC64()
        whole.update(bytes)
        for place in 0...bytes.count {
            var split = CRC64()
            split.update(Array(bytes[..<place]))
            split.update(Array(bytes[place...]))
            #expect(split == whole)
        }
    }
}

extension CRC64 {
    mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }
}
