import Glibc

/// A client's reading of one event stream (Server-Sent Events, as the HTML standard defines them),
/// in any pieces. Written from the standard and not from a server's codec, so that a server that
/// errs is found out instead of agreed with.
///
/// An event that lies whole in the bytes is read in place; one in parts is gathered in memory that
/// is given back as soon as it is whole, so an idle stream holds none.
@safe struct EventStreamReader {
    /// Twice the largest value that is ever written: past it a stream is taken for nonsense.
    static let eventBytesMax = 128 << 20

    @safe struct Step {
        enum Kind {
            case needMore
            /// An event with data, to be dispatched.
            case event
            /// A comment, an id or a retry time without data.
            case idle
            case violation
        }

        var kind: Kind
        var consumed: Int
        /// Valid until the next call. Several `data` lines are joined by line feeds.
        var data: UnsafeMutablePointer<UInt8>? = nil
        var dataCount = 0
        var name: UnsafePointer<UInt8>? = nil
        var nameCount = 0
        /// The id to go on from after this event, where it names one.
        var id: UnsafePointer<UInt8>? = nil
        var idCount = 0
        /// How long to wait before connecting again, where it says so.
        var retryMs: UInt32? = nil
        var hasComment = false
    }

    private var kept: UnsafeMutablePointer<UInt8>? = nil
    private var keptCount = 0
    private var keptCapacity = 0
    /// Where the first line of the kept bytes begins that has no end yet.
    private var lineStart = 0
    /// The bytes ended with a carriage return: a line feed that follows belongs to it.
    private var endedInReturn = false

    var isAtRest: Bool { keptCount == 0 }

    /// Reads up to the end of one event. The bytes may be rearranged.
    mutating func next(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Step {
        guard count > 0 else { return unsafe Step(kind: .needMore, consumed: 0) }
        if endedInReturn {
            endedInReturn = false
            if unsafe bytes[0] == 0x0A {
                var step = unsafe next(bytes + 1, count - 1)
                step.consumed += 1
                return step
            }
        }
        if keptCount == 0 {
            lineStart = 0
            if let end = unsafe eventEnd(bytes, count) {
                return unsafe understand(bytes, end, consumed: end)
            }
            return unsafe keep(bytes, count)
        }
        let before = keptCount
        let step = unsafe keep(bytes, count)
        guard step.kind == .needMore else { return step }
        guard let memory = unsafe kept, let end = unsafe eventEnd(memory, keptCount) else {
            return step
        }
        keptCount = 0
        return unsafe understand(memory, end, consumed: end - before)
    }

    /// Gives back what is held. A stream that begins anew begins after this.
    mutating func reset() {
        unsafe free(kept)
        self = EventStreamReader()
    }

    private mutating func keep(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Step {
        guard keptCount + count <= Self.eventBytesMax else {
            return unsafe Step(kind: .violation, consumed: 0)
        }
        if keptCount + count > keptCapacity {
            keptCapacity = max(keptCapacity * 2, keptCount + count, 1024)
            unsafe kept = unsafe realloc(kept, keptCapacity)?.assumingMemoryBound(to: UInt8.self)
        }
        guard let memory = unsafe kept else { fatalError("no memory for an event in parts") }
        unsafe memcpy(memory + keptCount, bytes, count)
        keptCount += count
        return unsafe Step(kind: .needMore, consumed: count)
    }

    /// Where the event ends: after its first empty line. Remembers how far it has looked.
    private mutating func eventEnd(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int? {
        while lineStart < count {
            guard let end = unsafe Self.lineEnd(bytes, from: lineStart, count) else { return nil }
            let isEmpty = end == lineStart
            var next = end + 1
            if unsafe bytes[end] == 0x0D {
                if next < count {
                    if unsafe bytes[next] == 0x0A { next += 1 }
                } else if isEmpty {
                    endedInReturn = true
                } else {
                    // Whether a line feed follows is not known yet; more has to come in any case.
                    return nil
                }
            }
            lineStart = next
            if isEmpty { return next }
        }
        return nil
    }

    /// The place of the line feed or carriage return that ends the line.
    private static func lineEnd(
        _ bytes: UnsafeMutablePointer<UInt8>, from start: Int, _ count: Int
    ) -> Int? {
        let feed = unsafe memchr(bytes + start, 0x0A, count - start)
        let limit = unsafe feed.map { unsafe $0 - UnsafeMutableRawPointer(bytes) } ?? count
        if let back = unsafe memchr(bytes + start, 0x0D, limit - start) {
            return unsafe back - UnsafeMutableRawPointer(bytes)
        }
        return unsafe feed == nil ? nil : limit
    }

    private mutating func understand(
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, consumed: Int
    ) -> Step {
        lineStart = 0
        var step = unsafe Step(kind: .idle, consumed: consumed)
        var hasData = false
        var line = 0
        while line < count, let end = unsafe Self.lineEnd(bytes, from: line, count) {
            let text = unsafe bytes + line
            let lineCount = end - line
            line = end + 1
            if line < count, unsafe bytes[end] == 0x0D, unsafe bytes[line] == 0x0A { line += 1 }
            guard lineCount > 0 else { continue }
            if unsafe text[0] == 0x3A {
                step.hasComment = true
                continue
            }
            if let place = unsafe Self.valuePlace(text, lineCount, "data") {
                let valueCount = lineCount - place
                if let data = unsafe step.data, hasData {
                    unsafe data[step.dataCount] = 0x0A
                    unsafe memmove(data + step.dataCount + 1, text + place, valueCount)
                    step.dataCount += valueCount + 1
                } else {
                    hasData = true
                    unsafe step.data = unsafe text + place
                    step.dataCount = valueCount
                }
            } else if let place = unsafe Self.valuePlace(text, lineCount, "event") {
                unsafe step.name = unsafe UnsafePointer(text + place)
                step.nameCount = lineCount - place
            } else if let place = unsafe Self.valuePlace(text, lineCount, "id") {
                unsafe step.id = unsafe UnsafePointer(text + place)
                step.idCount = lineCount - place
            } else if let place = unsafe Self.valuePlace(text, lineCount, "retry") {
                step.retryMs = unsafe Self.digits(text + place, lineCount - place)
            }
        }
        if hasData { step.kind = .event }
        return step
    }

    /// A retry time is digits and nothing else; others are ignored.
    private static func digits(_ text: UnsafePointer<UInt8>, _ count: Int) -> UInt32? {
        guard count > 0, count <= 9 else { return nil }
        var value: UInt32 = 0
        for place in 0..<count {
            let byte = unsafe text[place]
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            value = value * 10 + UInt32(byte - 0x30)
        }
        return value
    }

    /// Where the value of the field of this name begins in the line, if it is that field.
    private static func valuePlace(
        _ line: UnsafeMutablePointer<UInt8>, _ count: Int, _ name: StaticString
    ) -> Int? {
        let nameCount = name.utf8CodeUnitCount
        guard count >= nameCount, unsafe memcmp(line, name.utf8Start, nameCount) == 0 else {
            return nil
        }
        if count == nameCount { return count }
        guard unsafe line[nameCount] == 0x3A else { return nil }
        let hasSpace = unsafe count > nameCount + 1 && line[nameCount + 1] == 0x20
        return nameCount + (hasSpace ? 2 : 1)
    }
}
