public import Keyspace

/// One log as an earlier run left it: the segments of one shard of one epoch.
///
/// It is read twice. `examine` finds out how far it reaches and whether it may be trusted; it
/// checks every byte and changes nothing. `read` hands its records on. Both are for any thread,
/// and several logs can be read at once.
public struct LogSource: Hashable, Sendable {
    public let epoch: Epoch
    public let shard: Int
    /// Changes up to here are in the snapshot.
    public let start: CommitPosition
    /// Where it ends, as it was decided when a later epoch began; nil for the last epoch.
    let end: CommitPosition?
    /// Where it has to reach at least: somebody relied on that much being safe.
    let reached: CommitPosition
    /// The first segment that has to be there; 0 when the log isn't needed.
    let firstSegment: UInt32
    /// The segments that are there, in order.
    let sequences: [UInt32]

    /// How far a log reaches.
    public struct Verdict: Sendable {
        /// The position of the last change.
        public internal(set) var last: CommitPosition
        /// What a power cut tore.
        public internal(set) var cuts: [Cut] = []
        /// The highest stamp of any record.
        public internal(set) var stampMax = Stamp(rawValue: 0)
        /// Bytes of frames.
        public internal(set) var bytesRead = 0
        /// How much of each segment counts, of those that count.
        var segmentBytes: [Int] = []
        var transactions = TransactionsSeen()
    }

    func segment(_ sequence: UInt32) -> Segment {
        Segment(epoch, shard: shard, sequence: sequence)
    }

    // MARK: Examining

    /// Follows the log to its end; throws when that end can't be the work of a power cut.
    public func examine(_ disk: any Disk) throws(JournalFailure) -> Verdict {
        var verdict = Verdict(last: start)
        try follow(disk, &verdict)
        return verdict
    }

    /// Likewise, and where it throws `verdict` says what precedes the damage.
    func follow(_ disk: any Disk, _ verdict: inout Verdict) throws(JournalFailure) {
        guard firstSegment > 0 else {
            verdict.last = max(start, end ?? start)
            return
        }
        guard sequences.first == firstSegment else {
            throw .damage(Damage(segment(firstSegment).path, 0, "the file is missing"))
        }
        /// The position the next frame has to begin with; nil before the first.
        var next: CommitPosition?
        for place in sequences.indices {
            if try examine(disk, place, &next, &verdict) { break }
        }
    }

    /// Follows one segment; true when the log ends in it.
    private func examine(
        _ disk: any Disk, _ place: Int, _ next: inout CommitPosition?, _ verdict: inout Verdict
    ) throws(JournalFailure) -> Bool {
        var reader = try SegmentReader(disk, segment(sequences[place]))
        try require(try reader.header(), reader.segment)
        var isLeft = false
        while !isLeft, let frame = try reader.head(), isNext(frame, next),
            let bytes = unsafe try reader.records(frame, isChecked: false)
        {
            if frame.first > (next ?? start + 1) {
                throw .damage(
                    Damage(
                        reader.segment.path, reader.offset,
                        "changes \(start + 1) to \(frame.first - 1) are missing before it"))
            }
            guard let changes = unsafe survey(bytes, &verdict) else {
                throw .damage(
                    Damage(
                        reader.segment.path, reader.offset,
                        "it holds a record of a kind this version does not know",
                        remedy: Damage.newer))
            }
            next = frame.first + changes
            verdict.last = max(start, frame.first + changes - 1)
            verdict.bytesRead += frame.bytes
            isLeft = frame.isLast
            reader.step(over: frame)
        }
        verdict.segmentBytes.append(reader.offset)
        if end != nil, verdict.last == end { return true }
        if isLeft {
            // The next one was whole on disk, if empty, before this was written.
            let following = segment(reader.segment.sequence + 1)
            if place + 1 < sequences.count, sequences[place + 1] == following.sequence {
                return false
            }
            throw .damage(Damage(following.path, 0, "the file is missing"))
        }
        if try goesOn(disk, in: place + 1, at: next) { return false }
        try judgeEnd(disk, &reader, place, next, &verdict)
        return true
    }

    private func isNext(_ frame: Frame, _ next: CommitPosition?) -> Bool {
        guard let next else { return true }
        return frame.first == next && frame.first - 1 != end ?? .max
    }

    private func require(
        _ header: Segment.HeaderVerdict, _ segment: Segment
    ) throws(JournalFailure) {
        switch header {
        case .good: return
        case .newer:
            throw .damage(
                Damage(segment.path, 8, "it was made by a newer version", remedy: Damage.newer))
        case .bad:
            throw .damage(Damage(segment.path, 0, "its header is not what was written"))
        }
    }

    /// Counts a frame's changes; nil where there is something this version doesn't know.
    private func survey(_ bytes: UnsafeRawBufferPointer, _ verdict: inout Verdict) -> UInt64? {
        var changes: UInt64 = 0
        var owed = 0
        var steps = unsafe RecordSteps(bytes)
        while true {
            switch steps.next() {
            case .record(let record):
                if record.kind == .cut { return nil }
                changes += record.takesPosition ? 1 : 0
                verdict.stampMax = max(verdict.stampMax, record.stamp)
                verdict.transactions.note(record)
                owed = max(0, owed - 1)
            case .part(let part, let records):
                // A shard this epoch doesn't have can't have had a part.
                guard owed == 0, part.participants.allSatisfy({ $0.shard < epoch.shards })
                else { return nil }
                owed = records
            case .transaction(let end):
                guard owed == 0, end.others.allSatisfy({ $0.shard < epoch.shards })
                else { return nil }
                verdict.transactions.note(end)
                changes += 1
            case .end: return owed == 0 ? changes : nil
            case .unknown: return nil
            }
        }
    }

    /// Whether a segment takes up the log where it ended.
    private func goesOn(
        _ disk: any Disk, in place: Int, at next: CommitPosition?
    ) throws(JournalFailure) -> Bool {
        guard place < sequences.count, sequences[place] == sequences[place - 1] + 1
        else { return false }
        var reader = try SegmentReader(disk, segment(sequences[place]))
        guard try reader.header() == .good, let frame = try reader.head() else { return false }
        return next.map { frame.first == $0 } ?? (frame.first <= start + 1)
    }

    /// The log ends here. What lies behind decides whether that is a torn tail or damage.
    private func judgeEnd(
        _ disk: any Disk, _ reader: inout SegmentReader, _ place: Int, _ next: CommitPosition?,
        _ verdict: inout Verdict
    ) throws(JournalFailure) {
        var watermark: CommitPosition = 0
        func note(_ path: String, _ offset: Int, _ rest: SegmentReader.Rest) {
            watermark = max(watermark, rest.watermark)
            if rest.bytes > 0 {
                verdict.cuts.append(Cut(file: path, offset: offset, bytes: rest.bytes))
            }
        }
        note(reader.segment.path, reader.offset, try reader.rest())
        for sequence in sequences[(place + 1)...] {
            var later = try SegmentReader(disk, segment(sequence))
            let header = try later.header()
            let rest = try later.rest()
            // A header is whole on disk before the first frame is written. A segment that has
            // frames but no header wasn't torn; one that has neither was being made.
            if rest.frames > 0 || header == .newer { try require(header, later.segment) }
            note(later.segment.path, later.offset, rest)
        }
        let wanted = max(watermark, max(reached, end ?? 0))
        guard verdict.last < wanted else { return }
        let from = verdict.last + 1
        throw .damage(
            Damage(
                reader.segment.path, reader.offset,
                "changes \(from) to \(wanted) were safe on disk and can't be read from here on"))
    }

    // MARK: Reading

    /// Hands every change after `start` that counts and belongs to a shard (of `count`, as they
    /// are now) to `body`, in the order they were made. The log was examined, and `verdicts` are
    /// those of all logs of its epoch, by shard; `undone` are its transactions that are not whole.
    /// Their records are handed to `passedOver`: a list may have been changed on top of one (see
    /// `Replay`).
    ///
    /// When the number of shards is what it was in that epoch, a log belongs to one shard
    /// entirely. When it isn't, each shard's thread reads every log that has something for it
    /// (`hasRecords(for:of:)`) and skips the rest, at some nanoseconds a record: no mailbox is
    /// as cheap.
    public func read(
        _ disk: any Disk, for shard: Int, of count: Int, verdicts: [Verdict], undone: Set<UInt64>,
        passedOver: (borrowing LogRecord) -> Void, _ body: (borrowing LogRecord) -> Void
    ) throws(JournalFailure) {
        let verdict = verdicts[self.shard]
        let routes = count != epoch.shards
        var skipping = 0
        for (sequence, end) in zip(sequences, verdict.segmentBytes) {
            var reader = try SegmentReader(disk, segment(sequence))
            while reader.offset < end, let frame = try reader.head(),
                let bytes = unsafe try reader.records(frame, isChecked: true)
            {
                var position = frame.first - 1
                var steps = unsafe RecordSteps(bytes)
                frame: while true {
                    switch steps.next() {
                    case .record(var record):
                        if record.takesPosition { position += 1 }
                        if skipping > 0 {
                            skipping -= 1
                            continue frame
                        }
                        guard position > start, record.takesPosition else { continue frame }
                        if routes,
                            Slot.shard(ofGroup: Slot.group(record.slot), shards: count) != shard
                        {
                            continue frame
                        }
                        // No snapshot ends while a transaction is under way, so what it holds of
                        // one, its other parts and its end are safe, wherever they are by now.
                        record.isOvertaken = position <= reached
                        if record.transaction != 0, !record.isOvertaken,
                            undone.contains(record.transaction)
                        {
                            passedOver(record)
                        } else {
                            body(record)
                        }
                    case .transaction: position += 1
                    case .part(let part, let records):
                        let isWhole = part.participants.allSatisfy {
                            $0.shard < verdicts.count && verdicts[$0.shard].last >= $0.begins
                        }
                        if !isWhole { skipping = records }
                    case .end, .unknown: break frame
                    }
                }
                reader.step(over: frame)
            }
        }
    }

    /// Whether the log may have records for a shard of `count`.
    public func hasRecords(for shard: Int, of count: Int) -> Bool {
        Placement.meet(old: self.shard, of: epoch.shards, new: shard, of: count)
    }

    // MARK: Settling

    /// Cuts the files to what counts and makes that safe: whatever is decided about this log is
    /// decided once. A log that was examined again after only some of this would be judged the
    /// same.
    func settle(_ disk: any Disk, _ verdict: Verdict) throws(DiskFailure) {
        // A log of an earlier epoch was settled when that epoch's successor began.
        guard end == nil else { return }
        let beyond = sequences[verdict.segmentBytes.count...]
        for sequence in beyond.reversed() { try disk.remove(segment(sequence).path) }
        if !beyond.isEmpty { try disk.syncDirectory(FileNames.logs) }
        for (sequence, end) in zip(sequences, verdict.segmentBytes) {
            let file = try disk.open(segment(sequence).path, forWriting: true)
            do throws(DiskFailure) {
                if try disk.size(file) > end { try disk.truncate(file, bytes: end) }
                // After a kill the last writes may be in memory only, and from now on they are
                // relied upon.
                try disk.sync(file)
            } catch {
                disk.close(file)
                throw error
            }
            disk.close(file)
        }
    }
}
