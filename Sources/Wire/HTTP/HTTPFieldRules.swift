/// What the fields that frame a message say together (RFC 9112 6), gathered line by line.
struct HTTPFieldRules {
    private var length: UInt64 = 0
    private var said: Said = []

    private struct Said: OptionSet {
        var rawValue: UInt8

        static let lastCodingIsChunked = Said(rawValue: 1)
        static let unknownCoding = Said(rawValue: 2)
        static let close = Said(rawValue: 4)
        static let keepAlive = Said(rawValue: 8)
        static let upgrade = Said(rawValue: 16)
        static let expectContinue = Said(rawValue: 32)
    }

    @inline(__always)
    init() {}

    /// Notes one line of a known field and remembers where its value lies.
    @inline(__always)
    mutating func take(
        _ field: HTTPKnownField, _ bytes: RawSpan, _ start: Int, _ end: Int,
        _ head: inout HTTPRequestHead
    ) -> HTTPRequestParser.Step {
        if head.present & field.bit != 0 {
            if HTTPKnownField.onlyOnce & field.bit != 0 { return .wrong(repetition(of: field)) }
            head.repeated |= field.bit
        } else {
            head.present |= field.bit
            // An absolute target's host has been placed already, and wins (RFC 9112 3.2.2).
            if field != .host || head.target != .absolute {
                head.place(field, from: start, to: end)
            }
        }
        guard HTTPKnownField.readByParser & field.bit != 0 else { return .done }
        if field == .host {
            return HTTPTargetForms.isHost(bytes, from: start, to: end)
                ? .done : .wrong(.malformedHost)
        }
        return read(field, bytes, start, end, head.minorVersion)
    }

    /// Decides what can only be decided when all lines are there.
    @inline(__always)
    func conclude(_ limits: HTTPLimits, _ head: inout HTTPRequestHead) -> HTTPRequestParser.Step {
        if !head.has(.host), head.minorVersion > 0 { return .wrong(.hostMissing) }
        if head.target == .absolute { head.present |= HTTPKnownField.host.bit }
        if head.present & HTTPKnownField.readByParser == HTTPKnownField.host.bit {
            // Nothing was said about framing or the connection, as most often.
            head.keepAlive = head.minorVersion > 0
            return .done
        }
        if head.has(.transferEncoding) {
            if head.has(.contentLength) { return .wrong(.lengthAndCoding) }
            if !said.contains(.lastCodingIsChunked) { return .wrong(.chunkedNotLast) }
            if said.contains(.unknownCoding) { return .wrong(.unknownTransferCoding) }
            head.body = .chunked
        } else if head.has(.contentLength) {
            if length > limits.bodyBytesMax { return .wrong(.bodyTooLarge) }
            head.body = .length(length)
        }
        if head.minorVersion == 0 {
            head.keepAlive = said.contains(.keepAlive) && !said.contains(.close)
        } else {
            head.keepAlive = !said.contains(.close)
            head.isUpgrade = said.contains(.upgrade) && head.has(.upgrade)
            // Without a body there is nothing to wait for.
            head.expectsContinue =
                said.contains(.expectContinue) && (head.body == .chunked || length > 0)
        }
        return .done
    }

    // MARK: One line

    @inline(never)
    private mutating func read(
        _ field: HTTPKnownField, _ bytes: RawSpan, _ start: Int, _ end: Int, _ minorVersion: UInt8
    ) -> HTTPRequestParser.Step {
        switch field {
        case .contentLength: return readLength(bytes, start, end)
        case .transferEncoding:
            // RFC 9112 6.1: a client that claims 1.0 can't be trusted to mean its framing.
            if minorVersion == 0 { return .wrong(.codingInOldVersion) }
            return readCodings(bytes, start, end)
        case .connection:
            readConnection(bytes, start, end)
            return .done
        case .expect:
            guard Self.isContinue(bytes, start, end) else { return .wrong(.unknownExpectation) }
            said.insert(.expectContinue)
            return .done
        default: return .done
        }
    }

    @inline(never)
    private func repetition(of field: HTTPKnownField) -> HTTPViolation {
        switch field {
        case .host: .hostRepeated
        case .contentLength: .contentLengthRepeated
        default: .fieldRepeated
        }
    }

    /// Digits only, and no list: RFC 9110 8.6 lets a recipient refuse even equal values.
    private mutating func readLength(
        _ bytes: RawSpan, _ start: Int, _ end: Int
    ) -> HTTPRequestParser.Step {
        guard start < end else { return .wrong(.malformedContentLength) }
        var number: UInt64 = 0
        for index in start..<end {
            let digit = bytes.byte(index) &- 0x30
            guard digit < 10 else { return .wrong(.malformedContentLength) }
            let (tens, overTens) = number.multipliedReportingOverflow(by: 10)
            let (sum, overSum) = tens.addingReportingOverflow(UInt64(digit))
            if overTens || overSum { return .wrong(.malformedContentLength) }
            number = sum
        }
        length = number
        return .done
    }

    /// The lines of Transfer-Encoding are one list. An empty element is refused although RFC 9110
    /// 5.6.1 lets it pass: only confusion is gained by one here.
    private mutating func readCodings(
        _ bytes: RawSpan, _ start: Int, _ end: Int
    ) -> HTTPRequestParser.Step {
        var list = HTTPListElements(from: start, to: end)
        while let element = list.next(in: bytes) {
            guard !element.isEmpty else { return .wrong(.malformedTransferCoding) }
            if said.contains(.lastCodingIsChunked) { return .wrong(.chunkedNotLast) }
            let nameEnd = ByteScan.tokenEnd(bytes, from: element.lowerBound, to: element.upperBound)
            guard nameEnd > element.lowerBound else { return .wrong(.malformedTransferCoding) }
            let name = ByteRange(element.lowerBound, upTo: nameEnd)
            if bytes.slice(name).equalsIgnoringCase("chunked") {
                // RFC 9112 7.1: chunked has no parameters, and having some is an error.
                guard nameEnd == element.upperBound else {
                    return .wrong(.malformedTransferCoding)
                }
                said.insert(.lastCodingIsChunked)
            } else {
                guard nameEnd == element.upperBound || Self.beginsParameters(bytes.byte(nameEnd))
                else { return .wrong(.malformedTransferCoding) }
                said.insert(.unknownCoding)
            }
        }
        return .done
    }

    private static func beginsParameters(_ byte: UInt8) -> Bool {
        byte == 0x3B || ByteScan.isBlank(byte)
    }

    private mutating func readConnection(_ bytes: RawSpan, _ start: Int, _ end: Int) {
        var list = HTTPListElements(from: start, to: end)
        while let element = list.next(in: bytes) {
            let option = bytes.slice(ByteRange(element.lowerBound, upTo: element.upperBound))
            switch option.byteCount {
            case 5 where option.equalsIgnoringCase("close"): said.insert(.close)
            case 7 where option.equalsIgnoringCase("upgrade"): said.insert(.upgrade)
            case 10 where option.equalsIgnoringCase("keep-alive"): said.insert(.keepAlive)
            default: break
            }
        }
    }

    private static func isContinue(_ bytes: RawSpan, _ start: Int, _ end: Int) -> Bool {
        bytes.slice(ByteRange(start, upTo: end)).equalsIgnoringCase("100-continue")
    }
}

/// The elements of a comma-separated list (RFC 9110 5.6.1) without the blanks around them. Always
/// at least one, perhaps an empty one. Not for lists whose elements hold quoted strings.
struct HTTPListElements {
    private var start: Int
    private let end: Int
    private var isDone = false

    init(from start: Int, to end: Int) {
        self.start = start
        self.end = end
    }

    mutating func next(in bytes: RawSpan) -> Range<Int>? {
        guard !isDone else { return nil }
        var comma = start
        while comma < end, bytes.byte(comma) != 0x2C { comma &+= 1 }
        var from = start
        var to = comma
        while from < to, ByteScan.isBlank(bytes.byte(from)) { from &+= 1 }
        while to > from, ByteScan.isBlank(bytes.byte(to &- 1)) { to &-= 1 }
        isDone = comma == end
        start = comma &+ 1
        return unsafe Range(uncheckedBounds: (from, to))
    }
}

extension RawSpan {
    /// Whether this field value is a list that names `token` (in lower case): `Upgrade: websocket`,
    /// `Accept-Encoding: gzip`. Parameters after a semicolon are disregarded.
    public func lists(_ token: StaticString) -> Bool {
        var list = HTTPListElements(from: 0, to: byteCount)
        while let element = list.next(in: self) {
            let nameEnd = ByteScan.tokenEnd(self, from: element.lowerBound, to: element.upperBound)
            let name = ByteRange(element.lowerBound, upTo: nameEnd)
            if !slice(name).isEmpty, slice(name).equalsIgnoringCase(token) { return true }
        }
        return false
    }
}
