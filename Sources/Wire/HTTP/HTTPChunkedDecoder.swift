/// What the next bytes of a chunked body turn out to be.
public enum HTTPChunkedStep: Equatable, Sendable, BitwiseCopyable {
    /// All bytes given were framing and are used up: decode again with the ones after them.
    case needMore
    /// These bytes, at least one, belong to the body. They and all before them are used up.
    case data(start: Int, count: Int)
    /// The body is complete; what follows `consumed` bytes is the next request.
    case end(consumed: Int)
    case violation(HTTPViolation)
}

/// Takes the chunked coding off a request body (RFC 9112 7.1), a piece at a time.
///
/// Framing is read bytewise by a small state machine instead of being parsed again from its start:
/// a chunk can be longer than any buffer, so the decoder has to remember where it is anyway, and
/// bytes it has used can be let go at once. Extensions are bounded and dropped; trailers are
/// checked, bounded and dropped, because nothing here would act on them.
public struct HTTPChunkedDecoder: Sendable, BitwiseCopyable {
    private enum Phase: UInt8 {
        case sizeStart
        case size
        case extensions
        case sizeLineFeed
        case data
        case dataReturn
        case dataLineFeed
        case trailerStart
        case trailerName
        case trailerValue
        case trailerLineFeed
        case endLineFeed
        case ended
        case failed
    }

    private var phase = Phase.sizeStart
    private var failure = HTTPViolation.malformedChunkSize
    private var sizeDigits: UInt8 = 0
    private var extensionBytes: UInt32 = 0
    private var trailerBytes: UInt32 = 0
    private var trailers: UInt32 = 0
    /// Bytes of the present chunk that are still to come.
    private var chunkBytes: UInt64 = 0

    /// Bytes of body that all chunk sizes so far have announced.
    public private(set) var bodyBytes: UInt64 = 0

    public init() {}

    /// Reads on. Give it the bytes that follow those it has used up; call it again after `data`
    /// even with none left, or when more have come.
    public mutating func decode(_ bytes: RawSpan, limits: HTTPLimits) -> HTTPChunkedStep {
        let end = bytes.byteCount
        var index = 0
        while true {
            if phase == .data {
                guard index < end else { return .needMore }
                let size = Int(min(chunkBytes, UInt64(end &- index)))
                chunkBytes &-= UInt64(size)
                if chunkBytes == 0 { phase = .dataReturn }
                return .data(start: index, count: size)
            }
            if phase == .ended { return .end(consumed: index) }
            if phase == .failed { return .violation(failure) }
            guard index < end else { return .needMore }
            framing(bytes.byte(index), limits)
            index &+= 1
        }
    }

    // MARK: Framing

    private mutating func fail(_ violation: HTTPViolation) {
        phase = .failed
        failure = violation
    }

    private mutating func framing(_ byte: UInt8, _ limits: HTTPLimits) {
        switch phase {
        case .sizeStart:
            chunkBytes = 0
            sizeDigits = 0
            sizeDigit(byte)
        case .size:
            switch byte {
            case 0x0D: announced(.sizeLineFeed, limits)
            case 0x3B: announced(.extensions, limits)
            default: sizeDigit(byte)
            }
        case .extensions: chunkExtension(byte, limits)
        case .sizeLineFeed:
            guard byte == 0x0A else { return fail(.bareCarriageReturn) }
            phase = chunkBytes == 0 ? .trailerStart : .data
        case .dataReturn:
            guard byte == 0x0D else { return fail(.malformedChunkEnd) }
            phase = .dataLineFeed
        case .dataLineFeed:
            guard byte == 0x0A else { return fail(.malformedChunkEnd) }
            phase = .sizeStart
        default: trailer(byte, limits)
        }
    }

    /// Digits only: no sign, no `0x`, no blanks, and few enough that nothing overflows.
    private mutating func sizeDigit(_ byte: UInt8) {
        let digit = ByteScan.hexValue(byte)
        guard digit < 16, sizeDigits < HTTPLimits.chunkSizeDigitsMax else {
            return fail(byte == 0x0A ? .bareLineFeed : .malformedChunkSize)
        }
        sizeDigits += 1
        chunkBytes = chunkBytes &<< 4 | UInt64(digit)
        phase = .size
    }

    /// The size is complete: a body that gets too large is refused before it arrives.
    private mutating func announced(_ next: Phase, _ limits: HTTPLimits) {
        guard chunkBytes <= limits.bodyBytesMax, bodyBytes <= limits.bodyBytesMax - chunkBytes
        else { return fail(.bodyTooLarge) }
        bodyBytes += chunkBytes
        phase = next
    }

    private mutating func chunkExtension(_ byte: UInt8, _ limits: HTTPLimits) {
        if byte == 0x0D {
            phase = .sizeLineFeed
            return
        }
        guard ByteScan.isFieldValueByte(byte) else {
            return fail(byte == 0x0A ? .bareLineFeed : .malformedChunkExtension)
        }
        extensionBytes += 1
        if extensionBytes > limits.chunkExtensionBytesMax { fail(.chunkExtensionsTooLarge) }
    }

    private mutating func trailer(_ byte: UInt8, _ limits: HTTPLimits) {
        trailerBytes += 1
        guard trailerBytes <= limits.trailerBytesMax else { return fail(.trailersTooLarge) }
        switch phase {
        case .trailerLineFeed, .endLineFeed:
            guard byte == 0x0A else { return fail(.bareCarriageReturn) }
            phase = phase == .endLineFeed ? .ended : .trailerStart
        case .trailerStart where byte == 0x0D: phase = .endLineFeed
        case .trailerStart:
            guard ASCIISet.token.contains(byte) else { return spoiltTrailer(byte) }
            trailers += 1
            if trailers > limits.headerCountMax { return fail(.trailersTooLarge) }
            phase = .trailerName
        case .trailerName where byte == 0x3A: phase = .trailerValue
        case .trailerName:
            guard ASCIISet.token.contains(byte) else { return spoiltTrailer(byte) }
        case .trailerValue where byte == 0x0D: phase = .trailerLineFeed
        default:
            guard ByteScan.isFieldValueByte(byte) else { return spoiltTrailer(byte) }
        }
    }

    private mutating func spoiltTrailer(_ byte: UInt8) {
        fail(byte == 0x0A ? .bareLineFeed : .malformedTrailer)
    }
}
