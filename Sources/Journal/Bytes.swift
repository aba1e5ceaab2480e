import CJournal

/// Numbers in files are little-endian and stand anywhere.
extension UnsafeMutableRawPointer {
    @inline(__always)
    func put<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
        unsafe storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }

    @inline(__always)
    func put(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        guard let start = bytes.baseAddress, bytes.count > 0 else { return }
        unsafe (self + offset).copyMemory(from: start, byteCount: bytes.count)
    }
}

extension UnsafeRawPointer {
    @inline(__always)
    func get<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ type: T.Type) -> T {
        unsafe T(littleEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    @inline(__always)
    func bytes(_ offset: Int, _ count: Int) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: self + offset, count: count)
    }
}

/// CRC-32C, begun anew or gone on with.
@inline(__always)
func checksum(_ crc: UInt32, _ start: UnsafeRawPointer, _ count: Int) -> UInt32 {
    unsafe nt_crc32c(crc, start, count)
}

/// The checksum of an array's first bytes.
func checksum(_ crc: UInt32 = 0, of bytes: [UInt8], _ count: Int) -> UInt32 {
    unsafe bytes.withUnsafeBytes { raw in
        guard let start = raw.baseAddress else { return crc }
        return unsafe checksum(crc, start, min(count, raw.count))
    }
}

/// Frames and blocks begin at multiples of eight.
@inline(__always)
func aligned(_ bytes: Int) -> Int { (bytes + 7) & ~7 }

/// Memory that is used again and again, and grows to the most that was needed.
@safe
struct Scratch: ~Copyable {
    private(set) var base: UnsafeMutableRawPointer
    private(set) var capacity: Int

    init(_ capacity: Int) {
        unsafe base = .allocate(byteCount: capacity, alignment: 16)
        self.capacity = capacity
    }

    deinit { unsafe base.deallocate() }

    /// Makes sure of room for so many bytes; what was there is gone.
    mutating func need(_ bytes: Int) {
        guard bytes > capacity else { return }
        unsafe base.deallocate()
        capacity = max(bytes, capacity * 2)
        unsafe base = .allocate(byteCount: capacity, alignment: 16)
    }

    /// Gives back what is beyond `bytes`.
    mutating func keep(_ bytes: Int) {
        guard capacity > bytes else { return }
        unsafe base.deallocate()
        capacity = bytes
        unsafe base = .allocate(byteCount: capacity, alignment: 16)
    }
}

/// Builds a small file in memory.
struct ByteMaker {
    private(set) var bytes: [UInt8] = []

    mutating func put<T: FixedWidthInteger>(_ value: T) {
        var left = value
        for _ in 0..<MemoryLayout<T>.size {
            bytes.append(UInt8(truncatingIfNeeded: left))
            left = MemoryLayout<T>.size == 1 ? 0 : left >> 8
        }
    }

    mutating func put(_ text: StaticString) {
        for place in 0..<text.utf8CodeUnitCount { bytes.append(unsafe text.utf8Start[place]) }
    }

    /// The checksum of everything so far.
    mutating func seal() {
        put(checksum(of: bytes, bytes.count))
    }
}

/// Reads a small file from memory and never past its end: what is missing reads as nil.
struct ByteTaker {
    let bytes: [UInt8]
    private(set) var offset = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var left: Int { bytes.count - offset }

    mutating func take<T: FixedWidthInteger>(_ type: T.Type) -> T? {
        guard left >= MemoryLayout<T>.size else { return nil }
        var value: T = 0
        for place in 0..<MemoryLayout<T>.size {
            value |= T(truncatingIfNeeded: bytes[offset + place]) << (8 * place)
        }
        offset += MemoryLayout<T>.size
        return value
    }

    mutating func take(_ text: StaticString) -> Bool {
        guard left >= text.utf8CodeUnitCount else { return false }
        for place in 0..<text.utf8CodeUnitCount {
            if unsafe bytes[offset + place] != text.utf8Start[place] { return false }
        }
        offset += text.utf8CodeUnitCount
        return true
    }

    /// Whether the next four bytes are the checksum of all before them.
    mutating func takeSeal() -> Bool {
        let count = offset
        return take(UInt32.self) == checksum(of: bytes, count)
    }
}
