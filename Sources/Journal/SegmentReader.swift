import Keyspace

/// Steps through the frames of one segment.
@safe
struct SegmentReader: ~Copyable {
    let segment: Segment
    private let key: UInt32
    private var window: Window
    /// Where the next frame has to begin.
    private(set) var offset = Segment.headerBytes

    init(_ disk: any Disk, _ segment: Segment) throws(JournalFailure) {
        self.segment = segment
        key = segment.key
        window = try Window.open(disk, segment.path)
    }

    mutating func header() throws(JournalFailure) -> Segment.HeaderVerdict {
        guard let base = unsafe try window.bytes(0, Segment.headerBytes) else { return .bad }
        return unsafe segment.judge([UInt8](base.bytes(0, Segment.headerBytes)))
    }

    /// The head of the next frame; nil where there is none.
    mutating func head() throws(JournalFailure) -> Frame? {
        guard let base = unsafe try window.bytes(offset, Frame.headBytes) else { return nil }
        return unsafe Frame.read(base, key: key)
    }

    /// The records of the next frame, whose head was read; nil when they are not what was
    /// written. `isChecked` says that an earlier reading has found them sound.
    mutating func records(
        _ frame: Frame, isChecked: Bool
    ) throws(JournalFailure) -> UnsafeRawBufferPointer? {
        guard let base = unsafe try window.bytes(offset, frame.bytes) else { return nil }
        let count = frame.bytes - Frame.headBytes
        let records = unsafe base.bytes(Frame.headBytes, count)
        if isChecked { return unsafe records }
        return unsafe checksum(key, base + Frame.headBytes, count) == frame.sum ? records : nil
    }

    mutating func step(over frame: Frame) { offset += aligned(frame.bytes) }

    /// What lies behind the last good frame.
    struct Rest {
        /// Heads of frames, with sound records or not.
        var frames = 0
        /// The highest position one of them says was synced.
        var watermark: CommitPosition = 0
        /// Bytes up to the last that isn't zero.
        var bytes = 0
    }

    /// Looks at everything from here to the end of the file.
    mutating func rest() throws(JournalFailure) -> Rest {
        var rest = Rest()
        var at = offset
        while at < window.size {
            let count = min(Window.bytes, window.size - at)
            guard let base = unsafe try window.bytes(at, count) else { break }
            var place = 0
            while place < count {
                if count - place < 8 {
                    for last in place..<count {
                        if unsafe base.get(last, UInt8.self) == 0 { continue }
                        rest.bytes = at + last + 1 - offset
                    }
                    break
                }
                let word = unsafe base.get(place, UInt64.self)
                if word != 0 {
                    rest.bytes = at + place + 8 - word.leadingZeroBitCount / 8 - offset
                    if count - place >= Frame.headBytes,
                        let frame = unsafe Frame.read(base + place, key: key)
                    {
                        rest.frames += 1
                        rest.watermark = max(rest.watermark, frame.watermark ?? 0)
                    }
                }
                place += 8
            }
            // A head may lie across the end of the window: its last bytes are looked at again.
            at += count == Window.bytes ? count - Frame.headBytes : count
        }
        return rest
    }
}

/// The records of a frame, one after the other.
@safe
struct RecordSteps {
    enum Step {
        case record(LogRecord)
        case part(TransactionPart, records: Int)
        /// A transaction came to its end.
        case transaction(TransactionEnd)
        case end
        /// The frame is sound, but it was written by something that knows more than we do.
        case unknown
    }

    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) { unsafe self.bytes = unsafe bytes }

    @inline(__always)
    mutating func next() -> Step {
        let left = unsafe bytes.count - offset
        guard left > 0 else { return .end }
        guard left >= 8, let base = unsafe bytes.baseAddress else { return .unknown }
        let count = unsafe Int(base.get(offset, UInt32.self))
        guard count >= TransactionPart.fixedBytes, count <= left else { return .unknown }
        let piece = unsafe base.bytes(offset, count)
        offset += count
        if let record = unsafe LogRecord.decode(piece) { return .record(record) }
        if let (part, records) = unsafe TransactionPart.decode(piece) {
            return .part(part, records: records)
        }
        if let end = unsafe TransactionEnd.decode(piece) { return .transaction(end) }
        return .unknown
    }
}
