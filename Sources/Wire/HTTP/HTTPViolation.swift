/// What is wrong with a request that can't be answered as asked. Every one closes the connection:
/// after it nobody can say where the next request would begin.
public enum HTTPViolation: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case malformedMethod
    case unknownLongMethod
    case malformedTarget
    case targetTooLong
    case asteriskWithoutOptions
    case malformedVersion
    case unsupportedVersion
    case tooManyEmptyLines
    case bareCarriageReturn
    case bareLineFeed
    case headTooLarge
    case tooManyFields
    case foldedField
    case malformedFieldName
    case blankBeforeColon
    case fieldWithoutColon
    case malformedFieldValue
    case hostMissing
    case hostRepeated
    case malformedHost
    case fieldRepeated
    case contentLengthRepeated
    case malformedContentLength
    case lengthAndCoding
    case malformedTransferCoding
    case chunkedNotLast
    case unknownTransferCoding
    case codingInOldVersion
    case unknownExpectation
    case bodyTooLarge
    case malformedChunkSize
    case malformedChunkEnd
    case malformedChunkExtension
    case chunkExtensionsTooLarge
    case malformedTrailer
    case trailersTooLarge

    public var status: HTTPStatus {
        switch self {
        case .unknownLongMethod, .unknownTransferCoding: .notImplemented
        case .targetTooLong: .uriTooLong
        case .unsupportedVersion: .httpVersionNotSupported
        case .headTooLarge, .tooManyFields, .trailersTooLarge: .requestHeaderFieldsTooLarge
        case .unknownExpectation: .expectationFailed
        case .bodyTooLarge: .contentTooLarge
        default: .badRequest
        }
    }

    /// For the body of the answer: `{"error":"one sentence"}`. Holds nothing that JSON escapes.
    public var sentence: StaticString {
        switch self {
        case .malformedMethod: "The method is not a token"
        case .unknownLongMethod: "The method is longer than any this server knows"
        case .malformedTarget: "The request target is malformed"
        case .targetTooLong: "The request target is too long"
        case .asteriskWithoutOptions: "Only OPTIONS may ask for the target *"
        case .malformedVersion: "The request line does not end in HTTP/ and a version"
        case .unsupportedVersion: "Only HTTP/1.1 and HTTP/1.0 are spoken here"
        case .tooManyEmptyLines: "There are too many empty lines before the request"
        case .bareCarriageReturn: "A carriage return is not followed by a line feed"
        case .bareLineFeed: "A line ends in a line feed without a carriage return"
        case .headTooLarge: "The request's header fields are too large"
        case .tooManyFields: "The request has too many header fields"
        case .foldedField: "A header line begins with white space"
        case .malformedFieldName: "A header name is malformed"
        case .blankBeforeColon: "There is white space before the colon of a header"
        case .fieldWithoutColon: "A header line has no colon"
        case .malformedFieldValue: "A header value holds a control character"
        case .hostMissing: "The Host header is missing"
        case .hostRepeated: "The Host header is repeated"
        case .malformedHost: "The host is malformed"
        case .fieldRepeated: "A header that may occur once is repeated"
        case .contentLengthRepeated: "The Content-Length header is repeated"
        case .malformedContentLength: "The Content-Length is not a number of bytes"
        case .lengthAndCoding: "Content-Length and Transfer-Encoding exclude each other"
        case .malformedTransferCoding: "The Transfer-Encoding is malformed"
        case .chunkedNotLast: "The last transfer coding has to be chunked, once"
        case .unknownTransferCoding: "Only the transfer coding chunked is known here"
        case .codingInOldVersion: "HTTP/1.0 has no Transfer-Encoding"
        case .unknownExpectation: "Only the expectation 100-continue is known here"
        case .bodyTooLarge: "The request body is too large"
        case .malformedChunkSize: "A chunk size is malformed"
        case .malformedChunkEnd: "A chunk is not followed by the end of its line"
        case .malformedChunkExtension: "A chunk extension is malformed"
        case .chunkExtensionsTooLarge: "The chunk extensions are too large"
        case .malformedTrailer: "A trailer line is malformed"
        case .trailersTooLarge: "The trailers are too large"
        }
    }
}
