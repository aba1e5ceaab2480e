import Keyspace
import Wire

/// What the admin sets for a table with `PUT /{t}`, and what `GET /{t}` shows:
/// `{"table":"t","read":"public","consistency":"eventual"}`.
///
/// A member that is left out leaves its rule as it is. A misspelt one must not leave a table open
/// that was meant to be closed, so members we don't know are refused; `table` is passed over, so
/// that what was shown can be sent back.
enum TableSettingsBody {
    struct Settings: Equatable, Sendable {
        var read: ReadRule?
        var consistency: TableConsistency?

        func apply(to info: inout TableInfo) {
            info.isConfigured = true
            if let read { info.readRule = read }
            if let consistency { info.consistency = consistency }
        }
    }

    enum Parsed: Equatable, Sendable {
        case settings(Settings)
        case refused(Refusal)
    }

    enum Refusal: Equatable, Sendable {
        case invalid(JSONFault)
        case unknownMember, repeatedMember, badRead, badConsistency

        /// What the client is told.
        var sentence: StaticString {
            switch self {
            case .invalid(let fault): fault.text
            case .unknownMember: "A table has the settings read and consistency, no others"
            case .repeatedMember: "A setting is given more than once"
            case .badRead: "read is public, owner or authenticated"
            case .badConsistency: "consistency is eventual or strong"
            }
        }
    }

    static func parse(_ body: UnsafeRawBufferPointer) -> Parsed {
        var members = unsafe JSONMembers(body)
        var settings = Settings()
        while true {
            switch members.next() {
            case .end: return .settings(settings)
            case .invalid(_, let reason): return .refused(.invalid(reason))
            case .member(let member):
                let value = unsafe UnsafeRawBufferPointer(rebasing: body[member.value])
                if unsafe member.isNamed("read", in: body) {
                    if settings.read != nil { return .refused(.repeatedMember) }
                    guard let rule = unsafe readRule(value) else { return .refused(.badRead) }
                    settings.read = rule
                } else if unsafe member.isNamed("consistency", in: body) {
                    if settings.consistency != nil { return .refused(.repeatedMember) }
                    guard let consistency = unsafe consistency(value) else {
                        return .refused(.badConsistency)
                    }
                    settings.consistency = consistency
                } else if unsafe !member.isNamed("table", in: body) {
                    return .refused(.unknownMember)
                }
            }
        }
    }

    /// The most bytes `write` writes.
    static func byteCountMax(_ table: UnsafeRawBufferPointer) -> Int {
        unsafe LooseText.byteCount(table) + 80
    }

    /// `inherited` is the node's `--consistency`, which a table without its own follows.
    static func write(
        _ table: UnsafeRawBufferPointer, read: ReadRule, consistency: TableConsistency,
        inherited: TableConsistency = .eventual, into writer: inout ByteWriter
    ) {
        writer.write("{\"table\":")
        unsafe LooseText.write(table, into: &writer)
        writer.write(",\"read\":\"")
        writer.write(word(read))
        writer.write("\",\"consistency\":\"")
        writer.write(word(consistency == .inherited ? inherited : consistency))
        writer.write("\"}")
    }

    /// What is kept of a table's settings, to be read by `parse`: a consistency that is only
    /// inherited is not the table's own.
    static func writeStored(_ info: TableInfo, into writer: inout ByteWriter) {
        writer.write("{\"read\":\"")
        writer.write(word(info.readRule))
        if info.consistency != .inherited {
            writer.write("\",\"consistency\":\"")
            writer.write(word(info.consistency))
        }
        writer.write("\"}")
    }

    // MARK: Words

    private static func readRule(_ value: UnsafeRawBufferPointer) -> ReadRule? {
        if unsafe isString(value, "public") { return .open }
        if unsafe isString(value, "owner") { return .owner }
        if unsafe isString(value, "authenticated") { return .authenticated }
        return nil
    }

    private static func consistency(_ value: UnsafeRawBufferPointer) -> TableConsistency? {
        if unsafe isString(value, "eventual") { return .eventual }
        if unsafe isString(value, "strong") { return .strong }
        return nil
    }

    private static func word(_ rule: ReadRule) -> StaticString {
        switch rule {
        case .open: "public"
        case .owner: "owner"
        case .authenticated: "authenticated"
        }
    }

    private static func word(_ consistency: TableConsistency) -> StaticString {
        consistency == .strong ? "strong" : "eventual"
    }

    private static func isString(_ value: UnsafeRawBufferPointer, _ word: StaticString) -> Bool {
        unsafe JSONString.decodes(
            value, to: UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount))
    }
}
