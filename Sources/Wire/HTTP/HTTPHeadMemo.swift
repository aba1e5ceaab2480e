internal import Glibc

/// Sections of fields that were understood before, so that the same bytes are compared and not
/// understood again.
///
/// A client's requests differ in their paths, and hardly ever in what comes after: the version and
/// all fields are the same bytes from request to request. What they mean depends on nothing but the
/// bytes and the limits, so a section that is equal to one that was accepted is accepted, and says
/// the same. With a token in it comparing costs a tenth of understanding.
///
/// Each connection has a place here, shared with others of the same remainder; the section that
/// was met last, on whichever connection, is tried first. Where sections keep changing, so that
/// remembering brings nothing, it is given up but for a trial now and then.
@safe
public struct HTTPHeadMemo: ~Copyable {
    /// A longer section is understood each time.
    static let bytesMax = 1024 - MemoryLayout<HTTPRequestHead>.stride
    private static let entryBytes = 1024
    static let entryCount = 256
    /// What remembering once costs, in sections that were met again.
    private static let price = 4
    private static let creditMax = 64
    /// In a count: the fields ask for nothing.
    private static let plainMark: UInt16 = 1 << 15
    /// Without credit one in so many is remembered.
    private static let trialEvery = 16

    /// For each entry a head and the bytes of its section behind it; untouched until it is used.
    private let entries: UnsafeMutableRawPointer
    private let counts: UnsafeMutablePointer<UInt16>
    private var last = 0
    private var credit = creditMax
    private var misses = 0

    public init() {
        unsafe entries = .allocate(byteCount: Self.entryCount * Self.entryBytes, alignment: 64)
        unsafe counts = .allocate(capacity: Self.entryCount)
        unsafe counts.initialize(repeating: 0, count: Self.entryCount)
    }

    deinit {
        // Tokens are among the fields.
        unsafe explicit_bzero(entries, Self.entryCount * Self.entryBytes)
        unsafe entries.deallocate()
        unsafe counts.deallocate()
    }

    /// Understands a GET or PUT of a plain path whose section is known; false says nothing, and the
    /// parser has to be asked.
    @inline(__always)
    public mutating func recall(
        _ bytes: RawSpan, connection: UInt32, limits: borrowing HTTPLimits,
        into head: inout HTTPRequestHead
    ) -> Bool {
        guard bytes.byteCount >= 16 else { return false }
        let word = bytes.word64(0) & 0xFF_FFFF_FFFF
        // "GET /" and "PUT /".
        guard word == 0x2F_2054_4547 || word == 0x2F_2054_5550 else { return false }
        let start = 4
        let end = min(bytes.byteCount, limits.headBytesMax)
        let stop = ByteScan.targetStop(bytes, from: start, to: end)
        guard stop < end, bytes.byte(stop) == 0x20, stop &- start <= limits.targetBytesMax
        else { return false }
        let place = stop &+ 1
        guard let entry = find(bytes, place, end, connection) else { return false }
        let known = unsafe self.head(entry)
        unsafe head.takeFields(of: known.pointee, at: UInt32(truncatingIfNeeded: place))
        head.method = word == 0x2F_2054_4547 ? .get : .put
        head.target = .origin
        head.hasQuery = false
        head.query = ByteRange(start: 0, count: 0)
        head.path = ByteRange(start, upTo: stop)
        return true
    }

    /// The same for what most requests are: a GET of a path that ends at `keyPlace` but for a last
    /// segment with nothing to decode in it, whose fields ask for nothing. Answers where that
    /// segment ends and where the head does; nil says nothing.
    @inline(__always)
    public mutating func recallPlainRead(
        _ bytes: RawSpan, keyPlace: Int, connection: UInt32, limits: borrowing HTTPLimits
    ) -> (keyEnd: Int, headEnd: Int)? {
        let end = min(bytes.byteCount, limits.headBytesMax)
        let stop = ByteScan.plainSegmentEnd(bytes, from: keyPlace, to: end)
        guard stop < end, bytes.byte(stop) == 0x20, stop &- 4 <= limits.targetBytesMax else {
            return nil
        }
        let place = stop &+ 1
        guard let entry = find(bytes, place, end, connection) else { return nil }
        let count = unsafe counts[entry]
        guard count & Self.plainMark != 0 else { return nil }
        return (stop, place &+ Int(count & ~Self.plainMark))
    }

    /// Remembers the section of a head that the parser has just made of these bytes.
    public mutating func remember(
        _ bytes: RawSpan, connection: UInt32, _ head: HTTPRequestHead
    ) {
        let place = Int(head.fieldsBase)
        let count = Int(head.headByteCount) &- place
        guard head.target == .origin, head.method == .get || head.method == .put,
            count <= Self.bytesMax
        else { return }
        misses &+= 1
        guard credit >= Self.price || misses % Self.trialEvery == 0 else { return }
        credit = max(0, credit &- Self.price)
        let entry = Int(connection) & (Self.entryCount &- 1)
        last = entry
        unsafe counts[entry] =
            UInt16(truncatingIfNeeded: count) | (head.fieldsArePlain ? Self.plainMark : 0)
        unsafe self.head(entry).initialize(to: head)
        unsafe bytes.withUnsafeBytes { source in
            unsafe section(entry).copyMemory(
                from: source.baseAddress.unsafelyUnwrapped + place, byteCount: count)
        }
    }

    /// The entry whose section the bytes from `place` on begin with.
    @inline(__always)
    private mutating func find(
        _ bytes: RawSpan, _ place: Int, _ end: Int, _ connection: UInt32
    ) -> Int? {
        var entry = last
        if !matches(entry, bytes, place, end) {
            entry = Int(connection) & (Self.entryCount &- 1)
            guard matches(entry, bytes, place, end) else { return nil }
            last = entry
        }
        if credit < Self.creditMax { credit &+= 1 }
        return entry
    }

    @inline(__always)
    private func head(_ entry: Int) -> UnsafeMutablePointer<HTTPRequestHead> {
        unsafe (entries + entry &* Self.entryBytes).assumingMemoryBound(to: HTTPRequestHead.self)
    }

    @inline(__always)
    private func section(_ entry: Int) -> UnsafeMutableRawPointer {
        unsafe entries + (entry &* Self.entryBytes &+ MemoryLayout<HTTPRequestHead>.stride)
    }

    /// Whether the bytes from `place` on begin with an entry's section. A section is never shorter
    /// than its version and two line ends.
    @inline(__always)
    private func matches(_ entry: Int, _ bytes: RawSpan, _ place: Int, _ end: Int) -> Bool {
        let count = unsafe Int(counts[entry] & ~Self.plainMark)
        guard count > 8, place &+ count <= end else { return false }
        let known = unsafe section(entry)
        if count > 128 {
            return unsafe bytes.withUnsafeBytes { mine in
                unsafe memcmp(mine.baseAddress.unsafelyUnwrapped + place, known, count) == 0
            }
        }
        if count < 16 {
            // Two words that overlap.
            let first = unsafe known.loadUnaligned(as: UInt64.self)
            let last = unsafe known.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
            return bytes.word64(place) == first && bytes.word64(place &+ count &- 8) == last
        }
        var difference = SIMD16<UInt8>(repeating: 0)
        var at = 0
        while at < count {
            // The last lanes overlap those before.
            let from = min(at, count &- 16)
            let lanes = unsafe known.loadUnaligned(
                fromByteOffset: from, as: SIMD16<UInt8>.self)
            difference |= bytes.lanes(place &+ from) ^ lanes
            at &+= 16
        }
        let words = unsafe unsafeBitCast(difference, to: SIMD2<UInt64>.self)
        return words[0] | words[1] == 0
    }
}
