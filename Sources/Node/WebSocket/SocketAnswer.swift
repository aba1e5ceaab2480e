import Wire

/// What `/ws` answers: `{"id":1,"status":200,…}`, or `{"id":1,"error":"one sentence","status":404}`.
///
/// The body that a key's shard gives, which HTTP sends as it is, becomes a part of it: a record
/// the member `record`, an error two members.
@safe struct SocketAnswer {
    /// What stands before and behind the body, and how much of the body there is between.
    private let id: UnsafeRawBufferPointer
    private let status: HTTPStatus
    private let body: UnsafeRawBufferPointer
    private let name: StaticString
    /// The body is an object whose members become the answer's own.
    private let isOpened: Bool

    /// `body` is what HTTP would send with the status: a record, an error, or nothing.
    init(id: UnsafeRawBufferPointer, status: HTTPStatus, body: UnsafeRawBufferPointer) {
        unsafe self.id = unsafe id
        self.status = status
        unsafe self.body = unsafe body
        isOpened =
            unsafe body.bytes.begins(with: "{\"error\":")
            || body.bytes.begins(with: "{\"message\":")
        name = unsafe body.isEmpty || isOpened ? "" : ",\"record\":"
    }

    /// What the status means where the body does not say it: the record that is there instead.
    private var sentence: StaticString {
        !isOpened && status == .preconditionFailed
            ? ",\"error\":\"The precondition failed\"" : ""
    }

    var byteCount: Int {
        var count = 6 + idCount + sentence.utf8CodeUnitCount + 10 + 3 + 1
        count += name.utf8CodeUnitCount
        let shown = unsafe body.count - (isOpened ? 1 : 0)
        return count + shown
    }

    private var idCount: Int { unsafe id.isEmpty ? 4 : id.count }

    /// Writes what stands before the record; the record and `tail` follow.
    func writeHead(into writer: inout ByteWriter) {
        writer.write("{\"id\":")
        if unsafe id.isEmpty { writer.write("null") } else { unsafe writer.write(id) }
        if isOpened {
            // `{"error":"…"}` without its braces.
            writer.write(byte: UInt8(ascii: ","))
            let members = unsafe UnsafeRawBufferPointer(rebasing: body[1..<body.count - 1])
            unsafe writer.write(members)
        }
        writer.write(sentence)
        writer.write(",\"status\":")
        writer.write(decimal: UInt64(status.rawValue))
        writer.write(name)
    }

    /// What follows the head as it is; empty where all of it was written.
    var rest: UnsafeRawBufferPointer {
        isOpened ? unsafe UnsafeRawBufferPointer(start: nil, count: 0) : unsafe body
    }

    static let tail: StaticString = "}"

    /// The most bytes `writeHead` writes for the bodies that are written with it.
    static let headBytesMax = SocketRequest.idBytesMax + 512
}
