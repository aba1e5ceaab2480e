/// One option: how it is written, what it means and how its value is read. `--help` and parsing
/// both read the table, so neither can know an option that the other doesn't.
struct Option: Sendable {
    enum Section: String, CaseIterable, Sendable {
        case much = "How much"
        case what = "Of what"
        case live = "Live updates (push, hold)"
        case how = "How"
        case verify = "verify"
        case print = "What is printed"
    }

    let name: String
    let section: Section
    /// How the value is written in `--help`; empty for one that takes none.
    let form: String
    let expects: String
    let doc: String
    let read: @Sendable (String, inout Settings) -> Bool

    var spelling: String { "--\(name)" }

    private init(
        _ name: String, _ section: Section, _ form: String, _ expects: String, _ doc: String,
        _ read: @escaping @Sendable (String, inout Settings) -> Bool
    ) {
        self.name = name
        self.section = section
        self.form = form
        self.expects = expects
        self.doc = doc
        self.read = read
    }

    // MARK: Kinds of values

    private static func number(
        _ name: String, _ section: Section, _ range: ClosedRange<Int>, _ doc: String,
        _ set: @escaping @Sendable (Int, inout Settings) -> Void
    ) -> Option {
        Option(
            name, section, "N", "a whole number from \(range.lowerBound) to \(range.upperBound)",
            doc
        ) { text, settings in
            guard let value = Values.whole(text), range.contains(value) else { return false }
            set(value, &settings)
            return true
        }
    }

    private static func decimal(
        _ name: String, _ section: Section, _ range: ClosedRange<Double>, _ doc: String,
        _ set: @escaping @Sendable (Double, inout Settings) -> Void
    ) -> Option {
        Option(name, section, "X", "a number from \(range.lowerBound) to \(range.upperBound)", doc)
        { text, settings in
            guard let value = Double(text), range.contains(value) else { return false }
            set(value, &settings)
            return true
        }
    }

    private static func time(
        _ name: String, _ section: Section, _ doc: String,
        _ set: @escaping @Sendable (Int, inout Settings) -> Void
    ) -> Option {
        Option(name, section, "TIME", "a time up to a day, such as 10, 1.5s, 500ms or 2m", doc) {
            text, settings in
            guard let value = Values.milliseconds(text), value <= 86_400_000 else { return false }
            set(value, &settings)
            return true
        }
    }

    private static func choice<T: RawRepresentable & CaseIterable & Sendable>(
        _ name: String, _ section: Section, _ type: T.Type, _ doc: String,
        _ set: @escaping @Sendable (T, inout Settings) -> Void
    ) -> Option where T.RawValue == String {
        let words = T.allCases.map(\.rawValue)
        return Option(
            name, section, words.joined(separator: "|"), words.joined(separator: " or "), doc
        ) { text, settings in
            guard let value = T(rawValue: text) else { return false }
            set(value, &settings)
            return true
        }
    }

    private static func text(
        _ name: String, _ section: Section, _ form: String, _ expects: String, _ doc: String,
        _ set: @escaping @Sendable (String, inout Settings) -> Void
    ) -> Option {
        Option(name, section, form, expects, doc) { text, settings in
            guard Values.isLine(text) else { return false }
            set(text, &settings)
            return true
        }
    }

    private static func flag(
        _ name: String, _ section: Section, _ doc: String,
        _ set: @escaping @Sendable (inout Settings) -> Void
    ) -> Option {
        Option(name, section, "", "", doc) { _, settings in
            set(&settings)
            return true
        }
    }

    // MARK: The table

    static let table: [Option] = much + what + live + how + verify + print

    private static let much: [Option] = [
        number(
            "connections", .much, 1...20_000,
            "Connections in all, dealt to the threads. Default: 64."
        ) { $1.connections = $0 },
        number(
            "threads", .much, 1...256,
            "Threads that send, or listen. More than the processors left over by the server only "
                + "blur the figures. Default: 1."
        ) { $1.threads = $0 },
        number(
            "pipeline", .much, 1...1024,
            "Requests sent together on a connection; the next follow when all are answered. With "
                + "--rate, at most as many of those due. Default: 1."
        ) { $1.pipeline = $0 },
        time("duration", .much, "What is measured, after the warm-up. Default: 10s.") {
            $1.durationMs = $0
        },
        time("warmup", .much, "Run and not measured before. Default: 1s.") { $1.warmupMs = $0 },
        number(
            "requests", .much, 1...1_000_000_000,
            "End after so many requests instead of a time; there is no warm-up then."
        ) { $1.requests = $0 },
        Option(
            "rate", .much, "N", "a number of requests a second up to 10000000",
            "Open loop: so many requests (push: events) a second in all, sent when they are due "
                + "whatever the server does, latency counted from then. Without it the loop is "
                + "closed: a connection sends when it has its reply, and a stalled server is asked "
                + "less."
        ) { text, settings in
            guard let value = Double(text), value > 0, value <= 1e7 else { return false }
            settings.rate = value
            return true
        },
        choice(
            "arrivals", .much, Arrivals.Kind.self,
            "How the requests of an open loop are spread. Default: poisson, as independent users "
                + "do."
        ) { $1.arrivals = $0 },
        time(
            "timeout", .much,
            "A request without a reply for so long is counted as timed out and its connection "
                + "made anew. Default: 5s."
        ) { $1.timeoutMs = $0 },
        time(
            "drain", .much,
            "How long replies and events are waited for after the end. Default: 2s."
        ) { $1.drainMs = $0 },
    ]

    private static let what: [Option] = [
        text(
            "table", .what, "NAME", "a table's name",
            "The table whose keys are asked for when the target has no path. Default: bench."
        ) { $1.table = $0 },
        number(
            "keys", .what, 1...RequestTemplate.keysMax,
            "How many keys: key00000000 and on. Default: 10000; push: 1 unless given."
        ) { $1.keys = $0 },
        Option(
            "size", .what, "BYTES", "a size up to 64MiB, such as 100, 4KiB or 1MiB",
            "Bytes of a value that is written. Default: 256."
        ) { text, settings in
            guard let value = Values.bytes(text), value <= 64 << 20 else { return false }
            settings.size = value
            return true
        },
        flag(
            "words", .what,
            "Values are words, others for each key, as people's are: what keeps them can compress "
                + "them as it would those. Else they are random letters, the same in all."
        ) { $0.isWords = true },
        decimal(
            "reads", .what, 0...1, "mixed: the share of requests that read. Default: 0.9."
        ) { $1.reads = $0 },
        choice(
            "distribution", .what, KeyChoice.Distribution.self,
            "Which keys: each as often, few much more often (zipf), or in turn. Default: uniform."
        ) { $1.distribution = $0 },
        decimal(
            "zipf", .what, 0.01...5, "The exponent of zipf; more is more uneven. Default: 0.99."
        ) { $1.zipfExponent = $0 },
        choice(
            "command", .what, Settings.RESPCommand.self,
            "resp: what is sent; mixed is GET and SET by --reads, lpush and lpop are of one list. "
                + "Default: get."
        ) { $1.respCommand = $0 },
        flag(
            "fill", .what,
            "First write every key once, unmeasured, so that reads find something."
        ) { $0.fills = true },
        number(
            "seed", .what, 0...Int(Int32.max),
            "Of keys and arrivals: the same seed asks for the same. Default: 1."
        ) { $1.seed = $0 },
    ]

    private static let live: [Option] = [
        number(
            "listeners", .live, 1...100_000,
            "Streams that listen, dealt to the keys in turn. Default: 1000."
        ) {
            $1.listeners = $0
        },
        number(
            "writers", .live, 1...64, "push: threads that write the events. Default: 1."
        ) { $1.writers = $0 },
        number(
            "stopped", .live, 0...100_000,
            "push: so many of the listeners read nothing while events are written, and then read "
                + "on; their accounts are kept apart. Give --drain time for that. Default: 0."
        ) { $1.stopped = $0 },
        flag("ws", .live, "Listen by WebSocket instead of an event stream.") {
            $0.isWebSocket = true
        },
        time(
            "stale", .live,
            "An event that arrives so long after its stamp is counted as stale. Default: 1s."
        ) { $1.staleMs = $0 },
        text(
            "subscribe-path", .live, "PATH", "a path that begins with a slash",
            "What listeners ask for, {key} being theirs. Default: /TABLE/subscribe/{key}."
        ) { $1.subscribePath = $0 },
        text(
            "publish-path", .live, "PATH", "a path that begins with a slash",
            "Where events are written. Default: /TABLE/key/{key}."
        ) { $1.publishPath = $0 },
        text(
            "publish-method", .live, "METHOD", "an HTTP method", "Default: PUT."
        ) { $1.publishMethod = $0 },
        choice(
            "body", .live, Settings.Body.self,
            "Whether a written value goes as {\"value\":\"…\"} or as its bytes. Default: json."
        ) { $1.body = $0 },
    ]

    private static let how: [Option] = [
        text(
            "payload", .how, "TEXT", "a text",
            "What is written instead of a value, {key} in it being the key, as JSON. For servers "
                + "whose writes have a form of their own."
        ) { $1.payload = $0 },
        choice(
            "driver", .how, Settings.DriverChoice.self,
            "How requests are sent. Listeners always use epoll, which hands on the kernel's "
                + "receive times. Default: auto, io_uring where it works."
        ) { $1.driver = $0 },
        number(
            "sources", .how, 1...65_000,
            "Source addresses of 127.0.0.0/8 to connect from; one has some 28000 ports. Default: "
                + "1, and for push and hold one for each 10000 listeners on loopback."
        ) { $1.sources = $0 },
        Option(
            "cpus", .how, "LIST", "processor numbers with commas, such as 1 or 2,3",
            "Binds the threads to these processors, in turn."
        ) { text, settings in
            let pieces = text.split(separator: ",", omittingEmptySubsequences: false)
            settings.cpus = pieces.compactMap { Values.whole(String($0)) }
            return settings.cpus.count == pieces.count
        },
        Option(
            "header", .how, "LINE", "a line such as \"X-API-Key: abc\"",
            "A header field for every HTTP request; may be given again."
        ) { text, settings in
            guard Values.isLine(text), text.contains(":") else { return false }
            settings.headers.append(text)
            return true
        },
        text(
            "user", .how, "NAME", "a user's name",
            "Sign in as this user at POST /auth/NAME with the secret in NEEDLETAIL_BENCH_SECRET, "
                + "and send the token with every request."
        ) { $1.user = $0 },
        number(
            "pid", .how, 1...Int(Int32.max),
            "The server's process, for its memory and processor time."
        ) { $1.pid = $0 },
        text(
            "cgroup", .how, "PATH", "a path below /sys/fs/cgroup, such as /needletail",
            "The server's control group, for its memory, the kernel's share included. Default: "
                + "that of --pid, unless it is the root."
        ) { $1.cgroup = $0 },
    ]

    private static let verify: [Option] = [
        text(
            "needletail", .verify, "PATH", "a path", "The server. Default: beside this program."
        ) { $1.needletail = $0 },
        text(
            "launcher", .verify, "PATH", "a path",
            "A program that is given the server's command line and becomes it: within limits, or "
                + "pinned."
        ) { $1.launcher = $0 },
        Option(
            "only", .verify, "LIST",
            "of " + Promise.table.map(\.name).joined(separator: ", ") + ", with commas",
            "Only these of " + Promise.table.map(\.name).joined(separator: ", ") + "."
        ) { text, settings in
            settings.only = text.split(separator: ",").map(String.init)
            let names = Promise.table.map(\.name)
            return !settings.only.isEmpty && settings.only.allSatisfy(names.contains)
        },
    ]

    private static let print: [Option] = [
        flag("json", .print, "Print the result as JSON on stdout, for programs and --compare.") {
            $0.isJSON = true
        },
        flag("quiet", .print, "No progress line on stderr.") { $0.isQuiet = true },
        text("label", .print, "TEXT", "a line of text", "Kept in the result, to tell runs apart.") {
            $1.label = $0
        },
    ]
}
