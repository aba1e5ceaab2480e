/// The compression of strings in RDB files: Marc Lehmann's LZF.
///
/// A stream is a row of two kinds of runs. `000LLLLL` is followed by L + 1 bytes to be taken as
/// they are. `LLLOOOOO` and a byte of eight more bits O repeat L + 2 bytes from O + 1 bytes back;
/// with L = 7 a further byte, before the last, is added to it.
enum LZF {
    /// No three bytes of input can make more than this: a claim beyond it is damage, and is
    /// seen before memory is taken for it.
    static let expansionMax = 88

    private static let literalMax = 32
    private static let repeatMax = 264
    private static let distanceMax = 8192

    /// The `count` bytes that `packed` stands for; nil when it does not stand for exactly so many.
    static func unpack(_ packed: ArraySlice<UInt8>, count: Int) -> [UInt8]? {
        guard count <= packed.count * expansionMax else { return nil }
        var output = [UInt8](repeating: 0, count: count)
        var room = output.mutableSpan
        return unpack(packed.span, into: &room) ? output : nil
    }

    private static func unpack(
        _ input: Span<UInt8>, into output: inout MutableSpan<UInt8>
    ) -> Bool {
        var from = 0
        var to = 0
        while from < input.count {
            let control = Int(input[from])
            from += 1
            if control < literalMax {
                let end = from + control + 1
                guard end <= input.count, to + control + 1 <= output.count else { return false }
                while from < end {
                    output[to] = input[from]
                    from += 1
                    to += 1
                }
                continue
            }
            var length = control >> 5
            if length == 7 {
                guard from < input.count else { return false }
                length += Int(input[from])
                from += 1
            }
            length += 2
            guard from < input.count else { return false }
            var source = to - (control & 31) << 8 - Int(input[from]) - 1
            from += 1
            guard source >= 0, to + length <= output.count else { return false }
            // What is repeated may overlap what it makes: one byte at a time, forwards.
            for _ in 0..<length {
                output[to] = output[source]
                to += 1
                source += 1
            }
        }
        return to == output.count
    }

    /// Not worth trying below this, as Redis has it: a header costs more than is won.
    static let bytesMin = 20

    /// The bytes in a shorter form, or nil where they have none.
    static func pack(_ bytes: [UInt8]) -> [UInt8]? {
        guard bytes.count > bytesMin else { return nil }
        var packed: [UInt8] = []
        packed.reserveCapacity(bytes.count)
        // Where three bytes with this hash were seen last. A short string gets a small table: to
        // clear a large one would take longer than to pack it.
        let bits = min(12, Int.bitWidth - bytes.count.leadingZeroBitCount)
        var places = [Int32](repeating: -1, count: 1 << bits)
        let shift = UInt32(32 - bits)
        var literals = 0
        var at = 0
        while at + 2 < bytes.count {
            let three = UInt32(bytes[at]) << 16 | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2])
            let hash = Int((three &* 0x9E37_79B1) >> shift)
            let seen = Int(places[hash])
            places[hash] = Int32(truncatingIfNeeded: at)
            guard seen >= 0, at - seen <= distanceMax, bytes[seen] == bytes[at],
                bytes[seen + 1] == bytes[at + 1], bytes[seen + 2] == bytes[at + 2]
            else {
                at += 1
                continue
            }
            var length = 3
            let limit = min(repeatMax, bytes.count - at)
            while length < limit, bytes[seen + length] == bytes[at + length] { length += 1 }
            appendLiterals(bytes[literals..<at], to: &packed)
            let distance = at - seen - 1
            if length < 9 {
                packed.append(UInt8((length - 2) << 5 | distance >> 8))
            } else {
                packed.append(UInt8(7 << 5 | distance >> 8))
                packed.append(UInt8(length - 9))
            }
            packed.append(UInt8(distance & 0xFF))
            at += length
            literals = at
        }
        appendLiterals(bytes[literals...], to: &packed)
        return packed.count < bytes.count - 4 ? packed : nil
    }

    private static func appendLiterals(_ bytes: ArraySlice<UInt8>, to packed: inout [UInt8]) {
        var rest = bytes
        while !rest.isEmpty {
            let run = rest.prefix(literalMax)
            packed.append(UInt8(run.count - 1))
            packed.append(contentsOf: run)
            rest = rest.dropFirst(run.count)
        }
    }
}
