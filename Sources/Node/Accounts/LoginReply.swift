import Wire

/// What a login's asker is told.
struct LoginReply {
    let status: HTTPStatus
    let extras: AnswerExtras
    let body: [UInt8]

    init(_ answer: LoginAnswer) {
        var wait = 0
        let text: String
        switch answer {
        case .created(let token):
            status = .ok
            text =
                "{\"status\":\"User created\",\"token\":\"\(String(decoding: token, as: UTF8.self))\"}"
        case .accepted(let token):
            status = .ok
            text = "{\"token\":\"\(String(decoding: token, as: UTF8.self))\"}"
        case .wrongSecret:
            status = .unauthorized
            text = Self.error("The secret is wrong")
        case .badName:
            status = .badRequest
            text = Self.error(
                "A name is 1 to 64 of A-Z, a-z, 0-9, dot, dash and underscore, and begins with a "
                    + "letter or digit")
        case .badSecret:
            status = .badRequest
            text = Self.error("A secret is 1 to 1024 bytes")
        case .notAllowed:
            status = .unauthorized
            text = Self.error("Nobody can log in under this name")
        case .busy:
            status = .serviceUnavailable
            wait = LoginAnswer.busyRetryAfterS
            text = Self.error("Too many logins are under way")
        case .throttled(let seconds):
            status = .tooManyRequests
            wait = seconds
            text = Self.error("Too many logins have failed")
        case .full:
            status = .insufficientStorage
            text = Self.error("There is no room for another account")
        }
        extras = AnswerExtras(retryAfterS: UInt32(clamping: wait), noStore: true)
        body = Array(text.utf8)
    }

    private static func error(_ sentence: String) -> String { "{\"error\":\"\(sentence)\"}" }
}
