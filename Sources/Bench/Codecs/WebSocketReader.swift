import Glibc

/// A client's reading of WebSocket frames (RFC 6455), in any pieces: messages, joined where they
/// come in fragments, and the control frames between them.
///
/// A frame that lies whole in the bytes is read in place; one in parts is gathered first, so a
/// stream that never had one in parts holds no memory. Extensions are never asked for, so reserved
/// bits are wrong. That text is UTF-8 is not checked.
@safe struct WebSocketReader {
    /// As for event streams: past it a message is taken for nonsense.
    static let messageBytesMax = 128 << 20
    private static let headBytesMax = 10
    static let controlBytesMax = 125

    @safe struct Step {
        enum Kind { case needMore, message, ping, pong, close, violation }

        var kind: Kind
        var consumed: Int
        /// Valid until the next call.
        var data: UnsafeMutablePointer<UInt8>? = nil
        var dataCount = 0
    }

    private enum Opcode {
        static let continuation: UInt8 = 0, text: UInt8 = 1, binary: UInt8 = 2
        static let close: UInt8 = 8, ping: UInt8 = 9, pong: UInt8 = 10
    }

    private struct Head {
        var opcode: UInt8
        var isFinal: Bool
        var headBytes: Int
        var payloadBytes: Int
    }

    /// A frame in parts, and the fragments of a message.
    private var kept = Gathered()
    private var message = Gathered()
    private var isInMessage = false

    var isAtRest: Bool { kept.count == 0 && !isInMessage }

    /// Reads up to the end of one frame that means something. The bytes may be rearranged.
    mutating func next(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Step {
        var used = 0
        while used < count {
            let frame: UnsafeMutablePointer<UInt8>
            let head: Head
            if kept.count == 0 {
                switch unsafe Self.head(bytes + used, count - used) {
                case .wrong: return unsafe Step(kind: .violation, consumed: used)
                case .whole(let found) where found.headBytes + found.payloadBytes <= count - used:
                    head = found
                    unsafe frame = unsafe bytes + used
                    used += found.headBytes + found.payloadBytes
                case .whole, .needMore:
                    unsafe kept.append(bytes + used, count - used)
                    return unsafe Step(kind: .needMore, consumed: count)
                }
            } else {
                switch unsafe gather(bytes, count, used: &used) {
                case .wrong: return unsafe Step(kind: .violation, consumed: used)
                case .needMore: return unsafe Step(kind: .needMore, consumed: count)
                case .whole(let found): head = found
                }
                guard let memory = unsafe kept.bytes else { fatalError("a frame without bytes") }
                unsafe frame = unsafe memory
                kept.count = 0
            }
            let step = unsafe understand(head, frame + head.headBytes, consumed: used)
            if step.kind != .needMore { return step }
        }
        return unsafe Step(kind: .needMore, consumed: count)
    }

    /// Gives back what is held. A stream that begins anew begins after this.
    mutating func reset() {
        kept.release()
        message.release()
        isInMessage = false
    }

    /// Goes on with the frame in parts: first its head, which tells how much more is to come.
    private mutating func gather(
        _ bytes: UnsafePointer<UInt8>, _ count: Int, used: inout Int
    ) -> Found {
        while let memory = unsafe kept.bytes {
            switch unsafe Self.head(memory, kept.count) {
            case .wrong: return .wrong
            case .needMore:
                guard used < count else { return .needMore }
                unsafe kept.append(bytes + used, 1)
                used += 1
            case .whole(let found):
                let missing = found.headBytes + found.payloadBytes - kept.count
                let taken = min(missing, count - used)
                unsafe kept.append(bytes + used, taken)
                used += taken
                return taken == missing ? .whole(found) : .needMore
            }
        }
        return .needMore
    }

    private enum Found { case needMore, wrong, whole(Head) }

    private static func head(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Found {
        guard count >= 2 else { return .needMore }
        let (first, second) = unsafe (bytes[0], bytes[1])
        // Reserved bits, and a mask, which a server's frames must not have.
        guard first & 0x70 == 0, second & 0x80 == 0 else { return .wrong }
        let opcode = first & 0x0F
        let isFinal = first & 0x80 != 0
        switch opcode {
        case Opcode.continuation, Opcode.text, Opcode.binary: break
        case Opcode.close, Opcode.ping, Opcode.pong:
            guard isFinal, second <= UInt8(controlBytesMax) else { return .wrong }
        default: return .wrong
        }
        var payload = Int(second)
        let lengthBytes = second == 127 ? 8 : second == 126 ? 2 : 0
        guard count >= 2 + lengthBytes else { return .needMore }
        if lengthBytes > 0 {
            var length: UInt64 = 0
            for place in 0..<lengthBytes { length = unsafe length << 8 | UInt64(bytes[2 + place]) }
            guard length <= UInt64(messageBytesMax) else { return .wrong }
            payload = Int(length)
        }
        return .whole(
            Head(
                opcode: opcode, isFinal: isFinal, headBytes: 2 + lengthBytes,
                payloadBytes: payload))
    }

    /// A frame that is part of a message means nothing by itself: then more is needed.
    private mutating func understand(
        _ head: Head, _ payload: UnsafeMutablePointer<UInt8>, consumed: Int
    ) -> Step {
        var step = unsafe Step(
            kind: .message, consumed: consumed, data: payload, dataCount: head.payloadBytes)
        switch head.opcode {
        case Opcode.close: step.kind = .close
        case Opcode.ping: step.kind = .ping
        case Opcode.pong: step.kind = .pong
        default:
            let continues = head.opcode == Opcode.continuation
            guard continues == isInMessage,
                message.count + head.payloadBytes <= Self.messageBytesMax
            else { return unsafe Step(kind: .violation, consumed: consumed) }
            if head.isFinal, !isInMessage { return step }
            unsafe message.append(payload, head.payloadBytes)
            isInMessage = !head.isFinal
            guard head.isFinal else { return unsafe Step(kind: .needMore, consumed: consumed) }
            unsafe step.data = unsafe message.bytes
            step.dataCount = message.count
            message.count = 0
        }
        return step
    }
}

/// Bytes that come in parts, in memory that an idle stream does not hold.
@safe private struct Gathered {
    private(set) var bytes: UnsafeMutablePointer<UInt8>? = nil
    var count = 0
    private var capacity = 0

    mutating func append(_ more: UnsafePointer<UInt8>, _ moreCount: Int) {
        if count + moreCount > capacity {
            capacity = max(capacity * 2, count + moreCount, 1024)
            unsafe bytes = unsafe realloc(bytes, capacity)?.assumingMemoryBound(to: UInt8.self)
        }
        guard let memory = unsafe bytes else { fatalError("no memory for a message in parts") }
        unsafe memcpy(memory + count, more, moreCount)
        count += moreCount
    }

    mutating func release() {
        unsafe free(bytes)
        unsafe bytes = nil
        count = 0
        capacity = 0
    }
}
