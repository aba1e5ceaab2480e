/// Appends bytes to memory that somebody else owns and has reserved.
///
/// Whoever writes an answer knows how long it can get, so running out of room is our own bug and
/// stops the process. Where the length depends on a peer, `hasRoom` is asked first.
@safe
public struct ByteWriter: BitwiseCopyable {
    @usableFromInline let base: UnsafeMutablePointer<UInt8>
    public let capacity: Int
    @usableFromInline var used: Int

    /// Writes from `base` on. The memory has to outlive the writer.
    @inlinable @inline(__always)
    public init(_ base: UnsafeMutablePointer<UInt8>, capacity: Int, count: Int = 0) {
        unsafe self.base = base
        self.capacity = capacity
        self.used = count
    }

    @inlinable public var count: Int { used }
    @inlinable public var remaining: Int { capacity &- used }

    @inlinable @inline(__always)
    public func hasRoom(_ bytes: Int) -> Bool { bytes <= capacity &- used }

    /// What has been written.
    public var written: UnsafeBufferPointer<UInt8> {
        unsafe UnsafeBufferPointer(start: base, count: count)
    }

    /// Forgets everything after the first `count` bytes.
    @inlinable
    public mutating func rewind(to count: Int) {
        invariant(count >= 0 && count <= used, "a writer rewound forwards")
        used = count
    }

    @inlinable @inline(__always)
    public mutating func write(_ text: StaticString) {
        let size = text.utf8CodeUnitCount
        unsafe reserve(size).update(from: text.utf8Start, count: size)
    }

    @inlinable @inline(__always)
    public mutating func write(_ bytes: RawSpan) {
        let size = bytes.byteCount
        let target = unsafe reserve(size)
        unsafe bytes.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            unsafe UnsafeMutableRawPointer(target).copyMemory(from: start, byteCount: size)
        }
    }

    @inlinable @inline(__always)
    public mutating func write(_ bytes: UnsafeRawBufferPointer) {
        let target = unsafe reserve(bytes.count)
        guard let start = bytes.baseAddress else { return }
        unsafe UnsafeMutableRawPointer(target).copyMemory(from: start, byteCount: bytes.count)
    }

    @inlinable @inline(__always)
    public mutating func write(byte: UInt8) {
        unsafe reserve(1).pointee = byte
    }

    @inlinable @inline(__always)
    public mutating func writeLineEnd() {
        let target = unsafe reserve(2)
        unsafe target[0] = 0x0D
        unsafe target[1] = 0x0A
    }

    /// The number in decimal, without leading zeros.
    @inlinable @inline(__always)
    public mutating func write(decimal value: UInt64) {
        if value < 10 { return write(byte: 0x30 | UInt8(truncatingIfNeeded: value)) }
        if value < 10_000 { return writeUpToFour(UInt32(truncatingIfNeeded: value)) }
        writeLong(value)
    }

    /// Most numbers are counts of bytes and of parts, and short.
    @inlinable @inline(__always)
    mutating func writeUpToFour(_ value: UInt32) {
        let digits = DigitText.fourDigits(value)
        let zeros = digits.trailingZeroBitCount &>> 3
        var text = (digits | 0x3030_3030) &>> UInt32(truncatingIfNeeded: zeros &* 8)
        let count = 4 &- zeros
        if hasRoom(4) {
            let target = unsafe reserve(count)
            return unsafe UnsafeMutableRawPointer(target).storeBytes(of: text, as: UInt32.self)
        }
        for _ in 0..<count {
            write(byte: UInt8(truncatingIfNeeded: text))
            text &>>= 8
        }
    }

    @inlinable
    mutating func writeLong(_ value: UInt64) {
        if value < 100_000_000 { return writeUpToEight(UInt32(truncatingIfNeeded: value)) }
        let upper = value / 100_000_000
        if upper < 100_000_000 {
            writeUpToEight(UInt32(truncatingIfNeeded: upper))
        } else {
            writeUpToEight(UInt32(truncatingIfNeeded: upper / 100_000_000))
            writeEight(UInt32(truncatingIfNeeded: upper % 100_000_000))
        }
        writeEight(UInt32(truncatingIfNeeded: value &- upper &* 100_000_000))
    }

    @inlinable @inline(__always)
    mutating func writeEight(_ value: UInt32) {
        let digits = DigitText.eightDigits(value) | 0x3030_3030_3030_3030
        unsafe UnsafeMutableRawPointer(reserve(8)).storeBytes(of: digits, as: UInt64.self)
    }

    @inlinable @inline(__always)
    mutating func writeUpToEight(_ value: UInt32) {
        let digits = DigitText.eightDigits(value)
        let zeros = min(digits.trailingZeroBitCount &>> 3, 7)
        var text = (digits | 0x3030_3030_3030_3030) &>> UInt64(zeros &* 8)
        let count = 8 &- zeros
        if hasRoom(8) {
            // What stands behind the number is written over by whatever comes next.
            let target = unsafe reserve(count)
            return unsafe UnsafeMutableRawPointer(target).storeBytes(of: text, as: UInt64.self)
        }
        for _ in 0..<count {
            write(byte: UInt8(truncatingIfNeeded: text))
            text &>>= 8
        }
    }

    @inlinable @inline(__always)
    public mutating func write(decimal value: Int) {
        if value < 0 { write(byte: 0x2D) }
        write(decimal: UInt64(value.magnitude))
    }

    /// The number in lower-case hexadecimal, without leading zeros.
    @inlinable
    public mutating func write(hex value: UInt64) {
        writeHex(value, digits: max(1, (67 &- value.leadingZeroBitCount) / 4))
    }

    /// The last `digits` hexadecimal digits of the number, leading zeros included.
    @inlinable
    public mutating func writeHex(_ value: UInt64, digits: Int) {
        if digits == 16 { return writeHex16(value) }
        let target = unsafe reserve(digits)
        var rest = value
        var index = digits
        while index > 0 {
            index &-= 1
            let nibble = UInt8(truncatingIfNeeded: rest & 15)
            unsafe target[index] = nibble < 10 ? 0x30 &+ nibble : 0x57 &+ nibble
            rest &>>= 4
        }
    }

    /// All sixteen digits of the number.
    @inlinable @inline(__always)
    public mutating func writeHex16(_ value: UInt64) {
        writeEightHex(UInt32(truncatingIfNeeded: value &>> 32))
        writeEightHex(UInt32(truncatingIfNeeded: value))
    }

    @inlinable @inline(__always)
    mutating func writeEightHex(_ value: UInt32) {
        let text = DigitText.eightHexDigits(value)
        unsafe UnsafeMutableRawPointer(reserve(8)).storeBytes(of: text, as: UInt64.self)
    }

    /// Counts `size` more bytes as written and answers with where they go; the caller fills them.
    @unsafe @inlinable @inline(__always)
    public mutating func reserve(_ size: Int) -> UnsafeMutablePointer<UInt8> {
        invariant(size >= 0 && size <= capacity &- used, "a reply longer than its reserved room")
        let target = unsafe base + used
        used &+= size
        return unsafe target
    }

    /// How many digits `write(decimal:)` writes.
    @inlinable
    public static func decimalDigits(of value: UInt64) -> Int {
        // Milliseconds since 1970 until the year 2286.
        if value &- 1_000_000_000_000 < 9_000_000_000_000 { return 13 }
        if value < 10 { return 1 }
        if value < 100 { return 2 }
        if value < 1000 { return 3 }
        if value < 10_000 { return 4 }
        var digits = 5
        var rest = value / 100_000
        while rest > 0 {
            digits &+= 1
            rest /= 10
        }
        return digits
    }
}
