/// Pulls the members of an object, or the elements of an array, out of a request's body as ranges
/// of its own bytes. No tree is built: a value that is stored or passed on is never taken apart.
///
/// Everything passed over is validated on the way, so one walk to `.end` both checks a document and
/// finds its parts. Nesting is bounded for each value by itself (``JSONValidator/depthMax``): the
/// envelope around a value doesn't count, so what one request may store another may send again.
public enum JSONScanner {
    /// The one member called `name` of the object that `bytes` are.
    ///
    /// Readers disagree on which of two members with one name counts, and what one of them checked
    /// another might not be shown, so a repeated `name` is an answer of its own. Other names are
    /// not compared.
    public static func find(_ name: StaticString, in bytes: UnsafeRawBufferPointer) -> JSONFound {
        var members = unsafe JSONMembers(bytes)
        var found: Range<Int>?
        var repeated = false
        while true {
            switch members.next() {
            case .member(let member):
                guard unsafe member.isNamed(name, in: bytes) else { continue }
                if found != nil { repeated = true }
                found = member.value
            case .end:
                if repeated { return .repeated }
                guard let found else { return .absent }
                return .found(found)
            case .invalid(let offset, let reason):
                return .invalid(offset: offset, reason: reason)
            }
        }
    }
}

@frozen
public enum JSONFound: Equatable, Sendable {
    /// Where the value is, without the white space around it.
    case found(Range<Int>)
    case absent
    case repeated
    case invalid(offset: Int, reason: JSONFault)
}

/// One member of an object, as places in the text it was read from.
@frozen
public struct JSONMember: Equatable, Sendable {
    /// The name as sent, quotes included.
    public let name: Range<Int>
    /// The value as sent, without the white space around it.
    public let value: Range<Int>
    /// Whether the name has escapes and has to be decoded to be read.
    public let nameHasEscapes: Bool

    /// Whether the name, once decoded, is `text`: `"\u0076alue"` is named `value` too.
    public func isNamed(_ text: StaticString, in bytes: UnsafeRawBufferPointer) -> Bool {
        let wanted = unsafe UnsafeRawBufferPointer(
            start: text.utf8Start, count: text.utf8CodeUnitCount)
        if !nameHasEscapes {
            guard name.count == wanted.count + 2 else { return false }
            for i in 0..<wanted.count {
                if unsafe bytes[name.lowerBound + 1 + i] != wanted[i] { return false }
            }
            return true
        }
        return unsafe JSONString.decodes(UnsafeRawBufferPointer(rebasing: bytes[name]), to: wanted)
    }
}

/// The members of an object, in the order they were sent.
@safe
public struct JSONMembers {
    private var cursor: JSONCursor
    private var place = Place.start

    @frozen
    public enum Step: Equatable, Sendable {
        case member(JSONMember)
        case end
        case invalid(offset: Int, reason: JSONFault)
    }

    public init(_ bytes: UnsafeRawBufferPointer) {
        cursor = unsafe JSONCursor(bytes)
    }

    /// After `.end` or `.invalid` the answer stays the same.
    public mutating func next() -> Step {
        switch cursor.open(&place, 0x7B, else: .notAnObject) {
        case .over: return .end
        case .failed: return .invalid(offset: cursor.at, reason: cursor.fault)
        case .ready: break
        }
        cursor.skipSpace()
        guard cursor.byte == 0x22 else {
            _ = cursor.fail(.missingName, at: cursor.at)
            return failed()
        }
        let nameStart = cursor.at
        guard cursor.skipString() else { return failed() }
        let name = nameStart..<cursor.at
        let nameHasEscapes = cursor.sawEscape
        guard cursor.skip(0x3A, else: .missingColon) else { return failed() }
        cursor.skipSpace()
        let valueStart = cursor.at
        guard cursor.skipValue(depthMax: JSONValidator.depthMax) else { return failed() }
        return .member(
            JSONMember(
                name: name, value: valueStart..<cursor.at, nameHasEscapes: nameHasEscapes))
    }

    private mutating func failed() -> Step {
        place = .failed
        return .invalid(offset: cursor.at, reason: cursor.fault)
    }
}

/// The elements of an array, in order.
@safe
public struct JSONElements {
    private var cursor: JSONCursor
    private var place = Place.start

    @frozen
    public enum Step: Equatable, Sendable {
        /// Where the element is, without the white space around it.
        case element(Range<Int>)
        case end
        case invalid(offset: Int, reason: JSONFault)
    }

    public init(_ bytes: UnsafeRawBufferPointer) {
        cursor = unsafe JSONCursor(bytes)
    }

    /// After `.end` or `.invalid` the answer stays the same.
    public mutating func next() -> Step {
        switch cursor.open(&place, 0x5B, else: .notAnArray) {
        case .over: return .end
        case .failed: return .invalid(offset: cursor.at, reason: cursor.fault)
        case .ready: break
        }
        cursor.skipSpace()
        let start = cursor.at
        guard cursor.skipValue(depthMax: JSONValidator.depthMax) else {
            place = .failed
            return .invalid(offset: cursor.at, reason: cursor.fault)
        }
        return .element(start..<cursor.at)
    }
}

/// How far a walk over an array or an object has come.
private enum Place { case start, inside, over, failed }

private enum Opening { case ready, over, failed }

extension JSONCursor {
    /// Moves past the opening bracket, or the comma after what was read last, to where the next
    /// part has to start; or past the closing bracket to the end of the text.
    fileprivate mutating func open(
        _ place: inout Place, _ bracket: UInt8, else reason: JSONFault
    ) -> Opening {
        switch place {
        case .over: return .over
        case .failed: return .failed
        case .start:
            guard skip(bracket, else: reason) else {
                place = .failed
                return .failed
            }
            place = .inside
            skipSpace()
            guard byte == bracket &+ 2 else { return .ready }
        case .inside:
            skipSpace()
            if byte == 0x2C {
                at += 1
                return .ready
            }
            guard byte == bracket &+ 2 else {
                _ = fail(.missingComma, at: at)
                place = .failed
                return .failed
            }
        }
        at += 1
        skipSpace()
        guard at == end else {
            _ = fail(.trailingBytes, at: at)
            place = .failed
            return .failed
        }
        place = .over
        return .over
    }
}
