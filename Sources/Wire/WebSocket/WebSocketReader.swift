/// What the next bytes of a WebSocket connection turn out to be.
public enum WebSocketStep: Equatable, Sendable, BitwiseCopyable {
    /// Read again with these bytes and more behind them: at most `WebSocketReader.unreadBytesMax`
    /// have to be kept.
    case needMore
    /// A part of a message, unmasked where it lies.
    case part(WebSocketPart)
    /// A control frame with its payload, unmasked where it lies.
    case ping(payload: ByteRange, consumed: Int)
    case pong(payload: ByteRange, consumed: Int)
    /// No code came where it is nil (RFC 6455 7.1.5).
    case close(WebSocketCode?, reason: ByteRange, consumed: Int)
    case violation(WebSocketViolation)
}

/// Some bytes of a data message, perhaps none: an empty message has one part.
public struct WebSocketPart: Equatable, Sendable, BitwiseCopyable {
    public var payload: ByteRange
    /// The bytes that are used up, the payload's among them.
    public var consumed: Int
    public var isText: Bool
    /// The first, the last part of its message; both where it came in one piece.
    public var isFirst: Bool
    public var isLast: Bool
}

/// Takes the framing off what a client sends (RFC 6455 5), where it lies in the buffer.
///
/// The head of a frame and a control frame are short, so they are read again from their first byte
/// until all of them is there. A data frame can be longer than any buffer: its payload is given
/// out as it comes, and what is left of it is all that is remembered. So an idle connection keeps
/// thirty bytes and no buffer. What is wrong is said at the first byte that shows it.
public struct WebSocketReader: Sendable, BitwiseCopyable {
    /// A control frame's payload (RFC 6455 5.5).
    public static let controlBytesMax = 125
    /// Two bytes, a length of up to eight, a mask of four.
    public static let headBytesMax = 14
    /// The most that has to be kept of bytes that were not enough.
    public static let unreadBytesMax = 2 + 4 + controlBytesMax
    /// A part is at most this long, so that no call takes long.
    public static let partBytesMax = 64 * 1024

    private enum Message: UInt8 { case none, text, bytes }

    /// What the present frame of data still has to bring.
    private var frameBytes: UInt64 = 0
    /// What the present message has brought, with the whole of its present frame.
    private var messageBytes: UInt64 = 0
    private var mask = WebSocketMask(key: 0)
    private var text = UTF8Progress()
    private var message = Message.none
    private var isInFrame = false
    private var isLastFrame = false
    private var isFirstPart = false

    public init() {}

    /// Whether a message has begun and not ended.
    public var isInMessage: Bool { message != .none }

    /// Reads the next thing in `bytes`, which begin where the last step ended. The mask is taken off
    /// in place, so a part is read once; what `needMore` asks to be kept has not been touched.
    public mutating func read(
        _ bytes: UnsafeMutableRawBufferPointer, messageBytesMax: Int
    ) -> WebSocketStep {
        if isInFrame {
            if bytes.count == 0 { return .needMore }
            return unsafe part(bytes, from: 0)
        }
        guard bytes.count > 0 else { return .needMore }
        let first = unsafe bytes[0]
        if first & 0x70 != 0 { return .violation(.reservedBit) }
        let isFinal = first & 0x80 != 0
        let opcode = first & 0x0F
        switch opcode {
        case 0:
            if message == .none { return .violation(.nothingToContinue) }
        case 1, 2:
            if message != .none { return .violation(.messageInterrupted) }
        case 8, 9, 10:
            if !isFinal { return .violation(.fragmentedControl) }
        default: return .violation(.unknownOpcode)
        }
        guard bytes.count > 1 else { return .needMore }
        let second = unsafe bytes[1]
        if second & 0x80 == 0 { return .violation(.unmasked) }
        let short = second & 0x7F
        if opcode >= 8 {
            if Int(short) > Self.controlBytesMax { return .violation(.longControl) }
            return unsafe control(opcode, bytes, count: Int(short))
        }
        let lengthCount = short < 126 ? 0 : short == 126 ? 2 : 8
        if let fault = unsafe longLengthFault(bytes, lengthCount) { return .violation(fault) }
        guard bytes.count >= 2 + lengthCount else { return .needMore }
        let length = unsafe lengthCount == 0 ? UInt64(short) : number(bytes, lengthCount)
        let before = opcode == 0 ? messageBytes : 0
        // The bound is held against what is announced, before any of it comes.
        if length > UInt64(messageBytesMax) || before > UInt64(messageBytesMax) - length {
            return .violation(.tooLarge)
        }
        let headCount = 2 + lengthCount + 4
        guard bytes.count >= headCount else { return .needMore }
        unsafe begin(opcode, isFinal, bytes, headCount)
        frameBytes = length
        messageBytes = before + length
        return unsafe part(bytes, from: headCount)
    }

    // MARK: Data

    private mutating func begin(
        _ opcode: UInt8, _ isFinal: Bool, _ bytes: UnsafeMutableRawBufferPointer, _ headCount: Int
    ) {
        mask = unsafe WebSocketMask(
            key: bytes.loadUnaligned(fromByteOffset: headCount - 4, as: UInt32.self))
        isInFrame = true
        isLastFrame = isFinal
        if opcode == 0 { return }
        message = opcode == 1 ? .text : .bytes
        text = UTF8Progress()
        isFirstPart = true
    }

    /// Gives out what is here of the present frame's payload, from `start` on.
    private mutating func part(
        _ bytes: UnsafeMutableRawBufferPointer, from start: Int
    ) -> WebSocketStep {
        let here = min(bytes.count - start, Self.partBytesMax)
        let count = Int(min(frameBytes, UInt64(here)))
        let isText = message == .text
        if count > 0 {
            let payload = unsafe UnsafeMutableRawBufferPointer(
                rebasing: bytes[start..<start + count])
            unsafe mask.remove(from: payload.baseAddress.unsafelyUnwrapped, count: count)
            if isText, unsafe !text.take(UnsafeRawBufferPointer(payload)) {
                return .violation(.badText)
            }
        }
        frameBytes -= UInt64(count)
        var part = WebSocketPart(
            payload: ByteRange(start, upTo: start + count), consumed: start + count,
            isText: isText, isFirst: isFirstPart, isLast: false)
        isFirstPart = false
        if frameBytes == 0 {
            isInFrame = false
            part.isLast = isLastFrame
            if isLastFrame {
                if isText, !text.isBetweenCharacters { return .violation(.badText) }
                message = .none
                messageBytes = 0
            }
        }
        return .part(part)
    }

    // MARK: Control frames

    private func control(
        _ opcode: UInt8, _ bytes: UnsafeMutableRawBufferPointer, count: Int
    ) -> WebSocketStep {
        if opcode == 8, count == 1 { return .violation(.halfCode) }
        let headCount = 2 + 4
        let end = headCount + count
        guard bytes.count >= end else { return .needMore }
        var mask = unsafe WebSocketMask(
            key: bytes.loadUnaligned(fromByteOffset: 2, as: UInt32.self))
        let start = unsafe bytes.baseAddress.unsafelyUnwrapped + headCount
        unsafe mask.remove(from: start, count: count)
        let payload = ByteRange(headCount, upTo: end)
        switch opcode {
        case 9: return .ping(payload: payload, consumed: end)
        case 10: return .pong(payload: payload, consumed: end)
        default: break
        }
        guard count >= 2 else { return .close(nil, reason: payload, consumed: end) }
        let code = unsafe WebSocketCode(
            rawValue: UInt16(bytes[headCount]) << 8 | UInt16(bytes[headCount + 1]))
        guard code.mayBeSent else { return .violation(.badCode) }
        let reason = unsafe UnsafeRawBufferPointer(start: start + 2, count: count - 2)
        guard unsafe UTF8Text.isValid(reason) else { return .violation(.badReason) }
        return .close(code, reason: ByteRange(headCount + 2, upTo: end), consumed: end)
    }

    // MARK: Lengths

    /// What is wrong with a length of `count` bytes, as far as those that are here show it.
    private func longLengthFault(
        _ bytes: UnsafeMutableRawBufferPointer, _ count: Int
    ) -> WebSocketViolation? {
        guard count > 0, bytes.count > 2 else { return nil }
        if count == 8, unsafe bytes[2] & 0x80 != 0 { return .lengthTooLong }
        guard bytes.count >= 2 + count else { return nil }
        let least: UInt64 = count == 2 ? 126 : 65536
        return unsafe number(bytes, count) < least ? .lengthNotMinimal : nil
    }

    private func number(_ bytes: UnsafeMutableRawBufferPointer, _ count: Int) -> UInt64 {
        var number: UInt64 = 0
        for index in 0..<count { number = unsafe number << 8 | UInt64(bytes[2 + index]) }
        return number
    }
}
