import Glibc

/// Replies, one after another, in memory that grows as it has to and is used again.
///
/// What RESP3 has types for and RESP2 has not is written as Redis writes it to older clients: a
/// map as a flat array, a set as an array, a double as its text, null as the null of its place.
@safe
public struct RESPWriter: ~Copyable {
    /// 2 or 3: what the client asked for with HELLO.
    public var version: UInt8 = 2
    private var base: UnsafeMutablePointer<UInt8>
    private var capacity: Int
    public private(set) var count = 0
    /// Memory kept for the next replies; what a long one needed beyond it goes back.
    private static let keptBytesMax = 256 * 1024

    public init(capacity: Int = 16 * 1024) {
        self.capacity = capacity
        unsafe base = .allocate(capacity: capacity)
    }

    deinit { unsafe base.deallocate() }

    /// What has been written; good until the next write.
    public var written: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: base, count: count)
    }

    /// The same, for who changes it in place.
    public var writtenMutable: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(start: base, count: count)
    }

    @inline(__always)
    public mutating func removeAll() {
        count = 0
        if capacity > RESPWriter.keptBytesMax { shrink() }
    }

    /// Forgets everything after the first `count` bytes.
    @inline(__always)
    public mutating func rewind(to count: Int) {
        invariant(count <= self.count, "a writer rewound forwards")
        self.count = count
    }

    /// Takes out bytes that were written too early.
    public mutating func remove(from start: Int, to end: Int) {
        invariant(start <= end && end <= count, "a writer has not so many bytes")
        unsafe memmove(base + start, base + end, count - end)
        count -= end - start
    }

    // MARK: Replies

    /// `+text`
    @inline(__always)
    public mutating func simple(_ text: StaticString) {
        let size = text.utf8CodeUnitCount
        let room = unsafe reserve(size + 3)
        unsafe room[0] = UInt8(ascii: "+")
        unsafe memcpy(room + 1, text.utf8Start, size)
        unsafe room[size + 1] = 0x0D
        unsafe room[size + 2] = 0x0A
    }

    @inline(__always)
    public mutating func ok() { simple("OK") }

    /// `-text`; it begins with a word in capitals that says what kind of error it is.
    public mutating func error(_ text: StaticString) {
        begin(error: text)
        endLine()
    }

    /// An error whose text is put together; `endLine` ends it.
    public mutating func begin(error text: StaticString) {
        unsafe reserve(1)[0] = UInt8(ascii: "-")
        add(text)
    }

    public mutating func add(_ text: StaticString) {
        let size = text.utf8CodeUnitCount
        unsafe memcpy(reserve(size), text.utf8Start, size)
    }

    public mutating func add(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        unsafe memcpy(reserve(bytes.count), start, bytes.count)
    }

    public mutating func add(_ text: String) {
        var text = text
        text.withUTF8 { utf8 in unsafe add(UnsafeRawBufferPointer(utf8)) }
    }

    public mutating func add(byte: UInt8) { unsafe reserve(1)[0] = byte }

    /// A part of a line that a client sent: what would end the line, or is nothing to look at, is
    /// shown as a space.
    public mutating func addPrintable(_ byte: UInt8) {
        add(byte: byte == 0x0D || byte == 0x0A || byte == 0 ? 0x20 : byte)
    }

    public mutating func addPrintable(_ bytes: UnsafeRawBufferPointer) {
        for place in 0..<bytes.count { addPrintable(unsafe bytes[place]) }
    }

    public mutating func add(decimal number: Int64) {
        if number < 0 { add(byte: UInt8(ascii: "-")) }
        let before = count
        var writer = unsafe ByteWriter(
            reserve(Self.headBytesMax), capacity: Self.headBytesMax)
        writer.write(decimal: number.magnitude)
        count = before + writer.count
    }

    @inline(__always)
    public mutating func endLine() {
        let room = unsafe reserve(2)
        unsafe room[0] = 0x0D
        unsafe room[1] = 0x0A
    }

    /// `:number`
    @inline(__always)
    public mutating func integer(_ number: Int64) { head(UInt8(ascii: ":"), number) }

    @inline(__always)
    public mutating func integer(_ number: Int) { integer(Int64(number)) }

    public mutating func boolean(_ value: Bool) { integer(value ? 1 : 0) }

    /// `$length`, the bytes.
    @inline(__always)
    public mutating func bulk(_ bytes: UnsafeRawBufferPointer) {
        let size = bytes.count
        let before = count
        let head = unsafe Self.writeHead(
            UInt8(ascii: "$"), UInt64(size), to: reserve(size + 2 + Self.headBytesMax))
        let room = unsafe base + before + head
        if let start = bytes.baseAddress { unsafe memcpy(room, start, size) }
        unsafe room[size] = 0x0D
        unsafe room[size + 1] = 0x0A
        count = before + head + size + 2
    }

    public mutating func bulk(_ text: StaticString) {
        unsafe bulk(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    public mutating func bulk(_ text: String) {
        var text = text
        text.withUTF8 { utf8 in unsafe bulk(UnsafeRawBufferPointer(utf8)) }
    }

    /// A whole number as a string.
    public mutating func bulk(decimal number: Int64) {
        let digits = ByteWriter.decimalDigits(of: number.magnitude) + (number < 0 ? 1 : 0)
        head(UInt8(ascii: "$"), Int64(digits))
        add(decimal: number)
        endLine()
    }

    /// The head of a bulk string whose bytes are written next, exactly so many, with `room`.
    public mutating func beginBulk(_ size: Int) { head(UInt8(ascii: "$"), Int64(size)) }

    /// Room for bytes the caller fills at once.
    @unsafe
    public mutating func room(_ size: Int) -> UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(start: reserve(size), count: size)
    }

    /// `_`, or the null of a string.
    @inline(__always)
    public mutating func null() { add(version == 3 ? "_\r\n" : "$-1\r\n") }

    /// `_`, or the null of an array.
    public mutating func nullArray() { add(version == 3 ? "_\r\n" : "*-1\r\n") }

    public mutating func array(_ count: Int) { head(UInt8(ascii: "*"), Int64(count)) }

    public mutating func map(_ pairs: Int) {
        if version == 3 { head(UInt8(ascii: "%"), Int64(pairs)) } else { array(pairs * 2) }
    }

    public mutating func set(_ count: Int) {
        if version == 3 { head(UInt8(ascii: "~"), Int64(count)) } else { array(count) }
    }

    public mutating func push(_ count: Int) {
        if version == 3 { head(UInt8(ascii: ">"), Int64(count)) } else { array(count) }
    }

    public mutating func double(_ value: Double) {
        let version = version
        unsafe RESPNumber.text(value) { text in
            if version == 3 {
                add(byte: UInt8(ascii: ","))
                unsafe add(text)
                endLine()
            } else {
                unsafe bulk(text)
            }
        }
    }

    /// Text of a kind: `txt` or `mkd`.
    public mutating func verbatim(_ kind: StaticString, _ text: String) {
        guard version == 3 else { return bulk(text) }
        head(UInt8(ascii: "="), Int64(text.utf8.count + 4))
        add(kind)
        add(byte: UInt8(ascii: ":"))
        add(text)
        endLine()
    }

    // MARK: Heads that are known last

    /// Makes what was written from `start` on an array of so many values.
    public mutating func insertArrayHead(_ count: Int, at start: Int) {
        let before = self.count
        array(count)
        moveTail(from: before, to: start)
    }

    /// Makes what was written from `start` on the answer to SCAN.
    public mutating func insertScanHead(cursor: UInt64, _ count: Int, at start: Int) {
        let before = self.count
        array(2)
        let digits = ByteWriter.decimalDigits(of: cursor)
        head(UInt8(ascii: "$"), Int64(digits))
        var writer = unsafe ByteWriter(reserve(digits), capacity: digits)
        writer.write(decimal: cursor)
        endLine()
        array(count)
        moveTail(from: before, to: start)
    }

    /// The bytes from `before` on, a few dozen, go to `start`.
    private mutating func moveTail(from before: Int, to start: Int) {
        let size = count - before
        guard before > start, size <= 128 else { return }
        unsafe withUnsafeTemporaryAllocation(byteCount: 128, alignment: 1) { kept in
            unsafe memcpy(kept.baseAddress.unsafelyUnwrapped, base + before, size)
            unsafe memmove(base + start + size, base + start, before - start)
            unsafe memcpy(base + start, kept.baseAddress.unsafelyUnwrapped, size)
        }
    }

    // MARK: Room

    @inline(__always)
    private mutating func head(_ mark: UInt8, _ number: Int64) {
        if number >= 0, number < 10 {
            let room = unsafe reserve(4)
            unsafe room[0] = mark
            unsafe room[1] = 0x30 &+ UInt8(truncatingIfNeeded: number)
            unsafe room[2] = 0x0D
            unsafe room[3] = 0x0A
            return
        }
        guard number >= 0 else {
            add(byte: mark)
            add(decimal: number)
            return endLine()
        }
        let before = count
        count = unsafe before + Self.writeHead(mark, UInt64(number), to: reserve(Self.headBytesMax))
    }

    /// A mark, the digits of a number and the end of the line; and room for what is written together
    /// with the last digit.
    private static let headBytesMax = 32

    /// Writes a head and answers how long it is.
    @inline(__always)
    private static func writeHead(
        _ mark: UInt8, _ number: UInt64, to room: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var writer = unsafe ByteWriter(room, capacity: headBytesMax)
        writer.write(byte: mark)
        writer.write(decimal: number)
        writer.write(byte: 0x0D)
        writer.write(byte: 0x0A)
        return writer.count
    }

    @inline(__always)
    private mutating func reserve(_ size: Int) -> UnsafeMutablePointer<UInt8> {
        if size > capacity - count { grow(size) }
        let room = unsafe base + count
        count += size
        return unsafe room
    }

    @inline(never)
    private mutating func grow(_ size: Int) {
        capacity = max(capacity * 2, count + size)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        unsafe larger.update(from: base, count: count)
        unsafe base.deallocate()
        unsafe base = unsafe larger
    }

    @inline(never)
    private mutating func shrink() {
        unsafe base.deallocate()
        capacity = RESPWriter.keptBytesMax
        unsafe base = .allocate(capacity: capacity)
    }
}
