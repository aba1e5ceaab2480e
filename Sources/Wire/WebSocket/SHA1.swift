/// SHA-1 (RFC 3174), which the WebSocket handshake asks for and nothing else here may use.
///
/// It protects nothing: RFC 6455 4.2.2 has it show that the answer comes from a WebSocket server
/// and not from a cache. That is why sixty lines of our own stand here instead of an import of
/// OpenSSL, which would tie every codec and its fuzz targets to a library that is good for secrets.
enum SHA1 {
    static func digest(of message: RawSpan) -> InlineArray<20, UInt8> {
        var state: InlineArray<5, UInt32> = [
            0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0,
        ]
        let count = message.byteCount
        // The message, one bit, zeros, and the length in bits as the last eight bytes of a block.
        let blocks = (count + 9 + 63) / 64
        var words = InlineArray<16, UInt32>(repeating: 0)
        for block in 0..<blocks {
            for index in 0..<16 {
                var word: UInt32 = 0
                for offset in 0..<4 {
                    let at = block * 64 + index * 4 + offset
                    let byte: UInt8 = at < count ? message.byte(at) : at == count ? 0x80 : 0
                    word = word << 8 | UInt32(byte)
                }
                words[index] = word
            }
            if block == blocks - 1 {
                let bits = UInt64(count) * 8
                words[14] = UInt32(truncatingIfNeeded: bits >> 32)
                words[15] = UInt32(truncatingIfNeeded: bits)
            }
            absorb(&words, into: &state)
        }
        var digest = InlineArray<20, UInt8>(repeating: 0)
        for index in 0..<20 {
            let shift = UInt32(24 - 8 * (index % 4))
            digest[index] = UInt8(truncatingIfNeeded: state[index / 4] >> shift)
        }
        return digest
    }

    /// One block. Only the last sixteen words of the schedule are ever looked back at, so it is
    /// made in place.
    private static func absorb(
        _ words: inout InlineArray<16, UInt32>, into state: inout InlineArray<5, UInt32>
    ) {
        var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
        for round in 0..<80 {
            let place = round & 15
            if round >= 16 {
                let mixed =
                    words[(round + 13) & 15] ^ words[(round + 8) & 15] ^ words[(round + 2) & 15]
                    ^ words[place]
                words[place] = rotate(mixed, by: 1)
            }
            let choice: UInt32
            let constant: UInt32
            switch round {
            case 0..<20: (choice, constant) = ((b & c) | (~b & d), 0x5A82_7999)
            case 20..<40: (choice, constant) = (b ^ c ^ d, 0x6ED9_EBA1)
            case 40..<60: (choice, constant) = ((b & c) | (b & d) | (c & d), 0x8F1B_BCDC)
            default: (choice, constant) = (b ^ c ^ d, 0xCA62_C1D6)
            }
            let next = rotate(a, by: 5) &+ choice &+ e &+ constant &+ words[place]
            (e, d, c, b, a) = (d, c, rotate(b, by: 30), a, next)
        }
        state[0] &+= a
        state[1] &+= b
        state[2] &+= c
        state[3] &+= d
        state[4] &+= e
    }

    private static func rotate(_ word: UInt32, by count: UInt32) -> UInt32 {
        word << count | word >> (32 - count)
    }
}
