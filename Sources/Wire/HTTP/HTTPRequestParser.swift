/// What the first unread bytes of a connection turn out to be.
public enum HTTPHeadParsed: Sendable, BitwiseCopyable {
    /// Nothing is wrong so far, and the head has not ended: parse again with more bytes.
    case needMore
    case head(HTTPRequestHead)
    case violation(HTTPViolation)
}

/// The same verdict where the head is filled in place.
public enum HTTPHeadVerdict: Equatable, Sendable, BitwiseCopyable {
    case needMore
    /// The head that was handed in now describes the request.
    case head
    case violation(HTTPViolation)
}

/// Reads the head of an HTTP/1.1 or HTTP/1.0 request (RFC 9112 2 to 6), strictly.
///
/// Parsing restarts from the first unread byte whenever more have come, and every decision is made
/// at the first byte that allows it. So the verdict can't depend on how the bytes were split: for
/// each prefix it is either `needMore` or what the whole gives, and nobody waits for the rest of a
/// request that is already wrong. Where readers of HTTP disagree on a form, it is refused: what two
/// servers read differently is what requests are smuggled with.
public enum HTTPRequestParser {
    @inlinable
    public static func parse(_ bytes: RawSpan, limits: HTTPLimits) -> HTTPHeadParsed {
        var head = HTTPRequestHead()
        switch parse(bytes, limits: limits, into: &head) {
        case .needMore: return .needMore
        case .head: return .head(head)
        case .violation(let violation): return .violation(violation)
        }
    }

    /// Parses into a head that lives somewhere already, as in a connection's slot: a head is 160
    /// bytes, and handing it from one place to the next costs a quarter of parsing a short request.
    /// What the head holds after another verdict than `head` means nothing.
    public static func parse(
        _ bytes: RawSpan, limits: HTTPLimits, into head: inout HTTPRequestHead
    ) -> HTTPHeadVerdict {
        let limit = limits.headBytesMax
        let end = min(bytes.byteCount, limit)
        head.reset()
        var place = 0
        var step = requestLine(bytes, end, limits, &place, &head)
        if step == .done { step = fields(bytes, end, limits, &place, &head) }
        switch step {
        case .done:
            head.headByteCount = UInt32(truncatingIfNeeded: place)
            return .head
        case .ranOut: return end < limit ? .needMore : .violation(.headTooLarge)
        case .wrong(let violation): return .violation(violation)
        }
    }

    /// How reading one part of a head ended.
    enum Step: Equatable {
        case done
        /// There are no more bytes up to `end`: too few have come, or too many are needed.
        case ranOut
        case wrong(HTTPViolation)
    }

    // MARK: Request line

    @inline(__always)
    private static func requestLine(
        _ bytes: RawSpan, _ end: Int, _ limits: HTTPLimits, _ place: inout Int,
        _ head: inout HTTPRequestHead
    ) -> Step {
        var step = Step.done
        if place < end, bytes.byte(place) < 0x20 {
            var slow = place
            step = emptyLines(bytes, end, &slow)
            place = slow
        }
        if step == .done { step = method(bytes, end, &place, &head) }
        if step == .done { step = target(bytes, end, limits, &place, &head) }
        if head.target != .absolute { head.fieldsBase = UInt32(truncatingIfNeeded: place) }
        if step == .done { step = version(bytes, end, &place, &head) }
        if step == .done, head.target == .asterisk, head.method != .options {
            return .wrong(.asteriskWithoutOptions)
        }
        return step
    }

    /// RFC 9112 2.2: CRLFs before a request line are forgiven, a few of them.
    @inline(never)
    private static func emptyLines(_ bytes: RawSpan, _ end: Int, _ place: inout Int) -> Step {
        var lines = 0
        while place < end {
            let first = bytes.byte(place)
            if first == 0x0A { return .wrong(.bareLineFeed) }
            guard first == 0x0D else { return .done }
            if lines == HTTPLimits.emptyLinesMax { return .wrong(.tooManyEmptyLines) }
            let step = lineEnd(bytes, end, &place)
            if step != .done { return step }
            lines += 1
        }
        return .ranOut
    }

    @inline(__always)
    private static func method(
        _ bytes: RawSpan, _ end: Int, _ place: inout Int, _ head: inout HTTPRequestHead
    ) -> Step {
        if place &+ 8 <= end {
            let word = bytes.word64(place)
            if word & 0xFFFF_FFFF == 0x2054_4547 {
                head.method = .get
                place &+= 4
                return .done
            }
            if word & 0xFFFF_FFFF == 0x2054_5550 {
                head.method = .put
                place &+= 4
                return .done
            }
            // The lowest byte that is a space, exactly; a borrow only blurs those above it.
            let spaces = word ^ 0x2020_2020_2020_2020
            let zeros = (spaces &- 0x0101_0101_0101_0101) & ~spaces & 0x8080_8080_8080_8080
            if zeros != 0 {
                let length = zeros.trailingZeroBitCount &>> 3
                let method = HTTPMethod(word: word, length: length)
                if method != .other {
                    head.method = method
                    place &+= length &+ 1
                    return .done
                }
            }
        }
        // A copy, so that `place` itself can stay in a register.
        var slow = place
        defer { place = slow }
        return anyMethod(bytes, end, &slow, &head)
    }

    @inline(never)
    private static func anyMethod(
        _ bytes: RawSpan, _ end: Int, _ place: inout Int, _ head: inout HTTPRequestHead
    ) -> Step {
        let start = place
        var word: UInt64 = 0
        while place < end {
            let byte = bytes.byte(place)
            let length = place &- start
            if byte == 0x20, length > 0 {
                head.method = HTTPMethod(word: word, length: length)
                place &+= 1
                return .done
            }
            guard ASCIISet.token.contains(byte) else { return .wrong(.malformedMethod) }
            if length == HTTPLimits.methodBytesMax { return .wrong(.unknownLongMethod) }
            if length < 8 { word |= UInt64(byte) &<< UInt64(length &* 8) }
            place &+= 1
        }
        return .ranOut
    }

    @inline(__always)
    private static func target(
        _ bytes: RawSpan, _ end: Int, _ limits: HTTPLimits, _ place: inout Int,
        _ head: inout HTTPRequestHead
    ) -> Step {
        guard place < end else { return .ranOut }
        // The byte after the longest target is looked at, because it may be the space that ends it.
        let bound = place &+ limits.targetBytesMax &+ 1
        let stop = min(end, bound)
        let step: Step
        if bytes.byte(place) == 0x2F, head.method != .connect {
            step = pathAndQuery(bytes, stop, &place, &head)
        } else {
            var slow = place
            step = HTTPTargetForms.read(bytes, stop, &slow, &head)
            place = slow
        }
        guard step == .ranOut else { return step }
        let tooLong = bound <= end || end == limits.headBytesMax
        return tooLong ? .wrong(.targetTooLong) : .ranOut
    }

    /// Reads from the path's first slash to the space after the target.
    ///
    /// Controls, spaces, fragments and bytes beyond ASCII are refused (RFC 3986 has them encoded).
    /// Visible characters that a URI should not hold either, such as `{` or `|`, are let through:
    /// people type them, curl sends them, and nobody reads them differently.
    @inline(__always)
    static func pathAndQuery(
        _ bytes: RawSpan, _ end: Int, _ place: inout Int, _ head: inout HTTPRequestHead
    ) -> Step {
        let start = place
        var stop = ByteScan.targetStop(bytes, from: start, to: end)
        guard stop < end else { return .ranOut }
        head.path = ByteRange(start, upTo: stop)
        if bytes.byte(stop) == 0x3F {
            let query = stop &+ 1
            repeat {
                stop = ByteScan.targetStop(bytes, from: stop &+ 1, to: end)
                guard stop < end else { return .ranOut }
            } while bytes.byte(stop) == 0x3F
            head.hasQuery = true
            head.query = ByteRange(query, upTo: stop)
        }
        guard bytes.byte(stop) == 0x20 else { return .wrong(.malformedTarget) }
        place = stop &+ 1
        return .done
    }

    @inline(__always)
    private static func version(
        _ bytes: RawSpan, _ end: Int, _ place: inout Int, _ head: inout HTTPRequestHead
    ) -> Step {
        if place &+ 10 <= end, bytes.word64(place) == 0x312E_312F_5054_5448,
            bytes.half(place &+ 8) == 0x0A0D
        {
            place &+= 10
            return .done
        }
        var slow = place
        defer { place = slow }
        return anyVersion(bytes, end, &slow, &head)
    }

    @inline(never)
    private static func anyVersion(
        _ bytes: RawSpan, _ end: Int, _ place: inout Int, _ head: inout HTTPRequestHead
    ) -> Step {
        // RFC 9112 2.3: the name is case-sensitive, each number is one digit.
        let name: StaticString = "HTTP/"
        for index in 0..<name.utf8CodeUnitCount {
            guard place < end else { return .ranOut }
            guard unsafe bytes.byte(place) == name.utf8Start[index] else {
                return .wrong(.malformedVersion)
            }
            place &+= 1
        }
        guard place < end else { return .ranOut }
        guard ByteScan.isDigit(bytes.byte(place)) else { return .wrong(.malformedVersion) }
        guard bytes.byte(place) == 0x31 else { return .wrong(.unsupportedVersion) }
        place &+= 1
        guard place < end else { return .ranOut }
        guard bytes.byte(place) == 0x2E else { return .wrong(.malformedVersion) }
        place &+= 1
        guard place < end else { return .ranOut }
        guard ByteScan.isDigit(bytes.byte(place)) else { return .wrong(.malformedVersion) }
        // A later minor version is answered as the highest one known (RFC 9110 2.5).
        head.minorVersion = bytes.byte(place) == 0x30 ? 0 : 1
        place &+= 1
        guard place < end else { return .ranOut }
        if bytes.byte(place) == 0x0A { return .wrong(.bareLineFeed) }
        guard bytes.byte(place) == 0x0D else { return .wrong(.malformedVersion) }
        return lineEnd(bytes, end, &place)
    }

    /// Steps over the LF after a CR at `place`.
    @inline(__always)
    private static func lineEnd(_ bytes: RawSpan, _ end: Int, _ place: inout Int) -> Step {
        guard place &+ 1 < end else { return .ranOut }
        guard bytes.byte(place &+ 1) == 0x0A else { return .wrong(.bareCarriageReturn) }
        place &+= 2
        return .done
    }

    // MARK: Fields

    @inline(__always)
    private static func fields(
        _ bytes: RawSpan, _ end: Int, _ limits: HTTPLimits, _ place: inout Int,
        _ head: inout HTTPRequestHead
    ) -> Step {
        head.fieldsStart = UInt32(truncatingIfNeeded: place)
        var rules = HTTPFieldRules()
        var left = limits.headerCountMax
        if left > 0, let next = plainHostLine(bytes, end, place, &head) {
            left &-= 1
            place = next
            // Health checks and benchmarks send nothing else.
            if place &+ 2 <= end, bytes.half(place) == 0x0A0D {
                place &+= 2
                return rules.conclude(limits, &head)
            }
        }
        while true {
            guard place < end else { return .ranOut }
            if bytes.byte(place) == 0x0D {
                let step = lineEnd(bytes, end, &place)
                return step == .done ? rules.conclude(limits, &head) : step
            }
            if left == 0 { return .wrong(.tooManyFields) }
            left &-= 1

            let name = place
            let colon = ByteScan.tokenEnd(bytes, from: name, to: end)
            guard colon < end else { return .ranOut }
            guard bytes.byte(colon) == 0x3A, colon > name else {
                return .wrong(spoiltName(bytes.byte(colon), first: colon == name))
            }

            var value = colon &+ 1
            while value < end, ByteScan.isBlank(bytes.byte(value)) { value &+= 1 }
            var valueEnd = ByteScan.fieldValueEnd(bytes, from: value, to: end)
            guard valueEnd < end else { return .ranOut }
            guard bytes.byte(valueEnd) == 0x0D else {
                return .wrong(
                    bytes.byte(valueEnd) == 0x0A ? .bareLineFeed : .malformedFieldValue)
            }
            place = valueEnd
            let step = lineEnd(bytes, end, &place)
            guard step == .done else { return step }
            while valueEnd > value, ByteScan.isBlank(bytes.byte(valueEnd &- 1)) { valueEnd &-= 1 }

            if let field = HTTPKnownField(name: bytes, at: name, length: colon &- name) {
                let step = rules.take(field, bytes, value, valueEnd, &head)
                guard step == .done else { return step }
            }
        }
    }

    /// Takes the line that every request has, where and how nearly all give it: first, `Host: ` and
    /// a plain name with or without a port. Any other form, right or wrong, is left to the general
    /// path, which would answer the same here and costs three times as much.
    @inline(__always)
    private static func plainHostLine(
        _ bytes: RawSpan, _ end: Int, _ place: Int, _ head: inout HTTPRequestHead
    ) -> Int? {
        guard place &+ 8 <= end,
            (bytes.word64(place) | 0x2020_2020) & 0xFFFF_FFFF_FFFF == 0x203A_7473_6F68
        else { return nil }
        let start = place &+ 6
        var stop = ByteScan.plainHostEnd(bytes, from: start, to: end)
        guard stop > start, stop &+ 2 <= end else { return nil }
        if bytes.byte(stop) == 0x3A { stop = ByteScan.digitsEnd(bytes, from: stop &+ 1, to: end) }
        guard stop &+ 2 <= end, bytes.half(stop) == 0x0A0D else { return nil }
        head.present |= HTTPKnownField.host.bit
        if head.target != .absolute { head.place(.host, from: start, to: stop) }
        return stop &+ 2
    }

    @inline(never)
    private static func spoiltName(_ byte: UInt8, first: Bool) -> HTTPViolation {
        switch byte {
        case 0x20, 0x09: first ? .foldedField : .blankBeforeColon
        case 0x0A: .bareLineFeed
        case 0x0D: .fieldWithoutColon
        default: .malformedFieldName
        }
    }
}
