import CMachine

/// The system refused a call: which one, why, and what a person can do about it.
///
/// It is thrown where something is set up, so it may carry strings; nothing on the data path
/// throws it. Printed, it is the one line that a user reads before the process ends:
///
///     bind 127.0.0.1:6660: Address already in use; another process listens there: choose another
///     port or stop it
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The call with the operand that mattered, like `bind 127.0.0.1:6660`.
    public let call: String
    /// The value of `errno`.
    public let code: Int32
    /// The likely cause and its remedy; empty where there is none to give.
    public let hint: String

    public init(_ call: String, _ code: Int32, hint: String = "") {
        self.call = call
        self.code = code
        self.hint = hint
    }

    public var description: String {
        let reason = "\(call): \(SystemError.text(of: code))"
        return hint.isEmpty ? reason : "\(reason); \(hint)"
    }

    /// What the C library calls this error, in English whatever the locale, so that logs read alike
    /// everywhere.
    public static func text(of code: Int32) -> String {
        guard let text = unsafe machine_error_text(code) else { return "error \(code)" }
        return unsafe String(cString: text)
    }
}
