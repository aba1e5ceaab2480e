/// Why a run does not start: one line for stderr.
struct UsageError: Error, Equatable, CustomStringConvertible {
    /// EX_USAGE of sysexits.h.
    static let exitCode: Int32 = 64

    let description: String

    init(_ message: String) { description = "needletail-bench: \(message)" }
}

/// What a command line asks for.
enum Invocation {
    case run(Settings)
    case compare(String, String)
    case print(String)

    static func read(_ arguments: [String]) throws(UsageError) -> Invocation {
        if arguments.contains("--help") || arguments.contains("-h") { return .print(Help.text) }
        guard let first = arguments.first else {
            throw UsageError(
                "say what to run: get, put, mixed, push, hold, resp or verify; see --help")
        }
        if first == "--compare" {
            guard arguments.count == 3 else {
                throw UsageError("--compare: needs two files that --json has written")
            }
            return .compare(arguments[1], arguments[2])
        }
        guard let command = Settings.Command(rawValue: first) else {
            throw UsageError(
                "\(Values.quoted(first)): is none of get, put, mixed, push, hold, resp, "
                    + "verify, --compare and --help")
        }
        var settings = Settings()
        settings.command = command
        var given: Set<String> = []
        var rest = arguments.dropFirst()
        var hasTarget = false
        while let word = rest.popFirst() {
            if word.hasPrefix("--") {
                given.insert(try take(word, &rest, &settings))
                continue
            }
            guard !hasTarget, command != .verify else {
                throw UsageError(
                    "\(Values.quoted(word)): one word too many; needletail-bench takes a command, "
                        + "one target (verify none) and options")
            }
            hasTarget = true
            guard Values.target(word, &settings) else {
                throw UsageError(
                    "\(Values.quoted(word)) is not a target: write HOST:PORT or "
                        + "http://HOST:PORT/PATH")
            }
        }
        try settle(&settings, given)
        return .run(settings)
    }

    /// Reads one option and returns its name.
    private static func take(
        _ word: String, _ rest: inout ArraySlice<String>, _ settings: inout Settings
    ) throws(UsageError) -> String {
        let equals = word.firstIndex(of: "=")
        let spelling = String(word[..<(equals ?? word.endIndex)])
        guard let option = Option.table.first(where: { $0.spelling == spelling }) else {
            throw UsageError("\(Values.quoted(spelling)): no such option; see --help")
        }
        var value = equals.map { String(word[word.index(after: $0)...]) }
        if option.form.isEmpty {
            guard value == nil else { throw UsageError("\(spelling): takes no value") }
        } else if value == nil {
            guard let next = rest.popFirst() else {
                throw UsageError("\(spelling): needs a value: \(option.expects)")
            }
            value = next
        }
        guard option.read(value ?? "", &settings) else {
            throw UsageError(
                "\(spelling): \(Values.quoted(value ?? "")) is not \(option.expects)")
        }
        return option.name
    }

    /// Defaults that depend on the command, and what is wrong between options.
    private static func settle(
        _ settings: inout Settings, _ given: Set<String>
    ) throws(UsageError) {
        switch settings.command {
        case .push:
            if !given.contains("keys") { settings.keys = 1 }
            if !given.contains("connections") { settings.connections = 4 }
            if settings.rate == nil { settings.rate = 20 }
            settings.size = max(settings.size, Stamp.byteCount)
            if settings.requests != nil {
                throw UsageError("--requests: push takes --rate and --duration instead")
            }
        case .hold:
            if !given.contains("keys") { settings.keys = 1 }
        case .resp:
            if settings.path != nil { throw UsageError("resp: takes HOST:PORT without a path") }
        case .get, .put, .mixed, .verify: break
        }
        if settings.stopped > settings.listeners || settings.writers > settings.connections {
            throw UsageError(
                settings.stopped > settings.listeners
                    ? "--stopped: \(settings.stopped) is more than the listeners there are"
                    : "--writers: \(settings.writers) is more than the connections they share")
        }
        let isLive = settings.command == .push || settings.command == .hold
        if isLive, !given.contains("sources"), settings.host.hasPrefix("127.") {
            settings.sources = max(1, (settings.listeners + 9_999) / 10_000)
        }
        if settings.requests != nil { settings.warmupMs = 0 }
        let sharing = isLive ? settings.listeners : settings.connections
        if settings.threads > sharing {
            throw UsageError(
                "--threads: \(settings.threads) is more than the \(sharing) "
                    + (isLive ? "listeners" : "connections") + " they share")
        }
        for (name, path) in [
            ("subscribe-path", settings.subscribePath), ("publish-path", settings.publishPath),
        ] {
            guard let path else { continue }
            guard path.hasPrefix("/"), !path.contains(" ") else {
                throw UsageError("--\(name): \(Values.quoted(path)) is not a path")
            }
        }
    }
}
