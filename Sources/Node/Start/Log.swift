import Glibc
import Machine
import Options

/// What happened, one line an event, on stderr. Nothing is logged per request.
///
/// Text is `2026-01-02T03:04:05.678Z info listening address=127.0.0.1:6660`; JSON is the same as
/// an object. A line is one write, so lines of several threads don't mix.
struct Log: Sendable {
    let level: LogLevel
    let format: LogFormat

    typealias Field = (name: String, value: String)

    func debug(_ event: String, _ fields: Field...) { write(.debug, event, fields) }
    func info(_ event: String, _ fields: Field...) { write(.info, event, fields) }
    func warn(_ event: String, _ fields: Field...) { write(.warn, event, fields) }
    func error(_ event: String, _ fields: Field...) { write(.error, event, fields) }

    private func write(_ level: LogLevel, _ event: String, _ fields: [Field]) {
        guard level >= self.level else { return }
        let line = Self.line(
            format: format, level: level, event: event, fields: fields,
            time: Self.time(wallMs: Clock.wallMs()))
        var bytes = Array(line.utf8)
        bytes.append(0x0a)
        _ = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(2, $0.baseAddress, $0.count) }
    }

    static func line(
        format: LogFormat, level: LogLevel, event: String, fields: [Field], time: String
    ) -> String {
        switch format {
        case .text:
            var line = "\(time) \(level.rawValue) \(event)"
            for field in fields { line += " \(field.name)=\(plain(field.value))" }
            return line
        case .json:
            var line = "{\"time\":\(quoted(time)),\"level\":\(quoted(level.rawValue)),"
            line += "\"event\":\(quoted(event))"
            for field in fields { line += ",\(quoted(field.name)):\(quoted(field.value))" }
            return line + "}"
        }
    }

    /// As it is where nothing in it could be taken for the next field, else quoted.
    private static func plain(_ value: String) -> String {
        let isPlain = value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x7f }
        return isPlain && !value.isEmpty ? value : quoted(value)
    }

    private static func quoted(_ value: String) -> String {
        var text = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let hex = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - hex.utf8.count) + hex
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }

    /// ISO 8601 in UTC with milliseconds.
    private static func time(wallMs: UInt64) -> String {
        var seconds = time_t(wallMs / 1000)
        var parts = unsafe tm()
        unsafe gmtime_r(&seconds, &parts)
        func padded(_ number: Int32, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
        }
        let year = unsafe padded(parts.tm_year + 1900, 4)
        let month = unsafe padded(parts.tm_mon + 1, 2)
        let day = unsafe padded(parts.tm_mday, 2)
        let hour = unsafe padded(parts.tm_hour, 2)
        let minute = unsafe padded(parts.tm_min, 2)
        let second = unsafe padded(parts.tm_sec, 2)
        let milliseconds = padded(Int32(wallMs % 1000), 3)
        return "\(year)-\(month)-\(day)T\(hour):\(minute):\(second).\(milliseconds)Z"
    }
}
