/// The words of one command, wherever they lie: a look at memory that somebody else keeps.
///
/// Packed, a command is one block that can be sent to another thread or kept for later: the count of
/// words, where each lies, their bytes.
@safe
public struct RESPWords: BitwiseCopyable {
    @usableFromInline let ranges: UnsafePointer<ByteRange>
    @usableFromInline let base: UnsafeRawPointer
    public let count: Int

    @inlinable @inline(__always)
    init(_ ranges: UnsafePointer<ByteRange>, _ base: UnsafeRawPointer, count: Int) {
        unsafe self.ranges = ranges
        unsafe self.base = base
        self.count = count
    }

    @inlinable @inline(__always)
    public subscript(_ number: Int) -> UnsafeRawBufferPointer {
        invariant(number >= 0 && number < count, "a word that was not sent")
        let range = unsafe ranges[number]
        return unsafe UnsafeRawBufferPointer(
            start: base + Int(range.start), count: Int(range.count))
    }

    /// The same command without its first words.
    public func dropFirst(_ dropped: Int) -> RESPWords {
        invariant(dropped >= 0 && dropped <= count, "more words are dropped than there are")
        return unsafe RESPWords(ranges + dropped, base, count: count - dropped)
    }

    // MARK: Packed

    private static let headBytes = 8

    /// What the command takes packed; a multiple of eight.
    public var packedBytes: Int {
        var bytes = 0
        for number in 0..<count { bytes += unsafe Int(ranges[number].count) }
        return (Self.headBytes + count * MemoryLayout<ByteRange>.stride + bytes + 7) & ~7
    }

    /// Writes the command to memory of `packedBytes`, aligned to eight.
    @unsafe
    public func pack(to place: UnsafeMutableRawPointer) {
        unsafe place.storeBytes(of: UInt64(count), as: UInt64.self)
        let table = unsafe (place + Self.headBytes)
        var at = Self.headBytes + count * MemoryLayout<ByteRange>.stride
        for number in 0..<count {
            let word = unsafe self[number]
            let range = ByteRange(start: UInt32(at), count: UInt32(word.count))
            unsafe table.storeBytes(
                of: range, toByteOffset: number * MemoryLayout<ByteRange>.stride,
                as: ByteRange.self)
            if let start = word.baseAddress {
                unsafe (place + at).copyMemory(from: start, byteCount: word.count)
            }
            at += word.count
        }
    }

    /// A packed command of words that lie side by side.
    public static func packed(_ ranges: [ByteRange], _ bytes: [UInt8]) -> [UInt64] {
        unsafe ranges.withUnsafeBufferPointer { ranges in
            unsafe bytes.withUnsafeBytes { bytes in
                guard let table = ranges.baseAddress else { return [] }
                var none: UInt8 = 0
                return unsafe withUnsafeBytes(of: &none) { nothing in
                    let base = unsafe bytes.baseAddress ?? nothing.baseAddress.unsafelyUnwrapped
                    let words = unsafe RESPWords(table, base, count: ranges.count)
                    var block = [UInt64](repeating: 0, count: words.packedBytes / 8)
                    unsafe block.withUnsafeMutableBytes { room in
                        unsafe words.pack(to: room.baseAddress.unsafelyUnwrapped)
                    }
                    return block
                }
            }
        }
    }

    /// A look at a packed command.
    @unsafe
    public init(packed place: UnsafeRawPointer) {
        let count = unsafe Int(place.load(as: UInt64.self))
        let table = unsafe (place + Self.headBytes).assumingMemoryBound(to: ByteRange.self)
        unsafe self.init(table, place, count: count)
    }
}
