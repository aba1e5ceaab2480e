/// Writes a server's frames (RFC 6455 5.1): whole, and never masked.
public enum WebSocketFrame {
    public enum Kind: UInt8, Sendable, BitwiseCopyable {
        case text = 1
        case bytes = 2
        case close = 8
        case ping = 9
        case pong = 10
    }

    /// Two bytes, and a length of up to eight.
    public static let headBytesMax = 10
    /// What a Close frame can say besides its code.
    public static let reasonBytesMax = WebSocketReader.controlBytesMax - 2
    /// The longest control frame.
    public static let controlFrameBytesMax = 2 + WebSocketReader.controlBytesMax

    @inlinable
    public static func headCount(_ payloadCount: Int) -> Int {
        payloadCount < 126 ? 2 : payloadCount < 65536 ? 4 : 10
    }

    /// The head of a frame that is its message's only one; `count` bytes of payload follow.
    public static func head(_ kind: Kind, _ count: Int, into writer: inout ByteWriter) {
        writer.write(byte: 0x80 | kind.rawValue)
        if count < 126 {
            writer.write(byte: UInt8(count))
        } else if count < 65536 {
            writer.write(byte: 126)
            writer.write(byte: UInt8(truncatingIfNeeded: count >> 8))
            writer.write(byte: UInt8(truncatingIfNeeded: count))
        } else {
            writer.write(byte: 127)
            for shift in stride(from: 56, through: 0, by: -8) {
                writer.write(byte: UInt8(truncatingIfNeeded: count >> shift))
            }
        }
    }

    /// A control frame with the payload of the one it answers.
    public static func control(
        _ kind: Kind, _ payload: UnsafeRawBufferPointer, into writer: inout ByteWriter
    ) {
        invariant(payload.count <= WebSocketReader.controlBytesMax, "a control frame too long")
        head(kind, payload.count, into: &writer)
        unsafe writer.write(payload)
    }

    /// A Close frame; without a code it is empty, as one that answers an empty one has to be.
    public static func close(
        _ code: WebSocketCode?, _ reason: StaticString = "", into writer: inout ByteWriter
    ) {
        guard let code else { return head(.close, 0, into: &writer) }
        let count = reason.utf8CodeUnitCount
        invariant(count <= reasonBytesMax, "a reason too long for a close frame")
        head(.close, 2 + count, into: &writer)
        writer.write(byte: UInt8(truncatingIfNeeded: code.rawValue >> 8))
        writer.write(byte: UInt8(truncatingIfNeeded: code.rawValue))
        writer.write(reason)
    }
}
