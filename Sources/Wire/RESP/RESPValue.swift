/// A reply as a client keeps it: for the command line, the tests and whoever looks into replies
/// rather than passes them on.
public indirect enum RESPValue: Equatable, Sendable {
    case simple([UInt8])
    case error([UInt8])
    case integer(Int64)
    case bulk([UInt8])
    case array([RESPValue])
    /// RESP2 has two nulls, one that stands for a string and one for an array; RESP3 has one.
    case null
    case map([(RESPValue, RESPValue)])
    case set([RESPValue])
    case double(Double, text: [UInt8])
    case boolean(Bool)
    case bigNumber([UInt8])
    case verbatim(kind: [UInt8], [UInt8])
    /// Something the server says unasked: a message of a subscription.
    case push([RESPValue])
    /// What was said about the reply that follows it.
    case attribute([(RESPValue, RESPValue)], of: RESPValue)

    public static func == (one: RESPValue, other: RESPValue) -> Bool {
        switch (one, other) {
        case (.simple(let a), .simple(let b)), (.error(let a), .error(let b)),
            (.bulk(let a), .bulk(let b)), (.bigNumber(let a), .bigNumber(let b)):
            a == b
        case (.integer(let a), .integer(let b)): a == b
        case (.array(let a), .array(let b)), (.set(let a), .set(let b)),
            (.push(let a), .push(let b)):
            a == b
        case (.null, .null): true
        case (.map(let a), .map(let b)): same(a, b)
        case (.double(let a, _), .double(let b, _)): a == b || (a.isNaN && b.isNaN)
        case (.boolean(let a), .boolean(let b)): a == b
        case (.verbatim(let kind, let a), .verbatim(let otherKind, let b)):
            kind == otherKind && a == b
        case (.attribute(let a, let of), .attribute(let b, let otherOf)):
            same(a, b) && of == otherOf
        default: false
        }
    }

    private static func same(
        _ one: [(RESPValue, RESPValue)], _ other: [(RESPValue, RESPValue)]
    ) -> Bool {
        one.count == other.count && zip(one, other).allSatisfy { $0 == $1 }
    }
}
