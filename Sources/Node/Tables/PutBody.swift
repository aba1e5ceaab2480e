import Wire

/// The body of a write to one key: `{"value":V}` with any JSON value. Other members are passed
/// over, so that a client can send back a record as it got it.
enum PutBody {
    @safe
    enum Found {
        /// The value as sent, without the white space around it.
        case value(UnsafeRawBufferPointer)
        /// The object has no `value`.
        case missing
        /// It has more than one, and readers disagree on which counts.
        case repeated
        /// Not JSON, or no object.
        case invalid(JSONFault)

        /// What the client is told of a body that can't be stored.
        var sentence: StaticString {
            switch self {
            case .value: ""
            case .missing: "The body has no member value"
            case .repeated: "The body has more than one member value"
            case .invalid(let fault): fault.text
            }
        }
    }

    static func value(in body: UnsafeRawBufferPointer) -> Found {
        switch unsafe JSONScanner.find("value", in: body) {
        case .found(let range): unsafe .value(UnsafeRawBufferPointer(rebasing: body[range]))
        case .absent: .missing
        case .repeated: .repeated
        case .invalid(_, let reason): .invalid(reason)
        }
    }
}
