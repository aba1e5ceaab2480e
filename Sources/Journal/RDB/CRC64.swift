/// The checksum at the end of an RDB file: CRC-64 as Redis has it (the Jones polynomial, bits
/// reflected, nothing added before or after).
public struct CRC64: Equatable, Sendable {
    public private(set) var value: UInt64

    public init(_ value: UInt64 = 0) { self.value = value }

    /// 0xad93d23594c935a9 with its bits in reverse.
    private static let polynomial: UInt64 = 0x95AC_9329_AC4B_C9B5

    /// Eight tables of 256: the first for one byte, the others for a byte that has one to seven
    /// more behind it, so that eight bytes cost one round instead of eight.
    private static let tables: [UInt64] = {
        var tables = [UInt64](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            var rest = UInt64(byte)
            for _ in 0..<8 { rest = rest & 1 == 1 ? rest >> 1 ^ polynomial : rest >> 1 }
            tables[byte] = rest
        }
        for place in 256..<tables.count {
            let before = tables[place - 256]
            tables[place] = tables[Int(before & 0xFF)] ^ before >> 8
        }
        return tables
    }()

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var crc = value
        unsafe Self.tables.withUnsafeBufferPointer { tables in
            var at = 0
            while at + 8 <= bytes.count {
                let word = unsafe bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)
                crc ^= UInt64(littleEndian: word)
                var next: UInt64 = 0
                for place in 0..<8 {
                    let byte = Int(crc >> UInt64(place * 8) & 0xFF)
                    unsafe next ^= tables[(7 - place) << 8 | byte]
                }
                crc = next
                at += 8
            }
            while at < bytes.count {
                unsafe crc = tables[Int((crc ^ UInt64(bytes[at])) & 0xFF)] ^ crc >> 8
                at += 1
            }
        }
        value = crc
    }
}
